//! The router on a disk that is full, or fails: it says so, waits, and loses nothing.
//!
//! `DISK_FAULTS=N` lets so many disks fail at random; `DISK_SEED=N` as in another run.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::gateway::{Answer, Function, Gateway};
use crate::support::given;
use crate::support::router::{Router, ask, metrics, processor, stream};
use crate::support::simulator::{Simulated, quiet};

/// A test that waits this long for something waits in vain.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

fn journal(options: Value) -> Value {
    json!({ "type": "journal", "provider": "embedded", "options": options })
}

/// Waits until the router is not ready because of its journal, and gives the reason.
async fn in_trouble(router: &Router) -> String {
    let began = std::time::Instant::now();
    loop {
        assert!(began.elapsed() < PATIENCE, "it was ready, or not for another reason");
        let ready = router.get("/readyz").await;
        let page: Value = serde_json::from_slice(ready.body()).unwrap();
        let mut reasons = page["reasons"].as_array().unwrap().iter().filter_map(Value::as_str);
        if let Some(reason) = reasons.find(|reason| reason.starts_with("journal: ")) {
            assert_eq!(ready.status(), 503);
            return reason.to_owned();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// The events that the function was called with successfully, and how often at all.
fn came(gateway: &Gateway) -> (usize, usize) {
    gateway.read(|state| (state.events_of("f").len(), state.calls_of("f").len()))
}

#[tokio::test]
async fn a_full_disk_is_waited_for() {
    const EVENTS: u64 = 20_000;
    // Many small files that are let go one by one; and one that is let go when nobody waits for anything in it.
    for options in [json!({}), json!({ "segment_bytes": "64KiB" })] {
        let simulated = Simulated::start(quiet()).await;
        let dead = Function::subscribed("f", "VmPoweredOnEvent").always(Answer::status(503));
        let gateway = Gateway::start([dead]).await;
        let config = [stream(&simulated.url), processor(&gateway, &json!({})), metrics(), journal(options)];
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let state = folder.path().join("state");
        std::fs::create_dir(&state).unwrap();
        let mount = r#"mount -t tmpfs -o size=8m tmpfs "$0" && exec "$@""#;
        let by = ["unshare", "-rm", "sh", "-c", mount, state.to_str().unwrap()];
        let mut router = Router::start_under(&by, &folder, &config, &[], &[]).await;
        router.ready().await;
        simulated.handle.make("VmPoweredOnEvent", EVENTS).unwrap();
        let why = in_trouble(&router).await;
        assert!(why.contains("could not write to ") && why.contains("No space left on device"), "{why}");
        router.logged("the journal cannot be written").await;
        let tried = came(&gateway).1;
        assert!(tried < 100, "{tried}: the function was only asked whether it is there");

        gateway.change(|state| state.deploy(Function::subscribed("f", "VmPoweredOnEvent")));
        let all = gateway.wait_for(|state| state.count("f") >= EVENTS + tried as u64);
        if tokio::time::timeout(std::time::Duration::from_secs(50), all).await.is_err() {
            panic!("{:#}", router.stats().await);
        }
        router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"] == 0).await;
        router.ready().await;
        router.logged("the journal can be written again").await;
        let (events, calls) = came(&gateway);
        assert_eq!((events, calls), (EVENTS as usize, EVENTS as usize + tried), "each once");
        router.stop().await;
        simulated.stop().await;
    }
}

#[tokio::test]
async fn a_disk_that_fails_now_and_then_loses_nothing() {
    const EVENTS: u64 = 3_000;
    // Every so many calls fail, a few times: when segments are begun and in the middle.
    for (call, error, when) in [
        ("fdatasync", "EIO", "6..15+3"),
        ("pwrite64", "EIO", "6..15+3"),
        ("pwrite64", "ENOSPC", "7..16+3"),
        ("fsync", "EIO", "3..9+2"),
    ] {
        let simulated = Simulated::start(quiet()).await;
        let gateway = Gateway::start([Function::subscribed("f", "VmPoweredOnEvent")]).await;
        let small = journal(json!({ "segment_bytes": "64KiB" }));
        let config = [stream(&simulated.url), processor(&gateway, &json!({})), metrics(), small];
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:error={error}:when={when}"));
        let by = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
        let router = Router::start_under(&by, &folder, &config, &[], &[]).await;
        router.ready().await;
        for part in 0..10 {
            simulated.handle.make("VmPoweredOnEvent", EVENTS / 10).unwrap();
            if part % 3 == 0 {
                router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"] == 0).await;
            }
        }
        gateway.wait_for_calls("f", EVENTS).await;
        router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"] == 0).await;
        router.ready().await;
        assert_eq!(came(&gateway), (EVENTS as usize, EVENTS as usize), "{call} {error}: each once");
        let log = router.stop().await;
        assert!(log.iter().any(|line| line.contains("cannot be written")), "{call} {error}: {log:#?}");
        simulated.stop().await;
    }
}

/// Calls that fail: one after the other from the first on, or every so many of them, until the last. Each thread has a
/// count of its own.
#[derive(Debug)]
struct Fault {
    call: &'static str,
    error: &'static str,
    first: u32,
    last: u32,
    every: u32,
}

impl Fault {
    fn any(random: &mut fastrand::Rng) -> Self {
        let (call, errors) = random
            .choice([
                ("fdatasync", &["EIO", "ENOSPC", "EDQUOT"][..]),
                ("fsync", &["EIO", "ENOSPC", "EACCES"]),
                ("pwrite64", &["EIO", "ENOSPC", "EDQUOT", "EROFS"]),
                ("rename", &["EIO", "ENOSPC"]),
                ("unlink", &["EIO", "EACCES"]),
            ])
            .unwrap();
        let (first, every) = (random.u32(1..=25), random.u32(1..=4));
        // Each failure of the events' disk costs a wait of up to 3 s.
        let last = first + random.u32(0..=12) * every;
        Self { call, error: random.choice(errors).unwrap(), first, last, every }
    }

    fn tracer(&self) -> Vec<String> {
        let Self { call, error, first, last, every } = self;
        let (trace, inject) =
            (format!("trace={call}"), format!("inject={call}:error={error}:when={first}..{last}+{every}"));
        ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject].map(str::to_owned).to_vec()
    }
}

#[tokio::test]
async fn a_disk_that_fails_anyhow_and_at_any_moment_loses_nothing() {
    const EVENTS: u64 = 2_000;
    let faults = given("DISK_FAULTS").unwrap_or(4);
    let seed = given("DISK_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("DISK_FAULTS={faults} DISK_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for number in 0..faults {
        let fault = Fault::any(&mut random);
        let killed = random.u8(..3) == 0;
        println!("{number}: {fault:?}, {}", if killed { "killed in between" } else { "not killed" });
        let simulated = Simulated::start(quiet()).await;
        let gateway = Gateway::start([Function::subscribed("f", "VmPoweredOnEvent")]).await;
        let small = journal(json!({ "segment_bytes": "64KiB" }));
        let config = [stream(&simulated.url), processor(&gateway, &json!({})), metrics(), small];
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let tracer = fault.tracer();
        let by: Vec<_> = tracer.iter().map(|word| &**word).collect();
        let mut router = Router::start_under(&by, &folder, &config, &[], &[]).await;
        let ready = async |router: &Router| {
            let ready = tokio::time::timeout(PATIENCE, router.ready()).await;
            assert!(ready.is_ok(), "{fault:?}: never ready: {:#?}", router.log());
        };
        ready(&router).await;
        let kill_after = random.u64(..10);
        for part in 0..10 {
            simulated.handle.make("VmPoweredOnEvent", EVENTS / 10).unwrap();
            if random.bool() {
                router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"] == 0).await;
            }
            if killed && part == kill_after {
                router.kill();
                router = Router::start_under(&by, &folder, &config, &[], &[]).await;
                ready(&router).await;
            }
        }
        // Calls are counted with repeats: what is waited for is that each event has come.
        let began = std::time::Instant::now();
        while came(&gateway).0 < EVENTS as usize {
            assert!(began.elapsed() < PATIENCE, "{fault:?}: {} came: {:#?}", came(&gateway).0, router.log());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"] == 0).await;
        ready(&router).await;
        let log = router.stop().await;
        let calls = came(&gateway).1;
        assert!(killed || calls == EVENTS as usize, "{fault:?}: {calls} calls: {log:#?}");

        let (well, text) = ask(&folder, &config, &["journal", "verify"]).await;
        assert!(well, "{fault:?}: {text}");
        let router = Router::start_in(&folder, &config, &[], &[]).await;
        ready(&router).await;
        simulated.handle.make("VmPoweredOnEvent", 10).unwrap();
        gateway.wait_for(|state| state.events_of("f").len() == EVENTS as usize + 10).await;
        router.stats_when(|stats| stats["vmware.event.router.journal"]["undelivered"] == 0).await;
        router.stop().await;
        // A disk that fails to the very end cannot be told what has been delivered.
        let told = log.iter().any(|line| line.contains("may come twice"));
        assert!(
            told || came(&gateway).1 == calls + 10,
            "{fault:?}: {} calls after {calls}: {log:#?}",
            came(&gateway).1
        );
        simulated.stop().await;
    }
}
