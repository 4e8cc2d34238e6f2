//! What every engine promises, shown by each of them. What crashes and failures do to it is in `model.rs`.

mod past;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::embedded::{EmbeddedJournal, Settings, Simulated};
use super::memory::MemoryJournal;
use super::{
    Appender, Batch, Begin, CheckpointDelta, CursorState, DeadLetter, DeadLetters, Entry, Journal, JournalError,
    LettersPlace,
};
use crate::attempt::{BatchLimits, Position, Reason, Target};
use crate::event::{Attributes, Event, PageBuilder};
use crate::telemetry::{StreamState, StreamStatus, Telemetry};

const ALL: BatchLimits = BatchLimits { events: usize::MAX, bytes: usize::MAX };

fn events(count: i32, bytes: usize) -> Vec<Event> {
    let mut page = PageBuilder::new("vc".into(), "s", &[]);
    let data = format!("\"{}\"", "x".repeat(bytes));
    for key in 1..=count {
        let attributes =
            Attributes { key: Some(key), created: Some(i64::from(key) * 1_000_000), ..Attributes::default() };
        page.push(&attributes, data.as_bytes());
    }
    page.finish()
}

fn delta(resume: i64) -> CheckpointDelta {
    CheckpointDelta { instance: Uuid::from_u128(1), filter: 0, resume, newest: resume, last: None, horizon: 0 }
}

/// Each engine, with so many bytes.
fn engines(max_bytes: u64) -> [Arc<dyn Journal>; 2] {
    let settings = Settings { max_bytes, max_age: Duration::from_secs(86400), synced: true, segment_bytes: 16 << 20 };
    let embedded = EmbeddedJournal::simulated(&Simulated::default(), settings, Vec::new()).unwrap();
    [Arc::new(MemoryJournal::new(max_bytes)), Arc::new(embedded)]
}

async fn append(journal: &Arc<dyn Journal>, events: Vec<Event>) -> Result<Position, JournalError> {
    journal.append(&mut Batch { stream: "vc".into(), events, checkpoint: None }).await
}

fn appender(journal: &Arc<dyn Journal>) -> (Arc<Appender>, Arc<StreamStatus>, CancellationToken) {
    let status = Telemetry::new().stream("vc", "vmware_vcenter", "https://vc/sdk");
    let stop = CancellationToken::new();
    let journal = Arc::clone(journal);
    (Arc::new(Appender::new(journal, "vc".into(), Arc::clone(&status), stop.clone())), status, stop)
}

#[tokio::test]
async fn what_is_appended_is_read_in_order_and_let_go_once_all_cursors_have_passed() {
    for journal in engines(1 << 20) {
        let (a, b) = (journal.cursor("a", Begin::End).await.unwrap(), journal.cursor("b", Begin::End).await.unwrap());
        assert_eq!(append(&journal, events(10, 10)).await.unwrap(), Position(10));
        assert_eq!(append(&journal, Vec::new()).await.unwrap(), Position(10), "an empty append is the newest place");
        let read = a.read(Position(3), ALL).await.unwrap();
        assert_eq!(read.iter().map(|entry| entry.position.0).collect::<Vec<_>>(), (4..=10).collect::<Vec<_>>());
        assert_eq!(read[0].event.key(), Some(4));
        let few = a.read(Position(0), BatchLimits { events: 3, bytes: usize::MAX }).await.unwrap();
        assert_eq!(few.len(), 3);
        let one = a.read(Position(0), BatchLimits { events: 10, bytes: 1 }).await.unwrap();
        assert_eq!(one.len(), 1, "an event is given whatever its size");
        assert!(a.read(Position(10), ALL).await.unwrap().is_empty());

        a.commit(CursorState { front: Position(10), lanes: Vec::new() }).await.unwrap();
        assert_eq!(journal.stats().undelivered, 10, "the other has read nothing");
        b.commit(CursorState { front: Position(9), lanes: vec![(Target::new("f"), Position(4))] }).await.unwrap();
        assert_eq!(journal.stats().undelivered, 6, "a lane pins what its target is owed");
        assert_eq!(journal.stats().pinned_by.as_deref(), Some("b for f"));
        assert_eq!(b.read(Position(4), ALL).await.unwrap()[0].position, Position(5));
        b.commit(CursorState { front: Position(10), lanes: Vec::new() }).await.unwrap();
        let stats = journal.stats();
        assert_eq!((stats.undelivered, stats.pinned_bytes, stats.pinned_by), (0, 0, None));
        assert_eq!(append(&journal, events(1, 10)).await.unwrap(), Position(11), "places are never used again");
    }
}

#[tokio::test]
async fn a_cursor_begins_where_it_is_told_and_stays_where_it_was() {
    for journal in engines(1 << 20) {
        let first = journal.cursor("first", Begin::End).await.unwrap();
        assert_eq!(first.state().front, Position(0));
        append(&journal, events(5, 10)).await.unwrap();
        assert_eq!(journal.cursor("end", Begin::End).await.unwrap().state().front, Position(5));
        assert_eq!(journal.cursor("oldest", Begin::Oldest).await.unwrap().state().front, Position(0));
        assert_eq!(
            journal.cursor("past", Begin::Time(SystemTime::UNIX_EPOCH)).await.unwrap().state().front,
            Position(0)
        );
        let later = SystemTime::now() + Duration::from_secs(3600);
        assert_eq!(journal.cursor("later", Begin::Time(later)).await.unwrap().state().front, Position(5));
        first.commit(CursorState { front: Position(2), lanes: Vec::new() }).await.unwrap();
        assert_eq!(journal.cursor("first", Begin::End).await.unwrap().state().front, Position(2));
    }
}

#[tokio::test]
async fn a_cursor_begins_behind_a_place_as_far_as_that_is_there() {
    for journal in engines(1 << 20) {
        let first = journal.cursor("first", Begin::End).await.unwrap();
        append(&journal, events(10, 10)).await.unwrap();
        for (place, front) in [(0, 0), (3, 3), (10, 10), (99, 10)] {
            let name = format!("behind {place}");
            let cursor = journal.cursor(&name, Begin::Behind(Position(place))).await.unwrap();
            assert_eq!(cursor.state(), CursorState { front: Position(front), lanes: Vec::new() });
            assert_eq!(cursor.read(Position(front), ALL).await.unwrap().len() as u64, 10 - front);
            // Another look at it changes nothing.
            let again = journal.cursor(&name, Begin::Behind(Position(7))).await.unwrap();
            assert_eq!(again.state().front, Position(front));
        }
        first.commit(CursorState { front: Position(10), lanes: Vec::new() }).await.unwrap();
        assert_eq!(journal.stats().undelivered, 10, "the one that began first of all waits for it");
    }
}

#[tokio::test]
async fn who_is_forgotten_holds_nobody_up_and_is_new_when_he_comes_back() {
    for journal in engines(100_000) {
        let (quick, slow) =
            (journal.cursor("quick", Begin::End).await.unwrap(), journal.cursor("slow", Begin::End).await.unwrap());
        let mut newest = Position::default();
        while journal.check_space().is_ok() {
            newest = append(&journal, events(10, 1000)).await.unwrap();
            quick.commit(CursorState { front: newest, lanes: Vec::new() }).await.unwrap();
        }
        let waits = journal.space();
        tokio::pin!(waits);
        assert!(waits.as_mut().now_or_never().is_none());
        journal.forget("slow").await.unwrap();
        waits.await;
        let stats = journal.stats();
        assert_eq!((stats.undelivered, stats.pinned_bytes, &stats.pinned_by), (0, 0, &None));
        assert_eq!(journal.places().iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["quick"]);
        // Whoever still has its cursor brings nothing back by it.
        assert!(slow.commit(CursorState { front: Position(1), lanes: Vec::new() }).await.is_err());
        slow.record(&mut Vec::new());
        assert_eq!(journal.stats().undelivered, 0);
        journal.forget("slow").await.unwrap();
        journal.forget("nobody").await.unwrap();

        let slow = journal.cursor("slow", Begin::End).await.unwrap();
        assert_eq!(slow.state(), CursorState { front: newest, lanes: Vec::new() });
        append(&journal, events(1, 10)).await.unwrap();
        quick.commit(CursorState { front: Position(newest.0 + 1), lanes: Vec::new() }).await.unwrap();
        assert_eq!(journal.stats().pinned_by.as_deref(), Some("slow"));
    }
}

#[tokio::test]
async fn who_keeps_the_pace_alone_is_forgotten_and_streams_go_on() {
    for journal in engines(8 << 20) {
        let cursor = journal.cursor("p", Begin::End).await.unwrap();
        while journal.pace().now_or_never().is_some() {
            append(&journal, events(50, 1000)).await.unwrap();
        }
        let waits = journal.pace();
        tokio::pin!(waits);
        assert!(waits.as_mut().now_or_never().is_none());
        journal.forget("p").await.unwrap();
        assert!(waits.as_mut().now_or_never().is_some(), "nobody is waited for");
        drop(cursor);
    }
}

#[tokio::test]
async fn the_newest_of_several_of_an_id_is_found_and_what_was_let_go_is_not() {
    for journal in engines(400_000) {
        let cursor = journal.cursor("p", Begin::End).await.unwrap();
        let history = journal.history().unwrap();
        append(&journal, named(1..=3)).await.unwrap();
        append(&journal, named(2..=2)).await.unwrap();
        assert_eq!(history.find("event-2").await.unwrap().unwrap().entry.position, Position(4));
        assert_eq!(history.find("event-1").await.unwrap().unwrap().entry.position, Position(1));
        assert!(history.find("event").await.unwrap().is_none(), "the whole id counts");
        // Much comes, and all of it is delivered: what is old is let go.
        for _ in 0..100 {
            let newest = append(&journal, events(20, 1000)).await.unwrap();
            cursor.commit(CursorState { front: newest, lanes: Vec::new() }).await.unwrap();
        }
        while history.span().0 < Position(4) {
            let newest = append(&journal, events(20, 1000)).await.unwrap();
            cursor.commit(CursorState { front: newest, lanes: Vec::new() }).await.unwrap();
        }
        assert!(history.find("event-2").await.unwrap().is_none());
        let (before, newest) = history.span();
        let read = history.read(Position(0), BatchLimits { events: 1, bytes: usize::MAX }).await.unwrap();
        assert_eq!(read[0].position, Position(before.0 + 1), "what is gone is left out");
        assert!(history.before(SystemTime::UNIX_EPOCH).await.unwrap() <= before);
        let later = SystemTime::now() + Duration::from_secs(3600);
        assert_eq!(history.before(later).await.unwrap(), newest);
    }
}

#[tokio::test]
async fn a_reader_is_woken_by_what_is_appended() {
    for journal in engines(1 << 20) {
        let cursor = journal.cursor("a", Begin::End).await.unwrap();
        let waiting = tokio::spawn(async move {
            cursor.readable(Position(2)).await.unwrap();
            cursor.newest()
        });
        append(&journal, events(2, 10)).await.unwrap();
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        append(&journal, events(1, 10)).await.unwrap();
        assert_eq!(waiting.await.unwrap(), Position(3));
    }
}

#[tokio::test]
async fn a_stream_waits_while_the_journal_is_full_and_goes_on_when_it_is_not() {
    for journal in engines(100_000) {
        let cursor = journal.cursor("slow", Begin::End).await.unwrap();
        let (out, status, _stop) = appender(&journal);
        let filling = tokio::spawn(async move { out.append(events(500, 1000), None).await });
        // It stops by itself; what then happens depends on the reader alone.
        while !matches!(status.state(), StreamState::Full { .. }) {
            tokio::task::yield_now().await;
        }
        let stats = journal.stats();
        assert!(stats.pinned_bytes >= 90_000 && stats.pinned_bytes <= 110_000, "{stats:?}");
        assert!(status.state().detail().unwrap().contains("pinned by slow"));
        let mut read = Vec::new();
        while read.len() < 500 {
            let after = read.last().copied().unwrap_or_default();
            cursor.readable(after).await.unwrap();
            read.extend(cursor.read(after, ALL).await.unwrap().iter().map(|entry| entry.position));
            assert!(journal.stats().pinned_bytes <= 110_000, "bounded throughout");
            cursor.commit(CursorState { front: *read.last().unwrap(), lanes: Vec::new() }).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(filling.await.unwrap().unwrap(), Position(500));
        assert!(!matches!(status.state(), StreamState::Full { .. }));
    }
}

#[tokio::test]
async fn who_cannot_wait_is_refused_at_the_bound_and_a_stop_ends_the_wait() {
    for journal in engines(100_000) {
        let _cursor = journal.cursor("slow", Begin::End).await.unwrap();
        append(&journal, events(70, 1000)).await.unwrap();
        while journal.check_space().is_ok() {
            append(&journal, events(1, 1000)).await.unwrap();
        }
        let mut batch = Batch { stream: "hook".into(), events: events(20, 1000), checkpoint: None };
        let refused = journal.append(&mut batch).await;
        assert!(matches!(refused, Err(JournalError::Full { .. })), "{refused:?}");
        assert_eq!(batch.events.len(), 20, "the caller keeps what was refused");
        assert!(journal.check_space().is_err());

        let (out, status, stop) = appender(&journal);
        let waiting = tokio::spawn(async move { out.append(events(1, 10), None).await });
        while !matches!(status.state(), StreamState::Full { .. }) {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        assert!(matches!(waiting.await.unwrap(), Err(JournalError::Closed)));
    }
}

#[tokio::test]
async fn the_checkpoint_travels_with_its_events_and_with_the_last_part_of_a_large_batch() {
    for (journal, full) in engines(1 << 20).into_iter().zip(engines(200_000)) {
        let (out, _, _) = appender(&journal);
        assert_eq!(out.checkpoint().await.unwrap(), None);
        out.append(Vec::new(), Some(delta(5))).await.unwrap();
        let checkpoint = out.checkpoint().await.unwrap().unwrap();
        assert_eq!((checkpoint.resume, checkpoint.recent.len()), (5, 0), "a checkpoint without events is legal");

        // Larger than one batch may be: 300 events of 1 KB against a tenth of a megabyte.
        out.append(events(300, 1000), Some(delta(300_000_000))).await.unwrap();
        let checkpoint = out.checkpoint().await.unwrap().unwrap();
        assert_eq!(checkpoint.resume, 300_000_000);
        assert!((1..=300).all(|key| checkpoint.recent.contains(key, i64::from(key) * 1_000_000)));

        // Between the parts the resume time is still the old one, so that a crash reads the rest again.
        let _cursor = full.cursor("slow", Begin::End).await.unwrap();
        let (out, status, stop) = appender(&full);
        out.append(Vec::new(), Some(delta(7))).await.unwrap();
        let writer = Arc::clone(&out);
        let waiting = tokio::spawn(async move { writer.append(events(300, 1000), Some(delta(300_000_000))).await });
        while !matches!(status.state(), StreamState::Full { .. }) {
            tokio::task::yield_now().await;
        }
        let checkpoint = out.checkpoint().await.unwrap().unwrap();
        assert_eq!(checkpoint.resume, 7);
        assert!(!checkpoint.recent.is_empty(), "but what is in the journal is remembered");
        stop.cancel();
        waiting.await.unwrap().unwrap_err();
    }
}

#[tokio::test]
async fn a_closed_journal_takes_nothing() {
    for journal in engines(1 << 20) {
        journal.close().await.unwrap();
        assert!(matches!(append(&journal, events(1, 1)).await, Err(JournalError::Closed)));
        assert_ne!(journal.signing_key(), MemoryJournal::new(1).signing_key());
    }
}

#[tokio::test]
async fn streams_keep_pace_with_the_processor_that_is_furthest() {
    for journal in engines(64 << 20) {
        let page = || events(100, 10_000);
        for _ in 0..4 {
            append(&journal, page()).await.unwrap();
        }
        journal.pace().now_or_never().expect("nobody reads: nothing is waited for");
    }
    for journal in engines(64 << 20) {
        let page = || events(100, 10_000);
        let (quick, _slow) =
            (journal.cursor("quick", Begin::End).await.unwrap(), journal.cursor("slow", Begin::End).await.unwrap());
        let (appender, status, stop) = appender(&journal);
        let mut newest = Position(0);
        while journal.pace().now_or_never().is_some() {
            newest = appender.append(page(), None).await.unwrap();
            assert!(newest.0 <= 200, "much is before both");
        }
        assert!(newest.0 >= 100, "little is before them");
        quick.reach(3 << 20);
        journal.pace().now_or_never().expect("one can use more");
        quick.reach(0);
        assert!(journal.pace().now_or_never().is_none(), "nobody can use less than so much");
        if journal.stats().engine != "memory" {
            journal.pace().await;
            assert_eq!(appender.append(page(), None).await.unwrap(), Position(newest.0 + 100), "not for long");
            continue;
        }
        let waits = tokio::spawn({
            let appender = Arc::clone(&appender);
            async move { appender.append(page(), None).await }
        });
        appender.append(Vec::new(), Some(delta(1))).await.expect("a checkpoint alone waits for nobody");
        quick.commit(CursorState { front: Position(10), lanes: Vec::new() }).await.unwrap();
        assert!(!waits.is_finished() && journal.pace().now_or_never().is_none(), "too little has been passed");
        let lanes = vec![(Target::new("dead"), Position(0))];
        quick.commit(CursorState { front: Position(newest.0 - 10), lanes }).await.unwrap();
        assert_eq!(waits.await.unwrap().unwrap(), Position(newest.0 + 100), "a lane that is behind holds nobody up");
        assert!(!matches!(status.state(), StreamState::Full { .. }), "that is the usual course of things");

        assert!(journal.pace().now_or_never().is_none(), "and so there is much again");
        let waits = tokio::spawn({
            let appender = Arc::clone(&appender);
            async move { appender.append(page(), None).await }
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        quick.reach(3 << 20);
        waits.await.unwrap().expect("who waits learns that one can use more");
        quick.reach(0);
        let waits = tokio::spawn({
            let appender = Arc::clone(&appender);
            async move { appender.append(page(), None).await }
        });
        tokio::task::yield_now().await;
        let _new = journal.cursor("new", Begin::End).await.unwrap();
        waits.await.unwrap().expect("who waits learns of one that has nothing before it");
        journal.forget("new").await.unwrap();

        stop.cancel();
        assert!(matches!(appender.append(page(), None).await, Err(JournalError::Closed)), "who waits can be stopped");
    }
}

#[tokio::test]
async fn who_is_behind_reads_the_same_as_who_keeps_up() {
    for journal in engines(64 << 20) {
        let (slow, quick) =
            (journal.cursor("slow", Begin::End).await.unwrap(), journal.cursor("quick", Begin::End).await.unwrap());
        let mut at = Position(0);
        for _ in 0..40 {
            let newest = append(&journal, events(50, 5000)).await.unwrap();
            let read = quick.read(at, ALL).await.unwrap();
            at = read.last().unwrap().position;
            assert_eq!((read.len(), at), (50, newest));
        }
        let mut entries = Vec::new();
        let some = BatchLimits { events: 70, bytes: 400_000 };
        while entries.len() < 2000 {
            let after = entries.last().map_or(Position(0), |entry: &super::Entry| entry.position);
            let read = slow.read(after, some).await.unwrap();
            assert!(!read.is_empty() && read.len() <= 70);
            entries.extend(read);
        }
        assert!(entries.iter().map(|entry| entry.position.0).eq(1..=2000));
        assert!(entries.iter().map(|entry| entry.event.key().unwrap()).eq((0..40).flat_map(|_| 1..=50)));
        assert!(entries.iter().all(|entry| entry.event.data().len() == 5002 && **entry.event.stream() == *"vc"));
        assert_eq!(slow.waiting(Position(1500)), 500);
    }
}

fn letter(position: u64, target: &str, attempts: u32, bytes: usize) -> DeadLetter {
    DeadLetter {
        processor: "p".into(),
        target: Target::new(target),
        entry: Entry { position: Position(position), event: events(1, bytes).remove(0) },
        attempts,
        why: Reason { status: (attempts > 1).then_some(500), text: format!("attempt {attempts}") },
        since: SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_348_800_000_007),
    }
}

/// All letters: position, target, attempts.
async fn letters(of: &dyn DeadLetters) -> Vec<(u64, String, u32)> {
    let (mut all, mut place) = (Vec::new(), LettersPlace::default());
    loop {
        let (page, next) = of.read(place).await.unwrap();
        if page.is_empty() {
            return all;
        }
        let short = |letter: &DeadLetter| (letter.entry.position.0, letter.target.to_string(), letter.attempts);
        all.extend(page.iter().map(short));
        place = next;
    }
}

#[tokio::test]
async fn dead_letters_are_kept_whole_until_they_are_discarded() {
    for journal in engines(1 << 20) {
        let kept = journal.dead_letters().unwrap();
        assert_eq!((letters(&*kept).await, kept.held()), (Vec::new(), (0, 0)));
        for (position, target, attempts) in [(5, "f", 1), (3, "f", 2), (5, "g", 3), (5, "f", 4)] {
            kept.keep(letter(position, target, attempts, 100)).await.unwrap();
        }
        let all = [(3, "f", 2), (5, "g", 3), (5, "f", 4)].map(|(at, target, tries)| (at, target.to_owned(), tries));
        assert_eq!(letters(&*kept).await, all, "a later one of the same overwrites");
        assert_eq!((kept.held().0, journal.stats().letters.0), (3, 3));
        let ids = kept.ids();
        let shown: std::collections::BTreeSet<_> = ids.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 3, "{shown:?}");
        let found = kept.get(&ids[1]).await.unwrap().unwrap();
        let want = letter(5, "f", 4, 100);
        assert_eq!((found.id(), &found.why, found.since), (want.id(), &want.why, want.since));
        assert_eq!(
            (found.entry.event.json(), found.entry.event.stream()),
            (want.entry.event.json(), want.entry.event.stream())
        );
        assert_eq!(kept.discard(vec![ids[1].clone(), ids[0].clone(), want.id()]).await.unwrap(), 2);
        assert_eq!(letters(&*kept).await, [(5, "g".to_owned(), 3)]);
        assert!(kept.get(&ids[0]).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn dead_letters_have_room_of_their_own_and_use_it_again() {
    for journal in engines(1 << 20) {
        let kept = journal.dead_letters().unwrap();
        let mut last = 0;
        for round in 0..20 {
            let refused = loop {
                match kept.keep(letter(last + 1, "f", 1, 1000)).await {
                    Ok(()) => last += 1,
                    Err(error) => break error,
                }
            };
            assert!(matches!(refused, JournalError::NoRoomForLetters { .. }), "{refused}");
            let (count, bytes) = kept.held();
            assert!((60..=131).contains(&count) && bytes <= 131_072, "{round}: {count} letters, {bytes} bytes");
            assert!(letters(&*kept).await.len() as u64 == count);
            assert!(journal.stats().bytes < 500_000, "{round}: {} bytes", journal.stats().bytes);
            let mut ids = kept.ids();
            let rest = ids.split_off(ids.len() - 3);
            assert_eq!(kept.discard(ids.clone()).await.unwrap(), ids.len());
            assert_eq!(kept.ids(), rest);
        }
        append(&journal, events(10, 10)).await.expect("events do not wait for letters");
    }
}

fn named(ids: std::ops::RangeInclusive<u64>) -> Vec<Event> {
    let mut page = PageBuilder::new("vc".into(), "s", &[]);
    for id in ids {
        page.push(&Attributes { id: &format!("event-{id}"), ..Attributes::default() }, b"{}");
    }
    page.finish()
}

#[tokio::test]
async fn what_has_been_can_be_looked_at_when_nobody_waits_for_it_any_more() {
    for journal in engines(1 << 20) {
        let cursor = journal.cursor("p", Begin::End).await.unwrap();
        let history = journal.history().unwrap();
        assert_eq!(history.span(), (Position(0), Position(0)));
        assert!(history.find("event-1").await.unwrap().is_none());
        let began = SystemTime::now();
        append(&journal, named(1..=5)).await.unwrap();
        let settlement = |position, target: Option<&str>, end| super::Settlement {
            position: Position(position),
            target: target.map(Target::new),
            end,
            attempts: 2,
            status: Some(200),
        };
        let all = [
            settlement(3, Some("f"), super::End::Delivered),
            settlement(3, Some("g"), super::End::DeadLettered),
            settlement(4, None, super::End::Unwanted),
            settlement(3, Some("g"), super::End::Delivered),
        ];
        cursor.record(&mut all.to_vec());
        cursor.commit(CursorState { front: Position(5), lanes: Vec::new() }).await.unwrap();
        append(&journal, named(6..=7)).await.unwrap();

        assert_eq!(journal.stats().undelivered, 2);
        assert_eq!(history.span(), (Position(0), Position(7)));
        let read = history.read(Position(2), BatchLimits { events: 3, bytes: usize::MAX }).await.unwrap();
        assert_eq!(read.iter().map(|entry| entry.event.id()).collect::<Vec<_>>(), ["event-3", "event-4", "event-5"]);
        assert!(history.read(Position(7), ALL).await.unwrap().is_empty());
        history.readable(Position(6)).await.unwrap();
        assert!(history.readable(Position(7)).now_or_never().is_none());
        assert_eq!(history.before(began).await.unwrap(), Position(0));
        let later = SystemTime::now() + Duration::from_secs(3600);
        assert_eq!(history.before(later).await.unwrap(), Position(7));

        let found = history.find("event-3").await.unwrap().unwrap();
        assert_eq!((found.entry.position, found.entry.event.id()), (Position(3), "event-3"));
        let around = began - Duration::from_millis(1)..=SystemTime::now() + Duration::from_millis(1);
        assert!(around.contains(&found.journaled));
        let ended = history.ended(&found).await.unwrap();
        let told: Vec<_> = ended.iter().map(|ended| (&*ended.processor, ended.settlement.clone())).collect();
        assert_eq!(told, [("p", all[0].clone()), ("p", all[1].clone()), ("p", all[3].clone())]);
        assert!(ended.iter().all(|ended| around.contains(&ended.at)));
        assert!(history.find("event-8").await.unwrap().is_none());
        assert_eq!(journal.places(), [("p".into(), cursor.state())]);
    }
}

#[tokio::test]
async fn in_memory_history_is_bounded_and_counts_for_nothing() {
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new(160_000));
    let cursor = journal.cursor("p", Begin::End).await.unwrap();
    for round in 1..=100 {
        append(&journal, events(10, 1000)).await.unwrap();
        cursor.commit(CursorState { front: Position(round * 10), lanes: Vec::new() }).await.unwrap();
        assert_eq!((journal.stats().undelivered, journal.stats().pinned_bytes), (0, 0));
        assert!(journal.stats().bytes <= 10_000, "{}", journal.stats().bytes);
    }
    let (before, newest) = journal.history().unwrap().span();
    assert!((1..10).contains(&(newest.0 - before.0)), "{before} to {newest}");
    // Who begins in the past is waited for.
    let late = journal.cursor("late", Begin::Oldest).await.unwrap();
    assert_eq!(late.state().front, before);
    assert_eq!(journal.stats().undelivered, newest.0 - before.0);
    append(&journal, events(10, 1000)).await.unwrap();
    assert_eq!(late.read(before, ALL).await.unwrap().len() as u64, newest.0 - before.0 + 10);
}
