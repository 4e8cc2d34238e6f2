//! What one target is owed, in which order, and whether it answers.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::window::find;
use super::{FIRST_RETRY, MOST_RETRY, PROBES, ROOM_OPEN, SPAN};
use crate::attempt::{Outcome, Position, Reason, Target};
use crate::backoff::Backoff;
use crate::event::Event;
use crate::telemetry::TargetStatus;

/// So many places of what is settled may be kept beyond those of what is owed, and as many again.
pub(super) const MOST_HOLES: usize = 1024;

/// Where an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Behind an older event of its entity.
    Queued,
    /// May be attempted.
    Ready,
    /// Being attempted.
    InFlight,
    /// Waits for its next attempt.
    Waiting,
    /// The target took it and will say how it went.
    Accepted,
    /// Being set aside.
    GivenUp,
}

/// One event that the target is owed.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) event: Event,
    /// Events of the same entity go one after the other; none goes at any time.
    pub(super) entity: Option<u64>,
    pub(super) stage: Stage,
    /// Attempts that count.
    pub(super) attempts: u32,
    /// Attempts that the target was too busy for.
    pub(super) busy: u32,
    pub(super) first_attempt: Option<Instant>,
    pub(super) not_before: Option<Instant>,
    /// Since when it could go, where that counts.
    ready_since: Option<Instant>,
    pub(super) last: Option<Reason>,
    /// When an accepted attempt should have been settled.
    pub(super) overdue: Option<Instant>,
    /// What the target said of the attempt under way before that attempt was answered.
    pub(super) early: Option<Outcome>,
}

impl Item {
    fn pristine(&self) -> bool {
        self.first_attempt.is_none() && matches!(self.stage, Stage::Queued | Stage::Ready)
    }
}

/// A lane: the front has passed what this target is owed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lane {
    /// What the target wants at or below has been taken into the track, or is settled.
    pub(super) read: Position,
    /// The lane has reached the front: what comes after `read` is the front's again.
    pub(super) merged: bool,
}

/// Whether the target answers.
#[derive(Debug)]
pub(super) enum Circuit {
    Closed,
    Open {
        /// What it came to last.
        why: Reason,
        /// Answers to attempts that began before do not count.
        since: Instant,
        until: Instant,
        probing: bool,
        backoff: Backoff,
    },
}

/// For entities, which are known by a hash: it serves as its own.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Entities are numbers. Whatever else came would only be spread less well.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// What one target is owed.
pub(super) struct Track {
    pub(super) target: Target,
    pub(super) status: Arc<TargetStatus>,
    /// In order; `None` for what is settled behind something that is not, until there are many.
    slots: VecDeque<(Position, Option<Item>)>,
    /// The newest of what is settled.
    settled: Position,
    owed: usize,
    /// It holds a span, or has not given back a quarter of it yet: the journal is read in chunks.
    full: bool,
    /// Those of them that wait behind an older event of their entity.
    queued: usize,
    bytes: usize,
    /// Entities with an event on its way, and the places of those behind it.
    entities: HashMap<u64, VecDeque<Position>, BuildHasherDefault<Hashed>>,
    ready: VecDeque<Position>,
    pub(super) in_flight: usize,
    /// Whether events may wait for others to fill their batch, and when such a wait will be looked at.
    lingers: bool,
    looked_at: Option<Instant>,
    /// Attempts that the target is trusted with at once; halves when it is busy.
    pub(super) trust: usize,
    pub(super) circuit: Circuit,
    pub(super) lane: Option<Lane>,
    /// The target no longer exists.
    pub(super) gone: bool,
    /// It stands in the queue of those that could send.
    pub(super) runnable: bool,
}

impl Track {
    pub(super) fn new(target: Target, status: Arc<TargetStatus>, trust: usize, lingers: bool) -> Self {
        // A delivery that ended in the middle may have left them as they were.
        status.reset();
        Self {
            target,
            status,
            slots: VecDeque::new(),
            settled: Position(0),
            owed: 0,
            full: false,
            queued: 0,
            bytes: 0,
            entities: HashMap::default(),
            ready: VecDeque::new(),
            in_flight: 0,
            lingers,
            looked_at: None,
            trust,
            circuit: Circuit::Closed,
            lane: None,
            gone: false,
            runnable: false,
        }
    }

    /// Events in hand.
    pub(super) fn owed(&self) -> usize {
        self.owed
    }

    /// Their bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether nothing of what is owed is under way, or could be.
    pub(super) fn waits(&self) -> bool {
        self.in_flight == 0 && self.ready.is_empty()
    }

    /// Whether the lane may take more into the track. `roomy` tells whether all lanes together hold little.
    pub(super) fn has_room(&self, roomy: bool) -> bool {
        // Not how far they are apart: one event that waits for hours holds up those of its entity, and others only once
        // there is a span of these.
        if self.full {
            return false;
        }
        let little = self.owed < ROOM_OPEN.events && self.bytes < ROOM_OPEN.bytes;
        // Several entities' events are at hand to probe with: a poison event's alone would pass for an outage.
        little || (roomy && (!self.is_open() || self.owed - self.queued < PROBES))
    }

    /// Whether the front waits for the item at `position`.
    fn is_fronts(&self, position: Position) -> bool {
        self.lane.is_none_or(|lane| lane.merged && position > lane.read)
    }

    /// The target is owed one more event, newer than all before.
    pub(super) fn push(&mut self, position: Position, event: Event, entity: Option<u64>) {
        let stage = match entity {
            None => Stage::Ready,
            Some(entity) => match self.entities.entry(entity) {
                std::collections::hash_map::Entry::Occupied(mut behind) => {
                    behind.get_mut().push_back(position);
                    Stage::Queued
                }
                std::collections::hash_map::Entry::Vacant(none) => {
                    none.insert(VecDeque::new());
                    Stage::Ready
                }
            },
        };
        let mut ready_since = None;
        if stage == Stage::Ready {
            ready_since = self.lingers.then(Instant::now);
            self.ready.push_back(position);
        } else {
            self.queued += 1;
        }
        self.owed += 1;
        self.bytes += event.size();
        self.full |= self.owed >= SPAN.events || self.bytes >= SPAN.bytes;
        let item = Item {
            event,
            entity,
            stage,
            attempts: 0,
            busy: 0,
            first_attempt: None,
            not_before: None,
            ready_since,
            last: None,
            overdue: None,
            early: None,
        };
        self.slots.push_back((position, Some(item)));
    }

    /// Less is owed than before.
    fn note_room(&mut self) {
        self.full &= self.owed > SPAN.events / 4 * 3 || self.bytes > SPAN.bytes / 4 * 3;
    }

    /// Where the item at this place is, if it is there.
    fn find(&self, position: Position) -> Option<usize> {
        find(&self.slots, position, |(place, _)| *place)
    }

    /// The item at this place, to look at.
    pub(super) fn look(&self, position: Position) -> Option<&Item> {
        self.slots[self.find(position)?].1.as_ref()
    }

    pub(super) fn item(&mut self, position: Position) -> Option<&mut Item> {
        let at = self.find(position)?;
        self.slots[at].1.as_mut()
    }

    /// The next event that may be attempted at `now`. One whose own wait is not
    /// over comes back with the end of that wait, unless the target is probed:
    /// then its turn counts and not its wait.
    pub(super) fn next_ready(&mut self, now: Instant, probing: bool) -> Option<Result<Position, (Position, Instant)>> {
        loop {
            let position = self.ready.pop_front()?;
            // What was settled meanwhile is not looked for in the queue.
            let Some(item) = self.item(position) else { continue };
            return match item.not_before {
                Some(then) if then > now && !probing => {
                    item.stage = Stage::Waiting;
                    Some(Err((position, then)))
                }
                _ => Some(Ok(position)),
            };
        }
    }

    /// The item may be attempted (again).
    pub(super) fn make_ready(&mut self, position: Position) {
        let since = self.lingers.then(Instant::now);
        if let Some(item) = self.item(position) {
            item.stage = Stage::Ready;
            item.ready_since = since;
            self.ready.push_back(position);
        }
    }

    /// The item is to be the next one attempted after all.
    pub(super) fn put_back(&mut self, position: Position) {
        self.ready.push_front(position);
    }

    /// Whether a batch that is not full waits for others: as long as an attempt is under way, and none of its events has
    /// waited for `linger`. Those chosen for it are put back then, and it comes with when to look again, if that is news.
    pub(super) fn waits_for_others(
        &mut self,
        chosen: &[Position],
        linger: Duration,
        now: Instant,
    ) -> Option<Option<Instant>> {
        if !self.lingers || self.in_flight == 0 {
            return None;
        }
        let since = chosen.iter().filter_map(|position| self.look(*position)?.ready_since).min()?;
        let due = since + linger;
        if due <= now {
            return None;
        }
        chosen.iter().rev().for_each(|position| self.put_back(*position));
        let news = self.looked_at.is_none_or(|at| at > due);
        if news {
            self.looked_at = Some(due);
        }
        Some(news.then_some(due))
    }

    /// The time has come that was set at `at` for a batch that waits.
    pub(super) fn filled(&mut self, at: Instant) {
        if self.looked_at == Some(at) {
            self.looked_at = None;
        }
    }

    /// The next event of this entity may go.
    pub(super) fn release(&mut self, entity: u64) {
        let Some(behind) = self.entities.get_mut(&entity) else { return };
        match behind.pop_front() {
            Some(next) => {
                self.queued -= 1;
                self.make_ready(next);
            }
            None => {
                self.entities.remove(&entity);
            }
        }
    }

    /// The item is done with. Tells whether the front waited for it.
    pub(super) fn settle(&mut self, position: Position) -> Option<(Item, bool)> {
        let at = self.find(position)?;
        let item = self.slots[at].1.take()?;
        self.owed -= 1;
        self.bytes -= item.event.size();
        self.note_room();
        let fronts = self.is_fronts(position);
        self.settled = self.settled.max(position);
        while let Some((_, None)) = self.slots.front() {
            self.slots.pop_front();
        }
        if self.slots.len() > MOST_HOLES + 2 * self.owed {
            self.slots.retain(|(_, item)| item.is_some());
        }
        match item.entity {
            Some(entity) if item.stage == Stage::Queued => {
                self.queued -= 1;
                if let Some(behind) = self.entities.get_mut(&entity) {
                    behind.retain(|place| *place != position);
                }
            }
            Some(entity) => self.release(entity),
            None => {}
        }
        if self.owed == 0 {
            self.ready.clear();
        }
        Some((item, fronts))
    }

    /// The places of everything owed that is not under way.
    pub(super) fn idle(&self) -> Vec<Position> {
        let idle = |item: &Item| !matches!(item.stage, Stage::InFlight | Stage::GivenUp);
        self.slots.iter().filter(|(_, item)| item.as_ref().is_some_and(idle)).map(|(position, _)| *position).collect()
    }

    /// The lane is owed everything above this.
    pub(super) fn settled_through(&self, lane: Lane) -> Position {
        match self.slots.iter().find(|(_, item)| item.is_some()) {
            Some((position, _)) if *position <= lane.read => Position(position.0 - 1),
            _ => lane.read,
        }
    }

    /// Gives the target a lane of its own. `read` is how far the front has read.
    /// Returns the places that the front need not wait for any more.
    pub(super) fn open_lane(&mut self, read: Position) -> Vec<Position> {
        let before = match self.lane {
            Some(Lane { merged: false, .. }) => return Vec::new(),
            Some(lane) => lane.read,
            None => Position(0),
        };
        let passed = self.slots.iter().filter(|(position, item)| item.is_some() && *position > before);
        let passed = passed.map(|(position, _)| *position).collect();
        if self.lane.is_none() {
            self.status.lane(true);
        }
        self.lane = Some(Lane { read, merged: false });
        passed
    }

    /// Forgets what was never tried and exceeds the room of a target that does
    /// not answer: its lane will read it again.
    pub(super) fn shed(&mut self) {
        let Some(lane) = &mut self.lane else { return };
        if lane.merged {
            return;
        }
        let mut events = 0;
        let mut heads = 0;
        let mut bytes = 0;
        let mut keep = 0;
        for (at, (position, item)) in self.slots.iter().enumerate() {
            // What was settled or tried must not be read again.
            let mut within = *position <= self.settled;
            if let Some(item) = item {
                events += 1;
                bytes += item.event.size();
                heads += usize::from(item.stage != Stage::Queued);
                let little = events == 1 || (events <= ROOM_OPEN.events && bytes <= ROOM_OPEN.bytes);
                within |= little || !item.pristine() || (item.stage == Stage::Ready && heads <= PROBES);
            }
            if within {
                keep = at + 1;
            }
        }
        if keep == self.slots.len() {
            return;
        }
        for (_, item) in self.slots.drain(keep..).rev() {
            let Some(item) = item else { continue };
            self.owed -= 1;
            self.queued -= usize::from(item.stage == Stage::Queued);
            self.bytes -= item.event.size();
            if let Some(entity) = item.entity
                && let Some(behind) = self.entities.get_mut(&entity)
                && (item.stage == Stage::Ready || behind.pop_back().is_none())
            {
                self.entities.remove(&entity);
            }
        }
        if let Some((last, _)) = self.slots.back() {
            lane.read = self.settled.max(*last).min(lane.read);
        }
        let last = lane.read;
        self.ready.retain(|position| *position <= last);
        self.note_room();
    }

    /// Dissolves a lane that has reached the front once all that it owed is settled.
    pub(super) fn dissolve(&mut self) {
        if let Some(lane) = self.lane
            && lane.merged
            && self.slots.iter().find(|(_, item)| item.is_some()).is_none_or(|(position, _)| *position > lane.read)
        {
            self.lane = None;
            self.status.lane(false);
        }
    }

    /// The target is busy. Returns when it will be probed, if that is news.
    pub(super) fn busy(
        &mut self,
        began: Instant,
        now: Instant,
        after: Option<Duration>,
        why: &Reason,
    ) -> Option<Instant> {
        self.trust = (self.trust / 2).max(1);
        match &mut self.circuit {
            Circuit::Open { why: last, since, until, probing, backoff } => {
                if began < *since {
                    // One of those that were under way when it opened: says nothing new, but may ask for a longer wait.
                    let asked = after.map(|after| now + after)?;
                    if asked > *until && !*probing {
                        *until = asked;
                        return Some(asked);
                    }
                    return None;
                }
                *probing = false;
                last.clone_from(why);
                *until = now + after.unwrap_or_else(|| backoff.wait());
                Some(*until)
            }
            Circuit::Closed => {
                let mut backoff = Backoff::new(FIRST_RETRY, MOST_RETRY);
                let until = now + after.unwrap_or_else(|| backoff.wait());
                self.circuit = Circuit::Open { why: why.clone(), since: now, until, probing: false, backoff };
                self.status.circuit_opened(why);
                Some(until)
            }
        }
    }

    /// The target answered an attempt that began at `began`.
    pub(super) fn answered(&mut self, began: Instant, most: usize) {
        self.trust = (self.trust + 1).min(most);
        if let Circuit::Open { since, .. } = &self.circuit
            && began >= *since
        {
            self.circuit = Circuit::Closed;
            self.status.circuit_closed();
        }
    }

    /// Whether the circuit is open.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.circuit, Circuit::Open { .. })
    }

    /// Why it is open.
    pub(super) fn silence(&self) -> Option<Reason> {
        match &self.circuit {
            Circuit::Open { why, .. } => Some(why.clone()),
            Circuit::Closed => None,
        }
    }

    /// Nothing is owed and nothing under way.
    pub(super) fn is_empty(&self) -> bool {
        self.owed == 0 && self.in_flight == 0 && self.lane.is_none()
    }
}
