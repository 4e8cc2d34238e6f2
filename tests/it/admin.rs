//! The metrics server: what it shows, to whom, and that nobody who calls it does harm.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use vmware_event_router::http::basic_auth;

use crate::support::fault_soap::{FaultSoap, NOW};
use crate::support::gateway::{Answer, Function, Gateway};
use crate::support::raw;
use crate::support::router::{Router, command, metrics, named, processor, stream};
use crate::support::soap::SoapClient;
use crate::support::vcsim::Vcsim;

/// The `/stats` of a router that is ready.
fn component<'a>(stats: &'a Value, name: &str) -> &'a Value {
    let all = stats["vmware.event.router.stats"].as_object().unwrap();
    all.get(name).unwrap_or_else(|| panic!("{name} in {:?}", all.keys().collect::<Vec<_>>()))
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Events of a fake vCenter: so many, from a key on.
fn happen(fake: &FaultSoap, keys: std::ops::Range<i32>) {
    let events: Vec<_> = keys.map(|key| (key, NOW + 1_000_000 * i64::from(key))).collect();
    fake.happen(&events);
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn metrics_at(address: SocketAddr) -> Value {
    json!({ "type": "metrics", "provider": "internal", "address": address.to_string(), "auth": { "method": "none" } })
}

fn metrics_with_password() -> Value {
    let auth = json!({ "method": "basic_auth", "secret": { "username": "ops", "password": "pass:wörd" } });
    json!({ "type": "metrics", "provider": "internal", "address": "127.0.0.1:0", "auth": auth })
}

#[tokio::test]
async fn the_page_is_the_one_that_users_know() {
    let fake = FaultSoap::start().await;
    let gateway = Gateway::start([
        Function::subscribed("good", "VmPoweredOnEvent"),
        Function::subscribed("bad", "VmPoweredOnEvent").always(Answer::status(400)),
    ])
    .await;
    let config = [stream(&fake.url), processor(&gateway, &json!({})), metrics()];
    let router = Router::start(&config, &[]).await;
    router.ready().await;
    happen(&fake, 1..8);
    let name = format!("openfaas@{}", gateway.url());
    let stats = router
        .stats_when(|stats| {
            component(stats, &name)["invocations"]["VmPoweredOnEvent"]
                == json!({ "SuccessCount": 7, "FailureCount": 7 })
        })
        .await;
    router.stop().await;

    let own = "vmware.event.router.journal";
    assert_eq!(
        keys(&stats).into_iter().filter(|key| *key != own).collect::<Vec<_>>(),
        [
            "cmdline",
            "memstats",
            "system.allLoad",
            "system.lastLoad",
            "system.numberOfSeconds",
            "system.programName",
            "vmware.event.router.stats"
        ]
    );
    let line = stats["cmdline"].as_array().unwrap();
    assert!(line[0].as_str().unwrap().ends_with("/vmware-event-router") && line[1] == "-config", "{line:?}");
    assert_eq!(stats["system.programName"], "vmware-event-router");
    assert!(stats["system.numberOfSeconds"].is_u64());
    for load in ["Load1", "Load5", "Load15"] {
        assert!(stats["system.allLoad"][load].is_f64());
    }
    assert_eq!(stats["system.lastLoad"], stats["system.allLoad"]["Load1"]);
    assert!(stats["memstats"]["Alloc"].as_u64() > Some(1 << 20) && stats["memstats"]["Sys"].is_u64());

    let stream = component(&stats, &format!("vmware_vcenter@{}", fake.url));
    assert_eq!((&stream["type"], &stream["address"]), (&json!("stream"), &json!(fake.url.as_str())));
    assert!(stream["started"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert_eq!((&stream["events_total"], &stream["events_err"]), (&json!(7), &json!(0)));
    assert!(stream["events_per_sec"].as_f64() > Some(0.0));
    let processor = component(&stats, &name);
    assert_eq!(processor["type"], "processor");
    assert_eq!(processor["address"].as_str().unwrap().trim_end_matches('/'), gateway.url());
    assert!(processor["started"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert_eq!(keys(&processor["invocations"]), ["VmPoweredOnEvent"]);
    let text = stats.to_string();
    assert!(!text.contains(crate::support::vcsim::PASSWORD), "{text}");
}

#[tokio::test]
async fn two_of_a_kind_do_not_overwrite_each_other() {
    let (one, two) = (FaultSoap::start().await, FaultSoap::start().await);
    let all = Gateway::start([Function::subscribed("all", "VmPoweredOnEvent")]).await;
    let none = Gateway::start([Function::subscribed("none", "VmPoweredOffEvent")]).await;
    let config = [
        stream(&one.url),
        named(stream(&two.url), "second"),
        processor(&all, &json!({})),
        named(processor(&none, &json!({})), "idle"),
        metrics(),
    ];
    let router = Router::start(&config, &[]).await;
    router.ready().await;
    happen(&one, 1..4);
    happen(&two, 1..6);
    let first = format!("openfaas@{}", all.url());
    let stats = router
        .stats_when(|stats| component(stats, &first)["invocations"]["VmPoweredOnEvent"]["SuccessCount"] == 8)
        .await;
    router.stop().await;
    assert_eq!(keys(&stats["vmware.event.router.stats"]).len(), 4);
    let streams = [(format!("vmware_vcenter@{}", one.url), &one, 3), ("second".to_owned(), &two, 5)];
    for (name, fake, events) in streams {
        let page = component(&stats, &name);
        assert_eq!((&page["address"], &page["events_total"]), (&json!(fake.url.as_str()), &json!(events)), "{name}");
    }
    assert_eq!(component(&stats, "idle")["invocations"], json!({}));
    let ids = |state: &crate::support::gateway::State| state.events_of("all");
    // Both fakes say that they are the same vCenter, so the events that they share have the same ids.
    assert_eq!(all.read(ids).len(), 5);
}

#[tokio::test]
async fn a_password_is_wanted_where_one_is_configured() {
    let fake = FaultSoap::start().await;
    let gateway = Gateway::start([Function::subscribed("echo", "VmPoweredOnEvent")]).await;
    let config = [stream(&fake.url), processor(&gateway, &json!({})), metrics_with_password()];
    let router = Router::start(&config, &[]).await;
    let right = basic_auth("ops", "pass:wörd").to_str().unwrap().to_owned();
    let lower = right.replace("Basic", "basic");
    let others = [basic_auth("ops", "pass:word"), basic_auth("root", "pass:wörd"), basic_auth("ops:pass", "wörd:")];
    let wrong: Vec<String> = others.iter().map(|value| value.to_str().unwrap().to_owned()).collect();
    let token = right.replace("Basic", "Bearer");
    for path in ["/stats", "/metrics", "/"] {
        for given in [None, Some(""), Some("Basic"), Some("Basic ?"), Some(&token)]
            .into_iter()
            .chain(wrong.iter().map(|value| Some(value.as_str())))
        {
            let headers: Vec<_> = given.map(|given| ("authorization", given)).into_iter().collect();
            let answer = router.get_with(path, &headers).await;
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path} {given:?}");
            assert!(answer.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic "));
            assert!(!String::from_utf8_lossy(answer.body()).contains("cmdline"));
        }
        for given in [&right, &lower] {
            assert_eq!(router.get_with(path, &[("authorization", given)]).await.status(), StatusCode::OK, "{path}");
        }
    }
    assert_eq!(router.get("/healthz").await.status(), StatusCode::OK);
    router.ready().await;
    router.stop().await;
}

/// Metrics by name, as an independent reader of the format has them.
struct Samples(BTreeMap<String, Vec<Sample>>);

/// Labels and value.
type Sample = (Map<String, Value>, f64);

impl Samples {
    async fn of(router: &Router) -> Self {
        let answer = router.get("/metrics").await;
        assert_eq!(answer.headers()["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
        let text = answer.into_body();
        spawn_blocking(move || Self::read(&text)).await.unwrap()
    }

    fn read(text: &[u8]) -> Self {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/venv/bin/python");
        assert!(python.exists(), "{} is missing: run `make peers`", python.display());
        let program = "import json, sys\n\
            from prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
            families = list(read(sys.stdin.read()))\n\
            assert all(family.documentation for family in families)\n\
            print(json.dumps([[s.name, s.labels, s.value] for family in families for s in family.samples]))";
        let mut child = Command::new(python)
            .args(["-c", program])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let samples: Vec<(String, Map<String, Value>, f64)> = serde_json::from_slice(&output.stdout).unwrap();
        let mut all: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (name, labels, value) in samples {
            let name = name.strip_prefix("vmware_event_router_").expect("all metrics are the router's").to_owned();
            assert!(!name.contains("vmware"), "{name} says it twice");
            all.entry(name).or_default().push((labels, value));
        }
        Self(all)
    }

    /// The one sample with these labels among its own.
    fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let all = self.0.get(name).unwrap_or_else(|| panic!("{name} in {:?}", self.0.keys().collect::<Vec<_>>()));
        let fits = |of: &Map<String, Value>| labels.iter().all(|(name, value)| of.get(*name) == Some(&json!(value)));
        let found: Vec<_> = all.iter().filter(|(of, _)| fits(of)).collect();
        assert_eq!(found.len(), 1, "{name} {labels:?}: {all:?}");
        found[0].1
    }
}

#[tokio::test]
async fn metrics_are_openmetrics_and_move() {
    let mut vcsim = Vcsim::start(&[]);
    let gateway = Gateway::start([
        Function::subscribed("good", "GeneralUserEvent"),
        Function::subscribed("bad", "GeneralUserEvent").always(Answer::status(400)),
        Function::subscribed("slow", "GeneralUserEvent").first(2, Answer::status(500), Answer::ok()),
    ])
    .await;
    let config = [stream(&vcsim.url), processor(&gateway, &json!({})), metrics()];
    let router = Router::start(&config, &[]).await;
    router.ready().await;
    let (vc, faas) = (format!("vmware_vcenter@{}", vcsim.url), format!("openfaas@{}", gateway.url()));
    let stream = [("stream", vc.as_str())];
    let before = Samples::of(&router).await;
    assert!((before.get("processor_ready", &[("processor", &faas)]) - 1.0).abs() < f64::EPSILON);
    let mut client = SoapClient::login(&vcsim.url).await.unwrap();
    for number in 0..3 {
        client.post(&format!("{number}")).await.unwrap();
    }
    router
        .stats_when(|stats| {
            let counts = &component(stats, &faas)["invocations"]["GeneralUserEvent"];
            counts["SuccessCount"] == 6 && counts["FailureCount"] == 3
        })
        .await;
    let after = Samples::of(&router).await;
    let moved = |name: &str, labels: &[(&str, &str)]| after.get(name, labels) - before.get(name, labels);
    assert!(moved("stream_events_total", &stream) >= 3.0);
    assert!(after.get("stream_errors_total", &stream).abs() < f64::EPSILON);
    assert!(after.get("stream_reconnects_total", &stream).abs() < f64::EPSILON);
    for gauge in ["stream_lag_events", "stream_lag_seconds"] {
        assert!(after.get(gauge, &stream) >= 0.0);
    }
    let states = &after.0["stream_state"];
    assert_eq!(states.len(), 6, "one for each state");
    assert!((states.iter().map(|(_, value)| value).sum::<f64>() - 1.0).abs() < f64::EPSILON, "{states:?}");
    for (target, attempts, successes, failures, retries) in
        [("good", 3.0, 3.0, 0.0, 0.0), ("bad", 3.0, 0.0, 3.0, 0.0), ("slow", 5.0, 3.0, 0.0, 2.0)]
    {
        let labels = [("processor", faas.as_str()), ("target", target)];
        let is = |name: &str, value: f64| {
            let found = after.get(name, &labels);
            assert!((found - value).abs() < f64::EPSILON, "{name} of {target} is {found}, not {value}");
        };
        is("target_attempts_total", attempts);
        is("target_successes_total", successes);
        is("target_failures_total", failures);
        is("target_retries_total", retries);
        is("target_in_flight", 0.0);
        is("target_lane", 0.0);
        is("target_latency_seconds_count", attempts);
        assert!(after.get("target_latency_seconds_sum", &labels) > 0.0);
        let all = [labels[0], labels[1], ("le", "+Inf")];
        assert!((after.get("target_latency_seconds_bucket", &all) - attempts).abs() < f64::EPSILON);
    }
    assert!(after.get("process_cpu_seconds_total", &[]) >= before.get("process_cpu_seconds_total", &[]));
    assert!(after.get("process_resident_memory_bytes", &[]) > 1e6);
    assert!(after.get("process_open_fds", &[]) >= 5.0);
    assert!(after.get("process_start_time_seconds", &[]) > 1.7e9);

    vcsim = spawn_blocking(move || {
        vcsim.restart();
        vcsim
    })
    .await
    .unwrap();
    router
        .stats_when(|stats| {
            component(stats, &vc)["reconnects"].as_u64() > Some(0) && component(stats, &vc)["state"] == "streaming"
        })
        .await;
    let later = Samples::of(&router).await;
    assert!(later.get("stream_reconnects_total", &stream) >= 1.0);
    assert!(later.get("stream_errors_total", &stream) >= 1.0);
    let streaming = [stream[0], ("state", "streaming")];
    assert!((later.get("stream_state", &streaming) - 1.0).abs() < f64::EPSILON);
    router.stop().await;
    drop(vcsim);
}

/// Why a router is not ready; empty if it is.
async fn reasons(router: &Router) -> Vec<String> {
    let answer = router.get("/readyz").await;
    let page: Value = serde_json::from_slice(answer.body()).unwrap();
    let reasons: Vec<String> = serde_json::from_value(page["reasons"].clone()).unwrap();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    assert_eq!((answer.status(), &page["ready"]), (status, &json!(reasons.is_empty())));
    reasons
}

async fn reasons_when(router: &Router, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
    loop {
        let reasons = reasons(router).await;
        if wanted(&reasons) {
            return reasons;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn readiness_names_what_is_away() {
    let mut vcsim = Vcsim::start(&[]);
    let gateway = Gateway::start([Function::subscribed("echo", "GeneralUserEvent")]).await;
    vcsim.kill();
    gateway.kill().await;
    let config = [stream(&vcsim.url), processor(&gateway, &json!({})), metrics()];
    let router = Router::start(&config, &[]).await;
    let (vc, faas) = (format!("stream vmware_vcenter@{}", vcsim.url), format!("processor openfaas@{}", gateway.url()));
    let both =
        reasons_when(&router, |reasons| reasons.len() == 2 && reasons.iter().all(|reason| reason.contains("refused")))
            .await;
    assert!(both[0].starts_with(&vc) && both[1].starts_with(&faas), "{both:?}");
    assert_eq!(router.get("/healthz").await.status(), StatusCode::OK, "it lives all the same");
    gateway.restart().await;
    let one = reasons_when(&router, |reasons| reasons.len() == 1).await;
    assert!(one[0].starts_with(&vc), "{one:?}");
    vcsim = spawn_blocking(move || {
        vcsim.restart();
        vcsim
    })
    .await
    .unwrap();
    reasons_when(&router, <[String]>::is_empty).await;

    vcsim.kill();
    router.stats_when(|stats| component(stats, vc.trim_start_matches("stream "))["state"] == "waiting").await;
    assert!(reasons(&router).await.is_empty(), "ten seconds are forgiven");
    let away = reasons_when(&router, |reasons| !reasons.is_empty()).await;
    assert!(away.len() == 1 && away[0].starts_with(&vc) && away[0].contains("refused"), "{away:?}");
    router.stop().await;
}

/// A router with nothing to do.
async fn idle() -> (FaultSoap, Gateway, Router) {
    let fake = FaultSoap::start().await;
    let gateway = Gateway::start([Function::subscribed("echo", "VmPoweredOnEvent")]).await;
    let router = Router::start(&[stream(&fake.url), processor(&gateway, &json!({})), metrics()], &[]).await;
    router.ready().await;
    (fake, gateway, router)
}

/// Sends these bytes and gives what comes back.
async fn say(router: &Router, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(router.address).await.unwrap();
    // It may have heard enough before the end.
    stream.write_all(bytes).await.ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn send(router: &Router, method: &str, path: &str) -> Response<Bytes> {
    let request = Request::builder().method(method).uri(path).body(Bytes::from_static(b"x")).unwrap();
    raw::send(router.address, request).await.unwrap()
}

#[tokio::test]
async fn bad_requests_harm_nobody() {
    let (_fake, _gateway, router) = idle().await;
    let random: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(10_000).collect();
    say(&router, &random).await;
    for (bad, status) in [
        ("\0\0\0\0\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), ""),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n".to_owned(), "400"),
        (format!("GET /healthz HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)), "431"),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20)), "4"),
        (format!("GET /healthz HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(1000)), "431"),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(), "200"),
    ] {
        let answer = say(&router, bad.as_bytes()).await;
        let found = answer.split(' ').nth(1).unwrap_or_default();
        // What is refused in the middle of its sending may be reset before the answer is read.
        assert!(found.starts_with(status) || bad.len() > 100_000 && answer.is_empty(), "{:.60}: {answer}", bad);
    }
    for (method, path, status) in [
        ("POST", "/nowhere", 403),
        ("POST", "/callback?signature=AAAA", 403),
        ("PUT", "/stats", 405),
        ("DELETE", "/", 405),
        ("GET", "/nowhere", 404),
        ("GET", "/stats/", 404),
        ("HEAD", "/stats", 200),
        ("HEAD", "/nowhere", 404),
        ("GET", "/", 200),
    ] {
        let answer = send(&router, method, path).await;
        assert_eq!(answer.status().as_u16(), status, "{method} {path}");
        assert!(method != "HEAD" || answer.body().is_empty());
        assert!(status != 405 || answer.headers()["allow"] == "GET, HEAD");
    }
    assert_eq!(router.get("/readyz").await.status(), StatusCode::OK);
    let log = router.stop().await;
    assert!(!log.iter().any(|line| line.contains("panicked")), "{log:#?}");
}

/// More connections than are served at once, none of which ever asks anything.
#[tokio::test]
async fn those_who_hold_connections_open_keep_nobody_out() {
    let (_fake, _gateway, router) = idle().await;
    let mut held = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(router.address).await.unwrap();
        let begun: &[u8] = match number % 3 {
            0 => b"",
            1 => b"GET /stats HTTP/1.1\r\nX-Slow: ",
            _ => b"POST /callback HTTP/1.1\r\nContent-Length: 1000\r\n\r\nx",
        };
        stream.write_all(begun).await.ok();
        held.push(stream);
    }
    // Less than those may take until they are sent away.
    let answer = tokio::time::timeout(Duration::from_secs(10), router.get("/healthz")).await;
    assert_eq!(answer.expect("a probe gets through").status(), StatusCode::OK);
    // Nor do they hold up the end, though some are still open.
    let ended = tokio::time::timeout(Duration::from_secs(10), router.stop()).await;
    ended.expect("the router ends");
    drop(held);
}

#[tokio::test]
async fn a_log_that_nobody_reads_ends_nothing() {
    let fake = FaultSoap::start().await;
    let gateway = Gateway::start([Function::subscribed("echo", "VmPoweredOnEvent")]).await;
    let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
    let config = [stream(&fake.url), processor(&gateway, &json!({})), metrics_at(address)];
    let mut child =
        command(&folder, &config, &[]).arg("-verbose").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // As when the reader of a pipe has died.
    drop(child.stderr.take());
    gateway.wait_for(|state| state.lists() > 0).await;
    while fake.open().1 == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    happen(&fake, 1..10);
    gateway.wait_for_calls("echo", 9).await;
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
    let status = spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn callbacks_settle_what_the_queue_took() {
    let fake = FaultSoap::start().await;
    let gateway = Gateway::start([
        Function::subscribed("good", "VmPoweredOnEvent"),
        Function::subscribed("moody", "VmPoweredOnEvent").first(3, Answer::status(500), Answer::ok()),
        Function::subscribed("bad", "VmPoweredOnEvent").always(Answer::text(400, vec![b'x'; 1 << 20])),
    ])
    .await;
    let address = free_address();
    let mut metrics = metrics_with_password();
    metrics["address"] = json!(address.to_string());
    let options = json!({ "async": "true", "callback_url": format!("http://{address}"), "callback_timeout": "1h" });
    let router = Router::start(&[stream(&fake.url), processor(&gateway, &options), metrics], &[]).await;
    router.ready().await;
    happen(&fake, 1..51);
    let right = basic_auth("ops", "pass:wörd").to_str().unwrap().to_owned();
    let name = format!("openfaas@{}", gateway.url());
    let began = std::time::Instant::now();
    let page = loop {
        let answer = router.get_with("/stats", &[("authorization", &right)]).await;
        let stats: Value = serde_json::from_slice(answer.body()).unwrap();
        let page = component(&stats, &name).clone();
        if page["invocations"]["VmPoweredOnEvent"] == json!({ "SuccessCount": 100, "FailureCount": 50 }) {
            break page;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain: {page:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    for (function, attempts, retries) in [("good", 50, 0), ("moody", 53, 3), ("bad", 50, 0)] {
        let target = &page["targets"][function];
        assert_eq!((&target["attempts"], &target["retries"]), (&json!(attempts), &json!(retries)), "{page}");
        assert_eq!(gateway.read(|state| state.count(function)), attempts);
    }
    gateway.wait_for(|state| state.callbacks.len() == 153).await;
    let callbacks = gateway.read(|state| state.callbacks.clone());
    for callback in &callbacks {
        assert_eq!(callback.answer, Ok(200), "without a password: {}", callback.url);
    }
    // One who does not know the key cannot settle anything.
    let path = callbacks[0].url.strip_prefix(&format!("http://{address}")).unwrap();
    for bad in
        [path.replace("attempt=1", "attempt=2"), path.replace("signature=", "signature=A"), "/callback".to_owned()]
    {
        assert_ne!(bad, path);
        assert_eq!(send(&router, "POST", &bad).await.status(), StatusCode::FORBIDDEN, "{bad}");
    }
    router.stop().await;
}
