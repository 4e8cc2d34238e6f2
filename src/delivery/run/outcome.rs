//! What becomes of an event after an attempt.

use std::time::SystemTime;

use super::*;

/// How an outcome came to be known.
#[derive(Clone, Copy)]
pub(super) struct Told {
    /// When the attempt began; none for what the target said later, which tells nothing of the target now.
    began: Option<Instant>,
    /// Whether the attempt has not said the same of the target before, of another event.
    news: bool,
}

impl Told {
    pub(super) const LATER: Self = Self { began: None, news: true };
}

impl Delivery {
    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Attempt { track: at, batch, outcomes, began } => {
                let now = Instant::now();
                let track = &mut self.tracks[at];
                track.in_flight -= 1;
                self.in_flight -= 1;
                track.status.attempt_ended(now - began);
                // However many events it carried, an attempt says once that the target answers, or is busy.
                let (mut answered, mut busy) = (false, false);
                for (Attempted { position, .. }, outcome) in batch.into_iter().zip(outcomes) {
                    let said = if matches!(outcome, Outcome::Busy { .. }) { &mut busy } else { &mut answered };
                    let news = !std::mem::replace(said, true);
                    self.outcome(at, position, outcome, Told { began: Some(began), news }, now);
                    self.overtaken(at, position);
                }
                self.may_run(at);
            }
            Done::Kept { track, position } => self.settle(track, position, End::DeadLettered, None),
            // It is owed as before; the next start tries it again.
            Done::NotKept => {}
            Done::Again { key, outcome, began } => self.again_ended(key, outcome, began),
            Done::AgainWritten { key } => self.again_written(key),
        }
    }

    /// What is to be done after an outcome.
    pub(super) fn outcome(
        &mut self,
        at: usize,
        position: Position,
        outcome: Outcome,
        Told { began, news }: Told,
        now: Instant,
    ) {
        let concurrency = self.options.concurrency;
        let track = &mut self.tracks[at];
        if let Some(began) = began
            && news
            && !matches!(outcome, Outcome::Busy { .. })
        {
            track.answered(began, concurrency);
        }
        let told = Arc::clone(&track.status);
        let Some(item) = track.item(position) else { return };
        let age = item.first_attempt.map_or(Duration::ZERO, |first| now - first);
        match outcome {
            Outcome::Delivered { status } => {
                item.attempts += 1;
                let tries = item.attempts + item.busy;
                let took = began.map_or(age, |began| now - began);
                self.status.delivered(&told, &item.event, tries, status, took);
                self.settle(at, position, End::Delivered, status);
            }
            Outcome::Accepted { within } => {
                item.stage = Stage::Accepted;
                item.attempts += 1;
                let overdue = now + within;
                item.overdue = Some(overdue);
                if let Some(entity) = item.entity.take() {
                    track.release(entity);
                }
                self.alarms.push(Reverse((overdue, Alarm::Overdue(at, position))));
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
                // What was said later says nothing new of a target that is being probed.
                if (began.is_some() && news) || !track.is_open() {
                    if let Some(until) = track.busy(began.unwrap_or(now), now, after, &why) {
                        self.alarms.push(Reverse((until, Alarm::Probe(at))));
                    }
                    self.open_lane(at);
                }
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
    pub(super) fn give_up(&mut self, at: usize, position: Position, why: Reason) {
        let track = &mut self.tracks[at];
        let (told, target) = (Arc::clone(&track.status), track.target.clone());
        let Some(item) = track.item(position) else { return };
        self.status.given_up(&told, &item.event, item.attempts + item.busy, &why);
        item.last = Some(why.clone());
        let dead_letters = Arc::clone(&self.dead_letters);
        item.stage = Stage::GivenUp;
        let letter = DeadLetter {
            processor: Arc::clone(&self.name),
            target,
            entry: Entry { position, event: item.event.clone() },
            attempts: item.attempts + item.busy,
            why,
            since: SystemTime::now(),
        };
        let (name, stop) = (Arc::clone(&self.name), self.stop.clone());
        self.pending.push(Box::pin(async move {
            let mut backoff = Backoff::new(FIRST_RETRY, MOST_RETRY);
            while let Err(error) = dead_letters.keep(letter.clone()).await {
                tracing::warn!(processor = %name, %error, "a dead letter cannot be kept yet, its lane waits");
                if stop.run_until_cancelled(tokio::time::sleep(backoff.wait())).await.is_none() {
                    return Done::NotKept;
                }
            }
            Done::Kept { track: at, position }
        }));
    }

    pub(super) fn settle(&mut self, at: usize, position: Position, end: End, status: Option<u16>) {
        let track = &mut self.tracks[at];
        let Some((item, fronts)) = track.settle(position) else { return };
        if fronts {
            self.window.settle(position);
        } else {
            track.dissolve();
        }
        self.settlements.push(Settlement {
            position,
            target: Some(track.target.clone()),
            end,
            attempts: item.attempts + item.busy,
            status: status.or_else(|| item.last.and_then(|why| why.status)),
        });
        self.uncommitted += 1;
        self.touched();
        self.may_run(at);
    }

    pub(super) fn settle_late(&mut self, late: Late) {
        let mut late = Some(late);
        self.again_late(&mut late);
        let Some(Late { position, target, attempt, outcome }) = late else { return };
        let Some(at) = self.index.get(&target).copied() else { return };
        let Some(item) = self.tracks[at].item(position) else { return };
        if item.stage == Stage::InFlight && item.attempts + 1 == attempt {
            // It has overtaken the answer that the attempt was accepted.
            item.early = Some(outcome);
            return;
        }
        if item.stage != Stage::Accepted || item.attempts != attempt {
            tracing::debug!(processor = %self.name, %target, %position, attempt, "a late outcome that nobody waits for");
            return;
        }
        self.settle_accepted(at, position, outcome);
    }

    /// The attempt has been accepted, and how it ended is known by now.
    pub(super) fn settle_accepted(&mut self, at: usize, position: Position, outcome: Outcome) {
        let Some(item) = self.tracks[at].item(position) else { return };
        // The attempt was counted when it was accepted.
        item.attempts -= 1;
        item.stage = Stage::InFlight;
        item.overdue = None;
        self.outcome(at, position, outcome, Told::LATER, Instant::now());
    }

    /// Acts on what the target said of an attempt before it was answered.
    pub(super) fn overtaken(&mut self, at: usize, position: Position) {
        let Some(item) = self.tracks[at].item(position) else { return };
        let Some(outcome) = item.early.take() else { return };
        if item.stage == Stage::Accepted {
            self.settle_accepted(at, position, outcome);
        } else if matches!(outcome, Outcome::Delivered { .. }) {
            // The answer was lost, and the function was called all the same.
            self.outcome(at, position, outcome, Told::LATER, Instant::now());
        }
    }

    pub(super) fn open_lane(&mut self, at: usize) {
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
}
