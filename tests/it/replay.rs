//! Replays in trouble: the router is killed, functions refuse or are down, and what is to be replayed is gone.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::json;

use crate::support::gateway::{Answer, Function, Gateway};
use crate::support::router::{
    Router, ask, ask_until, metrics, metrics_at_a_port, named, no_replays, processor, stream,
};
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
    no_replays(&folder, &config).await;
    let all = EVENTS + KILLS * 100;
    gateway.wait_for(|state| state.events_of("f").len() as u64 == all).await;
    router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"] == 0).await;
    let counts = counts(&gateway, "f");
    let twice = counts.values().filter(|count| **count >= 2).count() as u64;
    assert!(twice >= EVENTS, "{twice} of {EVENTS} came again");
    let calls: usize = counts.values().sum();
    let repeats = calls - (EVENTS + all) as usize;
    assert!(repeats <= KILLS as usize * REPEATS, "{repeats} calls too many");
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
        let mut config = vec![stream(&simulated.url), named(processor(&gateway, &json!({})), "p"), metrics_at_a_port()];
        if memory {
            config.push(json!({ "type": "journal", "provider": "memory" }));
        }
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
        let list = ask_until(&folder, &config, &["replay", "-list"], |list| !list.contains(&moody)).await;
        assert!(list.contains(&down), "it waits: {list}");
        simulated.handle.make(ON, 1).unwrap();
        gateway.wait_for_calls("well", 21).await;
        // The replay's are the processor's own.
        let of = ["dead-letters", "list", "--processor", "p", "--target", "moody"];
        let list = ask_until(&folder, &config, &of, |list| list.lines().count() == 21).await;
        assert!(list.lines().all(|line| line.contains("once is enough")), "{list}");
        gateway.change(|state| state.deploy(subscribed("moody")));
        let (well, text) = ask(&folder, &config, &["dead-letters", "retry", "-all"]).await;
        assert!(well && text.lines().all(|line| line.ends_with(" delivered")), "{text}");
        assert!(counts(&gateway, "moody").values().all(|count| *count >= 2));

        gateway.change(|state| state.deploy(subscribed("down")));
        no_replays(&folder, &config).await;
        gateway.wait_for(|state| state.events_of("down").len() == 21).await;
        assert_eq!(counts(&gateway, "well").values().sum::<usize>(), 21, "it was replayed for others alone");
        router.stop().await;
    }
    simulated.stop().await;
}

#[tokio::test]
async fn what_is_let_go_is_not_replayed_and_that_is_said() {
    let simulated = Simulated::start(quiet()).await;
    for memory in [false, true] {
        let refuses = Function::subscribed("refuses", "VmPoweredOffEvent").always(Answer::text(422, "not at all"));
        let gateway = Gateway::start([Function::subscribed("f", ON), refuses]).await;
        // Less room than there are events, and small files.
        let events: u64 = if memory { 5_000 } else { 20_000 };
        let options = json!({ "segment_bytes": "64KiB", "max_bytes": "16MiB" });
        let journal = match memory {
            false => json!({ "type": "journal", "provider": "embedded", "options": options }),
            true => json!({ "type": "journal", "provider": "memory" }),
        };
        let processor = named(processor(&gateway, &json!({})), "p");
        let config = [stream(&simulated.url), processor, metrics_at_a_port(), journal];
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let router = Router::start_in(&folder, &config, &[], &[]).await;
        router.ready().await;
        simulated.handle.make("VmPoweredOffEvent", 1).unwrap();
        gateway.wait_for_calls("refuses", 1).await;
        simulated.handle.make(ON, events).unwrap();
        gateway.wait_for_calls("f", events).await;
        let (first, refused) =
            gateway.read(|state| ["f", "refuses"].map(|name| state.calls_of(name)[0].event_id()).into());
        router
            .stats_when(|stats| {
                let journal = &stats["vmware.event.router.journal"];
                journal["undelivered"] == 0 && journal["events"].as_u64() < Some(events)
            })
            .await;

        let (well, text) = ask(&folder, &config, &["replay", "-processor", "p", "-from", "1", "-to", "5"]).await;
        assert!(!well && text.contains("there is no event to replay: the journal has positions "), "{text}");
        let (well, text) = ask(&folder, &config, &["explain", &first]).await;
        assert!(!well && text.contains("the journal has "), "{text}");
        // What is left of it is its dead letter.
        let (well, text) = ask(&folder, &config, &["explain", &refused]).await;
        let told = "only dead letters are known\n\np\n  refuses  dead letter ";
        assert!(well && text.contains("is not in the journal any more") && text.contains(told), "{text}");
        let (well, _) = ask(&folder, &config, &["dead-letters", "discard", "-all"]).await;
        let (known, text) = ask(&folder, &config, &["explain", &refused]).await;
        assert!(well && !known && text.contains("no event has the id "), "{text}");

        // Who asks for what is gone gets the rest, and is told; who asks for all there is need not be.
        let (well, text) = ask(&folder, &config, &["tail", "-from", "1", "-no-follow"]).await;
        let (of_events, others): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with('{'));
        let kept = of_events.len() as u64;
        assert!(well && kept > 0 && kept < events, "{kept}");
        assert!(others.len() == 1 && others[0].contains("some events were let go before they could be printed"));
        let gone = "the journal has nothing before position ";
        let all = ["replay", "-processor", "p", "-dry-run"];
        for (from, late) in [(&[][..], false), (&["-from", "1"], true), (&["-from", "2020-01-01T00:00:00Z"], true)] {
            let (well, text) = ask(&folder, &config, &[&all[..], from].concat()).await;
            assert!(well && text.contains(&format!("{kept}  f\n")), "{text}");
            assert_eq!(text.matches(gone).count(), usize::from(late), "{text}");
        }
        let (well, text) = ask(&folder, &config, &["replay", "-processor", "p", "-from", "1"]).await;
        assert!(well && text.contains(gone) && text.contains("  p delivers positions "), "{text}");
        no_replays(&folder, &config).await;
        gateway.wait_for_calls("f", events + kept).await;
        let counts = counts(&gateway, "f");
        assert_eq!(counts.values().filter(|count| **count == 2).count() as u64, kept);
        assert_eq!(counts.values().sum::<usize>() as u64, events + kept);
        router.stop().await;
    }
    simulated.stop().await;
}

#[tokio::test]
async fn a_replay_waits_for_a_gateway_that_is_away() {
    let simulated = Simulated::start(quiet()).await;
    for memory in [false, true] {
        let gateway = Gateway::start([Function::subscribed("f", ON), Function::subscribed("g", ON)]).await;
        let mut config = vec![stream(&simulated.url), named(processor(&gateway, &json!({})), "p"), metrics_at_a_port()];
        if memory {
            config.push(json!({ "type": "journal", "provider": "memory" }));
        }
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut router = Router::start_in(&folder, &config, &[], &[]).await;
        router.ready().await;
        simulated.handle.make(ON, 50).unwrap();
        for function in ["f", "g"] {
            gateway.wait_for_calls(function, 50).await;
        }
        let ask = async |args: &[&str]| ask(&folder, &config, args).await;
        let only_f = ["replay", "-processor", "p", "-target", "f"];
        let counted = ask(&[&only_f[..], &["-dry-run"]].concat()).await;
        assert_eq!(counted, (true, "50  f\n50 events would be sent\n".to_owned()));
        let (well, text) = ask(&[&only_f[..], &["-pattern", "{"]].concat()).await;
        assert!(!well && text.contains("the pattern is not understood"), "{text}");

        gateway.kill().await;
        let (well, text) = ask(&only_f).await;
        let stays = text.split("  ").next().unwrap().to_owned();
        assert!(well, "{text}");
        let (_, text) = ask(&["replay", "-processor", "p", "-target", "g"]).await;
        let ends = text.split("  ").next().unwrap().to_owned();
        let (_, list) = ask(&["replay", "-list"]).await;
        assert!(list.contains(&stays) && list.contains(&ends), "{list}");
        let (well, text) = ask(&["replay", "-cancel", &ends]).await;
        assert!(well, "{text}");
        let list = ask_until(&folder, &config, &["replay", "-list"], |list| !list.contains(&ends)).await;
        assert!(list.starts_with(&format!("{stays}  p  only f  ")), "{list}");
        // Its processor is not ready for a replay, either.
        if !memory {
            router.stop().await;
            router = Router::start_in(&folder, &config, &[], &[]).await;
            router.logged("a replay goes on").await;
            let (_, list) = ask(&["replay", "-list"]).await;
            assert!(list.starts_with(&format!("{stays}  p  only f  ")) && !list.contains(&ends), "{list}");
        }
        gateway.restart().await;
        no_replays(&folder, &config).await;
        simulated.handle.make(ON, 1).unwrap();
        gateway.wait_for_calls("g", 51).await;
        gateway.wait_for_calls("f", 101).await;
        assert!(counts(&gateway, "g").values().all(|count| *count == 1), "what is cancelled is not sent");
        let counts = counts(&gateway, "f");
        assert_eq!(counts.values().filter(|count| **count == 2).count(), 50, "{counts:?}");
        router.stop().await;
    }
    simulated.stop().await;
}
