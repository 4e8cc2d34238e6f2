//! What can go wrong on demand: the words for it, when it shall happen, and what is going wrong at present.

mod schedule;
mod soap_kinds;
mod text;
mod troubles;

use std::time::Duration;

pub use text::{FORMS, WHENS, WordsError};

pub(super) use schedule::Schedule;
pub(super) use troubles::Troubles;

/// What can go wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Every session ends, and with it its collectors and filters.
    SessionExpiry,
    /// vpxd starts anew: connections break, sessions are gone, for a while a proxy answers in its place.
    Restart {
        /// It comes up with an empty database, and keys begin at 1 again.
        new_keys: bool,
        /// How long it is away.
        away: Duration,
    },
    /// The same, and the database is that of so many events ago.
    Restore {
        /// How many of the newest events are gone.
        events: u64,
        /// How long it is away.
        away: Duration,
    },
    /// One call is never answered.
    Hang,
    /// Every connection that is open falls silent, and stays open.
    HalfOpen,
    /// A page of events breaks off.
    Truncated,
    /// A proxy answers with HTML and 503.
    Unavailable(Duration),
    /// One call gets a SOAP fault.
    Soap {
        /// Its type, such as `InvalidState`.
        kind: String,
        /// The method that gets it; any if none is named.
        method: Option<String>,
    },
    /// So many events in a row are such that the user may not see them.
    Hidden(u64),
    /// Keys jump to just before 2147483647, and wrap.
    KeyWrap,
    /// So many events come late: older than what was read already, with lower keys.
    Late {
        /// How many.
        events: u64,
        /// How old they are.
        age: Duration,
    },
    /// So many events have one and the same time.
    EqualTimes(u64),
    /// The clock is set, by so many seconds, forwards or back. What happens from then on has the new time.
    Clock(i64),
    /// So many events of a class that nobody knows.
    UnknownType(u64),
    /// So many events that cannot be decoded: a value that is none, a character that no XML holds.
    Undecodable(u64),
    /// Every answer takes longer.
    Slow {
        /// By so much.
        by: Duration,
        /// For how long this goes on.
        lasts: Duration,
    },
    /// No collector can be created: others have taken all.
    TooManyCollectors(Duration),
    /// Every login is refused.
    Login(Duration),
    /// Sessions end, and all but the newest events are deleted, as if nobody had read for longer than they are kept.
    Expired {
        /// So many are left.
        keep: u64,
    },
}

/// When a fault happens. Events are those that happen by themselves, and are counted from when the fault was planned;
/// so is time.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// At once.
    Now,
    /// When so many events have happened.
    Event(u64),
    /// After every so many events.
    EveryEvents(u64),
    /// At so many random moments among so many events; the seed decides which.
    Random(u64, u64),
    /// So much later.
    After(Duration),
    /// Again and again after so long.
    Every(Duration),
}

/// A fault, and when. Its text is `FAULT` or `FAULT@WHEN`.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// What.
    pub fault: Fault,
    /// When.
    pub when: When,
}

/// What becomes of one call, in place of its answer or besides.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Disturbance {
    /// This SOAP fault is the answer.
    Fault(super::soap::Fault),
    /// A proxy's page is the answer, with status 503.
    Unavailable,
    /// There is no answer, ever; the connection stays open.
    Hang,
    /// The call is done, and its answer comes so much later.
    Delay(Duration),
    /// The call is done, and its answer breaks off: the connection ends before the announced length.
    CutOff,
    /// The call is done, and its answer breaks off, but looks complete to HTTP.
    CutShort,
}
