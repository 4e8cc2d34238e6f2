//! The stream's place in vCenter's history: the checkpoint, as it will be once the journal has it.

use std::time::Instant;

use uuid::Uuid;

use super::session::Seen;
use crate::event::Event;
use crate::journal::{Checkpoint, CheckpointDelta, HORIZON_MICROS, MOST_REMEMBERED, SAME_EVENT_MICROS};

/// Order by key and order by time differ by fewer events than this.
const DISORDER: usize = 1000;

/// Two looks at one clock may differ by so much, in microseconds, though it ran evenly.
const UNEVEN_MICROS: i64 = 1_000_000;

/// A checkpoint older than this is moved on while there is nothing to read, so that it does not outlive vCenter's history.
const STALE_MICROS: i64 = 60 * 60 * 1_000_000;

/// vCenter's clock, carried on by ours between two looks at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    server: i64,
    asked: Instant,
    answered: Instant,
}

impl Clock {
    #[cfg(test)]
    pub(super) fn new(server: i64) -> Self {
        Self::asked(server, Instant::now())
    }

    /// What it showed when it was asked for then. An answer that was long under way does not make it slow.
    pub(super) fn asked(server: i64, asked: Instant) -> Self {
        Self { server, asked, answered: Instant::now() }
    }

    /// What it was when it was looked at.
    pub(super) fn server(&self) -> i64 {
        self.server
    }

    /// What it shows now, at the most.
    pub(super) fn now(&self) -> i64 {
        self.server.saturating_add(super::timing::micros(self.asked.elapsed()))
    }

    /// What is certain if `later` shows that it was set back since.
    pub(super) fn step_to(&self, later: Self) -> Option<Step> {
        let by = self.at_least().saturating_sub(later.now());
        // It happened at some time since, so no event is dated earlier than that by as much.
        let most = self.now().saturating_sub(later.server);
        (by > UNEVEN_MICROS).then(|| Step { by, since: self.server.saturating_sub(most), until: self.now() })
    }

    /// Whether `later` shows that it was set ahead since.
    pub(super) fn leapt_to(&self, later: Self) -> bool {
        later.server.saturating_sub(self.now()) > UNEVEN_MICROS
    }

    /// What it shows now, at the least, unless it was set.
    fn at_least(&self) -> i64 {
        self.server.saturating_add(super::timing::micros(self.answered.elapsed()))
    }
}

/// A clock was set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// At least by so much.
    pub(super) by: i64,
    /// Nothing that happened after it is dated earlier.
    pub(super) since: i64,
    /// Nothing that happened before it is dated later.
    pub(super) until: i64,
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
    /// The last event that another router delivered, and whether it must come: begins an overlap before it, in place of
    /// `begin`.
    pub(super) taken: Option<(Seen, bool)>,
    /// The same, for as long as this process may be brought it.
    pub(super) delivered: Option<Seen>,
}

/// An event that a new collector must bring again.
#[derive(Clone, Copy, Debug)]
struct Expected {
    seen: Seen,
    /// The clock was set back since: whatever is new may have happened after it, however it is dated.
    ahead: bool,
    /// New events beyond it that came without it.
    beyond: usize,
    /// Events came that are forgotten: they may have been there before it.
    forgotten: bool,
    /// The first of those by time, and the two that may be the first that vCenter made: the one with the lowest key, and
    /// the one whose key comes next after the expected one's, if keys wrapped. A late event is only the first by time.
    first: i64,
    lowest: (i32, i64),
    next: (u32, i64),
}

impl Expected {
    fn of(seen: Seen, ahead: bool) -> Self {
        Self {
            seen,
            ahead,
            beyond: 0,
            forgotten: false,
            first: i64::MAX,
            lowest: (i32::MAX, i64::MIN),
            next: (u32::MAX, i64::MIN),
        }
    }

    fn see_beyond(&mut self, (key, created): Seen) {
        self.beyond += 1;
        self.first = self.first.min(created);
        if key <= self.lowest.0 {
            self.lowest = (key, created);
        }
        let distance = key.wrapping_sub(self.seen.0).cast_unsigned();
        if distance <= self.next.0 {
            self.next = (distance, created);
        }
    }

    /// What is missing if it does not come: to the first of those beyond it that vCenter made.
    fn missing(&self) -> (i64, i64) {
        let last = self.seen.1;
        (last.min(self.first), last.max(self.lowest.1).max(self.next.1))
    }
}

/// Where the stream is. What is not durable yet counts: after a journal error a place must be opened anew.
#[derive(Debug)]
pub(super) struct Place {
    checkpoint: Checkpoint,
    expected: Option<Expected>,
    overlap: i64,
    clock: Clock,
    /// What another router delivered last.
    delivered: Option<Seen>,
}

impl Place {
    /// Where `checkpoint` says, or at the beginning. A change that comes with it must be durable before the first read.
    pub(super) fn open(
        checkpoint: Option<Checkpoint>,
        wanted: &Wanted,
        clock: Clock,
    ) -> (Self, Option<CheckpointDelta>) {
        let Wanted { instance, filter, begin, overlap, taken, delivered } = *wanted;
        let Some(mut checkpoint) = checkpoint else {
            let mut delta =
                CheckpointDelta { instance, filter, resume: begin, newest: begin, last: None, horizon: begin };
            if let Some((last, comes)) = taken {
                delta.newest = last.1.min(clock.now());
                delta.resume = delta.newest.saturating_sub(overlap);
                delta.horizon = delta.resume;
                delta.last = comes.then_some(last);
            }
            let place = Self { checkpoint: Checkpoint::begin(&delta), expected: None, overlap, clock, delivered };
            return (place, Some(delta));
        };
        let same = checkpoint.instance == instance && checkpoint.filter == filter;
        let delta = (!same).then(|| {
            // Another vCenter's clock may be behind; its events are none that we remember. With another filter, what we
            // do not remember may only have been filtered out.
            let resume = checkpoint.resume.min(clock.now().saturating_sub(overlap));
            let resume = if checkpoint.instance == instance { resume.max(checkpoint.horizon) } else { resume };
            let newest = checkpoint.newest.min(clock.now()).max(resume);
            CheckpointDelta { instance, filter, resume, newest, last: None, horizon: resume }
        });
        if let Some(delta) = &delta {
            checkpoint.apply(delta, &[]);
        }
        (Self { checkpoint, expected: None, overlap, clock, delivered }, delta)
    }

    /// Where a new collector begins.
    pub(super) fn resume(&self) -> i64 {
        let now = self.clock.now();
        let Checkpoint { resume, newest, horizon, .. } = self.checkpoint;
        if newest < horizon { resume.min(now) } else { resume.min(now.saturating_sub(self.overlap)).max(horizon) }
    }

    /// Where reading resumes once it has come to `newest`: an overlap before it. What lies below the horizon could not
    /// be told from what was journaled. But once the clock was set back below it, all that happens lies there: to bring
    /// something twice is better than to lose it, but not more than must be.
    fn resume_at(&self, newest: i64) -> i64 {
        let Checkpoint { resume, horizon, .. } = self.checkpoint;
        newest.saturating_sub(self.overlap).max(if newest < horizon { resume.min(newest) } else { horizon })
    }

    /// Whether journaled events of that time may be remembered no longer: what is read from there on may have come.
    pub(super) fn forgets(&self, moment: i64) -> bool {
        moment < self.checkpoint.horizon
    }

    /// From here on late events are looked for.
    pub(super) fn look_from(&self) -> i64 {
        self.checkpoint.newest.saturating_sub(HORIZON_MICROS).max(self.checkpoint.horizon)
    }

    /// How far reading has come: the newest event's CreatedTime, or where reading began.
    pub(super) fn newest(&self) -> i64 {
        self.checkpoint.newest
    }

    /// The newest event, if there is one that vCenter must still have.
    pub(super) fn last(&self) -> Option<Seen> {
        self.checkpoint.last
    }

    /// How far behind vCenter's clock the newest event lies, in seconds.
    pub(super) fn lag(&self) -> f64 {
        self.clock.now().saturating_sub(self.checkpoint.newest) as f64 / 1e6
    }

    /// vCenter's clock, as far as we know.
    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// Whether an event is none that was journaled already, nor delivered before.
    pub(super) fn is_new(&self, (key, created): Seen) -> bool {
        let is = |other: Option<Seen>| {
            other.is_some_and(|(other, time)| {
                other == key && created.saturating_sub(time).saturating_abs() <= SAME_EVENT_MICROS
            })
        };
        !is(self.delivered) && !is(self.checkpoint.last) && !self.checkpoint.recent.contains(key, created)
    }

    /// The main collector brings an event. Whether it is new.
    pub(super) fn sees(&mut self, seen: Seen) -> bool {
        let new = self.is_new(seen);
        // Before that many, none was forgotten: what lies below the horizon was never read.
        let forgets = self.forgets(seen.1) && self.checkpoint.recent.len() >= MOST_REMEMBERED / 2;
        if let Some(expected) = &mut self.expected {
            let ahead = seen.1.saturating_sub(expected.seen.1);
            if seen.0 == expected.seen.0 && ahead.saturating_abs() <= SAME_EVENT_MICROS {
                self.expected = None;
            } else if new && forgets && seen.0.wrapping_sub(expected.seen.0) <= 0 {
                // Once the clock was set back below the horizon, what is read again there counts as new.
                expected.forgotten = true;
            } else if new && (expected.ahead || ahead > SAME_EVENT_MICROS) {
                expected.see_beyond(seen);
            }
        }
        new
    }

    /// A new collector begins at that time: it must bring the newest event again, or vCenter's history is not the one
    /// that was read before.
    pub(super) fn expect(&mut self, begin: i64) {
        let last = self.checkpoint.last.filter(|(_, created)| *created >= begin);
        let newest = self.checkpoint.newest;
        self.expected = last.map(|seen| Expected::of(seen, seen.1 > newest));
    }

    /// Whether there are events beyond the expected one, which may still come.
    pub(super) fn in_doubt(&self) -> bool {
        self.expected.is_some_and(|expected| expected.beyond > 0)
    }

    /// What is missing: from the newest event that was read before to the first one beyond it, if vCenter has the
    /// former no more. `drained` says whether all there is was read.
    pub(super) fn missing(&mut self, drained: bool) -> Option<(i64, i64)> {
        let expected = self.expected.filter(|expected| expected.beyond > 0)?;
        if !drained && expected.beyond < DISORDER {
            return None;
        }
        // It will not come again.
        (self.expected, self.checkpoint.last) = (None, None);
        Some(expected.missing())
    }

    /// The change to the checkpoint that comes with events of which the newest was created then.
    pub(super) fn delta(&self, newest: Option<i64>) -> CheckpointDelta {
        let newest = newest.map_or(self.newest(), |newest| newest.min(self.clock.now()).max(self.newest()));
        self.at(newest)
    }

    /// The same for events that the main collector brought: the newest of them must be there again when reading resumes.
    pub(super) fn delta_of(&self, newest: Option<i64>, events: &[Event]) -> CheckpointDelta {
        let mut delta = self.delta(newest);
        if self.expected.is_some_and(|expected| expected.forgotten) {
            // Whether it comes is not known yet: should this collector end first, the next one must bring it.
            return delta;
        }
        for event in events {
            if let Some((key, created)) = event.key().zip(event.created())
                && created <= delta.newest
                && delta.last.is_none_or(|last| {
                    // Where the clock was set back a little, what vCenter made last is dated before what it made first;
                    // and a restore would take only that away. Keys may have wrapped or begun again since.
                    created >= last.1 || created > delta.resume
                })
            {
                delta.last = Some((key, created));
            }
        }
        delta
    }

    fn at(&self, newest: i64) -> CheckpointDelta {
        let Checkpoint { instance, filter, last, horizon, .. } = self.checkpoint;
        let resume = self.resume_at(newest);
        CheckpointDelta { instance, filter, resume, newest, last, horizon }
    }

    /// Events are on their way into the journal. Returns whether there were more than can be remembered.
    pub(super) fn took(&mut self, delta: &CheckpointDelta, events: &[Event]) -> bool {
        self.checkpoint.apply(delta, events)
    }

    /// vCenter's clock was looked at; `before` is what we knew of it. If it was set back, the change to the checkpoint
    /// that follows: what happens now is dated before what was read.
    pub(super) fn set_clock(&mut self, clock: Clock, before: Option<Clock>) -> Option<CheckpointDelta> {
        self.clock = clock;
        let newest = self.newest();
        // What is less than this, the overlap covers, where there is one.
        let enough = self.overlap / 2;
        let since = match before.and_then(|before| before.step_to(clock)) {
            Some(Step { by, since, .. }) if by > enough || since < self.resume() => since,
            _ if newest.saturating_sub(clock.now()) > enough => self.checkpoint.horizon,
            _ => return None,
        };
        let rebased = newest.min(since).min(clock.server);
        let mut delta = self.at(rebased);
        if rebased < self.checkpoint.horizon {
            // Where nothing was known of the clock, what happened since is dated earlier still.
            delta.resume = if before.is_some() { rebased } else { rebased.saturating_sub(self.overlap) };
        }
        (delta.newest < newest || delta.resume < self.checkpoint.resume).then_some(delta)
    }

    /// What is missing because vCenter keeps its events for so many days only.
    pub(super) fn expired(&self, days: i64) -> Option<(i64, i64)> {
        let kept = self.clock.now().saturating_sub(days.saturating_mul(86_400 * 1_000_000));
        let resume = self.resume();
        (resume < kept).then_some((resume, kept))
    }

    /// Everything before `moment` is given up: no collector shall begin there again, since it would not get beyond it.
    /// Returns the change to the checkpoint.
    pub(super) fn give_up_before(&self, moment: i64) -> CheckpointDelta {
        let mut delta = self.delta(Some(moment));
        let moment = moment.min(self.clock.now());
        delta.resume = delta.resume.max(moment);
        delta.horizon = delta.horizon.max(moment);
        delta
    }

    /// The change that keeps a checkpoint from growing old while nothing happens; everything there is has been read.
    pub(super) fn freshen(&self) -> Option<CheckpointDelta> {
        let now = self.clock.now();
        if now.saturating_sub(self.checkpoint.resume) < STALE_MICROS {
            return None;
        }
        let delta = self.delta(None);
        let resume = delta.resume.max(now.saturating_sub(HORIZON_MICROS));
        Some(CheckpointDelta { resume, ..delta })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::{Attributes, PageBuilder};

    const SECOND: i64 = 1_000_000;
    const MINUTE: i64 = 60 * SECOND;

    fn wanted(begin: i64) -> Wanted {
        Wanted { instance: Uuid::from_u128(1), filter: 7, begin, overlap: MINUTE, taken: None, delivered: None }
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
        let delta = place.delta_of(events.iter().filter_map(Event::created).max(), &events);
        place.took(&delta, &events);
        Place::open(Some(place.checkpoint), wanted, Clock::new(now))
    }

    #[test]
    fn the_beginning_is_exact_and_has_no_overlap() {
        let (place, delta) = Place::open(None, &wanted(100 * MINUTE), Clock::new(100 * MINUTE));
        let delta = delta.unwrap();
        assert_eq!((delta.resume, delta.newest, delta.horizon), (100 * MINUTE, 100 * MINUTE, 100 * MINUTE));
        assert_eq!(place.resume(), 100 * MINUTE);
        assert_eq!(place.last(), None, "nothing can be expected");
    }

    #[test]
    fn what_another_router_delivered_last_does_not_come_again() {
        let last = (5, 80 * MINUTE);
        let taken = Wanted { taken: Some((last, true)), delivered: Some(last), ..wanted(100 * MINUTE) };
        let (place, delta) = Place::open(None, &taken, Clock::new(100 * MINUTE));
        let delta = delta.unwrap();
        assert_eq!((delta.resume, delta.newest, delta.horizon), (79 * MINUTE, 80 * MINUTE, 79 * MINUTE));
        assert_eq!((place.resume(), place.last()), (79 * MINUTE, Some(last)));
        assert!(
            !place.is_new((5, 80 * MINUTE + 500)) && place.is_new((4, 80 * MINUTE)) && place.is_new((6, 79 * MINUTE))
        );
        // Nor to a process that begins anew, as long as it may be brought again.
        let (place, delta) = Place::open(Some(place.checkpoint), &wanted(0), Clock::new(100 * MINUTE));
        assert!(delta.is_none() && !place.is_new(last));
        let filtered = Wanted { taken: Some((last, false)), ..taken };
        let (place, _) = Place::open(None, &filtered, Clock::new(100 * MINUTE));
        assert_eq!(place.last(), None, "a filter keeps it back");
        let ahead = Wanted { taken: Some(((5, 500 * MINUTE), true)), ..taken };
        let (place, _) = Place::open(None, &ahead, Clock::new(100 * MINUTE));
        assert!(place.newest() <= 100 * MINUTE + SECOND, "no clock but vCenter's counts");
    }

    #[test]
    fn reading_resumes_an_overlap_before_the_newest_event() {
        let (place, delta) = reopened(MINUTE, 200 * MINUTE, &[(1, 100 * MINUTE), (2, 99 * MINUTE)], &wanted(0));
        assert_eq!(delta, None);
        assert_eq!((place.resume(), place.look_from(), place.newest()), (99 * MINUTE, 90 * MINUTE, 100 * MINUTE));
        assert!(!place.is_new((1, 100 * MINUTE)) && !place.is_new((2, 99 * MINUTE)) && place.is_new((3, 99 * MINUTE)));
        assert!(place.is_new((1, 101 * MINUTE)), "a restored vCenter uses a key again");
    }

    #[test]
    fn an_event_of_the_future_moves_nothing_beyond_vcenter_s_clock() {
        let (place, _) = reopened(MINUTE, 100 * MINUTE, &[(1, 500 * MINUTE)], &wanted(0));
        assert!(place.resume() <= 99 * MINUTE + SECOND, "{}", place.resume());
        assert!(place.newest() <= 100 * MINUTE + SECOND);
        assert_eq!(place.last(), None);
    }

    /// Where reading resumes and how far it has come, after the clock shows `now`.
    fn after_set(place: &mut Place, now: i64, before: Option<Clock>) -> Option<(i64, i64)> {
        let delta = place.set_clock(Clock::new(now), before)?;
        place.took(&delta, &[]);
        assert_eq!(place.resume(), delta.resume);
        Some((delta.resume, delta.newest))
    }

    fn within_a_second(found: i64, want: i64) {
        assert!((want - SECOND..=want + SECOND).contains(&found), "{found} is not about {want}");
    }

    #[test]
    fn a_clock_that_was_set_back_moves_reading_back() {
        let (mut place, _) = reopened(MINUTE, 100 * MINUTE, &[(1, 100 * MINUTE)], &wanted(0));
        let before = Some(place.clock());
        assert_eq!(after_set(&mut place, 100 * MINUTE - 20 * SECOND, before), None, "the overlap covers that");
        let (resume, newest) = after_set(&mut place, 5 * MINUTE, before).unwrap();
        within_a_second(newest, 5 * MINUTE);
        within_a_second(resume, 4 * MINUTE);
        assert!(!place.is_new((1, 100 * MINUTE)), "what was journaled stays remembered");
        assert_eq!(place.last(), Some((1, 100 * MINUTE)), "it must still be there");
        let delta = place.delta(Some(6 * MINUTE));
        within_a_second(delta.newest, 5 * MINUTE);
    }

    #[test]
    fn what_happened_between_the_setting_and_our_look_is_read() {
        // The clock was right at minute 100; twenty minutes later it shows five minutes less than it should.
        let (mut place, _) = reopened(MINUTE, 100 * MINUTE, &[(1, 99 * MINUTE)], &wanted(0));
        let then = Instant::now().checked_sub(Duration::from_secs(20 * 60)).unwrap();
        let before = Clock { server: 100 * MINUTE, asked: then, answered: then };
        let (resume, _) = after_set(&mut place, 115 * MINUTE, Some(before)).unwrap();
        within_a_second(resume, 94 * MINUTE);
        // Nothing is known of the clock before: all that is remembered is read again.
        let (mut place, _) = reopened(MINUTE, 100 * MINUTE, &[(1, 99 * MINUTE)], &wanted(0));
        assert_eq!(after_set(&mut place, 98 * MINUTE, None), Some((MINUTE, MINUTE)));
    }

    #[test]
    fn an_answer_that_was_long_under_way_sets_no_clock_back() {
        let (mut place, _) = reopened(MINUTE, 100 * MINUTE, &[(1, 100 * MINUTE)], &wanted(0));
        let before = Some(place.clock());
        let asked = Instant::now().checked_sub(Duration::from_secs(50)).unwrap();
        assert_eq!(place.set_clock(Clock::asked(100 * MINUTE - 50 * SECOND, asked), before), None);
    }

    #[test]
    fn a_clock_that_was_ahead_for_a_while_loses_nothing() {
        let (mut place, _) = reopened(MINUTE, 100 * MINUTE, &[(1, 100 * MINUTE)], &wanted(0));
        let before = Some(place.clock());
        assert_eq!(after_set(&mut place, 220 * MINUTE, before), None);
        let ahead = events(&[(2, 220 * MINUTE)]);
        let delta = place.delta_of(Some(220 * MINUTE), &ahead);
        place.took(&delta, &ahead);
        assert_eq!(place.last(), Some((2, 220 * MINUTE)));
        let before = Some(place.clock());
        let (resume, newest) = after_set(&mut place, 101 * MINUTE, before).unwrap();
        within_a_second(newest, 101 * MINUTE);
        within_a_second(resume, 100 * MINUTE);
        // Quiet meanwhile: only the time to resume at had followed the clock.
        let (mut place, _) = reopened(MINUTE, 100 * MINUTE, &[(1, 100 * MINUTE)], &wanted(0));
        place.set_clock(Clock::new(220 * MINUTE), None);
        let delta = place.freshen().unwrap();
        place.took(&delta, &[]);
        let before = Some(place.clock());
        assert_eq!(after_set(&mut place, 101 * MINUTE, before).unwrap(), (99 * MINUTE, 100 * MINUTE));
    }

    #[test]
    fn what_was_made_last_must_be_there_again_though_it_is_dated_earlier() {
        let noon = 100 * MINUTE;
        let last = |of: &[(i32, i64)]| reopened(MINUTE, 200 * MINUTE, of, &wanted(0)).0.last();
        // The clock was set back by 20 seconds behind the second.
        let (one, two, three) = ((1, noon), (2, noon + SECOND), (3, noon - 19 * SECOND));
        assert_eq!(last(&[one, two, three, (4, noon - 18 * SECOND)]), Some((4, noon - 18 * SECOND)));
        assert_eq!(last(&[one, two, (3, noon - 70 * SECOND)]), Some(two), "a new collector would not bring it");
        assert_eq!(last(&[(9, noon), (2, noon - SECOND)]), Some((2, noon - SECOND)), "it came last, whatever its key");
        let (wraps, wrapped) = ((i32::MAX, noon), (1, noon - 19 * SECOND));
        assert_eq!(last(&[wraps, wrapped]), Some(wrapped), "and its keys wrapped");
        assert_eq!(last(&[(i32::MAX, noon), (1, noon + 1)]), Some((1, noon + 1)), "keys wrapped");
        assert_eq!(last(&[(1000, noon), (1, noon + 1), (2, noon + 2)]), Some((2, noon + 2)), "keys began again");
    }

    #[test]
    fn below_the_horizon_nothing_is_read_again_unless_the_clock_is_there() {
        let (mut place, _) = reopened(MINUTE, 100 * MINUTE, &[(1, 100 * MINUTE)], &wanted(0));
        place.checkpoint.horizon = 100 * MINUTE - 5 * SECOND;
        assert_eq!(place.resume(), place.checkpoint.horizon, "a storm was more than can be remembered");
        assert_eq!(place.look_from(), place.checkpoint.horizon);
        assert_eq!(place.delta(None).resume, place.checkpoint.horizon);
        let before = Some(place.clock());
        let (resume, _) = after_set(&mut place, 50 * MINUTE, before).unwrap();
        within_a_second(resume, 50 * MINUTE);
        let delta = place.delta(Some(50 * MINUTE + 30 * SECOND));
        within_a_second(delta.resume, 50 * MINUTE);
        assert!(place.look_from() > place.newest(), "looking back would only bring what is forgotten");
    }

    #[test]
    fn a_small_step_back_counts_where_reading_does_not_go_so_far_back() {
        // Begun just now: there is no overlap.
        let (mut place, _) = Place::open(None, &wanted(100 * MINUTE), Clock::new(100 * MINUTE));
        let before = Some(place.clock());
        let (resume, newest) = after_set(&mut place, 100 * MINUTE - 20 * SECOND, before).unwrap();
        within_a_second(resume, 100 * MINUTE - 20 * SECOND);
        within_a_second(newest, resume);
        // Two looks differ a little, and slow answers by more: neither is a step.
        let (mut place, _) = Place::open(None, &wanted(100 * MINUTE), Clock::new(100 * MINUTE));
        let before = Some(place.clock());
        assert_eq!(place.set_clock(Clock::new(100 * MINUTE - SECOND / 2), before), None);
        let asked = Instant::now().checked_sub(Duration::from_secs(20)).unwrap();
        let before = Some(Clock { server: 100 * MINUTE, asked, answered: Instant::now() });
        assert_eq!(place.set_clock(Clock::new(100 * MINUTE), before), None);
    }

    #[test]
    fn another_vcenter_begins_a_new_set_at_the_same_time() {
        let other = Wanted { instance: Uuid::from_u128(2), ..wanted(0) };
        let (place, delta) = reopened(MINUTE, 200 * MINUTE, &[(1, 100 * MINUTE)], &other);
        let delta = delta.unwrap();
        assert_eq!((delta.instance, delta.resume, delta.horizon), (other.instance, 99 * MINUTE, 99 * MINUTE));
        assert!(place.is_new((1, 100 * MINUTE)));
        assert_eq!(place.last(), None, "of another vCenter nothing can be expected");
        let behind = Place::open(Some(place.checkpoint), &wanted(0), Clock::new(50 * MINUTE));
        assert!(behind.0.resume() < 50 * MINUTE, "its clock may be behind");
    }

    #[test]
    fn another_filter_raises_the_horizon_and_keeps_the_set() {
        let other = Wanted { filter: 8, ..wanted(0) };
        let (place, delta) = reopened(MINUTE, 200 * MINUTE, &[(1, 100 * MINUTE)], &other);
        assert_eq!(delta.map(|delta| (delta.filter, delta.resume, delta.horizon)), Some((8, 99 * MINUTE, 99 * MINUTE)));
        assert!(!place.is_new((1, 100 * MINUTE)));
        assert_eq!(place.last(), None, "with another filter nothing can be expected");
    }

    #[test]
    fn the_newest_event_must_come_again() {
        let of = [(1, 100 * MINUTE), (2, 99 * MINUTE)];
        let open = |begin| {
            let (mut place, _) = reopened(MINUTE, 200 * MINUTE, &of, &wanted(0));
            place.expect(begin);
            place
        };
        let mut place = open(99 * MINUTE);
        assert!(!place.sees((2, 99 * MINUTE)));
        assert_eq!(place.missing(true), None, "there is nothing newer");
        assert!(place.sees((2, 150 * MINUTE)) && place.sees((1, 140 * MINUTE)));
        assert!(place.in_doubt());
        assert_eq!(place.missing(false), None, "it may still come");
        assert_eq!(place.missing(true), Some((100 * MINUTE, 140 * MINUTE)));
        assert_eq!(place.missing(true), None, "told once");
        let mut place = open(99 * MINUTE);
        place.sees((3, 101 * MINUTE));
        place.sees((1, 100 * MINUTE + 5));
        assert!(!place.in_doubt(), "it came, later than it should");
        let mut place = open(99 * MINUTE);
        for key in 0..1000 {
            assert_eq!(place.missing(false), None);
            place.sees((key, 102 * MINUTE));
        }
        assert_eq!(place.missing(false), Some((100 * MINUTE, 102 * MINUTE)), "it is not to be waited for without end");
        let mut place = open(100 * MINUTE + 1);
        place.sees((3, 101 * MINUTE));
        assert_eq!(place.missing(true), None, "a collector that begins behind it cannot bring it");
    }

    #[test]
    fn what_is_forgotten_and_comes_again_is_no_sign_that_the_newest_event_is_missing() {
        let noon = 100 * MINUTE;
        let open = || {
            let (mut place, _) = reopened(MINUTE, 200 * MINUTE, &[(5000, noon)], &wanted(0));
            (place.checkpoint.horizon, place.checkpoint.newest) = (noon - SECOND, noon - 20 * SECOND);
            (1..MOST_REMEMBERED as i32 / 2).for_each(|i| place.checkpoint.recent.insert(i, noon - i64::from(i)));
            place.expect(noon - 30 * SECOND);
            place
        };
        let forgotten: Vec<_> = (0..2000).map(|i| (i, noon - 19 * SECOND + i64::from(i))).collect();
        let mut place = open();
        assert!(forgotten.iter().all(|seen| place.sees(*seen)), "to bring it twice is better than to lose it");
        assert_eq!((place.in_doubt(), place.missing(true)), (false, None));
        assert!(!place.sees((5000, noon)) && place.sees((5001, noon - 15 * SECOND)));
        assert_eq!((place.in_doubt(), place.missing(true)), (false, None), "it came");
        // vCenter was set back to an older state, too.
        let mut place = open();
        assert!(forgotten.iter().all(|seen| place.sees(*seen)));
        let brought = events(&forgotten);
        let delta = place.delta_of(Some(noon - 18 * SECOND), &brought);
        assert_eq!(delta.last, Some((5000, noon)), "another collector must bring it");
        place.took(&delta, &brought);
        assert!(place.sees((4000, noon + SECOND)));
        assert_eq!(place.missing(true), Some((noon, noon + SECOND)), "beyond the horizon nothing is forgotten");
        let mut place = open();
        assert!(forgotten.iter().all(|seen| place.sees(*seen)) && place.sees((5001, noon - 15 * SECOND)));
        assert!(place.missing(true).is_some(), "and this was made after it");
        let (mut place, _) = reopened(noon - SECOND, 200 * MINUTE, &[(5000, noon)], &wanted(0));
        place.checkpoint.newest = noon - 20 * SECOND;
        place.expect(noon - 30 * SECOND);
        assert!(place.sees((1, noon - 19 * SECOND)));
        assert!(place.missing(true).is_some(), "it happened before the stream began, or now");
    }

    #[test]
    fn a_late_event_does_not_end_what_is_missing() {
        let gap = |last: i32, of: &[(i32, i64)]| {
            let (mut place, _) = reopened(MINUTE, 200 * MINUTE, &[(last, 100 * MINUTE)], &wanted(0));
            place.expect(99 * MINUTE);
            of.iter().for_each(|(key, minute)| assert!(place.sees((*key, *minute * MINUTE))));
            place.missing(true).map(|(from, to)| (from / MINUTE, to / MINUTE))
        };
        assert_eq!(gap(1, &[(900, 101), (500, 120), (501, 121)]), Some((100, 120)));
        assert_eq!(gap(1, &[(501, 121), (900, 101), (500, 120)]), Some((100, 120)), "in whatever order they come");
        let wrapped = [(i32::MIN + 9, 101), (i32::MAX, 120), (i32::MIN, 121)];
        assert_eq!(gap(i32::MAX - 500, &wrapped), Some((100, 121)), "rather too much where keys wrapped");
        assert_eq!(gap(5000, &[(9, 101), (1, 120), (2, 121)]), Some((100, 120)), "and where keys begin again");
    }

    #[test]
    fn what_vcenter_keeps_no_longer_is_given_up() {
        let of = [(1, 100 * MINUTE), (2, 99 * MINUTE)];
        let day = 24 * 60 * MINUTE;
        let (mut place, _) = reopened(MINUTE, 40 * day, &of, &wanted(0));
        let (from, to) = place.expired(30).unwrap();
        assert_eq!(from, 99 * MINUTE);
        assert!((10 * day..10 * day + SECOND).contains(&to));
        let delta = place.give_up_before(to);
        assert!(delta.resume >= to && delta.horizon <= delta.resume);
        place.took(&delta, &[]);
        assert!(place.look_from() >= to && place.delta(None).resume >= to, "no collector begins there again");
        assert_eq!(place.expired(31), None);
    }

    #[test]
    fn a_quiet_vcenter_s_checkpoint_does_not_grow_old() {
        let (place, _) = reopened(MINUTE, 100 * MINUTE, &[(1, 99 * MINUTE)], &wanted(0));
        assert_eq!(place.freshen(), None);
        let (place, _) = Place::open(Some(place.checkpoint), &wanted(0), Clock::new(300 * MINUTE));
        let delta = place.freshen().unwrap();
        assert!((290 * MINUTE..291 * MINUTE).contains(&delta.resume));
        assert_eq!(delta.newest, 99 * MINUTE);
    }
}
