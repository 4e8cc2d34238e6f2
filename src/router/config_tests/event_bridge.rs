//! Entries for AWS EventBridge.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Judge, METRICS, STREAM, parse, with};
use crate::processor::{self, event_bridge};

const RULE: &str = "arn:aws:events:eu-central-1:123456789012:rule/vmware";

fn entry_with(auth: &Value, options: &Value) -> String {
    json!({ "type": "processor", "provider": "aws_event_bridge", "auth": auth, "options": options }).to_string()
}

fn keys() -> Value {
    let secret = json!({ "aws_access_key_id": "AKID", "aws_secret_access_key": "hunter2" });
    json!({ "method": "access_key", "secret": secret })
}

fn entry(options: &Value) -> String {
    entry_with(&keys(), options)
}

/// An entry with one option, and what it needs besides.
pub(super) fn with_option(name: &str, value: &str) -> String {
    let mut options = Map::new();
    options.insert("aws_region".to_owned(), "eu-central-1".into());
    options.insert("aws_role_arn".to_owned(), "arn:aws:iam::123456789012:role/r".into());
    match name {
        "aws_eventbridge_rule_arn" | "aws_all_events" => {}
        _ => {
            options.insert("aws_all_events".to_owned(), "true".into());
        }
    }
    if name == "aws_all_events" && value == "false" {
        options.insert("aws_eventbridge_rule_arn".to_owned(), RULE.into());
    }
    options.insert(name.to_owned(), value.into());
    entry(&options.into())
}

fn taken(entry: &str) -> event_bridge::Config {
    let config = parse(&with(entry, &[STREAM, METRICS])).unwrap();
    let [processor::Config::EventBridge(config)] = config.processors.as_slice() else { panic!() };
    config.clone()
}

/// What is wrong, without places.
fn problems(entry: &str) -> Vec<String> {
    let problems = parse(&with(entry, &[STREAM, METRICS])).unwrap_err();
    assert!(!problems.contains("hunter2"), "{problems}");
    let lines = problems.lines().map(|line| line.split_once(": ").unwrap());
    lines
        .inspect(|(place, _)| assert!(place.starts_with("c.json:1:"), "{place}"))
        .map(|(_, what)| what.to_owned())
        .collect()
}

#[test]
fn the_seed_s_entry_is_taken_with_its_defaults() {
    let config = parse(include_str!("../../../tests/fixtures/config/seed-event-bridge.json")).unwrap();
    let [processor::Config::EventBridge(config)] = config.processors.as_slice() else { panic!() };
    assert_eq!(&*config.name, "aws_event_bridge@eu-central-1/1234567890/default/vmware-event-router");
    assert_eq!(config.address, "arn:aws:events:eu-central-1:1234567890:event-bus/default");
    assert_eq!((config.region.as_str(), config.bus.text.as_str()), ("eu-central-1", "default"));
    let key = config.access_key.as_ref().unwrap();
    assert_eq!((key.id.read().unwrap().expose(), key.secret.read().unwrap().expose()), ("ABCDEFGHIJK", "ZYXWVUTSRQPO"));
    assert!(
        key.token.is_none()
            && config.role.is_none()
            && config.endpoint.is_none()
            && config.sts_endpoint.is_none()
            && !config.tls.insecure
    );
    assert_eq!((config.sync_interval, config.timeout), (Duration::from_secs(300), Duration::from_secs(15)));
    assert_eq!((config.max_request_bytes, config.batch_delay), (262_144, Duration::from_millis(20)));
    assert_eq!(config.delivery, crate::config::delivery::Options::default());
}

#[test]
fn every_option_is_taken() {
    let secret = json!({ "aws_access_key_id": "a", "aws_secret_access_key": "b", "aws_session_token": "c" });
    let auth = json!({ "method": "access_key", "secret": secret });
    let bus = "arn:aws:events:eu-west-1:1:event-bus/vmware";
    let rules = "arn:aws:events:eu-west-1:1:rule/vmware/on, arn:aws:events:eu-west-1:1:rule/vmware/off,";
    let config = taken(&entry_with(
        &auth,
        &json!({
            "aws_region": "eu-west-1", "aws_eventbridge_event_bus": bus, "aws_eventbridge_rule_arn": rules,
            "aws_rule_sync_interval": "1s", "aws_role_arn": "arn:aws:iam::1:role/r", "aws_external_id": "west",
            "aws_endpoint_url": "http://127.0.0.1:4566", "aws_sts_endpoint_url": "http://127.0.0.1:4567", "aws_max_request_bytes": "1048576", "batch_delay": "0ms",
            "timeout": "1m", "insecure": "true", "concurrency": "3", "pattern": "{\"subject\":[\"VmPoweredOnEvent\"]}",
        }),
    ));
    assert_eq!(&*config.name, "aws_event_bridge@eu-west-1/1/vmware/off,on");
    assert_eq!((config.address.as_str(), config.bus.name.as_str()), (bus, "vmware"));
    assert_eq!(config.rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["off", "on"]);
    assert!(!config.all_events, "a pattern beside rules narrows them");
    assert_eq!(config.access_key.unwrap().token.unwrap().read().unwrap().expose(), "c");
    let role = config.role.unwrap();
    assert_eq!((role.arn.as_str(), role.external_id.as_deref()), ("arn:aws:iam::1:role/r", Some("west")));
    assert_eq!(config.endpoint.unwrap().as_str(), "http://127.0.0.1:4566/");
    assert_eq!(config.sts_endpoint.unwrap().as_str(), "http://127.0.0.1:4567/");
    assert_eq!((config.sync_interval, config.batch_delay), (Duration::from_secs(1), Duration::ZERO));
    assert_eq!((config.max_request_bytes, config.timeout), (1 << 20, Duration::from_secs(60)));
    assert!(config.tls.insecure && config.delivery.concurrency == 3);
    assert_eq!(config.delivery.filter.unwrap().pattern().as_str(), r#"{"subject":["VmPoweredOnEvent"]}"#);

    let chain = json!({ "method": "default_chain" });
    let options = json!({ "aws_region": "eu-west-1", "aws_all_events": "true" });
    let config = taken(&entry_with(&chain, &options));
    assert!(config.access_key.is_none() && config.rules.is_empty() && config.all_events);
    assert_eq!((&*config.name, config.address.as_str()), ("aws_event_bridge@eu-west-1/default", "eu-west-1/default"));
}

#[test]
fn what_is_wrong_is_told() {
    let region = |options: Value| {
        let mut whole = json!({ "aws_region": "eu-central-1" });
        whole.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        entry(&whole)
    };
    let missing = "options.aws_eventbridge_rule_arn: is missing, so that no event is wanted; add it, or \"pattern\", or \
                   \"aws_all_events\": \"true\"";
    let empty = "options.aws_eventbridge_rule_arn: names no rule; name one, or leave it out and say with \"pattern\" or \
                 \"aws_all_events\" what is wanted";
    for (entry, expected) in [
        (entry(&json!({})), vec!["options.aws_region: is missing; add it, such as \"eu-central-1\"", missing]),
        (region(json!({})), vec![missing]),
        (region(json!({ "aws_all_events": "false" })), vec![missing]),
        (region(json!({ "aws_eventbridge_rule_arn": "," })), vec![empty]),
        (region(json!({ "aws_eventbridge_rule_arn": " , ", "pattern": "{\"subject\":[\"x\"]}" })), vec![empty]),
        (
            region(json!({ "aws_eventbridge_rule_arn": "" })),
            vec!["options.aws_eventbridge_rule_arn: is empty; give a value, or leave the option out"],
        ),
        (
            region(json!({ "aws_all_events": "true", "aws_eventbridge_rule_arn": RULE })),
            vec!["options.aws_all_events: is \"true\", and there are rules; remove this, or aws_eventbridge_rule_arn"],
        ),
        (
            entry(&json!({ "aws_region": "Frankfurt", "aws_all_events": "true" })),
            vec!["options.aws_region: \"Frankfurt\" is not a region; write one such as \"eu-central-1\""],
        ),
        (
            entry(&json!({ "aws_region": "eu-west-1", "aws_eventbridge_rule_arn": RULE })),
            vec![
                "options.aws_eventbridge_rule_arn: rule vmware is in eu-central-1, and aws_region is eu-west-1; write the \
                 same region in both",
            ],
        ),
        (
            region(json!({ "aws_eventbridge_event_bus": "other", "aws_eventbridge_rule_arn": RULE })),
            vec![
                "options.aws_eventbridge_rule_arn: rule vmware is on bus default, and aws_eventbridge_event_bus is other; \
                 name rules of that bus, or another bus",
            ],
        ),
        (
            region(
                json!({ "aws_eventbridge_rule_arn": format!("{RULE}, arn:aws:events:eu-central-1:2:rule/b, vmware") }),
            ),
            vec![
                "options.aws_eventbridge_rule_arn: \"vmware\" is not the ARN of a rule; write \
                 arn:aws:events:REGION:ACCOUNT:rule/NAME, or rule/BUS/NAME on a bus other than default",
                "options.aws_eventbridge_rule_arn: rule b is of account 2, and another rule of account 123456789012; give \
                 each account a processor of its own",
            ],
        ),
        (
            region(
                json!({ "aws_all_events": "true", "aws_eventbridge_event_bus": "arn:aws:events:us-east-1:1:event-bus/b" }),
            ),
            vec![
                "options.aws_eventbridge_event_bus: the bus is in us-east-1, and aws_region is eu-central-1; write the same \
                 region in both",
            ],
        ),
        (
            region(json!({ "aws_all_events": "true", "aws_eventbridge_event_bus": "a b" })),
            vec![
                "options.aws_eventbridge_event_bus: \"a b\" is not the name or ARN of a bus; write its name, or \
                 arn:aws:events:REGION:ACCOUNT:event-bus/NAME",
            ],
        ),
        (
            region(json!({ "aws_all_events": "true", "aws_external_id": "x y" })),
            vec![
                "options.aws_external_id: is not an external id; write 2 to 1224 letters, digits and characters of \
                 _+=,.@:/-, as the role's trust policy has them",
                "options.aws_external_id: is given without aws_role_arn; add that, or remove this",
            ],
        ),
        (
            region(json!({ "aws_all_events": "true", "aws_role_arn": "router" })),
            vec![
                "options.aws_role_arn: \"router\" is not the ARN of a role; write one such as \
                 arn:aws:iam::123456789012:role/event-router",
            ],
        ),
        (
            region(json!({ "aws_all_events": "true", "aws_max_request_bytes": "2097152" })),
            vec!["options.aws_max_request_bytes: \"2097152\" is too much; write 1024 to 1048576"],
        ),
        (
            region(json!({ "aws_all_events": "true", "aws_rule_sync_interval": "10ms" })),
            vec!["options.aws_rule_sync_interval: \"10ms\" is too little; write 1s to 1d"],
        ),
        (
            region(json!({ "aws_all_events": "true", "awsregion": "x" })),
            vec!["options.awsregion: is unknown; did you mean \"aws_region\"?"],
        ),
        (
            entry_with(
                &json!({ "method": "access_key", "secret": { "aws_access_key_id": "a", "session_token": "b" } }),
                &json!({ "aws_region": "eu-central-1", "aws_all_events": "true" }),
            ),
            vec![
                "auth.secret.aws_secret_access_key: is missing; access_key needs it",
                "auth.secret.session_token: is unknown; did you mean \"aws_session_token\"?",
            ],
        ),
        (
            entry_with(
                &json!({ "method": "basic_auth" }),
                &json!({ "aws_region": "eu-central-1", "aws_all_events": "true" }),
            ),
            vec![
                "auth.method: \"basic_auth\" is unknown; aws_event_bridge authenticates with access_key, default_chain",
            ],
        ),
    ] {
        let mut told = problems(&entry);
        told.sort();
        let mut expected: Vec<_> = expected.into_iter().map(str::to_owned).collect();
        expected.sort();
        assert_eq!(told, expected, "{entry}");
    }
    for (pattern, asked) in [
        ("{\"detail\":{\"subject\":[\"x\"]}}", Some("detail")),
        ("{\"$or\":[{\"detail\":{\"a\":[1]}},{\"detail\":{\"b\":[1]}}]}", Some("detail")),
        ("{\"detail-type\":[\"x\"]}", Some("detail-type")),
        ("{\"$or\":[{\"detail\":{\"a\":[1]}},{\"subject\":[\"x\"]}]}", None),
        ("{\"detail\":[{\"exists\":false}]}", None),
        ("{\"details\":[\"x\"]}", None),
    ] {
        let entry = region(json!({ "pattern": pattern }));
        let Some(name) = asked else {
            assert!(parse(&with(&entry, &[STREAM, METRICS])).is_ok(), "{pattern}");
            continue;
        };
        let problems = problems(&entry);
        let expected = format!("options.pattern: asks for \"{name}\", which no event has; ");
        assert!(problems.len() == 1 && problems[0].starts_with(&expected), "{pattern}: {problems:?}");
    }
    let pattern = problems(&region(json!({ "pattern": "{\"subject\":\"x\"}" })));
    assert!(
        pattern.len() == 1 && pattern[0].starts_with("options.pattern: the pattern is not understood: "),
        "{pattern:?}"
    );
}

#[test]
fn two_of_the_same_bus_and_rules_are_one_too_many() {
    let one = entry(&json!({ "aws_region": "eu-central-1", "aws_eventbridge_rule_arn": RULE }));
    let other = entry(&json!({ "aws_region": "eu-central-1", "aws_eventbridge_rule_arn": format!("{RULE}2") }));
    assert!(parse(&with(&one, &[&other, STREAM, METRICS])).is_ok());
    let problems = parse(&with(&one, &[&one, STREAM, METRICS])).unwrap_err();
    assert!(
        problems.contains("aws_event_bridge@eu-central-1/123456789012/default/vmware\" is also the entry"),
        "{problems}"
    );
}

#[test]
fn the_schema_agrees() {
    let judge = Judge::new();
    for (entry, fits) in [
        (
            entry(&json!({ "aws_region": "eu-central-1", "aws_eventbridge_rule_arn": format!(" {RULE} ,{RULE}2") })),
            true,
        ),
        (
            entry_with(
                &json!({ "method": "default_chain" }),
                &json!({ "aws_region": "eu-central-1", "aws_all_events": "true" }),
            ),
            true,
        ),
        (entry(&json!({ "aws_region": "eu-central-1", "pattern": "{\"subject\":[\"x\"]}" })), true),
        (entry(&json!({ "aws_all_events": "true" })), false),
        (entry(&json!({ "aws_region": "Frankfurt", "aws_all_events": "true" })), false),
        (entry(&json!({ "aws_region": "eu-central-1", "aws_eventbridge_rule_arn": "vmware" })), false),
        (entry(&json!({ "aws_region": "eu-central-1", "aws_eventbridge_rule_arn": " , " })), false),
        (entry(&json!({ "aws_region": "eu-central-1", "aws_all_events": "true", "aws_role_arn": "r" })), false),
        (
            entry_with(
                &json!({ "method": "access_key" }),
                &json!({ "aws_region": "eu-central-1", "aws_all_events": "true" }),
            ),
            false,
        ),
    ] {
        let text = with(&entry, &[STREAM, METRICS]);
        assert_eq!(
            (parse(&text).is_ok(), judge.takes(&text).is_ok()),
            (fits, fits),
            "{entry}: {:?}",
            parse(&text).err()
        );
    }
}
