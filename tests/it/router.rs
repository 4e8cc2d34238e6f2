//! The whole router between a vCenter and a gateway: nothing missing, nothing twice, in order, whatever ends.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::support::gateway::{Answer, Function, Gateway, State};
use crate::support::govc::{govc, govc_json};
use crate::support::router::{self, Router, metrics, processor, stream};
use crate::support::simulator::{Simulated, quiet};
use crate::support::soap::SoapClient;
use crate::support::vcsim::Vcsim;

const POSTERS: usize = 4;
const EACH: usize = 2_500;

fn data(body: &[u8]) -> Value {
    serde_json::from_slice::<Value>(body).unwrap()["data"].clone()
}

/// Posts from four connections at once: `POSTER-NUMBER`, each poster's events of one VM.
///
/// vcsim forgets what a reader is a thousand events behind (a real vCenter does
/// not), so no poster runs away from the function.
async fn post(vcsim: &Vcsim, gateway: &Arc<Gateway>) {
    let posted = Arc::new(AtomicU64::new(0));
    let mut posters = Vec::new();
    for poster in 0..POSTERS {
        let (url, gateway, posted) = (vcsim.url.clone(), Arc::clone(gateway), Arc::clone(&posted));
        posters.push(tokio::spawn(async move {
            let mut client = SoapClient::login(&url).await.unwrap();
            for number in 0..EACH {
                client.post_of(&format!("vm-{poster}"), &format!("{poster}-{number}")).await.unwrap();
                let ahead = posted.fetch_add(1, Relaxed) + 1;
                gateway.wait_for_calls("echo", ahead.saturating_sub(600)).await;
            }
        }));
    }
    for poster in posters {
        poster.await.unwrap();
    }
}

#[tokio::test]
async fn ten_thousand_events_reach_the_function_once_and_in_order() {
    let vcsim = Vcsim::start(&[]);
    let gateway = Arc::new(Gateway::start([Function::subscribed("echo", "GeneralUserEvent")]).await);
    let config = [stream(&vcsim.url), processor(&gateway, &json!({})), metrics()];
    let router = Router::start(&config, &[]).await;
    router.ready().await;
    post(&vcsim, &gateway).await;
    gateway.wait_for_calls("echo", (POSTERS * EACH) as u64).await;
    let stats = router.stats().await;
    router.stop().await;

    let mut next = [0; POSTERS];
    let mut ids = BTreeSet::new();
    gateway.read(|state| {
        for call in state.calls_of("echo") {
            assert!(ids.insert(call.event_id()), "an event came twice");
            let message = data(&call.body)["Message"].as_str().unwrap().to_owned();
            let (poster, number) = message.split_once('-').unwrap();
            let poster: usize = poster.parse().unwrap();
            assert_eq!(number.parse::<usize>().unwrap(), next[poster], "in the order of its entity");
            next[poster] += 1;
        }
    });
    assert_eq!(next, [EACH; POSTERS]);
    let components = stats["vmware.event.router.stats"].as_object().unwrap();
    let processor = components.values().find(|component| component["type"] == "processor").unwrap();
    assert_eq!(processor["invocations"]["GeneralUserEvent"]["SuccessCount"], POSTERS * EACH);
    assert_eq!(processor["invocations"]["GeneralUserEvent"]["FailureCount"], 0);
}

#[tokio::test]
async fn a_function_that_takes_its_time_holds_up_no_other() {
    const EVENTS: u64 = 3_000;
    let simulated = Simulated::start(quiet()).await;
    let slow = Function::subscribed("slow", "VmPoweredOnEvent").script(|_| Answer::Hang);
    let gateway = Gateway::start([slow, Function::subscribed("quick", "VmPoweredOnEvent")]).await;
    // No attempt ends while this test runs: the slow one is not dead, so that no circuit opens.
    let config = [stream(&simulated.url), processor(&gateway, &json!({ "timeout": "5m" })), metrics()];
    let router = Router::start(&config, &[]).await;
    router.ready().await;
    simulated.handle.make("VmPoweredOnEvent", EVENTS).unwrap();
    gateway.wait_for_calls("quick", EVENTS).await;
    assert!(gateway.read(|state| (1..EVENTS).contains(&state.count("slow"))), "it was called, and has not answered");
    drop(router);
    simulated.stop().await;
}

#[tokio::test]
async fn a_function_that_is_alone_sets_the_pace() {
    const EVENTS: u64 = 20_000;
    let simulated = Simulated::start(quiet()).await;
    let slow = Function::subscribed("slow", "VmPoweredOnEvent").always(Answer::ok().after(Duration::from_millis(150)));
    let gateway = Gateway::start([slow]).await;
    // A journal in a folder reads on, since vCenter is less safe a place; but this one is in memory.
    let memory = json!({ "type": "journal", "provider": "memory" });
    let config = [stream(&simulated.url), processor(&gateway, &json!({})), metrics(), memory];
    let router = Router::start(&config, &[]).await;
    router.ready().await;
    simulated.handle.make("VmPoweredOnEvent", EVENTS).unwrap();
    // Long enough for what is owed to wait for half a second again and again.
    gateway.wait_for_calls("slow", 1_500).await;
    let stats = router.stats().await;
    let called = gateway.read(|state| state.count("slow"));
    let appended = stats["vmware.event.router.journal"]["appended"].as_u64().unwrap();
    assert!(appended < called + 3_000, "{appended} were read where {called} were called: vCenter keeps the rest");
    drop(router);
    simulated.stop().await;
}

#[tokio::test]
async fn strict_ordering_keeps_the_order_of_keys() {
    let vcsim = Vcsim::start(&[]);
    let gateway = Gateway::start([Function::subscribed("echo", "GeneralUserEvent")]).await;
    let config = [stream(&vcsim.url), processor(&gateway, &json!({ "ordering": "strict" })), metrics()];
    let router = Router::start(&config, &[]).await;
    router.ready().await;
    let mut posters = Vec::new();
    for poster in 0..POSTERS {
        let mut client = SoapClient::login(&vcsim.url).await.unwrap();
        posters.push(tokio::spawn(async move {
            for number in 0..250 {
                client.post(&format!("{poster}-{number}")).await.unwrap();
            }
        }));
    }
    gateway.wait_for_calls("echo", 1000).await;
    router.stop().await;
    let keys = |state: &State| -> Vec<i64> {
        state.calls_of("echo").iter().map(|call| data(&call.body)["Key"].as_i64().unwrap()).collect()
    };
    let keys = gateway.read(keys);
    assert!(keys.is_sorted() && keys.len() == 1000, "{keys:?}");
}

#[tokio::test]
async fn what_govc_does_arrives_as_what_govc_shows() {
    let vcsim = Vcsim::start(&[]);
    let topics = "VmPoweredOffEvent,VmPoweredOnEvent,VmClonedEvent,VmRemovedEvent,VmStoppingEvent,VmStartingEvent";
    let gateway = Gateway::start([Function::subscribed("vms", topics)]).await;
    let config = [stream(&vcsim.url), processor(&gateway, &json!({ "ordering": "strict" })), metrics()];
    let router = Router::start(&config, &[]).await;
    router.ready().await;
    let url = vcsim.url.clone();
    let shown = spawn_blocking(move || {
        govc(&url, &["vm.power", "-off", "DC0_H0_VM0"]);
        govc(&url, &["vm.clone", "-vm", "DC0_H0_VM0", "-pool", "/DC0/host/DC0_H0/Resources", "-on=true", "twin"]);
        govc(&url, &["vm.power", "-off", "twin"]);
        govc(&url, &["vm.destroy", "twin"]);
        govc(&url, &["vm.power", "-on", "DC0_H0_VM0"]);
        govc(&url, &["events", "-n", "100", "-l"])
    });
    // [time] [category] [key] [class] message
    let mut expected: BTreeMap<i64, (String, String)> = BTreeMap::new();
    for line in shown.await.unwrap().lines() {
        let mut parts = line.splitn(5, "] ").map(|part| part.trim_start_matches('['));
        let (Some(key), Some(class), Some(message)) = (parts.nth(2), parts.next(), parts.next()) else { continue };
        if topics.split(',').any(|topic| topic == class) {
            expected.insert(key.parse().unwrap(), (class.to_owned(), message.to_owned()));
        }
    }
    gateway
        .wait_for(|state| {
            state
                .calls_of("vms")
                .iter()
                .any(|call| call.subject() == "VmPoweredOnEvent" && data(&call.body)["Vm"]["Name"] == "DC0_H0_VM0")
        })
        .await;
    router.stop().await;
    let arrived: BTreeMap<i64, (String, String)> = gateway.read(|state| {
        let of = |body: &[u8]| {
            (data(body)["Key"].as_i64().unwrap(), data(body)["FullFormattedMessage"].as_str().unwrap().to_owned())
        };
        state.calls_of("vms").iter().map(|call| (of(&call.body).0, (call.subject(), of(&call.body).1))).collect()
    });
    let first = *arrived.keys().next().unwrap();
    expected.retain(|key, _| *key >= first);
    assert!(arrived.len() >= 8, "{arrived:?}");
    assert_eq!(arrived, expected);
}

#[tokio::test]
async fn whatever_is_killed_nothing_is_lost_that_vcsim_still_has() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut vcsim = Vcsim::start(&[]);
    let gateway = Gateway::start([Function::subscribed("echo", "GeneralUserEvent")]).await;
    let config = [stream(&vcsim.url), processor(&gateway, &json!({})), metrics()];
    let router = Router::start(&config, &[]).await;
    router.ready().await;

    let delivered = |gateway: &Gateway| -> BTreeSet<String> {
        let message = |body: &[u8]| data(body)["Message"].as_str().unwrap_or_default().to_owned();
        gateway.read(|state| state.calls_of("echo").iter().map(|call| message(&call.body)).collect())
    };
    let all_arrive = async |must: &BTreeSet<String>| {
        let mut seen = 0;
        let mut missing: BTreeSet<String> = must.clone();
        gateway
            .wait_for(|state| {
                let calls = state.calls_of("echo");
                for call in calls.iter().skip(seen) {
                    missing.remove(data(&call.body)["Message"].as_str().unwrap_or_default());
                }
                seen = calls.len();
                missing.is_empty()
            })
            .await;
    };

    let mut must = BTreeSet::new();
    let mut gateway_kills = 0;
    for round in 0..8 {
        let (kill_vcenter, end_sessions, kill_gateway) = (rng.bool(), rng.bool(), rng.bool());
        let mut client = SoapClient::login(&vcsim.url).await.unwrap();
        for number in 0..rng.usize(1..150) {
            let message = format!("{round}-{number}");
            client.post_of(&format!("vm-{}", number % 5), &message).await.unwrap();
            must.insert(message);
        }
        // At any moment: of the delivery as well as of the reading.
        tokio::time::sleep(Duration::from_millis(rng.u64(0..80))).await;
        if kill_gateway {
            gateway.kill().await;
            gateway_kills += 1;
        }
        if end_sessions {
            let sessions = govc_json(&vcsim.url, &["session.ls", "-json"]).await;
            for session in sessions["sessionList"].as_array().unwrap() {
                if session["userAgent"].as_str().unwrap_or_default().starts_with("vmware-event-router/") {
                    let (url, key) = (vcsim.url.clone(), session["key"].as_str().unwrap().to_owned());
                    spawn_blocking(move || govc(&url, &["session.rm", &key])).await.unwrap();
                }
            }
        }
        if kill_vcenter {
            if !kill_gateway && rng.bool() {
                all_arrive(&must).await;
            }
            vcsim = spawn_blocking(move || {
                vcsim.restart();
                vcsim
            })
            .await
            .unwrap();
            // What the router had not read is gone with the simulator.
            must = delivered(&gateway);
        }
        if kill_gateway {
            tokio::time::sleep(Duration::from_millis(rng.u64(0..500))).await;
            gateway.restart().await;
        }
    }
    let mut client = SoapClient::login(&vcsim.url).await.unwrap();
    client.post("the end").await.unwrap();
    must.insert("the end".to_owned());
    all_arrive(&must).await;
    let log = router.stop().await;

    // A call whose answer was lost is repeated, with the same id; nothing else is.
    let mut ids: HashMap<String, u64> = HashMap::new();
    let mut messages: HashMap<String, BTreeSet<String>> = HashMap::new();
    gateway.read(|state| {
        for call in state.calls_of("echo") {
            *ids.entry(call.event_id()).or_default() += 1;
            let message = data(&call.body)["Message"].as_str().unwrap().to_owned();
            messages.entry(message).or_default().insert(call.event_id());
        }
    });
    assert!(messages.values().all(|ids| ids.len() == 1), "one event has one id");
    let repeats = ids.values().map(|count| count - 1).sum::<u64>();
    assert!(repeats <= gateway_kills * 64, "{repeats} repeats");
    assert!(!log.iter().any(|line| line.contains("panicked")), "{log:#?}");
}

#[tokio::test]
async fn a_dead_function_delays_no_other_and_gets_its_events_when_it_is_back() {
    let vcsim = Vcsim::start(&[]);
    let functions = [
        Function::subscribed("well", "GeneralUserEvent"),
        Function::subscribed("dead", "GeneralUserEvent").first(6, Answer::status(503), Answer::ok()),
    ];
    let gateway = Gateway::start(functions).await;
    let config = [stream(&vcsim.url), processor(&gateway, &json!({})), metrics()];
    let mut router = Router::start(&config, &[]).await;
    router.ready().await;
    let mut client = SoapClient::login(&vcsim.url).await.unwrap();
    for number in 0..200 {
        client.post_of("vm-1", &format!("{number}")).await.unwrap();
    }
    gateway.wait_for_calls("well", 200).await;
    assert!(gateway.read(|state| state.count("dead")) <= 6, "the dead one has not answered yet");
    router.logged("not answering: its events wait, the others go on").await;
    gateway.wait_for_calls("dead", 6 + 200).await;
    let log = router.stop().await;
    assert_eq!(log.iter().filter(|line| line.contains("not answering")).count(), 1, "told once: {log:#?}");
    let order = |state: &State| -> Vec<String> {
        let served = state.calls_of("dead").into_iter().skip(6);
        served.map(|call| data(&call.body)["Message"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(gateway.read(order), (0..200).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_quiet_router_is_quiet_and_ends_cleanly_on_both_signals() {
    for signal in ["TERM", "INT"] {
        let vcsim = Vcsim::start(&[]);
        let gateway = Gateway::start([Function::subscribed("echo", "GeneralUserEvent")]).await;
        let config = [stream(&vcsim.url), processor(&gateway, &json!({})), metrics()];
        let router = Router::start(&config, &[]).await;
        router.ready().await;
        let before = router.log().len();
        let mut client = SoapClient::login(&vcsim.url).await.unwrap();
        for number in 0..100 {
            client.post(&format!("{number}")).await.unwrap();
        }
        gateway.wait_for_calls("echo", 100).await;
        assert_eq!(router.log().len(), before, "{:#?}", router.log());
        router.signal(signal);
        let (status, log) = router.ended().await;
        assert_eq!(status.code(), Some(0), "{log:#?}");
        let sessions = govc_json(&vcsim.url, &["session.ls", "-json"]).await.to_string();
        assert!(!sessions.contains("vmware-event-router/"), "logged out: {sessions}");
    }
}

#[tokio::test]
async fn verbose_tells_what_becomes_of_each_event() {
    let vcsim = Vcsim::start(&[]);
    let gateway = Gateway::start([Function::subscribed("echo", "GeneralUserEvent")]).await;
    let config = [stream(&vcsim.url), processor(&gateway, &json!({})), metrics()];
    let mut router = Router::start(&config, &["-verbose"]).await;
    router.ready().await;
    SoapClient::login(&vcsim.url).await.unwrap().post("seen").await.unwrap();
    gateway.wait_for_calls("echo", 1).await;
    let id = gateway.read(|state| state.calls_of("echo")[0].event_id());
    router.logged("\"delivered\"").await;
    let log = router.stop().await;
    let told: Vec<&String> = log.iter().filter(|line| line.contains(&id)).collect();
    assert!(told.len() >= 2, "read and delivered: {told:#?}");
    assert!(!log.iter().any(|line| line.contains(crate::support::vcsim::PASSWORD)), "a secret is never told");
}

#[test]
fn an_address_that_is_taken_is_told_and_ends_the_router() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut metrics = metrics();
    metrics["address"] = json!(address);
    let url = url::Url::parse("https://127.0.0.1:1/sdk").unwrap();
    let gateway = json!({
        "type": "processor", "provider": "openfaas", "address": "http://127.0.0.1:1",
        "auth": { "method": "basic_auth", "secret": { "username": "a", "password": "b" } },
    });
    let output = router::run(&[], &[stream(&url), gateway, metrics]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(&address) && error.contains("free the address"), "{error}");
}
