//! A journal with very many events: what is asked of it is answered in little memory, and holds up no delivery.
//!
//! `PAST_EVENTS=N` makes it so many; with `--nocapture`, it says what each answer took.

use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use vmware_event_router::attempt::{Position, Target};
use vmware_event_router::event::{Attributes, PageBuilder};
use vmware_event_router::journal::embedded::{EmbeddedJournal, Settings};
use vmware_event_router::journal::{Batch, Begin, CursorState, End, Journal as _, Settlement};

use crate::support::gateway::{Function, Gateway, State};
use crate::support::given;
use crate::support::router::{Router, command, metrics, named, no_replays, processor, stream};
use crate::support::simulator::{Simulated, quiet};

const ON: &str = "VmPoweredOnEvent";
const RARE: &str = "VmPoweredOffEvent";
const LIVE: &str = "VmSuspendedEvent";

/// One of so many is a rare one.
const EVERY: u64 = 1000;

/// However much there is, the router has no more memory than this, and neither has a command.
const MOST_MEMORY: u64 = 96 << 20;

/// Journals so many events that `p` has delivered to `f`, as a router does. Says when half of them were there.
async fn fill(folder: &Path, events: u64) -> jiff::Timestamp {
    let settings = Settings { max_bytes: 8 << 30, synced: false, ..Settings::default() };
    let journal = EmbeddedJournal::new(folder, settings, vec!["p".into()]);
    journal.open().await.unwrap();
    let cursor = journal.cursor("p", Begin::End).await.unwrap();
    let mut half = None;
    let message = "what happened, in as many words as vCenter has for it. ".repeat(10);
    for first in (0..events).step_by(1000) {
        let mut page = PageBuilder::new("past".into(), "https://vc.example/sdk", &[]);
        for number in first..events.min(first + 1000) {
            let data = json!({ "Key": number, "Vm": { "Name": format!("vm-{}", number % 100) }, "Message": message });
            let attributes = Attributes {
                id: &format!("past-{number}"),
                kind: "com.vmware.event.router/event",
                subject: if number % EVERY == 0 { RARE } else { ON },
                time: "2026-11-22T10:00:00Z",
                ..Attributes::default()
            };
            page.push(&attributes, data.to_string().as_bytes());
        }
        let mut batch = Batch { stream: "past".into(), events: page.finish(), checkpoint: None };
        let newest = journal.append(&mut batch).await.unwrap();
        let settled = |position| Settlement {
            position: Position(position),
            target: Some(Target::new("f")),
            end: End::Delivered,
            attempts: 1,
            status: Some(200),
        };
        cursor.record(&mut (first + 1..=newest.0).map(settled).collect());
        cursor.commit(CursorState { front: newest, lanes: Vec::new() }).await.unwrap();
        if first >= events / 2 {
            half.get_or_insert_with(jiff::Timestamp::now);
        }
    }
    journal.close().await.unwrap();
    half.unwrap()
}

/// What came of a command.
struct Answer {
    well: bool,
    lines: u64,
    /// What it began with.
    text: String,
}

/// Runs it to its end, however much it prints.
async fn asked(folder: &Arc<TempDir>, config: &[Value], args: &[&str]) -> Answer {
    let mut command = command(folder, config, &[]);
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    let said = args.join(" ");
    let run = move || {
        let began = Instant::now();
        let mut child = command.spawn().unwrap();
        let (mut out, mut bytes) = (child.stdout.take().unwrap(), vec![0; 1 << 16]);
        let (mut lines, mut all, mut text, mut most) = (0, 0, Vec::new(), 0);
        loop {
            let read = out.read(&mut bytes).unwrap();
            // It has not been waited for, so it is there.
            most = most.max(memory(child.id()).unwrap_or(0));
            if read == 0 {
                break;
            }
            all += read;
            lines += bytes[..read].iter().filter(|byte| **byte == b'\n').count() as u64;
            if text.len() < bytes.len() {
                text.extend_from_slice(&bytes[..read]);
            }
        }
        child.stderr.take().unwrap().read_to_end(&mut text).unwrap();
        let well = child.wait().unwrap().success();
        let took = began.elapsed();
        println!(
            "{took:>9.2?}  {:>5.1} MB of memory, {:>6.1} MB printed  {said}",
            megabytes(most),
            megabytes(all as u64)
        );
        assert!(most < MOST_MEMORY, "{said}: {most} bytes of memory");
        Answer { well, lines, text: String::from_utf8_lossy(&text).into_owned() }
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// The most memory that a process ever had.
fn memory(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[tokio::test]
async fn very_many_events_are_looked_through_in_little_memory_and_hold_up_nobody() {
    let events = given("PAST_EVENTS").unwrap_or(50_000);
    let simulated = Simulated::start(quiet()).await;
    let mut state = State { keep: 0, ..State::default() };
    state.deploy(Function::subscribed("f", &[ON, RARE].join(",")));
    state.deploy(Function::subscribed("live", LIVE));
    let gateway = Gateway::listen(([127, 0, 0, 1], 0).into(), state).await.unwrap();
    let journal = json!({ "type": "journal", "provider": "embedded", "options": { "max_bytes": "8GiB" } });
    let config = [stream(&simulated.url), named(processor(&gateway, &json!({})), "p"), metrics(), journal];
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let half = fill(&folder.path().join("state"), events).await;
    let router = Router::start_in(&folder, &config, &[], &[]).await;
    router.ready().await;

    let asking = async {
        // After each of them, what has happened since is delivered.
        let asked = async |args: &[&str]| {
            let answer = asked(&folder, &config, args).await;
            let lived = gateway.read(|state| state.count("live"));
            gateway.wait_for_calls("live", lived + 1).await;
            answer
        };
        for number in [0, events / 2, events - 1] {
            let explained = asked(&["explain", &format!("past-{number}")]).await;
            assert!(explained.well && explained.text.contains("\n  f  delivered, status 200"), "{}", explained.text);
        }
        let unknown = asked(&["explain", "nothing"]).await;
        assert!(!unknown.well && unknown.text.contains("no event has the id nothing"), "{}", unknown.text);

        let pattern = json!({ "subject": [RARE], "data": { "Vm": { "Name": [{ "prefix": "vm-" }] } } }).to_string();
        let rare = events.div_ceil(EVERY);
        let of_past = ["tail", "-no-follow", "-stream", "past", "-from"];
        assert_eq!(asked(&[&of_past[..], &["1"]].concat()).await.lines, events);
        assert_eq!(asked(&[&of_past[..], &["1", "-pattern", &pattern]].concat()).await.lines, rare);
        let newer = asked(&[&of_past[..], &[&half.to_string()]].concat()).await.lines;
        assert!(newer > 0 && newer <= events.div_ceil(2), "{newer}");

        let counted = ["replay", "-processor", "p", "-to", &events.to_string(), "-dry-run"];
        let all = asked(&counted).await;
        assert!(all.text.starts_with(&format!("{events}  f\n")), "{}", all.text);
        let some = asked(&[&counted[..], &["-pattern", &pattern]].concat()).await;
        assert!(some.text.starts_with(&format!("{rare}  f\n")), "{}", some.text);

        // Those that are rare, and then a fifth of all.
        let newest = ["replay", "-processor", "p", "-to", &events.to_string()];
        let fifth = (events - events / 5 + 1).to_string();
        for (args, count) in [(["-pattern", &pattern], rare), (["-from", &fifth], events / 5)] {
            let delivered = gateway.read(|state| state.count("f"));
            let began = Instant::now();
            assert!(asked(&[&newest[..], &args].concat()).await.well);
            gateway.wait_for_calls("f", delivered + count).await;
            println!("{:>9.2?}  until {count} events were delivered again", began.elapsed());
            no_replays(&folder, &config).await;
        }
    };
    // What happens meanwhile is delivered meanwhile.
    let mut slowest = Duration::ZERO;
    let mut happened = 0;
    let meanwhile = async {
        loop {
            let began = Instant::now();
            happened += 1;
            simulated.handle.make(LIVE, 1).unwrap();
            gateway.wait_for_calls("live", happened).await;
            slowest = slowest.max(began.elapsed());
        }
    };
    tokio::select! {
        () = asking => {}
        () = meanwhile => {}
    }
    let memory = router.most_memory();
    println!(
        "{happened} events happened meanwhile, and were delivered within {slowest:.2?}; the router took {:.1} MB",
        megabytes(memory)
    );
    router.stop().await;
    // A journal whose router is stopped is read by the command itself.
    let stopped = asked(&folder, &config, &["explain", "nothing"]).await;
    assert!(!stopped.well && stopped.text.contains("no event has the id nothing"), "{}", stopped.text);
    let stopped = asked(&folder, &config, &["tail", "-stream", "past", "-from", "1"]).await;
    assert_eq!(stopped.lines, events);
    assert!(memory < MOST_MEMORY, "{memory} bytes of memory");
}
