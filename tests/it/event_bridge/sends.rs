//! What is sent, and in which company: without rules, too large, alone, and several of one entity.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Aws, BUS, between, journaled, letters, of_subjects, ready, settled};
use crate::support::aws_front::{Entry, Fault, Front};
use crate::support::router::Router;
use crate::support::simulator::{Simulated, quiet};

const ON: &str = "VmPoweredOnEvent";
const OFF: &str = "VmPoweredOffEvent";

fn sent(front: &Front) -> BTreeSet<String> {
    front.read(|state| state.puts.iter().flat_map(|put| &put.entries).map(|entry| entry.id.clone()).collect())
}

/// The ids of those with this subject.
fn of<'a>(events: &'a [Value], subject: &str) -> BTreeSet<&'a str> {
    events.iter().filter(|event| event["subject"] == subject).map(|event| event["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn without_rules_a_pattern_or_nobody_chooses() {
    let aws = Aws::moto().await;
    aws.api.put_rule(BUS, "all", &json!({ "detail": { "specversion": ["1.0"] } })).await;
    let mut reader = aws.api.read(&aws.api.queue_behind(BUS, "all").await);
    let simulated = Simulated::start(quiet()).await;
    let mut before = 0;
    for options in [json!({ "pattern": json!({ "subject": [ON] }).to_string() }), json!({ "aws_all_events": "true" })] {
        let all = options["aws_all_events"] == "true";
        let config = between(&simulated, aws.processor(options));
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let router = Router::start_in(&folder, &config, &[], &[]).await;
        ready(&router).await;
        let already = sent(&aws.front);
        simulated.handle.make(OFF, 5).unwrap();
        simulated.handle.make(ON, 5).unwrap();
        settled(&router, 10).await;
        aws.front.wait_for(|state| state.taken.len() >= before + if all { 10 } else { 5 }).await;
        settled(&router, 10).await;
        router.stop().await;
        let events = journaled(&folder, &config).await;
        let events: Vec<_> =
            events.into_iter().filter(|event| !already.contains(event["id"].as_str().unwrap())).collect();
        let now = sent(&aws.front);
        let now: BTreeSet<_> = now.difference(&already).map(String::as_str).collect();
        let expected = if all { events.iter().map(|e| e["id"].as_str().unwrap()).collect() } else { of(&events, ON) };
        assert_eq!(now, expected);
        before = aws.front.read(|state| state.taken.len());
    }
    reader.wait_for_count(before).await;
    // Without rules there are none to be read.
    assert_eq!(aws.actions(), ["PutEvents"]);
    simulated.stop().await;
}

#[tokio::test]
async fn what_is_too_large_is_set_aside_and_the_others_arrive() {
    const LIMIT: usize = 2048;
    let aws = Aws::moto().await;
    let large = "VmReconfiguredEvent";
    let rule = aws.api.put_rule(BUS, "some", &of_subjects(&[ON, large])).await;
    let mut reader = aws.api.read(&aws.api.queue_behind(BUS, "some").await);
    let simulated = Simulated::start(quiet()).await;
    let options = json!({ "aws_eventbridge_rule_arn": rule, "aws_max_request_bytes": LIMIT.to_string() });
    let config = between(&simulated, aws.processor(options));
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let router = Router::start_in(&folder, &config, &[], &[]).await;
    ready(&router).await;
    for _ in 0..5 {
        simulated.handle.make(ON, 4).unwrap();
        simulated.handle.make(large, 1).unwrap();
    }
    reader.wait_for_count(20).await;
    router.stats_when(|stats| stats["vmware.event.router.journal"]["dead_letters"] == 5).await;
    let letters = letters(&folder, &config).await;
    router.stop().await;
    for letter in &letters {
        assert_eq!(letter["subject"], large);
        let reason = letter["reason"].as_str().unwrap();
        assert!(reason.contains(&format!("and {LIMIT} are allowed (aws_max_request_bytes)")), "{reason}");
        let bytes: usize = reason.split(' ').find_map(|word| word.parse().ok()).unwrap();
        assert!(bytes > LIMIT, "{reason}");
    }
    assert_eq!(letters.len(), 5);
    let events = journaled(&folder, &config).await;
    assert_eq!(sent(&aws.front).iter().map(String::as_str).collect::<BTreeSet<_>>(), of(&events, ON));
    let sums: Vec<usize> =
        aws.front.read(|state| state.puts.iter().map(|put| put.entries.iter().map(Entry::bytes).sum()).collect());
    assert!(sums.iter().all(|sum| *sum <= LIMIT), "{sums:?}");
    simulated.stop().await;
}

#[tokio::test]
async fn the_first_goes_alone_and_what_comes_meanwhile_goes_together() {
    let aws = Aws::moto().await;
    // There are fewer hosts than events in a call.
    let host = "HostConnectedEvent";
    let rule = aws.api.put_rule(BUS, "hosts", &of_subjects(&[host])).await;
    aws.front.change(|state| {
        state.unordered = true;
        state.script(|call| match call.action.as_str() {
            "PutEvents" if call.number == 1 => Fault::Hold,
            _ => Fault::None,
        });
    });
    let simulated = Simulated::start(quiet()).await;
    let options = json!({
        "aws_eventbridge_rule_arn": rule,
        "ordering": "none",
        "concurrency": "1",
        "timeout": "5m",
        "batch_delay": "10s",
    });
    let config = between(&simulated, aws.processor(options));
    let router = Router::start(&config, &[]).await;
    ready(&router).await;
    simulated.handle.make(host, 1).unwrap();
    aws.front.wait_for(|state| state.puts.len() == 1).await;
    simulated.handle.make(host, 300).unwrap();
    router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"].as_u64() >= Some(301)).await;
    aws.front.change(|state| {
        assert_eq!(state.batches(), [1]);
        // Whoever is held this long does not turn away.
        state.prompt = std::time::Duration::MAX;
        state.holds = false;
    });
    aws.front.wait_for(|state| state.accepted.len() == 301).await;
    router.stop().await;
    aws.front.read(|state| {
        assert!(state.batches()[1..].iter().filter(|events| **events == 10).count() >= 25, "{:?}", state.batches());
        let together = state.puts.iter().filter(|put| {
            let entities: HashSet<_> = put.entries.iter().map(|entry| &entry.resource).collect();
            entities.len() < put.entries.len()
        });
        assert!(together.count() > 0, "no two events of one host went together");
        assert!(state.puts.iter().all(|put| put.together == 1));
    });
    simulated.stop().await;
}
