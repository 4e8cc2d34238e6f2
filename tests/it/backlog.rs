//! A function that is away while very many events pass: they wait on the disk and not in memory, nobody else notices, and
//! when it is back it gets all of them, in order.
//!
//! `BACKLOG_EVENTS=N` makes so many events pass.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::gateway::{Answer, Function, Gateway, State};
use crate::support::given;
use crate::support::judge::Judge;
use crate::support::router::{Router, metrics, processor, stream};
use crate::support::simulator::Simulator;

/// However many events wait, the router has no more than this. A million are a gigabyte.
const MOST_MEMORY: u64 = 96 << 20;

/// When nothing has come for so long, nothing will.
const PATIENCE: Duration = Duration::from_secs(30);

type Judged = Arc<Mutex<Judge>>;

/// A function that has its judge, and that is there when the flag says so.
fn judged(name: &str, topics: &str, there: &Arc<AtomicBool>) -> (Function, Judged) {
    let judge = Judged::default();
    let (received, there) = (Arc::clone(&judge), Arc::clone(there));
    let function = Function::subscribed(name, topics).script(move |call| {
        if !there.load(Ordering::Relaxed) {
            return Answer::status(503);
        }
        received.lock().unwrap().received(&call.body);
        Answer::ok()
    });
    (function, judge)
}

async fn gateway(functions: impl IntoIterator<Item = Function>) -> Gateway {
    let mut state = State { keep: 0, ..State::default() };
    for function in functions {
        state.deploy(function);
    }
    Gateway::listen(([127, 0, 0, 1], 0).into(), state).await.unwrap()
}

/// Waits until all of them have received so many; as long as something comes.
async fn all_received(judges: &[&Judged], events: u64) {
    let counts = || judges.iter().map(|judge| judge.lock().unwrap().received_count()).collect::<Vec<_>>();
    let (mut before, mut since) = (counts(), Instant::now());
    while before.iter().any(|count| *count < events) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = counts();
        if now != before {
            (before, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < PATIENCE, "{before:?} of {events} came, and no more");
    }
}

#[tokio::test]
async fn who_is_away_while_very_many_events_pass_gets_them_all_in_order() {
    let events = given("BACKLOG_EVENTS").unwrap_or(50_000);
    let simulator = Simulator::start(&["--tls=false", "--rate", "max", "--most", &events.to_string()]);
    let topics = simulator.subjects().await.join(",");
    let (always, at_last) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let (beside, besides) = judged("beside", &topics, &always);
    let (away, aways) = judged("away", &topics, &at_last);
    let (elsewhere, elsewheres) = judged("elsewhere", &topics, &always);
    let (here, there) = (gateway([beside, away]).await, gateway([elsewhere]).await);
    let mut stream = stream(&simulator.url);
    stream["options"]["begin"] = "-24h".into();
    let journal = json!({ "type": "journal", "provider": "embedded", "options": { "max_bytes": "4GiB" } });
    let config = [stream, processor(&here, &json!({})), processor(&there, &json!({})), metrics(), journal];
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let began = Instant::now();
    let router = Router::start_in(&folder, &config, &[], &[]).await;

    let mut told = Vec::new();
    loop {
        told.extend(simulator.ledger(told.len() as u64).await);
        if simulator.all_happened(events, told.len() as u64).await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let all = told.len() as u64;
    for judge in [&besides, &aways, &elsewheres] {
        let mut judge = judge.lock().unwrap();
        told.iter().for_each(|event| judge.happened(*event));
    }
    all_received(&[&besides, &elsewheres], all).await;
    let passed = began.elapsed();
    let stats = router.stats().await;
    let journal = &stats["vmware.event.router.journal"];
    assert_eq!(journal["undelivered"].as_u64(), Some(all), "the events of the one that is away wait: {stats:#}");
    assert_eq!(aways.lock().unwrap().received_count(), 0);

    at_last.store(true, Ordering::Relaxed);
    let back = Instant::now();
    all_received(&[&aways], all).await;
    let caught_up = back.elapsed();
    router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"] == 0).await;
    let memory = router.most_memory();
    router.stop().await;
    println!(
        "{all} events passed at {:.0}/s, were caught up with at {:.0}/s, and took {:.1} MB of memory at most",
        all as f64 / passed.as_secs_f64(),
        all as f64 / caught_up.as_secs_f64(),
        memory as f64 / 1e6
    );
    for (name, judge) in [("beside", besides), ("away", aways), ("elsewhere", elsewheres)] {
        let mut judge = judge.lock().unwrap();
        judge.compare();
        let verdict = judge.verdict(true);
        let clean = (verdict.mistakes, verdict.owed, verdict.again, verdict.gaps) == (0, 0, 0, 0);
        assert!(clean, "{name}: {verdict:#?}");
    }
    assert!(memory < MOST_MEMORY, "{memory} bytes of memory");
}
