//! The thread that keeps what is small: outcomes as they come, and the places of processors, synced once a second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::disk::Disk;
use super::letters::{Letters, Wish};
use super::log::Log;
use super::outcomes;
use super::place::{self, Place};
use super::state::{Held, Shared};
use super::writer::{self, Ended, Order};
use crate::journal::{CursorState, JournalError, Settlement};

/// How long a place may be other than what is durable.
const SYNC: Duration = Duration::from_secs(1);

/// How long what comes is collected after a write. So much may be forgotten when the process is killed.
const PAUSE: Duration = Duration::from_millis(1);

/// So many outcomes wait to be written, where they cannot be.
const MOST_UNWRITTEN: usize = 100_000;

/// What the thread is told.
pub(super) enum Note {
    /// How events ended at a processor.
    Outcomes(Arc<str>, Vec<Settlement>),
    /// Something about dead letters.
    Letters(Wish),
    /// A place has changed.
    Moved,
    /// A processor that is new begins there: durable when it is answered.
    New(Arc<str>, CursorState, oneshot::Sender<Result<(), JournalError>>),
    /// A processor's place is to be forgotten: durable when it is answered.
    Forget(Arc<str>, oneshot::Sender<Result<(), JournalError>>),
    /// To answer when everything before is done.
    Flush(oneshot::Sender<()>),
    /// To make everything durable, and to end.
    Close(oneshot::Sender<Result<(), JournalError>>),
}

pub(super) struct Keeper {
    pub(super) outcomes: Log,
    /// Why they cannot be used, if they are damaged.
    pub(super) letters: Result<Letters, JournalError>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) places: BTreeMap<Arc<str>, Place>,
    pub(super) shared: Arc<Shared>,
    pub(super) notes: Receiver<Note>,
    pub(super) writer: Sender<Order>,
    /// Outcomes that could not be written, and when that is tried again.
    pub(super) unwritten: Vec<(Arc<str>, Vec<Settlement>)>,
    pub(super) retry_at: Option<Instant>,
    /// It was said that places cannot be written.
    pub(super) said: bool,
}

impl Keeper {
    pub(super) fn run(mut self) -> Option<Ended> {
        let mut sync_at: Option<Instant> = None;
        loop {
            let first = match sync_at {
                None => self.notes.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => self.notes.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            let mut next = match first {
                Ok(note) => Some(note),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return None,
            };
            let mut ended: Vec<(Arc<str>, Vec<Settlement>)> = Vec::new();
            let mut wishes = Vec::new();
            let mut flushes = Vec::new();
            let mut close = None;
            while let Some(note) = next {
                match note {
                    Note::Outcomes(processor, mut settlements) => match ended.last_mut() {
                        Some((last, all)) if *last == processor => all.append(&mut settlements),
                        _ => ended.push((processor, settlements)),
                    },
                    Note::Letters(wish) => wishes.push(wish),
                    Note::Moved => drop(sync_at.get_or_insert_with(|| Instant::now() + SYNC)),
                    Note::New(processor, state, answer) => {
                        // What was said before it began comes before it.
                        self.record(std::mem::take(&mut ended));
                        drop(answer.send(self.begin(&processor, &state)));
                    }
                    Note::Forget(processor, answer) => drop(answer.send(self.forget(&processor))),
                    Note::Flush(answer) => flushes.push(answer),
                    Note::Close(answer) => {
                        close = Some(answer);
                        break;
                    }
                }
                next = self.notes.try_recv().ok();
            }
            let wrote = !ended.is_empty();
            self.record(ended);
            if !wishes.is_empty() {
                match &mut self.letters {
                    Ok(letters) => letters.grant(wishes, self.shared.clock.now()),
                    Err(error) => wishes.into_iter().for_each(|wish| wish.refuse(error)),
                }
            }
            for answer in flushes {
                // Whoever asked may have gone.
                answer.send(()).ok();
            }
            if let Some(answer) = close {
                self.retry_at = None;
                self.record(Vec::new());
                let synced = self.sync();
                let logged = self.outcomes.sync().map_err(|error| writer::told(&error));
                if let Ok(letters) = &mut self.letters {
                    letters.attest(self.shared.clock.now());
                }
                return Some((answer, synced.and(logged)));
            }
            if sync_at.is_some_and(|at| at <= Instant::now()) {
                sync_at = self.sync().is_err().then(|| Instant::now() + SYNC);
                self.trim();
            }
            if wrote {
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn begin(&mut self, processor: &Arc<str>, state: &CursorState) -> Result<(), JournalError> {
        // One of its name may have been forgotten, and what that one delivered is to be delivered again. Wherever there
        // is a place, this is durable.
        self.unwritten.retain(|(name, _)| name != processor);
        self.outcomes
            .append(self.shared.clock.now(), &mut |_| {}, &mut |frames| {
                outcomes::write(frames, processor, &[outcomes::BEGINS]);
            })
            .and_then(|()| self.outcomes.sync())
            .map_err(|error| writer::told(&error))?;
        self.outcomes.attest(self.shared.clock.now());
        let mut place = Place::new(Arc::clone(&self.disk), Arc::clone(processor));
        // Both files are there from the start: if neither can be read, that is damage and not a beginning.
        for _ in 0..2 {
            place.write(state).and_then(|()| place.sync()).map_err(|error| place_failed(processor, &error))?;
        }
        self.places.insert(Arc::clone(processor), place);
        Ok(())
    }

    fn forget(&mut self, processor: &Arc<str>) -> Result<(), JournalError> {
        self.places.remove(processor);
        let removed = place::remove(&*self.disk, processor).map_err(|error| JournalError::Io {
            what: format!("remove the place of {processor}"),
            why: error.to_string(),
        });
        self.trim();
        removed
    }

    /// Writes down how events ended. What cannot be written waits, as long as that is not too much.
    fn record(&mut self, mut ended: Vec<(Arc<str>, Vec<Settlement>)>) {
        self.unwritten.append(&mut ended);
        if self.unwritten.is_empty() || self.retry_at.is_some_and(|at| at > Instant::now()) {
            return self.forget_some();
        }
        let time = self.shared.clock.now();
        let unwritten = &self.unwritten;
        let written = self.outcomes.append(time, &mut |_| {}, &mut |frames| {
            unwritten.iter().for_each(|(processor, settlements)| outcomes::write(frames, processor, settlements));
        });
        match written {
            Ok(()) => {
                self.unwritten.clear();
                if self.retry_at.take().is_some() {
                    tracing::info!("outcomes can be written again");
                }
            }
            Err(error) => {
                if self.retry_at.is_none() {
                    tracing::warn!(%error, "outcomes cannot be written: a crash would repeat deliveries");
                }
                self.retry_at = Some(Instant::now() + SYNC);
                self.forget_some();
            }
        }
    }

    /// It may be delivered twice after a crash, no worse.
    fn forget_some(&mut self) {
        let mut count: usize = self.unwritten.iter().map(|(_, settlements)| settlements.len()).sum();
        while count > MOST_UNWRITTEN {
            count -= self.unwritten.remove(0).1.len();
        }
    }

    /// Makes every place durable that has changed.
    fn sync(&mut self) -> Result<(), JournalError> {
        let changed: Vec<(Arc<str>, CursorState)> = {
            let mut state = self.shared.lock();
            let dirty = state.places.iter_mut().filter(|(_, held)| held.dirty);
            dirty
                .map(|(name, held)| {
                    held.dirty = false;
                    (Arc::clone(name), held.cursor.clone())
                })
                .collect()
        };
        let mut result = Ok(());
        for (name, cursor) in changed {
            let Some(place) = self.places.get_mut(&name) else { continue };
            let done = place.write(&cursor).and_then(|()| place.sync());
            let mut state = self.shared.lock();
            let Some(held) = state.places.get_mut(&name) else { continue };
            match done {
                Ok(()) => held.durable = cursor.settled_through(),
                Err(error) => {
                    held.dirty = true;
                    result = Err(place_failed(&name, &error));
                }
            }
        }
        match &result {
            Ok(()) if std::mem::take(&mut self.said) => tracing::info!("places can be written again"),
            Err(error) if !std::mem::replace(&mut self.said, true) => {
                tracing::warn!(%error, "places cannot be written: a crash would repeat deliveries");
            }
            _ => {}
        }
        result
    }

    /// Lets go of outcomes of events that are gone, and has the writer let go of events that nobody waits for.
    fn trim(&mut self) {
        let Some(created) = self.shared.events.created() else { return };
        while let Ok(Some(_)) = self.outcomes.trim(crate::attempt::Position(u64::MAX), |time| time >= created) {}
        let has_unpinned = {
            let durable = self.shared.lock().durable();
            self.shared.events.oldest_through().is_some_and(|through| through <= durable)
        };
        if has_unpinned && self.shared.bytes() + self.shared.settings.segment_bytes() > self.shared.settings.max_bytes {
            // It has ended, if the journal is closing.
            drop(self.writer.send(Order::Trim));
        }
    }
}

impl Held {
    /// Whether it has to be told that it changed.
    pub(super) fn moved(&mut self, cursor: CursorState) -> bool {
        self.cursor = cursor;
        !std::mem::replace(&mut self.dirty, true)
    }
}

fn place_failed(processor: &str, error: &std::io::Error) -> JournalError {
    JournalError::Io { what: format!("write the place of {processor}"), why: error.to_string() }
}
