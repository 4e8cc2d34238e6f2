//! Rules, as AWS has them while the router runs: changed, disabled, deleted, on later pages, out of reach.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Aws, BUS, between, not_ready, of_subjects, ready, readyz, told};
use crate::support::aws_front::{Fault, Front};
use crate::support::router::Router;
use crate::support::simulator::{Simulated, quiet};

const ON: &str = "VmPoweredOnEvent";
const OFF: &str = "VmPoweredOffEvent";
const STOPPING: &str = "VmStoppingEvent";
/// A rule always means it, so that whatever came before it is decided when it has come.
const MARK: &str = "VmSuspendedEvent";

/// Makes an event of each kind: the subjects of those that are sent.
async fn chosen(simulated: &Simulated, router: &Router, front: &Front) -> BTreeSet<String> {
    let subjects = |from: usize| {
        front.read(|state| {
            let entries = state.puts[from..].iter().flat_map(|put| &put.entries);
            entries.map(|entry| entry.detail["subject"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
        })
    };
    let from = front.read(|state| state.puts.len());
    for subject in [ON, OFF, STOPPING, MARK] {
        simulated.handle.make(subject, 1).unwrap();
    }
    front
        .wait_for(|state| state.puts[from..].iter().flat_map(|put| &put.entries).any(|e| e.detail["subject"] == MARK))
        .await;
    router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"] == 0).await;
    let mut chosen = subjects(from);
    assert!(chosen.remove(MARK));
    chosen
}

#[tokio::test]
async fn what_becomes_of_a_rule_takes_effect_and_is_told() {
    let aws = Aws::moto().await;
    for (name, subject) in [("on", ON), ("off", OFF), ("mark", MARK)] {
        aws.api.put_rule(BUS, name, &of_subjects(&[subject])).await;
    }
    let arns = ["on", "off", "mark"].map(|name| aws.rule_arn(name)).join(", ");
    let simulated = Simulated::start(quiet()).await;
    let options = json!({ "aws_eventbridge_rule_arn": arns, "aws_rule_sync_interval": "1s" });
    let mut router = Router::start(&between(&simulated, aws.processor(options)), &[]).await;
    ready(&router).await;
    let expect = async |router: &Router, expected: &[&str], when: &str| {
        let chosen = chosen(&simulated, router, &aws.front).await;
        assert_eq!(chosen, expected.iter().map(|subject| (*subject).to_owned()).collect(), "{when}");
    };
    expect(&router, &[ON, OFF], "at first").await;

    aws.api.put_rule(BUS, "off", &of_subjects(&[STOPPING])).await;
    told(&mut router, r#"rule off chooses events by {\"detail\":{\"subject\":[\"VmStoppingEvent\"]}}"#).await;
    expect(&router, &[ON, STOPPING], "with another pattern").await;

    let on = json!({ "Name": "on", "EventBusName": BUS });
    aws.api.events("DisableRule", on.clone()).await;
    told(&mut router, "rule on is disabled, and chooses no event").await;
    expect(&router, &[STOPPING], "disabled").await;

    // What cannot be read changes nothing.
    aws.front.change(|state| {
        state.script(|call| match call.action.as_str() {
            "ListRules" => Fault::Error(500, "InternalException"),
            _ => Fault::None,
        });
    });
    aws.api.events("EnableRule", on.clone()).await;
    told(&mut router, "cannot be read, what is known stays in force").await;
    aws.front.wait_for_more("ListRules", 2).await;
    expect(&router, &[STOPPING], "while rules cannot be read").await;
    aws.front.change(|state| state.behave());
    told(&mut router, "no longer so: rule on is disabled").await;
    expect(&router, &[ON, STOPPING], "enabled again").await;

    aws.api.events("DeleteRule", on).await;
    told(&mut router, "rule on is not on bus vmware any more, and chooses no event").await;
    expect(&router, &[STOPPING], "deleted").await;
    aws.api.put_rule(BUS, "on", &of_subjects(&[ON])).await;
    told(&mut router, "no longer so: rule on is not on bus vmware").await;
    expect(&router, &[ON, STOPPING], "made again").await;
    assert_eq!(aws.actions(), ["ListRules", "PutEvents"]);
    router.stop().await;
    simulated.stop().await;
}

#[tokio::test]
async fn rules_on_later_pages_are_found_as_soon_as_aws_is_in_reach() {
    let aws = Aws::moto().await;
    // They begin alike, so that AWS cannot leave the others out.
    for number in 0..120 {
        let subject = match number {
            3 => ON,
            119 => OFF,
            _ => STOPPING,
        };
        aws.api.put_rule(BUS, &format!("vm-{number:03}"), &of_subjects(&[subject])).await;
    }
    let queue = aws.api.queue_behind(BUS, "vm-003").await;
    aws.api.put_target(BUS, "vm-119", &queue).await;
    let mut reader = aws.api.read(&queue);
    aws.front.kill().await;

    let arns = ["vm-003", "vm-119", "vm-nowhere"].map(|name| aws.rule_arn(name)).join(",");
    let simulated = Simulated::start(quiet()).await;
    let options = json!({ "aws_eventbridge_rule_arn": arns, "aws_rule_sync_interval": "1s" });
    let mut router = Router::start(&between(&simulated, aws.processor(options)), &[]).await;
    told(&mut router, "cannot be read, events wait until it can").await;
    told(&mut router, "connected").await;
    for subject in [ON, STOPPING, OFF] {
        simulated.handle.make(subject, 2).unwrap();
    }
    router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"].as_u64() >= Some(6)).await;
    let (is_ready, why) = readyz(&router).await;
    assert!(!is_ready && why.contains("connection refused"), "{why}");

    aws.front.restart().await;
    // A rule that has never been there might choose any event: nothing is passed over.
    not_ready(&router, "rule vm-nowhere is not on bus vmware: create it, or correct the ARN").await;
    assert_eq!(aws.front.read(|state| state.puts.len()), 0);
    aws.api.put_rule(BUS, "vm-nowhere", &of_subjects(&[MARK])).await;
    reader.wait_for_count(4).await;
    router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"] == 0).await;
    ready(&router).await;
    router.stop().await;
    reader.emptied().await;
    let mut subjects = reader.subjects();
    subjects.sort();
    assert_eq!(subjects, [OFF, OFF, ON, ON]);
    let pages = aws.front.read(|state| {
        let bodies = state.asked_with.iter().map(|(_, body)| String::from_utf8_lossy(body).into_owned());
        bodies.filter(|body| body.contains("NextToken")).count()
    });
    assert!(pages > 0, "there was one page");
    simulated.stop().await;
}
