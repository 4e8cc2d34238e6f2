//! What every engine promises of what has been, and of those who come and go.

use super::super::embedded::{EmbeddedJournal, Settings, Simulated};
use super::super::{End, Found, Settlement};
use super::*;

/// So little that there are many files.
const LITTLE: u64 = 400_000;

fn settlement(position: u64, target: &str, end: End) -> Settlement {
    Settlement { position: Position(position), target: Some(Target::new(target)), end, attempts: 1, status: Some(200) }
}

fn at(front: u64) -> CursorState {
    CursorState { front: Position(front), lanes: Vec::new() }
}

fn few(events: usize) -> BatchLimits {
    BatchLimits { events, bytes: usize::MAX }
}

/// Appends so many, one by one: for each a moment that comes after it, and before the next.
async fn moments(journal: &Arc<dyn Journal>, count: u64) -> Vec<SystemTime> {
    let history = journal.history().unwrap();
    let mut moments = Vec::new();
    for _ in 0..count {
        let newest = append(journal, events(1, 1000)).await.unwrap();
        moments.push(loop {
            let now = SystemTime::now();
            // A clock may stand still for a moment.
            if history.before(now).await.unwrap() == newest {
                break now;
            }
        });
    }
    moments
}

#[tokio::test]
async fn a_cursor_begins_at_a_time_wherever_that_is() {
    for journal in engines(LITTLE) {
        let _pins = journal.cursor("pins", Begin::End).await.unwrap();
        let moments = moments(&journal, 100).await;
        let history = journal.history().unwrap();
        for (count, moment) in (1..).zip(&moments) {
            assert_eq!(history.before(*moment).await.unwrap(), Position(count));
            let cursor = journal.cursor("p", Begin::Time(*moment)).await.unwrap();
            assert_eq!(cursor.state(), at(count));
            let next = cursor.read(Position(count), few(1)).await.unwrap();
            assert_eq!(next.first().map(|entry| entry.position.0), (count < 100).then_some(count + 1));
            journal.forget("p").await.unwrap();
        }
        // The first of them are let go: who would begin there begins at the oldest.
        journal.forget("pins").await.unwrap();
        let passes = journal.cursor("passes", Begin::End).await.unwrap();
        while history.span().0 < Position(50) {
            let newest = append(&journal, events(10, 1000)).await.unwrap();
            passes.commit(at(newest.0)).await.unwrap();
        }
        let oldest = history.span().0;
        for begin in [Begin::Time(moments[3]), Begin::Behind(Position(3)), Begin::Oldest] {
            let cursor = journal.cursor("late", begin).await.unwrap();
            assert_eq!(cursor.state(), at(oldest.0), "{begin:?}");
            journal.forget("late").await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_past_is_read_across_files_and_holds_nothing_back() {
    for journal in engines(LITTLE) {
        let cursor = journal.cursor("p", Begin::End).await.unwrap();
        for _ in 0..40 {
            append(&journal, events(5, 1000)).await.unwrap();
        }
        let history = journal.history().unwrap();
        for from in [0, 1, 4, 5, 99, 198, 199] {
            let mut after = Position(from);
            for position in from + 1..=200 {
                let read = history.read(after, few(1)).await.unwrap();
                assert_eq!(read.len(), 1);
                assert_eq!(read[0].position, Position(position));
                assert_eq!(read[0].event.key(), Some((position as i32 - 1) % 5 + 1));
                after = read[0].position;
            }
            assert!(history.read(after, ALL).await.unwrap().is_empty());
        }
        // Who looks on is in the middle of it, and all of it is delivered: it is let go nevertheless.
        let middle = history.read(Position(90), few(10)).await.unwrap().pop().unwrap().position;
        assert_eq!(middle, Position(100));
        let undelivered = journal.stats().undelivered;
        cursor.commit(at(200)).await.unwrap();
        assert_eq!((undelivered, journal.stats().undelivered), (200, 0));
        while history.span().0 <= middle {
            let newest = append(&journal, events(10, 1000)).await.unwrap();
            cursor.commit(at(newest.0)).await.unwrap();
        }
        // More may be let go meanwhile.
        let oldest = history.span().0;
        let rest = history.read(middle, few(3)).await.unwrap();
        let (from, newest) = (rest[0].position.0 - 1, history.span().1);
        assert!((oldest.0..=history.span().0.0).contains(&from), "{from} was let go, or is left out");
        assert_eq!(rest.iter().map(|entry| entry.position.0).collect::<Vec<_>>(), [1, 2, 3].map(|at| from + at));
        assert_eq!(cursor.waiting(newest), 0);
    }
}

#[tokio::test]
async fn how_an_event_ended_is_known_of_every_processor_that_told() {
    for journal in engines(1 << 20) {
        let names = ["a", "b", "c"];
        let mut cursors = Vec::new();
        for name in names {
            cursors.push(journal.cursor(name, Begin::End).await.unwrap());
        }
        append(&journal, named(1..=3)).await.unwrap();
        let history = journal.history().unwrap();
        let found = history.find("event-2").await.unwrap().unwrap();
        assert!(history.ended(&found).await.unwrap().is_empty());
        let told = [
            settlement(2, "f", End::Delivered),
            settlement(2, "f", End::Unsubscribed),
            settlement(2, "f", End::DeadLettered),
        ];
        for (cursor, told) in cursors.iter().zip(&told) {
            cursor.record(&mut vec![
                settlement(1, "f", End::Delivered),
                told.clone(),
                settlement(3, "g", End::Delivered),
            ]);
        }
        let ended = history.ended(&found).await.unwrap();
        let said: Vec<_> = ended.iter().map(|ended| (&*ended.processor, ended.settlement.clone())).collect();
        assert_eq!(said, names.into_iter().zip(told).collect::<Vec<_>>());
        // It was so, though nobody of that name is there any more.
        journal.forget("b").await.unwrap();
        assert_eq!(history.ended(&found).await.unwrap(), ended);
    }
}

#[tokio::test]
async fn the_cursor_of_one_who_is_forgotten_harms_nobody() {
    for journal in engines(1 << 20) {
        let cursor = journal.cursor("p", Begin::End).await.unwrap();
        append(&journal, events(5, 10)).await.unwrap();
        cursor.commit(at(2)).await.unwrap();
        journal.forget("p").await.unwrap();
        assert_eq!((cursor.state(), cursor.newest(), cursor.waiting(Position(2))), (at(0), Position(5), 3));
        assert_eq!(cursor.read(Position(2), ALL).await.unwrap().len(), 3);
        cursor.readable(Position(4)).await.unwrap();
        let refused = cursor.commit(at(4)).await.unwrap_err();
        assert!(matches!(refused, JournalError::Closed), "{refused}");
        let mut told = vec![settlement(3, "f", End::Delivered)];
        cursor.record(&mut told);
        assert!(told.is_empty() && journal.places().is_empty());
        assert_eq!(journal.stats().undelivered, 0);
    }
}

#[tokio::test]
async fn who_is_new_again_skips_nothing_of_what_was_settled_before() {
    for journal in engines(1 << 20) {
        let cursor = journal.cursor("p", Begin::End).await.unwrap();
        append(&journal, events(5, 10)).await.unwrap();
        cursor.record(&mut vec![settlement(2, "f", End::Delivered), settlement(4, "f", End::Delivered)]);
        journal.forget("p").await.unwrap();
        let again = journal.cursor("p", Begin::Oldest).await.unwrap();
        assert_eq!((again.state(), again.settled()), (at(0), Vec::new()));
        let history = journal.history().unwrap();
        let entry = history.read(Position(1), few(1)).await.unwrap().remove(0);
        let found = Found { entry, journaled: SystemTime::UNIX_EPOCH };
        assert!(history.ended(&found).await.unwrap().is_empty(), "the new one owes it");
        again.record(&mut vec![settlement(2, "f", End::DeadLettered)]);
        let ended = history.ended(&found).await.unwrap();
        assert_eq!(ended.iter().map(|ended| ended.settlement.end).collect::<Vec<_>>(), [End::DeadLettered]);
    }
}

#[tokio::test]
async fn who_is_new_again_is_so_after_a_restart_too() {
    let settings =
        Settings { max_bytes: 1 << 20, max_age: Duration::from_secs(86400), synced: true, segment_bytes: 16 << 20 };
    let open = |disk: &Simulated| EmbeddedJournal::simulated(disk, settings.clone(), vec!["p".into()]).unwrap();
    let disk = Simulated::default();
    let journal: Arc<dyn Journal> = Arc::new(open(&disk));
    let cursor = journal.cursor("p", Begin::End).await.unwrap();
    append(&journal, events(5, 10)).await.unwrap();
    cursor.record(&mut vec![settlement(2, "f", End::Delivered), settlement(4, "f", End::Delivered)]);
    journal.forget("p").await.unwrap();
    journal.close().await.unwrap();

    let disk = disk.after_power_loss(|| false);
    let journal = open(&disk);
    assert!(journal.places().is_empty(), "it stays forgotten");
    let cursor = journal.cursor("p", Begin::Oldest).await.unwrap();
    assert_eq!((cursor.state(), cursor.settled()), (at(0), Vec::new()));
    let without_power = open(&disk.after_power_loss(|| false));
    let begun = without_power.cursor("p", Begin::End).await.unwrap();
    assert_eq!((begun.state(), begun.settled()), (at(0), Vec::new()), "where there is a place, it is a new one's");
    cursor.record(&mut vec![settlement(3, "f", End::Delivered)]);
    journal.close().await.unwrap();

    let journal = open(&disk.after_kill());
    let cursor = journal.cursor("p", Begin::End).await.unwrap();
    assert_eq!(cursor.state(), at(0));
    assert_eq!(cursor.settled(), [(Position(3), Target::new("f"))], "what it has said itself counts");
}
