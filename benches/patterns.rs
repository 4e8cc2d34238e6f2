//! Events matched per second and core against 1, 10 and 100 rules: our matcher and event-ruler, AWS's own engine, on the
//! same events and in turns. `cargo bench --bench patterns`; needs `make peers`.

#![allow(clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use vmware_event_router::event::{Attributes, Event, PageBuilder};
use vmware_event_router::pattern::{Part, Pattern, Patterns};

const ROUNDS: usize = 3;
const SECONDS: u64 = 3;

/// What rules ask for that people write, each in its variants.
fn rule(number: usize) -> String {
    let subjects = [
        "VmPoweredOnEvent",
        "VmPoweredOffEvent",
        "DrsVmMigratedEvent",
        "VmRemovedEvent",
        "HostConnectionLostEvent",
        "UserLoginSessionEvent",
        "VmReconfiguredEvent",
        "AlarmStatusChangedEvent",
    ];
    let subject = subjects[number % subjects.len()];
    match number % 5 {
        0 => format!(r#"{{"detail":{{"subject":["{subject}","Rule{number}Event"]}}}}"#),
        1 => format!(
            r#"{{"detail":{{"subject":["{subject}"],"data":{{"Vm":{{"Name":[{{"prefix":"web-{number}"}}]}}}}}}}}"#
        ),
        2 => format!(r#"{{"detail-type":["{subject}"],"detail":{{"data":{{"Key":[{{"numeric":[">",{number}]}}]}}}}}}"#),
        3 => format!(
            r#"{{"source":[{{"prefix":"https://"}}],"detail":{{"data":{{"UserName":[{{"anything-but":["user-{number}"]}}],"Datacenter":{{"Name":["DC{}"]}}}}}}}}"#,
            number % 7
        ),
        _ => format!(
            r#"{{"detail":{{"subject":[{{"wildcard":"*{number}*Event"}}],"data":{{"Host":{{"Name":[{{"suffix":".example.com"}},{{"exists":false}}]}}}}}}}}"#
        ),
    }
}

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let events = events();
    let lines: Vec<_> = events.iter().map(|detail| envelope(detail)).collect();
    let file = folder.path().join("events.jsonl");
    std::fs::write(&file, lines.join("\n")).expect("the events are written");
    let bytes = lines.iter().map(String::len).sum::<usize>() / lines.len();
    println!(
        "events matched per second of one core, {} events of {bytes} bytes, {ROUNDS} rounds of {SECONDS} s",
        lines.len()
    );
    for count in [1, 10, 100] {
        let rules: Vec<_> = (0..count).map(rule).collect();
        let rules_file = folder.path().join(format!("rules-{count}.json"));
        std::fs::write(&rules_file, format!("[{}]", rules.join(","))).expect("the rules are written");
        let patterns = rules.iter().map(|rule| Pattern::parse(rule).expect("a pattern")).collect();
        let patterns = Patterns::new(patterns);
        let (mut ours, mut theirs, mut sent) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let matches: usize = lines.iter().map(|line| patterns.which(line.as_bytes()).len()).sum();
            let said = event_ruler(&rules_file, &file);
            assert_eq!(said["matches_per_pass"].as_u64(), Some(matches as u64), "both find the same");
            theirs.push(said["events_per_sec"].as_f64().expect("a rate"));
            ours.push(rate(&lines, |line| patterns.which(line.as_bytes()).len()));
            // As the router asks: with the envelope in parts, and whether any rule matches.
            sent.push(rate(&events, |detail| {
                let part = |name| member(detail, name);
                let envelope = [
                    ("version", Part::Text("0")),
                    ("id", Part::Unknown),
                    ("detail-type", Part::Text(part("subject"))),
                    ("source", Part::Text(part("source"))),
                    ("detail", Part::Json(detail.as_bytes())),
                ];
                usize::from(patterns.any(&envelope))
            }));
        }
        let ratio = median(ours.iter().zip(&theirs).map(|(a, b)| a / b).collect());
        println!(
            "{count:>4} rules: ours {:.0}, event-ruler {:.0}: {ratio:.1} times; ours as the router asks {:.0}",
            median(ours),
            median(theirs),
            median(sent)
        );
    }
}

/// The captured events of 45 classes, as CloudEvents.
fn events() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vcsim");
    let files = std::fs::read_dir(folder).expect("the captured events");
    let mut files: Vec<_> = files.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    assert!(files.len() >= 45, "{}", files.len());
    let mut page = PageBuilder::new("vc".into(), "https://10.0.0.1:443/sdk", &[]);
    for file in files {
        let subject = file.file_stem().and_then(|stem| stem.to_str()).expect("a name").trim_start_matches("vcsim-");
        let attributes = Attributes {
            id: "08179137-b8e0-4973-b05f-8f212bf5003b",
            kind: "com.vmware.event.router/event",
            subject,
            time: "2026-11-22T10:00:00.123Z",
            ..Attributes::default()
        };
        let payloads = std::fs::read_to_string(&file).expect("payloads");
        let payloads: Vec<&RawValue> = serde_json::from_str(&payloads).expect("a list of payloads");
        payloads.iter().for_each(|payload| page.push(&attributes, payload.get().as_bytes()));
    }
    let text = |event: &Event| String::from_utf8(event.json().to_vec()).expect("UTF-8").replace('\n', "");
    page.finish().iter().map(text).collect()
}

/// A string of the CloudEvent's own members, which have no escapes here.
fn member<'a>(event: &'a str, name: &str) -> &'a str {
    let start = event.find(&format!("\"{name}\":\"")).expect("it is there") + name.len() + 4;
    &event[start..start + event[start..].find('"').expect("it ends")]
}

fn envelope(detail: &str) -> String {
    let (kind, source) = (member(detail, "subject"), member(detail, "source"));
    format!(
        r#"{{"version":"0","id":"7bf73129-1428-4cd3-a780-95db273d1602","detail-type":"{kind}","source":"{source}","account":"123456789012","time":"2026-11-22T10:00:00Z","region":"eu-central-1","resources":["vm-56"],"detail":{detail}}}"#
    )
}

fn rate(events: &[String], matches: impl Fn(&str) -> usize) -> f64 {
    let start = Instant::now();
    let (mut count, mut found) = (0, 0);
    while start.elapsed() < Duration::from_secs(SECONDS) {
        for event in events {
            found += matches(event);
        }
        count += events.len();
    }
    std::hint::black_box(found);
    count as f64 / start.elapsed().as_secs_f64()
}

fn event_ruler(rules: &Path, events: &Path) -> serde_json::Value {
    let peer: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin/event-ruler");
    assert!(peer.exists(), "{} is missing: run `make peers`", peer.display());
    let output = Command::new(peer).arg("bench").args([rules, events]).arg(SECONDS.to_string()).output();
    let output = output.expect("the peer starts");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
