//! What `check` finds at a bus.

use aws_sdk_eventbridge::error::SdkError;
use uuid::Uuid;

use super::EventBridge;
use super::arn::RuleArn;
use super::client::Sdk;
use super::entry::{Place, envelope, is_meant};
use super::failure::{Failure, Kind, failure};
use super::put::{outcome, outcomes};
use super::rules::{Found, Listing, caller, list, place};
use crate::attempt::Outcome;
use crate::event::{Attributes, Event, PageBuilder, TYPE_PREFIX};
use crate::pattern::{Pattern, Patterns};
use crate::report::Report;

/// A pattern that means every event: whether `TestEventPattern` can be believed.
const ANY: &str = r#"{"source":[{"exists":true}]}"#;

const SENDING: &str =
    "note: whether events may be sent (events:PutEvents) shows only when one is: check -send-test sends one";

/// What is asked about: a machine was powered on.
fn sample() -> Event {
    let mut page = PageBuilder::new("check".into(), "https://vcenter.example.com/sdk", &[]);
    let attributes = Attributes {
        id: "08179137-b8e0-4973-b05f-8f212bf5003b",
        kind: "com.vmware.event.router/event",
        subject: "VmPoweredOnEvent",
        time: "2020-02-11T21:28:23.9052539Z",
        entity: "VirtualMachine:vm-56",
        key: Some(9902),
        created: Some(1_581_456_503_905_253),
    };
    let data = br#"{"Key":9902,"ChainId":9895,"CreatedTime":"2020-02-11T21:28:23.9052539Z","UserName":"VSPHERE.LOCAL\\Administrator","Datacenter":{"Name":"testDC","Datacenter":{"Type":"Datacenter","Value":"datacenter-2"}},"ComputeResource":{"Name":"cls","ComputeResource":{"Type":"ClusterComputeResource","Value":"domain-c7"}},"Host":{"Name":"10.185.22.74","Host":{"Type":"HostSystem","Value":"host-21"}},"Vm":{"Name":"test-01","Vm":{"Type":"VirtualMachine","Value":"vm-56"}},"Ds":null,"Net":null,"Dvs":null,"FullFormattedMessage":"test-01 on host 10.185.22.74 in testDC is powered on","ChangeTag":"","Template":false}"#;
    page.push(&attributes, data);
    page.finish().swap_remove(0)
}

/// Looks, and reports.
pub(super) async fn check(of: &EventBridge, report: &mut Report) {
    let config = &of.config;
    if config.tls.insecure {
        report.warn("any certificate is trusted, since \"insecure\" is set");
    }
    let sdk = of.aws.sdk().await;
    identity(&sdk, report).await;
    let mut listing = Listing::default();
    if !config.all_events {
        listing = match list(&sdk, config).await {
            Ok(listing) => listing,
            Err(failure) => return report.fail(format!("bus {}: {}", config.bus.name, advised(&failure))),
        };
        report.ok(format!(
            "bus {} in {} answers, and its rules may be read (events:ListRules)",
            config.bus.name, config.region
        ));
    }
    describe(of, &sdk, report).await;
    if config.all_events {
        let what = if config.delivery.filter.is_some() { "those that \"pattern\" means" } else { "every event" };
        report.ok(format!(
            "no rules are configured: {what} would be sent, and neither events:ListRules nor events:TestEventPattern is \
             needed"
        ));
        return report.ok(SENDING);
    }
    let place = place(config, caller(&sdk, config).await.as_deref());
    let believed = test_pattern(&sdk, ANY, &place).await;
    match &believed {
        Ok(_) if place.account.is_none() => report.ok(
            "note: the account of these credentials is not known: events count as matching whatever account a rule \
             asks for, and our reading of the patterns stands alone",
        ),
        Ok(true) => report.ok("patterns may be tested (events:TestEventPattern)"),
        Ok(false) => {
            report.ok("note: TestEventPattern gives no result here, so our reading of the patterns stands alone")
        }
        Err(failure) => report.warn(format!("patterns may not be tested, only read: {}", advised(failure))),
    }
    let believed = matches!(believed, Ok(true)) && place.account.is_some();
    for arn in &config.rules {
        rule(&sdk, arn, &listing, &place, believed, report).await;
    }
    report.ok(SENDING);
}

fn advised(failure: &Failure) -> String {
    let hint = match failure.kind {
        Kind::Busy => "; is aws_region (or aws_endpoint_url) right, and may this machine connect there?",
        _ => "",
    };
    format!("{}{hint}", failure.why.text)
}

/// Whose credentials they are. Needs no permission, but an endpoint of one's own may not have it.
async fn identity(sdk: &Sdk, report: &mut Report) {
    match sdk.sts.get_caller_identity().send().await {
        Ok(identity) => {
            let arn = identity.arn().unwrap_or("somebody without a name");
            report.ok(format!("the credentials are those of {arn}"));
        }
        Err(error) => {
            let why = failure("GetCallerIdentity", &error).why.text;
            report.ok(format!("note: whose credentials they are cannot be said: {why}"));
        }
    }
}

/// Whether the bus is there. AWS may take events for one that is not.
async fn describe(of: &EventBridge, sdk: &Sdk, report: &mut Report) {
    let bus = &of.config.bus;
    match sdk.events.describe_event_bus().name(&bus.text).send().await {
        Ok(found) => report.ok(format!("the bus is {}", found.arn().unwrap_or(&bus.name))),
        Err(error) => match failure("DescribeEventBus", &error) {
            Failure { kind: Kind::Missing, why, .. } => report.fail(why.text),
            // Where no rules are read, nobody else has said it.
            failure @ Failure { kind: Kind::Busy | Kind::Credentials, .. } if of.config.all_events => {
                report.fail(format!("bus {}: {}", bus.name, advised(&failure)));
            }
            _ if matches!(error, SdkError::ServiceError(_)) => {
                report
                    .ok("note: the bus may not be described (events:DescribeEventBus), which the router does not need");
            }
            Failure { why, .. } => report.ok(format!("note: the bus cannot be described: {}", why.text)),
        },
    }
}

async fn rule(sdk: &Sdk, arn: &RuleArn, listing: &Listing, place: &Place, believed: bool, report: &mut Report) {
    let name = &arn.name;
    let pattern = match listing.rules.get(arn) {
        None => {
            let hint = match listing.namesakes.get(name) {
                Some(other) => format!("there is {other}: correct the ARN, or use that account's credentials"),
                None => "create it, or correct the ARN".to_owned(),
            };
            return report.fail(format!("rule {name} is not on bus {}; {hint}", arn.bus));
        }
        Some(Found { pattern: None, .. }) => {
            return report.warn(format!("rule {name} has a schedule and no event pattern: it chooses no event"));
        }
        Some(Found { enabled, pattern: Some(pattern) }) => {
            if *enabled {
                report.ok(format!("rule {name} is enabled: {pattern}"));
            } else {
                report.warn(format!("rule {name} is disabled, and chooses no event: {pattern}"));
            }
            pattern
        }
    };
    let ours = match Pattern::parse(pattern) {
        Ok(read) => is_meant(&sample(), place, &Patterns::new(vec![read])),
        Err(error) => return report.fail(format!("rule {name}: {error}; its events would wait")),
    };
    let verdict = if ours { "would" } else { "would not" };
    report.ok(format!("rule {name} {verdict} match a VmPoweredOnEvent"));
    if !believed {
        return;
    }
    match test_pattern(sdk, pattern, place).await {
        Ok(theirs) if theirs != ours => {
            let theirs = if theirs { "would" } else { "would not" };
            report.warn(format!("rule {name}: AWS says that it {theirs} match; please report this, with the pattern"));
        }
        Ok(_) => {}
        Err(failure) => report.warn(format!("rule {name}: AWS does not say whether it would: {}", failure.why.text)),
    }
}

/// What AWS makes of a pattern and the sample.
async fn test_pattern(sdk: &Sdk, pattern: &str, place: &Place) -> Result<bool, Failure> {
    let event = envelope(&sample(), place);
    let answer = sdk.events.test_event_pattern().event_pattern(pattern).event(event).send().await;
    answer.map(|answer| answer.result()).map_err(|error| failure("TestEventPattern", &error))
}

/// An event that says what it is.
fn test_event() -> Event {
    let now = jiff::Timestamp::now();
    let mut page = PageBuilder::new("check".into(), "vmware-event-router/check", &[]);
    let attributes = Attributes {
        id: &Uuid::new_v4().to_string(),
        kind: &format!("{TYPE_PREFIX}event"),
        subject: "EventRouterTest",
        time: &now.to_string(),
        created: Some(now.as_microsecond()),
        ..Attributes::default()
    };
    page.push(
        &attributes,
        br#"{"Test":true,"FullFormattedMessage":"This is a test of the VMware Event Router: nothing has happened."}"#,
    );
    page.finish().swap_remove(0)
}

/// Sends one event, and reports what AWS says.
pub(super) async fn send_test(of: &EventBridge, report: &mut Report) {
    let event = test_event();
    let (what, ended) = match of.put.call(&[&event]).await {
        Ok(answer) => {
            let id = answer.entries().first().and_then(|entry| entry.event_id()).unwrap_or_default();
            (format!(" as {id}"), outcomes(1, &answer).pop())
        }
        Err(failure) => (String::new(), Some(outcome(failure))),
    };
    let bus = &of.config.bus.name;
    match ended {
        Some(Outcome::Delivered { .. }) => {
            report.ok(format!("PutEvents took the test event {} (EventRouterTest) for bus {bus}{what}", event.id()));
        }
        Some(Outcome::Busy { why, .. } | Outcome::Failed { why, .. } | Outcome::Rejected { why }) => {
            report.fail(format!("the test event was not taken: {}", why.text));
        }
        Some(Outcome::Accepted { .. }) | None => report.fail("the test event was not taken, and nobody says why"),
    }
}
