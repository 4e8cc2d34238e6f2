//! The thread that appends events: what has come in the meantime is written together, and synced once.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::batch;
use super::disk::Disk;
use super::frame::HeaderError;
use super::log::{Frames, Log, LogError};
use super::state::Shared;
use crate::attempt::Position;
use crate::journal::{Batch, Checkpoint, Entry, JournalError};

/// What is written together is no larger, unless a single batch is.
const MOST_BYTES: u64 = 8 << 20;

/// How often what is not synced at once is.
const SYNC: Duration = Duration::from_secs(1);

/// How often what has become too old is looked for.
const TRIM: Duration = Duration::from_secs(30);

/// What the thread is asked.
pub(super) enum Order {
    /// To append a batch of so many bytes.
    Append { batch: Batch, bytes: u64, answer: oneshot::Sender<Result<Position, JournalError>> },
    /// To let a stream have another one's checkpoint. Answers whether it was there.
    Adopt { from: Arc<str>, to: Arc<str>, answer: oneshot::Sender<Result<bool, JournalError>> },
    /// To let go of what nobody waits for any more.
    Trim,
    /// To sync, and to end.
    Close(oneshot::Sender<Result<(), JournalError>>),
}

pub(super) struct Writer {
    pub(super) log: Log,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) shared: Arc<Shared>,
    pub(super) orders: Receiver<Order>,
}

struct Appending {
    batch: Batch,
    bytes: u64,
    /// The position of its last event, or of what came before.
    last: Position,
    answer: oneshot::Sender<Result<Position, JournalError>>,
}

/// Who waits for a thread to end, and what it came to. To be told when all that the thread held is let go.
pub(super) type Ended = (oneshot::Sender<Result<(), JournalError>>, Result<(), JournalError>);

impl Writer {
    pub(super) fn run(mut self) -> Option<Ended> {
        self.keep_reserve();
        let mut sync_at = None;
        let mut trim_at = Instant::now() + TRIM;
        loop {
            let due = sync_at.unwrap_or(trim_at).min(trim_at);
            let first = match self.orders.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return None,
            };
            let mut group = Vec::new();
            let mut adoptions = Vec::new();
            let mut trim = false;
            let mut close = None;
            let mut bytes = 0;
            let mut next = first;
            while let Some(order) = next {
                match order {
                    Order::Append { batch, bytes: size, answer } => {
                        bytes += size;
                        group.push(Appending { batch, bytes: size, last: Position(0), answer });
                    }
                    Order::Adopt { from, to, answer } => adoptions.push((from, to, answer)),
                    Order::Trim => trim = true,
                    Order::Close(answer) => {
                        close = Some(answer);
                        break;
                    }
                }
                next = if bytes < MOST_BYTES { self.orders.try_recv().ok() } else { None };
            }
            if !group.is_empty() {
                self.append(group);
                if !self.shared.settings.synced {
                    sync_at.get_or_insert_with(|| Instant::now() + SYNC);
                }
            }
            for (from, to, answer) in adoptions {
                drop(answer.send(self.adopt(&from, &to)));
            }
            let now = Instant::now();
            if sync_at.is_some_and(|at| at <= now) {
                sync_at = None;
                self.sync();
            }
            if trim || trim_at <= now {
                trim_at = now + TRIM;
                self.trim(false);
                self.keep_reserve();
            }
            if let Some(answer) = close {
                let synced = self.log.sync().map_err(|error| told(&error));
                self.log.attest(self.shared.clock.now());
                return Some((answer, synced));
            }
        }
    }

    fn append(&mut self, mut group: Vec<Appending>) {
        let Self { log, shared, .. } = self;
        *shared.writing() = Some(Instant::now());
        let time = shared.clock.now();
        let files = shared.events.bytes();
        // What counts of an event is more than what is written of it.
        let expected = group.iter().map(|appending| appending.bytes).sum();
        let result = log.append(time, &mut |frames| checkpoints(shared, frames), &mut |frames| {
            frames.expect(expected);
            for Appending { batch, last, .. } in &mut group {
                batch::write(frames, batch);
                *last = Position(frames.next().0 - 1);
            }
        });
        *shared.writing() = None;
        if let Err(error) = result {
            self.refuse(group, &error);
            if matches!(&error, LogError::Io { error, .. } if error.kind() == io::ErrorKind::StorageFull) {
                // The next try finds what history gives back.
                self.make_room();
            }
            return;
        }
        {
            let mut checkpoints = shared.checkpoints();
            for Batch { stream, events, checkpoint } in group.iter().map(|appending| &appending.batch) {
                if let Some(delta) = checkpoint {
                    let kept = checkpoints.entry(Arc::clone(stream)).or_insert_with(|| Checkpoint::bare(delta));
                    kept.apply(delta, events);
                }
            }
        }
        let mut newest = Position(0);
        let mut answers = Vec::with_capacity(group.len());
        let mut state = shared.lock();
        for Appending { batch, bytes, last, answer } in group {
            let count = batch.events.len() as u64;
            state.appended += count;
            state.pending -= bytes;
            if count > 0 {
                newest = last;
                state.flow.push(last, bytes);
            }
            for (position, event) in (last.0 + 1 - count..).zip(batch.events) {
                state.tail.push(Entry { position: Position(position), event });
            }
            answers.push((answer, last));
        }
        state.trim_tail();
        if let Some(trouble) = state.trouble.take() {
            tracing::info!(trouble, "the journal can be written again");
        }
        drop(state);
        shared.newest.send_if_modified(|seen| {
            let news = newest > *seen;
            *seen = newest.max(*seen);
            news
        });
        for (answer, last) in answers {
            drop(answer.send(Ok(last)));
        }
        // A new segment may be one too many.
        if shared.bytes() > shared.settings.max_bytes && shared.events.bytes() != files {
            self.trim(false);
        }
    }

    /// Lets a stream have another one's checkpoint: a new segment begins with that.
    fn adopt(&mut self, from: &Arc<str>, to: &Arc<str>) -> Result<bool, JournalError> {
        let Self { log, shared, .. } = self;
        let moved = |from: &Arc<str>, to: &Arc<str>| {
            let mut checkpoints = shared.checkpoints();
            let checkpoint = if checkpoints.contains_key(to) { None } else { checkpoints.remove(from) };
            checkpoint.map(|checkpoint| checkpoints.insert(Arc::clone(to), checkpoint)).is_some()
        };
        if !moved(from, to) {
            return Ok(false);
        }
        let rolled = log.roll(shared.clock.now(), &mut |frames| checkpoints(shared, frames));
        rolled.map(|()| true).map_err(|error| {
            moved(to, from);
            told(&error)
        })
    }

    fn refuse(&self, group: Vec<Appending>, error: &LogError) {
        self.trouble(error);
        let error = told(error);
        let mut state = self.shared.lock();
        for appending in &group {
            state.pending -= appending.bytes;
        }
        drop(state);
        for appending in group {
            drop(appending.answer.send(Err(error.clone())));
        }
    }

    /// Says once what is wrong.
    fn trouble(&self, error: &LogError) {
        let mut state = self.shared.lock();
        let now = error.to_string();
        if state.trouble.as_ref() != Some(&now) {
            tracing::error!(error = now, "the journal cannot be written: streams wait until it can");
            state.trouble = Some(now);
        }
    }

    /// The disk is full: lets go of all history, and of the segment that was appended to, if nobody waits for what it
    /// holds. A new one needs room itself, which was kept for it.
    fn make_room(&mut self) {
        self.trim(true);
        let Self { log, shared, disk, .. } = self;
        let newest = *shared.newest.borrow();
        if shared.lock().durable() < newest || shared.events.records() == 0 {
            return;
        }
        disk.release();
        let rolled = log.roll(shared.clock.now(), &mut |frames| checkpoints(shared, frames));
        match rolled {
            Ok(()) => self.trim(true),
            Err(error) => tracing::warn!(%error, "the disk is full, and there is no room to begin anew"),
        }
        self.keep_reserve();
    }

    /// Keeps room for a segment's beginning.
    fn keep_reserve(&self) {
        if let Err(error) = self.disk.reserve(self.shared.settings.reserve()) {
            tracing::debug!(%error, "nothing can be reserved on the journal's disk yet");
        }
    }

    fn sync(&mut self) {
        if let Err(error) = self.log.sync() {
            tracing::error!(%error, "what was journaled in the last second may be lost with the power");
            self.trouble(&error);
        }
    }

    /// Lets go of the oldest segments that nobody waits for, if they are old, or too many, or all of them.
    fn trim(&mut self, all: bool) {
        let Self { log, shared, .. } = self;
        let settings = &shared.settings;
        let durable = shared.lock().durable();
        let max_age = i64::try_from(settings.max_age.as_micros()).unwrap_or(i64::MAX);
        let oldest = shared.clock.now().saturating_sub(max_age);
        loop {
            let crowded = shared.bytes() + settings.segment_bytes() > settings.max_bytes;
            match log.trim(durable, |time| !all && !crowded && time >= oldest) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "old events cannot be let go yet");
                    break;
                }
            }
        }
        if all {
            log.forgo_spare();
        }
    }
}

/// What a segment begins with.
fn checkpoints(shared: &Shared, frames: &mut Frames) {
    for (stream, checkpoint) in &*shared.checkpoints() {
        batch::write_checkpoint(frames, stream, checkpoint);
    }
}

/// For those who asked, of a log in that folder.
pub(super) fn told_of(folder: &str, error: LogError) -> JournalError {
    told(&match error {
        LogError::Damaged { name, at, why } => LogError::Damaged { name: format!("{folder}/{name}"), at, why },
        LogError::Foreign { name, error } => LogError::Foreign { name: format!("{folder}/{name}"), error },
        other => other,
    })
}

/// For those who asked.
pub(super) fn told(error: &LogError) -> JournalError {
    match error {
        LogError::Io { what, name, error } => {
            JournalError::Io { what: format!("{what} {name}"), why: error.to_string() }
        }
        // There is nothing to mend: this router is too old.
        LogError::Foreign { name, error: error @ HeaderError::Newer(_) } => {
            JournalError::Io { what: format!("use {name}"), why: error.to_string() }
        }
        LogError::Damaged { .. } | LogError::Foreign { .. } => JournalError::Damaged(error.to_string()),
    }
}
