//! Events, for whoever looks on.

use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Api, Query, Refusal, broken, encoded, wrong};
use crate::attempt::{BatchLimits, Position};
use crate::event::Event;
use crate::journal::Entry;
use crate::pattern::Pattern;

/// What is read at once.
pub(super) const CHUNK: BatchLimits = BatchLimits { events: 1000, bytes: 2 << 20 };

/// Chunks that are looked through for one answer.
pub(super) const CHUNKS: usize = 8;

/// How long an answer waits for an event. Not long: the router may be about to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// An event, and where it is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Placed {
    /// Its place in the journal.
    pub position: u64,
    /// The event as it was sent.
    pub event: Box<RawValue>,
}

/// Some of the events, and where to go on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Events {
    /// Oldest first.
    pub events: Vec<Placed>,
    /// What to give as `after`.
    pub next: u64,
    /// The newest place that there is: behind it nothing has come yet.
    pub newest: u64,
    /// Events behind `after`, or from `from` on, were let go before they were asked for.
    pub let_go: bool,
}

/// Which events are meant.
pub(super) struct Meant {
    stream: Option<String>,
    pattern: Option<Pattern>,
}

impl Meant {
    pub(super) fn read(stream: Option<String>, pattern: Option<&str>) -> Result<Self, Refusal> {
        let pattern = pattern.map(Pattern::parse).transpose().map_err(|error| wrong(error.to_string()))?;
        Ok(Self { stream, pattern })
    }

    pub(super) fn admits(&self, event: &Event) -> bool {
        self.stream.as_ref().is_none_or(|stream| **stream == **event.stream())
            && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(event))
    }
}

/// The event as JSON within JSON.
pub(super) fn raw(event: &Event) -> Result<Box<RawValue>, Refusal> {
    serde_json::from_slice(&event.json())
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, format!("an event is no JSON: {error}")))
}

impl Api {
    /// The place behind which a moment in RFC 3339, or a position, begins.
    pub(super) async fn place(&self, moment: &str) -> Result<Position, Refusal> {
        let history = self.journal.history().map_err(|error| broken(&error))?;
        let (oldest, newest) = history.span();
        if let Ok(position) = moment.parse::<u64>() {
            return Ok(Position(position.saturating_sub(1)).clamp(oldest, newest));
        }
        let time: Timestamp = moment
            .parse()
            .map_err(|_| wrong(format!("{moment} is neither a position nor a time such as 2026-11-22T10:00:00Z")))?;
        let before = history.before(time.into()).await.map_err(|error| broken(&error))?;
        Ok(before.clamp(oldest, newest))
    }

    /// The same, for where something is to begin; and whether that is later than it should be, as far as can be known,
    /// since what came before was let go.
    pub(super) async fn beginning(&self, moment: &str) -> Result<(Position, bool), Refusal> {
        let place = self.place(moment).await?;
        let history = self.journal.history().map_err(|error| broken(&error))?;
        let oldest = history.span().0;
        let late = match moment.parse::<u64>() {
            Ok(position) => position.max(1) <= oldest.0,
            // All that is kept is from that moment or later.
            Err(_) => place <= oldest && oldest > Position(0),
        };
        Ok((place, late))
    }

    pub(super) async fn events(&self, query: &Query<'_>) -> Result<String, Refusal> {
        let meant = Meant::read(query.get("stream"), query.get("pattern").as_deref())?;
        let history = self.journal.history().map_err(|error| broken(&error))?;
        let (mut after, late) = match (query.get("after"), query.get("from")) {
            (Some(after), _) => {
                (Position(after.parse().map_err(|_| wrong("after is not a number".to_owned()))?), false)
            }
            (None, Some(from)) => self.beginning(&from).await?,
            (None, None) => (history.span().1, false),
        };
        let let_go = late || after < history.span().0;
        let mut events = Vec::new();
        let mut waits = query.get("wait").is_some();
        for _ in 0..CHUNKS {
            let mut read = history.read(after, CHUNK).await.map_err(|error| broken(&error))?;
            if read.is_empty() && std::mem::take(&mut waits) {
                // Whoever asks will ask again.
                drop(tokio::time::timeout(PATIENCE, history.readable(after)).await);
                read = history.read(after, CHUNK).await.map_err(|error| broken(&error))?;
            }
            let Some(last) = read.last() else { break };
            after = last.position;
            for Entry { position, event } in read.iter().filter(|entry| meant.admits(&entry.event)) {
                events.push(Placed { position: position.0, event: raw(event)? });
            }
            if !events.is_empty() {
                break;
            }
        }
        encoded(Events { events, next: after.0, newest: history.span().1.0, let_go })
    }
}
