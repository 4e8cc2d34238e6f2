//! What the delivery knows of an event that it has not done with.

use std::fmt;

use tokio::sync::oneshot;

use super::*;

/// An event that somebody asks about.
#[derive(Debug)]
pub struct Question {
    /// The event, and its place.
    pub entry: Entry,
    /// Told what is known of it.
    pub told: oneshot::Sender<Standing>,
}

/// Where an event stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether it was decided who wants it.
    pub routed: bool,
    /// Whether the processor is not for it: its pattern does not mean it.
    pub excluded: bool,
    /// To whom it is still owed.
    pub owed: Vec<Owed>,
}

/// What one target is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// Whom it is for.
    pub target: Target,
    /// Why it is not there yet.
    pub waits: Waits,
    /// Attempts that count, and those that the target was too busy for.
    pub attempts: u32,
    /// What the last one came to.
    pub last: Option<Reason>,
}

/// Why an event is not delivered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// Behind an older event of its entity.
    Entity,
    /// Its turn comes.
    Turn,
    /// For an answer.
    Answer,
    /// For its next attempt.
    Retry,
    /// For its callback.
    Callback,
    /// To be set aside.
    Letter,
    /// The target does not answer.
    Target,
    /// The target is behind: so many positions.
    Lane(u64),
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entity => f.write_str("waits behind an older event of its entity"),
            Self::Turn => f.write_str("waits for its turn"),
            Self::Answer => f.write_str("is being sent"),
            Self::Retry => f.write_str("waits for its next attempt"),
            Self::Callback => f.write_str("was accepted, its callback is awaited"),
            Self::Letter => f.write_str("is being set aside as a dead letter"),
            Self::Target => f.write_str("waits until its target answers"),
            Self::Lane(behind) => {
                write!(f, "waits until its target, which is behind, has come {behind} places further")
            }
        }
    }
}

impl Delivery {
    pub(super) fn explain(&mut self, question: Question) {
        // What has ended is known from there.
        self.cursor.record(&mut self.settlements);
        let position = question.entry.position;
        let event = &question.entry.event;
        let excluded = excludes(&self.options, event);
        let mut standing = Standing { routed: position <= self.window.read(), excluded, owed: Vec::new() };
        if standing.routed {
            let wanted = self.wanted(self.routes_at(position), event);
            standing.owed = self.tracks.iter().filter_map(|track| owed(track, position, &wanted)).collect();
        }
        // Who asked may have gone.
        drop(question.told.send(standing));
    }
}

fn owed(track: &Track, position: Position, wanted: &[Target]) -> Option<Owed> {
    let target = track.target.clone();
    let Some(item) = track.look(position) else {
        let lane = track.lane.filter(|lane| !lane.merged && lane.read < position)?;
        return wanted.contains(&target).then(|| Owed {
            target,
            waits: Waits::Lane(position.0 - lane.read.0),
            attempts: 0,
            last: track.silence(),
        });
    };
    let waits = match item.stage {
        Stage::Queued => Waits::Entity,
        Stage::Ready if track.is_open() => Waits::Target,
        Stage::Ready => Waits::Turn,
        Stage::InFlight => Waits::Answer,
        Stage::Waiting => Waits::Retry,
        Stage::Accepted => Waits::Callback,
        Stage::GivenUp => Waits::Letter,
    };
    let last = item.last.clone().or_else(|| track.silence());
    Some(Owed { target, waits, attempts: item.attempts + item.busy, last })
}
