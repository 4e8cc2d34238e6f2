//! What the simulated vCenter sends, before the judges of the payload: our own decoder in the oldest and the newest
//! shape, govmomi's and Go's `encoding/json` byte for byte, and pyvmomi.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use vmware_event_router::simulator::vcenter::Options;
use vmware_event_router::vim25::{Decoder, Shape};

use crate::support::pyvmomi::{compare_pages, decode, root};
use crate::support::simulator::{Simulated, Simulator, quiet};
use crate::support::soap::SoapClient;

/// What govmomi's decoder and `encoding/json` make of the pages is what we do in the oldest shape, byte for byte.
fn compare_with_govmomi(pages: &[String]) {
    let folder = tempfile::tempdir().unwrap();
    let path = |at: usize, extension: &str| folder.path().join(format!("{at}.{extension}"));
    for (at, page) in pages.iter().enumerate() {
        std::fs::write(path(at, "xml"), page).unwrap();
    }
    let oracle = root("target/peers/bin/oracle");
    assert!(oracle.exists(), "{} is missing: run `make peers`", oracle.display());
    let mut command = Command::new(oracle);
    command.args(["-api", "6.7", "-judge"]).args((0..pages.len()).map(|at| path(at, "xml")));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (at, page) in pages.iter().enumerate() {
        let mut made = Vec::new();
        let decoded = Decoder::new(Shape::V6_7).page(page.as_bytes(), |event| {
            made.push(if made.is_empty() { b'[' } else { b',' });
            made.extend_from_slice(event.data);
        });
        assert!(decoded.unwrap().events > 0);
        made.push(b']');
        let (made, expected) = (String::from_utf8(made).unwrap(), std::fs::read_to_string(path(at, "json")).unwrap());
        let expected = expected.trim_end();
        let same = made.bytes().zip(expected.bytes()).take_while(|(a, b)| a == b).count();
        let around = |text: &str| {
            let bytes = &text.as_bytes()[same.saturating_sub(300).min(text.len())..(same + 200).min(text.len())];
            String::from_utf8_lossy(bytes).into_owned()
        };
        assert!(made == expected, "page {at}:\nmade     {}\nexpected {}", around(&made), around(expected));
    }
}

/// The events of all pages, as class and data, in the oldest shape; govmomi agrees about them, and pyvmomi about the
/// newest shape.
fn judged(pages: &[String]) -> Vec<(String, Value)> {
    let mut events = Vec::new();
    for page in pages {
        let (found, summary) = decode(Shape::V6_7, page.as_bytes());
        assert_eq!(summary.unwrap().events, found.len());
        events.extend(found);
    }
    compare_with_govmomi(pages);
    let (count, values) = compare_pages(pages);
    assert_eq!(count, events.len());
    // Every event has at least what `Event` declares.
    assert!(values > 12 * count, "{values} values of {count} events");
    events
}

/// The subjects of the events of all pages.
fn subjects(pages: &[String]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for page in pages {
        let all = Decoder::new(Shape::LATEST).page(page.as_bytes(), |event| {
            found.insert(event.subject.to_owned());
        });
        all.unwrap();
    }
    found
}

async fn read(simulated: &Simulated) -> Vec<String> {
    SoapClient::login(&simulated.url).await.unwrap().all_pages().await.unwrap()
}

#[tokio::test]
async fn what_happens_by_itself_is_what_others_read() {
    const EVENTS: u64 = 4_000;
    let simulated = Simulated::start(Options { past: EVENTS, seed: 11, ..quiet() }).await;
    let pages = read(&simulated).await;
    let events = tokio::task::spawn_blocking(move || judged(&pages)).await.unwrap();
    // And the login of the reader.
    assert_eq!(events.len() as u64, EVENTS + 1);
    let classes: BTreeSet<_> = events.iter().map(|(class, _)| class).collect();
    assert!(classes.len() > 30, "{classes:?}");
    simulated.stop().await;
}

#[tokio::test]
async fn every_class_on_request_is_what_others_read() {
    const EACH: usize = 3;
    let simulator = Simulator::start(&["--tls=false", "--rate", "0"]);
    let known: BTreeSet<_> = simulator.subjects().await.into_iter().collect();
    let classes: Vec<_> = known.iter().filter(|subject| !subject.contains('.')).collect();
    let mut made = 0;
    for class in classes {
        // The one that no schema has cannot be asked for like this.
        if class != "VmMovedToAnotherPlanetEvent" {
            let body = format!("{{\"class\": \"{class}\", \"count\": {EACH}}}");
            assert_eq!(simulator.ask("POST", "/events", &body).await.trim(), EACH.to_string());
            made += 1;
        }
    }
    assert_eq!(made, 443);
    let mut client = SoapClient::login(&simulator.url).await.unwrap();
    let pages = client.all_pages().await.unwrap();
    let (events, found) = tokio::task::spawn_blocking(move || (judged(&pages), subjects(&pages))).await.unwrap();
    assert_eq!(events.len(), 443 * EACH + 1);
    // pyvmomi knows no such class, so it is not among what it judges.
    simulator.ask("POST", "/faults", "unknown-type=1").await;
    let unknown = subjects(&client.all_pages().await.unwrap());
    let unnamed: Vec<_> = found.union(&unknown).filter(|subject| !known.contains(*subject)).collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
    assert!(unknown.contains("VmMovedToAnotherPlanetEvent"));
    assert!(found.len() >= 443, "{} subjects", found.len());
    let classes: BTreeSet<_> = events.iter().map(|(class, _)| class).collect();
    assert_eq!(classes.len(), 443);
}

fn captured() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root("tests/fixtures/vcsim")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "xml")).collect();
    all.sort();
    all
}

#[tokio::test]
async fn captured_events_are_replayed_as_they_were() {
    const ROUNDS: usize = 3;
    let files = captured();
    let mut expected = Vec::new();
    for file in &files {
        expected.extend(decode(Shape::V6_7, &std::fs::read(file).unwrap()).0);
    }
    let past = (expected.len() * ROUNDS) as u64;
    let simulated = Simulated::start(Options { past, replay: files, ..quiet() }).await;
    assert!(simulated.handle.subjects().len() > 443);
    let pages = read(&simulated).await;
    let mut events = tokio::task::spawn_blocking(move || judged(&pages)).await.unwrap();
    assert_eq!(events.pop().unwrap().0, "UserLoginSessionEvent");
    assert_eq!(events.len(), expected.len() * ROUNDS);
    for (at, (class, mut data)) in events.into_iter().enumerate() {
        let (expected_class, mut expected) = expected[at % expected.len()].clone();
        assert_eq!(data["Key"], at + 1);
        for name in ["Key", "ChainId", "CreatedTime"] {
            data[name] = Value::Null;
            expected[name] = Value::Null;
        }
        assert_eq!((class, data), (expected_class, expected));
    }
    simulated.stop().await;
}

#[tokio::test]
async fn captured_events_are_replayed_as_fast_as_they_are_read() {
    let files = captured();
    let mut args = vec!["--tls=false", "--rate", "max", "--most", "2500", "--replay"];
    args.extend(files.iter().map(|file| file.to_str().unwrap()));
    let simulator = Simulator::start(&args);
    let mut client = SoapClient::login(&simulator.url).await.unwrap();
    let mut read = BTreeSet::new();
    while read.len() < 2_501 {
        for page in client.all_pages().await.unwrap() {
            decode(Shape::V6_7, page.as_bytes()).0.iter().for_each(|(_, data)| {
                read.insert(data["Key"].as_i64().unwrap());
            });
        }
    }
    assert_eq!(read.last(), Some(&2_501));
    assert_eq!(simulator.figures().await["events"], 2_501);
}

#[test]
fn what_cannot_be_replayed_ends_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.xml");
    std::fs::write(&path, "<Envelope><Body>").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_vmware-event-router"))
        .args(["simulate", "--listen", "127.0.0.1:0", "--replay"])
        .arg(&path)
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains("broken.xml: not well-formed XML at byte"), "{log}");
}
