//! What has been: for whoever looks on, and is not a processor.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;

use super::{Entry, JournalError, Settlement};
use crate::attempt::{BatchLimits, Position};

/// An event that was looked for.
#[derive(Clone, Debug)]
pub struct Found {
    /// The event, and its place.
    pub entry: Entry,
    /// When it was journaled.
    pub journaled: SystemTime,
}

/// How an event ended at a processor, and when that was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Whose it is: the cursor's name.
    pub processor: Arc<str>,
    /// How it ended.
    pub settlement: Settlement,
    /// When.
    pub at: SystemTime,
}

/// The events that the journal still has. Reading them keeps nothing from being let go.
#[async_trait]
pub trait History: Send + Sync {
    /// The place before the oldest event that is kept, and the newest event's.
    fn span(&self) -> (Position, Position);

    /// Entries behind `after`, oldest first, within `limits`; at once, and none if there are none. `after` need not be
    /// the place of an entry, and what lies before the span is left out.
    async fn read(&self, after: Position, limits: BatchLimits) -> Result<Vec<Entry>, JournalError>;

    /// Waits until there is an entry behind `after`.
    async fn readable(&self, after: Position) -> Result<(), JournalError>;

    /// The place before the first event that was journaled at that time or later.
    async fn before(&self, time: SystemTime) -> Result<Position, JournalError>;

    /// The newest event with this id.
    async fn find(&self, id: &str) -> Result<Option<Found>, JournalError>;

    /// How this event ended wherever it has, as far as that is known; oldest first.
    async fn ended(&self, event: &Found) -> Result<Vec<Ended>, JournalError>;
}
