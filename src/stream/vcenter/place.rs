//! The stream's place in vCenter's history: the checkpoint, as it will be once the journal has it.

use std::time::Instant;

use uuid::Uuid;

use super::session::Seen;
use crate::event::Event;
use crate::journal::{Checkpoint, CheckpointDelta, HORIZON_MICROS};

/// Two reads of one event may give its time more or less exactly.
const SAME_EVENT_MICROS: i64 = 10_000;

/// A checkpoint older than this is moved on while there is nothing to read, so that it does not outlive vCenter's history.
const STALE_MICROS: i64 = 60 * 60 * 1_000_000;

/// vCenter's clock, carried on by ours between two looks at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    server: i64,
    at: Instant,
}

impl Clock {
    pub(super) fn new(server: i64) -> Self {
        Self { server, at: Instant::now() }
    }

    pub(super) fn now(&self) -> i64 {
        self.server.saturating_add(super::timing::micros(self.at.elapsed()))
    }
}

/// What a stream asks for, and where it begins without a checkpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) instance: Uuid,
    /// A hash of the filter.
    pub(super) filter: u64,
    /// Where to begin without a checkpoint.
    pub(super) begin: i64,
    /// How far before the newest event to resume.
    pub(super) overlap: i64,
}

/// Where the stream is. What is not durable yet counts: after a journal error a place must be opened anew.
#[derive(Debug)]
pub(super) struct Place {
    checkpoint: Checkpoint,
    /// The newest event's CreatedTime.
    newest: i64,
    /// The newest event that was remembered on opening, until reading shows that vCenter still reaches back to it.
    expected: Option<i64>,
    overlap: i64,
    pub(super) clock: Clock,
}

impl Place {
    /// Where `checkpoint` says, or at the beginning. A change that comes with it must be durable before the first read.
    pub(super) fn open(
        checkpoint: Option<Checkpoint>,
        wanted: &Wanted,
        clock: Clock,
    ) -> (Self, Option<CheckpointDelta>) {
        let Wanted { instance, filter, begin, overlap } = *wanted;
        let Some(mut checkpoint) = checkpoint else {
            let delta = CheckpointDelta { instance, filter, resume: begin, horizon: begin };
            let place = Self { checkpoint: Checkpoint::begin(&delta), newest: begin, expected: None, overlap, clock };
            return (place, Some(delta));
        };
        let same = checkpoint.instance == instance && checkpoint.filter == filter;
        let delta = (!same).then(|| {
            // Another vCenter's clock may be behind; its events are none that we remember. With another filter, what we
            // do not remember may only have been filtered out.
            let resume = checkpoint.resume.min(clock.now().saturating_sub(overlap));
            let resume = if checkpoint.instance == instance { resume.max(checkpoint.horizon) } else { resume };
            CheckpointDelta { instance, filter, resume, horizon: resume }
        });
        if let Some(delta) = &delta {
            checkpoint.apply(delta, &[]);
        }
        let newest = checkpoint.recent.iter().map(|(_, created)| created).max();
        let expected = newest.filter(|newest| same && *newest >= checkpoint.resume);
        let newest = newest.unwrap_or(checkpoint.resume).max(checkpoint.resume);
        (Self { checkpoint, newest, expected, overlap, clock }, delta)
    }

    /// Where a new collector begins.
    pub(super) fn resume(&self) -> i64 {
        let latest = self.clock.now().saturating_sub(self.overlap);
        self.checkpoint.resume.min(latest).max(self.checkpoint.horizon)
    }

    /// From here on every journaled event is remembered.
    pub(super) fn horizon(&self) -> i64 {
        self.checkpoint.horizon
    }

    /// The newest event's CreatedTime, or where reading began.
    pub(super) fn newest(&self) -> i64 {
        self.newest
    }

    /// How far behind vCenter's clock the newest event lies, in seconds.
    pub(super) fn lag(&self) -> f64 {
        self.clock.now().saturating_sub(self.newest) as f64 / 1e6
    }

    /// Whether an event is none that was journaled already.
    pub(super) fn is_new(&self, (key, created): Seen) -> bool {
        !self.checkpoint.recent.contains(key, created)
    }

    /// The change to the checkpoint that comes with events of which the newest was created then.
    pub(super) fn delta(&self, newest: Option<i64>) -> CheckpointDelta {
        let newest = newest.map_or(self.newest, |newest| newest.max(self.newest)).min(self.clock.now());
        let horizon = self.checkpoint.horizon.max(newest.saturating_sub(HORIZON_MICROS));
        CheckpointDelta {
            instance: self.checkpoint.instance,
            filter: self.checkpoint.filter,
            resume: newest.saturating_sub(self.overlap).max(horizon),
            horizon,
        }
    }

    /// Events are on their way into the journal. Returns whether there were more than can be remembered, so that the
    /// horizon rose.
    pub(super) fn took(&mut self, delta: &CheckpointDelta, events: &[Event]) -> bool {
        let newest = events.iter().filter_map(Event::created).max();
        self.newest = newest.map_or(self.newest, |newest| newest.max(self.newest));
        self.checkpoint.apply(delta, events)
    }

    /// What is missing, once the first events since opening are there: from the newest that we remember to the oldest
    /// that vCenter gives, if the former is not among them any more.
    pub(super) fn missing(&mut self, oldest_read: i64) -> Option<(i64, i64)> {
        let expected = self.expected.take()?;
        (oldest_read > expected.saturating_add(SAME_EVENT_MICROS)).then_some((expected, oldest_read))
    }

    /// What is missing because vCenter keeps its events for so many days only.
    pub(super) fn expired(&mut self, days: i64) -> Option<(i64, i64)> {
        let kept = self.clock.now().saturating_sub(days.saturating_mul(86_400 * 1_000_000));
        let resume = self.resume();
        if resume >= kept {
            return None;
        }
        self.expected = None;
        Some((resume, kept))
    }

    /// Everything before `moment` is given up. Returns the change to the checkpoint.
    pub(super) fn give_up_before(&mut self, moment: i64) -> CheckpointDelta {
        self.newest = self.newest.max(moment);
        self.expected = None;
        let mut delta = self.delta(None);
        delta.resume = delta.resume.max(moment.min(self.clock.now()));
        delta
    }

    /// The change that keeps a checkpoint from growing old while nothing happens; everything there is has been read.
    pub(super) fn freshen(&self) -> Option<CheckpointDelta> {
        let now = self.clock.now();
        if now.saturating_sub(self.checkpoint.resume) < STALE_MICROS {
            return None;
        }
        let resume = now.saturating_sub(HORIZON_MICROS).max(self.checkpoint.horizon);
        Some(CheckpointDelta { resume, ..self.delta(None) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Attributes, PageBuilder};

    const SECOND: i64 = 1_000_000;
    const MINUTE: i64 = 60 * SECOND;

    fn wanted(begin: i64) -> Wanted {
        Wanted { instance: Uuid::from_u128(1), filter: 7, begin, overlap: MINUTE }
    }

    fn events(of: &[(i32, i64)]) -> Vec<Event> {
        let mut page = PageBuilder::new("vc".into(), "s", &[]);
        for (key, created) in of {
            page.push(&Attributes { key: Some(*key), created: Some(*created), ..Attributes::default() }, b"{}");
        }
        page.finish()
    }

    /// A place as a journal would give it back after these events.
    fn reopened(begin: i64, now: i64, of: &[(i32, i64)], wanted: &Wanted) -> (Place, Option<CheckpointDelta>) {
        let (mut place, _) = Place::open(None, &self::wanted(begin), Clock::new(now));
        let events = events(of);
        let delta = place.delta(events.iter().filter_map(Event::created).max());
        place.took(&delta, &events);
        Place::open(Some(place.checkpoint), wanted, Clock::new(now))
    }

    #[test]
    fn the_beginning_is_exact_and_has_no_overlap() {
        let (mut place, delta) = Place::open(None, &wanted(100 * MINUTE), Clock::new(100 * MINUTE));
        let delta = delta.unwrap();
        assert_eq!((delta.resume, delta.horizon), (100 * MINUTE, 100 * MINUTE));
        assert_eq!(place.resume(), 100 * MINUTE);
        assert_eq!(place.missing(101 * MINUTE), None, "nothing was expected");
    }

    #[test]
    fn reading_resumes_an_overlap_before_the_newest_event() {
        let (place, delta) = reopened(MINUTE, 200 * MINUTE, &[(1, 100 * MINUTE), (2, 99 * MINUTE)], &wanted(0));
        assert_eq!(delta, None);
        assert_eq!((place.resume(), place.horizon(), place.newest()), (99 * MINUTE, 90 * MINUTE, 100 * MINUTE));
        assert!(!place.is_new((1, 100 * MINUTE)) && !place.is_new((2, 99 * MINUTE)) && place.is_new((3, 99 * MINUTE)));
        assert!(place.is_new((1, 101 * MINUTE)), "a restored vCenter uses a key again");
    }

    #[test]
    fn an_event_of_the_future_moves_nothing_beyond_vcenter_s_clock() {
        let (place, _) = reopened(MINUTE, 100 * MINUTE, &[(1, 500 * MINUTE)], &wanted(0));
        assert!(place.resume() <= 99 * MINUTE + SECOND, "{}", place.resume());
        assert!(place.horizon() <= 90 * MINUTE + SECOND);
    }

    #[test]
    fn a_clock_that_was_set_back_moves_reading_back_to_the_horizon() {
        let (place, _) = reopened(MINUTE, 100 * MINUTE, &[(1, 100 * MINUTE)], &wanted(0));
        let (place, _) = Place::open(Some(place.checkpoint), &wanted(0), Clock::new(95 * MINUTE));
        assert!((94 * MINUTE..94 * MINUTE + SECOND).contains(&place.resume()));
        let (place, _) = Place::open(Some(place.checkpoint), &wanted(0), Clock::new(5 * MINUTE));
        assert_eq!(
            place.resume(),
            90 * MINUTE,
            "what lies below the horizon could not be told from what was journaled"
        );
    }

    #[test]
    fn another_vcenter_begins_a_new_set_at_the_same_time() {
        let other = Wanted { instance: Uuid::from_u128(2), ..wanted(0) };
        let (place, delta) = reopened(MINUTE, 200 * MINUTE, &[(1, 100 * MINUTE)], &other);
        let delta = delta.unwrap();
        assert_eq!((delta.instance, delta.resume, delta.horizon), (other.instance, 99 * MINUTE, 99 * MINUTE));
        assert!(place.is_new((1, 100 * MINUTE)));
        let behind = Place::open(Some(place.checkpoint), &wanted(0), Clock::new(50 * MINUTE));
        assert!(behind.0.resume() < 50 * MINUTE, "its clock may be behind");
    }

    #[test]
    fn another_filter_raises_the_horizon_and_keeps_the_set() {
        let other = Wanted { filter: 8, ..wanted(0) };
        let (mut place, delta) = reopened(MINUTE, 200 * MINUTE, &[(1, 100 * MINUTE)], &other);
        assert_eq!(delta.map(|delta| (delta.filter, delta.resume, delta.horizon)), Some((8, 99 * MINUTE, 99 * MINUTE)));
        assert!(!place.is_new((1, 100 * MINUTE)));
        assert_eq!(place.missing(150 * MINUTE), None, "with another filter nothing can be expected");
    }

    #[test]
    fn a_history_that_no_longer_reaches_back_is_a_gap() {
        let of = [(1, 100 * MINUTE), (2, 99 * MINUTE)];
        let (mut place, _) = reopened(MINUTE, 200 * MINUTE, &of, &wanted(0));
        assert_eq!(place.missing(99 * MINUTE + 30 * SECOND), None);
        let (mut place, _) = reopened(MINUTE, 200 * MINUTE, &of, &wanted(0));
        assert_eq!(place.missing(150 * MINUTE), Some((100 * MINUTE, 150 * MINUTE)));
        assert_eq!(place.missing(160 * MINUTE), None, "told once");
        let day = 24 * 60 * MINUTE;
        let (mut place, _) = reopened(MINUTE, 40 * day, &of, &wanted(0));
        let (from, to) = place.expired(30).unwrap();
        assert_eq!(from, 99 * MINUTE);
        assert!((10 * day..10 * day + SECOND).contains(&to));
        let delta = place.give_up_before(to);
        assert!(delta.resume >= to && delta.horizon <= delta.resume);
        place.took(&delta, &[]);
        assert_eq!(place.expired(31), None);
    }

    #[test]
    fn a_quiet_vcenter_s_checkpoint_does_not_grow_old() {
        let (place, _) = reopened(MINUTE, 100 * MINUTE, &[(1, 99 * MINUTE)], &wanted(0));
        assert_eq!(place.freshen(), None);
        let (place, _) = Place::open(Some(place.checkpoint), &wanted(0), Clock::new(300 * MINUTE));
        let delta = place.freshen().unwrap();
        assert!((290 * MINUTE..291 * MINUTE).contains(&delta.resume));
        assert_eq!(delta.horizon, 89 * MINUTE);
    }
}
