//! A hundred thousand events as fast as they go, through the whole router, while everything goes wrong that can.
//!
//! The simulator runs by itself, as its users run it; the router runs in here, with shorter waits than it has in the
//! field. Its ledger says what happened, the judge whether all of that came: nothing missing but what a gap event
//! names, nothing twice, every entity's events in order.
//!
//! `FAULT_SEED=N` repeats what a run did. `STORM_PATIENCE=N` waits so many seconds for what does not come.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vmware_event_router::router::{Router, RouterConfig};
use vmware_event_router::stream::vcenter::Timing;
use vmware_event_router::stream::{self};

use crate::support::gateway::{Function, Gateway, State};
use crate::support::judge::{Happened, Judge, Verdict};
use crate::support::router::{metrics, processor, stream};
use crate::support::simulator::Simulator;

/// Between faults that come together.
const AND: &str = " and ";

const EVENTS: u64 = 100_000;
const MOMENTS: u64 = 20;

/// How far the simulator is ahead of its reader at most.
const AHEAD: u64 = 5_000;

/// Nothing comes for so many seconds: it never will.
const PATIENCE: u64 = 60;

/// So many times as long, and it has no end: who logs in again and again makes events for ever.
const NO_END: u32 = 12;

/// A number that the environment gives.
fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|number| number.parse().unwrap())
}

/// What takes seconds in the field takes tenths of them here.
fn timing() -> Timing {
    Timing {
        call: Duration::from_millis(1000),
        page: Duration::from_millis(1500),
        max_wait: Duration::from_secs(1),
        poll: Duration::from_millis(50),
        look_back: Duration::from_millis(500),
        look_back_busy: Duration::from_millis(500),
        stall: Duration::from_millis(300),
        retry_first: Duration::from_millis(10),
        retry_most: Duration::from_millis(200),
        refused_first: Duration::from_millis(100),
        ..Timing::default()
    }
}

fn locked(judge: &Mutex<Judge>) -> MutexGuard<'_, Judge> {
    judge.lock().unwrap()
}

/// Runs it all with these faults, and gives the verdict and what the operator was told.
async fn run(faults: &[&str]) -> Verdict {
    run_at("max", faults).await
}

async fn run_at(rate: &str, faults: &[&str]) -> Verdict {
    let seed = given("FAULT_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    let patience = Duration::from_secs(given("STORM_PATIENCE").unwrap_or(PATIENCE));
    println!("{faults:?} with FAULT_SEED={seed}");
    // Not before there is something that the router knows: what a vCenter forgets before it was ever read, nobody can miss.
    let mut random = fastrand::Rng::with_seed(seed);
    let mut planned = Vec::new();
    for fault in faults {
        for _ in 0..MOMENTS {
            let moment = random.u64(2 * AHEAD..EVENTS);
            planned.extend(fault.split(AND).map(|fault| format!("{fault}@{moment}")));
        }
    }
    let (most, seed) = (EVENTS.to_string(), seed.to_string());
    let mut args = vec!["--tls=false", "--rate", rate, "--most", &most, "--seed", &seed];
    args.extend(planned.iter().flat_map(|fault| ["--fault", fault.as_str()]));
    let simulator = Simulator::start(&args);

    let judge = Arc::new(Mutex::new(Judge::default()));
    let to_judge = Arc::clone(&judge);
    let mut state = State { keep: 0, ..State::default() };
    state.on_call = Some(Arc::new(move |call| locked(&to_judge).received(&call.body)));
    state.deploy(Function::subscribed(
        "everything",
        &[simulator.subjects().await, vec!["EventGap".to_owned()]].concat().join(","),
    ));
    let gateway = Gateway::listen(([127, 0, 0, 1], 0).into(), state).await.unwrap();

    let mut stream = stream(&simulator.url);
    stream["options"]["begin"] = "-24h".into();
    let config = json!([stream, processor(&gateway, &json!({})), metrics()]).to_string();
    let mut config = RouterConfig::parse("config.json", config.as_bytes()).unwrap();
    for stream::Config::Vcenter(config) in &mut config.streams {
        config.timing = timing();
    }
    let stop = CancellationToken::new();
    let router = tokio::spawn(Router::new(config).run(stop.clone()));

    let (mut seen, mut before, started, mut moved) = (0, 0, Instant::now(), Instant::now());
    loop {
        // There is nothing to be told by: another process knows what happened.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let figures = simulator.figures().await;
        let (lived, events) = (figures["lived"].as_u64().unwrap(), figures["events"].as_u64().unwrap());
        for line in simulator.ask("GET", &format!("/ledger?from={seen}&count=100000"), "").await.lines() {
            let event = Happened::parse(line).unwrap();
            assert_eq!(event.seq, seen, "the ledger is whole");
            seen += 1;
            locked(&judge).happened(event);
        }
        let mut judge = locked(&judge);
        judge.compare();
        let now = (seen, judge.received_count());
        if now.0 + now.1 != before {
            (before, moved) = (now.0 + now.1, Instant::now());
        }
        let all = lived >= EVENTS && seen >= events;
        if all && judge.owed() == 0 || moved.elapsed() > patience || started.elapsed() > patience * NO_END {
            break;
        }
    }
    stop.cancel();
    router.await.unwrap().unwrap();
    let figures = simulator.figures().await;
    let verdict = locked(&judge).verdict(true);
    println!("{verdict:?}\n{figures:#}");
    for fault in faults.iter().flat_map(|fault| fault.split(AND)) {
        let name = fault.split(['=', '@']).next().unwrap();
        assert_eq!(figures["faults"][name].as_u64(), Some(MOMENTS), "{name}: {figures:#}");
    }
    assert_eq!(verdict.mistakes, 0, "{:#?}", verdict.shown);
    assert!(verdict.happened >= EVENTS && verdict.received + verdict.in_gaps >= EVENTS, "{verdict:?}");
    for left in ["sessions", "collectors", "filters"] {
        assert_eq!(figures[left], 0, "nothing stays behind: {figures:#}");
    }
    verdict
}

#[tokio::test]
async fn nothing_goes_wrong() {
    let verdict = run(&[]).await;
    assert_eq!((verdict.gaps, verdict.undecoded), (0, 0), "{verdict:?}");
}

/// Those that take nothing away.
async fn without_gaps(fault: &str) {
    let verdict = run(&[fault]).await;
    assert_eq!(verdict.gaps, 0, "{verdict:?}");
}

#[tokio::test]
async fn sessions_expire() {
    without_gaps("session-expiry").await;
}

#[tokio::test]
async fn vcenter_restarts() {
    without_gaps("restart=same-keys,50ms").await;
}

#[tokio::test]
async fn vcenter_restarts_with_an_empty_database() {
    let verdict = run(&["restart=new-keys,50ms"]).await;
    assert!(verdict.gaps > 0, "{verdict:?}");
}

#[tokio::test]
async fn vcenter_is_restored_to_an_older_state() {
    // Further back than was read: had nobody ever seen what is gone, nobody could know.
    let verdict = run(&["restore=8000,50ms"]).await;
    assert!(verdict.gaps > 0, "{verdict:?}");
}

#[tokio::test]
async fn calls_hang() {
    without_gaps("hang").await;
}

#[tokio::test]
async fn connections_fall_silent() {
    without_gaps("half-open").await;
}

#[tokio::test]
async fn answers_break_off() {
    without_gaps("truncated").await;
}

#[tokio::test]
async fn a_proxy_answers_in_its_place() {
    without_gaps("unavailable=200ms").await;
}

#[tokio::test]
async fn the_session_s_and_the_collector_s_faults() {
    for kind in ["NotAuthenticated", "ManagedObjectNotFound", "InvalidCollectorVersion", "RequestCanceled"] {
        without_gaps(&format!("soap={kind}")).await;
    }
}

#[tokio::test]
async fn faults_of_the_credentials() {
    for kind in ["InvalidLogin", "NoPermission", "InvalidLocale", "InvalidState"] {
        without_gaps(&format!("soap={kind}")).await;
    }
}

#[tokio::test]
async fn faults_of_strange_servers() {
    for kind in ["InvalidArgument", "InvalidProperty", "MethodNotFound", "NotImplemented"] {
        without_gaps(&format!("soap={kind}")).await;
    }
}

#[tokio::test]
async fn keys_wrap() {
    without_gaps("key-wrap").await;
}

#[tokio::test]
async fn events_come_late() {
    without_gaps("late=20,30s").await;
}

#[tokio::test]
async fn events_have_equal_times() {
    without_gaps("equal-times=1500").await;
}

#[tokio::test]
async fn the_clock_jumps_forwards() {
    without_gaps("clock=+7m").await;
}

#[tokio::test]
async fn the_clock_jumps_back() {
    // A collector that began before all that is to come brings it in any case; one of a new session began just now.
    let verdict = run(&["clock=-7m", "session-expiry"]).await;
    assert_eq!(verdict.gaps, 0, "{verdict:?}");
}

#[tokio::test]
async fn nobody_knows_a_type() {
    without_gaps("unknown-type=5").await;
}

#[tokio::test]
async fn events_cannot_be_decoded() {
    let verdict = run(&["undecodable=3"]).await;
    assert!(verdict.undecoded >= 3 * MOMENTS && verdict.gaps == 0, "{verdict:?}");
}

#[tokio::test]
async fn answers_are_slow() {
    // From the first moment on for as long as it takes: who gave up too soon would get no answer any more.
    without_gaps("slow=60ms,10m").await;
}

#[tokio::test]
async fn there_are_too_many_collectors() {
    // Only who needs a new one notices.
    let verdict = run(&["collectors=300ms", "session-expiry"]).await;
    assert_eq!(verdict.gaps, 0, "{verdict:?}");
}

#[tokio::test]
async fn logins_are_refused_for_a_while() {
    let verdict = run(&["login=300ms and session-expiry"]).await;
    assert_eq!(verdict.gaps, 0, "{verdict:?}");
}

#[tokio::test]
async fn events_are_gone_beyond_retention() {
    let verdict = run(&["expired=100"]).await;
    assert!(verdict.gaps > 0, "{verdict:?}");
}

#[tokio::test]
async fn the_user_may_not_see_everything() {
    let verdict = run_at("10000", &["hidden=2500"]).await;
    assert!(verdict.gaps > 0, "{verdict:?}");
}
