//! Delivering a part of the journal once more.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Api, Refusal, broken, encoded, wrong};
use crate::attempt::Position;

/// What is to be delivered again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The processor's name.
    pub processor: String,
    /// For this target alone.
    pub target: Option<String>,
    /// Those that match this event pattern.
    pub pattern: Option<String>,
    /// From this time or position on; none: all that the journal has.
    pub from: Option<String>,
    /// Up to this time, or this position, which is the last one; none: the newest event that there is.
    pub to: Option<String>,
}

/// The same, with places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The processor's name.
    pub processor: String,
    /// For this target alone.
    pub target: Option<String>,
    /// Those that match this event pattern.
    pub pattern: Option<String>,
    /// What lies behind this place.
    pub after: u64,
    /// Up to this one.
    pub to: u64,
}

/// A replay that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// What it is called.
    pub id: String,
    /// What is delivered again.
    #[serde(flatten)]
    pub part: Part,
    /// How far it has come: all up to this place is done with.
    pub done: u64,
    /// Events that targets have, since the router started.
    pub delivered: u64,
    /// Events that became dead letters, since the router started.
    pub dead_letters: u64,
    /// It begins later than it should: what came before was let go. Known when it begins, and not said later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub let_go: bool,
}

/// What a replay would send, of the events that were looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// From behind here it was looked.
    #[serde(default)]
    pub after: u64,
    /// Up to here it was looked.
    pub next: u64,
    /// Up to here it goes.
    pub to: u64,
    /// So many events, at least to one target.
    pub events: u64,
    /// So many to each.
    pub targets: BTreeMap<String, u64>,
    /// It would begin later than it should: what came before was let go.
    #[serde(default)]
    pub let_go: bool,
}

/// Why nothing is replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// What was asked for is not there, or makes no sense.
    Wrong(String),
    /// It is not possible now.
    NotNow(String),
}

fn refused(refused: Refused) -> Refusal {
    match refused {
        Refused::Wrong(why) => wrong(why),
        Refused::NotNow(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

impl Api {
    /// The places that are meant, and whether some of them were let go.
    async fn part(&self, body: &[u8]) -> Result<(Part, bool), Refusal> {
        let wanted: Wanted = serde_json::from_slice(body)
            .map_err(|error| wrong(format!("the body does not say what to replay: {error}")))?;
        let history = self.journal.history().map_err(|error| broken(&error))?;
        let (oldest, newest) = history.span();
        let (after, let_go) = match &wanted.from {
            Some(from) => self.beginning(from).await?,
            None => (oldest, false),
        };
        let to = match &wanted.to {
            Some(to) => match to.parse::<u64>() {
                Ok(position) => Position(position).min(newest),
                Err(_) => self.place(to).await?,
            },
            None => newest,
        };
        if after >= to {
            return Err(wrong(format!(
                "there is no event to replay: the journal has positions {} to {newest}, and that is none of them",
                oldest.0 + 1
            )));
        }
        let Wanted { processor, target, pattern, .. } = wanted;
        Ok((Part { processor, target, pattern, after: after.0, to: to.0 }, let_go))
    }

    pub(super) async fn replay(&self, body: &[u8]) -> Result<String, Refusal> {
        let errands = self.errands("events")?;
        let (part, let_go) = self.part(body).await?;
        encoded(Replay { let_go, ..errands.replay(part).await.map_err(refused)? })
    }

    pub(super) async fn would_replay(&self, body: &[u8]) -> Result<String, Refusal> {
        let errands = self.errands("events")?;
        let (part, let_go) = self.part(body).await?;
        encoded(Counted { let_go, ..errands.would_replay(&part).await.map_err(refused)? })
    }

    pub(super) fn replays(&self) -> Result<String, Refusal> {
        encoded(self.errands("events")?.replays())
    }

    pub(super) async fn cancel_replay(&self, id: &str) -> Result<String, Refusal> {
        if self.errands("events")?.cancel_replay(id).await {
            encoded(id)
        } else {
            Err((StatusCode::NOT_FOUND, format!("there is no replay {id}")))
        }
    }
}
