//! Journals that are damaged in every way that bytes and files can be, and mended.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt as _;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::attempt::BatchLimits;
use crate::attempt::{Reason, Target};
use crate::event::{Attributes, PageBuilder};
use crate::journal::embedded::{EmbeddedJournal, inspect};
use crate::journal::{Begin, CheckpointDelta, Cursor, DeadLetter, End, Journal as _, LetterId, Settlement};

const SECOND: i64 = 1_000_000;

fn settings() -> Settings {
    Settings { segment_bytes: 4096, max_bytes: 16 << 20, ..Settings::default() }
}

fn configured() -> Configured {
    Configured { streams: vec!["vc".into()], processors: vec!["p".into()] }
}

fn event(stream: &str, key: i32) -> Event {
    let mut page = PageBuilder::new(stream.into(), "https://vc/sdk", &[]);
    let id = format!("{stream}-{key}");
    let created = i64::from(key) * SECOND;
    page.push(&Attributes { id: &id, key: Some(key), created: Some(created), ..Attributes::default() }, &[b'7'; 200]);
    page.finish().remove(0)
}

fn delta(instance: u128, newest: i32) -> CheckpointDelta {
    let newest = i64::from(newest) * SECOND;
    let resume = (newest - 60 * SECOND).max(0);
    CheckpointDelta { instance: Uuid::from_u128(instance), filter: 0, resume, newest, last: None, horizon: 0 }
}

/// The event that tells of a gap, as recognisable as need be.
fn gap(gap: &Gap) -> Option<Event> {
    let mut page = PageBuilder::new(Arc::clone(&gap.stream), "https://vc/sdk", &[]);
    page.push(&Attributes { id: "gap", subject: "EventGap", ..Attributes::default() }, gap.reason.as_bytes());
    Some(page.finish().remove(0))
}

fn journal(folder: &Path) -> EmbeddedJournal {
    EmbeddedJournal::new(folder, settings(), configured().processors)
}

/// A journal of two streams' events, with the processor at its beginning.
async fn fill(folder: &Path, events: i32) {
    let journal = journal(folder);
    journal.open().await.unwrap();
    journal.cursor("p", Begin::End).await.unwrap();
    let mut key = 0;
    while key < events {
        let count = 1 + key % 5;
        for (stream, instance) in [("vc", 1), ("other", 2)] {
            let events = (key..key + count).map(|key| event(stream, key)).collect();
            let checkpoint = Some(delta(instance, key + count - 1));
            journal.append(&mut Batch { stream: stream.into(), events, checkpoint }).await.unwrap();
        }
        key += count;
    }
    journal.close().await.unwrap();
}

/// The same, where old files were written over: what comes before the event that is returned is delivered.
async fn fill_recycled(folder: &Path, events: i32) -> i32 {
    fill(folder, 150).await;
    let journal = EmbeddedJournal::new(folder, small(), configured().processors);
    journal.open().await.unwrap();
    let cursor = journal.cursor("p", Begin::End).await.unwrap();
    cursor.commit(CursorState { front: cursor.newest(), lanes: Vec::new() }).await.unwrap();
    journal.close().await.unwrap();
    let before = segments(folder, "events");
    let journal = EmbeddedJournal::new(folder, small(), configured().processors);
    journal.open().await.unwrap();
    for key in 150..events {
        for (stream, instance) in [("vc", 1), ("other", 2)] {
            let checkpoint = Some(delta(instance, key));
            let events = vec![event(stream, key)];
            journal.append(&mut Batch { stream: stream.into(), events, checkpoint }).await.unwrap();
        }
    }
    journal.close().await.unwrap();
    let after = segments(folder, "events");
    let gone = before.iter().filter(|file| !after.contains(file)).count();
    assert!(gone > 5, "{gone} of {} files were let go, and written over: {}", before.len(), after.len());
    150
}

/// A journal that has to let go of what is old.
fn small() -> Settings {
    Settings { max_bytes: 220 << 10, ..settings() }
}

async fn read_all(cursor: &dyn Cursor) -> Vec<(u64, Event)> {
    let (mut after, mut all) = (Position(0), Vec::new());
    loop {
        let entries = cursor.read(after, BatchLimits { events: 100, bytes: 1 << 20 }).await.unwrap();
        let Some(last) = entries.last() else { return all };
        after = last.position;
        all.extend(entries.into_iter().map(|entry| (entry.position.0, entry.event)));
    }
}

/// The files of a log, oldest first.
fn segments(folder: &Path, log: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.join(log)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|is| is == "log")).collect();
    files.sort();
    files
}

fn flip(path: &Path, at: u64, bits: u8) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ bits], at).unwrap();
}

/// Damages something at random, and says what.
fn harm(folder: &Path, random: &mut fastrand::Rng) -> String {
    let files = segments(folder, "events");
    let at = random.usize(..files.len());
    let file = &files[at];
    let length = fs::metadata(file).unwrap().len();
    let name = file.file_name().unwrap().to_str().unwrap();
    let place = random.u64(..length.max(1));
    match random.u8(..10) {
        // The first and the last of a row are missed by nobody.
        0 if at > 0 && at + 1 < files.len() => {
            fs::remove_file(file).unwrap();
            format!("{name} is removed")
        }
        1 => {
            fs::OpenOptions::new().write(true).open(file).unwrap().set_len(place).unwrap();
            format!("{name} ends at {place}")
        }
        2 => {
            let zeros = vec![0; usize::try_from(length - place).unwrap().min(512)];
            fs::OpenOptions::new().write(true).open(file).unwrap().write_all_at(&zeros, place).unwrap();
            format!("{name} is zero from {place} on")
        }
        3 if length > 64 => {
            let place = random.u64(..64);
            flip(file, place, 4);
            format!("{name}: the header's byte {place}")
        }
        _ => {
            if length > 0 {
                flip(file, place, 1 << random.u8(..8));
            }
            format!("{name}: byte {place}")
        }
    }
}

#[tokio::test]
async fn whatever_is_damaged_is_mended_and_nothing_is_missing_for_good() {
    let whole = tempfile::tempdir().unwrap();
    fill(whole.path(), 150).await;
    damage_and_mend(&whole, 0, 150).await;
}

#[tokio::test]
async fn nor_is_it_where_files_were_written_over() {
    let whole = tempfile::tempdir().unwrap();
    let first = fill_recycled(whole.path(), 240).await;
    damage_and_mend(&whole, first, 240).await;
}

/// Damages copies of a journal, and mends them. Events before the first are delivered.
async fn damage_and_mend(whole: &tempfile::TempDir, first: i32, events: i32) {
    let seed = std::env::var("REPAIR_SEED").ok().map(|seed| seed.parse().unwrap());
    let mut damaged = 0;
    let copy = |to: &Path| {
        for part in ["events", "outcomes", "places", "letters"] {
            fs::create_dir_all(to.join(part)).unwrap();
            for entry in fs::read_dir(whole.path().join(part)).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), to.join(part).join(entry.file_name())).unwrap();
            }
        }
    };
    for seed in seed.map_or(0..300, |seed| seed..seed + 1) {
        let folder = tempfile::tempdir().unwrap();
        copy(folder.path());
        let mut random = fastrand::Rng::with_seed(seed);
        let harm: Vec<_> = (0..random.usize(1..4)).map(|_| harm(folder.path(), &mut random)).collect();
        let told = format!("REPAIR_SEED={seed} {harm:?}");
        let found = inspect::verify(folder.path(), &configured()).unwrap();
        let repaired = repair(folder.path(), &settings(), &configured(), &gap, false);
        let repaired = repaired.unwrap_or_else(|error| panic!("{told}: {error}; {:?}", found.logs[0]));
        assert_eq!(found.whole, repaired.is_nothing(), "{told}");
        damaged += u32::from(!found.whole);
        if !found.whole {
            assert!(repaired.aside.as_ref().unwrap().is_dir(), "{told}");
        }
        let after = inspect::verify(folder.path(), &configured()).unwrap();
        assert!(after.whole, "{told}: {:?}", after.logs[0].damage);

        let journal = journal(folder.path());
        journal.open().await.unwrap_or_else(|error| panic!("{told}: {error}"));
        let cursor = journal.cursor("p", Begin::End).await.unwrap();
        let there = read_all(&*cursor).await;
        assert!(there.is_sorted_by(|(one, _), (other, _)| one < other), "{told}");
        let ids: Vec<_> = there.iter().map(|(_, event)| event.id().to_owned()).collect();
        let known: BTreeSet<_> = ids.iter().map(String::as_str).collect();
        assert!(ids.iter().filter(|id| *id != "gap").count() == known.iter().filter(|id| **id != "gap").count());
        for stream in ["vc", "other"] {
            // Where all is gone, the stream begins where it is told to.
            let Some(checkpoint) = journal.checkpoint(stream).await.unwrap() else {
                assert!(repaired.placeless || !repaired.is_nothing(), "{told}");
                continue;
            };
            for key in first..events {
                let created = i64::from(key) * SECOND;
                let is_there = known.contains(format!("{stream}-{key}").as_str());
                let remembered = checkpoint.recent.contains(key, created);
                if is_there {
                    assert!(remembered || created < checkpoint.resume, "{told}: {stream} {key} would come twice");
                } else {
                    let again = !remembered && checkpoint.resume.max(checkpoint.horizon) <= created;
                    assert!(again, "{told}: {stream} {key} is lost: {checkpoint:?}");
                }
            }
        }
        // Two streams have as many positions.
        let settled = u64::from(first.unsigned_abs()) * 2;
        let lost = repaired.damage.iter().any(|damage| damage.lost.is_some_and(|(_, last)| last > settled));
        assert_eq!(known.contains("gap"), lost && !repaired.placeless, "{told}: {repaired:?}");
        // It is a journal like any other.
        let checkpoint = Some(delta(1, events));
        let events = vec![event("vc", events)];
        let position = journal.append(&mut Batch { stream: "vc".into(), events, checkpoint }).await.unwrap();
        assert!(there.last().is_none_or(|(last, _)| position.0 > *last), "{told}");
        assert!(found.logs[0].last.is_none_or(|last| position.0 > last), "{told}: no position is given twice");
        journal.close().await.unwrap();
        let after = inspect::verify(folder.path(), &configured()).unwrap();
        assert!(after.whole, "{told}: {:?}", after.logs[0].damage);
    }
    assert!(seed.is_some() || damaged > 150, "{damaged} of 300 were damaged");
}

#[tokio::test]
async fn what_everybody_has_is_not_read_again() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 150).await;
    let journal = journal(folder.path());
    journal.open().await.unwrap();
    let cursor = journal.cursor("p", Begin::End).await.unwrap();
    let newest = cursor.newest();
    cursor.commit(CursorState { front: newest, lanes: Vec::new() }).await.unwrap();
    journal.close().await.unwrap();
    flip(&segments(folder.path(), "events")[1], 2000, 8);
    let before = fs::read(&segments(folder.path(), "events")[1]).unwrap();
    let would = repair(folder.path(), &settings(), &configured(), &gap, true).unwrap();
    assert!(would.damage.len() == 1 && would.gaps.is_empty() && would.aside.is_none(), "{would:?}");
    assert_eq!(fs::read(&segments(folder.path(), "events")[1]).unwrap(), before, "nothing was changed");
    let repaired = repair(folder.path(), &settings(), &configured(), &gap, false).unwrap();
    assert!(repaired.gaps.is_empty() && repaired.damage == would.damage, "{repaired:?}");
    let aside = repaired.aside.unwrap().join("events").join(segments(folder.path(), "events")[1].file_name().unwrap());
    assert_eq!(fs::read(aside).unwrap(), before);
    // Whoever does not have it misses it.
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 150).await;
    flip(&segments(folder.path(), "events")[1], 2000, 8);
    let repaired = repair(folder.path(), &settings(), &configured(), &gap, false).unwrap();
    assert_eq!(repaired.gaps.len(), 2);
    assert!(repaired.gaps.iter().all(|gap| gap.again && !gap.twice), "{repaired:?}");
}

fn letter(key: i32, processor: &str) -> DeadLetter {
    DeadLetter {
        processor: processor.into(),
        target: Target::new("f"),
        entry: crate::journal::Entry { position: Position(u64::from(key.unsigned_abs())), event: event("vc", key) },
        attempts: 3,
        why: Reason { status: Some(400), text: "no".to_owned() },
        since: std::time::SystemTime::now(),
    }
}

#[tokio::test]
async fn other_parts_are_mended_too() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 50).await;
    let journal = journal(folder.path());
    journal.open().await.unwrap();
    let cursor = journal.cursor("p", Begin::End).await.unwrap();
    for key in 0..40_u64 {
        let end = End::Delivered;
        let position = Position(key + 1);
        let settlement = Settlement { position, target: Some(Target::new("f")), end, attempts: 1, status: Some(200) };
        cursor.record(&mut vec![settlement]);
    }
    let letters = journal.dead_letters().unwrap();
    for key in 1..30 {
        letters.keep(letter(key, "p")).await.unwrap();
    }
    journal.close().await.unwrap();
    let places: Vec<_> =
        fs::read_dir(folder.path().join("places")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(places.len(), 2);
    for place in &places {
        flip(place, 20, 1);
    }
    flip(&segments(folder.path(), "letters")[0], 3000, 1);
    let found = inspect::verify(folder.path(), &configured()).unwrap();
    assert!(!found.whole && found.places.len() == 1 && found.logs[2].damage.len() == 1, "{found:?}");
    // What is damaged cannot be used, and the rest can.
    let journal = journal_of(folder.path());
    journal.open().await.unwrap();
    assert!(matches!(journal.cursor("p", Begin::End).await, Err(JournalError::Damaged(_))));
    let letters = journal.dead_letters().unwrap();
    assert!(matches!(letters.keep(letter(40, "p")).await, Err(JournalError::Damaged(_))));
    assert!(matches!(letters.read(crate::journal::LettersPlace(0)).await, Err(JournalError::Damaged(_))));
    let trouble = journal.stats().trouble.unwrap();
    assert!(trouble.contains("letters/") && trouble.contains("journal repair"), "{trouble}");
    let other = journal.cursor("q", Begin::Oldest).await.unwrap();
    assert_eq!(read_all(&*other).await.len(), 100);
    assert_eq!(journal.stats().undelivered, 100, "what p has not had is kept");
    journal.close().await.unwrap();
    drop((other, letters, journal));

    let repaired = repair(folder.path(), &settings(), &configured(), &gap, false).unwrap();
    assert_eq!((repaired.anew, repaired.gaps), (vec!["p".to_owned()], Vec::new()));
    assert!(inspect::verify(folder.path(), &configured()).unwrap().whole);
    let journal = journal_of(folder.path());
    journal.open().await.unwrap();
    let cursor = journal.cursor("p", Begin::End).await.unwrap();
    assert_eq!(cursor.state().front, Position(0), "at the oldest event");
    assert_eq!(cursor.settled().len(), 40, "what was delivered is known");
    assert_eq!(journal.dead_letters().unwrap().ids().len(), 28, "one letter is lost");
    journal.close().await.unwrap();
}

fn journal_of(folder: &Path) -> EmbeddedJournal {
    journal(folder)
}

#[tokio::test]
async fn what_is_dormant_can_be_let_go_or_given_away() {
    use crate::journal::embedded::dormant::{RenameError, forget, rename};
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 20).await;
    let open = async |names: &[&str]| {
        let names = names.iter().map(|name| Arc::from(*name)).collect();
        let journal = EmbeddedJournal::new(folder.path(), settings(), names);
        journal.open().await.unwrap();
        journal
    };
    let journal = open(&["p"]).await;
    let cursor = journal.cursor("p", Begin::End).await.unwrap();
    let state = CursorState { front: Position(9), lanes: vec![(Target::new("f"), Position(3))] };
    cursor.commit(state.clone()).await.unwrap();
    let settlement = Settlement {
        position: Position(12),
        target: Some(Target::new("f")),
        end: End::Delivered,
        attempts: 1,
        status: None,
    };
    // What one of the name that it is to have has delivered is none of its own.
    let before = journal.cursor("q", Begin::Oldest).await.unwrap();
    before.record(&mut vec![Settlement { position: Position(13), ..settlement.clone() }]);
    drop(before);
    journal.forget("q").await.unwrap();
    cursor.record(&mut vec![settlement]);
    journal.dead_letters().unwrap().keep(letter(5, "p")).await.unwrap();
    let busy = forget(folder.path(), &settings(), "p").unwrap_err();
    assert!(matches!(&busy, JournalError::InUse { owner, .. } if owner.starts_with("process ")), "{busy}");
    let checkpoint = journal.checkpoint("other").await.unwrap().unwrap();
    journal.close().await.unwrap();
    drop((cursor, journal));

    let none = Configured::default();
    let names = inspect::dormant(folder.path(), &none).unwrap();
    assert_eq!(names.streams, ["other".into(), "vc".into()]);
    assert_eq!(names.processors, ["p".into()]);
    let moved = rename(folder.path(), &settings(), "p", "q").unwrap();
    assert!(moved.place && moved.letters == 1 && !moved.checkpoint, "{moved:?}");
    let moved = rename(folder.path(), &settings(), "other", "vc2").unwrap();
    assert!(moved.checkpoint && !moved.place, "{moved:?}");
    assert!(matches!(rename(folder.path(), &settings(), "vc2", "vc"), Err(RenameError::Taken(_))));
    assert!(rename(folder.path(), &settings(), "p", "x").unwrap().is_nothing());

    let journal = open(&["q"]).await;
    let cursor = journal.cursor("q", Begin::End).await.unwrap();
    assert_eq!((cursor.state(), cursor.settled()), (state, vec![(Position(12), Target::new("f"))]));
    let id = LetterId { position: Position(5), processor: "q".into(), target: Target::new("f") };
    assert_eq!(journal.dead_letters().unwrap().ids(), [id]);
    assert_eq!(journal.checkpoint("other").await.unwrap(), None);
    assert_eq!(journal.checkpoint("vc2").await.unwrap(), Some(checkpoint));
    journal.close().await.unwrap();
    drop((cursor, journal));

    assert!(forget(folder.path(), &settings(), "q").unwrap().letters == 1);
    assert!(forget(folder.path(), &settings(), "vc2").unwrap().checkpoint);
    let names = inspect::dormant(folder.path(), &none).unwrap();
    assert_eq!((names.streams, names.processors), (vec!["vc".into()], Vec::new()));
    assert!(inspect::verify(folder.path(), &none).unwrap().whole);
}

#[tokio::test]
async fn a_journal_that_is_written_to_is_not_taken_for_a_damaged_one() {
    const BATCHES: i32 = 500;
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 20).await;
    let journal = journal(folder.path());
    journal.open().await.unwrap();
    let written = CancellationToken::new();
    let (path, done) = (folder.path().to_owned(), written.clone());
    let looking = tokio::task::spawn_blocking(move || {
        let mut records = Vec::new();
        loop {
            // What is looked at after the last batch must hold it.
            let last = done.is_cancelled();
            let found = inspect::verify(&path, &configured()).unwrap();
            assert!(found.whole && found.used_by.is_some(), "{:?}", found.logs);
            records.push(found.logs[0].records);
            if last {
                return records;
            }
        }
    });
    for batch in 0..BATCHES {
        let key = 20 + 3 * batch;
        let events = (key..key + 3).map(|key| event("vc", key)).collect();
        let checkpoint = Some(delta(1, key + 2));
        journal.append(&mut Batch { stream: "vc".into(), events, checkpoint }).await.unwrap();
    }
    written.cancel();
    let records = looking.await.unwrap();
    assert!(records.is_sorted(), "{records:?}");
    assert_eq!(records.last(), Some(&(40 + 3 * u64::from(BATCHES.unsigned_abs()))));
    journal.close().await.unwrap();
}

#[tokio::test]
async fn a_newer_version_is_not_mended() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 50).await;
    let file = &segments(folder.path(), "events")[2];
    let before = fs::read(file).unwrap();
    let mut newer = before.clone();
    newer[8] = 2;
    let sum = crc32fast::hash(&newer[..60]);
    newer[60..64].copy_from_slice(&sum.to_le_bytes());
    fs::write(file, &newer).unwrap();
    let why = repair(folder.path(), &settings(), &configured(), &gap, false).unwrap_err().to_string();
    assert!(why.contains("it is of version 2") && !why.contains("repair"), "{why}");
    assert_eq!(fs::read(file).unwrap(), newer, "nothing is touched");
    // But a bit of it may have turned over.
    fs::write(file, &before).unwrap();
    flip(file, 8, 2);
    let repaired = repair(folder.path(), &settings(), &configured(), &gap, false).unwrap();
    assert!(repaired.damage.len() == 1 && repaired.gaps.is_empty(), "{repaired:?}");
    assert_eq!(fs::read(file).unwrap(), before);
}
