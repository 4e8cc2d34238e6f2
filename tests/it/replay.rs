//! Replays in trouble: the router is killed, functions refuse or are down, and what is to be replayed is gone.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::gateway::{Answer, Function, Gateway};
use crate::support::router::{Router, ask, metrics, processor, stream};
use crate::support::simulator::{Simulated, quiet};

const ON: &str = "VmPoweredOnEvent";

/// What a kill may repeat: what was under way, and what was answered a moment ago.
const REPEATS: usize = 256;

/// How often each event came.
fn counts(gateway: &Gateway, function: &str) -> HashMap<String, usize> {
    gateway.read(|state| {
        let mut counts = HashMap::new();
        for call in state.calls_of(function) {
            *counts.entry(call.event_id()).or_default() += 1;
        }
        counts
    })
}

/// Waits until no replay is under way. There is nothing to be told by.
async fn all_ended(folder: &TempDir, config: &[Value]) {
    loop {
        let (well, list) = ask(folder, config, &["replay", "-list"]).await;
        assert!(well, "{list}");
        if list.is_empty() {
            return;
        }
    }
}

fn named(mut entry: Value, name: &str) -> Value {
    entry["name"] = name.into();
    entry
}

#[tokio::test]
async fn a_replay_goes_on_however_often_the_router_is_killed() {
    const EVENTS: u64 = 3_000;
    const KILLS: u64 = 5;
    let simulated = Simulated::start(quiet()).await;
    let gateway = Gateway::start([Function::subscribed("f", ON)]).await;
    let config = [stream(&simulated.url), named(processor(&gateway, &json!({})), "p"), metrics()];
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut router = Router::start_in(&folder, &config, &[], &[]).await;
    router.ready().await;
    simulated.handle.make(ON, EVENTS).unwrap();
    gateway.wait_for_calls("f", EVENTS).await;
    router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"] == 0).await;
    assert!(counts(&gateway, "f").values().all(|count| *count == 1));

    let (well, text) = ask(&folder, &config, &["replay", "-processor", "p"]).await;
    assert!(well, "{text}");
    for kill in 1..=KILLS {
        // New events come meanwhile: nobody waits for the replay.
        simulated.handle.make(ON, 100).unwrap();
        gateway.wait_for_calls("f", EVENTS + kill * EVENTS / (KILLS + 2)).await;
        router.kill();
        router = Router::start_in(&folder, &config, &[], &[]).await;
        router.ready().await;
    }
    all_ended(&folder, &config).await;
    let all = EVENTS + KILLS * 100;
    gateway
        .wait_for(|state| {
            let calls = state.calls_of("f").into_iter().map(|call| call.event_id());
            calls.collect::<std::collections::HashSet<_>>().len() as u64 == all
        })
        .await;
    router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"] == 0).await;
    let counts = counts(&gateway, "f");
    let twice = counts.values().filter(|count| **count >= 2).count() as u64;
    assert!(twice >= EVENTS, "{twice} of {EVENTS} came again");
    let calls: usize = counts.values().sum();
    let repeats = calls - (EVENTS + all) as usize;
    assert!(repeats <= KILLS as usize * 2 * REPEATS, "{repeats} calls too many");
    for (kind, left) in [("replays", 0), ("places", 2)] {
        let path = folder.path().join("state").join(kind);
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), left, "{}", path.display());
    }
    let (well, text) = ask(&folder, &config, &["journal", "verify"]).await;
    assert!(well, "{text}");
    router.stop().await;
    simulated.stop().await;
}

#[tokio::test]
async fn what_a_replay_cannot_deliver_waits_or_is_a_dead_letter_of_the_processor() {
    let simulated = Simulated::start(quiet()).await;
    for memory in [false, true] {
        let subscribed = |name: &str| Function::subscribed(name, ON);
        let gateway = Gateway::start([subscribed("well"), subscribed("moody"), subscribed("down")]).await;
        let mut metrics = metrics();
        let mut config = vec![stream(&simulated.url), named(processor(&gateway, &json!({})), "p")];
        if memory {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            metrics["address"] = format!("127.0.0.1:{port}").into();
            // Nobody else may change anything.
            metrics["auth"] = json!({ "method": "basic_auth", "secret": { "username": "u", "password": "p" } });
            config.push(json!({ "type": "journal", "provider": "memory" }));
        }
        config.push(metrics);
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let router = Router::start_in(&folder, &config, &[], &[]).await;
        router.ready().await;
        simulated.handle.make(ON, 20).unwrap();
        for function in ["well", "moody", "down"] {
            gateway.wait_for_calls(function, 20).await;
        }
        gateway.change(|state| {
            state.deploy(subscribed("moody").always(Answer::text(422, "once is enough")));
            state.deploy(subscribed("down").always(Answer::status(503)));
        });

        // Two at once, each with its own targets; what is down holds up neither the other nor what is new.
        let start = async |target: &str| {
            let (well, text) = ask(&folder, &config, &["replay", "-processor", "p", "-target", target]).await;
            assert!(well, "{text}");
            text.split("  ").next().unwrap().to_owned()
        };
        let down = start("down").await;
        let moody = start("moody").await;
        gateway.wait_for_calls("moody", 40).await;
        gateway.wait_for_calls("down", 21).await;
        loop {
            let (_, list) = ask(&folder, &config, &["replay", "-list"]).await;
            assert!(list.contains(&down), "it waits: {list}");
            if !list.contains(&moody) {
                break;
            }
        }
        simulated.handle.make(ON, 1).unwrap();
        gateway.wait_for_calls("well", 21).await;
        // The replay's are the processor's own. There is nothing to be told by.
        let list = loop {
            let of = ["dead-letters", "list", "--processor", "p", "--target", "moody"];
            let (well, list) = ask(&folder, &config, &of).await;
            assert!(well, "{list}");
            if list.lines().count() == 21 {
                break list;
            }
        };
        assert!(list.lines().all(|line| line.contains("once is enough")), "{list}");
        gateway.change(|state| state.deploy(subscribed("moody")));
        let (well, text) = ask(&folder, &config, &["dead-letters", "retry", "-all"]).await;
        assert!(well && text.lines().all(|line| line.ends_with(" delivered")), "{text}");
        assert!(counts(&gateway, "moody").values().all(|count| *count >= 2));

        gateway.change(|state| state.deploy(subscribed("down")));
        all_ended(&folder, &config).await;
        gateway
            .wait_for(|state| {
                let calls = state.calls_of("down").into_iter().map(|call| call.event_id());
                calls.collect::<std::collections::HashSet<_>>().len() == 21
            })
            .await;
        assert_eq!(counts(&gateway, "well").values().sum::<usize>(), 21, "it was replayed for others alone");
        router.stop().await;
    }
    simulated.stop().await;
}

#[tokio::test]
async fn what_is_let_go_is_not_replayed_and_that_is_said() {
    let simulated = Simulated::start(quiet()).await;
    let gateway = Gateway::start([Function::subscribed("f", ON)]).await;
    // Less room than there are events, and small files.
    const EVENTS: u64 = 20_000;
    let options = json!({ "segment_bytes": "64KiB", "max_bytes": "16MiB" });
    let journal = json!({ "type": "journal", "provider": "embedded", "options": options });
    let config = [stream(&simulated.url), named(processor(&gateway, &json!({})), "p"), metrics(), journal];
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let router = Router::start_in(&folder, &config, &[], &[]).await;
    router.ready().await;
    simulated.handle.make(ON, EVENTS).unwrap();
    gateway.wait_for_calls("f", EVENTS).await;
    let first = gateway.read(|state| state.calls_of("f")[0].event_id());
    router
        .stats_when(|stats| {
            let journal = &stats["vmware.event.router.journal"];
            journal["undelivered"] == 0 && journal["events"].as_u64() < Some(EVENTS)
        })
        .await;

    let (well, text) = ask(&folder, &config, &["replay", "-processor", "p", "-from", "1", "-to", "5"]).await;
    assert!(!well && text.contains("there is no event to replay: the journal has positions "), "{text}");
    let (well, text) = ask(&folder, &config, &["explain", &first]).await;
    assert!(!well && text.contains("the journal has "), "{text}");
    let (well, text) = ask(&folder, &config, &["tail", "-from", "1", "-no-follow"]).await;
    let kept = text.lines().count() as u64;
    assert!(well && kept > 0 && kept < EVENTS, "{kept}");
    // All that there is, is replayed.
    let (well, text) = ask(&folder, &config, &["replay", "-processor", "p"]).await;
    assert!(well, "{text}");
    all_ended(&folder, &config).await;
    gateway.wait_for_calls("f", EVENTS + kept).await;
    let counts = counts(&gateway, "f");
    assert_eq!(counts.values().filter(|count| **count == 2).count() as u64, kept);
    assert_eq!(counts.values().sum::<usize>() as u64, EVENTS + kept);
    router.stop().await;
    simulated.stop().await;
}
