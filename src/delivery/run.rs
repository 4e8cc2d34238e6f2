//! The loop.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{FutureExt as _, OptionFuture};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::track::{Circuit, Lane, Stage, Track};
use super::window::Window;
use super::{FIRST_RETRY, LANES_BYTES, Late, MOST_ASKED, MOST_RETRY, Options, Ordering, SPAN, STUCK, Settler};
use crate::attempt::{BatchLimits, Delivery as Attempted, Outcome, Position, Reason, Target};
use crate::backoff::Backoff;
use crate::event::Event;
use crate::journal::{Cursor, CursorState, DeadLetter, DeadLetters, End, Entry, JournalError, Settlement};
use crate::processor::{Processor, Routes};
use crate::telemetry::ProcessorStatus;

/// Entries read from the journal at once.
const CHUNK: BatchLimits = BatchLimits { events: 512, bytes: 1024 * 1024 };

/// The place is committed after this many events or this long, whichever is first.
const COMMIT_EVENTS: usize = 256;
const COMMIT_AFTER: Duration = Duration::from_millis(100);

/// How often what may change unseen is looked at: the map of a processor with open events.
const LOOK: Duration = Duration::from_secs(1);

/// Late outcomes that may wait to be taken.
const SETTLES: usize = 1024;

/// What has been going on and ended.
enum Done {
    Attempt { track: usize, positions: Vec<Position>, outcomes: Vec<Outcome>, began: Instant },
    Kept { track: usize, position: Position },
}

type Pending = Pin<Box<dyn Future<Output = Done> + Send>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    /// An item's wait is over.
    Retry(usize, Position),
    /// A target that does not answer may be probed.
    Probe(usize),
    /// An accepted attempt should have been settled by now.
    Overdue(usize, Position, u32),
}

/// Delivers one processor's events.
pub struct Delivery {
    processor: Arc<dyn Processor>,
    status: Arc<ProcessorStatus>,
    name: Arc<str>,
    cursor: Arc<dyn Cursor>,
    dead_letters: Option<Arc<dyn DeadLetters>>,
    options: Options,
    settles: mpsc::Receiver<Late>,

    window: Window,
    /// When the entry was read that keeps the front from reading on, if one does.
    stuck: Option<Instant>,
    tracks: Vec<Track>,
    index: HashMap<Target, usize>,
    runnable: VecDeque<usize>,
    lanes: Vec<usize>,
    lanes_bytes: usize,
    /// The versions of the map that the front routed by, each with the last place before its first entry.
    history: VecDeque<(Position, Arc<dyn Routes>)>,
    routes: Arc<dyn Routes>,
    /// Settled above the durable place before a crash.
    settled_before: HashSet<(Position, Target)>,

    pending: FuturesUnordered<Pending>,
    in_flight: usize,
    alarms: BinaryHeap<Reverse<(Instant, Alarm)>>,
    settlements: Vec<Settlement>,
    committed: CursorState,
    uncommitted: usize,
    commit_at: Option<Instant>,
    hasher: RandomState,
}

impl Delivery {
    /// For a processor and its cursor; and the place where its late outcomes are reported.
    #[must_use]
    pub fn new(
        processor: Arc<dyn Processor>,
        status: Arc<ProcessorStatus>,
        cursor: Arc<dyn Cursor>,
        dead_letters: Option<Arc<dyn DeadLetters>>,
        options: Options,
    ) -> (Self, Settler) {
        let (settler, settles) = mpsc::channel(SETTLES);
        let state = cursor.state();
        let routes = processor.routes();
        let mut this = Self {
            name: status.name.as_str().into(),
            window: Window::new(state.front),
            stuck: None,
            tracks: Vec::new(),
            index: HashMap::new(),
            runnable: VecDeque::new(),
            lanes: Vec::new(),
            lanes_bytes: 0,
            history: VecDeque::new(),
            routes,
            settled_before: cursor.settled().into_iter().collect(),
            pending: FuturesUnordered::new(),
            in_flight: 0,
            alarms: BinaryHeap::new(),
            settlements: Vec::new(),
            committed: state.clone(),
            uncommitted: 0,
            commit_at: None,
            hasher: RandomState::new(),
            processor,
            status,
            cursor,
            dead_letters,
            options,
            settles,
        };
        for (target, through) in state.lanes {
            let track = this.track(&target);
            this.tracks[track].lane = Some(Lane { read: through, merged: false });
            this.tracks[track].status.lane(true);
            this.lanes.push(track);
        }
        (this, Settler(settler))
    }

    /// Delivers until stopped; then waits for the attempts under way and commits.
    ///
    /// # Errors
    /// The journal cannot be read or written. Nothing is lost: a new delivery
    /// from the cursor's durable place goes on.
    pub async fn run(&mut self, stop: &CancellationToken) -> Result<(), JournalError> {
        tokio::select! {
            () = self.processor.ready() => {}
            () = stop.cancelled() => return Ok(()),
        }
        self.routes = self.processor.routes();
        self.note_gone();
        loop {
            self.fill_front().await?;
            self.fill_lanes().await?;
            self.dispatch();
            if self.uncommitted >= COMMIT_EVENTS || self.commit_at.is_some_and(|at| at <= Instant::now()) {
                self.commit().await?;
            }
            self.wait(stop).await?;
            if stop.is_cancelled() {
                break;
            }
            self.refresh_routes();
        }
        while let Some(done) = self.pending.next().await {
            self.done(done);
        }
        self.commit().await
    }

    /// Waits until there is something to do, and does what came.
    async fn wait(&mut self, stop: &CancellationToken) -> Result<(), JournalError> {
        let now = Instant::now();
        let owes = !self.window.is_empty() || !self.lanes.is_empty();
        let due = [
            self.alarms.peek().map(|Reverse((at, _))| *at),
            self.commit_at,
            self.stuck.map(|since| since + STUCK),
            owes.then(|| now + LOOK),
        ];
        let due = due.into_iter().flatten().min();
        let cursor = Arc::clone(&self.cursor);
        let read = self.window.read();
        let reads_on = self.stuck.is_none();
        let journal: OptionFuture<_> = reads_on.then(|| cursor.readable(read)).into();
        tokio::select! {
            Some(done) = self.pending.next() => {
                self.done(done);
                while let Some(Some(done)) = self.pending.next().now_or_never() {
                    self.done(done);
                }
            }
            Some(settle) = self.settles.recv() => self.settle_late(settle),
            Some(readable) = journal => readable?,
            () = tokio::time::sleep_until(due.unwrap_or(now)), if due.is_some() => {}
            () = stop.cancelled() => {}
        }
        self.ring();
        Ok(())
    }

    // ---- reading ----

    async fn fill_front(&mut self) -> Result<(), JournalError> {
        while self.cursor.newest() > self.window.read() {
            if let Some(oldest) = self.window.oldest()
                && (self.window.len() >= SPAN.events || self.window.bytes() >= SPAN.bytes)
            {
                if oldest.elapsed() >= STUCK && self.unstick() {
                    continue;
                }
                let now = Instant::now();
                self.stuck = Some(if now - oldest < STUCK { oldest } else { now });
                return Ok(());
            }
            let room = BatchLimits { events: CHUNK.events.min(SPAN.events - self.window.len()), ..CHUNK };
            let entries = self.cursor.read(self.window.read(), room).await?;
            if entries.is_empty() {
                break;
            }
            if self.history.back().is_none_or(|(_, routes)| !Arc::ptr_eq(routes, &self.routes)) {
                self.history.push_back((self.window.read(), Arc::clone(&self.routes)));
            }
            let routes = Arc::clone(&self.routes);
            let now = Instant::now();
            for entry in entries {
                self.route(&*routes, entry, now);
            }
            self.touched();
            if !self.runnable.is_empty() {
                // What can go goes before more is read.
                self.dispatch();
            }
        }
        self.stuck = None;
        let behind = self.cursor.newest().0.saturating_sub(self.window.front().0);
        self.status.backlog(behind);
        Ok(())
    }

    fn route(&mut self, routes: &dyn Routes, Entry { position, event }: Entry, now: Instant) {
        let targets = routes.route(&event);
        if targets.is_empty() {
            self.status.unwanted(&event);
        }
        let mut waits = 0;
        for target in targets.iter() {
            let at = self.track(target);
            if self.tracks[at].lane.is_some_and(|lane| !lane.merged) || self.is_settled_before(position, target) {
                continue;
            }
            let entity = self.entity(&event);
            self.tracks[at].push(position, event.clone(), entity);
            self.may_run(at);
            waits += 1;
        }
        self.window.push(position, waits, event.size(), now);
        self.uncommitted += usize::from(waits == 0);
    }

    /// Gives the targets that the front waits for longest lanes of their own. Whether there were any.
    fn unstick(&mut self) -> bool {
        let oldest = Position(self.window.front().0 + 1);
        let before = self.window.len();
        for at in 0..self.tracks.len() {
            if self.tracks[at].item(oldest).is_some() {
                self.open_lane(at);
            }
        }
        self.window.len() < before
    }

    async fn fill_lanes(&mut self) -> Result<(), JournalError> {
        while !self.lanes.is_empty() {
            self.lanes_bytes = self.lanes.iter().map(|at| self.tracks[*at].bytes()).sum();
            let front = self.window.read();
            // Lanes are few, and those with room fewer.
            let mut lowest: Option<Position> = None;
            for at in self.lanes.clone() {
                let track = &mut self.tracks[at];
                let Some(lane) = &mut track.lane else { continue };
                if lane.merged {
                    continue;
                }
                if lane.read >= front {
                    if matches!(track.circuit, Circuit::Closed) {
                        lane.merged = true;
                        track.dissolve();
                        self.touched();
                    }
                    continue;
                }
                let read = lane.read;
                if self.lane_has_room(at) {
                    lowest = Some(lowest.map_or(read, |lowest| lowest.min(read)));
                }
            }
            self.lanes.retain(|at| self.tracks[*at].lane.is_some());
            let Some(after) = lowest else { break };
            self.read_lanes(after, front).await?;
        }
        Ok(())
    }

    /// Reads one chunk behind `after` for every lane that is within it and has room.
    async fn read_lanes(&mut self, after: Position, front: Position) -> Result<(), JournalError> {
        let mut entries = self.cursor.read(after, CHUNK).await?;
        entries.retain(|entry| entry.position <= front);
        let end = entries.last().map_or(front, |entry| entry.position);
        let mut taking: HashMap<usize, Position> = HashMap::new();
        for at in self.lanes.clone() {
            if let Some(Lane { read, merged: false }) = self.tracks[at].lane
                && read < end
                && self.lane_has_room(at)
            {
                taking.insert(at, read);
            }
        }
        for Entry { position, event } in entries {
            let targets = self.routes_at(position).route(&event);
            for target in targets.iter() {
                let Some(at) = self.index.get(target).copied() else { continue };
                if taking.get(&at).is_none_or(|read| position <= *read) || self.is_settled_before(position, target) {
                    continue;
                }
                let entity = self.entity(&event);
                self.tracks[at].push(position, event.clone(), entity);
                self.lanes_bytes += event.size();
                self.may_run(at);
                if !self.lane_has_room(at) {
                    // Full: what follows is read when there is room again.
                    taking.remove(&at);
                    if let Some(lane) = &mut self.tracks[at].lane {
                        lane.read = position;
                    }
                }
            }
        }
        for at in taking.into_keys() {
            if let Some(lane) = &mut self.tracks[at].lane {
                lane.read = lane.read.max(end);
            }
            if self.tracks[at].gone {
                self.unsubscribe(at);
            }
        }
        self.touched();
        self.forget_history();
        Ok(())
    }

    fn lane_has_room(&self, at: usize) -> bool {
        self.tracks[at].has_room(self.lanes_bytes < LANES_BYTES)
    }

    /// The version of the map by which the front routed an entry. What was routed
    /// before a restart goes by the oldest that is known.
    fn routes_at(&self, position: Position) -> &dyn Routes {
        let after = self.history.partition_point(|(before, _)| *before < position);
        match self.history.get(after.saturating_sub(1)) {
            Some((_, routes)) => &**routes,
            None => &*self.routes,
        }
    }

    fn forget_history(&mut self) {
        let lowest = self.lanes.iter().filter_map(|at| self.tracks[*at].lane).map(|lane| lane.read).min();
        let lowest = lowest.unwrap_or(self.window.read());
        while self.history.len() > 1 && self.history[1].0 <= lowest {
            self.history.pop_front();
        }
    }

    fn is_settled_before(&self, position: Position, target: &Target) -> bool {
        !self.settled_before.is_empty() && self.settled_before.contains(&(position, target.clone()))
    }

    fn entity(&self, event: &Event) -> Option<u64> {
        match self.options.ordering {
            Ordering::None => None,
            Ordering::Strict => Some(0),
            Ordering::Entity if event.entity().is_empty() => None,
            // Two entities with one hash only wait for each other.
            Ordering::Entity => Some(self.hasher.hash_one((event.stream(), event.entity()))),
        }
    }

    fn track(&mut self, target: &Target) -> usize {
        if let Some(at) = self.index.get(target) {
            return *at;
        }
        let mut track = Track::new(target.clone(), self.status.target(target), self.options.concurrency);
        track.gone = !self.routes.has(target);
        let at = match self.tracks.iter().position(|track| track.gone && track.is_empty()) {
            // The place of a target that is gone; rare, since targets are.
            Some(at) if self.tracks.len() > 64 && !self.tracks[at].runnable => {
                self.index.remove(&self.tracks[at].target);
                self.tracks[at] = track;
                at
            }
            _ => {
                self.tracks.push(track);
                self.tracks.len() - 1
            }
        };
        self.index.insert(target.clone(), at);
        at
    }

    // ---- sending ----

    fn may_run(&mut self, at: usize) {
        let track = &mut self.tracks[at];
        if !track.runnable {
            track.runnable = true;
            self.runnable.push_back(at);
        }
    }

    /// Begins every attempt that may begin.
    fn dispatch(&mut self) {
        let mut idle = 0;
        while idle < self.runnable.len() && self.in_flight < self.options.concurrency {
            let Some(at) = self.runnable.pop_front() else { return };
            if self.tracks[at].gone {
                self.unsubscribe(at);
            }
            let sent = self.send(at);
            let track = &mut self.tracks[at];
            // An open circuit is woken by its alarm, an idle target by its next event.
            if !track.has_ready() || (track.is_open() && !sent) {
                track.runnable = false;
            } else {
                self.runnable.push_back(at);
            }
            idle = if sent { 0 } else { idle + 1 };
        }
    }

    /// Begins one attempt at the target, if it may.
    fn send(&mut self, at: usize) -> bool {
        let now = Instant::now();
        let free = self.options.concurrency - self.in_flight;
        let alone = self.index.len() == 1;
        let track = &mut self.tracks[at];
        let probing = match &mut track.circuit {
            Circuit::Open { probing: true, .. } => return false,
            Circuit::Open { until, .. } if *until > now => return false,
            Circuit::Open { .. } => true,
            // However many targets hang, each leaves the others a share of what is free.
            Circuit::Closed if track.in_flight >= track.trust || (!alone && track.in_flight >= 4 * free) => {
                return false;
            }
            Circuit::Closed => false,
        };
        let limits =
            if probing { BatchLimits { events: 1, ..self.processor.limits() } } else { self.processor.limits() };
        let mut positions = Vec::with_capacity(limits.events.min(track.owed()));
        let mut batch = Vec::with_capacity(positions.capacity());
        let mut bytes = 0;
        let mut again = 0;
        while positions.len() < limits.events {
            let position = match track.next_ready(now, probing) {
                None => break,
                Some(Err((position, then))) => {
                    self.alarms.push(Reverse((then, Alarm::Retry(at, position))));
                    continue;
                }
                Some(Ok(position)) => position,
            };
            let Some(item) = track.item(position) else { continue };
            let size = item.event.size();
            if !batch.is_empty() && bytes + size > limits.bytes {
                track.put_back(position);
                break;
            }
            bytes += size;
            again += u64::from(item.first_attempt.is_some());
            item.first_attempt.get_or_insert(now);
            item.stage = Stage::InFlight;
            positions.push(position);
            batch.push(Attempted { event: item.event.clone(), position, attempt: item.attempts + 1 });
        }
        if batch.is_empty() {
            return false;
        }
        if probing && let Circuit::Open { probing, .. } = &mut track.circuit {
            *probing = true;
        }
        track.in_flight += 1;
        track.status.attempt_began(batch.len() as u64, again);
        self.in_flight += 1;
        let processor = Arc::clone(&self.processor);
        let target = track.target.clone();
        self.pending.push(Box::pin(async move {
            let outcomes = processor.attempt(&target, &batch).await;
            Done::Attempt { track: at, positions, outcomes, began: now }
        }));
        true
    }

    // ---- outcomes ----

    fn done(&mut self, done: Done) {
        match done {
            Done::Attempt { track: at, positions, outcomes, began } => {
                let now = Instant::now();
                let track = &mut self.tracks[at];
                track.in_flight -= 1;
                self.in_flight -= 1;
                track.status.attempt_ended(now - began);
                for (position, outcome) in positions.into_iter().zip(outcomes) {
                    self.outcome(at, position, outcome, began, now);
                }
                self.may_run(at);
            }
            Done::Kept { track, position } => self.settle(track, position, End::DeadLettered, None),
        }
    }

    fn outcome(&mut self, at: usize, position: Position, outcome: Outcome, began: Instant, now: Instant) {
        let concurrency = self.options.concurrency;
        let track = &mut self.tracks[at];
        if !matches!(outcome, Outcome::Busy { .. }) {
            track.answered(began, concurrency);
        }
        let told = Arc::clone(&track.status);
        let Some(item) = track.item(position) else { return };
        let age = item.first_attempt.map_or(Duration::ZERO, |first| now - first);
        match outcome {
            Outcome::Delivered { status } => {
                item.attempts += 1;
                let tries = item.attempts + item.busy;
                self.status.delivered(&told, &item.event, tries, status, now - began);
                self.settle(at, position, End::Delivered, status);
            }
            Outcome::Accepted { within } => {
                item.stage = Stage::Accepted;
                item.attempts += 1;
                let attempt = item.attempts;
                if let Some(entity) = item.entity.take() {
                    track.release(entity);
                }
                self.alarms.push(Reverse((now + within, Alarm::Overdue(at, position, attempt))));
            }
            Outcome::Busy { after, why } => {
                item.busy += 1;
                let after = after.map(|after| after.min(MOST_ASKED));
                let wait = after.unwrap_or_else(|| Backoff::nth(FIRST_RETRY, MOST_RETRY, item.busy));
                item.not_before = Some(now + wait);
                item.last = Some(why.clone());
                let too_old = age > self.options.max_age;
                if !too_old {
                    self.status.will_retry(&told, &item.event, item.attempts + 1, &why, wait);
                    track.make_ready(position);
                }
                if let Some(until) = track.busy(began, now, after, &why) {
                    self.alarms.push(Reverse((until, Alarm::Probe(at))));
                }
                self.open_lane(at);
                if too_old {
                    self.give_up(at, position, why);
                }
            }
            Outcome::Failed { after, why } => {
                item.attempts += 1;
                if item.attempts >= self.options.max_attempts || age > self.options.max_age {
                    self.give_up(at, position, why);
                    return;
                }
                let after = after.map(|after| after.min(MOST_ASKED));
                let wait = after.unwrap_or_else(|| Backoff::nth(FIRST_RETRY, MOST_RETRY, item.attempts));
                item.stage = Stage::Waiting;
                self.status.will_retry(&told, &item.event, item.attempts, &why, wait);
                item.last = Some(why);
                self.alarms.push(Reverse((now + wait, Alarm::Retry(at, position))));
            }
            Outcome::Rejected { why } => {
                item.attempts += 1;
                self.give_up(at, position, why);
            }
        }
    }

    /// The event will not be tried again at this target.
    fn give_up(&mut self, at: usize, position: Position, why: Reason) {
        let track = &mut self.tracks[at];
        let (told, target) = (Arc::clone(&track.status), track.target.clone());
        let Some(item) = track.item(position) else { return };
        let kept = self.dead_letters.is_some().then_some("as a dead letter");
        self.status.given_up(&told, &item.event, item.attempts + item.busy, &why, kept);
        item.last = Some(why.clone());
        let Some(dead_letters) = self.dead_letters.clone() else {
            self.settle(at, position, End::DeadLettered, why.status);
            return;
        };
        item.stage = Stage::GivenUp;
        let letter = DeadLetter {
            processor: Arc::clone(&self.name),
            target,
            entry: Entry { position, event: item.event.clone() },
            attempts: item.attempts + item.busy,
            outcome: Outcome::Rejected { why },
        };
        let name = Arc::clone(&self.name);
        self.pending.push(Box::pin(async move {
            let mut backoff = Backoff::new(FIRST_RETRY, MOST_RETRY);
            while let Err(error) = dead_letters.keep(letter.clone()).await {
                tracing::warn!(processor = %name, %error, "a dead letter cannot be kept yet, its lane waits");
                tokio::time::sleep(backoff.wait()).await;
            }
            Done::Kept { track: at, position }
        }));
    }

    fn settle(&mut self, at: usize, position: Position, end: End, status: Option<u16>) {
        let track = &mut self.tracks[at];
        let Some((item, fronts)) = track.settle(position) else { return };
        if fronts {
            self.window.settle(position);
        } else {
            track.dissolve();
        }
        self.settlements.push(Settlement {
            position,
            target: track.target.clone(),
            end,
            attempts: item.attempts + item.busy,
            status: status.or_else(|| item.last.and_then(|why| why.status)),
        });
        self.uncommitted += 1;
        self.touched();
        self.may_run(at);
    }

    fn settle_late(&mut self, Late { position, target, attempt, outcome }: Late) {
        let Some(at) = self.index.get(&target).copied() else { return };
        let Some(item) = self.tracks[at].item(position) else { return };
        if item.stage != Stage::Accepted || item.attempts != attempt {
            tracing::debug!(processor = %self.name, %target, %position, attempt, "a late outcome that nobody waits for");
            return;
        }
        // The attempt has been counted when it was accepted.
        item.attempts -= 1;
        item.stage = Stage::InFlight;
        let now = Instant::now();
        self.outcome(at, position, outcome, now, now);
    }

    fn open_lane(&mut self, at: usize) {
        let track = &mut self.tracks[at];
        let passed = track.open_lane(self.window.read());
        if track.is_open() {
            track.shed();
        }
        if !self.lanes.contains(&at) {
            self.lanes.push(at);
        }
        for position in passed {
            self.window.settle(position);
        }
        self.touched();
    }

    // ---- the map ----

    fn refresh_routes(&mut self) {
        let routes = self.processor.routes();
        if !Arc::ptr_eq(&routes, &self.routes) {
            self.routes = routes;
            self.note_gone();
        }
    }

    fn note_gone(&mut self) {
        for at in 0..self.tracks.len() {
            let gone = !self.routes.has(&self.tracks[at].target);
            self.tracks[at].gone = gone;
            if gone {
                self.unsubscribe(at);
            }
        }
    }

    /// Settles everything that a target that is gone is owed.
    fn unsubscribe(&mut self, at: usize) {
        for position in self.tracks[at].idle() {
            let told = Arc::clone(&self.tracks[at].status);
            if let Some(item) = self.tracks[at].item(position) {
                self.status.unsubscribed(&told, &item.event);
            }
            self.settle(at, position, End::Unsubscribed, None);
        }
        let track = &mut self.tracks[at];
        if track.owed() == 0 && track.is_open() {
            // Nobody will ever answer; the lane need not wait for it.
            track.circuit = Circuit::Closed;
            track.status.circuit_closed();
        }
    }

    // ---- time ----

    /// Handles the alarms that are due.
    fn ring(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, alarm))) = self.alarms.peek().copied()
            && at <= now
        {
            self.alarms.pop();
            match alarm {
                Alarm::Retry(track, position) => {
                    if self.tracks[track].item(position).is_some_and(|item| item.stage == Stage::Waiting) {
                        self.tracks[track].make_ready(position);
                        self.may_run(track);
                    }
                }
                Alarm::Probe(track) => self.may_run(track),
                Alarm::Overdue(track, position, attempt) => {
                    let target = self.tracks[track].target.clone();
                    let why = Reason { status: None, text: "no callback in time".to_owned() };
                    self.settle_late(Late { position, target, attempt, outcome: Outcome::Failed { after: None, why } });
                }
            }
        }
    }

    // ---- the durable place ----

    /// Something changed that a commit would make durable.
    fn touched(&mut self) {
        if self.commit_at.is_none() {
            self.commit_at = Some(Instant::now() + COMMIT_AFTER);
        }
    }

    async fn commit(&mut self) -> Result<(), JournalError> {
        self.commit_at = None;
        self.uncommitted = 0;
        self.cursor.record(&self.settlements);
        self.settlements.clear();
        self.forget_history();
        let front = self.window.front();
        let lanes = self.lanes.iter().filter_map(|at| {
            let track = &self.tracks[*at];
            track.lane.map(|lane| (track.target.clone(), track.settled_through(lane)))
        });
        let state = CursorState { front, lanes: lanes.collect() };
        if state != self.committed {
            let settled = state.settled_through();
            self.cursor.commit(state.clone()).await?;
            self.committed = state;
            self.settled_before.retain(|(position, _)| *position > settled);
        }
        Ok(())
    }
}
