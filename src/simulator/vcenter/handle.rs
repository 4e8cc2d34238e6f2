//! The simulated vCenter for whoever runs it: faults, events and figures.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::Rate;
use super::fault::{Planned, WordsError};
use super::ledger::Entry;
use super::replay::Replay;
use super::state::{Draft, State, VCenter};
use super::updates::Updates;
use super::upset::UNKNOWN;
use crate::simulator::subjects;
use crate::vim25::describe;

/// The most events of a class that are made at a time.
const MOST_EVENTS: u64 = 100_000;

/// Of so many of them each is about another machine; then they begin again, and share what they say.
const DIFFERENT: u64 = 100;

/// A simulated vCenter, to let things happen to it and to look at it.
#[derive(Clone)]
pub struct Handle(pub(super) Arc<VCenter>);

/// Figures of a simulated vCenter.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Events that there ever were.
    pub events: u64,
    /// Those of them that the data centre has made by itself since the start.
    pub lived: u64,
    /// Events that readers were given. One that is read twice counts twice.
    pub served: u64,
    /// Those who are logged in.
    pub sessions: usize,
    /// Their collectors.
    pub collectors: usize,
    /// Their property filters.
    pub filters: usize,
    /// Connections that are open.
    pub connections: u64,
    /// Faults so far, by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// By how much the clock differs from the machine's.
    pub clock_offset_seconds: i64,
    /// How fast events happen.
    pub rate: String,
}

impl Handle {
    /// Lets faults happen, or plans them, as the text says: one a line, such as `hang` or `late=20@5000`. How many.
    ///
    /// # Errors
    /// A line is no fault. Then nothing has happened.
    pub fn plan(&self, text: &str) -> Result<usize, WordsError> {
        let planned = Planned::schedule(text)?;
        self.0.with(|state| {
            for planned in &planned {
                state.plan(planned.clone()).map_err(WordsError::from)?;
            }
            Ok(planned.len())
        })
    }

    /// Lets so many events of a class happen. How many.
    ///
    /// # Errors
    /// There is no such class, or they are too many.
    pub fn make(&self, class: &str, count: u64) -> Result<u64, String> {
        if count > MOST_EVENTS {
            return Err(format!("{count} events are more than {MOST_EVENTS}"));
        }
        self.0.with(|state| state.make_of_class(class, count))
    }

    /// Every subject that its events may have, by name, but for what clients post: classes, type ids, those of captured
    /// events, and the class that no schema has.
    #[must_use]
    pub fn subjects(&self) -> BTreeSet<String> {
        let mut all: BTreeSet<_> = describe::events().chain(subjects()).chain([UNKNOWN]).map(str::to_owned).collect();
        self.0.with(|state| all.extend(state.replay.iter().flat_map(Replay::subjects).map(str::to_owned)));
        all
    }

    /// Sets how fast events happen.
    pub fn set_rate(&self, rate: Rate) {
        self.0.with(|state| state.rate.send_replace(rate));
    }

    /// The truth about at most so many events, from a number on. The last two million are remembered.
    #[must_use]
    pub fn ledger(&self, from: u64, count: usize) -> Vec<Entry> {
        self.0.with(|state| state.ledger.read(from, count).collect())
    }

    /// How it is at present.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.0.with(|state| state.figures())
    }
}

impl State {
    fn figures(&self) -> Figures {
        let sessions = || self.sessions.iter();
        Figures {
            events: self.happened(),
            lived: self.lived,
            served: self.served,
            sessions: sessions().count(),
            collectors: sessions().map(|session| session.collectors.len()).sum(),
            filters: sessions().flat_map(|session| session.updates.values()).map(Updates::len).sum(),
            connections: self.links.borrow().open,
            faults: self.troubles.counts().clone(),
            clock_offset_seconds: self.clock.offset() / 1_000_000,
            rate: self.rate.borrow().to_string(),
        }
    }

    fn make_of_class(&mut self, class: &str, count: u64) -> Result<u64, String> {
        let bodies = (0..count.min(DIFFERENT)).map_while(|_| self.world.make(class)).map(Arc::new);
        let bodies: Vec<_> = bodies.collect();
        if bodies.is_empty() && self.world.make(class).is_none() {
            return Err(format!("there is no class of events \"{class}\""));
        }
        for (_, body) in (0..count).zip(bodies.iter().cycle()) {
            self.append(Draft { body: Arc::clone(body), ..Draft::default() });
        }
        Ok(count)
    }
}
