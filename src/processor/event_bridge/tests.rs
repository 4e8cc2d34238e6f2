//! The processor against a server that answers as it is told.

use std::convert::Infallible;
use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::attempt::Position;
use crate::config::Secret;
use crate::config::delivery::Options;
use crate::event::{Attributes, PageBuilder};
use crate::http::TlsOptions;
use crate::telemetry::{ProcessorState, Telemetry};

pub(super) const RULE: &str = "arn:aws:events:eu-central-1:123456789012:rule/vmware/vmware-event-router";
const PATTERN: &str = r#"{"detail":{"subject":["VmPoweredOnEvent"]}}"#;

/// A processor of that bus, with that place for AWS.
pub(super) fn config(endpoint: &str) -> Config {
    let secret = |text: &str| Secret::literal(text);
    Config {
        name: "bus".into(),
        address: "a".to_owned(),
        region: "eu-central-1".to_owned(),
        bus: Bus::parse("vmware").unwrap(),
        rules: vec![RuleArn::parse(RULE).unwrap()],
        all_events: false,
        sync_interval: Duration::from_secs(300),
        access_key: Some(AccessKey {
            id: secret("AKIDEXAMPLE"),
            secret: secret("hunter2"),
            token: Some(secret("t0ken")),
        }),
        role: None,
        endpoint: Some(endpoint.parse().unwrap()),
        sts_endpoint: None,
        max_request_bytes: 262_144,
        batch_delay: Duration::ZERO,
        timeout: Duration::from_secs(5),
        tls: TlsOptions::default(),
        delivery: Options::default(),
    }
}

/// What was asked: the operation, who signed it, and the request.
#[derive(Clone, Debug)]
struct Asked {
    operation: String,
    signed: String,
    body: Value,
}

type Answers = dyn Fn(&Asked) -> (u16, String) + Send + Sync;

/// Plays AWS.
struct Aws {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Aws {
    async fn start(answers: impl Fn(&Asked) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, answers): (Arc<Mutex<Vec<Asked>>>, Arc<Answers>) = (Arc::default(), Arc::new(answers));
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answers) = (Arc::clone(&seen), Arc::clone(&answers));
                let service = hyper::service::service_fn(move |request| {
                    let (seen, answers) = (Arc::clone(&seen), Arc::clone(&answers));
                    async move { Ok::<_, Infallible>(answer(request, &seen, &*answers).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { url, asked }
    }

    fn asked(&self, operation: &str) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().filter(|asked| asked.operation == operation).cloned().collect()
    }
}

async fn answer(request: Request<Incoming>, seen: &Mutex<Vec<Asked>>, answers: &Answers) -> Response<Full<Bytes>> {
    let header =
        |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (target, signed) = (header("x-amz-target"), header("authorization"));
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let asked = match target.strip_prefix("AWSEvents.") {
        Some(operation) => {
            Asked { operation: operation.to_owned(), signed, body: serde_json::from_slice(&body).unwrap() }
        }
        // STS asks in forms.
        None => {
            let form: Vec<_> = url::form_urlencoded::parse(&body).into_owned().collect();
            let value = |key: &str| form.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
            let body = json!({ "RoleArn": value("RoleArn"), "ExternalId": value("ExternalId"), "RoleSessionName": value("RoleSessionName") });
            Asked { operation: value("Action").unwrap_or_default(), signed, body }
        }
    };
    seen.lock().unwrap().push(asked.clone());
    let (status, text) = answers(&asked);
    Response::builder()
        .status(status)
        .header("content-type", "application/x-amz-json-1.1")
        .body(Full::from(text))
        .unwrap()
}

fn error(code: &str) -> (u16, String) {
    (400, json!({ "__type": code, "message": "m" }).to_string())
}

/// All are taken.
fn taken(asked: &Asked) -> (u16, String) {
    let entries = asked.body["Entries"].as_array().unwrap();
    let ids: Vec<_> = (0..entries.len()).map(|at| json!({ "EventId": format!("id-{at}") })).collect();
    (200, json!({ "FailedEntryCount": 0, "Entries": ids }).to_string())
}

fn rules(pattern: &str) -> (u16, String) {
    let rule = json!({ "Name": "vmware-event-router", "Arn": RULE, "State": "ENABLED", "EventPattern": pattern });
    (200, json!({ "Rules": [rule] }).to_string())
}

fn assumed() -> (u16, String) {
    let text = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
        <Credentials><AccessKeyId>AKIDROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
        <SessionToken>t</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials>\
        </AssumeRoleResult></AssumeRoleResponse>";
    (200, text.to_owned())
}

fn identity(account: &str) -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:iam::{account}:user/u</Arn><UserId>u</UserId><Account>{account}</Account>\
         </GetCallerIdentityResult></GetCallerIdentityResponse>"
    )
}

fn batch(subjects: &[&str], bytes: usize) -> Vec<Delivery> {
    let mut page = PageBuilder::new("vc".into(), "https://vc/sdk", &[]);
    for subject in subjects {
        let data = format!("{{\"Text\":\"{}\"}}", "x".repeat(bytes));
        page.push(&Attributes { id: subject, kind: "k", subject, ..Attributes::default() }, data.as_bytes());
    }
    let events = page.finish().into_iter().zip(1..);
    events.map(|(event, position)| Delivery { event, position: Position(position), attempt: 1 }).collect()
}

fn processor(config: Config) -> (EventBridge, Arc<ProcessorStatus>) {
    let status = Telemetry::new().processor("bus", "aws_event_bridge", "a");
    (EventBridge::new(config, Arc::clone(&status)), status)
}

/// Makes its requests on this thread, whose time the test moves.
fn on_this_thread(mut bus: EventBridge) -> EventBridge {
    bus.put.worker = worker::Worker::none();
    bus
}

async fn attempt(of: &EventBridge, batch: &[Delivery]) -> Vec<Outcome> {
    of.attempt(&Target::new("vmware"), batch).await
}

#[tokio::test]
async fn a_batch_is_one_signed_request_with_whole_events() {
    let aws = Aws::start(taken).await;
    let (bus, _) = processor(config(&aws.url));
    let batch = batch(&["A", "B", "C"], 10);
    assert_eq!(attempt(&bus, &batch).await, vec![Outcome::Delivered { status: Some(200) }; 3]);
    let asked = aws.asked("PutEvents");
    let [Asked { signed, body, .. }] = &asked[..] else { panic!("{asked:?}") };
    assert!(
        signed.contains("Credential=AKIDEXAMPLE/") && signed.contains("/eu-central-1/events/aws4_request"),
        "{signed}"
    );
    let entries = body["Entries"].as_array().unwrap();
    for (entry, delivery) in entries.iter().zip(&batch) {
        assert_eq!(entry["Detail"].as_str().unwrap().as_bytes(), &delivery.event.json()[..]);
        assert_eq!((&entry["EventBusName"], &entry["Source"]), (&json!("vmware"), &json!("https://vc/sdk")));
    }
}

#[tokio::test]
async fn one_bad_event_does_not_sink_the_others() {
    let aws = Aws::start(|asked| {
        let bad = asked.body["Entries"].as_array().unwrap().iter().any(|entry| entry["DetailType"] == "Bad");
        if bad { error("ValidationException") } else { taken(asked) }
    })
    .await;
    let (bus, _) = processor(config(&aws.url));
    let outcomes = attempt(&bus, &batch(&["A", "Bad", "C"], 10)).await;
    let delivered = Outcome::Delivered { status: Some(200) };
    assert_eq!((&outcomes[0], &outcomes[2]), (&delivered, &delivered));
    assert!(
        matches!(&outcomes[1], Outcome::Rejected { why } if why.text.contains("ValidationException")),
        "{outcomes:?}"
    );
    assert_eq!(aws.asked("PutEvents").len(), 4, "one request, then each alone");
}

#[tokio::test]
async fn events_that_go_alone_go_one_after_the_other() {
    let aws = Aws::start(|asked| match asked.body["Entries"].as_array().unwrap().as_slice() {
        [one] if one["DetailType"] == "Slow" => error("ThrottlingException"),
        [_] => taken(asked),
        _ => error("ValidationException"),
    })
    .await;
    let (bus, _) = processor(config(&aws.url));
    let outcomes = attempt(&bus, &batch(&["A", "Slow", "C", "D"], 10)).await;
    assert!(
        matches!(
            &outcomes[..],
            [Outcome::Delivered { .. }, Outcome::Busy { .. }, Outcome::Busy { .. }, Outcome::Busy { .. }]
        ),
        "{outcomes:?}"
    );
    assert_eq!(aws.asked("PutEvents").len(), 3, "C and D have not been sent when Slow is answered, and wait with it");
}

#[tokio::test]
async fn an_event_that_is_too_large_is_never_sent() {
    let aws = Aws::start(taken).await;
    let (bus, _) = processor(Config { max_request_bytes: 2048, ..config(&aws.url) });
    let mut both = batch(&["Small"], 10);
    both.extend(batch(&["Large"], 3000));
    let outcomes = attempt(&bus, &both).await;
    assert_eq!(outcomes[0], Outcome::Delivered { status: Some(200) });
    let Outcome::Rejected { why } = &outcomes[1] else { panic!("{outcomes:?}") };
    let weight = bus.weight(&both[1].event);
    assert_eq!(
        why.text,
        format!("the event has {weight} bytes as AWS counts, and 2048 are allowed (aws_max_request_bytes)")
    );
    assert_eq!(aws.asked("PutEvents")[0].body["Entries"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_does_not_answer_is_busy_and_the_reason_is_ours() {
    let (bus, _) = processor(config("http://127.0.0.1:1"));
    let outcomes = attempt(&bus, &batch(&["A", "B"], 10)).await;
    assert!(
        matches!(&outcomes[..], [Outcome::Busy { why, .. }, _] if why.text == "PutEvents: connection refused"),
        "{outcomes:?}"
    );
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    let (bus, _) = processor(Config { timeout: Duration::from_millis(100), ..config(&url) });
    let outcomes = attempt(&bus, &batch(&["A"], 10)).await;
    assert!(
        matches!(&outcomes[..], [Outcome::Busy { why, .. }] if why.text.contains("no complete answer")),
        "{outcomes:?}"
    );
    for (status, text) in [
        (200, "<html>sign in</html>"),
        (404, "<html>not here</html>"),
        (400, ""),
        (407, "{}"),
        (400, "{\"message\":\"no such route\"}"),
    ] {
        let aws = Aws::start(move |_| (status, text.to_owned())).await;
        let (bus, _) = processor(config(&aws.url));
        let outcomes = attempt(&bus, &batch(&["A"], 10)).await;
        assert!(
            matches!(&outcomes[..], [Outcome::Busy { why, .. }] if why.text.contains("no answer of AWS")),
            "{status} {text}: {outcomes:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "hunter2").unwrap();
    let file_secret = Secret::parse(&format!("${{file:{}}}", file.display())).unwrap();
    let aws = Aws::start(|asked| {
        if asked.signed.contains("Credential=hunter2/") { error("ExpiredTokenException") } else { taken(asked) }
    })
    .await;
    let key = AccessKey { id: file_secret, secret: Secret::literal("s"), token: None };
    let bus = on_this_thread(processor(Config { access_key: Some(key), ..config(&aws.url) }).0);
    let one = batch(&["A"], 10);
    let outcomes = bus.put.put(&one).await;
    let Outcome::Busy { why, .. } = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(why.text.contains("renew the session token") && !why.text.contains("hunter2"), "{why:?}");
    std::fs::write(&file, "AKIDNEW").unwrap();
    // Not with each refusal, but soon.
    assert!(matches!(bus.put.put(&one).await[0], Outcome::Busy { .. }));
    tokio::time::advance(Duration::from_secs(6)).await;
    assert!(matches!(bus.put.put(&one).await[0], Outcome::Busy { .. }));
    assert_eq!(bus.put.put(&one).await[0], Outcome::Delivered { status: Some(200) });
    std::fs::remove_file(&file).unwrap();
    let (bus, _) = processor(Config { access_key: bus.config.access_key.clone(), ..config(&aws.url) });
    let outcomes = bus.put.put(&one).await;
    assert!(matches!(&outcomes[0], Outcome::Busy { why, .. } if why.text.contains("cannot be read")), "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn credentials_that_may_not_do_something_are_kept() {
    let aws = Aws::start(|asked| match asked.operation.as_str() {
        "PutEvents" => error("AccessDeniedException"),
        _ => (403, json!({ "__type": "AccessDenied", "message": "m" }).to_string()),
    })
    .await;
    let (bus, status) = processor(config(&aws.url));
    let bus = on_this_thread(bus);
    let before = bus.aws.sdk().await;
    for _ in 0..2 {
        let outcomes = bus.put.put(&batch(&["A"], 10)).await;
        assert!(matches!(&outcomes[0], Outcome::Busy { why, .. } if why.text.contains("allow it in")), "{outcomes:?}");
        assert!(!bus.sync().await);
        let ProcessorState::NotReady { why: Some(why) } = status.state() else { panic!() };
        assert!(why.contains("allow it in the policy"), "{why}");
        assert!(Arc::ptr_eq(&before, &bus.aws.sdk().await));
        tokio::time::advance(Duration::from_secs(60)).await;
    }
}

#[tokio::test]
async fn a_role_is_taken_on_at_the_same_endpoint() {
    let aws = Aws::start(|asked| if asked.operation == "AssumeRole" { assumed() } else { taken(asked) }).await;
    let role = Role { arn: "arn:aws:iam::123456789012:role/r".to_owned(), external_id: Some("west".to_owned()) };
    let (bus, _) = processor(Config { role: Some(role), ..config(&aws.url) });
    for _ in 0..2 {
        assert_eq!(attempt(&bus, &batch(&["A"], 10)).await, [Outcome::Delivered { status: Some(200) }]);
    }
    let [assumed] = &aws.asked("AssumeRole")[..] else { panic!("once, and kept") };
    assert!(assumed.signed.contains("Credential=AKIDEXAMPLE/"), "{}", assumed.signed);
    let expected = json!({ "RoleArn": "arn:aws:iam::123456789012:role/r", "ExternalId": "west", "RoleSessionName": "vmware-event-router" });
    assert_eq!(assumed.body, expected);
    assert!(aws.asked("PutEvents").iter().all(|asked| asked.signed.contains("Credential=AKIDROLE/")));
}

#[tokio::test]
async fn sts_is_asked_where_it_is() {
    // As a VPC endpoint for EventBridge alone.
    let events = Aws::start(|asked| match asked.operation.as_str() {
        "PutEvents" => taken(asked),
        "ListRules" => rules(PATTERN),
        _ => (404, String::new()),
    })
    .await;
    let sts = Aws::start(|asked| match asked.operation.as_str() {
        "AssumeRole" => assumed(),
        "GetCallerIdentity" => (200, identity("999")),
        _ => (404, String::new()),
    })
    .await;
    let role = Role { arn: "arn:aws:iam::123456789012:role/r".to_owned(), external_id: None };
    let bus = Bus::parse("arn:aws:events:eu-central-1:123456789012:event-bus/vmware").unwrap();
    let sts_endpoint = Some(Box::new(sts.url.parse().unwrap()));
    let (bus, _) = processor(Config { role: Some(role), bus, sts_endpoint, ..config(&events.url) });
    assert!(bus.sync().await);
    assert_eq!(attempt(&bus, &batch(&["A"], 10)).await, [Outcome::Delivered { status: Some(200) }]);
    assert_eq!((sts.asked("AssumeRole").len(), sts.asked("GetCallerIdentity").len()), (1, 1));
    assert!(events.asked("PutEvents")[0].signed.contains("Credential=AKIDROLE/"));
    assert!(events.asked("AssumeRole").is_empty() && events.asked("GetCallerIdentity").is_empty());
}

#[tokio::test]
async fn the_rules_are_read_page_after_page_and_again() {
    let pattern = Arc::new(Mutex::new(PATTERN.to_owned()));
    let now = Arc::clone(&pattern);
    let aws = Aws::start(move |asked| match asked.body["NextToken"].as_str() {
        None => (200, json!({ "Rules": [{ "Name": "other", "Arn": "arn:o" }], "NextToken": "2" }).to_string()),
        Some("2") => rules(&now.lock().unwrap()),
        Some(_) => panic!("all is known by now"),
    })
    .await;
    let (bus, status) = processor(Config { sync_interval: Duration::from_millis(20), ..config(&aws.url) });
    let bus = Arc::new(bus);
    let stop = CancellationToken::new();
    let (keeper, stopped) = (Arc::clone(&bus), stop.clone());
    let task = tokio::spawn(async move { keeper.run(stopped).await });
    bus.ready().await;
    assert_eq!(status.state(), ProcessorState::Ready);
    let event = batch(&["VmPoweredOnEvent"], 10).remove(0).event;
    assert_eq!(bus.routes().route(&event)[..], [Target::new("vmware")]);
    let first = aws.asked("ListRules").remove(0).body;
    assert_eq!((&first["EventBusName"], &first["NamePrefix"]), (&json!("vmware"), &json!("vmware-event-router")));
    *pattern.lock().unwrap() = r#"{"detail":{"subject":["Else"]}}"#.to_owned();
    while !bus.routes().route(&event).is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn sts_is_asked_for_the_account_once_and_only_where_the_bus_does_not_say_it() {
    let aws = Aws::start(|asked| match asked.operation.as_str() {
        "GetCallerIdentity" => (200, identity("999")),
        _ => rules(r#"{"account":["123456789012"]}"#),
    })
    .await;
    let bus = Bus::parse("arn:aws:events:eu-central-1:123456789012:event-bus/vmware").unwrap();
    let (elsewhere, _) = processor(Config { bus, ..config(&aws.url) });
    let event = batch(&["A"], 10).remove(0).event;
    for _ in 0..2 {
        assert!(elsewhere.sync().await);
        assert!(elsewhere.routes().route(&event).is_empty(), "the account of the bus does not send");
    }
    assert_eq!(aws.asked("GetCallerIdentity").len(), 1);
    let (ours, _) = processor(config(&aws.url));
    assert!(ours.sync().await);
    assert!(!ours.routes().route(&event).is_empty());
    assert_eq!(aws.asked("GetCallerIdentity").len(), 1, "a bus by name is the caller's own");
}

#[tokio::test]
async fn an_account_that_nobody_says_holds_no_event_back() {
    let aws = Aws::start(|asked| match asked.operation.as_str() {
        "GetCallerIdentity" => error("InvalidAction"),
        _ => rules(r#"{"account":["999"]}"#),
    })
    .await;
    let bus = Bus::parse("arn:aws:events:eu-central-1:123456789012:event-bus/vmware").unwrap();
    let (bus, _) = processor(Config { bus, ..config(&aws.url) });
    assert!(bus.sync().await);
    assert!(!bus.routes().route(&batch(&["A"], 10).remove(0).event).is_empty());
}

#[tokio::test]
async fn a_list_without_end_is_given_up() {
    let aws = Aws::start(|_| (200, json!({ "Rules": [], "NextToken": "again" }).to_string())).await;
    let (bus, status) = processor(config(&aws.url));
    assert!(!bus.sync().await);
    let ProcessorState::NotReady { why: Some(why) } = status.state() else { panic!() };
    assert!(why.contains("more than 100 pages"), "{why}");
}

#[tokio::test]
async fn check_tells_what_it_finds_and_a_test_event_only_when_asked() {
    let aws = Aws::start(|asked| match asked.operation.as_str() {
        "ListRules" => rules(PATTERN),
        "DescribeEventBus" => error("AccessDeniedException"),
        "TestEventPattern" => (200, json!({ "Result": asked.body["EventPattern"] != PATTERN }).to_string()),
        "GetCallerIdentity" => error("InvalidAction"),
        _ => taken(asked),
    })
    .await;
    let (bus, _) = processor(config(&aws.url));
    let mut report = Report::default();
    bus.check(&mut report).await;
    let told: Vec<_> = report.findings.iter().map(|(verdict, text)| format!("{verdict:?} {text}")).collect();
    for part in [
        "Ok note: whose credentials they are cannot be said: GetCallerIdentity",
        "Ok bus vmware in eu-central-1 answers",
        "Ok note: the bus may not be described",
        "Ok patterns may be tested",
        "Ok rule vmware-event-router is enabled: {\"detail\"",
        "Ok rule vmware-event-router would match a VmPoweredOnEvent",
        "Warning rule vmware-event-router: AWS says that it would not match",
        "Ok note: whether events may be sent",
    ] {
        assert!(told.iter().any(|line| line.starts_with(part)), "{part}: {told:#?}");
    }
    assert!(aws.asked("PutEvents").is_empty());

    let mut report = Report::default();
    bus.send_test(&mut report).await;
    let (verdict, text) = &report.findings[0];
    assert!(*verdict == crate::report::Verdict::Ok && text.ends_with("for bus vmware as id-0"), "{text}");
    assert_eq!(aws.asked("PutEvents")[0].body["Entries"][0]["DetailType"], "EventRouterTest");
}

#[tokio::test]
async fn check_asks_for_no_rules_where_none_are_configured() {
    let aws = Aws::start(|_| error("AccessDeniedException")).await;
    let (bus, _) = processor(Config { rules: Vec::new(), all_events: true, ..config(&aws.url) });
    let mut report = Report::default();
    bus.check(&mut report).await;
    assert!(report.findings.iter().all(|(verdict, _)| *verdict == crate::report::Verdict::Ok), "{report:?}");
    assert!(report.findings.iter().any(|(_, text)| text.contains("neither events:ListRules nor")), "{report:?}");
    assert!(aws.asked("ListRules").is_empty() && aws.asked("TestEventPattern").is_empty());
}

#[tokio::test]
async fn check_fails_where_the_rule_is_not_there_or_nobody_answers() {
    let aws = Aws::start(|asked| match asked.operation.as_str() {
        "ListRules" => (200, json!({ "Rules": [] }).to_string()),
        _ => error("AccessDeniedException"),
    })
    .await;
    let (bus, _) = processor(config(&aws.url));
    let mut report = Report::default();
    bus.check(&mut report).await;
    let failed = |report: &Report| -> Vec<String> {
        let failed = report.findings.iter().filter(|(verdict, _)| *verdict == crate::report::Verdict::Failure);
        failed.map(|(_, text)| text.clone()).collect()
    };
    let why = failed(&report);
    assert!(matches!(&why[..], [one] if one.contains("is not on bus vmware; create it")), "{why:?}");
    let (bus, _) = processor(config("http://127.0.0.1:1"));
    let mut report = Report::default();
    bus.check(&mut report).await;
    let why = failed(&report);
    assert!(matches!(&why[..], [one] if one.contains("connection refused") && one.contains("aws_region")), "{why:?}");
    let all = Config { rules: Vec::new(), all_events: true, ..config("http://127.0.0.1:1") };
    let (unruled, _) = processor(all);
    let mut report = Report::default();
    unruled.check(&mut report).await;
    assert_eq!(failed(&report), why.iter().map(|why| why.replace("ListRules", "DescribeEventBus")).collect::<Vec<_>>());
    let text = format!("{:?} {:?}", report, bus.config);
    assert!(!text.contains("hunter2") && !text.contains("t0ken"), "{text}");
}
