//! Dead letters: events that could not be delivered, kept where the operator sees them.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;

use super::{Entry, JournalError};
use crate::attempt::{Position, Reason, Target};

/// Which letter it is: a later one of the same overwrites it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId {
    /// The event's place.
    pub position: Position,
    /// The processor's name.
    pub processor: Arc<str>,
    /// Whom the event was for.
    pub target: Target,
}

impl fmt::Display for LetterId {
    /// Short enough to be typed: the place, and what tells apart the letters of one event.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hasher = crc32fast::Hasher::new();
        for part in [&*self.processor, self.target.as_str()] {
            hasher.write(part.as_bytes());
            hasher.write(&[0]);
        }
        write!(f, "{}-{:08x}", self.position, hasher.finalize())
    }
}

/// An event that could not be delivered, whole, and why.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The processor's name.
    pub processor: Arc<str>,
    /// Whom the event was for.
    pub target: Target,
    /// The event and its place.
    pub entry: Entry,
    /// Attempts made.
    pub attempts: u32,
    /// What the last one came to.
    pub why: Reason,
    /// When it was set aside.
    pub since: SystemTime,
}

impl DeadLetter {
    /// Which one it is.
    #[must_use]
    pub fn id(&self) -> LetterId {
        LetterId { position: self.entry.position, processor: Arc::clone(&self.processor), target: self.target.clone() }
    }
}

/// Where to read on among the letters; the default is their beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LettersPlace(pub u64);

/// Keeps what could not be delivered.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Keeps a letter, durable on return where the journal is. The same event for the same target overwrites.
    ///
    /// # Errors
    /// There is no room for it, or it cannot be written.
    async fn keep(&self, letter: DeadLetter) -> Result<(), JournalError>;

    /// Lets letters go; how many of them there were.
    ///
    /// # Errors
    /// That cannot be written.
    async fn discard(&self, letters: Vec<LetterId>) -> Result<usize, JournalError>;

    /// Some letters behind a place, in the order in which they were set aside, and the place behind them; no letters
    /// where there are no more.
    ///
    /// # Errors
    /// They cannot be read.
    async fn read(&self, after: LettersPlace) -> Result<(Vec<DeadLetter>, LettersPlace), JournalError>;

    /// Which letters there are, by event.
    fn ids(&self) -> Vec<LetterId>;

    /// One letter, if it is there.
    ///
    /// # Errors
    /// It cannot be read.
    async fn get(&self, letter: &LetterId) -> Result<Option<DeadLetter>, JournalError>;

    /// How many there are, and how many bytes they occupy.
    fn held(&self) -> (u64, u64);
}

/// Letters in memory.
pub(super) struct MemoryLetters {
    max_bytes: u64,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    letters: BTreeMap<LetterId, (u64, DeadLetter)>,
    next: u64,
    bytes: u64,
}

impl MemoryLetters {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self { max_bytes, held: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn remove(&mut self, id: &LetterId) -> bool {
        let Some((_, letter)) = self.letters.remove(id) else { return false };
        self.bytes -= letter.entry.event.size() as u64;
        true
    }
}

/// There is no room for another letter.
pub(super) fn full(used: u64, max: u64) -> JournalError {
    JournalError::NoRoomForLetters { used, max }
}

#[async_trait]
impl DeadLetters for MemoryLetters {
    async fn keep(&self, letter: DeadLetter) -> Result<(), JournalError> {
        let mut held = self.lock();
        let (id, size) = (letter.id(), letter.entry.event.size() as u64);
        held.remove(&id);
        if held.bytes + size > self.max_bytes && !held.letters.is_empty() {
            return Err(full(held.bytes, self.max_bytes));
        }
        held.next += 1;
        held.bytes += size;
        let number = held.next;
        held.letters.insert(id, (number, letter));
        Ok(())
    }

    async fn discard(&self, letters: Vec<LetterId>) -> Result<usize, JournalError> {
        let mut held = self.lock();
        Ok(letters.iter().filter(|id| held.remove(id)).count())
    }

    async fn read(&self, after: LettersPlace) -> Result<(Vec<DeadLetter>, LettersPlace), JournalError> {
        let held = self.lock();
        let mut found: Vec<_> = held.letters.values().filter(|(number, _)| *number > after.0).cloned().collect();
        found.sort_by_key(|(number, _)| *number);
        let last = found.last().map_or(after, |(number, _)| LettersPlace(*number));
        Ok((found.into_iter().map(|(_, letter)| letter).collect(), last))
    }

    fn ids(&self) -> Vec<LetterId> {
        self.lock().letters.keys().cloned().collect()
    }

    async fn get(&self, letter: &LetterId) -> Result<Option<DeadLetter>, JournalError> {
        Ok(self.lock().letters.get(letter).map(|(_, letter)| letter.clone()))
    }

    fn held(&self) -> (u64, u64) {
        let held = self.lock();
        (held.letters.len() as u64, held.bytes)
    }
}
