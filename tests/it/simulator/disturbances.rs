//! Every fault of the simulated vCenter, as a SOAP client sees it; the command, and its control address.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vmware_event_router::simulator::vcenter::Options;
use vmware_event_router::simulator::vcenter::ledger::Marks;

use crate::support::raw;
use crate::support::simulator::{Simulated, quiet};
use crate::support::soap::SoapClient;

const NOW: &str =
    r#"<CurrentTime xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></CurrentTime>"#;

async fn start() -> (Simulated, SoapClient) {
    let simulated = Simulated::start(Options { past: 10, ..quiet() }).await;
    let client = SoapClient::login(&simulated.url).await.unwrap();
    (simulated, client)
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    text.split_once(start).unwrap().1.split_once(end).unwrap().0
}

/// A collector of all that there is.
async fn collector(client: &mut SoapClient) -> Result<String, String> {
    let body = r#"<CreateCollectorForEvents xmlns="urn:vim25"><_this type="EventManager">EventManager</_this><filter></filter></CreateCollectorForEvents>"#;
    let answer = client.call(body).await?;
    Ok(between(&answer, r#"<returnval type="EventHistoryCollector">"#, "<").to_owned())
}

async fn page(client: &mut SoapClient, collector: &str) -> Result<String, String> {
    let body = format!(
        r#"<ReadNextEvents xmlns="urn:vim25"><_this type="EventHistoryCollector">{collector}</_this><maxCount>1000</maxCount></ReadNextEvents>"#
    );
    client.call(&body).await
}

/// Keys and times of a page's events.
fn events(page: &str) -> Vec<(i32, String)> {
    let event = |part: &str| {
        // Arguments have keys of their own, which come later.
        let key = between(part, "<key>", "<").parse().unwrap();
        (key, between(part, "<createdTime>", "<").to_owned())
    };
    page.split("<returnval ").skip(1).map(event).collect()
}

fn keys(page: &str) -> Vec<i32> {
    events(page).into_iter().map(|(key, _)| key).collect()
}

/// What can be read from here on, to an empty page.
async fn rest(client: &mut SoapClient, collector: &str) -> Vec<(i32, String)> {
    let mut all = Vec::new();
    loop {
        let page = events(&page(client, collector).await.unwrap());
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// A connection of its own.
async fn connect(simulated: &Simulated) -> TcpStream {
    TcpStream::connect(address(simulated)).await.unwrap()
}

fn address(simulated: &Simulated) -> SocketAddr {
    format!("127.0.0.1:{}", simulated.url.port().unwrap()).parse().unwrap()
}

/// Asks for the service's content, which needs no login.
async fn ask(stream: &mut TcpStream) {
    let body = r#"<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><RetrieveServiceContent xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></RetrieveServiceContent></Body></Envelope>"#;
    let request = format!(
        "POST /sdk HTTP/1.1\r\nhost: x\r\nsoapaction: \"urn:vim25/6.7\"\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// Whatever comes next; nothing if the connection is closed.
async fn heard(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; 65536];
    let read = stream.read(&mut bytes).await.unwrap_or(0);
    bytes.truncate(read);
    bytes
}

#[tokio::test]
async fn sessions_expire() {
    let (simulated, mut client) = start().await;
    let collector = collector(&mut client).await.unwrap();
    client.call(NOW).await.unwrap();
    simulated.plan("session-expiry");
    assert!(client.call(NOW).await.unwrap_err().contains("NotAuthenticated"));
    let mut client = SoapClient::login(&simulated.url).await.unwrap();
    assert!(page(&mut client, &collector).await.unwrap_err().contains("ManagedObjectNotFound"));
}

#[tokio::test]
async fn a_restart_breaks_connections_and_sessions_and_keeps_keys() {
    let (simulated, mut client) = start().await;
    let mut stream = connect(&simulated).await;
    ask(&mut stream).await;
    assert!(heard(&mut stream).await.starts_with(b"HTTP/1.1 200"));
    simulated.plan("restart=same-keys,0s");
    assert!(heard(&mut stream).await.is_empty(), "the connection is closed");
    assert!(client.call(NOW).await.is_err());
    let mut client = SoapClient::login(&simulated.url).await.unwrap();
    let collector = collector(&mut client).await.unwrap();
    let page = page(&mut client, &collector).await.unwrap();
    assert_eq!(keys(&page), (1..=12).collect::<Vec<_>>(), "ten, and two logins");
}

#[tokio::test]
async fn while_it_restarts_a_proxy_answers() {
    let (simulated, _) = start().await;
    for fault in ["restart=same-keys,1h", "restore=1,1h", "unavailable=1h"] {
        simulated.plan(fault);
        let mut stream = connect(&simulated).await;
        ask(&mut stream).await;
        let answer = String::from_utf8(heard(&mut stream).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503") && answer.to_lowercase().contains("<html"), "{fault}: {answer}");
    }
}

#[tokio::test]
async fn a_proxy_answers_for_a_while() {
    let (simulated, mut client) = start().await;
    simulated.plan("unavailable=1ms");
    while client.call(NOW).await.is_err() {}
    simulated.plan("unavailable=1h");
    assert!(client.call(NOW).await.unwrap_err().to_lowercase().contains("<html"));
}

#[tokio::test]
async fn a_restart_with_new_keys_begins_at_one() {
    let (simulated, _) = start().await;
    simulated.plan("restart=new-keys,0s");
    let mut client = SoapClient::login(&simulated.url).await.unwrap();
    let collector = collector(&mut client).await.unwrap();
    assert_eq!(keys(&page(&mut client, &collector).await.unwrap()), [1]);
    assert_eq!(simulated.handle.ledger(0, 100).iter().filter(|entry| entry.marks == Marks::GONE).count(), 11);
}

#[tokio::test]
async fn a_restored_vcenter_gives_keys_again_with_other_times() {
    let (simulated, mut client) = start().await;
    let collector_before = collector(&mut client).await.unwrap();
    let before = events(&page(&mut client, &collector_before).await.unwrap());
    simulated.plan("restore=4,0s");
    let mut client = SoapClient::login(&simulated.url).await.unwrap();
    let collector = collector(&mut client).await.unwrap();
    let after = events(&page(&mut client, &collector).await.unwrap());
    assert_eq!(after[..7], before[..7]);
    assert_eq!((after.len(), after[7].0), (8, before[7].0));
    assert_ne!(after[7].1, before[7].1);
}

#[tokio::test]
async fn one_call_hangs() {
    let (simulated, _) = start().await;
    simulated.plan("hang");
    let (mut one, mut other) = (connect(&simulated).await, connect(&simulated).await);
    ask(&mut one).await;
    ask(&mut other).await;
    let mut silent = tokio::select! {
        answer = heard(&mut one) => { assert!(answer.starts_with(b"HTTP/1.1 200")); other }
        answer = heard(&mut other) => { assert!(answer.starts_with(b"HTTP/1.1 200")); one }
    };
    // It stays open, and silent, until something closes it.
    simulated.plan("restart=same-keys,0s");
    assert!(heard(&mut silent).await.is_empty());
}

#[tokio::test]
async fn connections_fall_silent_and_new_ones_work() {
    let (simulated, _) = start().await;
    let mut old = connect(&simulated).await;
    ask(&mut old).await;
    assert!(heard(&mut old).await.starts_with(b"HTTP/1.1 200"));
    simulated.plan("half-open");
    ask(&mut old).await;
    let mut new = connect(&simulated).await;
    ask(&mut new).await;
    tokio::select! {
        biased;
        answer = heard(&mut old) => panic!("{answer:?}"),
        answer = heard(&mut new) => assert!(answer.starts_with(b"HTTP/1.1 200")),
    }
    simulated.plan("restart=same-keys,0s");
    assert!(heard(&mut old).await.is_empty());
}

#[tokio::test]
async fn pages_break_off_in_two_ways() {
    let (simulated, mut client) = start().await;
    simulated.plan("truncated\ntruncated");
    let name = collector(&mut client).await.unwrap();
    assert!(page(&mut client, &name).await.is_err(), "the connection ends early");
    let name = collector(&mut client).await.unwrap();
    let short = page(&mut client, &name).await.unwrap();
    assert!(short.contains("<key>") && !short.contains("</soapenv:Envelope>"), "{short}");
    let name = collector(&mut client).await.unwrap();
    assert!(page(&mut client, &name).await.unwrap().ends_with("</soapenv:Envelope>"));
}

#[tokio::test]
async fn every_soap_fault_is_answered_with_its_fields() {
    let (simulated, mut client) = start().await;
    for (kind, part) in [
        ("NotAuthenticated", "<privilegeId>"),
        ("ManagedObjectNotFound", "<obj type="),
        ("InvalidState", ""),
        ("InvalidArgument", "<invalidProperty>"),
        ("InvalidLogin", ""),
        ("NoPermission", "<privilegeId>"),
        ("InvalidLocale", ""),
        ("RequestCanceled", ""),
        ("InvalidCollectorVersion", ""),
        ("InvalidProperty", "<name>"),
        ("MethodNotFound", "<method>CurrentTime</method>"),
        ("NotImplemented", ""),
    ] {
        simulated.plan(&format!("soap={kind}:CurrentTime"));
        collector(&mut client).await.unwrap();
        let answer = client.call(NOW).await.unwrap_err();
        assert!(answer.contains(&format!(r#"<{kind}Fault "#)) && answer.contains(part), "{answer}");
        assert!(answer.contains(&format!(r#"xsi:type="{kind}""#)), "{answer}");
        if kind == "NotAuthenticated" {
            client.call(NOW).await.unwrap_err();
            client = SoapClient::login(&simulated.url).await.unwrap();
        }
        client.call(NOW).await.unwrap();
    }
}

#[tokio::test]
async fn a_page_of_hidden_events_is_empty_for_good() {
    let (simulated, mut client) = start().await;
    let old = collector(&mut client).await.unwrap();
    assert_eq!(rest(&mut client, &old).await.len(), 11);
    simulated.plan("hidden=1500\nequal-times=2");
    assert!(rest(&mut client, &old).await.is_empty());
    let begin = simulated.handle.ledger(1511, 1)[0];
    let begin = jiff::Timestamp::from_microsecond(begin.created).unwrap();
    let body = format!(
        r#"<CreateCollectorForEvents xmlns="urn:vim25"><_this type="EventManager">EventManager</_this><filter><time><beginTime>{begin}</beginTime></time></filter></CreateCollectorForEvents>"#
    );
    let answer = client.call(&body).await.unwrap();
    let new = between(&answer, r#"<returnval type="EventHistoryCollector">"#, "<").to_owned();
    let keys: Vec<_> = rest(&mut client, &new).await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [1512, 1513]);
}

#[tokio::test]
async fn keys_wrap_and_a_collector_sees_no_more() {
    let (simulated, mut client) = start().await;
    let old = collector(&mut client).await.unwrap();
    rest(&mut client, &old).await;
    simulated.plan("key-wrap\nequal-times=60");
    let seen = rest(&mut client, &old).await;
    assert_eq!((seen[0].0, seen.last().unwrap().0, seen.len()), (i32::MAX - 49, i32::MAX, 50));
    let new = collector(&mut client).await.unwrap();
    assert_eq!(rest(&mut client, &new).await.last().unwrap().0, i32::MIN + 9);
}

#[tokio::test]
async fn late_events_are_behind_what_was_read() {
    let (simulated, mut client) = start().await;
    let old = collector(&mut client).await.unwrap();
    rest(&mut client, &old).await;
    simulated.plan("late=3,15s");
    assert!(rest(&mut client, &old).await.is_empty());
    let new = collector(&mut client).await.unwrap();
    let all = rest(&mut client, &new).await;
    let keys: Vec<_> = all.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys.len(), 14);
    let at = keys.iter().position(|key| *key == 0).unwrap();
    assert!(at < 11 && keys[at..at + 3] == [0, -1, -2], "{keys:?}");
}

#[tokio::test]
async fn many_events_have_one_time() {
    let (simulated, mut client) = start().await;
    let collector = collector(&mut client).await.unwrap();
    rest(&mut client, &collector).await;
    simulated.plan("equal-times=1200");
    let all = rest(&mut client, &collector).await;
    assert_eq!(all.len(), 1200);
    assert!(all.iter().all(|(_, created)| *created == all[0].1));
}

#[tokio::test]
async fn the_clock_jumps() {
    let (simulated, mut client) = start().await;
    let mut now = async || -> jiff::Timestamp {
        let answer = client.call(NOW).await.unwrap();
        between(&answer, "<returnval>", "<").parse().unwrap()
    };
    let before = now().await;
    simulated.plan("clock=+2h");
    let ahead = now().await;
    assert!((7_200..7_300).contains(&(ahead.as_second() - before.as_second())));
    simulated.plan("clock=-3h");
    assert!(now().await < before);
}

#[tokio::test]
async fn events_of_unknown_classes_and_undecodable_ones_happen() {
    let (simulated, mut client) = start().await;
    let collector = collector(&mut client).await.unwrap();
    rest(&mut client, &collector).await;
    simulated.plan("unknown-type=2\nundecodable=3");
    let page = page(&mut client, &collector).await.unwrap();
    assert_eq!(page.matches(r#"xsi:type="VmMovedToAnotherPlanetEvent""#).count(), 2);
    for part in ["<template>perhaps</template>", "<createdTime>yesterday</createdTime>", "\u{1}"] {
        assert_eq!(page.matches(part).count(), 1, "{part:?}");
    }
    let marks: Vec<_> = simulated.handle.ledger(11, 9).iter().map(|entry| entry.marks.to_string()).collect();
    assert_eq!(marks, ["u", "u", "d", "d", "dm"]);
}

#[tokio::test]
async fn answers_are_slow_for_a_while() {
    let (simulated, mut client) = start().await;
    simulated.plan("slow=300ms,1h");
    let begun = Instant::now();
    client.call(NOW).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn no_collector_can_be_created() {
    let (simulated, mut client) = start().await;
    simulated.plan("collectors=1h");
    assert!(collector(&mut client).await.unwrap_err().contains("InvalidState"));
    client.call(NOW).await.unwrap();
}

#[tokio::test]
async fn logins_are_refused() {
    let (simulated, mut client) = start().await;
    simulated.plan("login=1h");
    assert!(SoapClient::login(&simulated.url).await.err().unwrap().contains("InvalidLogin"));
    client.call(NOW).await.unwrap();
}

#[tokio::test]
async fn events_expire() {
    let (simulated, mut client) = start().await;
    simulated.plan("expired=3");
    assert!(client.call(NOW).await.unwrap_err().contains("NotAuthenticated"));
    let mut client = SoapClient::login(&simulated.url).await.unwrap();
    let collector = collector(&mut client).await.unwrap();
    let keys: Vec<_> = rest(&mut client, &collector).await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [9, 10, 11, 12]);
}

/// What the control address answers, and its status.
async fn control(to: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let request = Request::builder().method(method).uri(path).body(Bytes::from(body.to_owned())).unwrap();
    let answer = raw::send(to, request).await.unwrap();
    (answer.status().as_u16(), String::from_utf8(answer.body().to_vec()).unwrap())
}

#[tokio::test]
async fn the_control_address_obeys_and_tells() {
    let options = Options { past: 10, control: Some(([127, 0, 0, 1], 0).into()), ..quiet() };
    let simulated = Simulated::start(options).await;
    let to = simulated.control.unwrap();
    let mut client = SoapClient::login(&simulated.url).await.unwrap();
    let collector = collector(&mut client).await.unwrap();
    rest(&mut client, &collector).await;
    assert_eq!(control(to, "POST", "/faults", "equal-times=5 # now\nhang@5000\n").await, (200, "2\n".to_owned()));
    let wanted = r#"{"class": "VmPoweredOnEvent", "count": 3}"#;
    assert_eq!(control(to, "POST", "/events", wanted).await, (200, "3\n".to_owned()));
    let page = page(&mut client, &collector).await.unwrap();
    assert_eq!(page.matches(r#"xsi:type="VmPoweredOnEvent""#).count(), 3);
    // The client's own may be closed again by now.
    let mut stream = connect(&simulated).await;
    ask(&mut stream).await;
    assert!(!heard(&mut stream).await.is_empty());
    let (_, figures) = control(to, "GET", "/", "").await;
    let figures: serde_json::Value = serde_json::from_str(&figures).unwrap();
    for (name, value) in [("events", 19), ("served", 19), ("sessions", 1), ("collectors", 1), ("filters", 0)] {
        assert_eq!(figures[name], value, "{name} of {figures}");
    }
    assert!(figures["connections"].as_u64().unwrap() >= 1);
    assert_eq!(figures["faults"], serde_json::json!({"equal-times": 1}));
    assert_eq!((&figures["rate"], &figures["clock_offset_seconds"]), (&"0".into(), &0.into()));
    let (_, ledger) = control(to, "GET", "/ledger?from=17&count=9", "").await;
    let told: Vec<_> = simulated.handle.ledger(17, 9).iter().map(ToString::to_string).collect();
    assert_eq!((ledger.lines().collect::<Vec<_>>(), told.len()), (told.iter().map(String::as_str).collect(), 2));
    assert_eq!(control(to, "POST", "/rate", "max\n").await, (200, "1\n".to_owned()));
    assert!(control(to, "GET", "/", "").await.1.contains(r#""rate": "max""#));
    for (method, path, body, status, part) in [
        ("POST", "/faults", "hnag", 400, "line 1: there is no fault \"hnag\"; did you mean \"hang\"?"),
        ("POST", "/events", "x", 400, "VmPoweredOnEvent"),
        ("POST", "/events", r#"{"class": "NoSuchEvent"}"#, 400, "NoSuchEvent"),
        ("POST", "/events", r#"{"class": "VmPoweredOnEvent", "count": 100001}"#, 400, "100000"),
        ("POST", "/rate", "fast", 400, "\"max\""),
        ("GET", "/ledger?count=100001", "", 400, "at most 100000"),
        ("GET", "/ledger?form=1", "", 400, "form=1"),
        ("GET", "/faults", "", 405, "wants POST"),
        ("GET", "/nothing", "", 404, "GET /ledger"),
        ("POST", "/faults", &"#".repeat(65 * 1024), 413, "65536"),
    ] {
        let (got, answer) = control(to, method, path, body).await;
        assert!(got == status && answer.contains(part), "{method} {path}: {got} {answer}");
    }
    simulated.stop().await;
}

#[tokio::test]
async fn a_schedule_is_the_same_for_the_same_seed() {
    let run = async |seed| {
        let faults = vec!["unknown-type=1@random:20/500".parse().unwrap(), "key-wrap@every:200".parse().unwrap()];
        let rate = vmware_event_router::simulator::vcenter::Rate::PerSecond(100_000.0);
        let simulated = Simulated::start(Options { rate, seed, faults, most: Some(500), ..quiet() }).await;
        let all = loop {
            let all = simulated.handle.ledger(0, 1_000);
            if all.len() == 520 {
                break all;
            }
            tokio::task::yield_now().await;
        };
        all.iter().map(|entry| (entry.key, entry.marks)).collect::<Vec<_>>()
    };
    let once = run(3).await;
    assert_eq!(once, run(3).await);
    assert_ne!(once, run(4).await);
    assert_eq!(once.iter().filter(|(_, marks)| *marks == Marks::UNKNOWN).count(), 20);
}
