//! Safeguards that no other test would miss: `tools/mutations.py` takes them out one by one.

use std::fs;
use std::path::PathBuf;

use super::repair::repair;
use super::specimen::{self, configured, settings};
use super::{Begin, CursorState, EmbeddedJournal, Journal as _, Position, Settings, Simulated};
use crate::attempt::{BatchLimits, Target};
use crate::journal::{Cursor, End, Settlement};

fn simulated(disk: &Simulated, settings: Settings) -> EmbeddedJournal {
    EmbeddedJournal::simulated(disk, settings, configured().processors).unwrap()
}

async fn append(journal: &EmbeddedJournal, number: i32) -> Position {
    journal.append(&mut specimen::batch("hooks", number..number + 1)).await.unwrap()
}

async fn events(cursor: &dyn Cursor) -> Vec<String> {
    let (mut after, mut all) = (Position(0), Vec::new());
    loop {
        let entries = cursor.read(after, BatchLimits { events: 100, bytes: 1 << 20 }).await.unwrap();
        let Some(last) = entries.last() else { return all };
        after = last.position;
        all.extend(entries.iter().map(|entry| entry.event.id().to_owned()));
    }
}

#[tokio::test]
async fn what_was_closed_survives_a_power_loss() {
    for synced in [true, false] {
        let disk = Simulated::default();
        let journal = simulated(&disk, Settings { synced, ..settings() });
        let cursor = journal.cursor("near", Begin::Oldest).await.unwrap();
        for number in 0..5 {
            append(&journal, number).await;
        }
        cursor.commit(CursorState { front: Position(2), lanes: Vec::new() }).await.unwrap();
        let target = Some(Target::new("f"));
        let settlement = Settlement { position: Position(4), target, end: End::Delivered, attempts: 1, status: None };
        cursor.record(&mut vec![settlement]);
        journal.close().await.unwrap();

        let journal = simulated(&disk.after_power_loss(|| false), settings());
        let cursor = journal.cursor("near", Begin::End).await.unwrap();
        assert_eq!(events(&*cursor).await.len(), 5);
        assert_eq!(cursor.state().front, Position(2));
        assert_eq!(cursor.settled(), [(Position(4), Target::new("f"))]);
    }
}

#[tokio::test]
async fn a_full_segment_is_durable_though_appends_are_not() {
    let disk = Simulated::default();
    let journal = simulated(&disk, Settings { synced: false, ..settings() });
    let cursor = journal.cursor("near", Begin::Oldest).await.unwrap();
    for number in 0..40 {
        append(&journal, number).await;
    }
    let before = events(&*cursor).await;
    let segments = journal.engine().unwrap().0.shared.events.bases();
    let begun = usize::try_from(segments.last().unwrap().0).unwrap() - 1;
    assert!(begun > 20, "{segments:?}");
    let journal = simulated(&disk.after_power_loss(|| false), settings());
    let cursor = journal.cursor("near", Begin::Oldest).await.unwrap();
    let after = events(&*cursor).await;
    assert!(after.len() >= begun && before.starts_with(&after), "{} of {begun}", after.len());
}

/// What remains of a journal whose events are gone, and the place that the next one gets.
async fn next_without_events(remains: &[&str]) -> u64 {
    let folder = specimen::empty();
    specimen::fill(folder.path()).await.close().await.unwrap();
    for file in specimen::files(folder.path()) {
        if !remains.iter().any(|part| file.starts_with(part)) {
            fs::remove_file(folder.path().join(file)).unwrap();
        }
    }
    let journal = specimen::journal(folder.path());
    journal.open().await.unwrap();
    let next = append(&journal, 0).await.0;
    journal.close().await.unwrap();
    next
}

#[tokio::test]
async fn no_event_gets_a_place_that_a_processor_has_passed() {
    // The events end above it.
    let next = next_without_events(&["places"]).await;
    assert!(next > 98, "{next} passes for delivered");
}

#[tokio::test]
async fn no_event_gets_the_place_of_a_dead_letter() {
    let next = next_without_events(&["letters"]).await;
    assert!(next > 90, "{next} may be that of a letter");
}

#[tokio::test]
async fn no_event_gets_a_place_that_was_lost_with_the_power() {
    let relaxed = || Settings { synced: false, ..settings() };
    let mut disk = Simulated::default();
    let mut highest = Position(0);
    // Whether there is much before it, or nothing at all.
    for events in [1, 3, 40, 2] {
        let journal = simulated(&disk, relaxed());
        for number in 0..events {
            let place = append(&journal, number).await;
            assert!(place > highest, "{place} may pass for delivered: {highest} was given before");
            highest = place;
        }
        // Nobody closes it.
        disk = disk.after_power_loss(|| false);
    }
}

#[tokio::test]
async fn no_event_gets_a_place_that_damage_may_have_had() {
    let alive = specimen::empty();
    let journal = specimen::journal(alive.path());
    journal.open().await.unwrap();
    append(&journal, 0).await;
    let last = journal.append(&mut specimen::batch("hooks", 1..5)).await.unwrap();
    // Nothing is written behind it that would testify to it: as after a kill.
    let killed = specimen::empty();
    specimen::copy(alive.path(), killed.path());
    let is_log = |file: &PathBuf| file.starts_with("events") && file.extension().is_some_and(|kind| kind == "log");
    let newest = specimen::files(killed.path()).into_iter().rfind(is_log).unwrap();
    let newest = killed.path().join(newest);
    let mut bytes = fs::read(&newest).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&newest, bytes).unwrap();

    let again = specimen::journal(killed.path());
    again.open().await.unwrap();
    let reader = again.cursor("near", Begin::Oldest).await.unwrap();
    assert_eq!(events(&*reader).await.len(), 1, "the damaged batch is none");
    let next = append(&again, 9).await;
    assert!(next > last, "{next} may pass for delivered: {last} was given before");
    again.close().await.unwrap();
    journal.close().await.unwrap();
}

#[tokio::test]
async fn what_a_processor_would_need_after_a_power_loss_is_not_let_go() {
    let disk = Simulated::default();
    let journal = simulated(&disk, settings());
    let cursor = journal.cursor("near", Begin::Oldest).await.unwrap();
    // Its place is durable once a second; meanwhile there are more events than may be kept.
    for number in 0..1000 {
        let front = append(&journal, number).await;
        cursor.commit(CursorState { front, lanes: Vec::new() }).await.unwrap();
    }
    let journal = simulated(&disk.after_power_loss(|| false), settings());
    let cursor = journal.cursor("near", Begin::End).await.unwrap();
    let front = cursor.state().front;
    let next = cursor.read(front, BatchLimits { events: 1, bytes: 1 << 20 }).await.unwrap();
    assert_eq!(next.first().map(|entry| entry.position.0), Some(front.0 + 1), "it passed {front}, as far as is known");
}

#[tokio::test]
async fn whoever_is_new_never_passes_for_one_of_the_name_that_was_forgotten() {
    let delivered = |position| {
        let target = Some(Target::new("f"));
        vec![Settlement { position: Position(position), target, end: End::Delivered, attempts: 1, status: None }]
    };
    for restarted in [false, true] {
        let alive = specimen::empty();
        let mut journal = specimen::journal(alive.path());
        journal.open().await.unwrap();
        let forgotten = journal.cursor("near", Begin::End).await.unwrap();
        for number in 0..5 {
            append(&journal, number).await;
        }
        forgotten.record(&mut [delivered(2), delivered(4)].concat());
        drop(forgotten);
        journal.forget("near").await.unwrap();
        journal.cursor("near", Begin::Oldest).await.unwrap();
        if restarted {
            journal.close().await.unwrap();
            journal = specimen::journal(alive.path());
            journal.open().await.unwrap();
            journal.cursor("near", Begin::End).await.unwrap().record(&mut delivered(3));
        }
        let killed = specimen::empty();
        specimen::copy(alive.path(), killed.path());
        journal.close().await.unwrap();

        // The oldest file has both of them. Whatever is damaged there, nothing that the first had is taken from the second.
        let file = specimen::files(killed.path()).into_iter().find(|file| file.starts_with("outcomes")).unwrap();
        let bytes = fs::read(killed.path().join(&file)).unwrap();
        // (Its first bytes say that it is a file of ours, and no router touches another one.)
        for (at, mended) in (10..bytes.len()).flat_map(|at| [(at, false), (at, true)]) {
            let folder = specimen::empty();
            specimen::copy(killed.path(), folder.path());
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(folder.path().join(&file), bytes).unwrap();
            if mended {
                repair(folder.path(), &settings(), &configured(), &|_| None, false).unwrap();
            }
            let journal = specimen::journal(folder.path());
            journal.open().await.unwrap();
            let settled = journal.cursor("near", Begin::End).await.unwrap().settled();
            assert!(settled.iter().all(|(at, _)| at.0 == 3), "byte {at}, mended: {mended}: {settled:?}");
            journal.close().await.unwrap();
        }
    }
}
