//! The OpenFaaS processor against a gateway that behaves as observed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use tokio_util::sync::{CancellationToken, DropGuard};
use vmware_event_router::attempt::{Delivery, Outcome, Position, Target};
use vmware_event_router::config::Secret;
use vmware_event_router::event::{Attributes, Event, PageBuilder};
use vmware_event_router::http::TlsOptions;
use vmware_event_router::processor::Processor;
use vmware_event_router::processor::openfaas::{Callback, CallbackSigner, Config, OpenFaas, Timing};
use vmware_event_router::report::{Report, Verdict};
use vmware_event_router::telemetry::{ProcessorState, ProcessorStatus, Telemetry};

use crate::support::gateway::{Annotations, Answer, Function, Gateway, Namespaces, PASSWORD, Queue, USERNAME};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// In a hurry, except to forget anybody.
const TIMING: Timing = Timing {
    interval: Duration::from_millis(2),
    retry: Duration::from_millis(2),
    removal: DAY,
    floor: Duration::from_millis(20),
    lookup: Duration::from_secs(20),
};

/// Refreshes once, and then only when it must.
const ONCE: Timing = Timing { interval: DAY, ..TIMING };

fn config(address: &str) -> Config {
    Config {
        name: "faas".into(),
        address: address.parse().unwrap(),
        username: Secret::literal(USERNAME),
        password: Secret::literal(PASSWORD),
        tls: TlsOptions::default(),
        asynchronous: false,
        timeout: Duration::from_secs(20),
        topic_delimiter: ",".to_owned(),
        topic_annotation: "topic".to_owned(),
        namespaces: Vec::new(),
        callback_url: None,
        callback_timeout: Duration::from_secs(300),
        delivery: vmware_event_router::config::delivery::Options::default(),
    }
}

/// A processor that keeps its map fresh until dropped.
struct Running {
    faas: Arc<OpenFaas>,
    status: Arc<ProcessorStatus>,
    _stop: DropGuard,
}

fn run(config: Config, timing: Timing, callbacks: Option<CallbackSigner>) -> Running {
    let status = Telemetry::new().processor(&config.name, "openfaas", config.address.as_str());
    let faas = Arc::new(OpenFaas::with_timing(config, Arc::clone(&status), callbacks, timing));
    let stop = CancellationToken::new();
    let (running, token) = (Arc::clone(&faas), stop.clone());
    tokio::spawn(async move { running.run(token).await });
    Running { faas, status, _stop: stop.drop_guard() }
}

async fn started(gateway: &Gateway, timing: Timing) -> Running {
    let running = run(config(&gateway.url()), timing, None);
    running.faas.ready().await;
    running
}

impl Running {
    fn targets(&self, subject: &str) -> Vec<String> {
        let targets = self.faas.routes().route(&event(subject));
        targets.iter().map(ToString::to_string).collect()
    }

    async fn attempt(&self, target: &str) -> Outcome {
        attempt(&self.faas, target, event("VmPoweredOnEvent"), 1).await
    }
}

async fn attempt(faas: &OpenFaas, target: &str, event: Event, attempt: u32) -> Outcome {
    let delivery = Delivery { event, position: Position(42), attempt };
    let mut outcomes = faas.attempt(&Target::new(target), &[delivery]).await;
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

/// Waits until lookups that began after this call have been taken in.
async fn refreshed(gateway: &Gateway) {
    // More than two refreshes of three namespaces: the second begins when the first was taken in.
    let enough = gateway.read(|state| state.lookups.len()) + 12;
    gateway.wait_for(|state| state.lookups.len() >= enough).await;
}

fn event(subject: &str) -> Event {
    let attributes = Attributes {
        id: "08179137-b8e0-4973-b05f-8f212bf5003b",
        kind: "com.vmware.event.router/event",
        subject,
        time: "2020-02-11T21:29:54.9052539Z",
        ..Attributes::default()
    };
    let mut page = PageBuilder::new("vc".into(), "https://10.0.0.1:443/sdk", &[]);
    page.push(&attributes, br#"{"Key":9902}"#);
    page.finish().remove(0)
}

fn kind(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered { .. } => "delivered",
        Outcome::Accepted { .. } => "accepted",
        Outcome::Busy { .. } => "busy",
        Outcome::Failed { .. } => "failed",
        Outcome::Rejected { .. } => "rejected",
    }
}

fn why(outcome: &Outcome) -> (Option<u16>, &str) {
    match outcome {
        Outcome::Busy { why, .. } | Outcome::Failed { why, .. } | Outcome::Rejected { why } => (why.status, &why.text),
        Outcome::Delivered { .. } | Outcome::Accepted { .. } => panic!("{outcome:?} has no reason"),
    }
}

fn after(outcome: &Outcome) -> Option<Duration> {
    match outcome {
        Outcome::Busy { after, .. } | Outcome::Failed { after, .. } => *after,
        _ => panic!("{outcome:?} has no wait"),
    }
}

#[tokio::test]
async fn functions_of_all_namespaces_count() {
    let mut null = Function::new("null");
    null.annotations = Annotations::Null;
    let gateway = Gateway::start([
        Function::subscribed("echo", "VmPoweredOnEvent, VmPoweredOffEvent,, "),
        Function::subscribed("named.openfaas-fn", "VmPoweredOffEvent"),
        Function::subscribed("audit.ops", "VmPoweredOnEvent"),
        Function::subscribed("case", "vmpoweredonevent,VmPowered"),
        Function::subscribed("elsewhere.lost", "VmPoweredOnEvent").annotated("other", "x"),
        Function::new("absent"),
        null,
    ])
    .await;
    let running = started(&gateway, ONCE).await;
    assert_eq!(running.targets("VmPoweredOnEvent"), ["audit.ops", "echo", "elsewhere.lost"]);
    assert_eq!(running.targets("VmPoweredOffEvent"), ["echo", "named"]);
    assert_eq!(running.targets("VmPowered"), ["case"]);
    assert_eq!(running.targets("VmPoweredOnEvent, VmPoweredOffEvent"), [""; 0]);
    assert_eq!(running.targets(""), [""; 0]);
    for there in ["echo", "audit.ops", "absent", "null"] {
        assert!(running.faas.routes().has(&Target::new(there)), "{there}");
    }
}

#[tokio::test]
async fn gateways_without_namespaces_are_asked_without() {
    for namespaces in [Namespaces::Unknown, Namespaces::Listed(Vec::new())] {
        let gateway = Gateway::start([Function::subscribed("echo", "A")]).await;
        gateway.change(|state| state.namespaces = namespaces);
        let running = started(&gateway, ONCE).await;
        assert_eq!(running.targets("A"), ["echo"]);
        let asked = gateway.read(|state| state.lookups.last().unwrap().path.clone());
        assert_eq!(asked, "/system/functions");
    }
}

#[tokio::test]
async fn annotation_delimiter_and_namespaces_are_the_user_s() {
    let gateway = Gateway::start([
        Function::subscribed("usual", "A"),
        Function::new("echo.ops").annotated("vcenter-topic", "A; B,C"),
        Function::new("echo.dev").annotated("vcenter-topic", "A"),
    ])
    .await;
    let config = Config {
        topic_annotation: "vcenter-topic".to_owned(),
        topic_delimiter: ";".to_owned(),
        namespaces: vec!["ops".to_owned(), "ops".to_owned()],
        ..config(&gateway.url())
    };
    let running = run(config, ONCE, None);
    running.faas.ready().await;
    assert_eq!(running.targets("A"), ["echo.ops"]);
    assert_eq!(running.targets("B,C"), ["echo.ops"]);
    let asked = gateway.read(|state| state.lookups.iter().map(|lookup| lookup.path.clone()).collect::<Vec<_>>());
    assert_eq!(asked, ["/system/functions?namespace=ops"]);
}

#[tokio::test]
async fn nothing_is_ready_before_the_first_map() {
    let gateway = Gateway::start([Function::subscribed("echo", "A")]).await;
    gateway.change(|state| state.prometheus_down = true);
    let running = run(config(&gateway.url()), TIMING, None);
    gateway.wait_for(|state| state.lookups.len() > 4).await;
    let ready = running.faas.ready();
    tokio::pin!(ready);
    assert!(futures_util::poll!(&mut ready).is_pending());
    let ProcessorState::NotReady { why: Some(why) } = running.status.state() else { panic!("ready without a map") };
    assert!(why.contains("closed in the middle"), "{why}");
    assert!(running.faas.routes().has(&Target::new("stranger")), "nobody is known to be gone");
    gateway.change(|state| state.prometheus_down = false);
    ready.await;
    assert_eq!(running.targets("A"), ["echo"]);
    assert_eq!(running.status.state(), ProcessorState::Ready);
}

#[tokio::test]
async fn a_refresh_that_fails_keeps_the_map() {
    let gateway = Gateway::start([Function::subscribed("echo", "A")]).await;
    let running = started(&gateway, TIMING).await;
    let good = gateway.read(|state| state.functions.clone());
    gateway.change(|state| state.functions.clear());
    let answers = [
        (Answer::status(502), "502"),
        (Answer::text(500, "no\nluck"), "500: no luck"),
        (Answer::status(404), "404"),
        (Answer::status(302).header("location", "/elsewhere"), "302"),
        (Answer::Close, "closed in the middle"),
        (Answer::text(200, "<html>"), "not the JSON"),
        (Answer::text(200, "{}"), "not the JSON"),
        (Answer::text(200, "[{]"), "not the JSON"),
        (Answer::text(200, "[7]"), "not the JSON"),
        (Answer::text(200, r#"[{"image":"x"}]"#), "without a name"),
        (Answer::text(200, vec![b' '; 17 << 20]), "exceeds"),
        (Answer::status(401), "user name and password"),
    ];
    for (answer, expected) in answers {
        gateway.change(|state| {
            state.lookup = Some(Arc::new(move |path| path.starts_with("/system/functions").then(|| answer.clone())));
        });
        refreshed(&gateway).await;
        assert_eq!(running.targets("A"), ["echo"], "{expected}");
        let ProcessorState::Stale { why } = running.status.state() else { panic!("not stale: {expected}") };
        assert!(why.contains(expected), "{why} lacks {expected}");
        assert!(!why.contains(PASSWORD));
    }
    gateway.change(|state| {
        state.lookup = None;
        state.functions = good;
        state.deploy(Function::subscribed("second", "A"));
    });
    refreshed(&gateway).await;
    assert_eq!(running.targets("A"), ["echo", "second"]);
    assert_eq!(running.status.state(), ProcessorState::Ready);
}

#[tokio::test]
async fn a_map_needs_the_answer_of_every_namespace() {
    let gateway = Gateway::start([Function::subscribed("echo", "A"), Function::subscribed("audit.ops", "A")]).await;
    let running = started(&gateway, TIMING).await;
    gateway.change(|state| {
        state.deploy(Function::subscribed("late", "A"));
        state.lookup = Some(Arc::new(|path| path.contains("namespace=ops").then(|| Answer::status(502))));
    });
    refreshed(&gateway).await;
    assert_eq!(running.targets("A"), ["audit.ops", "echo"]);
    gateway.change(|state| state.lookup = None);
    refreshed(&gateway).await;
    assert_eq!(running.targets("A"), ["audit.ops", "echo", "late"]);
}

#[tokio::test]
async fn an_unchanged_list_keeps_the_version() {
    let gateway = Gateway::start([Function::subscribed("echo", "A")]).await;
    let running = started(&gateway, TIMING).await;
    let before = running.faas.routes();
    refreshed(&gateway).await;
    assert!(Arc::ptr_eq(&before, &running.faas.routes()));
    gateway.change(|state| state.deploy(Function::subscribed("echo", "A,B")));
    refreshed(&gateway).await;
    assert!(!Arc::ptr_eq(&before, &running.faas.routes()));
    assert_eq!(running.targets("B"), ["echo"]);
}

#[tokio::test]
async fn whoever_is_absent_is_removed_after_a_while() {
    let gateway = Gateway::start([Function::subscribed("echo", "A,B"), Function::subscribed("gone", "A")]).await;
    let patient = started(&gateway, TIMING).await;
    let hasty = started(&gateway, Timing { removal: Duration::ZERO, ..TIMING }).await;
    gateway.change(|state| {
        state.remove("gone", "openfaas-fn");
        state.deploy(Function::subscribed("echo", "B"));
    });
    refreshed(&gateway).await;
    refreshed(&gateway).await;
    assert_eq!(patient.targets("A"), ["echo", "gone"]);
    assert!(patient.faas.routes().has(&Target::new("gone")));
    assert_eq!(hasty.targets("A"), [""; 0]);
    assert_eq!(hasty.targets("B"), ["echo"]);
    assert!(!hasty.faas.routes().has(&Target::new("gone")));
}

#[tokio::test]
async fn a_function_gets_the_event_and_no_password() {
    let gateway = Gateway::start([Function::subscribed("echo", "A"), Function::subscribed("audit.ops", "A")]).await;
    let running = started(&gateway, ONCE).await;
    let event = event("VmPoweredOnEvent");
    for target in ["echo", "audit.ops"] {
        let outcome = attempt(&running.faas, target, event.clone(), 1).await;
        assert_eq!(outcome, Outcome::Delivered { status: Some(200) });
        gateway.wait_for_calls(target, 1).await;
        gateway.read(|state| {
            let call = state.calls_of(target)[0];
            assert_eq!(call.method, http::Method::POST);
            assert_eq!((call.asynchronous, call.rest.as_str()), (false, ""));
            assert_eq!(call.body, event.json());
            assert_eq!(call.header("content-type"), Some("application/cloudevents+json"));
            assert_eq!(call.header("x-topic"), Some("VmPoweredOnEvent"));
            assert_eq!(call.header("x-connector"), Some("vmware-event-router"));
            assert_eq!(call.header("x-call-id"), Some("08179137-b8e0-4973-b05f-8f212bf5003b"));
            assert!(call.header("user-agent").unwrap().starts_with("vmware-event-router/"));
            assert_eq!(call.header("content-length"), Some(event.json().len().to_string().as_str()));
            for absent in ["authorization", "x-callback-url", "transfer-encoding"] {
                assert_eq!(call.header(absent), None);
            }
        });
    }
}

#[tokio::test]
async fn a_subject_that_no_header_holds_is_left_out() {
    let gateway = Gateway::start([Function::new("echo")]).await;
    let running = started(&gateway, ONCE).await;
    for subject in ["", "a\nb", "nul\0", "quoted \"\\ subject", "ünïcode"] {
        let outcome = attempt(&running.faas, "echo", event(subject), 1).await;
        assert_eq!(kind(&outcome), "delivered", "{subject:?}");
        gateway.read(|state| {
            let call = state.invocations.last().unwrap();
            let sent = call.headers.get("x-topic").map(|value| String::from_utf8(value.as_bytes().to_vec()).unwrap());
            let legal = !subject.is_empty() && !subject.contains(char::is_control);
            assert_eq!(sent.as_deref(), legal.then_some(subject));
            assert_eq!(call.subject(), subject);
        });
    }
}

#[tokio::test]
async fn every_status_of_a_function_has_its_outcome() {
    let gateway = Gateway::start([]).await;
    let running = started(&gateway, ONCE).await;
    for (status, expected) in [
        (200, "delivered"),
        (201, "delivered"),
        (202, "delivered"),
        (204, "delivered"),
        (299, "delivered"),
        (301, "rejected"),
        (307, "rejected"),
        (400, "rejected"),
        (401, "rejected"),
        (403, "rejected"),
        (404, "failed"),
        (405, "rejected"),
        (408, "failed"),
        (409, "failed"),
        (410, "rejected"),
        (413, "rejected"),
        (422, "rejected"),
        (425, "failed"),
        (429, "busy"),
        (500, "failed"),
        (501, "rejected"),
        (502, "busy"),
        (503, "busy"),
        (504, "busy"),
        (505, "failed"),
        (599, "failed"),
    ] {
        let answer = Answer::text(status, format!("it was {status}")).header("retry-after", "7");
        gateway.change(|state| state.deploy(Function::new("echo").always(answer.header("location", "/other"))));
        let outcome = running.attempt("echo").await;
        assert_eq!(kind(&outcome), expected, "{status}: {outcome:?}");
        if expected != "delivered" {
            let text = format!("the function answered {status}: it was {status}");
            assert_eq!(why(&outcome), (Some(status), text.as_str()));
        }
        if ["busy", "failed"].contains(&expected) {
            assert_eq!(after(&outcome), Some(Duration::from_secs(7)), "{status}");
        }
    }
}

#[tokio::test]
async fn no_answer_is_the_target_s_fault() {
    let gateway = Gateway::start([
        Function::new("close").always(Answer::Close),
        Function::new("drop").always(Answer::Drop),
        Function::new("hang").always(Answer::Hang),
        Function::new("echo"),
    ])
    .await;
    let running = started(&gateway, ONCE).await;
    for (target, status) in [("close", None), ("drop", Some(502))] {
        let outcome = running.attempt(target).await;
        assert_eq!((kind(&outcome), why(&outcome).0), ("busy", status), "{outcome:?}");
    }
    let short = run(Config { timeout: Duration::from_millis(20), ..config(&gateway.url()) }, ONCE, None);
    let outcome = short.attempt("hang").await;
    assert_eq!((kind(&outcome), why(&outcome)), ("busy", (None, "no complete answer within 20ms")));

    gateway.change(|state| state.provider_down = true);
    assert_eq!(kind(&running.attempt("echo").await), "busy");
    gateway.change(|state| state.provider_down = false);
    assert_eq!(kind(&running.attempt("echo").await), "delivered");
    gateway.kill().await;
    let outcome = running.attempt("echo").await;
    assert_eq!((kind(&outcome), why(&outcome).0), ("busy", None), "{outcome:?}");
    gateway.restart().await;
    assert_eq!(kind(&running.attempt("echo").await), "delivered");
}

#[tokio::test]
async fn a_function_that_wakes_slowly_or_talks_much_has_the_event() {
    let long = vec![b'x'; 4 << 20];
    let gateway = Gateway::start([
        Function::new("slow").always(Answer::ok().after(Duration::from_millis(50))),
        Function::new("talks").always(Answer::text(200, long.clone())),
        Function::new("moans").always(Answer::text(500, long)),
    ])
    .await;
    let running = started(&gateway, ONCE).await;
    assert_eq!(kind(&running.attempt("slow").await), "delivered");
    assert_eq!(kind(&running.attempt("talks").await), "delivered");
    let outcome = running.attempt("moans").await;
    let (status, text) = why(&outcome);
    assert_eq!((kind(&outcome), status), ("failed", Some(500)));
    assert!(text.len() < 600 && text.ends_with("xxx"), "{text}");
}

#[tokio::test]
async fn a_status_counts_though_its_body_breaks_off() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    for (head, expected) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 100", "delivered"),
        ("HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked", "failed"),
        ("HTTP/1.1 200", "busy"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _some_of_the_request = stream.read(&mut [0; 65536]).await.unwrap();
            let end = if head.contains(':') { "\r\n\r\n" } else { "" };
            stream.write_all(format!("{head}{end}").as_bytes()).await.unwrap();
        });
        let status = Telemetry::new().processor("faas", "openfaas", &address);
        let faas = OpenFaas::new(config(&address), status, None);
        let outcome = attempt(&faas, "echo", event("A"), 1).await;
        assert_eq!(kind(&outcome), expected, "{head}: {outcome:?}");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn a_404_is_explained_by_a_fresh_list() {
    let gateway = Gateway::start([Function::subscribed("echo", "A"), Function::subscribed("gone", "A")]).await;
    let running = started(&gateway, ONCE).await;
    gateway.change(|state| {
        state.deploy(Function::subscribed("echo", "A").always(Answer::text(404, "no such page")));
        state.remove("gone", "openfaas-fn");
    });
    let lists = gateway.read(|state| state.lists());
    let own = running.attempt("echo").await;
    assert_eq!((kind(&own), why(&own)), ("failed", (Some(404), "the function answered 404: no such page")));
    assert_eq!(gateway.read(|state| state.lists()), lists + 1);

    let gone = running.attempt("gone").await;
    assert_eq!((kind(&gone), why(&gone)), ("busy", (Some(404), "function gone is not there")));
    assert_eq!(after(&gone), Some(Duration::from_secs(5)));
    assert_eq!(running.targets("A"), ["echo", "gone"], "the removal after a minute decides");

    gateway.change(|state| state.prometheus_down = true);
    let unknown = running.attempt("gone").await;
    assert_eq!((kind(&unknown), after(&unknown)), ("busy", None));
    assert!(why(&unknown).1.contains("cannot be read"), "{unknown:?}");

    gateway.change(|state| {
        state.prometheus_down = false;
        state.deploy(Function::subscribed("gone", "A"));
    });
    assert_eq!(kind(&running.attempt("gone").await), "delivered");
}

#[tokio::test]
async fn many_404s_share_few_refreshes() {
    let gateway = Gateway::start([Function::new("echo").always(Answer::status(404))]).await;
    let running = started(&gateway, ONCE).await;
    let began = Instant::now();
    let mut outcomes = futures_util::future::join_all((0..200).map(|_| running.attempt("echo"))).await;
    for _ in 0..5 {
        outcomes.push(running.attempt("echo").await);
    }
    assert!(outcomes.iter().all(|outcome| kind(outcome) == "failed"));
    let most = began.elapsed().as_millis() / TIMING.floor.as_millis() + 2;
    let lists = gateway.read(|state| state.lists());
    assert!(lists as u128 <= most, "{lists} lists, {most} were allowed");
}

#[tokio::test]
async fn the_password_is_read_again_for_each_refresh() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "old\n").unwrap();
    let gateway = Gateway::start([Function::subscribed("echo", "A")]).await;
    gateway.change(|state| state.password = "old".to_owned());
    let password = Secret::parse(&format!("${{file:{}}}", file.display())).unwrap();
    let running = run(Config { password, ..config(&gateway.url()) }, TIMING, None);
    running.faas.ready().await;

    gateway.change(|state| state.password = "new".to_owned());
    refreshed(&gateway).await;
    assert!(matches!(running.status.state(), ProcessorState::Stale { .. }));
    assert_eq!(kind(&running.attempt("echo").await), "delivered", "functions need no password");

    std::fs::write(&file, "new\n").unwrap();
    refreshed(&gateway).await;
    assert_eq!(running.status.state(), ProcessorState::Ready);

    std::fs::remove_file(&file).unwrap();
    // Without a password nothing is asked; what tells is the state.
    while running.status.state() == ProcessorState::Ready {
        tokio::task::yield_now().await;
    }
    let ProcessorState::Stale { why } = running.status.state() else { panic!("not stale") };
    assert!(why.contains("cannot be read"), "{why}");
    assert_eq!(running.targets("A"), ["echo"]);
}

#[tokio::test]
async fn the_queue_s_answers_have_their_outcomes() {
    let gateway = Gateway::start([Function::subscribed("echo", "A").always(Answer::status(500))]).await;
    let running = run(Config { asynchronous: true, ..config(&gateway.url()) }, ONCE, None);
    running.faas.ready().await;
    let outcome = running.attempt("echo").await;
    assert_eq!(outcome, Outcome::Delivered { status: Some(202) }, "without a callback, queued is delivered");
    gateway.wait_for_calls("echo", 1).await;
    gateway.read(|state| {
        assert!(state.invocations[0].asynchronous);
        assert_eq!(state.invocations[0].header("x-callback-url"), None);
    });
    gateway.change(|state| state.queue = Queue::Down);
    let down = running.attempt("echo").await;
    assert_eq!((kind(&down), why(&down).0), ("busy", Some(500)));
    gateway.change(|state| state.queue = Queue::Absent);
    let absent = running.attempt("echo").await;
    assert_eq!((kind(&absent), why(&absent).0), ("failed", Some(404)));
    assert!(why(&absent).1.contains("no queue"), "{absent:?}");
    for (status, expected) in [(429, "busy"), (503, "busy"), (401, "rejected"), (501, "rejected"), (505, "failed")] {
        gateway.change(|state| state.front = Some(Arc::new(move |_| Some(Answer::status(status)))));
        assert_eq!(kind(&running.attempt("echo").await), expected, "{status}");
    }
}

#[tokio::test]
async fn a_callback_brings_the_function_s_own_answer() {
    let script = Function::new("echo").always(Answer::text(429, "later").header("retry-after", "9"));
    let gateway = Gateway::start([script]).await;
    let receiver = Gateway::start([Function::new("inbox")]).await;
    let signer = CallbackSigner::new(&[1; 32]);
    let config = Config {
        asynchronous: true,
        callback_url: Some(format!("{}/function/inbox", receiver.url()).parse().unwrap()),
        callback_timeout: Duration::from_secs(77),
        ..config(&gateway.url())
    };
    let running = run(config, ONCE, Some(signer.clone()));
    let outcome = attempt(&running.faas, "echo", event("A"), 3).await;
    assert_eq!(outcome, Outcome::Accepted { within: Duration::from_secs(77) });

    receiver.wait_for_calls("inbox", 1).await;
    let call = receiver.read(|state| state.invocations[0].clone());
    let query = call.rest.strip_prefix('?').unwrap();
    let target = Target::new("echo");
    let callback = Callback { processor: "faas".to_owned(), position: Position(42), target, attempt: 3 };
    assert_eq!(signer.verify(query), Some(callback.clone()));
    assert_eq!(signer.verify(&query.replace("attempt=3", "attempt=4")), None);
    assert_eq!(CallbackSigner::new(&[2; 32]).verify(query), None);

    let late = running.faas.callback(query, &call.headers, &call.body).await.unwrap();
    assert_eq!((late.position, &late.target, late.attempt), (Position(42), &callback.target, 3));
    assert_eq!((kind(&late.outcome), after(&late.outcome)), ("busy", Some(Duration::from_secs(9))));
    assert_eq!(why(&late.outcome), (Some(429), "the function answered 429: later"));
    for (status, expected) in [
        ("200", "delivered"),
        ("202", "delivered"),
        ("500", "failed"),
        ("404", "failed"),
        ("400", "rejected"),
        ("nonsense", "busy"),
        ("", "busy"),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("x-function-status", status.parse().unwrap());
        let late = running.faas.callback(query, &headers, b"").await.unwrap();
        assert_eq!(kind(&late.outcome), expected, "{status}");
    }
    let others = signer.sign(&gateway.url().parse().unwrap(), &Callback { processor: "other".to_owned(), ..callback });
    for refused in [&query.replace("attempt=3", "attempt=4"), others.split_once('?').unwrap().1, ""] {
        assert!(running.faas.callback(refused, &call.headers, &call.body).await.is_none(), "{refused}");
    }

    gateway.change(|state| state.queue = Queue::Down);
    assert_eq!(kind(&running.attempt("echo").await), "busy");
}

async fn check(config: Config) -> Report {
    let status = Telemetry::new().processor(&config.name, "openfaas", config.address.as_str());
    let mut report = Report::default();
    OpenFaas::new(config, status, None).check(&mut report).await;
    assert!(report.findings.iter().all(|(_, text)| !text.contains("secret\"") && !text.contains("Basic ")));
    report
}

fn failure(report: &Report) -> &str {
    let failures: Vec<_> = report.findings.iter().filter(|(verdict, _)| *verdict == Verdict::Failure).collect();
    assert_eq!(failures.len(), 1, "{report:?}");
    &failures[0].1
}

#[tokio::test]
async fn check_shows_what_is_there() {
    let gateway = Gateway::start([
        Function::subscribed("echo", "VmPoweredOnEvent,VmPoweredOffEvent"),
        Function::subscribed("audit.ops", "VmRemovedEvent"),
        Function::new("idle"),
    ])
    .await;
    let report = check(config(&gateway.url())).await;
    assert_eq!(report.verdict(), Verdict::Ok);
    let texts: Vec<_> = report.findings.iter().map(|(_, text)| text.as_str()).collect();
    let url = gateway.url();
    assert_eq!(
        texts,
        [
            format!("{url} answers and accepts the password (gateway 0.27.12, provider faas-stub 0.1.0)").as_str(),
            "3 functions, 2 of them subscribed",
            "audit.ops <- VmRemovedEvent",
            "echo <- VmPoweredOffEvent, VmPoweredOnEvent",
        ]
    );
    let namespaces = vec!["ops".to_owned(), "oops".to_owned()];
    let report = check(Config { namespaces, ..config(&gateway.url()) }).await;
    assert_eq!(report.verdict(), Verdict::Warning);
    assert!(report.findings.iter().any(|(_, text)| text.contains("no namespace oops")), "{report:?}");
}

#[tokio::test]
async fn check_tells_each_failure_and_what_to_do() {
    let gateway = Gateway::start([Function::subscribed("echo", "A")]).await;
    let port = gateway.address().port();

    let report = check(config("http://no-such-host.invalid:8080")).await;
    assert!(failure(&report).contains("the name cannot be resolved"), "{report:?}");
    assert!(failure(&report).contains("correct the host name"));

    let report = check(config(&format!("https://127.0.0.1:{port}"))).await;
    assert!(failure(&report).contains("TLS"), "{report:?}");

    let report = check(Config { password: Secret::literal("wrong"), ..config(&gateway.url()) }).await;
    assert!(failure(&report).contains("401") && failure(&report).contains("under \"auth\""), "{report:?}");

    let password = Secret::parse("${file:/nowhere/to/be/found}").unwrap();
    let report = check(Config { password, ..config(&gateway.url()) }).await;
    assert!(failure(&report).contains("/nowhere/to/be/found cannot be read"), "{report:?}");

    let report = check(config(&format!("{}/function/echo", gateway.url()))).await;
    assert!(failure(&report).contains("address"), "{report:?}");
    gateway.take_leaks();

    gateway.change(|state| state.prometheus_down = true);
    let report = check(config(&gateway.url())).await;
    assert!(failure(&report).contains("Prometheus"), "{report:?}");

    gateway.change(|state| (state.prometheus_down, state.provider_down) = (false, true));
    let report = check(config(&gateway.url())).await;
    assert!(failure(&report).contains("provider does not answer"), "{report:?}");

    gateway.change(|state| {
        state.provider_down = false;
        state.deploy(Function::new("echo"));
    });
    let report = check(config(&gateway.url())).await;
    assert!(failure(&report).contains("no function subscribes to any event"), "{report:?}");
    assert!(failure(&report).contains("--annotation topic=VmPoweredOnEvent"));

    gateway.kill().await;
    let report = check(config(&gateway.url())).await;
    assert!(failure(&report).contains("connection refused"), "{report:?}");
    assert!(failure(&report).contains("is the gateway running"));
}
