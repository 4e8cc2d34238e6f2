//! What streams' checkpoints would be, had what is lost never been journaled.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Checkpoints, Gap};
use crate::attempt::Position;
use crate::journal::embedded::batch;
use crate::journal::embedded::frame::{Head, LAST};
use crate::journal::embedded::log::BEGIN;
use crate::journal::embedded::survey::{Damage, Seen};
use crate::journal::{Checkpoint, CheckpointDelta, HORIZON_MICROS};

/// A frame's stream, change, and keys and CreatedTimes.
type Waiting = (String, Option<CheckpointDelta>, Vec<(i32, i64)>);

/// Collects checkpoints from all of a log, with what can be read alone.
pub(super) struct Replay {
    /// What all processors are done with: to lose it costs nothing.
    settled: Position,
    all: Checkpoints,
    /// What a segment begins with, and whether that is all.
    begun: Vec<(Arc<str>, Checkpoint)>,
    begun_whole: bool,
    waiting: Vec<Waiting>,
    /// The checkpoint before the first thing that is missing, without what it remembers.
    before: BTreeMap<Arc<str>, CheckpointDelta>,
    /// How far reading had come with the first batch behind it.
    after: BTreeMap<Arc<str>, i64>,
    lost: Vec<String>,
}

fn state(checkpoint: &Checkpoint) -> CheckpointDelta {
    let Checkpoint { instance, filter, resume, newest, last, horizon, .. } = *checkpoint;
    CheckpointDelta { instance, filter, resume, newest, last, horizon }
}

/// The checkpoint of a stream of which nothing is known but where it cannot have begun later.
fn from_horizon(delta: &CheckpointDelta) -> CheckpointDelta {
    let horizon = delta.horizon;
    CheckpointDelta { resume: horizon, newest: horizon, last: None, ..*delta }
}

impl Replay {
    pub(super) fn new(settled: Position) -> Self {
        Self {
            settled,
            all: BTreeMap::new(),
            begun: Vec::new(),
            begun_whole: true,
            waiting: Vec::new(),
            before: BTreeMap::new(),
            after: BTreeMap::new(),
            lost: Vec::new(),
        }
    }

    pub(super) fn visit(&mut self, seen: &Seen<'_>) {
        match seen {
            Seen::Frame(head, payload) => self.frame(head, payload),
            Seen::Lost(damage) => self.lose(damage),
            Seen::End => {
                self.begin(false);
                self.begun_whole = true;
                self.waiting.clear();
            }
        }
    }

    fn frame(&mut self, head: &Head, payload: &[u8]) {
        match head.kind {
            BEGIN => self.begin(self.begun_whole),
            batch::CHECKPOINT => self.begun.extend(batch::read_checkpoint(payload)),
            batch::EVENTS => {
                // The frame that ends what the segment begins with may be what is missing.
                self.begin(false);
                if let Some(part) = batch::glance(payload, head.count) {
                    self.waiting.push((part.stream.to_owned(), part.delta, part.keys));
                }
                if head.flags & LAST > 0 {
                    self.apply();
                }
            }
            _ => {}
        }
    }

    /// A segment's beginning names every stream, if it is whole.
    fn begin(&mut self, whole: bool) {
        let begun = std::mem::take(&mut self.begun);
        if whole {
            self.all.retain(|name, _| begun.iter().any(|(other, _)| other == name));
        }
        for (name, checkpoint) in begun {
            if self.before.contains_key(&name) {
                // It remembers what is lost.
                continue;
            }
            if !self.lost.is_empty() && !self.all.contains_key(&name) {
                let before = from_horizon(&state(&checkpoint));
                self.all.insert(Arc::clone(&name), Checkpoint::bare(&before));
                self.before.insert(name, before);
                continue;
            }
            self.all.insert(name, checkpoint);
        }
    }

    fn apply(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let Some((stream, Some(delta), _)) = waiting.last() else { return };
        let name: Arc<str> = stream.as_str().into();
        if !self.all.contains_key(&name) {
            if !self.lost.is_empty() {
                self.before.insert(Arc::clone(&name), from_horizon(delta));
            }
            self.all.insert(Arc::clone(&name), Checkpoint::bare(delta));
        }
        if self.before.contains_key(&name) {
            self.after.entry(Arc::clone(&name)).or_insert(delta.newest);
        }
        if let Some(kept) = self.all.get_mut(&name) {
            kept.apply_named(delta, waiting.iter().flat_map(|(_, _, keys)| keys).copied());
        }
    }

    fn lose(&mut self, damage: &Damage) {
        self.begun_whole = false;
        // What was read of a batch is there, though its end is not.
        for (stream, delta, keys) in std::mem::take(&mut self.waiting) {
            if let Some(kept) = self.all.get_mut(stream.as_str()) {
                let delta = delta.unwrap_or_else(|| state(kept));
                kept.apply_named(&delta, keys.into_iter());
            }
        }
        let Some((first, last)) = damage.lost.filter(|(_, last)| *last > self.settled.0) else { return };
        let Damage { file, at, to, .. } = damage;
        self.lost.push(format!("positions {first} to {last} ({file}, bytes {at} to {to})"));
        for (name, checkpoint) in &self.all {
            self.before.entry(Arc::clone(name)).or_insert_with(|| state(checkpoint));
        }
    }

    /// The checkpoints, rewound to where streams find what is lost, and what each of them misses until then.
    pub(super) fn finish(mut self) -> (Checkpoints, Vec<Gap>) {
        let mut gaps = Vec::new();
        let lost = self.lost.join(", ");
        for (name, before) in self.before {
            let Some(kept) = self.all.get_mut(&name) else { continue };
            let to = self.after.get(&name).copied().unwrap_or(kept.newest);
            // Events that came late may be older than where reading would have resumed.
            let from = before.resume.saturating_sub(HORIZON_MICROS).max(before.horizon).min(before.resume);
            let again = kept.instance == before.instance;
            let twice = again && kept.horizon > from;
            if again {
                kept.resume = kept.resume.min(from);
                kept.newest = kept.newest.min(before.newest).max(kept.resume);
                kept.last = before.last;
                // What is not remembered comes twice, which is better than not at all.
                kept.horizon = kept.horizon.min(kept.resume);
            }
            let what = if again {
                "what vCenter still has is read again"
            } else {
                "it came from another vCenter, and cannot be read again"
            };
            let reason = format!("the journal was damaged, and lost {lost}: {what}");
            let (stream, instance) = (name, before.instance);
            gaps.push(Gap { stream, instance, from, to: to.max(from), again, twice, reason });
        }
        (self.all, gaps)
    }
}
