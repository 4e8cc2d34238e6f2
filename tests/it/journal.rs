//! The journal in a folder, as operators know it: what waits survives the process, what is given up can be sent again,
//! and two routers do not share one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::gateway::{Answer, Function, Gateway};
use crate::support::router::{Router, ask, metrics, named, processor, stream};
use crate::support::simulator::{Simulated, quiet};

fn appended(stats: &Value) -> u64 {
    stats["vmware.event.router.journal"]["appended"].as_u64().unwrap()
}

/// Each function's calls, by event.
fn times(gateway: &Gateway, function: &str) -> BTreeMap<String, u32> {
    gateway.read(|state| {
        state.calls_of(function).into_iter().fold(BTreeMap::new(), |mut times, call| {
            *times.entry(call.event_id()).or_default() += 1;
            times
        })
    })
}

#[tokio::test]
async fn what_waits_survives_the_process() {
    const EVENTS: u64 = 3_000;
    let simulated = Simulated::start(quiet()).await;
    let dead = Function::subscribed("f", "VmPoweredOnEvent").always(Answer::status(503));
    let gateway = Gateway::start([dead, Function::subscribed("well", "VmPoweredOnEvent")]).await;
    let config = [stream(&simulated.url), processor(&gateway, &json!({})), metrics()];
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let router = Router::start_in(&folder, &config, &[], &[]).await;
    router.ready().await;
    simulated.handle.make("VmPoweredOnEvent", EVENTS).unwrap();
    router.stats_when(|stats| appended(stats) >= EVENTS).await;
    gateway.wait_for_calls("well", EVENTS).await;
    router.kill();
    simulated.stop().await;

    // vCenter is gone, and so is the process: all that there is is the folder.
    gateway.change(|state| state.deploy(Function::subscribed("f", "VmPoweredOnEvent")));
    let tried = times(&gateway, "f");
    let router = Router::start_in(&folder, &config, &[], &[]).await;
    gateway
        .wait_for(|state| state.count("f") >= EVENTS + tried.values().map(|tries| u64::from(*tries)).sum::<u64>())
        .await;
    let undelivered = |stats: &Value| stats["vmware.event.router.journal"]["undelivered"] == 0;
    router.stats_when(undelivered).await;
    router.stop().await;
    let came = times(&gateway, "f");
    assert_eq!(came.len() as u64, EVENTS);
    for (id, times) in &came {
        assert_eq!(*times, 1 + tried.get(id).copied().unwrap_or(0), "{id}: once after the crash");
    }
    let well = times(&gateway, "well");
    let again = well.values().filter(|times| **times > 1).count();
    assert!(well.len() as u64 == EVENTS && again <= 256, "{again}: about what was under way");
}

#[tokio::test]
async fn what_is_given_up_can_be_looked_at_and_sent_again() {
    let simulated = Simulated::start(quiet()).await;
    let refuses = || Function::subscribed("f", "VmPoweredOnEvent").always(Answer::text(422, "not like this"));
    let gateway = Gateway::start([refuses(), Function::subscribed("well", "VmPoweredOnEvent")]).await;
    let config = [stream(&simulated.url), processor(&gateway, &json!({})), metrics()];
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let router = Router::start_in(&folder, &config, &[], &[]).await;
    router.ready().await;
    simulated.handle.make("VmPoweredOnEvent", 600).unwrap();
    router.stats_when(|stats| stats["vmware.event.router.journal"]["dead_letters"] == 600).await;

    let (well, list) = ask(&folder, &config, &["dead-letters", "list"]).await;
    let lines: Vec<_> = list.lines().collect();
    assert!(well && lines.len() == 600, "{list}");
    let id = lines[0].split("  ").next().unwrap();
    let name = format!("openfaas@{}", gateway.url().trim_end_matches('/'));
    for part in ["  f  ", "  VmPoweredOnEvent  ", "  422 ", "not like this", "  1 attempt  ", &name] {
        assert!(lines[0].contains(part), "{part:?} in {}", lines[0]);
    }
    let (_, none) = ask(&folder, &config, &["dead-letters", "list", "-target", "well"]).await;
    assert_eq!(none, "");
    let (_, json) = ask(&folder, &config, &["dead-letters", "list", "-json", "-target", "f"]).await;
    let first: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((&first["id"], &first["attempts"], &first["status"]), (&json!(id), &json!(1), &json!(422)));
    let (_, shown) = ask(&folder, &config, &["dead-letters", "show", id]).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["event"]["id"], first["event_id"]);
    assert_eq!(shown["event"]["subject"], "VmPoweredOnEvent");
    assert_eq!(shown["event"]["data"]["Vm"]["Vm"]["Type"], "VirtualMachine");

    // It fails again, and stays.
    let (well, text) = ask(&folder, &config, &["dead-letters", "retry", id, "1-none"]).await;
    assert!(!well && text.contains(&format!("{id} failed again: ")), "{text}");
    assert!(text.contains("1-none there is no such letter"), "{text}");

    // The function is mended.
    gateway.change(|state| state.deploy(Function::subscribed("f", "VmPoweredOnEvent")));
    let (well, text) = ask(&folder, &config, &["dead-letters", "retry", id]).await;
    assert!(well && text == format!("{id} delivered\n"), "{text}");
    let (well, text) = ask(&folder, &config, &["dead-letters", "discard", lines[1].split("  ").next().unwrap()]).await;
    assert!(well && text == "1 discarded\n", "{text}");
    router.stop().await;

    // The journal can be read without its router; only the router can send.
    let (well, list) = ask(&folder, &config, &["dead-letters", "list"]).await;
    assert!(well && list.lines().count() == 598, "{list}");
    let (well, text) = ask(&folder, &config, &["dead-letters", "retry", "-all"]).await;
    assert!(!well && text.contains("the router is not running"), "{text}");
    let router = Router::start_in(&folder, &config, &[], &[]).await;
    router.ready().await;
    let (well, text) = ask(&folder, &config, &["dead-letters", "retry", "-all", "-target", "f"]).await;
    assert!(well && text.lines().filter(|line| line.ends_with(" delivered")).count() == 598, "{text}");
    let (_, list) = ask(&folder, &config, &["dead-letters", "list"]).await;
    assert_eq!(list, "");
    router.stop().await;
    let came = times(&gateway, "f");
    assert_eq!(came.len(), 600);
    let more = came.values().filter(|times| **times > 2).count();
    assert!(more <= 1 && times(&gateway, "well").values().all(|times| *times == 1), "each once more");
    simulated.stop().await;
}

#[tokio::test]
async fn letters_in_memory_are_asked_for_at_the_metrics_server() {
    let simulated = Simulated::start(quiet()).await;
    let refuses = Function::subscribed("f", "VmPoweredOnEvent").always(Answer::status(400));
    let gateway = Gateway::start([refuses]).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let entry = |auth: Value| json!({ "type": "metrics", "provider": "internal", "address": format!("127.0.0.1:{port}"), "auth": auth });
    let basic = json!({ "method": "basic_auth", "secret": { "username": "op", "password": "secret" } });
    let memory = json!({ "type": "journal", "provider": "memory" });
    let config = |auth: Value| [stream(&simulated.url), processor(&gateway, &json!({})), entry(auth), memory.clone()];
    let folder = Arc::new(tempfile::tempdir().unwrap());
    for (auth, may) in [(basic, true), (json!({ "method": "none" }), false)] {
        let config = config(auth);
        let router = Router::start_in(&folder, &config, &[], &[]).await;
        router.ready().await;
        simulated.handle.make("VmPoweredOnEvent", 2).unwrap();
        if may {
            assert_eq!(router.get("/api/v1/dead-letters").await.status(), 401);
        }
        let two = async {
            loop {
                let (well, list) = ask(&folder, &config, &["dead-letters", "list"]).await;
                assert!(well, "{list}");
                if list.lines().count() == 2 {
                    return list;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), two).await.unwrap();
        let (well, text) = ask(&folder, &config, &["dead-letters", "discard", "-all"]).await;
        assert_eq!(well, may, "{text}");
        assert!(may || text.contains("needs basic_auth"), "{text}");
        router.stop().await;
    }
    let (well, text) = ask(&folder, &config(json!({ "method": "none" })), &["dead-letters", "list"]).await;
    assert!(!well && text.contains("cannot be reached at its metrics server"), "{text}");
    simulated.stop().await;
}

#[tokio::test]
async fn two_routers_do_not_share_a_journal() {
    let simulated = Simulated::start(quiet()).await;
    let gateway = Gateway::start([Function::subscribed("f", "VmPoweredOnEvent")]).await;
    let config = [stream(&simulated.url), processor(&gateway, &json!({})), metrics()];
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let first = Router::start_in(&folder, &config, &[], &[]).await;
    first.ready().await;
    let mut second = Router::start_in(&folder, &config, &[], &[]).await;
    second.logged("the journal cannot be opened").await;
    let line = second.log().into_iter().find(|line| line.contains("the journal cannot be opened")).unwrap();
    assert!(line.contains("is in use by process "), "{line}");
    assert_eq!(second.get("/healthz").await.status(), 200);
    let ready = second.get("/readyz").await;
    let reasons = String::from_utf8(ready.body().to_vec()).unwrap();
    assert!(ready.status() == 503 && reasons.contains("journal: ") && reasons.contains("in use by"), "{reasons}");
    first.stop().await;
    second.ready().await;
    simulated.handle.make("VmPoweredOnEvent", 10).unwrap();
    gateway.wait_for_calls("f", 10).await;
    second.stop().await;
    simulated.stop().await;
}

#[tokio::test]
async fn a_new_processor_begins_where_it_is_told_and_an_old_one_is_not_forgotten_by_itself() {
    let simulated = Simulated::start(quiet()).await;
    let gateway = || Gateway::start([Function::subscribed("f", "VmPoweredOnEvent")]);
    let (old, oldest, end) = (gateway().await, gateway().await, gateway().await);
    let named = |gateway: &Gateway, name: &str, options: Value| named(processor(gateway, &options), name);
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let config = [stream(&simulated.url), named(&old, "old", json!({})), metrics()];
    let router = Router::start_in(&folder, &config, &[], &[]).await;
    router.ready().await;
    simulated.handle.make("VmPoweredOnEvent", 10).unwrap();
    old.wait_for_calls("f", 10).await;
    router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"] == 0).await;
    router.stop().await;

    let config = [
        stream(&simulated.url),
        named(&oldest, "oldest", json!({ "begin": "oldest" })),
        named(&end, "end", json!({ "begin": "end" })),
        metrics(),
    ];
    let mut router = Router::start_in(&folder, &config, &[], &[]).await;
    router.ready().await;
    router.logged("the journal knows a processor that is not configured").await;
    simulated.handle.make("VmPoweredOnEvent", 5).unwrap();
    oldest.wait_for_calls("f", 15).await;
    end.wait_for_calls("f", 5).await;
    router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"] == 0).await;
    router.stop().await;
    assert_eq!((times(&oldest, "f").len(), times(&end, "f").len()), (15, 5));

    let (_, text) = ask(&folder, &config, &["check"]).await;
    assert!(text.contains("WARNING  it knows where the processor old was, which is not configured"), "{text}");
    let (well, text) = ask(&folder, &config, &["journal", "verify"]).await;
    let line = text.lines().find(|line| line.contains("processor  old")).unwrap();
    assert!(well && line.ends_with("dormant, since it is not configured"), "{text}");
    let (well, text) = ask(&folder, &config, &["journal", "forget", "end"]).await;
    assert!(!well && text.contains("end is configured"), "{text}");
    let (well, text) = ask(&folder, &config, &["journal", "rename", "old", "renamed"]).await;
    assert!(well && text == "the place of old is that of renamed now\n", "{text}");
    let (well, text) = ask(&folder, &config, &["journal", "forget", "old"]).await;
    assert!(!well && text.contains("knows nothing of old"), "{text}");

    // By its new name it goes on where it was.
    let config = [stream(&simulated.url), named(&old, "renamed", json!({})), metrics()];
    let router = Router::start_in(&folder, &config, &[], &[]).await;
    router.ready().await;
    old.wait_for_calls("f", 15).await;
    router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"] == 0).await;
    router.stop().await;
    assert!(times(&old, "f").len() == 15 && times(&old, "f").values().all(|times| *times == 1));
    let (well, text) = ask(&folder, &config, &["journal", "forget", "end"]).await;
    assert!(well && text == "the place of end is forgotten\n", "{text}");
    let (_, text) = ask(&folder, &config, &["journal", "verify"]).await;
    assert!(!text.contains("processor  end"), "{text}");
    simulated.stop().await;
}
