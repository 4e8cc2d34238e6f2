//! One visible loop for every processor: read, route, attempt, retry, set aside, commit.
//!
//! A processor's cursor is a front and lanes. The front reads the journal and
//! decides who wants each event. What it waits for is its window, bounded
//! by a span. A target that does not answer, or that falls a span behind, gets
//! a lane: the front passes what it is owed, and a second reader reads it again
//! when it can be delivered. Each target's track holds what it is owed now.

mod run;
#[cfg(test)]
mod tests;
mod track;
mod window;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;

pub use run::Delivery;
pub use run::again::{Resent, Retry};
pub use run::explain::{Owed, Question, Standing, Waits};

pub use crate::config::delivery::{Options, Ordering};

use crate::event::Event;
use crate::processor::Late;

/// Whether the processor is not for this event, so that nobody there wants it.
#[must_use]
pub fn excludes(options: &Options, event: &Event) -> bool {
    options.filter.as_ref().is_some_and(|filter| !filter.pattern().matches(event))
}

/// The bound of the first wait after a failure.
const FIRST_RETRY: Duration = Duration::from_millis(100);

/// No wait between attempts is longer, unless the target asks for it.
const MOST_RETRY: Duration = Duration::from_secs(10);

/// How many events, and bytes of them, are held at once.
#[derive(Clone, Copy, Debug)]
struct Room {
    events: usize,
    bytes: usize,
}

/// A span: what the front may be ahead of its oldest open event, and what a lane holds.
const SPAN: Room = Room { events: 2048, bytes: 4 * 1024 * 1024 };

/// Where attempts carry several events, the front's span is as many times what may be under way at once, if that is more:
/// batches are filled from different entities, and of several events of one, one may go.
const WAVES: usize = 8;

/// But never longer than this.
const MOST_SPAN: usize = 2 * SPAN.events;

/// What a lane holds of a target that does not answer.
const ROOM_OPEN: Room = Room { events: 64, bytes: 256 * 1024 };

/// How many events that could go at once are at hand to probe a target with.
const PROBES: usize = 8;

/// What all lanes hold together; each may hold [`ROOM_OPEN`] even so.
const LANES_BYTES: usize = 32 * 1024 * 1024;

/// So many bytes in the front count as a full one, too: streams keep pace with it, so there may be no more to read.
const HELD: usize = 256 * 1024;

/// What an event takes, about, before any is known.
const EVENT: usize = SPAN.bytes / SPAN.events;

/// A full front whose oldest event is open for this long gives its target a lane.
const STUCK: Duration = Duration::from_millis(500);

/// How long a report of an outcome may wait to be taken. Queues do not report twice.
const REPORT: Duration = Duration::from_secs(5);

/// The longest wait that a target may ask for with `Retry-After`.
const MOST_ASKED: Duration = Duration::from_secs(60 * 60);

/// Where late outcomes are reported. Bounded: who cannot report now is asked to come again.
#[derive(Clone, Debug)]
pub struct Settler(mpsc::Sender<Errand>);

/// What a delivery is asked from outside.
#[derive(Debug)]
enum Errand {
    Late(Late),
    Retry(Retry),
    Explain(Question),
}

impl Settler {
    /// Reports an outcome; gives it back if there are too many at once or the delivery has ended.
    ///
    /// # Errors
    /// The outcome, to be reported again later.
    pub async fn settle(&self, late: Late) -> Result<(), Late> {
        self.0.send_timeout(Errand::Late(late), REPORT).await.or_else(|error| match error {
            SendTimeoutError::Timeout(Errand::Late(late)) | SendTimeoutError::Closed(Errand::Late(late)) => Err(late),
            _ => Ok(()),
        })
    }

    /// Has a dead letter sent again. Where nobody takes it in time, whoever waits is told nothing.
    pub async fn retry(&self, retry: Retry) {
        drop(self.0.send_timeout(Errand::Retry(retry), REPORT).await);
    }

    /// Asks where an event stands. Where nobody takes it in time, whoever waits is told nothing.
    pub async fn explain(&self, question: Question) {
        drop(self.0.send_timeout(Errand::Explain(question), REPORT).await);
    }
}
