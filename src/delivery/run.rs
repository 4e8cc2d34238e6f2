//! The loop: what it waits for, and what it begins. What it reads is in [`read`], what it does after an attempt in [`outcome`].

pub(super) mod again;
pub(super) mod explain;
mod outcome;
mod read;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, VecDeque};
use std::hash::BuildHasher as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use futures_util::future::{FutureExt as _, OptionFuture};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::track::{Circuit, Lane, Stage, Track};
use super::window::Window;
use super::{
    EVENT, Errand, FIRST_RETRY, HELD, LANES_BYTES, Late, MOST_ASKED, MOST_RETRY, MOST_SPAN, Options, Ordering, Room,
    SPAN, STUCK, Settler, WAVES, excludes,
};
use crate::attempt::{BatchLimits, Delivery as Attempted, Outcome, Position, Reason, Target};
use crate::backoff::Backoff;
use crate::event::Event;
use crate::journal::{Cursor, CursorState, DeadLetter, DeadLetters, End, Entry, JournalError, Settlement};
use crate::processor::{Processor, Routes, Targets};
use crate::telemetry::ProcessorStatus;

/// Entries read from the journal at once.
const CHUNK: BatchLimits = BatchLimits { events: 512, bytes: 1024 * 1024 };

/// The place is committed after this many events, when the front has passed this much, or after this long, whichever is
/// first. Streams wait for what the front passes: many events may be settled before it moves, and then it moves far.
const COMMIT_EVENTS: usize = 256;
const COMMIT_BYTES: usize = 256 * 1024;
const COMMIT_AFTER: Duration = Duration::from_millis(100);

/// How often what may change unseen is looked at: the map of a processor with open events.
const LOOK: Duration = Duration::from_secs(1);

/// Chunks read in a row, before others have their turn.
const CHUNKS: usize = 8;

/// Alarms that may be there before those that mean nothing any more are looked for.
const ALARMS: usize = 1024;

/// Late outcomes that may wait to be taken.
const SETTLES: usize = 1024;

/// What has been going on and ended.
enum Done {
    Attempt { track: usize, batch: Vec<Attempted>, outcomes: Vec<Outcome>, began: Instant },
    Kept { track: usize, position: Position },
    NotKept,
    Again { key: again::Key, outcome: Option<Outcome>, began: Instant },
    AgainWritten { key: again::Key },
}

/// Who reads the journal.
const FRONT: usize = 0;
const LANES: usize = 1;

/// How long what is damaged is left alone.
const DAMAGED: Duration = Duration::from_secs(15);

type Pending = Pin<Box<dyn Future<Output = Done> + Send>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    /// An item's wait is over.
    Retry(usize, Position),
    /// A target that does not answer may be probed.
    Probe(usize),
    /// An accepted attempt should have been settled by now.
    Overdue(usize, Position),
    /// A batch has waited long enough for others to fill it.
    Fill(usize),
}

/// Delivers one processor's events.
pub struct Delivery {
    processor: Arc<dyn Processor>,
    status: Arc<ProcessorStatus>,
    name: Arc<str>,
    cursor: Arc<dyn Cursor>,
    dead_letters: Arc<dyn DeadLetters>,
    options: Options,
    /// How long an event may wait for others to fill its batch.
    linger: Duration,
    errands: mpsc::Receiver<Errand>,

    window: Window,
    /// What the front may be ahead of its oldest open event.
    span: Room,
    /// When the entry was read that keeps the front from reading on, if one does.
    stuck: Option<Instant>,
    /// What the front, and what lanes would read is damaged: until then it is not tried again, and the rest goes on.
    damaged: [Option<Instant>; 2],
    tracks: Vec<Track>,
    index: HashMap<Target, usize, RandomState>,
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
    /// There is more to read at once, after others had their turn.
    more: bool,
    stop: CancellationToken,
    /// Those of items that are settled are swept out when there are so many.
    alarms_sweep: usize,
    alarms: BinaryHeap<Reverse<(Instant, Alarm)>>,
    /// Dead letters that are sent again.
    again: BTreeMap<again::Key, again::Again>,
    settlements: Vec<Settlement>,
    nobody: Targets,
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
        dead_letters: Arc<dyn DeadLetters>,
        options: Options,
    ) -> (Self, Settler) {
        let (settler, errands) = mpsc::channel(SETTLES);
        let state = cursor.state();
        let routes = processor.routes();
        let batch = processor.limits().events;
        let under_way = batch.saturating_mul(options.concurrency);
        let span = if batch > 1 { under_way.saturating_mul(WAVES).clamp(SPAN.events, MOST_SPAN) } else { SPAN.events };
        let span = Room { events: span, bytes: span * EVENT };
        // What may be under way, and as much again that is ready; where batches are filled from it, half a span.
        let times = if batch > 1 { WAVES / 2 } else { 2 };
        cursor.reach(under_way.saturating_mul(times * EVENT).min(span.bytes / 2) as u64);
        let mut this = Self {
            name: status.name.as_str().into(),
            window: Window::new(state.front),
            span,
            stuck: None,
            damaged: [None, None],
            tracks: Vec::new(),
            index: HashMap::default(),
            runnable: VecDeque::new(),
            lanes: Vec::new(),
            lanes_bytes: 0,
            history: VecDeque::new(),
            routes,
            settled_before: cursor.settled().into_iter().collect(),
            pending: FuturesUnordered::new(),
            in_flight: 0,
            more: false,
            stop: CancellationToken::new(),
            alarms_sweep: ALARMS,
            alarms: BinaryHeap::new(),
            again: BTreeMap::new(),
            settlements: Vec::new(),
            nobody: Targets::from([]),
            committed: state.clone(),
            uncommitted: 0,
            commit_at: None,
            hasher: RandomState::default(),
            linger: processor.linger(),
            processor,
            status,
            cursor,
            dead_letters,
            options,
            errands,
        };
        for (target, through) in state.lanes {
            let track = this.track(&target);
            this.tracks[track].lane = Some(Lane { read: through, merged: false });
            this.tracks[track].status.lane(true);
            this.lanes.push(track);
        }
        (this, Settler(settler))
    }

    /// What is set aside is a dead letter of this processor, whatever the status is called.
    #[must_use]
    pub fn on_behalf_of(mut self, processor: Arc<str>) -> Self {
        self.name = processor;
        self
    }

    /// Delivers until stopped; then waits for the attempts under way and commits.
    ///
    /// # Errors
    /// The journal cannot be read or written. Nothing is lost: a new delivery
    /// from the cursor's durable place goes on.
    pub async fn run(&mut self, stop: &CancellationToken) -> Result<(), JournalError> {
        self.stop = stop.clone();
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
            self.send_again();
            // At once, so that a crash repeats no more than what is under way.
            self.cursor.record(&mut self.settlements);
            if self.uncommitted >= COMMIT_EVENTS
                || self.window.passed() >= COMMIT_BYTES
                || self.commit_at.is_some_and(|at| at <= Instant::now())
            {
                self.commit().await?;
            }
            self.wait(stop).await?;
            if stop.is_cancelled() {
                break;
            }
            self.refresh_routes();
        }
        self.drain().await
    }

    /// Waits for the attempts under way, and makes durable what became of those that have ended.
    async fn drain(&mut self) -> Result<(), JournalError> {
        self.commit().await?;
        loop {
            let due = self.commit_at;
            tokio::select! {
                done = self.pending.next() => match done {
                    Some(done) => self.done(done),
                    None => return self.commit().await,
                },
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.commit().await?,
            }
        }
    }

    /// Waits until there is something to do, and does what came.
    async fn wait(&mut self, stop: &CancellationToken) -> Result<(), JournalError> {
        let now = Instant::now();
        for until in &mut self.damaged {
            *until = until.filter(|until| *until > now);
        }
        let more = std::mem::take(&mut self.more);
        if more {
            tokio::task::yield_now().await;
        }
        let owes = !self.window.is_empty() || !self.lanes.is_empty();
        let due = [
            self.alarms.peek().map(|Reverse((at, _))| *at),
            self.commit_at,
            self.damaged.into_iter().flatten().min(),
            self.stuck.or_else(|| self.held().map(read::look_again)).map(|since| since + STUCK),
            owes.then(|| now + LOOK),
            self.again_due(),
            more.then_some(now),
        ];
        let due = due.into_iter().flatten().min();
        let cursor = Arc::clone(&self.cursor);
        let read = self.window.read();
        let reads_on = self.stuck.is_none() && self.damaged[FRONT].is_none();
        let journal: OptionFuture<_> = reads_on.then(|| cursor.readable(read)).into();
        tokio::select! {
            Some(done) = self.pending.next() => {
                self.done(done);
                while let Some(Some(done)) = self.pending.next().now_or_never() {
                    self.done(done);
                }
            }
            Some(errand) = self.errands.recv() => {
                self.errand(errand);
                while let Ok(errand) = self.errands.try_recv() {
                    self.errand(errand);
                }
            }
            Some(readable) = journal => readable?,
            () = tokio::time::sleep_until(due.unwrap_or(now)), if due.is_some() => {}
            () = stop.cancelled() => {}
        }
        self.ring();
        Ok(())
    }

    fn errand(&mut self, errand: Errand) {
        match errand {
            Errand::Late(late) => self.settle_late(late),
            Errand::Retry(retry) => self.retry(retry),
            Errand::Explain(question) => self.explain(question),
        }
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
            let stays = track.has_ready() && (sent || !track.is_open());
            track.runnable = stays;
            if stays {
                self.runnable.push_back(at);
            }
            idle = if sent { 0 } else { idle + usize::from(stays) };
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
        let mut chosen = Vec::with_capacity(limits.events.min(track.owed()));
        let mut bytes = 0;
        let mut full = false;
        while !full {
            let position = match track.next_ready(now, probing) {
                None => break,
                Some(Err((position, then))) => {
                    self.alarms.push(Reverse((then, Alarm::Retry(at, position))));
                    continue;
                }
                Some(Ok(position)) => position,
            };
            let Some(item) = track.item(position) else { continue };
            let size = self.processor.weight(&item.event);
            if !chosen.is_empty() && bytes + size > limits.bytes {
                track.put_back(position);
                full = true;
                break;
            }
            bytes += size;
            chosen.push(position);
            full = chosen.len() >= limits.events;
        }
        if chosen.is_empty() {
            return false;
        }
        if !full
            && !probing
            && let Some(due) = track.waits_for_others(&chosen, self.linger, now)
        {
            if let Some(due) = due {
                self.alarms.push(Reverse((due, Alarm::Fill(at))));
            }
            return false;
        }
        let mut batch = Vec::with_capacity(chosen.len());
        let mut again = 0;
        for position in chosen {
            let Some(item) = track.item(position) else { continue };
            again += u64::from(item.first_attempt.is_some());
            item.first_attempt.get_or_insert(now);
            item.early = None;
            item.stage = Stage::InFlight;
            batch.push(Attempted { event: item.event.clone(), position, attempt: item.attempts + 1 });
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
            Done::Attempt { track: at, batch, outcomes, began: now }
        }));
        true
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
                Alarm::Fill(track) => {
                    self.tracks[track].filled(at);
                    self.may_run(track);
                }
                Alarm::Overdue(track, position) => {
                    if self.tracks[track].look(position).is_some_and(|item| item.overdue == Some(at)) {
                        let why = Reason { status: None, text: "no callback in time".to_owned() };
                        self.settle_accepted(track, position, Outcome::Failed { after: None, why });
                    }
                }
            }
        }
        if self.alarms.len() > self.alarms_sweep {
            let tracks = &self.tracks;
            self.alarms.retain(|Reverse((at, alarm))| match alarm {
                Alarm::Retry(track, place) => {
                    tracks[*track].look(*place).is_some_and(|item| item.stage == Stage::Waiting)
                }
                Alarm::Probe(track) => tracks[*track].is_open(),
                Alarm::Fill(_) => true,
                Alarm::Overdue(track, place) => {
                    tracks[*track].look(*place).is_some_and(|item| item.overdue == Some(*at))
                }
            });
            self.alarms_sweep = ALARMS.max(2 * self.alarms.len());
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
        self.window.committed();
        self.cursor.record(&mut self.settlements);
        self.forget_history();
        let front = self.window.front();
        let lanes = self.lanes.iter().filter_map(|at| {
            let track = &self.tracks[*at];
            track.lane.map(|lane| (track.target.clone(), track.settled_through(lane)))
        });
        let state = CursorState { front, lanes: lanes.collect() };
        if state != self.committed {
            let (before, settled) = (self.committed.settled_through(), state.settled_through());
            self.cursor.commit(state.clone()).await?;
            self.committed = state;
            // They are many where one event waits for long, and none goes before that one does.
            if settled > before {
                self.settled_before.retain(|(position, _)| *position > settled);
            }
        }
        Ok(())
    }
}
