//! An open journal: two threads that write, and what they share with those who ask them.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, oneshot, watch};

use super::batch;
use super::cursor::{EmbeddedCursor, settled};
use super::disk::Disk;
use super::keeper::{Keeper, Note};
use super::letters::{EmbeddedLetters, Letters};
use super::log::{Durability, Log, LogError, Notice, Options, Reader, Visit};
use super::place::Place;
use super::state::{Clock, Held, PATIENCE, Settings, Shared, State, micros};
use super::tail::{Flow, Tail};
use super::writer::{self, Order, Writer};
use crate::attempt::Position;
use crate::journal::{
    Batch, Begin, Checkpoint, CheckpointDelta, Cursor, CursorState, DeadLetters as _, JournalError, JournalStats,
};

/// What the logs hold, as their headers say.
const EVENTS: u16 = 1;
const OUTCOMES: u16 = 2;

/// Of what the folder may hold, dead letters may take one of so many parts.
const LETTERS_PART: u64 = 8;

/// A file of outcomes is no larger.
const OUTCOMES_BYTES: u64 = 4 << 20;

/// The folders of a journal.
#[derive(Clone)]
pub(super) struct Disks {
    pub(super) events: Arc<dyn Disk>,
    pub(super) outcomes: Arc<dyn Disk>,
    pub(super) places: Arc<dyn Disk>,
    pub(super) letters: Arc<dyn Disk>,
}

pub(super) struct Engine {
    pub(super) shared: Arc<Shared>,
    pub(super) letters: Arc<EmbeddedLetters>,
    disks: Disks,
    orders: Sender<Order>,
    notes: Sender<Note>,
}

/// A frame's stream, change, and keys and CreatedTimes.
type Waiting = (String, Option<CheckpointDelta>, Vec<(i32, i64)>);

/// Collects the checkpoints of the streams, from what the last segment says.
#[derive(Default)]
struct Checkpoints {
    all: BTreeMap<Arc<str>, Checkpoint>,
    /// What a segment begins with, until all of that is there.
    begun: Vec<(Arc<str>, Checkpoint)>,
    /// What the frames say that are no whole batch yet.
    waiting: Vec<Waiting>,
    damaged: bool,
}

impl Checkpoints {
    fn visit(&mut self, visit: &Visit<'_>) {
        match visit {
            Visit::Frame(head, payload) => match head.kind {
                batch::CHECKPOINT => match batch::read_checkpoint(payload) {
                    Some(begun) => self.begun.push(begun),
                    None => self.damaged = true,
                },
                batch::EVENTS => match batch::glance(payload, head.count) {
                    Some(part) => self.waiting.push((part.stream.to_owned(), part.delta, part.keys)),
                    None => self.damaged = true,
                },
                _ => {}
            },
            Visit::Whole => {
                self.all.extend(self.begun.drain(..));
                self.apply();
            }
            Visit::Torn => {
                self.begun.clear();
                self.waiting.clear();
            }
        }
    }

    fn apply(&mut self) {
        // The change comes with the last frame of a batch, and is about the events of all of them.
        let Some((stream, Some(delta), _)) = self.waiting.last() else {
            self.waiting.clear();
            return;
        };
        let kept = self.all.entry(stream.as_str().into()).or_insert_with(|| Checkpoint::bare(delta));
        kept.apply_named(delta, self.waiting.iter().flat_map(|(_, _, keys)| keys).copied());
        self.waiting.clear();
    }
}

pub(super) fn say(notices: Vec<Notice>) {
    for notice in notices {
        match notice {
            Notice::TornTail { name, at } => {
                tracing::info!(file = name, at, "what was being written when the router ended is passed over");
            }
            Notice::Unfinished(name) => tracing::debug!(file = name, "a file that was never used is removed"),
        }
    }
}

/// Opens the log of outcomes. Where it cannot be read, a new one is begun: without outcomes some events are delivered
/// twice, without a journal none is delivered at all.
fn open_outcomes(disk: &Arc<dyn Disk>) -> Result<Log, LogError> {
    let options =
        Options { log: OUTCOMES, segment_bytes: OUTCOMES_BYTES, durability: Durability::Never, recycle: false };
    let open = || Log::open(Arc::clone(disk), options, Position(0), &mut |_| {});
    let (log, notices) = match open() {
        Err(error @ LogError::Damaged { .. }) => {
            tracing::warn!(%error, "what was delivered lately is not known any more: some events may come twice");
            let failed = |error| LogError::Io { what: "clear", name: "the outcomes".to_owned(), error };
            for name in disk.names().map_err(failed)? {
                disk.remove(&name).map_err(failed)?;
            }
            disk.sync().map_err(failed)?;
            open()?
        }
        other => other?,
    };
    say(notices);
    Ok(log)
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
        let io = |error: io::Error| match error.kind() {
            io::ErrorKind::InvalidData => JournalError::Damaged(error.to_string()),
            _ => JournalError::Io { what: "read places".to_owned(), why: error.to_string() },
        };
        let found = Place::all(&disks.places).map_err(io)?;
        let highest = |state: &CursorState| state.lanes.iter().map(|(_, at)| *at).fold(state.front, Position::max);
        let floor = found.values().map(|(_, state)| highest(state)).max().unwrap_or_default();
        let letters = Letters::open(&disks.letters, settings.max_bytes / LETTERS_PART);
        let (letters, view) = letters.map_err(|error| writer::told(&error))?;
        let floor = floor.max(letters.highest());
        let outcomes = open_outcomes(&disks.outcomes).map_err(|error| writer::told(&error))?;
        let options = Options {
            log: EVENTS,
            segment_bytes: settings.segment_bytes(),
            durability: if settings.synced { Durability::Each } else { Durability::Later },
            recycle: settings.synced,
        };
        let mut checkpoints = Checkpoints::default();
        let opened = Log::open(Arc::clone(&disks.events), options, floor, &mut |visit| checkpoints.visit(&visit));
        let (log, notices) = opened.map_err(|error| writer::told(&error))?;
        if checkpoints.damaged {
            return Err(JournalError::Damaged("a frame of the newest segment holds what no router writes".to_owned()));
        }
        say(notices);

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
            let active = processors.contains(&name);
            if !active {
                tracing::info!(
                    processor = &*name,
                    "the journal knows a processor that is not configured: nothing is kept for it"
                );
            }
            held.insert(Arc::clone(&name), Held::new(state, active));
            places.insert(name, place);
        }
        let shared = Arc::new(Shared {
            settings,
            events,
            outcomes: outcomes.segments(),
            letters: view.segments(),
            clock,
            newest: watch::Sender::new(newest),
            space: Notify::new(),
            passed: Notify::new(),
            checkpoints: Mutex::new(checkpoints.all),
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
            writer.run();
            drop(kept);
        })?;
        start("outcomes", move || {
            keeper.run();
            drop(lock);
        })?;
        let letters = Arc::new(view.told_by(notes.clone()));
        Ok(Self { shared, letters, disks, orders, notes })
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
        let settled = blocking(move || settled(&mut reader, from.unwrap_or(i64::MIN), &of, &state)).await?;
        let readers =
            std::array::from_fn(|_| Some(Reader::new(Arc::clone(&self.disks.events), self.shared.events.clone())));
        Ok(Arc::new(EmbeddedCursor::new(name, Arc::clone(&self.shared), self.notes.clone(), readers, settled)))
    }

    /// Gives a new processor its place.
    async fn begin(&self, name: &Arc<str>, begin: Begin) -> Result<CursorState, JournalError> {
        let newest = *self.shared.newest.borrow();
        let first = self.shared.events.before_first().unwrap_or_default();
        let front = match begin {
            Begin::End => newest,
            Begin::Oldest => first,
            Begin::Time(time) => {
                let mut reader = Reader::new(Arc::clone(&self.disks.events), self.shared.events.clone());
                let before =
                    blocking(move || reader.before(micros(time)).map_err(|error| writer::told(&error))).await?;
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
