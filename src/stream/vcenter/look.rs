//! Looking back for events that came late: with an old CreatedTime, behind the main collector's place.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::collector::PAGE;
use super::place::Clock;
use super::session::Session;
use super::wire::CallError;
use crate::vim25::soap::Ref;

/// Pages of one look; the next goes on where it ended.
const MOST_PAGES: u32 = 10;

/// One step of a look.
pub(super) enum Step {
    /// A page, unread, and vCenter's clock when the look began.
    Page { collector: Ref, body: Bytes, clock: Option<Clock> },
    /// The look is over.
    Over,
}

type Future = Pin<Box<dyn std::future::Future<Output = Result<Step, CallError>> + Send>>;

/// A look that is under way.
pub(super) struct Look {
    pub(super) future: Future,
    /// Events from here on are looked for.
    pub(super) from: i64,
    /// What is newer is left to the main collector.
    pub(super) until: i64,
    pages: u32,
}

impl Look {
    pub(super) fn begin(session: &Arc<Session>, types: &Arc<[String]>, from: i64, until: i64) -> Self {
        let (session, types) = (Arc::clone(session), Arc::clone(types));
        let future = Box::pin(async move {
            let clock = Some(session.clock().await?);
            let collector = session.create_collector(from, None, &types).await?;
            let body = read(&session, &collector).await?;
            Ok(Step::Page { collector, body, clock })
        });
        Self { future, from, until, pages: 0 }
    }

    /// Goes on after a page of `count` events of which the newest was created then. Where the next look begins, if this
    /// one has read as much as one may.
    pub(super) fn next(
        &mut self,
        session: &Arc<Session>,
        collector: Ref,
        count: usize,
        newest: Option<i64>,
    ) -> Option<i64> {
        self.pages += 1;
        let session = Arc::clone(session);
        let at_end = count == 0 || newest.is_some_and(|newest| newest > self.until);
        if at_end || self.pages >= MOST_PAGES {
            self.future = Box::pin(async move {
                session.destroy(&collector).await?;
                Ok(Step::Over)
            });
            // A moment with more events than one look reads must not hold up all looks to come.
            return newest.filter(|_| !at_end).map(|newest| newest.max(self.from.saturating_add(1)));
        }
        self.future = Box::pin(async move {
            let body = read(&session, &collector).await?;
            Ok(Step::Page { collector, body, clock: None })
        });
        None
    }
}

/// The next page; after a failure the collector is given back, since the look ends with it.
async fn read(session: &Session, collector: &Ref) -> Result<Bytes, CallError> {
    let read = session.read_next(collector, PAGE).await;
    if let Err(error) = &read
        && !error.session_gone()
        && let Err(error) = session.destroy(collector).await
    {
        tracing::debug!(%error, "a collector could not be destroyed");
    }
    read
}

/// When to look, and where.
#[derive(Debug)]
pub(super) struct LookPlan {
    last: Instant,
    /// Where the last look ended, if there was more than it could read.
    resume: Option<i64>,
}

impl LookPlan {
    /// The first look is due an interval from now: at the start, the overlap does its work.
    pub(super) fn new() -> Self {
        Self { last: Instant::now(), resume: None }
    }

    /// When the next look is due.
    pub(super) fn due(&self, every: Duration) -> Instant {
        self.last + every
    }

    /// A look begins, or there is nothing to look at. Where it begins, not before `earliest`.
    pub(super) fn start(&mut self, earliest: i64) -> i64 {
        self.last = Instant::now();
        self.resume.take().map_or(earliest, |resume| resume.max(earliest))
    }

    /// The next look goes on there.
    pub(super) fn go_on_at(&mut self, at: Option<i64>) {
        self.resume = at;
    }
}
