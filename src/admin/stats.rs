//! `/stats`: the page that the Go router's users know, and what they missed on it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::process::Process;
use crate::journal::Journal;
use crate::telemetry::{ProcessorState, Telemetry};

/// The whole page. Secrets cannot be on it: the command line carries none, and addresses are kept without credentials.
pub(super) fn page(telemetry: &Telemetry, journal: &dyn Journal) -> Value {
    let process = Process::read();
    let [load1, load5, load15] = load();
    let journal = journal.stats();
    json!({
        "cmdline": std::env::args().collect::<Vec<_>>(),
        "memstats": {
            "Alloc": process.resident_bytes,
            "HeapAlloc": process.data_bytes,
            "Sys": process.virtual_bytes,
            "HeapSys": process.data_bytes,
        },
        "system.numberOfSeconds": telemetry.started.elapsed().unwrap_or_default().as_secs(),
        "system.programName": program_name(),
        "system.lastLoad": load1,
        "system.allLoad": { "Load1": load1, "Load5": load5, "Load15": load15 },
        "vmware.event.router.stats": components(telemetry),
        "vmware.event.router.journal": {
            "engine": journal.engine,
            "events": journal.events,
            "undelivered": journal.undelivered,
            "bytes": journal.bytes,
            "undelivered_bytes": journal.pinned_bytes,
            "max_bytes": journal.max_bytes,
            "appended": journal.appended,
            "newest": journal.newest.0,
            "pinned_by": journal.pinned_by,
            "dead_letters": journal.letters.0,
            "dead_letters_bytes": journal.letters.1,
            "trouble": journal.trouble,
        },
    })
}

fn program_name() -> String {
    let program = std::env::args().next().unwrap_or_default();
    program.rsplit('/').next().unwrap_or_default().to_owned()
}

fn rfc3339(time: SystemTime) -> String {
    Timestamp::try_from(time).map(|time| time.to_string()).unwrap_or_default()
}

fn components(telemetry: &Telemetry) -> Value {
    let mut all = Map::new();
    for stream in telemetry.streams() {
        let state = stream.state();
        let page = json!({
            "type": "stream",
            "provider": stream.provider,
            "address": stream.address,
            "started": rfc3339(stream.started),
            "events_total": stream.events_total(),
            "events_err": stream.errors_total(),
            "events_per_sec": (stream.events_per_second() * 1000.0).round() / 1000.0,
            "state": state.name(),
            "detail": state.detail(),
            "reconnects": stream.reconnects_total(),
        });
        all.insert(stream.name.clone(), page);
    }
    for processor in telemetry.processors() {
        let (state, detail) = match processor.state() {
            ProcessorState::NotReady { why } => ("not ready", why),
            ProcessorState::Ready => ("ready", processor.lacking()),
            ProcessorState::Stale { why } => ("stale", Some(why)),
        };
        let invocations: BTreeMap<_, _> = processor
            .subjects()
            .into_iter()
            .map(|(subject, counts)| {
                (subject, json!({ "SuccessCount": counts.success, "FailureCount": counts.failure }))
            })
            .collect();
        let targets: BTreeMap<_, _> = processor
            .targets()
            .into_iter()
            .map(|target| {
                let [attempts, successes, failures, retries, in_flight] = target.counts();
                let page = json!({
                    "attempts": attempts,
                    "successes": successes,
                    "failures": failures,
                    "retries": retries,
                    "in_flight": in_flight,
                    "lane": target.has_lane(),
                    "answering": !target.circuit_is_open(),
                });
                (target.target.to_string(), page)
            })
            .collect();
        let page = json!({
            "type": "processor",
            "provider": processor.provider,
            "address": processor.address,
            "started": rfc3339(processor.started),
            "invocations": invocations,
            "state": state,
            "detail": detail,
            "targets": targets,
        });
        all.insert(processor.name.clone(), page);
    }
    Value::Object(all)
}

/// The system's load over 1, 5 and 15 minutes; zeros where the system does not tell.
fn load() -> [f64; 3] {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut numbers = text.split(' ').map(|number| number.parse().unwrap_or(0.0));
    [(); 3].map(|()| numbers.next().unwrap_or(0.0))
}
