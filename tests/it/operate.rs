//! What an operator asks: what comes, what became of an event, and what a function says to one.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::gateway::{Answer, DEFAULT_NAMESPACE, Function, Gateway};
use crate::support::router::{Router, ask, command, metrics, metrics_at_a_port, named, no_replays, processor, stream};
use crate::support::simulator::{Simulated, quiet};

/// What explain says of this event: each processor's note, and its targets by name.
fn explained(json: &str) -> (Value, Value) {
    let explanation: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    let processor = explanation["processors"][0].clone();
    let targets = processor["targets"].as_array().unwrap().iter();
    let targets = targets.map(|target| (target["target"].as_str().unwrap().to_owned(), target.clone()));
    (processor["note"].clone(), Value::Object(targets.collect()))
}

#[tokio::test]
async fn what_became_of_an_event_is_explained_across_restarts() {
    let simulated = Simulated::start(quiet()).await;
    let subscribed = |name: &str| Function::subscribed(name, "VmPoweredOnEvent");
    let gateway = Gateway::start([
        subscribed("well"),
        subscribed("refuses").always(Answer::text(422, "not like this")),
        subscribed("down").always(Answer::status(503)),
    ])
    .await;
    let config = [stream(&simulated.url), processor(&gateway, &json!({})), metrics()];
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let router = Router::start_in(&folder, &config, &[], &[]).await;
    router.ready().await;
    simulated.handle.make("VmPoweredOnEvent", 1).unwrap();
    simulated.handle.make("VmPoweredOffEvent", 1).unwrap();
    router
        .stats_when(|stats| {
            let journal = &stats["vmware.event.router.journal"];
            journal["dead_letters"] == 1 && journal["appended"].as_u64() >= Some(2)
        })
        .await;
    gateway.wait_for_calls("down", 2).await;
    let id = gateway.read(|state| state.calls_of("well")[0].event_id());
    let check = async |when: &str, runs: bool| {
        let (well, json) = ask(&folder, &config, &["explain", &id, "-json"]).await;
        assert!(well, "{when}: {json}");
        let (note, targets) = explained(&json);
        let well = &targets["well"];
        assert_eq!((&well["state"], &well["attempts"], &well["status"]), (&json!("delivered"), &json!(1), &json!(200)));
        let refuses = &targets["refuses"];
        assert_eq!((&refuses["state"], &refuses["status"]), (&json!("dead_letter"), &json!(422)), "{when}");
        assert!(refuses["reason"].as_str().unwrap().contains("not like this"), "{when}: {refuses}");
        let (_, letters) = ask(&folder, &config, &["dead-letters", "list"]).await;
        assert!(letters.starts_with(refuses["letter"].as_str().unwrap()), "{when}: {letters}");
        if runs {
            let down = &targets["down"];
            assert_eq!((&down["state"], &down["status"], &note), (&json!("owed"), &json!(503), &Value::Null), "{when}");
            assert!(down["reason"].as_str().unwrap().contains("503"), "{when}: {down}");
        } else {
            let note = note.as_str().unwrap();
            assert!(note.contains("when the router runs again") && note.ends_with(" down"), "{when}: {note}");
        }
        let (_, text) = ask(&folder, &config, &["explain", &id]).await;
        assert!(text.starts_with(&format!("VmPoweredOnEvent {id}\n")), "{text}");
        assert!(text.contains("\n  well  delivered, status 200, 1 attempt, at 20"), "{text}");
        assert!(text.contains("\n  refuses  dead letter "), "{text}");
    };
    check("while it runs", true).await;
    router.stop().await;
    check("when it has stopped", false).await;

    let router = Router::start_in(&folder, &config, &[], &[]).await;
    let before = gateway.read(|state| state.count("down"));
    gateway.wait_for_calls("down", before + 1).await;
    router.ready().await;
    check("after a restart", true).await;

    let (well, all) = ask(&folder, &config, &["tail", "-from", "1", "-no-follow"]).await;
    let off = all.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let off = off.filter(|event| event["subject"] == "VmPoweredOffEvent").collect::<Vec<_>>().pop().unwrap();
    let (_, json) = ask(&folder, &config, &["explain", off["id"].as_str().unwrap(), "-json"]).await;
    assert_eq!((well, explained(&json)), (true, (json!("no target wanted it"), json!({}))));
    let (well, text) = ask(&folder, &config, &["explain", "nothing of this kind"]).await;
    assert!(
        !well
            && text.contains(
                "no event has the id nothing of this kind, and no dead letter: the journal has events from position 1"
            ),
        "{text}"
    );

    // A letter that is sent again, and one that is let go.
    gateway.change(|state| state.deploy(subscribed("refuses")));
    let (_, text) = ask(&folder, &config, &["dead-letters", "retry", "-all"]).await;
    assert!(text.ends_with(" delivered\n"), "{text}");
    let (_, json) = ask(&folder, &config, &["explain", &id, "-json"]).await;
    let refuses = explained(&json).1["refuses"].clone();
    assert_eq!((&refuses["state"], &refuses["attempts"]), (&json!("delivered"), &json!(2)), "{json}");
    gateway.change(|state| state.deploy(subscribed("down").always(Answer::status(422))));
    router.stats_when(|stats| stats["vmware.event.router.journal"]["dead_letters"] == 1).await;
    ask(&folder, &config, &["dead-letters", "discard", "-all"]).await;
    let (_, json) = ask(&folder, &config, &["explain", &id, "-json"]).await;
    assert_eq!(explained(&json).1["down"]["state"], "discarded", "{json}");
    router.stop().await;
    simulated.stop().await;
}

/// It takes the minute that a gateway has to think better of it.
#[tokio::test]
async fn what_was_owed_to_a_function_that_is_gone_is_explained() {
    let simulated = Simulated::start(quiet()).await;
    let subscribed = |name: &str| Function::subscribed(name, "VmPoweredOnEvent");
    let gateway = Gateway::start([subscribed("well"), subscribed("leaves").always(Answer::status(503))]).await;
    let config = [stream(&simulated.url), processor(&gateway, &json!({})), metrics()];
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let router = Router::start_in(&folder, &config, &[], &[]).await;
    router.ready().await;
    simulated.handle.make("VmPoweredOnEvent", 1).unwrap();
    gateway.wait_for_calls("well", 1).await;
    gateway.wait_for_calls("leaves", 1).await;
    gateway.change(|state| state.remove("leaves", DEFAULT_NAMESPACE));
    let id = gateway.read(|state| state.calls_of("well")[0].event_id());
    let state = async || {
        let (well, json) = ask(&folder, &config, &["explain", &id, "-json"]).await;
        assert!(well, "{json}");
        let targets = explained(&json).1;
        assert_eq!(targets["well"]["state"], "delivered", "{json}");
        targets["leaves"]["state"].clone()
    };
    let gone = async {
        while state().await == "owed" {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(150), gone).await.unwrap();
    assert_eq!(state().await, "unsubscribed");
    router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"] == 0).await;
    router.stop().await;
    assert_eq!(state().await, "unsubscribed", "when it has stopped");
    let (_, text) = ask(&folder, &config, &["explain", &id]).await;
    assert!(text.contains("\n  leaves  not delivered, its target is gone"), "{text}");
    simulated.stop().await;
}

#[tokio::test]
async fn an_event_is_explained_from_before_anybody_wants_it_to_when_all_have_it() {
    let simulated = Simulated::start(quiet()).await;
    for memory in [false, true] {
        let subscribed = |name: &str| Function::subscribed(name, "VmPoweredOnEvent");
        let trouble = || subscribed("tries").always(Answer::status(500));
        let gateway = Gateway::start([
            subscribed("well"),
            trouble(),
            subscribed("refuses").always(Answer::text(422, "not like this")),
            subscribed("down").always(Answer::status(503)),
        ])
        .await;
        let mut config = vec![stream(&simulated.url), processor(&gateway, &json!({ "max_attempts": "100000" }))];
        config.push(if memory { metrics_at_a_port() } else { metrics() });
        if memory {
            config.push(json!({ "type": "journal", "provider": "memory" }));
        }
        let folder = Arc::new(tempfile::tempdir().unwrap());
        gateway.kill().await;
        let router = Router::start_in(&folder, &config, &[], &[]).await;
        // The stream is there, the functions are not known.
        let told = async |args: &[&str], enough: &dyn Fn(&str) -> bool| {
            loop {
                let (well, text) = ask(&folder, &config, args).await;
                if enough(&text) {
                    return (well, text);
                }
            }
        };
        let unready = async || String::from_utf8(router.get("/readyz").await.body().to_vec()).unwrap();
        while unready().await.contains("stream ") {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        simulated.handle.make("VmPoweredOnEvent", 1).unwrap();
        let on = |text: &str| text.lines().any(|line| line.contains("VmPoweredOnEvent"));
        let (_, text) = told(&["tail", "-from", "1", "-no-follow"], &on).await;
        let line = text.lines().find(|line| on(line)).unwrap();
        let id = serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
        let (well, text) = ask(&folder, &config, &["explain", &id]).await;
        assert!(well && text.contains("\n  waits its turn: the processor is not delivering now"), "{text}");

        gateway.restart().await;
        let state = |targets: &Value, target: &str| targets[target]["state"].as_str().unwrap_or_default().to_owned();
        let all = |text: &str| {
            let targets = explained(text).1;
            ["well", "tries", "refuses", "down"].map(|target| state(&targets, target))
                == ["delivered", "owed", "dead_letter", "owed"]
                && targets["tries"]["attempts"].as_u64() > Some(1)
                && targets["down"]["status"] == 503
        };
        let (_, json) = told(&["explain", &id, "-json"], &all).await;
        let (_, targets) = explained(&json);
        assert_eq!(targets["tries"]["status"], 500, "{json}");
        assert!(targets["tries"]["reason"].as_str().unwrap().contains("500"), "{json}");
        let (well, text) = ask(&folder, &config, &["explain", "nothing"]).await;
        assert!(!well && text.contains("no event has the id nothing"), "{text}");

        gateway.change(|state| {
            state.deploy(subscribed("tries"));
            state.remove("down", crate::support::gateway::DEFAULT_NAMESPACE);
        });
        let delivered = |text: &str| state(&explained(text).1, "tries") == "delivered";
        let (_, json) = told(&["explain", &id, "-json"], &delivered).await;
        let (_, targets) = explained(&json);
        assert!(targets["tries"]["attempts"].as_u64() > Some(2), "{json}");
        assert_eq!(state(&targets, "down"), "owed", "it may come back: {json}");
        router.stop().await;
    }
    simulated.stop().await;
}

#[tokio::test]
async fn an_event_that_its_target_is_far_behind_of_is_explained() {
    // More than are held for a function that does not answer.
    const EVENTS: u64 = 300;
    let simulated = Simulated::start(quiet()).await;
    for memory in [false, true] {
        let subscribed = |name: &str| Function::subscribed(name, "VmPoweredOnEvent");
        let gateway = Gateway::start([subscribed("well"), subscribed("down").always(Answer::status(503))]).await;
        let mut config = vec![stream(&simulated.url), processor(&gateway, &json!({})), metrics_at_a_port()];
        if memory {
            config.push(json!({ "type": "journal", "provider": "memory" }));
        }
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let mut router = Router::start_in(&folder, &config, &[], &[]).await;
        router.ready().await;
        simulated.handle.make("VmPoweredOnEvent", EVENTS).unwrap();
        gateway.wait_for_calls("well", EVENTS).await;
        let (well, text) = ask(&folder, &config, &["tail", "-from", "1", "-no-follow"]).await;
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!((well, &last["subject"]), (true, &json!("VmPoweredOnEvent")));
        let id = last["id"].as_str().unwrap();
        // There is nothing to be told by.
        let told = async |enough: &dyn Fn(&Value) -> bool| {
            loop {
                let (well, json) = ask(&folder, &config, &["explain", id, "-json"]).await;
                assert!(well, "{json}");
                let (note, targets) = explained(&json);
                if enough(&targets["down"]) {
                    assert_eq!((&targets["well"]["state"], note), (&json!("delivered"), Value::Null), "{json}");
                    return;
                }
            }
        };
        let behind = |down: &Value| {
            let reason = down["reason"].as_str().unwrap_or_default();
            down["state"] == "owed" && reason.starts_with("waits until its target, which is behind, has come ")
        };
        told(&behind).await;
        if !memory {
            router.stop().await;
            let (_, text) = ask(&folder, &config, &["explain", id]).await;
            let rest = "\n  targets that are behind get it when the router runs again, if they want it: down\n";
            assert!(text.contains("\n  well  delivered, status 200, ") && text.ends_with(rest), "{text}");
            router = Router::start_in(&folder, &config, &[], &[]).await;
            router.ready().await;
            told(&behind).await;
            router.kill();
            router = Router::start_in(&folder, &config, &[], &[]).await;
            router.ready().await;
            told(&behind).await;
        }
        gateway.change(|state| state.deploy(subscribed("down")));
        told(&|down| down["state"] == "delivered").await;
        router.stop().await;
    }
    simulated.stop().await;
}

#[tokio::test]
async fn events_are_printed_as_they_come_and_as_they_were() {
    let simulated = Simulated::start(quiet()).await;
    let subjects = "VmPoweredOnEvent,VmPoweredOffEvent";
    let gateway = Gateway::start([Function::subscribed("f", subjects)]).await;
    let mut stream = stream(&simulated.url);
    stream["name"] = "vc-1".into();
    for memory in [false, true] {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut metrics = metrics();
        metrics["address"] = format!("127.0.0.1:{port}").into();
        let mut config = vec![stream.clone(), processor(&gateway, &json!({})), metrics];
        if memory {
            config.push(json!({ "type": "journal", "provider": "memory" }));
        }
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let router = Router::start_in(&folder, &config, &[], &[]).await;
        router.ready().await;
        let pattern = r#"{"subject":["VmPoweredOffEvent"]}"#;
        let follow = |args: &[&str]| {
            let mut child =
                command(&folder, &config, &[]).arg("tail").args(args).stdout(Stdio::piped()).spawn().unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            (child, lines)
        };
        let before = gateway.read(|state| state.count("f"));
        // From the very beginning, so that it need not be waited for.
        let (mut all, mut all_lines) = follow(&["-from", "1"]);
        let (mut off, mut off_lines) = follow(&["-from", "1", "-pattern", pattern, "-stream", "vc-1"]);
        for _ in 0..3 {
            simulated.handle.make("VmPoweredOnEvent", 2).unwrap();
            simulated.handle.make("VmPoweredOffEvent", 1).unwrap();
        }
        gateway.wait_for_calls("f", before + 9).await;
        let mut came: Vec<_> = gateway.read(|state| {
            let calls = &state.calls_of("f")[usize::try_from(before).unwrap()..];
            calls.iter().map(|call| String::from_utf8(call.body.to_vec()).unwrap()).collect()
        });
        came.sort();
        let (mut printed, some) = tokio::task::spawn_blocking(move || {
            let mut of_ours = (&mut all_lines).map(Result::unwrap).filter(|line| line.contains("VmPowered"));
            let printed: Vec<String> = of_ours.by_ref().take(9).collect();
            let some: Vec<String> = (&mut off_lines).map(Result::unwrap).take(3).collect();
            (printed, some)
        })
        .await
        .unwrap();
        printed.sort();
        assert!(printed == came, "byte for byte what functions get: {printed:#?} {came:#?}");
        assert!(some.iter().all(|line| came.contains(line) && line.contains("VmPoweredOffEvent")), "{some:?}");
        for child in [&mut all, &mut off] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let (well, text) = ask(&folder, &config, &["tail", "-no-follow", "-from", "1", "-pattern", pattern]).await;
        assert!(well && text.lines().count() == 3, "{text}");
        let (well, text) = ask(&folder, &config, &["tail", "-no-follow", "-from", "1", "-stream", "vc-2"]).await;
        assert_eq!((well, &*text), (true, ""));
        let (well, text) = ask(&folder, &config, &["tail", "-from", "2200-01-01T00:00:00Z", "-no-follow"]).await;
        assert_eq!((well, &*text), (true, ""));
        for (args, why) in [
            (["-pattern", "{"], "the pattern is not understood: "),
            (["-from", "yesterday"], "yesterday is neither a position nor a time such as "),
        ] {
            let (well, text) = ask(&folder, &config, &[&["tail"], &args[..]].concat()).await;
            assert!(!well && text.contains(why), "{text}");
        }
        router.stop().await;
        let (well, text) = ask(&folder, &config, &["tail", "-from", "1", "-pattern", pattern]).await;
        assert_eq!((well, text.lines().count() == 3), (!memory, !memory), "it ends with the journal: {text}");
    }
    simulated.stop().await;
}

#[tokio::test]
async fn one_event_is_sent_to_one_function() {
    let simulated = Simulated::start(quiet()).await;
    let gateway = Gateway::start([
        Function::subscribed("f", "VmPoweredOnEvent"),
        Function::subscribed("refuses", "VmPoweredOnEvent").always(Answer::text(422, "not like this")),
    ])
    .await;
    let config = [stream(&simulated.url), processor(&gateway, &json!({})), metrics()];
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let event = r#"{"specversion":"1.0","id":"sample-1","source":"https://vc/sdk","type":"t","subject":"VmPoweredOnEvent","data":{"Key":7}}"#;
    let file = folder.path().join("event.json");
    std::fs::write(&file, event).unwrap();
    let file = file.to_str().unwrap();
    let (well, text) = ask(&folder, &config, &["send", "-target", "f", file]).await;
    assert!(well && text.starts_with("f has it, status 200, after "), "{text}");
    let body = gateway.read(|state| state.calls_of("f")[0].body.clone());
    assert_eq!(body, event, "as it was written");
    let (well, text) = ask(&folder, &config, &["send", "-target", "refuses", file]).await;
    assert!(!well && text.contains("refuses refuses it") && text.contains("status 422: "), "{text}");
    let (well, text) = ask(&folder, &config, &["send", "-target", "none", file]).await;
    assert!(!well && text.contains("function none is not there"), "{text}");
    let (well, text) = ask(&folder, &config, &["send", "-target", "f", "-processor", "x", file]).await;
    assert!(!well && text.contains("there is no processor x; the configuration has openfaas@"), "{text}");
    std::fs::write(folder.path().join("event.json"), "{}").unwrap();
    let (well, text) = ask(&folder, &config, &["send", "-target", "f", file]).await;
    assert!(!well && text.contains("event.json: this is no CloudEvent: missing field `id`"), "{text}");
    assert!(!folder.path().join("state").exists(), "no journal is opened for it");
    simulated.stop().await;
}

#[tokio::test]
async fn a_part_of_the_journal_is_delivered_again() {
    let simulated = Simulated::start(quiet()).await;
    let both = "VmPoweredOnEvent,VmPoweredOffEvent";
    let gateway = Gateway::start([Function::subscribed("f", both), Function::subscribed("g", both)]).await;
    let config = [stream(&simulated.url), named(processor(&gateway, &json!({})), "p"), metrics()];
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let router = Router::start_in(&folder, &config, &[], &[]).await;
    router.ready().await;
    for _ in 0..10 {
        simulated.handle.make("VmPoweredOnEvent", 2).unwrap();
        simulated.handle.make("VmPoweredOffEvent", 1).unwrap();
    }
    gateway.wait_for_calls("f", 30).await;
    gateway.wait_for_calls("g", 30).await;
    let off = r#"{"subject":["VmPoweredOffEvent"]}"#;
    let replay = ["replay", "-processor", "p", "-pattern", off, "-target", "f"];
    let (well, text) = ask(&folder, &config, &[&replay[..], &["-dry-run"]].concat()).await;
    assert_eq!((well, &*text), (true, "10  f\n10 events would be sent\n"));
    let (well, text) = ask(&folder, &config, &["replay", "-processor", "p", "-dry-run"]).await;
    assert_eq!((well, &*text), (true, "30  f\n30  g\n30 events would be sent\n"));

    let (well, text) = ask(&folder, &config, &replay).await;
    assert!(well && text.contains("  p delivers positions 1 to "), "{text}");
    gateway.wait_for_calls("f", 40).await;
    no_replays(&folder, &config).await;
    let (again, subjects) = gateway.read(|state| {
        assert_eq!((state.count("f"), state.count("g")), (40, 30));
        let again = &state.calls_of("f")[30..];
        (again[0].event_id(), again.iter().map(|call| call.subject()).collect::<Vec<_>>())
    });
    assert!(subjects.iter().all(|subject| subject == "VmPoweredOffEvent"), "{subjects:?}");
    let (_, text) = ask(&folder, &config, &["explain", &again]).await;
    assert_eq!(text.matches("\n  f  delivered, status 200, 1 attempt, at ").count(), 2, "{text}");
    assert!(
        text.contains(&format!("\nreplay/{}/p\n", text.split("\nreplay/").nth(1).unwrap().split('/').next().unwrap()))
    );
    assert_eq!(std::fs::read_dir(folder.path().join("state/replays")).unwrap().count(), 0, "it is forgotten");
    assert_eq!(std::fs::read_dir(folder.path().join("state/places")).unwrap().count(), 2, "p's own alone");

    // One that cannot end goes on after a restart, and what has arrived does not come again.
    gateway.change(|state| state.deploy(Function::subscribed("g", both).always(Answer::status(503))));
    let (f, g) = gateway.read(|state| (state.count("f"), state.count("g")));
    let (_, started) = ask(&folder, &config, &["replay", "-processor", "p", "-from", "1"]).await;
    let id = started.split("  ").next().unwrap().to_owned();
    gateway.wait_for_calls("f", f + 30).await;
    gateway.wait_for_calls("g", g + 1).await;
    let (_, list) = ask(&folder, &config, &["replay", "-list"]).await;
    assert!(
        list.starts_with(&format!("{id}  p  positions 1 to ")) && list.contains(" 30 delivered, 0 dead letters"),
        "{list}"
    );
    router.stop().await;
    let (well, text) = ask(&folder, &config, &["replay", "-list"]).await;
    assert!(!well && text.contains("the router is not running"), "{text}");
    let mut router = Router::start_in(&folder, &config, &[], &[]).await;
    router.logged("a replay goes on").await;
    router.ready().await;
    let g = gateway.read(|state| state.count("g"));
    gateway.wait_for_calls("g", g + 1).await;
    gateway.change(|state| state.deploy(Function::subscribed("g", both)));
    no_replays(&folder, &config).await;
    let g = gateway.read(|state| {
        assert_eq!(state.count("f"), f + 30, "what had arrived did not come again");
        state.events_of("g")
    });
    assert_eq!(g.len(), 30);

    // Nor is one that is ended gone on with.
    gateway.change(|state| state.deploy(Function::subscribed("g", both).always(Answer::status(503))));
    let (_, started) = ask(&folder, &config, &["replay", "-processor", "p", "-target", "g"]).await;
    let id = started.split("  ").next().unwrap();
    let (well, text) = ask(&folder, &config, &["replay", "-cancel", id]).await;
    assert_eq!((well, text), (true, format!("{id} ends\n")));
    no_replays(&folder, &config).await;
    let (well, text) = ask(&folder, &config, &["replay", "-cancel", id]).await;
    assert!(!well && text.contains(&format!("there is no replay {id}")), "{text}");
    for (args, why) in [
        (&["-processor", "q"][..], "there is no processor q; there is p"),
        (&["-processor", "p", "-pattern", "{"], "the pattern is not understood"),
        (&["-processor", "p", "-from", "99999"], "there is no event to replay"),
    ] {
        let (well, text) = ask(&folder, &config, &[&["replay"], args].concat()).await;
        assert!(!well && text.contains(why), "{text}");
    }
    router.stop().await;
    simulated.stop().await;
}
