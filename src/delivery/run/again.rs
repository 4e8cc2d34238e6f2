//! Dead letters that are sent again: outside the order, beside what is owed, and letters until they have arrived.

use std::time::SystemTime;

use tokio::sync::oneshot;

use super::*;

/// So many letters are sent again at once; others wait outside.
const MOST: usize = 1024;

/// What became of a letter that was sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resent {
    /// The target has it: it is no letter any more.
    Delivered,
    /// It is a letter still.
    Kept(Reason),
    /// The target is none of the processor's any more: it is a letter still.
    NoTarget,
    /// Too many are sent again already, or it is.
    TooMany,
}

/// A letter that is to be sent again, and who waits for what becomes of it.
#[derive(Debug)]
pub struct Retry {
    /// The letter.
    pub letter: DeadLetter,
    /// Told once that is known.
    pub told: oneshot::Sender<Resent>,
}

/// A letter that is being sent again.
pub(super) struct Again {
    retry: Retry,
    track: usize,
    attempts: u32,
    busy: u32,
    since: Instant,
    stage: Step,
    last: Option<Reason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// May be attempted from then on.
    Waits(Instant),
    InFlight,
    /// The target says until then how it went.
    Accepted(Instant),
    /// It has arrived, or is set aside anew: that is being written down.
    Ends,
}

/// A letter's key among those that are sent again.
pub(super) type Key = (Position, usize);

impl Delivery {
    /// Takes a letter to be sent again.
    pub(super) fn retry(&mut self, retry: Retry) {
        let target = &retry.letter.target;
        if !self.routes.has(target) {
            return tell(retry, Resent::NoTarget);
        }
        let track = self.track(&target.clone());
        let key = (retry.letter.entry.position, track);
        if self.again.len() >= MOST || self.again.contains_key(&key) || self.tracks[track].look(key.0).is_some() {
            return tell(retry, Resent::TooMany);
        }
        let now = Instant::now();
        let again = Again { retry, track, attempts: 0, busy: 0, since: now, stage: Step::Waits(now), last: None };
        self.again.insert(key, again);
    }

    /// When something is to be done for one of them.
    pub(super) fn again_due(&self) -> Option<Instant> {
        let due = self.again.values().filter_map(|again| match again.stage {
            // It goes when another attempt has ended, or the circuit closes.
            Step::Waits(at) => Some(at).filter(|_| self.may_send_again(again)),
            Step::Accepted(at) => Some(at),
            Step::InFlight | Step::Ends => None,
        });
        due.min()
    }

    /// A target that is not answering is asked by what it is owed, if that is anything.
    fn may_send_again(&self, again: &Again) -> bool {
        let track = &self.tracks[again.track];
        self.in_flight < self.options.concurrency && (!track.is_open() || track.owed() == 0)
    }

    /// Begins the attempts that may begin.
    pub(super) fn send_again(&mut self) {
        if self.again.is_empty() {
            return;
        }
        let now = Instant::now();
        let overdue = self.again.iter().filter(|(_, again)| matches!(again.stage, Step::Accepted(at) if at <= now));
        for key in overdue.map(|(key, _)| *key).collect::<Vec<_>>() {
            let why = Reason { status: None, text: "no callback in time".to_owned() };
            self.again_outcome(key, Outcome::Failed { after: None, why }, now);
        }
        let tracks = &self.tracks;
        let gone = |(_, again): &(&Key, &mut Again)| matches!(again.stage, Step::Waits(_)) && tracks[again.track].gone;
        let gone: Vec<_> = self.again.iter_mut().filter(gone).map(|(key, _)| *key).collect();
        for again in gone.iter().filter_map(|key| self.again.remove(key)) {
            tell(again.retry, Resent::NoTarget);
        }
        let due = self.again.iter().filter(|(_, again)| matches!(again.stage, Step::Waits(at) if at <= now));
        for key in due.map(|(key, _)| *key).collect::<Vec<_>>() {
            let Some(again) = self.again.get(&key).filter(|again| self.may_send_again(again)) else { continue };
            let track = &self.tracks[again.track];
            let DeadLetter { target, entry, attempts, .. } = &again.retry.letter;
            let target = target.clone();
            let batch = vec![Attempted {
                event: entry.event.clone(),
                position: entry.position,
                attempt: attempts + again.attempts + again.busy + 1,
            }];
            track.status.attempt_began(1, 1);
            self.in_flight += 1;
            let processor = Arc::clone(&self.processor);
            self.pending.push(Box::pin(async move {
                let outcome = processor.attempt(&target, &batch).await.pop();
                Done::Again { key, outcome, began: now }
            }));
            if let Some(again) = self.again.get_mut(&key) {
                again.stage = Step::InFlight;
            }
        }
    }

    /// An attempt has ended.
    pub(super) fn again_ended(&mut self, key: Key, outcome: Option<Outcome>, began: Instant) {
        let now = Instant::now();
        self.in_flight -= 1;
        let track = &mut self.tracks[key.1];
        track.status.attempt_ended(now - began);
        let lost = || Reason { status: None, text: "the attempt had no outcome".to_owned() };
        let outcome = outcome.unwrap_or_else(|| Outcome::Failed { after: None, why: lost() });
        if !matches!(outcome, Outcome::Busy { .. }) {
            track.answered(began, self.options.concurrency);
        }
        self.may_run(key.1);
        self.again_outcome(key, outcome, now);
    }

    /// What a target said later of a letter; whether it was one of these.
    pub(super) fn again_late(&mut self, late: &mut Option<Late>) {
        let Some(Late { position, target, attempt, .. }) = late else { return };
        let Some(at) = self.index.get(target) else { return };
        let key = (*position, *at);
        let Some(again) = self.again.get(&key) else { return };
        let waits = matches!(again.stage, Step::Accepted(_))
            && again.retry.letter.attempts + again.attempts + again.busy == *attempt;
        if waits && let Some(late) = late.take() {
            if let Some(again) = self.again.get_mut(&key) {
                again.attempts -= 1;
            }
            self.again_outcome(key, late.outcome, Instant::now());
        }
    }

    fn again_outcome(&mut self, key: Key, outcome: Outcome, now: Instant) {
        let Some(again) = self.again.get_mut(&key) else { return };
        let told = Arc::clone(&self.tracks[key.1].status);
        let event = &again.retry.letter.entry.event;
        let age = now - again.since;
        match outcome {
            Outcome::Delivered { status } => {
                let tries = again.attempts + again.busy + 1;
                self.status.delivered(&told, event, tries, status, age);
                (again.stage, again.last) = (Step::Ends, None);
                let (letters, id) = (Arc::clone(&self.dead_letters), again.retry.letter.id());
                let attempts = again.retry.letter.attempts + tries;
                let target = again.retry.letter.target.clone();
                self.settlements.push(Settlement {
                    position: key.0,
                    target: Some(target),
                    end: End::Delivered,
                    attempts,
                    status,
                });
                self.until_written(key, move || {
                    let (letters, id) = (Arc::clone(&letters), id.clone());
                    Box::pin(async move { letters.discard(vec![id]).await.map(drop) })
                });
            }
            Outcome::Accepted { within } => {
                again.attempts += 1;
                again.stage = Step::Accepted(now + within);
            }
            Outcome::Busy { after, why } => {
                again.busy += 1;
                if age > self.options.max_age {
                    return self.keep_again(key, why);
                }
                let after = after.map(|after| after.min(MOST_ASKED));
                let wait = after.unwrap_or_else(|| Backoff::nth(FIRST_RETRY, MOST_RETRY, again.busy));
                self.status.will_retry(&told, event, again.attempts + 1, &why, wait);
                (again.stage, again.last) = (Step::Waits(now + wait), Some(why));
            }
            Outcome::Failed { after, why } => {
                again.attempts += 1;
                if again.attempts >= self.options.max_attempts || age > self.options.max_age {
                    return self.keep_again(key, why);
                }
                let after = after.map(|after| after.min(MOST_ASKED));
                let wait = after.unwrap_or_else(|| Backoff::nth(FIRST_RETRY, MOST_RETRY, again.attempts));
                self.status.will_retry(&told, event, again.attempts, &why, wait);
                (again.stage, again.last) = (Step::Waits(now + wait), Some(why));
            }
            Outcome::Rejected { why } => {
                again.attempts += 1;
                self.keep_again(key, why);
            }
        }
    }

    /// It has been in vain: the letter stays, with what the last attempt came to.
    fn keep_again(&mut self, key: Key, why: Reason) {
        let Some(again) = self.again.get_mut(&key) else { return };
        let told = Arc::clone(&self.tracks[key.1].status);
        let letter = &mut again.retry.letter;
        letter.attempts += again.attempts + again.busy;
        letter.why = why.clone();
        letter.since = SystemTime::now();
        self.status.given_up(&told, &letter.entry.event, letter.attempts, &why);
        (again.stage, again.last) = (Step::Ends, Some(why));
        let (letters, letter) = (Arc::clone(&self.dead_letters), letter.clone());
        self.until_written(key, move || {
            let (letters, letter) = (Arc::clone(&letters), letter.clone());
            Box::pin(async move { letters.keep(letter).await })
        });
    }

    /// Writes something down about a letter, however long that takes.
    fn until_written(
        &mut self,
        key: Key,
        write: impl Fn() -> Pin<Box<dyn Future<Output = Result<(), JournalError>> + Send>> + Send + 'static,
    ) {
        let (name, stop) = (Arc::clone(&self.name), self.stop.clone());
        self.pending.push(Box::pin(async move {
            let mut backoff = Backoff::new(FIRST_RETRY, MOST_RETRY);
            while let Err(error) = write().await {
                tracing::warn!(processor = %name, %error, "what became of a dead letter cannot be written yet");
                if stop.run_until_cancelled(tokio::time::sleep(backoff.wait())).await.is_none() {
                    break;
                }
            }
            Done::AgainWritten { key }
        }));
    }

    /// It is written down: whoever waits is told.
    pub(super) fn again_written(&mut self, key: Key) {
        let Some(Again { retry, last, .. }) = self.again.remove(&key) else { return };
        tell(retry, last.map_or(Resent::Delivered, Resent::Kept));
    }
}

fn tell(retry: Retry, what: Resent) {
    // Who asked may not wait for it.
    drop(retry.told.send(what));
}
