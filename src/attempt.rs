//! The words that journal, delivery and processors share: a place, a target, an attempt and its outcome.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::event::Event;

/// An event's place in the journal: opaque, ordered, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How much one batch may carry. A single event is carried whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Events at most; at least 1.
    pub events: usize,
    /// Bytes at most, as [`Event::size`] counts them.
    pub bytes: usize,
}

/// What a processor delivers one event to: a function, a bus, a URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(Arc<str>);

impl Target {
    /// The target of that name, unique within its processor.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One event to be attempted at one target.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The event.
    pub event: Event,
    /// Its place in the journal.
    pub position: Position,
    /// 1 for the first attempt that counts.
    pub attempt: u32,
}

/// How one attempt ended for one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target has it.
    Delivered {
        /// The status that said so.
        status: Option<u16>,
    },
    /// The target took it and will say later how it went, by `settle`.
    Accepted {
        /// How long to wait for that.
        within: Duration,
    },
    /// The target's fault: waits, does not count as an attempt, opens the circuit.
    Busy {
        /// The wait that the target asked for.
        after: Option<Duration>,
        /// What happened.
        why: Reason,
    },
    /// Perhaps the event's fault: counts as an attempt.
    Failed {
        /// The wait that the target asked for.
        after: Option<Duration>,
        /// What happened.
        why: Reason,
    },
    /// The target will never take it.
    Rejected {
        /// What happened.
        why: Reason,
    },
}

/// What happened, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The HTTP status or its like, if there was an answer.
    pub status: Option<u16>,
    /// What happened, in words; holds no secret.
    pub text: String,
}
