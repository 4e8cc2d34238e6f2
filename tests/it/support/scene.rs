//! A busy vCenter, a function that has its judge, and the folder of a router that is ended in the middle of its work.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use vmware_event_router::attempt::BatchLimits;
use vmware_event_router::journal::embedded::{EmbeddedJournal, Settings};
use vmware_event_router::journal::{Begin, Journal as _};

use super::gateway::{Function, Gateway, State};
use super::judge::{Judge, Verdict};
use super::router::{Router, metrics, processor, stream};
use super::simulator::Simulator;

/// A test that waits this long for something waits in vain.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Scene {
    pub(crate) config: Vec<Value>,
    pub(crate) folder: Arc<TempDir>,
    /// What the function was given.
    pub(crate) given: Arc<Mutex<HashSet<String>>>,
    events: u64,
    simulator: Simulator,
    judge: Arc<Mutex<Judge>>,
    _gateway: Gateway,
}

impl Scene {
    /// So many events happen, so many a second, and all of them stay in the journal, to be counted.
    pub(crate) async fn new(events: u64, rate: u64, seed: u64, mut journal: Value) -> Self {
        let [most, rate, seed] = [events, rate, seed].map(|number| number.to_string());
        let simulator = Simulator::start(&["--tls=false", "--rate", &rate, "--most", &most, "--seed", &seed]);
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
        journal["max_bytes"] = "16GiB".into();
        let journal = json!({ "type": "journal", "provider": "embedded", "options": journal });
        let config = vec![stream, processor(&gateway, &json!({})), metrics(), journal];
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let scene = Self { config, folder, given, events, simulator, judge, _gateway: gateway };
        std::fs::create_dir(scene.state()).unwrap();
        scene
    }

    /// Where the router keeps its journal.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Waits until the function was given so many events.
    pub(crate) async fn received(&self, moment: u64) {
        let received = || self.judge.lock().unwrap().received_count();
        let reached = async {
            while received() < moment {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{} of {moment} came", received()));
    }

    /// Runs a router until everything has come that happened, and sees that nothing is missing anywhere and that nothing
    /// is in the journal twice.
    pub(crate) async fn end(&self) -> Verdict {
        let router = Router::start_in(&self.folder, &self.config, &[], &[]).await;
        let mut seen = 0;
        let all = async {
            loop {
                let told = self.simulator.ledger(seen).await;
                seen += told.len() as u64;
                told.into_iter().for_each(|event| self.judge.lock().unwrap().happened(event));
                let all_told = self.simulator.all_happened(self.events, seen).await;
                let owed = {
                    let mut judge = self.judge.lock().unwrap();
                    judge.compare();
                    judge.owed()
                };
                if all_told && owed == 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let came = tokio::time::timeout(PATIENCE, all).await;
        router.stop().await;
        let verdict = self.judge.lock().unwrap().verdict(true);
        println!("{verdict:?}");
        assert_eq!(verdict.mistakes, 0, "{:#?}", verdict.shown);
        assert!(came.is_ok() && verdict.gaps == 0, "{verdict:?}");
        assert_eq!(journaled(&self.state()).await.len() as u64, verdict.happened);
        verdict
    }
}

/// The events in a journal, each of them once.
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
