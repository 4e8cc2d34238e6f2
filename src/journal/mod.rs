//! The journal: the hinge between streams and processors.
//!
//! A stream's duty ends when its events are durable here; a processor's begins
//! here. [`Journal`] is the contract that every engine keeps; streams append
//! through an [`Appender`], delivery reads through a [`Cursor`].

mod checkpoint;
pub mod config;
pub mod embedded;
pub mod history;
mod letters;
pub mod memory;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
mod times;

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use checkpoint::SAME_EVENT_MICROS;
pub use checkpoint::{Checkpoint, CheckpointDelta, HORIZON_MICROS, MOST_REMEMBERED, Recent};
pub use history::{Ended, Found, History};
pub use letters::{DeadLetter, DeadLetters, LetterId, LettersPlace};

use crate::attempt::{BatchLimits, Position, Target};
use crate::event::Event;
use crate::telemetry::StreamStatus;

/// What a stream hands over at once: durable together or not at all.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The stream's name.
    pub stream: Arc<str>,
    /// Events in the order upstream gave them. May be empty.
    pub events: Vec<Event>,
    /// The change to the stream's checkpoint; none for streams without one.
    pub checkpoint: Option<CheckpointDelta>,
}

/// The names of places that belong to replays begin with this: they are kept though they are not configured, until they
/// are forgotten.
pub const REPLAY: &str = "replay/";

/// Whether what has this place is at work: a processor that is configured, or a replay.
fn is_active(name: &Arc<str>, processors: &[Arc<str>]) -> bool {
    processors.contains(name) || name.starts_with(REPLAY)
}

/// The streams and processors that are configured, by name. What a journal holds of others is dormant: it is kept, and
/// pins nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configured {
    /// Streams.
    pub streams: Vec<Arc<str>>,
    /// Processors.
    pub processors: Vec<Arc<str>>,
}

/// An event in the journal.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place.
    pub position: Position,
    /// The event.
    pub event: Event,
}

/// Where a processor that the journal does not know yet begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Behind the newest event; in an empty journal, at its very beginning.
    End,
    /// At the oldest event that is kept.
    Oldest,
    /// At the first event journaled at or after a moment.
    Time(SystemTime),
    /// Behind this place, or at the oldest event that is kept.
    Behind(Position),
}

/// A processor's durable place: a front, and the lanes of targets that are behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CursorState {
    /// Every event at or below it is settled, or owed by a lane.
    pub front: Position,
    /// The targets that are behind, each with the position through which its events are settled.
    pub lanes: Vec<(Target, Position)>,
}

impl CursorState {
    /// The lowest position that is settled for every target: what lies above it is pinned.
    #[must_use]
    pub fn settled_through(&self) -> Position {
        self.lanes.iter().map(|(_, through)| *through).fold(self.front, Position::min)
    }
}

/// How one event ended at one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The event's place.
    pub position: Position,
    /// Whom it was for; nobody, if it was unwanted.
    pub target: Option<Target>,
    /// How it ended.
    pub end: End,
    /// Attempts made.
    pub attempts: u32,
    /// The last HTTP status or its like, if there was one.
    pub status: Option<u16>,
}

/// The ways in which an event can be done with at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The target has it.
    Delivered,
    /// It is set aside where the operator sees it.
    DeadLettered,
    /// The target is gone.
    Unsubscribed,
    /// No target of the processor wanted it.
    Unwanted,
}

/// Why the journal refused or failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// No space: wait until deliveries give some back.
    #[error("the journal is full: {used} of {max} bytes are undelivered, pinned by {pinned_by}")]
    Full {
        /// Bytes that are in use.
        used: u64,
        /// Bytes that may be.
        max: u64,
        /// The processor (and target) that is furthest behind.
        pinned_by: String,
    },
    /// No room for another dead letter: wait until some are sent again or discarded.
    #[error("{used} of {max} bytes are dead letters: there is no room for another; retry or discard some")]
    NoRoomForLetters {
        /// Bytes that are in use.
        used: u64,
        /// Bytes that may be.
        max: u64,
    },
    /// Another router writes this journal now: stop.
    #[error("another router has taken over this journal")]
    Fenced,
    /// The stream or processor is leased to another router: wait.
    #[error("{what} is run by another router")]
    NotOwner {
        /// The stream or processor.
        what: String,
    },
    /// Another process has it open: wait, or give this one a journal of its own.
    #[error("the journal in {folder} is in use by {owner}: end that, or give this router a journal of its own")]
    InUse {
        /// Where it is.
        folder: String,
        /// Who has it.
        owner: String,
    },
    /// The journal is not open yet, or was closed for shutdown.
    #[error("the journal is closed")]
    Closed,
    /// What was durable is not what it was.
    #[error("the journal is damaged: {0}; stop the router and run vmware-event-router journal repair")]
    Damaged(String),
    /// The storage failed. Nothing of the batch may be assumed durable.
    #[error("the journal could not {what}: {why}")]
    Io {
        /// What it tried.
        what: String,
        /// What the system said.
        why: String,
    },
}

/// The journal's figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// The engine's name.
    pub engine: &'static str,
    /// Events kept.
    pub events: u64,
    /// Events of them that somebody waits for.
    pub undelivered: u64,
    /// Bytes kept.
    pub bytes: u64,
    /// Bytes of them that somebody waits for.
    pub pinned_bytes: u64,
    /// Bytes that may be kept.
    pub max_bytes: u64,
    /// Events ever appended by this run.
    pub appended: u64,
    /// The newest event's place.
    pub newest: Position,
    /// The oldest place that is not settled everywhere, and by whom it is pinned.
    pub pinned_by: Option<String>,
    /// Dead letters, and the bytes that they occupy.
    pub letters: (u64, u64),
    /// What keeps events from being appended, if anything does.
    pub trouble: Option<String>,
}

/// What every journal engine promises. Positions grow in the order of
/// acknowledged appends; readers see acknowledged events only.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Makes it ready for use. Called once before anything else, and again after an error.
    ///
    /// # Errors
    /// It cannot be used yet.
    async fn open(&self) -> Result<(), JournalError> {
        Ok(())
    }

    /// How much one [`Batch`] may carry.
    fn max_batch(&self) -> BatchLimits;

    /// Appends a batch: when this returns, its events and its checkpoint are
    /// durable together. The position is the last event's, or the newest one's
    /// where the batch holds none. After an error the stream must forget what it
    /// remembers and begin at [`Journal::checkpoint`].
    ///
    /// The events are taken out of `batch`, except when the journal is full, which
    /// it is for a batch that would exceed its bound. (Below nine tenths a batch is
    /// always taken: it is bounded by [`Journal::max_batch`] or is a single event.)
    async fn append(&self, batch: &mut Batch) -> Result<Position, JournalError>;

    /// [`JournalError::Full`] from nine tenths on: who can wait waits then.
    fn check_space(&self) -> Result<(), JournalError>;

    /// Waits until less than nine tenths of the journal are in use.
    async fn space(&self);

    /// Waits while even the processor that is furthest has much before it ([`Cursor::reach`]): what nobody can use yet
    /// need not be here yet. An engine that is durable waits for a moment only. Returns at once where there is no processor.
    async fn pace(&self);

    /// The stream's durable place, if it has one.
    async fn checkpoint(&self, stream: &str) -> Result<Option<Checkpoint>, JournalError>;

    /// Gives a stream without a checkpoint that of one which is not configured any more and read the same vCenter:
    /// durable on return. Says whose it was.
    async fn adopt(&self, _stream: &str, _instance: Uuid) -> Result<Option<Arc<str>>, JournalError> {
        Ok(None)
    }

    /// Opens the processor's cursor where it was, or at `begin` if it is new; it is durable on return.
    async fn cursor(&self, processor: &str, begin: Begin) -> Result<Arc<dyn Cursor>, JournalError>;

    /// Forgets the processor's place, for good: nothing is kept for it from now on. No cursor of it may be in use.
    ///
    /// # Errors
    /// That cannot be written.
    async fn forget(&self, processor: &str) -> Result<(), JournalError>;

    /// The place where dead letters are kept.
    ///
    /// # Errors
    /// The journal is not open.
    fn dead_letters(&self) -> Result<Arc<dyn DeadLetters>, JournalError>;

    /// What the journal still has of what has been.
    ///
    /// # Errors
    /// The journal is not open.
    fn history(&self) -> Result<Arc<dyn History>, JournalError>;

    /// The places of all processors that the journal knows, configured or not, by name.
    fn places(&self) -> Vec<(Arc<str>, CursorState)>;

    /// The key that signs callbacks, kept as long as the journal itself.
    fn signing_key(&self) -> [u8; 32];

    /// The folder that it is in, if it is in one.
    fn folder(&self) -> Option<&Path> {
        None
    }

    /// The journal's figures.
    fn stats(&self) -> JournalStats;

    /// Syncs what is not yet durable and refuses everything after.
    async fn close(&self) -> Result<(), JournalError>;
}

/// A processor's reading place.
#[async_trait]
pub trait Cursor: Send + Sync {
    /// The durable place, as of opening or of the last commit.
    fn state(&self) -> CursorState;

    /// What was settled above the durable place before a crash, so that it is not sent again.
    fn settled(&self) -> Vec<(Position, Target)>;

    /// Entries behind `after`, oldest first, within `limits`; at once, and none if there are none.
    /// `after` need not be the place of an entry.
    async fn read(&self, after: Position, limits: BatchLimits) -> Result<Vec<Entry>, JournalError>;

    /// Waits until there is an entry behind `after`.
    async fn readable(&self, after: Position) -> Result<(), JournalError>;

    /// The newest entry's place.
    fn newest(&self) -> Position;

    /// How many entries lie behind `after`.
    fn waiting(&self, after: Position) -> u64;

    /// So many bytes of entries above the front are as many as this processor can use, half a mebibyte at least:
    /// streams need not read on for it ([`Journal::pace`]). A small journal may make less of it.
    fn reach(&self, bytes: u64);

    /// Moves the durable place; called often and cheap, an engine may sync it about once a second.
    /// What no cursor needs any more may be let go.
    async fn commit(&self, state: CursorState) -> Result<(), JournalError>;

    /// Writes down how events ended, soon and without a sync; takes them all.
    fn record(&self, settlements: &mut Vec<Settlement>);
}

/// What counts as much before a processor, unless it can use more, in bytes. Half a page or less: what is read meanwhile
/// lies ready, and is appended before this is delivered.
const AHEAD: u64 = 512 * 1024;

/// Builds the journal, for what is configured. It is not open yet, and nothing is read or written.
#[must_use]
pub fn build(config: config::Config, configured: Configured) -> Arc<dyn Journal> {
    match config {
        config::Config::Memory { max_bytes } => Arc::new(memory::MemoryJournal::new(max_bytes)),
        config::Config::Embedded { folder: Some(folder), settings } => {
            let journal = embedded::EmbeddedJournal::new(&folder, settings, configured.processors);
            Arc::new(journal.of_streams(configured.streams))
        }
        // Who does not settle where it is, wants none.
        config::Config::Unsaid | config::Config::Embedded { folder: None, .. } => {
            build(config::Config::memory(), configured)
        }
    }
}

/// A stream's way into the journal.
pub struct Appender {
    journal: Arc<dyn Journal>,
    stream: Arc<str>,
    status: Arc<StreamStatus>,
    stop: CancellationToken,
}

impl Appender {
    /// For the stream of that name, which ends when `stop` is cancelled.
    #[must_use]
    pub fn new(
        journal: Arc<dyn Journal>,
        stream: Arc<str>,
        status: Arc<StreamStatus>,
        stop: CancellationToken,
    ) -> Self {
        Self { journal, stream, status, stop }
    }

    /// The stream's name.
    #[must_use]
    pub fn stream(&self) -> &Arc<str> {
        &self.stream
    }

    /// Where the stream tells how it fares.
    #[must_use]
    pub fn status(&self) -> &Arc<StreamStatus> {
        &self.status
    }

    /// Cancelled when the stream shall end.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// The stream's durable place.
    pub async fn checkpoint(&self) -> Result<Option<Checkpoint>, JournalError> {
        self.journal.checkpoint(&self.stream).await
    }

    /// Takes over the checkpoint of a stream which is not configured any more and read the same vCenter. Says whose it
    /// was, if there was one.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub async fn adopt(&self, instance: Uuid) -> Result<Option<Arc<str>>, JournalError> {
        self.journal.adopt(&self.stream, instance).await
    }

    /// Waits until the processor that is furthest has little before it: who makes
    /// events of what it has read only then holds them no longer than must be.
    ///
    /// # Errors
    /// [`JournalError::Closed`]: the stream is stopped.
    pub async fn pace(&self) -> Result<(), JournalError> {
        tokio::select! {
            () = self.journal.pace() => Ok(()),
            () = self.stop.cancelled() => Err(JournalError::Closed),
        }
    }

    /// Appends the events and the checkpoint that follows from them; durable on
    /// return. Waits as long as the journal is full, unless the stream is
    /// stopped ([`JournalError::Closed`]). What exceeds the journal's batch is
    /// appended in parts, the times that reading has come to with the last of them.
    pub async fn append(
        &self,
        mut events: Vec<Event>,
        checkpoint: Option<CheckpointDelta>,
    ) -> Result<Position, JournalError> {
        let limits = self.journal.max_batch();
        let (mut in_parts, mut place_of_parts) = (false, (i64::MAX, i64::MAX, None));
        loop {
            let rest = split(&mut events, limits);
            let last = rest.is_empty();
            let mut delta = checkpoint.clone();
            if !last && let Some(delta) = &mut delta {
                // A crash between two parts must find the rest when it reads again.
                if !std::mem::replace(&mut in_parts, true) {
                    let before = self.checkpoint().await?;
                    place_of_parts = before.map_or((delta.horizon, delta.horizon, None), |before| {
                        (before.resume, before.newest, before.last)
                    });
                }
                delta.resume = delta.resume.min(place_of_parts.0);
                delta.newest = delta.newest.min(place_of_parts.1);
                delta.last = place_of_parts.2;
                delta.horizon = delta.horizon.min(delta.resume);
            }
            let position = self.append_part(events, delta).await?;
            if last {
                return Ok(position);
            }
            events = rest;
        }
    }

    async fn append_part(
        &self,
        events: Vec<Event>,
        checkpoint: Option<CheckpointDelta>,
    ) -> Result<Position, JournalError> {
        let mut batch = Batch { stream: Arc::clone(&self.stream), events, checkpoint };
        if !batch.events.is_empty() {
            self.pace().await?;
        }
        loop {
            // A checkpoint alone needs no space.
            let space = if batch.events.is_empty() { Ok(()) } else { self.journal.check_space() };
            let full = match space {
                Err(full) => full,
                Ok(()) => match self.journal.append(&mut batch).await {
                    Err(full @ JournalError::Full { .. }) => full,
                    other => {
                        self.status.journal_has_space();
                        return other;
                    }
                },
            };
            self.status.journal_full(&full);
            tokio::select! {
                () = self.journal.space() => {}
                () = self.stop.cancelled() => return Err(JournalError::Closed),
            }
        }
    }
}

/// Leaves in `events` what fits one batch and returns the rest.
fn split(events: &mut Vec<Event>, limits: BatchLimits) -> Vec<Event> {
    let mut bytes = 0;
    for (i, event) in events.iter().enumerate() {
        bytes += event.size();
        if i > 0 && (i >= limits.events || bytes > limits.bytes) {
            return events.split_off(i);
        }
    }
    Vec::new()
}
