//! The router, killed again and again in the middle of its work: nothing is missing, nothing is in the journal twice, and
//! what comes twice is what was under way.
//!
//! `CRASH_KILLS=N` kills it so often; `CRASH_SEED=N` at the same moments as another run did.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use crate::power::journaled;
use crate::support::gateway::{Function, Gateway, State};
use crate::support::given;
use crate::support::judge::{Happened, Judge};
use crate::support::router::{Router, metrics, processor, stream};
use crate::support::simulator::Simulator;

/// Events between two kills, about.
const EVENTS: u64 = 3_000;

/// What a kill may repeat: what was under way, and what was answered a moment ago.
const REPEATS: u64 = 256;

/// A test that waits this long for something waits in vain.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_router_that_is_killed_again_and_again_loses_nothing() {
    let kills = given("CRASH_KILLS").unwrap_or(10);
    let seed = given("CRASH_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("CRASH_KILLS={kills} CRASH_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let events = kills * EVENTS;
    let mut moments: Vec<_> = (0..kills).map(|_| random.u64(..events)).collect();
    moments.sort_unstable();

    let simulator = Simulator::start(&[
        "--tls=false",
        "--rate",
        "6000",
        "--most",
        &events.to_string(),
        "--seed",
        &seed.to_string(),
    ]);
    let judge = Arc::new(Mutex::new(Judge::lenient()));
    let to_judge = Arc::clone(&judge);
    let mut state = State { keep: 0, ..State::default() };
    state.on_call = Some(Arc::new(move |call| to_judge.lock().unwrap().received(&call.body)));
    let topics = [simulator.subjects().await, vec!["EventGap".to_owned()]].concat().join(",");
    state.deploy(Function::subscribed("everything", &topics));
    let gateway = Gateway::listen(([127, 0, 0, 1], 0).into(), state).await.unwrap();
    let mut stream = stream(&simulator.url);
    stream["options"]["begin"] = "-24h".into();
    // All of it stays there, to be counted.
    let journal = json!({ "type": "journal", "provider": "embedded", "options": { "max_bytes": "16GiB" } });
    let config = [stream, processor(&gateway, &json!({})), metrics(), journal];
    let folder = Arc::new(tempfile::tempdir().unwrap());

    let received = || judge.lock().unwrap().received_count();
    for moment in moments {
        let router = Router::start_in(&folder, &config, &[], &[]).await;
        // A kill in the beginning is as good as any.
        let grace = Duration::from_millis(random.u64(..40));
        let reached = async {
            while received() < moment {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{} of {moment} came", received()));
        tokio::time::sleep(grace).await;
        router.kill();
    }

    let router = Router::start_in(&folder, &config, &[], &[]).await;
    let mut seen = 0;
    let all = async {
        loop {
            for line in simulator.ask("GET", &format!("/ledger?from={seen}&count=100000"), "").await.lines() {
                judge.lock().unwrap().happened(Happened::parse(line).unwrap());
                seen += 1;
            }
            let figures = simulator.figures().await;
            let [lived, made] = ["lived", "events"].map(|figure| figures[figure].as_u64().unwrap());
            let owed = {
                let mut judge = judge.lock().unwrap();
                judge.compare();
                judge.owed()
            };
            if lived >= events && seen >= made && owed == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let came = tokio::time::timeout(PATIENCE, all).await;
    router.stop().await;
    let verdict = judge.lock().unwrap().verdict(true);
    println!("{verdict:?}");
    assert_eq!(verdict.mistakes, 0, "{:#?}", verdict.shown);
    assert!(came.is_ok() && verdict.gaps == 0, "{verdict:?}");
    assert!(verdict.again <= kills * REPEATS, "{} came again, after {kills} kills", verdict.again);
    assert_eq!(journaled(&folder.path().join("state")).await.len() as u64, verdict.happened);
}
