//! The journal in memory: bounded, quick, and gone with the process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};

use super::letters::MemoryLetters;
use super::{
    AHEAD, Batch, Begin, Checkpoint, Cursor, CursorState, DeadLetters, Ended, Entry, Found, History, Journal,
    JournalError, JournalStats, Settlement,
};
use crate::attempt::{BatchLimits, Position, Target};

/// What is kept of events that nobody waits for, for whoever looks on.
const HISTORY: u64 = 1 << 20;

/// Outcomes that are kept beside, for each event.
const OUTCOMES: usize = 4;

/// A journal that lives in memory.
pub struct MemoryJournal {
    shared: Arc<Shared>,
    letters: Arc<MemoryLetters>,
}

struct Shared {
    max_bytes: u64,
    signing_key: [u8; 32],
    state: Mutex<State>,
    newest: watch::Sender<Position>,
    space: Notify,
    passed: Notify,
}

/// A processor's place.
struct Place {
    cursor: CursorState,
    /// Bytes of the entries above its front.
    ahead: u64,
    /// As many as it can use.
    reach: u64,
}

#[derive(Default)]
struct State {
    /// Without gaps: the entry at index i has the position `before_first + 1 + i`.
    entries: VecDeque<(Entry, SystemTime)>,
    before_first: u64,
    /// Up to here nobody waits for anything: what lies there is history.
    settled: u64,
    /// Of what lies behind it.
    bytes: u64,
    history: u64,
    /// How events ended that are kept.
    ended: VecDeque<Ended>,
    appended: u64,
    checkpoints: BTreeMap<Arc<str>, Checkpoint>,
    places: BTreeMap<Arc<str>, Place>,
    closed: bool,
}

impl MemoryJournal {
    /// An empty journal that holds at most about `max_bytes` of undelivered events.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        let mut signing_key = [0; 32];
        for part in signing_key.chunks_exact_mut(16) {
            part.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        }
        Self {
            letters: Arc::new(MemoryLetters::new(max_bytes / 8)),
            shared: Arc::new(Shared {
                max_bytes,
                signing_key,
                state: Mutex::default(),
                newest: watch::Sender::new(Position::default()),
                space: Notify::new(),
                passed: Notify::new(),
            }),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn roomy(&self, state: &State) -> bool {
        state.bytes < self.max_bytes / 10 * 9
    }

    fn history(&self) -> u64 {
        HISTORY.min(self.max_bytes / 16)
    }

    fn full(&self, state: &State) -> JournalError {
        JournalError::Full {
            used: state.bytes,
            max: self.max_bytes,
            pinned_by: state.pinned_by().unwrap_or_else(|| "nobody".to_owned()),
        }
    }
}

impl Shared {
    async fn readable(&self, after: Position) -> Result<(), JournalError> {
        let mut newest = self.newest.subscribe();
        newest.wait_for(|newest| *newest > after).await.map(drop).map_err(|_| JournalError::Closed)
    }
}

impl State {
    fn newest(&self) -> u64 {
        self.before_first + self.entries.len() as u64
    }

    fn size(&self, position: u64) -> u64 {
        let at = usize::try_from(position - self.before_first - 1).unwrap_or(usize::MAX);
        self.entries.get(at).map_or(0, |(entry, _)| entry.event.size() as u64)
    }

    fn trim(&mut self, most: u64) {
        let settled = self.places.values().map(|place| place.cursor.settled_through().0).min().unwrap_or(u64::MAX);
        let settled = settled.clamp(self.before_first, self.newest());
        while self.settled < settled {
            self.settled += 1;
            let size = self.size(self.settled);
            self.bytes -= size;
            self.history += size;
        }
        // A processor has begun in the past.
        while self.settled > settled {
            let size = self.size(self.settled);
            self.bytes += size;
            self.history -= size;
            self.settled -= 1;
        }
        while self.history > most
            && let Some((entry, _)) = self.entries.pop_front()
        {
            self.before_first = entry.position.0;
            self.history -= entry.event.size() as u64;
        }
        if self.ended.len() > OUTCOMES * self.entries.len() {
            let before = self.before_first;
            self.ended.retain(|ended| ended.settlement.position.0 > before);
            // An event may have had very many targets.
            let most = OUTCOMES * self.entries.len() + 1024;
            self.ended.drain(..self.ended.len().saturating_sub(most));
        }
        if self.entries.is_empty() && self.entries.capacity() > 4096 {
            self.entries.shrink_to(1024);
        }
    }

    fn read(&self, after: Position, limits: BatchLimits) -> Vec<Entry> {
        let skip = usize::try_from(after.0.saturating_sub(self.before_first)).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let mut read = Vec::new();
        for (entry, _) in self.entries.iter().skip(skip).take(limits.events) {
            bytes += entry.event.size();
            if bytes > limits.bytes && !read.is_empty() {
                break;
            }
            read.push(entry.clone());
        }
        read
    }

    /// The place before the first entry that was journaled at that time or later.
    fn before(&self, time: SystemTime) -> u64 {
        self.before_first + self.entries.partition_point(|(_, journaled)| *journaled < time) as u64
    }

    /// The bytes of the entries above one position and up to another.
    fn bytes_between(&self, above: Position, to: Position) -> u64 {
        let at = |position: Position| {
            let at = position.0.saturating_sub(self.before_first);
            usize::try_from(at).unwrap_or(usize::MAX).min(self.entries.len())
        };
        let (above, to) = (at(above), at(to));
        self.entries.range(above..to.max(above)).map(|(entry, _)| entry.event.size() as u64).sum()
    }

    /// Whether even the processor that is furthest has much before it.
    fn all_behind(&self) -> bool {
        !self.places.is_empty() && self.places.values().all(|place| place.ahead >= place.reach)
    }

    fn pinned_by(&self) -> Option<String> {
        let (name, Place { cursor, .. }) =
            self.places.iter().min_by_key(|(_, place)| place.cursor.settled_through())?;
        if cursor.settled_through().0 >= self.newest() {
            return None;
        }
        let lane =
            cursor.lanes.iter().min_by_key(|(_, through)| *through).filter(|(_, through)| *through < cursor.front);
        Some(match lane {
            Some((target, _)) => format!("{name} for {target}"),
            None => name.to_string(),
        })
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    fn max_batch(&self) -> BatchLimits {
        BatchLimits { events: 10_000, bytes: usize::try_from(self.shared.max_bytes / 10).unwrap_or(usize::MAX) }
    }

    async fn append(&self, batch: &mut Batch) -> Result<Position, JournalError> {
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        if state.closed {
            return Err(JournalError::Closed);
        }
        let size: u64 = batch.events.iter().map(|event| event.size() as u64).sum();
        if !self.shared.roomy(state) && size > 0 && state.bytes + size > self.shared.max_bytes {
            return Err(self.shared.full(state));
        }
        if let Some(delta) = &batch.checkpoint {
            let checkpoint =
                state.checkpoints.entry(Arc::clone(&batch.stream)).or_insert_with(|| Checkpoint::bare(delta));
            checkpoint.apply(delta, &batch.events);
        }
        let now = SystemTime::now();
        let first = state.newest() + 1;
        state.appended += batch.events.len() as u64;
        state.bytes += size;
        let entries = (first..).map(Position).zip(batch.events.drain(..));
        state.entries.extend(entries.map(|(position, event)| (Entry { position, event }, now)));
        let newest = Position(state.newest());
        for place in state.places.values_mut() {
            place.ahead += size;
        }
        if state.places.is_empty() {
            state.trim(self.shared.history());
        }
        drop(guard);
        self.shared.newest.send_if_modified(|seen| {
            let news = newest > *seen;
            *seen = newest.max(*seen);
            news
        });
        Ok(newest)
    }

    fn check_space(&self) -> Result<(), JournalError> {
        let state = self.shared.lock();
        if self.shared.roomy(&state) { Ok(()) } else { Err(self.shared.full(&state)) }
    }

    async fn space(&self) {
        loop {
            let freed = self.shared.space.notified();
            if self.check_space().is_ok() {
                return;
            }
            freed.await;
        }
    }

    async fn pace(&self) {
        loop {
            let passed = self.shared.passed.notified();
            if !self.shared.lock().all_behind() {
                return;
            }
            passed.await;
        }
    }

    async fn checkpoint(&self, stream: &str) -> Result<Option<Checkpoint>, JournalError> {
        Ok(self.shared.lock().checkpoints.get(stream).map(Checkpoint::opened))
    }

    async fn cursor(&self, processor: &str, begin: Begin) -> Result<Arc<dyn Cursor>, JournalError> {
        let name: Arc<str> = processor.into();
        let mut state = self.shared.lock();
        if !state.places.contains_key(&name) {
            let front = Position(match begin {
                Begin::End => state.newest(),
                Begin::Oldest => state.before_first,
                Begin::Time(time) => state.before(time),
                Begin::Behind(place) => place.0.clamp(state.before_first, state.newest()),
            });
            let ahead = state.bytes_between(front, Position(state.newest()));
            let cursor = CursorState { front, lanes: Vec::new() };
            // One of its name was forgotten, and this one may owe what that one delivered.
            state.ended.retain(|ended| ended.processor != name);
            state.places.insert(Arc::clone(&name), Place { cursor, ahead, reach: AHEAD });
            state.trim(self.shared.history());
        }
        drop(state);
        // This one may have little before it.
        self.shared.passed.notify_waiters();
        Ok(Arc::new(MemoryCursor { shared: Arc::clone(&self.shared), name }))
    }

    async fn forget(&self, processor: &str) -> Result<(), JournalError> {
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        let was_roomy = self.shared.roomy(state);
        state.places.remove(processor);
        state.trim(self.shared.history());
        self.shared.passed.notify_waiters();
        if !was_roomy && self.shared.roomy(state) {
            self.shared.space.notify_waiters();
        }
        Ok(())
    }

    fn dead_letters(&self) -> Result<Arc<dyn DeadLetters>, JournalError> {
        Ok(Arc::clone(&self.letters) as Arc<dyn DeadLetters>)
    }

    fn history(&self) -> Result<Arc<dyn History>, JournalError> {
        Ok(Arc::new(MemoryHistory(Arc::clone(&self.shared))))
    }

    fn places(&self) -> Vec<(Arc<str>, CursorState)> {
        let state = self.shared.lock();
        state.places.iter().map(|(name, place)| (Arc::clone(name), place.cursor.clone())).collect()
    }

    fn signing_key(&self) -> [u8; 32] {
        self.shared.signing_key
    }

    fn stats(&self) -> JournalStats {
        let state = self.shared.lock();
        JournalStats {
            engine: "memory",
            events: state.entries.len() as u64,
            undelivered: state.newest() - state.settled,
            bytes: state.bytes + state.history,
            pinned_bytes: state.bytes,
            max_bytes: self.shared.max_bytes,
            appended: state.appended,
            newest: Position(state.newest()),
            pinned_by: state.pinned_by(),
            letters: self.letters.held(),
            trouble: None,
        }
    }

    async fn close(&self) -> Result<(), JournalError> {
        self.shared.lock().closed = true;
        Ok(())
    }
}

struct MemoryCursor {
    shared: Arc<Shared>,
    name: Arc<str>,
}

#[async_trait]
impl Cursor for MemoryCursor {
    fn state(&self) -> CursorState {
        self.shared.lock().places.get(&self.name).map(|place| place.cursor.clone()).unwrap_or_default()
    }

    fn settled(&self) -> Vec<(Position, Target)> {
        Vec::new()
    }

    async fn read(&self, after: Position, limits: BatchLimits) -> Result<Vec<Entry>, JournalError> {
        Ok(self.shared.lock().read(after, limits))
    }

    async fn readable(&self, after: Position) -> Result<(), JournalError> {
        self.shared.readable(after).await
    }

    fn newest(&self) -> Position {
        *self.shared.newest.borrow()
    }

    fn waiting(&self, after: Position) -> u64 {
        self.newest().0.saturating_sub(after.0)
    }

    fn reach(&self, bytes: u64) {
        if let Some(place) = self.shared.lock().places.get_mut(&self.name) {
            // A journal that is full is no way to keep pace.
            place.reach = bytes.min(self.shared.max_bytes / 4).max(AHEAD);
        }
        self.shared.passed.notify_waiters();
    }

    async fn commit(&self, committed: CursorState) -> Result<(), JournalError> {
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        let was_behind = state.all_behind();
        // It was forgotten.
        let Some(before) = state.places.get(&self.name).map(|place| place.cursor.front) else {
            return Err(JournalError::Closed);
        };
        let passed = state.bytes_between(before, committed.front);
        let back = state.bytes_between(committed.front, before);
        if let Some(place) = state.places.get_mut(&self.name) {
            place.ahead = place.ahead + back - passed;
            place.cursor = committed;
        }
        if was_behind && !state.all_behind() {
            self.shared.passed.notify_waiters();
        }
        let was_roomy = self.shared.roomy(state);
        state.trim(self.shared.history());
        if !was_roomy && self.shared.roomy(state) {
            self.shared.space.notify_waiters();
        }
        Ok(())
    }

    fn record(&self, settlements: &mut Vec<Settlement>) {
        if settlements.is_empty() {
            return;
        }
        let at = SystemTime::now();
        let ended = |settlement| Ended { processor: Arc::clone(&self.name), settlement, at };
        self.shared.lock().ended.extend(settlements.drain(..).map(ended));
    }
}

struct MemoryHistory(Arc<Shared>);

#[async_trait]
impl History for MemoryHistory {
    fn span(&self) -> (Position, Position) {
        let state = self.0.lock();
        (Position(state.before_first), Position(state.newest()))
    }

    async fn read(&self, after: Position, limits: BatchLimits) -> Result<Vec<Entry>, JournalError> {
        Ok(self.0.lock().read(after, limits))
    }

    async fn readable(&self, after: Position) -> Result<(), JournalError> {
        self.0.readable(after).await
    }

    async fn before(&self, time: SystemTime) -> Result<Position, JournalError> {
        Ok(Position(self.0.lock().before(time)))
    }

    async fn find(&self, id: &str) -> Result<Option<Found>, JournalError> {
        let state = self.0.lock();
        let found = state.entries.iter().rev().find(|(entry, _)| entry.event.id() == id);
        Ok(found.map(|(entry, journaled)| Found { entry: entry.clone(), journaled: *journaled }))
    }

    async fn ended(&self, event: &Found) -> Result<Vec<Ended>, JournalError> {
        let position = event.entry.position;
        let state = self.0.lock();
        Ok(state.ended.iter().filter(|ended| ended.settlement.position == position).cloned().collect())
    }
}
