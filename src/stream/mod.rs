//! Where events come from.

pub mod vcenter;

use async_trait::async_trait;

use crate::journal::Appender;

/// A source of events. It runs until [`Appender::stop`] is cancelled: whatever
/// upstream does, it comes back.
#[async_trait]
pub trait EventStream: Send {
    /// Reads upstream and appends. Returns early only with what no waiting can
    /// mend; the router then starts it again with backoff.
    async fn run(&mut self, out: &Appender) -> Result<(), StreamError>;

    /// Connects, looks, and reports, for the `check` command.
    async fn check(&mut self, report: &mut crate::report::Report);
}

/// Why a stream ended by itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StreamError(pub String);
