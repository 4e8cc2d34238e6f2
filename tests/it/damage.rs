//! A journal whose disk has turned a bit over: the router says so, the rest goes on, and `journal repair` loses nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::gateway::{Answer, Function, Gateway};
use crate::support::router::{Router, command, metrics, processor, stream};
use crate::support::simulator::{Simulated, quiet};

/// A test that waits this long for something waits in vain.
const PATIENCE: Duration = Duration::from_secs(60);

fn journal() -> Value {
    json!({ "type": "journal", "provider": "embedded", "options": { "segment_bytes": "64KiB" } })
}

/// Runs a command on the journal of this folder: its exit code, and what it printed.
async fn ask(folder: &TempDir, config: &[Value], args: &[&str]) -> (Option<i32>, String) {
    let mut command = command(folder, config, &[]);
    command.arg("journal").args(args);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

fn segments(folder: &TempDir) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.path().join("state/events")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|is| is == "log")).collect();
    files.sort();
    files
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 4;
    fs::write(path, bytes).unwrap();
}

/// Waits until the router is not ready because of its journal, and gives the reason.
async fn in_trouble(router: &Router) -> String {
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < PATIENCE, "it was ready, or not for another reason");
        let ready = router.get("/readyz").await;
        let page: Value = serde_json::from_slice(ready.body()).unwrap();
        let mut reasons = page["reasons"].as_array().unwrap().iter().filter_map(Value::as_str);
        if let Some(reason) = reasons.find(|reason| reason.starts_with("journal: the journal is damaged")) {
            assert_eq!(ready.status(), 503);
            return reason.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The ids that a function was successfully called with, of events of a subject.
fn ids(gateway: &Gateway, function: &str, subject: &str) -> BTreeSet<String> {
    gateway.read(|state| {
        let calls = state.calls_of(function).into_iter();
        let of = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["subject"] == subject;
        calls.filter(|call| of(&call.body)).map(|call| call.event_id()).collect()
    })
}

async fn come(gateway: &Gateway, function: &str, subject: &str, count: usize) {
    let began = Instant::now();
    while ids(gateway, function, subject).len() < count {
        let there = ids(gateway, function, subject).len();
        assert!(began.elapsed() < PATIENCE, "{there} of {count} {subject} came to {function}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_is_damaged_is_said_mended_and_read_again() {
    const EVENTS: u64 = 3_000;
    const TOPICS: &str = "VmPoweredOnEvent,EventGap";
    let simulated = Simulated::start(quiet()).await;
    let dead = Function::subscribed("f", TOPICS).always(Answer::status(503));
    let gateway = Gateway::start([dead, Function::subscribed("well", "VmPoweredOnEvent")]).await;
    let config = [stream(&simulated.url), processor(&gateway, &json!({})), metrics(), journal()];
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let router = Router::start_in(&folder, &config, &[], &[]).await;
    router.ready().await;
    for part in 1..=20 {
        // Many files.
        simulated.handle.make("VmPoweredOnEvent", EVENTS / 20).unwrap();
        come(&gateway, "well", "VmPoweredOnEvent", part * EVENTS as usize / 20).await;
    }
    let (code, text) = ask(&folder, &config, &["verify"]).await;
    assert!(code == Some(0) && text.contains("in use by process ") && text.ends_with("all is whole\n"), "{text}");
    let (code, text) = ask(&folder, &config, &["repair"]).await;
    assert!(code == Some(1) && text.contains("is in use by process "), "{text}");
    router.stop().await;

    let old = &segments(&folder)[3];
    flip(old, 30_000);
    let name = format!("events/{}", old.file_name().unwrap().to_str().unwrap());
    let (code, text) = ask(&folder, &config, &["verify"]).await;
    assert!(code == Some(1) && text.contains(&name) && text.contains("are lost"), "{text}");
    let (code, text) = ask(&folder, &config, &["verify", "-json"]).await;
    let found: Value = serde_json::from_str(&text).unwrap();
    let lost = &found["logs"][0]["damage"][0]["lost"];
    let lost = lost[0].as_u64().unwrap()..=lost[1].as_u64().unwrap();
    assert!(code == Some(1) && found["whole"] == false && found["logs"][0]["records"].as_u64() < Some(3_000), "{text}");
    let from = lost.start().to_string();
    let (code, text) = ask(&folder, &config, &["dump", "-from", &from]).await;
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let second: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    assert!(code == Some(0) && first["damage"]["file"] == name.as_str(), "{first}");
    assert_eq!(second["position"].as_u64(), Some(lost.end() + 1));
    assert_eq!(second["event"]["subject"], "VmPoweredOnEvent");

    // The function is there again. What lies before the damage comes, and what is new comes to the other one.
    let tried = gateway.read(|state| state.count("f"));
    gateway.change(|state| state.deploy(Function::subscribed("f", TOPICS)));
    let mut router = Router::start_in(&folder, &config, &[], &[]).await;
    let why = in_trouble(&router).await;
    assert!(why.contains(&name) && why.contains("run vmware-event-router journal repair"), "{why}");
    router.logged("what lies there is not delivered; the rest goes on").await;
    simulated.handle.make("VmPoweredOnEvent", 10).unwrap();
    come(&gateway, "well", "VmPoweredOnEvent", 3_010).await;
    gateway.wait_for(|state| state.count("f") >= tried + lost.start() - 1).await;
    assert_eq!(router.get("/healthz").await.status(), 200);
    assert!(router.stats().await["vmware.event.router.journal"]["trouble"].as_str().unwrap().contains(&name));
    assert_eq!(router.get("/api/v1/dead-letters").await.status(), 200);
    router.stop().await;

    let (code, would) = ask(&folder, &config, &["repair", "-dry-run"]).await;
    assert!(code == Some(0) && would.ends_with("nothing was changed\n"), "{would}");
    let (code, text) = ask(&folder, &config, &["repair"]).await;
    assert!(code == Some(0) && text.contains(&name) && text.contains("reads again"), "{text}");
    let aside = text.lines().next().unwrap().strip_prefix("the damaged files are in ").unwrap();
    assert!(Path::new(aside).join(&name).exists(), "{text}");
    let (code, text) = ask(&folder, &config, &["verify"]).await;
    assert_eq!(code, Some(0), "{text}");

    let router = Router::start_in(&folder, &config, &[], &[]).await;
    come(&gateway, "f", "EventGap", 1).await;
    come(&gateway, "f", "VmPoweredOnEvent", 3_010).await;
    router.ready().await;
    let stats = router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"] == 0).await;
    let again = stats["vmware.event.router.journal"]["appended"].as_u64().unwrap();
    let missing = lost.end() - lost.start() + 1;
    // The router itself logs in and out meanwhile, which are events too.
    assert!((missing..missing + 20).contains(&again), "{again}: what is whole is not journaled twice");
    router.stop().await;
    let gap = gateway.read(|state| {
        let bodies = state.calls_of("f").into_iter().map(|call| serde_json::from_slice::<Value>(&call.body).unwrap());
        bodies.into_iter().find(|event| event["subject"] == "EventGap").unwrap()
    });
    assert_eq!(gap["type"], "com.vmware.event.router/gap");
    let reason = gap["data"]["Reason"].as_str().unwrap();
    assert!(reason.contains(&format!("positions {} to {}", lost.start(), lost.end())), "{reason}");
    simulated.stop().await;
}

#[tokio::test]
async fn a_router_that_waits_for_its_journal_goes_on_when_it_is_mended() {
    let simulated = Simulated::start(quiet()).await;
    let gateway = Gateway::start([Function::subscribed("f", "VmPoweredOnEvent")]).await;
    let config = [stream(&simulated.url), processor(&gateway, &json!({})), metrics(), journal()];
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let router = Router::start_in(&folder, &config, &[], &[]).await;
    router.ready().await;
    for count in [5, 5, 5] {
        simulated.handle.make("VmPoweredOnEvent", count).unwrap();
        router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"] == 0).await;
    }
    come(&gateway, "f", "VmPoweredOnEvent", 15).await;
    router.stop().await;
    // In the first frame, which all later ones say was durable.
    flip(segments(&folder).last().unwrap(), 90);
    let router = Router::start_in(&folder, &config, &[], &[]).await;
    let why = in_trouble(&router).await;
    assert!(why.contains("events/") && why.contains("journal repair"), "{why}");
    assert_eq!(router.get("/healthz").await.status(), 200);
    let (code, text) = ask(&folder, &config, &["repair"]).await;
    assert!(code == Some(0) && text.contains("cut out: events/"), "{text}");
    router.ready().await;
    simulated.handle.make("VmPoweredOnEvent", 5).unwrap();
    come(&gateway, "f", "VmPoweredOnEvent", 20).await;
    router.stop().await;
    simulated.stop().await;
}
