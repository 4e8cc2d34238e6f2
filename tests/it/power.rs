//! The power fails again and again under load: of what was not synced, any part may be gone, and yet nothing that a
//! function was given is missing in the journal, and no event in the end.
//!
//! `POWER_LOSSES=N` fails so often; `POWER_SEED=N` in the same way as another run did.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use vmware_event_router::attempt::BatchLimits;
use vmware_event_router::journal::embedded::{EmbeddedJournal, Settings};
use vmware_event_router::journal::{Begin, Journal as _};

use crate::support::gateway::{Function, Gateway, State};
use crate::support::given;
use crate::support::judge::{Happened, Judge};
use crate::support::router::{Router, metrics, processor, stream};
use crate::support::simulator::Simulator;
use crate::support::traced::{self, Traced};

/// Events between two losses, about.
const EVENTS: u64 = 1_000;

/// A test that waits this long for something waits in vain.
const PATIENCE: Duration = Duration::from_secs(60);

/// The events in the journal, each of them once.
pub(crate) async fn journaled(folder: &Path) -> HashSet<String> {
    let journal = EmbeddedJournal::new(folder, Settings::default(), vec!["reader".into()]);
    journal.open().await.unwrap();
    let cursor = journal.cursor("reader", Begin::Oldest).await.unwrap();
    let (mut after, mut ids) = (cursor.state().front, HashSet::new());
    loop {
        let entries = cursor.read(after, BatchLimits { events: 1000, bytes: 1 << 20 }).await.unwrap();
        let Some(last) = entries.last() else { break };
        after = last.position;
        for entry in &entries {
            assert!(ids.insert(entry.event.id().to_owned()), "{} is in the journal twice", entry.event.id());
        }
    }
    drop(cursor);
    journal.forget("reader").await.unwrap();
    journal.close().await.unwrap();
    ids
}

/// A busy vCenter, a function that has its judge, and a folder whose power fails.
struct Scene {
    simulator: Simulator,
    judge: Arc<Mutex<Judge>>,
    given: Arc<Mutex<HashSet<String>>>,
    config: Vec<Value>,
    folder: Arc<TempDir>,
    _gateway: Gateway,
}

impl Scene {
    async fn new(events: u64, seed: u64) -> Self {
        let most = events.to_string();
        let simulator =
            Simulator::start(&["--tls=false", "--rate", "2000", "--most", &most, "--seed", &seed.to_string()]);
        let judge = Arc::new(Mutex::new(Judge::lenient()));
        let given = Arc::new(Mutex::new(HashSet::new()));
        let (to_judge, ids) = (Arc::clone(&judge), Arc::clone(&given));
        let mut state = State { keep: 0, ..State::default() };
        state.on_call = Some(Arc::new(move |call| {
            ids.lock().unwrap().insert(call.event_id());
            to_judge.lock().unwrap().received(&call.body);
        }));
        let topics = [simulator.subjects().await, vec!["EventGap".to_owned()]].concat().join(",");
        state.deploy(Function::subscribed("everything", &topics));
        let gateway = Gateway::listen(([127, 0, 0, 1], 0).into(), state).await.unwrap();
        let mut stream = stream(&simulator.url);
        stream["options"]["begin"] = "-24h".into();
        // All of it stays there, to be counted; in segments that are many.
        let options = json!({ "max_bytes": "16GiB", "segment_bytes": "256KiB" });
        let journal = json!({ "type": "journal", "provider": "embedded", "options": options });
        let config = vec![stream, processor(&gateway, &json!({})), metrics(), journal];
        let folder = Arc::new(tempfile::tempdir().unwrap());
        std::fs::create_dir(folder.path().join("state")).unwrap();
        Self { simulator, judge, given, config, folder, _gateway: gateway }
    }

    /// Runs until so many events have come, and a moment longer; then the power fails. Gives what was not durable.
    async fn run_until(&self, moment: u64, honest: bool, random: &mut fastrand::Rng) -> usize {
        let state = self.folder.path().join("state").canonicalize().unwrap();
        let log = self.folder.path().join("trace");
        let mut traced = Traced::begin(&state, honest);
        let tracer = traced::tracer(&log);
        let by: Vec<_> = tracer.iter().map(|word| &**word).collect();
        let router = Router::start_under(&by, &self.folder, &self.config, &[], &[]).await;
        let grace = Duration::from_millis(random.u64(..60));
        let received = || self.judge.lock().unwrap().received_count();
        let reached = async {
            while received() < moment {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{} of {moment} came", received()));
        tokio::time::sleep(grace).await;
        router.kill();
        traced::ended(&log).await;
        traced.follow(&log);
        traced.assert_followed();
        traced.lose_power(random);
        traced.at_stake()
    }

    /// What a function was given and the journal does not have.
    async fn missing(&self) -> Vec<String> {
        let journaled = journaled(&self.folder.path().join("state")).await;
        let given = self.given.lock().unwrap();
        given.iter().filter(|id| !journaled.contains(*id)).cloned().collect()
    }
}

#[tokio::test]
async fn whatever_was_not_synced_is_lost_and_nothing_is_missing() {
    let losses = given("POWER_LOSSES").unwrap_or(6);
    let seed = given("POWER_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("POWER_LOSSES={losses} POWER_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let events = losses * EVENTS;
    let mut moments: Vec<_> = (0..losses).map(|_| random.u64(..events)).collect();
    moments.sort_unstable();
    let scene = Scene::new(events, seed).await;
    let mut at_stake = 0;
    for moment in moments {
        at_stake += scene.run_until(moment, true, &mut random).await;
        let missing = scene.missing().await;
        assert!(missing.is_empty(), "given to a function, and not durable: {missing:?}");
    }

    let router = Router::start_in(&scene.folder, &scene.config, &[], &[]).await;
    let mut seen = 0;
    let all = async {
        loop {
            let ledger = scene.simulator.ask("GET", &format!("/ledger?from={seen}&count=100000"), "").await;
            for line in ledger.lines() {
                scene.judge.lock().unwrap().happened(Happened::parse(line).unwrap());
                seen += 1;
            }
            let figures = scene.simulator.figures().await;
            let [lived, made] = ["lived", "events"].map(|figure| figures[figure].as_u64().unwrap());
            let owed = {
                let mut judge = scene.judge.lock().unwrap();
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
    let verdict = scene.judge.lock().unwrap().verdict(true);
    println!("{verdict:?}, {at_stake} bytes were not durable");
    assert_eq!(verdict.mistakes, 0, "{:#?}", verdict.shown);
    assert!(came.is_ok() && verdict.gaps == 0, "{verdict:?}");
    assert!(at_stake > 0, "the power never failed while something was not durable");
    assert_eq!(journaled(&scene.folder.path().join("state")).await.len() as u64, verdict.happened);
}

#[tokio::test]
async fn a_disk_that_does_not_sync_is_noticed() {
    let mut random = fastrand::Rng::with_seed(1);
    for attempt in 0..5 {
        let scene = Scene::new(EVENTS, 1 + attempt).await;
        scene.run_until(EVENTS / 2, false, &mut random).await;
        if !scene.missing().await.is_empty() {
            return;
        }
    }
    panic!("nothing was missing, however little was durable");
}

#[tokio::test]
async fn the_names_of_new_folders_are_made_durable() {
    let simulator = Simulator::start(&["--tls=false", "--rate", "0"]);
    let gateway = Gateway::start([Function::subscribed("f", "VmPoweredOnEvent")]).await;
    let config = [stream(&simulator.url), processor(&gateway, &json!({})), metrics()];
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let log = folder.path().join("trace");
    let calls = "trace=mkdir,mkdirat,fsync,fdatasync";
    let by = ["strace", "-D", "-f", "-qq", "-y", "-s", "4096", "-e", calls, "-o", log.to_str().unwrap()];
    let router = Router::start_under(&by, &folder, &config, &[], &[]).await;
    router.ready().await;
    router.stop().await;
    traced::ended(&log).await;
    let log = std::fs::read_to_string(&log).unwrap();
    let mut made = Vec::new();
    for (at, line) in log.lines().enumerate().filter(|(_, line)| line.contains("mkdir") && line.ends_with(" = 0")) {
        let path = Path::new(line.split('"').nth(1).unwrap());
        let above = format!("<{}>", path.parent().unwrap().display());
        let synced = log.lines().skip(at).any(|line| line.contains(" fsync(") && line.contains(&above));
        assert!(synced, "{} is made, and its name not durable: {log}", path.display());
        made.push(path.file_name().unwrap().to_owned());
    }
    made.sort();
    assert_eq!(made, ["events", "letters", "outcomes", "places", "state"]);
}
