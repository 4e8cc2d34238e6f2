//! A part of the journal, as a delivery sees it: a processor that wants no more than the replay, and a cursor that ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderMap;
use tokio_util::sync::CancellationToken;

use crate::admin::api::replay::Part;
use crate::attempt::{BatchLimits, Delivery, Outcome, Position, Target};
use crate::event::Event;
use crate::journal::{Cursor, CursorState, End, Entry, JournalError, Settlement};
use crate::pattern::Pattern;
use crate::processor::{Late, Processor, Routes, Targets};
use crate::report::Report;

/// A processor that wants what is replayed.
pub(super) struct Partial {
    inner: Arc<dyn Processor>,
    meant: Arc<Meant>,
    /// What was made of the processor's routes as they were last.
    last: Mutex<Option<Last>>,
}

/// Routes, and those of the processor that they were made of.
struct Last {
    of: Arc<dyn Routes>,
    routes: Arc<dyn Routes>,
}

/// Which events, for whom.
struct Meant {
    pattern: Option<Pattern>,
    target: Option<Target>,
    nobody: Targets,
}

struct PartialRoutes {
    inner: Arc<dyn Routes>,
    meant: Arc<Meant>,
}

impl Partial {
    /// # Errors
    /// The pattern is none; in words.
    pub(super) fn new(inner: Arc<dyn Processor>, part: &Part) -> Result<Self, String> {
        let pattern = part.pattern.as_deref().map(Pattern::parse).transpose().map_err(|error| error.to_string())?;
        let target = part.target.as_deref().map(Target::new);
        let meant = Arc::new(Meant { pattern, target, nobody: Arc::new([]) });
        Ok(Self { inner, meant, last: Mutex::default() })
    }
}

impl Routes for PartialRoutes {
    fn route(&self, event: &Event) -> Targets {
        let Meant { pattern, target, nobody } = &*self.meant;
        let targets = self.inner.route(event);
        if targets.is_empty() || pattern.as_ref().is_some_and(|pattern| !pattern.matches(event)) {
            return Arc::clone(nobody);
        }
        match target {
            None => targets,
            Some(target) if targets.contains(target) => Arc::new([target.clone()]),
            Some(_) => Arc::clone(nobody),
        }
    }

    fn has(&self, target: &Target) -> bool {
        self.inner.has(target)
    }
}

#[async_trait]
impl Processor for Partial {
    /// Whose it is keeps it fresh.
    async fn run(&self, stop: CancellationToken) {
        stop.cancelled().await;
    }

    async fn ready(&self) {
        self.inner.ready().await;
    }

    fn routes(&self) -> Arc<dyn Routes> {
        let inner = self.inner.routes();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Last { of, routes }) = &*last
            && Arc::ptr_eq(of, &inner)
        {
            return Arc::clone(routes);
        }
        let routes: Arc<dyn Routes> =
            Arc::new(PartialRoutes { inner: Arc::clone(&inner), meant: Arc::clone(&self.meant) });
        *last = Some(Last { of: inner, routes: Arc::clone(&routes) });
        routes
    }

    fn limits(&self) -> BatchLimits {
        self.inner.limits()
    }

    fn weight(&self, event: &Event) -> usize {
        self.inner.weight(event)
    }

    fn linger(&self) -> Duration {
        self.inner.linger()
    }

    async fn attempt(&self, target: &Target, batch: &[Delivery]) -> Vec<Outcome> {
        self.inner.attempt(target, batch).await
    }

    async fn callback(&self, query: &str, headers: &HeaderMap, body: &[u8]) -> Option<Late> {
        self.inner.callback(query, headers, body).await
    }

    async fn check(&self, report: &mut Report) {
        self.inner.check(report).await;
    }

    async fn send_test(&self, report: &mut Report) {
        self.inner.send_test(report).await;
    }
}

/// A cursor that reads no further than a replay goes, and says when all of that is settled.
pub(super) struct PartialCursor {
    inner: Arc<dyn Cursor>,
    to: Position,
    /// The last entry that there is to read, once that is known.
    last: Mutex<Option<Position>>,
    ended: CancellationToken,
}

impl PartialCursor {
    /// Up to `to`; `ended` is cancelled when all is settled.
    pub(super) fn new(inner: Arc<dyn Cursor>, to: Position, ended: CancellationToken) -> Self {
        Self { inner, to, last: Mutex::default(), ended }
    }

    fn look(&self, settled: Position) {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| settled >= last) {
            self.ended.cancel();
        }
    }
}

#[async_trait]
impl Cursor for PartialCursor {
    fn state(&self) -> CursorState {
        self.inner.state()
    }

    fn settled(&self) -> Vec<(Position, Target)> {
        self.inner.settled()
    }

    async fn read(&self, after: Position, limits: BatchLimits) -> Result<Vec<Entry>, JournalError> {
        let mut entries = if after < self.to { self.inner.read(after, limits).await? } else { Vec::new() };
        let read = entries.len();
        entries.truncate(entries.partition_point(|entry| entry.position <= self.to));
        let last = entries.last().map_or(after, |last| last.position);
        // There need not be an entry at the very end.
        if read == 0 || entries.len() < read || last >= self.to {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
            self.look(self.inner.state().settled_through());
        }
        Ok(entries)
    }

    async fn readable(&self, after: Position) -> Result<(), JournalError> {
        let all_read = self.last.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|last| after >= last);
        if all_read || after >= self.to {
            std::future::pending::<()>().await;
        }
        self.inner.readable(after).await
    }

    fn newest(&self) -> Position {
        self.inner.newest().min(self.to)
    }

    fn reach(&self, bytes: u64) {
        self.inner.reach(bytes);
    }

    fn waiting(&self, after: Position) -> u64 {
        self.inner.waiting(after).saturating_sub(self.inner.waiting(self.to))
    }

    async fn commit(&self, state: CursorState) -> Result<(), JournalError> {
        let settled = state.settled_through();
        self.inner.commit(state).await?;
        self.look(settled);
        Ok(())
    }

    fn record(&self, settlements: &mut Vec<Settlement>) {
        // What is not meant need not be told of.
        settlements.retain(|settlement| settlement.end != End::Unwanted);
        self.inner.record(settlements);
    }
}
