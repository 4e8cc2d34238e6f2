//! A processor's reading place.

use std::ops::Range;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::engine::blocking;
use super::keeper::Note;
use super::log::Reader;
use super::state::Shared;
use super::{batch, outcomes, writer};
use crate::attempt::{BatchLimits, Position, Target};
use crate::journal::{AHEAD, Cursor, CursorState, End, Entry, JournalError, Settlement};

/// One for the front, one for lanes.
const READERS: usize = 2;

/// No more bytes are read from files at once, unless a single frame has more.
const MOST_READ: usize = 256 * 1024;

pub(super) struct EmbeddedCursor {
    name: Arc<str>,
    shared: Arc<Shared>,
    notes: Sender<Note>,
    /// None while it is reading.
    readers: Mutex<[Option<Reader>; READERS]>,
    settled: Vec<(Position, Target)>,
}

impl EmbeddedCursor {
    pub(super) fn new(
        name: Arc<str>,
        shared: Arc<Shared>,
        notes: Sender<Note>,
        readers: [Option<Reader>; READERS],
        settled: Vec<(Position, Target)>,
    ) -> Self {
        Self { name, shared, notes, readers: Mutex::new(readers), settled }
    }

    fn readers(&self) -> std::sync::MutexGuard<'_, [Option<Reader>; READERS]> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the reader that is nearest before `after`, or the one that is furthest away.
    fn take_reader(&self, after: Position) -> Option<(usize, Reader)> {
        let mut readers = self.readers();
        let distance = |reader: &Reader| after.0.checked_sub(reader.place().0).unwrap_or(u64::MAX);
        let nearest =
            readers.iter().enumerate().filter_map(|(at, reader)| Some((distance(reader.as_ref()?), at))).min();
        let (_, at) = nearest?;
        readers[at].take().map(|reader| (at, reader))
    }

    /// Notes how far was read, so that what all have read need not be held.
    fn has_read(&self, entries: &[Entry]) {
        let Some(last) = entries.last() else { return };
        let mut state = self.shared.lock();
        let Some(held) = state.places.get_mut(&self.name) else { return };
        if last.position > held.read {
            held.read = last.position;
            state.trim_tail();
        }
    }
}

#[async_trait]
impl Cursor for EmbeddedCursor {
    fn state(&self) -> CursorState {
        self.shared.lock().places.get(&self.name).map(|held| held.cursor.clone()).unwrap_or_default()
    }

    fn settled(&self) -> Vec<(Position, Target)> {
        self.settled.clone()
    }

    async fn read(&self, after: Position, limits: BatchLimits) -> Result<Vec<Entry>, JournalError> {
        let at_hand = self.shared.lock().tail.read(after, limits);
        let entries = match at_hand {
            Some(entries) => entries,
            None => {
                let (at, reader) = self.take_reader(after).ok_or(JournalError::Closed)?;
                // Where the answer is not waited for any more, the reader is made anew with the cursor.
                let (reader, entries) = read(reader, after, limits).await?;
                self.readers()[at] = Some(reader);
                entries.inspect_err(|error| self.shared.harm.note(error))?
            }
        };
        self.has_read(&entries);
        Ok(entries)
    }

    async fn readable(&self, after: Position) -> Result<(), JournalError> {
        let mut newest = self.shared.newest.subscribe();
        match newest.wait_for(|newest| *newest > after).await {
            Ok(_) => Ok(()),
            Err(_) => Err(JournalError::Closed),
        }
    }

    fn newest(&self) -> Position {
        *self.shared.newest.borrow()
    }

    fn waiting(&self, after: Position) -> u64 {
        self.shared.events.records_behind(after)
    }

    fn reach(&self, bytes: u64) {
        if let Some(held) = self.shared.lock().places.get_mut(&self.name) {
            held.reach = bytes.max(AHEAD);
        }
        self.shared.passed.notify_waiters();
    }

    async fn commit(&self, committed: CursorState) -> Result<(), JournalError> {
        let shared = &self.shared;
        let mut guard = shared.lock();
        let state = &mut *guard;
        let was_behind = state.all_behind();
        let was_full = !shared.is_roomy(shared.used(state));
        let Some(held) = state.places.get_mut(&self.name) else { return Err(JournalError::Closed) };
        let news = held.moved(committed);
        let passed = was_behind && !state.all_behind();
        let freed = was_full && shared.is_roomy(shared.used(state));
        drop(guard);
        if news {
            self.notes.send(Note::Moved).map_err(|_| JournalError::Closed)?;
        }
        if passed {
            shared.passed.notify_waiters();
        }
        if freed {
            shared.space.notify_waiters();
        }
        Ok(())
    }

    fn record(&self, settlements: &mut Vec<Settlement>) {
        if !settlements.is_empty() {
            // Where nobody takes it, the journal is closed.
            drop(self.notes.send(Note::Outcomes(Arc::clone(&self.name), std::mem::take(settlements))));
        }
    }
}

/// Reads entries from files, and gives the reader back.
pub(super) async fn read(
    mut reader: Reader,
    after: Position,
    limits: BatchLimits,
) -> Result<(Reader, Result<Vec<Entry>, JournalError>), JournalError> {
    let mut raw = Raw::with_room(limits);
    let (reader, raw, read) = blocking(move || {
        let read = raw.read(&mut reader, after, limits);
        Ok((reader, raw, read))
    })
    .await?;
    Ok((reader, read.and_then(|()| raw.entries(after, limits))))
}

/// Frames of events as they were read.
struct Raw {
    bytes: Vec<u8>,
    /// The position of the first record of each, how many it has, and where in the bytes they are.
    frames: Vec<(Position, u16, Range<usize>)>,
}

impl Raw {
    /// With room for as much as is read at once: it is made and let go on the thread that makes events of it, since
    /// memory that each thread has to give away stays with that thread.
    fn with_room(limits: BatchLimits) -> Self {
        let bytes = limits.bytes.min(MOST_READ);
        Self { bytes: Vec::with_capacity(bytes + bytes / 8), frames: Vec::with_capacity(64) }
    }

    /// Reads frames from files. What lies before a damaged one comes first.
    fn read(&mut self, reader: &mut Reader, after: Position, limits: BatchLimits) -> Result<(), JournalError> {
        let most = limits.bytes.min(MOST_READ);
        let mut events = 0;
        let Self { bytes, frames } = self;
        let read = reader.read(after, &mut |head, payload| {
            if !frames.is_empty() && bytes.len() + payload.len() > most {
                return false;
            }
            let from = bytes.len();
            bytes.extend_from_slice(payload);
            frames.push((head.first, head.count, from..bytes.len()));
            events += usize::from(head.count)
                - usize::try_from(after.0.saturating_sub(head.first.0.saturating_sub(1))).unwrap_or(0);
            events < limits.events && bytes.len() < most
        });
        match read {
            Err(error) if frames.is_empty() => Err(writer::told_of("events", error)),
            _ => Ok(()),
        }
    }

    /// The entries behind `after`, within the limits.
    fn entries(&self, after: Position, limits: BatchLimits) -> Result<Vec<Entry>, JournalError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        let mut stream: Option<Arc<str>> = None;
        for (first, count, range) in &self.frames {
            let known = |name: &str| match &stream {
                Some(known) if **known == *name => Arc::clone(known),
                _ => name.into(),
            };
            let payload = self.bytes.get(range.clone()).unwrap_or_default();
            let Some(part) = batch::read(payload, *count, known) else {
                if entries.is_empty() {
                    return Err(JournalError::Damaged(format!("what lies at position {first} is no event")));
                }
                break;
            };
            stream = Some(part.stream);
            for (position, event) in (first.0..).map(Position).zip(part.events) {
                if position <= after {
                    continue;
                }
                bytes += event.size();
                if entries.len() >= limits.events || bytes > limits.bytes && !entries.is_empty() {
                    return Ok(entries);
                }
                entries.push(Entry { position, event });
            }
        }
        Ok(entries)
    }
}

/// What was settled above a place, since `from`.
pub(super) fn settled(reader: &mut Reader, from: i64, processor: &str, state: &CursorState) -> Vec<(Position, Target)> {
    let after = reader.before(from);
    outcomes::own(reader, after, processor, |Settlement { position, target, end, .. }| {
        let target = target.filter(|_| end != End::Unwanted)?;
        let lane = state.lanes.iter().find(|(lane, _)| *lane == target);
        let through = lane.map_or(state.front, |(_, through)| *through);
        (position > through).then_some((position, target))
    })
}
