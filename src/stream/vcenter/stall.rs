//! Evidence of events that reading does not bring.
//!
//! A collector can stop giving events for good: keys that wrap look old to it, a run of events that the user may not
//! see comes as an empty page, and a simulator's collector that fell too far behind finds its place gone. What is
//! noticed is that an event exists, and stays unread.

use std::time::{Duration, Instant};

use super::collector::MaxByTime as _;
use super::session::Seen;

/// The longest wait for unread events while new collectors do not bring them.
const MOST: Duration = Duration::from_secs(300);

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stall {
    /// A new collector from the checkpoint.
    Again,
    /// A new collector from this event's creation on: what lies before cannot be had.
    Skip(Seen),
}

/// Watches for stalls over the life of a stream.
#[derive(Debug)]
pub(super) struct StallWatch {
    after: Duration,
    /// The newest event that is known to exist and was not read, and since when there has been any.
    evidence: Option<(Seen, Instant)>,
    /// Whether it is one that the collector should bring.
    ours: bool,
    /// The last event that even a collector of its own did not bring.
    invisible: Option<Seen>,
    /// When events were last read.
    read_at: Instant,
    asked_at: Instant,
    /// New collectors since events were last read.
    tries: u32,
}

impl StallWatch {
    /// Events unread for longer than `after` are a stall.
    pub(super) fn new(after: Duration) -> Self {
        let now = Instant::now();
        Self { after, evidence: None, ours: false, invisible: None, read_at: now, asked_at: now, tries: 0 }
    }

    /// New events were read.
    pub(super) fn read(&mut self) {
        self.read_at = Instant::now();
        self.tries = 0;
    }

    /// There is an event that was not read yet. `ours` says whether it is sure that the collector should bring it.
    pub(super) fn exists(&mut self, seen: Seen, ours: bool) {
        if self.invisible == Some(seen) {
            return;
        }
        self.ours = ours || (self.ours && self.evidence.is_some());
        self.evidence = Some(match self.evidence {
            None => (seen, Instant::now()),
            Some((before, since)) => (Some(before).max_by_time(Some(seen)).unwrap_or(seen), since),
        });
    }

    /// Whether nothing hints at events that reading does not bring.
    pub(super) fn is_quiet(&self) -> bool {
        self.evidence.is_none()
    }

    /// Whether nothing was read for so long that any stall would have shown.
    pub(super) fn has_rested(&self) -> bool {
        self.read_at.elapsed() > MOST.max(self.after)
    }

    /// Whether it is time to ask vCenter for its newest event.
    pub(super) fn ask(&mut self) -> bool {
        let due = self.asked_at.elapsed() >= self.after && self.read_at.elapsed() >= self.after;
        if due {
            self.asked_at = Instant::now();
        }
        due
    }

    /// Reading is at its end. `unread` says whether an event is still unread.
    pub(super) fn check(&mut self, unread: impl FnOnce(Seen) -> bool) -> Option<Stall> {
        let (seen, since) = self.evidence?;
        if !unread(seen) {
            self.evidence = None;
            return None;
        }
        let patience = self.after.saturating_mul(1 << self.tries.min(16)).min(MOST.max(self.after));
        if since.elapsed() < patience || self.read_at.elapsed() < patience {
            return None;
        }
        self.evidence = None;
        self.tries += 1;
        if self.tries == 1 || !self.ours {
            return Some(Stall::Again);
        }
        Some(Stall::Skip(seen))
    }

    /// The next collector begins behind what could not be had: should it stall too, another like it would not help.
    pub(super) fn skipped(&mut self) {
        self.tries = 1;
    }

    /// No collector brings this event.
    pub(super) fn give_up_on(&mut self, seen: Seen) {
        self.invisible = Some(seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_stay_unread_are_a_stall() {
        let mut watch = StallWatch::new(Duration::ZERO);
        assert!(watch.ask());
        assert_eq!(watch.check(|_| true), None, "there is no evidence");
        watch.exists((5, 100), true);
        watch.exists((4, 90), true);
        assert_eq!(watch.check(|seen| seen == (5, 100)), Some(Stall::Again));
        watch.exists((6, 110), true);
        assert_eq!(watch.check(|_| true), Some(Stall::Skip((6, 110))));
        watch.skipped();
        watch.exists((6, 110), true);
        assert_eq!(watch.check(|_| true), Some(Stall::Skip((6, 110))), "there is another run of them");
        watch.give_up_on((6, 110));
        watch.exists((6, 110), true);
        assert_eq!(watch.check(|_| true), None, "what cannot be seen is let be");
        watch.read();
        watch.exists((7, 120), true);
        assert_eq!(watch.check(|_| false), None, "it has been read");
        assert_eq!(watch.check(|_| true), None, "and is forgotten");
    }

    #[test]
    fn what_may_not_be_ours_is_never_skipped() {
        let mut watch = StallWatch::new(Duration::ZERO);
        for _ in 0..5 {
            watch.exists((5, 100), false);
            assert_eq!(watch.check(|_| true), Some(Stall::Again));
            watch.tries = 0;
        }
    }

    #[test]
    fn a_stall_takes_time() {
        let mut watch = StallWatch::new(Duration::from_secs(3600));
        watch.exists((5, 100), true);
        assert_eq!(watch.check(|_| true), None);
        assert!(!watch.ask());
    }
}
