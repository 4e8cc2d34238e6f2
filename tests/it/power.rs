//! The power fails again and again under load: of what was not synced, any part may be gone, and yet nothing that a
//! function was given is missing in the journal, and no event in the end.
//!
//! `POWER_LOSSES=N` fails so often; `POWER_SEED=N` in the same way as another run did.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::gateway::{Function, Gateway};
use crate::support::given;
use crate::support::router::{Router, metrics, processor, stream};
use crate::support::scene::{Scene, journaled};
use crate::support::simulator::Simulator;
use crate::support::traced::{self, Traced};

/// Events between two losses, about.
const EVENTS: u64 = 1_000;

async fn scene(events: u64, seed: u64) -> Scene {
    // In segments that are many.
    Scene::new(events, 2_000, seed, json!({ "segment_bytes": "256KiB" })).await
}

/// Runs until so many events have come, and a moment longer; then the power fails. Gives what was not durable.
async fn run_until(scene: &Scene, moment: u64, honest: bool, random: &mut fastrand::Rng) -> usize {
    let log = scene.folder.path().join("trace");
    let mut traced = Traced::begin(&scene.state().canonicalize().unwrap(), honest);
    let tracer = traced::tracer(&log);
    let by: Vec<_> = tracer.iter().map(|word| &**word).collect();
    let router = Router::start_under(&by, &scene.folder, &scene.config, &[], &[]).await;
    let grace = Duration::from_millis(random.u64(..60));
    scene.received(moment).await;
    tokio::time::sleep(grace).await;
    router.kill();
    traced::ended(&log).await;
    traced.follow(&log);
    traced.assert_followed();
    traced.lose_power(random);
    traced.at_stake()
}

/// What the function was given and the journal does not have.
async fn missing(scene: &Scene) -> Vec<String> {
    let journaled = journaled(&scene.state()).await;
    let given = scene.given.lock().unwrap();
    given.iter().filter(|id| !journaled.contains(*id)).cloned().collect()
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
    let scene = scene(events, seed).await;
    let mut at_stake = 0;
    for moment in moments {
        at_stake += run_until(&scene, moment, true, &mut random).await;
        let missing = missing(&scene).await;
        assert!(missing.is_empty(), "given to a function, and not durable: {missing:?}");
    }
    scene.end().await;
    println!("{at_stake} bytes were not durable");
    assert!(at_stake > 0, "the power never failed while something was not durable");
}

#[tokio::test]
async fn a_disk_that_does_not_sync_is_noticed() {
    let mut random = fastrand::Rng::with_seed(1);
    for attempt in 0..5 {
        let scene = scene(EVENTS, 1 + attempt).await;
        run_until(&scene, EVENTS / 2, false, &mut random).await;
        if !missing(&scene).await.is_empty() {
            return;
        }
    }
    panic!("nothing was missing, however little was durable");
}

/// What a router does of these while it opens a journal.
async fn traced_opening(folder: &Arc<TempDir>, config: &[Value]) -> String {
    let log = folder.path().join("trace");
    let calls = "trace=mkdir,mkdirat,fsync,fdatasync";
    let by = ["strace", "-D", "-f", "-qq", "-y", "-s", "4096", "-e", calls, "-o", log.to_str().unwrap()];
    let router = Router::start_under(&by, folder, config, &[], &[]).await;
    router.ready().await;
    router.stop().await;
    traced::ended(&log).await;
    std::fs::read_to_string(&log).unwrap()
}

fn is_synced<'a>(folder: &Path, mut lines: impl Iterator<Item = &'a str>) -> bool {
    let folder = format!("<{}>", folder.display());
    lines.any(|line| line.contains(" fsync(") && line.contains(&folder))
}

#[tokio::test]
async fn the_names_of_new_folders_are_made_durable() {
    let simulator = Simulator::start(&["--tls=false", "--rate", "0"]);
    let gateway = Gateway::start([Function::subscribed("f", "VmPoweredOnEvent")]).await;
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let state = folder.path().canonicalize().unwrap().join("lib/router/state");
    let journal = json!({ "type": "journal", "provider": "embedded", "address": state });
    let config = [stream(&simulator.url), processor(&gateway, &json!({})), metrics(), journal];
    let log = traced_opening(&folder, &config).await;
    let mut made = Vec::new();
    for (at, line) in log.lines().enumerate().filter(|(_, line)| line.contains("mkdir") && line.ends_with(" = 0")) {
        let path = Path::new(line.split('"').nth(1).unwrap());
        let durable = is_synced(path.parent().unwrap(), log.lines().skip(at));
        assert!(durable, "{} is made, and its name not durable: {log}", path.display());
        made.push(path.file_name().unwrap().to_owned());
    }
    made.sort();
    assert_eq!(made, ["events", "letters", "lib", "outcomes", "places", "router", "state"]);

    // Whoever made them may have been killed before their names were durable.
    let log = traced_opening(&folder, &config).await;
    assert!(!log.contains("mkdir"), "{log}");
    for folder in [&*state, state.parent().unwrap()] {
        assert!(is_synced(folder, log.lines()), "the names in {} may not be durable: {log}", folder.display());
    }
}
