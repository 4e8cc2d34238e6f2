//! What the journal's threads, its callers and its readers share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, watch};

use super::log::Segments;
use super::tail::{Flow, Tail};
use crate::attempt::Position;
use crate::journal::{AHEAD, Checkpoint, CursorState, JournalError};

/// Streams wait for processors no longer than this: what is upstream is less safe than what is here.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

/// A disk that takes longer than this is in trouble.
const PATIENT: Duration = Duration::from_secs(10);

/// What a journal is told, apart from its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What the folder may hold, in bytes.
    pub max_bytes: u64,
    /// How long events are kept that nobody waits for.
    pub max_age: Duration,
    /// Whether every append is synced before it is acknowledged; otherwise once a second.
    pub synced: bool,
    /// How large a file of events is.
    pub segment_bytes: u64,
}

impl Settings {
    /// The files are so many that letting one go gives little, and so few that all are looked at quickly.
    pub(super) fn segment_bytes(&self) -> u64 {
        self.segment_bytes.min(self.max_bytes / 16).max(1024)
    }
}

impl Settings {
    /// What is kept from being used, so that a full disk can be made less full.
    pub(super) fn reserve(&self) -> u64 {
        (self.max_bytes / 16).min(1 << 20)
    }
}

/// Time that does not go back, for both logs, in microseconds since 1970.
#[derive(Debug)]
pub(super) struct Clock(AtomicI64);

/// A moment in microseconds since 1970.
pub(super) fn micros(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
    }
}

impl Clock {
    pub(super) fn new(not_before: i64) -> Self {
        Self(AtomicI64::new(not_before))
    }

    pub(super) fn now(&self) -> i64 {
        let now = micros(SystemTime::now());
        self.0.fetch_max(now, Ordering::Relaxed).max(now)
    }
}

/// What was found to be damaged while the rest is in use.
#[derive(Debug, Default)]
pub(super) struct Harm(Mutex<Option<String>>);

impl Harm {
    /// Says it once, and keeps it until somebody has done something about it.
    pub(super) fn note(&self, error: &JournalError) {
        if !matches!(error, JournalError::Damaged(_)) {
            return;
        }
        let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_none() {
            tracing::error!(%error, "what lies there is not delivered; the rest goes on");
            *first = Some(error.to_string());
        }
    }

    fn told(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A processor's place.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) cursor: CursorState,
    /// All at or below it is settled, and would be after a power loss.
    pub(super) durable: Position,
    /// How far it was read.
    pub(super) read: Position,
    /// So many bytes above its front are as many as it can use.
    pub(super) reach: u64,
    /// It is not as it is on the disk.
    pub(super) dirty: bool,
    /// The processor is configured. Otherwise it pins nothing.
    pub(super) active: bool,
}

impl Held {
    pub(super) fn new(cursor: CursorState, active: bool) -> Self {
        let (durable, read) = (cursor.settled_through(), cursor.front);
        Self { cursor, durable, read, reach: AHEAD, dirty: false, active }
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) tail: Tail,
    pub(super) flow: Flow,
    pub(super) places: BTreeMap<Arc<str>, Held>,
    pub(super) appended: u64,
    /// Bytes that are on their way to the disk.
    pub(super) pending: u64,
    /// What keeps events from being appended.
    pub(super) trouble: Option<String>,
    pub(super) closed: bool,
}

impl State {
    pub(super) fn active(&self) -> impl Iterator<Item = (&Arc<str>, &Held)> {
        self.places.iter().filter(|(_, held)| held.active)
    }

    /// Whether even the processor that is furthest has much before it.
    pub(super) fn all_behind(&self) -> bool {
        let mut active = self.active().peekable();
        active.peek().is_some() && active.all(|(_, held)| self.flow.behind(held.cursor.front) >= held.reach)
    }

    /// What lies above is wanted by somebody.
    pub(super) fn settled(&self) -> Position {
        self.active().map(|(_, held)| held.cursor.settled_through()).min().unwrap_or(Position(u64::MAX))
    }

    /// The same, as it would be after a power loss.
    pub(super) fn durable(&self) -> Position {
        self.active().map(|(_, held)| held.durable).min().unwrap_or(Position(u64::MAX))
    }

    /// Lets go of what all have read who read the newest.
    pub(super) fn trim_tail(&mut self) {
        let read = self.active().map(|(_, held)| held.read).min().unwrap_or(Position(u64::MAX));
        self.tail.trim(read);
    }

    /// Who is furthest behind, if anybody waits for something.
    pub(super) fn pinned_by(&self, newest: Position) -> Option<String> {
        let (name, Held { cursor, .. }) = self.active().min_by_key(|(_, held)| held.cursor.settled_through())?;
        if cursor.settled_through() >= newest {
            return None;
        }
        let lane = cursor.lanes.iter().min_by_key(|(_, through)| *through);
        Some(match lane.filter(|(_, through)| *through < cursor.front) {
            Some((target, _)) => format!("{name} for {target}"),
            None => name.to_string(),
        })
    }
}

pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) events: Segments,
    pub(super) outcomes: Segments,
    pub(super) letters: Segments,
    pub(super) clock: Clock,
    pub(super) harm: Arc<Harm>,
    pub(super) newest: watch::Sender<Position>,
    pub(super) space: Notify,
    pub(super) passed: Notify,
    /// Apart from the state, since a segment begins with all of them and that takes a while.
    pub(super) checkpoints: Mutex<BTreeMap<Arc<str>, Checkpoint>>,
    pub(super) state: Mutex<State>,
    /// Since when the disk has been asked to write events, while it is.
    pub(super) writing: Mutex<Option<Instant>>,
}

impl Shared {
    // No code that holds a lock can leave things half changed.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn writing(&self) -> MutexGuard<'_, Option<Instant>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What keeps events from being appended or delivered, if anything does.
    pub(super) fn trouble(&self, state: &State) -> Option<String> {
        let hangs = self.writing().map(|since| since.elapsed()).filter(|since| *since >= PATIENT);
        let hangs = hangs.map(|since| format!("the disk has not answered for {} s", since.as_secs()));
        state.trouble.clone().or(hangs).or_else(|| self.harm.told())
    }

    pub(super) fn checkpoints(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Checkpoint>> {
        self.checkpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that somebody waits for, or that are on their way.
    pub(super) fn used(&self, state: &State) -> u64 {
        self.events.bytes_behind(state.settled()) + self.letters.bytes() + state.pending
    }

    /// Who can wait, waits from nine tenths on.
    pub(super) fn is_roomy(&self, used: u64) -> bool {
        used < self.settings.max_bytes / 10 * 9
    }

    pub(super) fn full(&self, state: &State, used: u64) -> JournalError {
        JournalError::Full {
            used,
            max: self.settings.max_bytes,
            pinned_by: state.pinned_by(*self.newest.borrow()).unwrap_or_else(|| "nobody".to_owned()),
        }
    }

    /// What all hold together.
    pub(super) fn bytes(&self) -> u64 {
        self.events.bytes() + self.outcomes.bytes() + self.letters.bytes()
    }
}
