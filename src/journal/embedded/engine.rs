//! An open journal: two threads that write, and what they share with those who ask them.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, oneshot, watch};
use uuid::Uuid;

use super::cursor::{EmbeddedCursor, settled};
use super::history::EmbeddedHistory;
use super::keeper::{Keeper, Note};
use super::letters::EmbeddedLetters;
use super::log::Reader;
use super::parts::{Disks, Parts, place_lost};
use super::place;
use super::state::{Clock, Harm, Held, PATIENCE, Settings, Shared, State, micros};
use super::tail::{Flow, Tail};
use super::writer::{self, Ended, Order, Writer};
use crate::attempt::Position;
use crate::journal::{Batch, Begin, Cursor, CursorState, DeadLetters as _, JournalError, JournalStats, is_active};

pub(super) struct Engine {
    pub(super) shared: Arc<Shared>,
    pub(super) letters: Arc<EmbeddedLetters>,
    pub(super) disks: Disks,
    pub(super) orders: Sender<Order>,
    notes: Sender<Note>,
    /// Processors of whom it is not known where they were.
    lost: Vec<Arc<str>>,
}

impl Engine {
    /// Opens what is there, and begins to work. `processors` are the configured ones: what others left pins nothing.
    /// `lock` is held as long as anything is written.
    pub(super) fn open(
        disks: Disks,
        settings: Settings,
        processors: &[Arc<str>],
        lock: Arc<dyn std::any::Any + Send + Sync>,
    ) -> Result<Self, JournalError> {
        let Parts { log, checkpoints, outcomes, letters, view, places: found, lost } = Parts::open(&disks, &settings)?;
        let events = log.segments();
        let newest = events.newest().unwrap_or_default();
        let clock = Clock::new(
            [events.time(), outcomes.segments().time(), view.segments().time()]
                .into_iter()
                .flatten()
                .max()
                .unwrap_or(i64::MIN),
        );
        let mut places = BTreeMap::new();
        let mut held = BTreeMap::new();
        for (name, (place, state)) in found {
            let active = is_active(&name, processors);
            if !active {
                tracing::info!(
                    processor = &*name,
                    "the journal knows a processor that is not configured: nothing is kept for it; journal rename and \
                     journal forget act on it"
                );
            }
            held.insert(Arc::clone(&name), Held::new(state, active));
            places.insert(name, place);
        }
        let harm = Arc::new(Harm::default());
        if let Err(error) = &letters {
            harm.note(error);
        }
        let lost: Vec<_> = processors.iter().filter(|name| lost.contains(&place::stem(name))).cloned().collect();
        let first = events.before_first().unwrap_or_default();
        for name in &lost {
            // Whatever it has not had yet is kept for it.
            held.insert(Arc::clone(name), Held::new(CursorState { front: first, lanes: Vec::new() }, true));
        }
        let shared = Arc::new(Shared {
            settings,
            events,
            outcomes: outcomes.segments(),
            letters: view.segments(),
            clock,
            harm: Arc::clone(&harm),
            newest: watch::Sender::new(newest),
            space: Notify::new(),
            passed: Notify::new(),
            checkpoints: Mutex::new(checkpoints),
            state: Mutex::new(State {
                tail: Tail::new(newest),
                flow: Flow::new(newest),
                places: held,
                appended: 0,
                pending: 0,
                trouble: None,
                closed: false,
            }),
            writing: Mutex::default(),
        });
        let (orders, taken) = mpsc::channel();
        let (notes, noted) = mpsc::channel();
        let writer = Writer { log, disk: Arc::clone(&disks.events), shared: Arc::clone(&shared), orders: taken };
        let keeper = Keeper {
            outcomes,
            letters,
            disk: Arc::clone(&disks.places),
            places,
            shared: Arc::clone(&shared),
            notes: noted,
            writer: orders.clone(),
            unwritten: Vec::new(),
            retry_at: None,
            said: false,
        };
        let kept = Arc::clone(&lock);
        start("journal", move || {
            let ended = writer.run();
            drop(kept);
            tell(ended);
        })?;
        start("outcomes", move || {
            let ended = keeper.run();
            drop(lock);
            tell(ended);
        })?;
        let letters = Arc::new(view.told_by(notes.clone(), harm));
        Ok(Self { shared, letters, disks, orders, notes, lost })
    }

    pub(super) async fn append(&self, batch: &mut Batch) -> Result<Position, JournalError> {
        let bytes: u64 = batch.events.iter().map(|event| event.size() as u64).sum();
        {
            let mut state = self.shared.lock();
            if state.closed {
                return Err(JournalError::Closed);
            }
            if bytes > 0 {
                let used = self.shared.used(&state);
                if !self.shared.is_roomy(used) && used + bytes > self.shared.settings.max_bytes {
                    return Err(self.shared.full(&state, used));
                }
            }
            state.pending += bytes;
        }
        let (answer, answered) = oneshot::channel();
        let events = std::mem::take(&mut batch.events);
        let batch = Batch { stream: Arc::clone(&batch.stream), events, checkpoint: batch.checkpoint.clone() };
        self.orders.send(Order::Append { batch, bytes, answer }).map_err(|_| JournalError::Closed)?;
        answered.await.unwrap_or(Err(JournalError::Closed))
    }

    pub(super) fn check_space(&self) -> Result<(), JournalError> {
        let state = self.shared.lock();
        let used = self.shared.used(&state);
        if self.shared.is_roomy(used) { Ok(()) } else { Err(self.shared.full(&state, used)) }
    }

    pub(super) async fn space(&self) {
        loop {
            let freed = self.shared.space.notified();
            if self.check_space().is_ok() {
                return;
            }
            freed.await;
        }
    }

    pub(super) async fn pace(&self) {
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        loop {
            let passed = self.shared.passed.notified();
            if !self.shared.lock().all_behind() {
                return;
            }
            tokio::select! {
                () = passed => {}
                () = &mut patience => return,
            }
        }
    }

    pub(super) async fn cursor(&self, processor: &str, begin: Begin) -> Result<Arc<dyn Cursor>, JournalError> {
        let name: Arc<str> = processor.into();
        if self.lost.contains(&name) {
            let error = place_lost(&place::stem(&name));
            self.shared.harm.note(&error);
            return Err(error);
        }
        let known = {
            let mut state = self.shared.lock();
            if state.closed {
                return Err(JournalError::Closed);
            }
            state.places.get_mut(&name).map(|held| {
                held.active = true;
                held.read = held.cursor.front;
                held.cursor.clone()
            })
        };
        let cursor = match known {
            Some(cursor) => cursor,
            None => self.begin(&name, begin).await?,
        };
        let first = self.shared.events.before_first().unwrap_or_default();
        if cursor.settled_through() < first {
            tracing::warn!(
                processor = &*name,
                through = first.0,
                "events were let go that were not delivered, since the processor was not configured meanwhile"
            );
        }
        // What was settled above the place was written down, or is about to be.
        let (answer, answered) = oneshot::channel();
        self.notes.send(Note::Flush(answer)).map_err(|_| JournalError::Closed)?;
        answered.await.map_err(|_| JournalError::Closed)?;
        let mut reader = Reader::lenient(Arc::clone(&self.disks.outcomes), self.shared.outcomes.clone());
        let from = self.shared.events.created_behind(cursor.settled_through());
        let (of, state) = (Arc::clone(&name), cursor.clone());
        let settled = blocking(move || Ok(settled(&mut reader, from.unwrap_or(i64::MIN), &of, &state))).await?;
        let readers =
            std::array::from_fn(|_| Some(Reader::new(Arc::clone(&self.disks.events), self.shared.events.clone())));
        Ok(Arc::new(EmbeddedCursor::new(name, Arc::clone(&self.shared), self.notes.clone(), readers, settled)))
    }

    /// Says which streams it knows that are not configured.
    pub(super) fn say_dormant(&self, streams: &[Arc<str>]) {
        for name in self.shared.checkpoints().keys().filter(|name| !streams.contains(name)) {
            tracing::info!(
                stream = &**name,
                "the journal knows a stream that is not configured: journal rename and journal forget act on it"
            );
        }
    }

    /// Gives a stream the checkpoint of the one that read the same vCenter last, and is none of `configured`.
    pub(super) async fn adopt(
        &self,
        stream: &str,
        instance: Uuid,
        configured: &[Arc<str>],
    ) -> Result<Option<Arc<str>>, JournalError> {
        let orphan = {
            let checkpoints = self.shared.checkpoints();
            let orphans = checkpoints.iter().filter(|(name, of)| of.instance == instance && !configured.contains(name));
            let newest = orphans.max_by_key(|(_, of)| of.newest).map(|(name, _)| Arc::clone(name));
            newest.filter(|_| !checkpoints.contains_key(stream))
        };
        let Some(orphan) = orphan else { return Ok(None) };
        let (answer, answered) = oneshot::channel();
        let order = Order::Adopt { from: Arc::clone(&orphan), to: stream.into(), answer };
        self.orders.send(order).map_err(|_| JournalError::Closed)?;
        answered.await.unwrap_or(Err(JournalError::Closed)).map(|adopted| adopted.then_some(orphan))
    }

    /// Gives a new processor its place.
    async fn begin(&self, name: &Arc<str>, begin: Begin) -> Result<CursorState, JournalError> {
        let newest = *self.shared.newest.borrow();
        let first = self.shared.events.before_first().unwrap_or_default();
        let front = match begin {
            Begin::End => newest,
            Begin::Oldest => first,
            Begin::Behind(place) => place.max(first).min(newest),
            Begin::Time(time) => {
                let mut reader = Reader::new(Arc::clone(&self.disks.events), self.shared.events.clone());
                let before =
                    blocking(move || reader.before(micros(time)).map_err(|error| writer::told_of("events", error)))
                        .await?;
                before.max(first)
            }
        };
        let cursor = CursorState { front, lanes: Vec::new() };
        // From now on nothing is let go that it wants.
        self.shared.lock().places.insert(Arc::clone(name), Held::new(cursor.clone(), true));
        let (answer, answered) = oneshot::channel();
        self.notes.send(Note::New(Arc::clone(name), cursor.clone(), answer)).map_err(|_| JournalError::Closed)?;
        let done = answered.await.unwrap_or(Err(JournalError::Closed));
        if done.is_err() {
            self.shared.lock().places.remove(name);
        }
        done.map(|()| cursor)
    }

    /// Forgets a processor's place.
    pub(super) async fn forget(&self, processor: &str) -> Result<(), JournalError> {
        {
            let mut guard = self.shared.lock();
            let state = &mut *guard;
            state.places.remove(processor);
            state.trim_tail();
        }
        // Whoever waited for it to come on may go on.
        self.shared.passed.notify_waiters();
        self.shared.space.notify_waiters();
        let (answer, answered) = oneshot::channel();
        self.notes.send(Note::Forget(processor.into(), answer)).map_err(|_| JournalError::Closed)?;
        answered.await.unwrap_or(Err(JournalError::Closed))
    }

    pub(super) fn history(&self) -> EmbeddedHistory {
        EmbeddedHistory { shared: Arc::clone(&self.shared), disks: self.disks.clone(), notes: self.notes.clone() }
    }

    pub(super) fn places(&self) -> Vec<(Arc<str>, CursorState)> {
        let state = self.shared.lock();
        state.places.iter().map(|(name, held)| (Arc::clone(name), held.cursor.clone())).collect()
    }

    pub(super) fn stats(&self) -> JournalStats {
        let newest = *self.shared.newest.borrow();
        let state = self.shared.lock();
        let settled = state.settled().min(newest);
        JournalStats {
            engine: super::NAME,
            events: self.shared.events.records(),
            undelivered: self.shared.events.records_behind(settled),
            bytes: self.shared.bytes(),
            pinned_bytes: self.shared.used(&state),
            max_bytes: self.shared.settings.max_bytes,
            appended: state.appended,
            newest,
            pinned_by: state.pinned_by(newest),
            letters: self.letters.held(),
            trouble: self.shared.trouble(&state),
        }
    }

    pub(super) async fn close(&self) -> Result<(), JournalError> {
        if std::mem::replace(&mut self.shared.lock().closed, true) {
            return Ok(());
        }
        let (kept, keeper) = oneshot::channel();
        let (wrote, writer) = oneshot::channel();
        drop(self.notes.send(Note::Close(kept)));
        let keeper = keeper.await.unwrap_or(Ok(()));
        drop(self.orders.send(Order::Close(wrote)));
        writer.await.unwrap_or(Ok(())).and(keeper)
    }
}

/// The folder is free for the next one when all threads have said that they ended.
fn tell(ended: Option<Ended>) {
    if let Some((answer, end)) = ended {
        // Whoever asked may have gone.
        drop(answer.send(end));
    }
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), JournalError> {
    match std::thread::Builder::new().name(name.to_owned()).spawn(run) {
        Ok(_) => Ok(()),
        Err(error) => Err(JournalError::Io { what: "start its thread".to_owned(), why: error.to_string() }),
    }
}

/// Runs what reads files apart, so that a slow disk holds nobody else up.
pub(super) async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    tokio::task::spawn_blocking(run).await.unwrap_or(Err(JournalError::Closed))
}
