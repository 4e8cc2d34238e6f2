//! How long everything takes and waits. Tests use shorter times.

use std::time::Duration;

/// The intervals and bounds of a vCenter stream.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a call may take.
    pub call: Duration,
    /// How long a call may take that answers with a page of events.
    pub page: Duration,
    /// How long vCenter holds a wait for updates; whole seconds.
    pub max_wait: Duration,
    /// The pause between reads after one that brought something; it grows by half from read to read.
    pub hot: Duration,
    /// The longest pause between reads: the safety net below the wake-up.
    pub poll: Duration,
    /// How often to look back for late events while drained.
    pub look_back: Duration,
    /// How often to look back while reading history.
    pub look_back_busy: Duration,
    /// Looking back leaves the newest events to the main collector.
    pub margin: Duration,
    /// How far before the newest event reading resumes.
    pub overlap: Duration,
    /// How long there may be evidence of events that reading does not bring.
    pub stall: Duration,
    /// A session that has lived for so long was no failure.
    pub stable: Duration,
    /// The first wait after a failure.
    pub retry_first: Duration,
    /// The longest wait after a failure.
    pub retry_most: Duration,
    /// The longest wait after the journal failed: its disk is ours, and until it is back nothing is read.
    pub journal_most: Duration,
    /// The first wait after a refused login: accounts get locked.
    pub refused_first: Duration,
    /// How long cleaning up may take when the stream ends.
    pub stop: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(30),
            page: Duration::from_secs(60),
            max_wait: Duration::from_secs(30),
            hot: Duration::from_millis(2),
            poll: Duration::from_secs(1),
            look_back: Duration::from_secs(30),
            look_back_busy: Duration::from_secs(120),
            margin: Duration::from_secs(5),
            overlap: Duration::from_secs(60),
            stall: Duration::from_secs(10),
            stable: Duration::from_secs(30),
            retry_first: Duration::from_millis(100),
            retry_most: Duration::from_secs(15),
            journal_most: Duration::from_secs(3),
            refused_first: Duration::from_secs(5),
            stop: Duration::from_secs(3),
        }
    }
}

/// A duration in microseconds, as vCenter's times are counted.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
