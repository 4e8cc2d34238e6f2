//! `check`: what it says of a bus, and that it asks for nothing that it need not have.

use serde_json::{Value, json};

use super::{Aws, BUS, between, of_subjects, processor};
use crate::support::aws_api::Key;
use crate::support::router::run_with;
use crate::support::simulator::{Simulated, quiet};

/// Runs it: its exit code, and what it says of the bus.
async fn check(simulated: &Simulated, args: &[&str], processor: Value) -> (Option<i32>, String) {
    let secret = processor["auth"]["secret"]["aws_secret_access_key"].as_str().unwrap().to_owned();
    let (code, text) = run_with(args, &between(simulated, processor), &[]).await;
    assert!(!text.contains(&secret), "{text}");
    (code, text)
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} in {text}");
    }
}

#[tokio::test]
async fn check_says_what_is_right_and_wrong_where_signatures_are_checked() {
    let aws = Aws::moto().await;
    let pattern = json!({ "detail": { "subject": ["VmPoweredOnEvent", "EventRouterTest"] } });
    let on = aws.api.put_rule(BUS, "on", &pattern).await;
    let off = aws.api.put_rule(BUS, "off", &of_subjects(&["VmPoweredOffEvent"])).await;
    let mut reader = aws.api.read(&aws.api.queue_behind(BUS, "on").await);
    let simulated = Simulated::start(quiet()).await;
    let rules = |arns: &[&str]| json!({ "aws_eventbridge_rule_arn": arns.join(",") });

    let (code, text) = check(&simulated, &["check"], aws.processor(rules(&[&on, &off]))).await;
    assert_eq!(code, Some(0), "{text}");
    has(
        &text,
        &[
            "bus vmware in us-east-1 answers",
            "rule on is enabled: {\"detail\"",
            "rule on would match a VmPoweredOnEvent",
            "rule off is enabled",
            "rule off would not match a VmPoweredOnEvent",
            "TestEventPattern gives no result here",
            "events:DescribeEventBus",
            // The stream is not encrypted.
            "it works, with warnings",
        ],
    );
    assert_eq!(reader.ids().len(), 0);
    let few = ["DescribeEventBus", "GetCallerIdentity", "ListRules", "TestEventPattern"];
    assert_eq!(aws.actions(), few, "nothing else is asked for");

    let (code, text) = check(&simulated, &["check", "-send-test"], aws.processor(rules(&[&on]))).await;
    assert_eq!(code, Some(0), "{text}");
    reader.wait_for_count(1).await;
    let came = &reader.events()[0];
    assert_eq!(came["detail-type"], "EventRouterTest", "{came}");
    has(&text, &[&format!("PutEvents took the test event {}", came["detail"]["id"].as_str().unwrap())]);

    let wrong = Key { secret: "not-the-secret".to_owned(), ..aws.key.clone() };
    let (code, text) = check(&simulated, &["check"], processor(&aws.front, &wrong, rules(&[&on]))).await;
    assert_eq!(code, Some(1), "{text}");
    has(&text, &["FAILURE", "InvalidSignatureException; correct aws_secret_access_key", "it does not work"]);
    let (code, text) = check(&simulated, &["check"], processor(&aws.front, &Key::unknown(), rules(&[&on]))).await;
    assert_eq!(code, Some(1), "{text}");
    has(&text, &["FAILURE", "UnrecognizedClientException; correct the access key"]);

    aws.api.put_policy("router", &super::allows(&["events:PutEvents"])).await;
    let (code, text) = check(&simulated, &["check"], aws.processor(rules(&[&on]))).await;
    assert_eq!(code, Some(1), "{text}");
    has(&text, &["FAILURE", "AccessDeniedException", "allow it in the policy of this user or role"]);
    simulated.stop().await;
}

#[tokio::test]
async fn check_says_what_is_right_and_wrong_where_patterns_are_tested() {
    let aws = Aws::localstack().await;
    let on = aws.api.put_rule(BUS, "on", &of_subjects(&["VmPoweredOnEvent", "EventRouterTest"])).await;
    let off = aws.api.put_rule(BUS, "off", &of_subjects(&["VmPoweredOffEvent"])).await;
    aws.api.events("DisableRule", json!({ "Name": "off", "EventBusName": BUS })).await;
    let mut reader = aws.api.read(&aws.api.queue_behind(BUS, "on").await);
    let simulated = Simulated::start(quiet()).await;

    let options = json!({ "aws_eventbridge_rule_arn": on });
    let (code, text) = check(&simulated, &["check", "-send-test"], aws.processor(options)).await;
    assert_eq!(code, Some(0), "{text}");
    has(
        &text,
        &[
            "the credentials are those of arn:aws:",
            "the bus is arn:aws:events:us-east-1:000000000000:event-bus/vmware",
            "patterns may be tested (events:TestEventPattern)",
            "rule on would match a VmPoweredOnEvent",
            // The stream is not encrypted.
            "it works, with warnings",
        ],
    );
    assert_eq!(text.matches("WARNING").count(), 1, "{text}");
    reader.wait_for_count(1).await;
    assert_eq!(reader.subjects(), ["EventRouterTest"]);

    let arns = [on.as_str(), &off, &aws.rule_arn("nowhere")].join(",");
    let options = json!({ "aws_eventbridge_rule_arn": arns });
    let (code, text) = check(&simulated, &["check"], aws.processor(options)).await;
    assert_eq!(code, Some(1), "{text}");
    has(
        &text,
        &[
            "WARNING  rule off is disabled, and chooses no event",
            "rule off would not match a VmPoweredOnEvent",
            "FAILURE  rule nowhere is not on bus vmware; create it, or correct the ARN",
        ],
    );

    let mut elsewhere = aws.processor(json!({ "aws_all_events": "true" }));
    elsewhere["options"]["aws_eventbridge_event_bus"] = "nowhere".into();
    let (code, text) = check(&simulated, &["check"], elsewhere).await;
    assert_eq!(code, Some(1), "{text}");
    has(&text, &["FAILURE", "create the bus, or correct aws_eventbridge_event_bus and aws_region"]);
    let some = ["DescribeEventBus", "GetCallerIdentity", "ListRules", "PutEvents", "TestEventPattern"];
    assert_eq!(aws.actions(), some);
    simulated.stop().await;
}
