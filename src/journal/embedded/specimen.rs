//! A small journal with some of everything in it, and all that can be read of one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::log::Reader;
use super::writer::Order;
use super::*;
use crate::attempt::{BatchLimits, Reason, Target};
use crate::event::{Attributes, Event, PageBuilder};
use crate::journal::{CheckpointDelta, Configured, DeadLetter, End, Entry, LettersPlace, Settlement};

const SECOND: i64 = 1_000_000;

/// When its first event was created: in the summer of 2023.
const BEGAN: i64 = 1_690_000_000 * SECOND;

/// Its streams, of which one has no checkpoint.
pub(super) const STREAMS: [&str; 2] = ["vc", "hooks"];

/// Its processors.
pub(super) const PROCESSORS: [&str; 2] = ["near", "far"];

/// An empty folder: in memory, where that can be had, since a journal syncs a dozen times until it is open.
pub(super) fn empty() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(super) fn settings() -> Settings {
    Settings { max_bytes: 64 << 10, segment_bytes: 4096, ..Settings::default() }
}

pub(super) fn configured() -> Configured {
    Configured { streams: STREAMS.map(Arc::from).into(), processors: PROCESSORS.map(Arc::from).into() }
}

pub(super) fn journal(folder: &Path) -> EmbeddedJournal {
    let Configured { streams, processors } = configured();
    EmbeddedJournal::new(folder, settings(), processors).of_streams(streams)
}

/// An event as a vCenter's stream makes them, or as one without keys does.
pub(super) fn event(stream: &str, number: i32) -> Event {
    let keyed = stream == STREAMS[0];
    let created = BEGAN + i64::from(number) * SECOND;
    let (id, subject, entity) =
        (format!("{stream}-{number}"), format!("Subject \"{number}\""), format!("VirtualMachine:vm-{}", number % 3));
    let attributes = Attributes {
        id: &id,
        kind: "com.vmware.event.router/event",
        subject: &subject,
        time: "2023-07-22T04:26:40Z",
        entity: if keyed { &entity } else { "" },
        key: keyed.then_some(number),
        created: keyed.then_some(created),
    };
    let data = json!({ "number": number, "message": "é".repeat(30 + number.unsigned_abs() as usize % 7 * 20) });
    let mut page = PageBuilder::new(stream.into(), "https://vc.example/sdk", &[("vsphereapiversion", "8.0.3.0")]);
    page.push(&attributes, data.to_string().as_bytes());
    page.finish().remove(0)
}

pub(super) fn batch(stream: &str, numbers: std::ops::Range<i32>) -> Batch {
    let newest = BEGAN + i64::from(numbers.end - 1) * SECOND;
    let checkpoint = (stream == STREAMS[0]).then(|| CheckpointDelta {
        instance: Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
        filter: 77,
        resume: newest - 60 * SECOND,
        newest,
        last: Some((numbers.end - 1, newest)),
        horizon: BEGAN,
    });
    Batch { stream: stream.into(), events: numbers.map(|number| event(stream, number)).collect(), checkpoint }
}

async fn append(journal: &EmbeddedJournal, numbers: std::ops::Range<i32>) {
    for number in numbers {
        journal.append(&mut batch("vc", 3 * number..3 * number + 3)).await.unwrap();
        journal.append(&mut batch("hooks", number..number + 1)).await.unwrap();
    }
}

fn settlements(positions: std::ops::Range<u64>) -> Vec<Settlement> {
    let ends = [End::Delivered, End::DeadLettered, End::Unsubscribed, End::Unwanted];
    let settlement = |position: u64| {
        let end = ends[position as usize % 4];
        let target = (end != End::Unwanted).then(|| Target::new(["a", "b"][position as usize / 2 % 2]));
        Settlement { position: Position(position), target, end, attempts: 2, status: (end == ends[1]).then_some(400) }
    };
    positions.map(settlement).collect()
}

fn letter(processor: &str, position: u64) -> DeadLetter {
    DeadLetter {
        processor: processor.into(),
        target: Target::new("a"),
        entry: Entry { position: Position(position), event: event("vc", position as i32) },
        attempts: 10,
        why: Reason { status: Some(400), text: "it answered \"no\"".to_owned() },
        since: std::time::UNIX_EPOCH + Duration::from_secs(1_690_000_000 + position),
    }
}

/// Fills an empty folder in three runs, and gives the journal as it is at the end of the last one. There are segments
/// of everything, files that were written over, one that waits for that, two processors with lanes, outcomes above and
/// below their places, letters, letters that are gone, and a checkpoint.
pub(super) async fn fill(folder: &Path) -> EmbeddedJournal {
    let at = |front: u64, lanes: &[(&str, u64)]| CursorState {
        front: Position(front),
        lanes: lanes.iter().map(|(target, through)| (Target::new(target), Position(*through))).collect(),
    };
    let journal = self::journal(folder);
    journal.open().await.unwrap();
    let cursors = open_cursors(&journal).await;
    append(&journal, 0..20).await;
    let letters = journal.dead_letters().unwrap();
    for (cursor, name) in cursors.iter().zip(PROCESSORS) {
        cursor.record(&mut settlements(1..81));
        cursor.commit(at(80, &[])).await.unwrap();
        letters.keep(letter(name, 9)).await.unwrap();
        letters.keep(letter(name, 21)).await.unwrap();
    }
    journal.close().await.unwrap();

    let journal = self::journal(folder);
    journal.open().await.unwrap();
    let cursors = open_cursors(&journal).await;
    append(&journal, 20..26).await;
    let newest = cursors[0].newest().0;
    cursors[0].record(&mut settlements(newest - 23..newest - 3));
    cursors[0].commit(at(newest - 6, &[("a", newest - 12), ("b", newest - 9)])).await.unwrap();
    cursors[1].record(&mut settlements(newest - 23..newest - 9));
    cursors[1].commit(at(newest - 10, &[])).await.unwrap();
    journal.close().await.unwrap();

    // What both have is let go, as soon as there is too much.
    let tight = Settings { max_bytes: 44 << 10, ..settings() };
    let journal = EmbeddedJournal::new(folder, tight, configured().processors);
    journal.open().await.unwrap();
    let cursors = open_cursors(&journal).await;
    append(&journal, 26..34).await;
    for number in 34.. {
        append(&journal, number..number + 1).await;
        settle(&journal).await;
        if folder.join("events/spare").exists() {
            break;
        }
    }
    let letters = journal.dead_letters().unwrap();
    let gone = letter("far", 21).id();
    assert_eq!(letters.discard(vec![gone]).await.unwrap(), 1);
    letters.keep(letter("near", newest - 11)).await.unwrap();
    let newest = cursors[0].newest().0;
    for cursor in &cursors {
        let CursorState { front, lanes } = cursor.state();
        cursor.record(&mut settlements(front.0 + 1..newest + 1));
        cursor.commit(CursorState { front: Position(front.0 + 3), lanes }).await.unwrap();
    }
    // The other thread has done what it was told.
    open_cursors(&journal).await;
    let are = |part: &str, least: usize| {
        let files = files(folder);
        let there = files.iter().filter(|file| file.to_str().unwrap().starts_with(part)).count();
        assert!(there >= least, "{there} files of {part}: {files:?}");
    };
    are("events/0", 5);
    are("events/spare", 1);
    are("outcomes/0", 3);
    are("letters/0", 2);
    are("places", 4);
    journal
}

/// Waits until the thread that appends has done what it was told, and let go of what is too much.
async fn settle(journal: &EmbeddedJournal) {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let nobody = Order::Adopt { from: "nobody".into(), to: "nobody".into(), answer };
    assert!(journal.engine().unwrap().0.orders.send(nobody).is_ok());
    assert!(!answered.await.unwrap().unwrap());
}

async fn open_cursors(journal: &EmbeddedJournal) -> Vec<Arc<dyn Cursor>> {
    let mut cursors = Vec::new();
    for name in PROCESSORS {
        cursors.push(journal.cursor(name, Begin::Oldest).await.unwrap());
    }
    cursors
}

/// All that can be read of a journal.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Contents {
    /// Events by position.
    pub(super) events: BTreeMap<u64, Value>,
    /// Checkpoints by stream.
    pub(super) checkpoints: BTreeMap<String, Value>,
    /// Places by processor: the front, and the lanes.
    pub(super) places: BTreeMap<String, (u64, BTreeMap<String, u64>)>,
    /// What was settled above its place, by processor.
    pub(super) settled: BTreeMap<String, BTreeSet<(u64, String)>>,
    /// How events ended: processor, position, target, end, attempts and status.
    pub(super) ended: BTreeSet<String>,
    /// Letters, by what they are about.
    pub(super) letters: BTreeMap<String, Value>,
    /// What could not be read.
    pub(super) trouble: Vec<String>,
}

fn shown(event: &Event) -> Value {
    json!({
        "stream": **event.stream(), "id": event.id(), "type": event.kind(), "subject": event.subject(),
        "time": event.time(), "entity": event.entity(), "key": event.key(), "created": event.created(),
        "json": String::from_utf8_lossy(&event.json()), "data": String::from_utf8_lossy(&event.data()),
    })
}

/// Reads all of an open journal.
pub(super) async fn read(journal: &EmbeddedJournal) -> Contents {
    let mut all = Contents::default();
    let history = journal.history().unwrap();
    let mut after = Position(0);
    loop {
        match history.read(after, BatchLimits { events: 10, bytes: 4096 }).await {
            Ok(entries) => {
                let Some(last) = entries.last() else { break };
                after = last.position;
                for Entry { position, event } in entries {
                    let before = all.events.insert(position.0, shown(&event));
                    assert!(before.is_none(), "{position} is read twice");
                }
            }
            Err(error) => {
                all.trouble.push(error.to_string());
                break;
            }
        }
    }
    let engine = &journal.engine().unwrap().0;
    let mut outcomes = Reader::lenient(Arc::clone(&engine.disks.outcomes), engine.shared.outcomes.clone());
    let read = outcomes.read(Position(0), &mut |head, payload| {
        let (processor, settlements) = outcomes::read(payload, head.count).unwrap();
        all.ended.extend(settlements.into_iter().map(|Settlement { position, target, end, attempts, status }| {
            let target = target.as_ref().map_or("", Target::as_str);
            format!("{processor} {position} {target} {end:?} {attempts} {status:?}")
        }));
        true
    });
    read.unwrap();
    for stream in STREAMS {
        let Some(checkpoint) = journal.checkpoint(stream).await.unwrap() else { continue };
        let Checkpoint { instance, filter, resume, newest, last, horizon, recent } = checkpoint;
        let recent: Vec<_> = recent.iter().collect();
        let shown = json!({
            "instance": instance.to_string(), "filter": filter, "resume": resume, "newest": newest, "last": last,
            "horizon": horizon, "recent": recent,
        });
        all.checkpoints.insert(stream.to_owned(), shown);
    }
    for name in PROCESSORS {
        match journal.cursor(name, Begin::End).await {
            Ok(cursor) => {
                let CursorState { front, lanes } = cursor.state();
                let lanes = lanes.into_iter().map(|(target, through)| (target.as_str().to_owned(), through.0));
                all.places.insert(name.to_owned(), (front.0, lanes.collect()));
                let settled = cursor.settled().into_iter().map(|(at, target)| (at.0, target.as_str().to_owned()));
                all.settled.insert(name.to_owned(), settled.collect());
            }
            Err(error) => all.trouble.push(error.to_string()),
        }
    }
    let letters = journal.dead_letters().unwrap();
    let mut place = LettersPlace(0);
    loop {
        match letters.read(place).await {
            Ok((read, next)) => {
                if next == place {
                    break;
                }
                place = next;
                for letter in read {
                    let since = letter.since.duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as u64;
                    let shown = json!({
                        "processor": *letter.processor, "target": letter.target.as_str(),
                        "attempts": letter.attempts, "status": letter.why.status, "reason": letter.why.text,
                        "since": since, "event": shown(&letter.entry.event),
                    });
                    all.letters.insert(letter.id().to_string(), shown);
                }
            }
            Err(error) => {
                all.trouble.push(error.to_string());
                break;
            }
        }
    }
    all
}

/// Copies a journal's folder.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// The files of a journal's folder, as paths from there.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path().strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}
