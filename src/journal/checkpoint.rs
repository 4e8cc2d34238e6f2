//! A stream's place upstream, and the events it has journaled lately.

use uuid::Uuid;

use super::times::Times;
use crate::event::Event;

/// How far back late events are looked for, in microseconds of vCenter's time.
pub const HORIZON_MICROS: i64 = 10 * 60 * 1_000_000;

/// How many events a checkpoint remembers at most: 16 bytes each, 2 MiB when all are there, and 8 bytes each in a
/// checkpoint that is only kept; 4 more if they lie more than half an hour apart. Beyond it the horizon rises.
pub const MOST_REMEMBERED: usize = 131_072;

/// Two reads of one event may give its time more or less exactly: within this it is the same event.
pub(crate) const SAME_EVENT_MICROS: i64 = 10_000;

/// A stream's place upstream. Times are microseconds since 1970 by vCenter's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The vCenter's instance UUID.
    pub instance: Uuid,
    /// What the stream asked for: another filter sees other events.
    pub filter: u64,
    /// Where reading resumes.
    pub resume: i64,
    /// How far reading has come. Lower than before only when vCenter's clock was set back.
    pub newest: i64,
    /// The newest event that was read, if vCenter must still have it when reading resumes: key and CreatedTime.
    pub last: Option<(i32, i64)>,
    /// From here on every journaled event is remembered in `recent`. Forgetting raises it, and giving up; time does not.
    pub horizon: i64,
    /// The events journaled lately.
    pub recent: Recent,
}

/// How one batch changes its stream's checkpoint. The events themselves are
/// remembered by the journal as it appends them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointDelta {
    /// The vCenter that the batch comes from. Another one than before begins a new set of recent events.
    pub instance: Uuid,
    /// The filter that the batch was read with.
    pub filter: u64,
    /// Where reading resumes after this batch. It may lie anywhere: behind the old one, even below the horizon, when
    /// vCenter's clock was set back.
    pub resume: i64,
    /// How far reading has come with this batch. What lies beyond it, a clock that was ahead has dated.
    pub newest: i64,
    /// The newest event that vCenter must still have when reading resumes, if there is one.
    pub last: Option<(i32, i64)>,
    /// The new horizon; it never falls while instance and filter stay.
    pub horizon: i64,
}

impl Checkpoint {
    /// The first checkpoint of a stream.
    #[must_use]
    pub fn begin(delta: &CheckpointDelta) -> Self {
        Self {
            instance: delta.instance,
            filter: delta.filter,
            resume: delta.resume,
            newest: delta.newest,
            last: delta.last,
            horizon: delta.horizon,
            recent: Recent::default(),
        }
    }

    /// The same, for who keeps it and never looks an event up: see [`Recent::bare`].
    #[must_use]
    pub fn bare(delta: &CheckpointDelta) -> Self {
        Self { recent: Recent::bare(), ..Self::begin(delta) }
    }

    /// A copy to look events up in.
    #[must_use]
    pub fn opened(&self) -> Self {
        let mut opened = self.clone();
        opened.recent.bare = false;
        opened.recent.index_anew();
        opened
    }

    /// The checkpoint after a batch. Returns whether so many events came within
    /// [`HORIZON_MICROS`] that some of them had to be forgotten.
    pub fn apply(&mut self, delta: &CheckpointDelta, events: &[Event]) -> bool {
        self.apply_named(delta, events.iter().filter_map(|event| event.key().zip(event.created())))
    }

    /// The same, of the events' keys and CreatedTimes.
    pub(super) fn apply_named(&mut self, delta: &CheckpointDelta, events: impl Iterator<Item = (i32, i64)>) -> bool {
        if self.instance != delta.instance {
            self.recent = Recent { bare: self.recent.bare, ..Recent::default() };
            self.horizon = delta.horizon;
        }
        self.instance = delta.instance;
        self.filter = delta.filter;
        self.resume = delta.resume;
        self.newest = delta.newest;
        self.last = delta.last;
        self.horizon = self.horizon.max(delta.horizon);
        let mut crowded = false;
        for (key, created) in events {
            if let Some(horizon) = self.recent.make_room(MOST_REMEMBERED, self.newest) {
                self.horizon = self.horizon.max(horizon);
                crowded |= self.horizon > self.newest.saturating_sub(HORIZON_MICROS);
            }
            self.recent.insert(key, created);
        }
        crowded
    }
}

/// A set of events by identity: (key, CreatedTime), in the order in which they were journaled.
#[derive(Clone, Default)]
pub struct Recent {
    keys: Vec<i32>,
    times: Times,
    /// A hash table of places in the above, plus one; at most half full. Nothing is ever taken out of it: it is made
    /// anew.
    index: Vec<u32>,
    /// It has no table.
    bare: bool,
}

impl Recent {
    /// A set without a hash table: half as large, and quicker to add to. It is slow to look something up in, and
    /// remembers twice what it is told twice.
    #[must_use]
    pub fn bare() -> Self {
        Self { bare: true, ..Self::default() }
    }

    /// Whether the event is remembered: the same key within 10 ms.
    #[must_use]
    pub fn contains(&self, key: i32, created: i64) -> bool {
        let from = created.saturating_sub(SAME_EVENT_MICROS);
        let to = created.saturating_add(SAME_EVENT_MICROS);
        if self.bare {
            return self.iter().any(|(other, time)| other == key && (from..=to).contains(&time));
        }
        let found =
            |span| self.chain(key, span).any(|at| self.keys[at] == key && (from..=to).contains(&self.times.at(at)));
        found(span(from)) || (span(to) != span(from) && found(span(to)))
    }

    /// Remembers an event.
    pub fn insert(&mut self, key: i32, created: i64) {
        if self.chain(key, span(created)).any(|at| self.keys[at] == key && self.times.at(at) == created) {
            return;
        }
        self.keys.push(key);
        self.times.push(created);
        if self.bare {
            return;
        }
        if self.keys.len() * 2 > self.index.len() {
            self.index_anew();
        } else {
            self.enter(self.keys.len() - 1);
        }
    }

    /// How many events are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Each remembered event, as they were journaled: key and CreatedTime.
    pub fn iter(&self) -> impl Iterator<Item = (i32, i64)> {
        self.keys.iter().copied().zip(self.times.iter())
    }

    /// Lets another event in. Where `most` are there already, half of them go, those that were journaled first; but
    /// events beyond `newest` may stay, up to a quarter of `most`, since every new collector will bring them again.
    /// All that was forgotten lies before the time that is returned.
    pub fn make_room(&mut self, most: usize, newest: i64) -> Option<i64> {
        if self.len() < most {
            return None;
        }
        let old = self.len() - most / 2;
        let beyond = self.times.iter().take(old).filter(|created| *created > newest).count();
        let mut too_many = beyond.saturating_sub(most / 4);
        let mut horizon = i64::MIN;
        let mut kept = 0;
        let mut times = Times::with_room(self.len());
        for at in 0..self.len() {
            let created = self.times.at(at);
            let mut keep = at >= old;
            if !keep && created > newest {
                keep = too_many == 0;
                too_many = too_many.saturating_sub(1);
            }
            if keep {
                self.keys[kept] = self.keys[at];
                times.push(created);
                kept += 1;
            } else {
                horizon = horizon.max(created.saturating_add(1));
            }
        }
        self.keys.truncate(kept);
        self.times = times;
        self.index_anew();
        Some(horizon)
    }

    /// The places of all events whose hash leads there.
    fn chain(&self, key: i32, span: i64) -> impl Iterator<Item = usize> {
        let mask = self.index.len().wrapping_sub(1);
        let mut slot = hash(key, span);
        std::iter::from_fn(move || {
            // The table is never full, so an empty slot ends every chain.
            let at = *self.index.get(slot & mask)?;
            slot = (slot & mask) + 1;
            (at > 0).then(|| at as usize - 1)
        })
    }

    fn enter(&mut self, at: usize) {
        let mask = self.index.len() - 1;
        let mut slot = hash(self.keys[at], span(self.times.at(at))) & mask;
        while self.index[slot] != 0 {
            slot = (slot + 1) & mask;
        }
        // Far fewer than 2^32 are remembered.
        self.index[slot] = at as u32 + 1;
    }

    fn index_anew(&mut self) {
        if self.bare {
            return;
        }
        let size = (self.keys.len() * 2).next_power_of_two().max(64);
        self.index.clear();
        self.index.resize(size, 0);
        for at in 0..self.keys.len() {
            self.enter(at);
        }
    }
}

impl PartialEq for Recent {
    fn eq(&self, other: &Self) -> bool {
        (&self.keys, &self.times) == (&other.keys, &other.times)
    }
}

impl Eq for Recent {}

impl std::fmt::Debug for Recent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Times are hashed by spans of 65 ms: events whose times differ a little meet in one, or in two that are neighbours.
fn span(created: i64) -> i64 {
    created >> 16
}

fn hash(key: i32, span: i64) -> usize {
    let mixed = (i64::from(key) as u64 ^ (span as u64).rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 32)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Attributes, PageBuilder};

    fn events(of: &[(i32, i64)]) -> Vec<Event> {
        let mut page = PageBuilder::new("vc".into(), "s", &[]);
        for (key, created) in of {
            page.push(&Attributes { key: Some(*key), created: Some(*created), ..Attributes::default() }, b"{}");
        }
        page.finish()
    }

    fn delta(resume: i64, horizon: i64) -> CheckpointDelta {
        CheckpointDelta { instance: Uuid::from_u128(1), filter: 7, resume, newest: i64::MAX, last: None, horizon }
    }

    #[test]
    fn the_same_key_within_ten_milliseconds_is_the_same_event() {
        let mut recent = Recent::default();
        recent.insert(5, 1_000_000);
        assert!(recent.contains(5, 1_000_000) && recent.contains(5, 990_000) && recent.contains(5, 1_010_000));
        assert!(!recent.contains(5, 989_999) && !recent.contains(5, 1_010_001) && !recent.contains(6, 1_000_000));
        assert!(!recent.contains(5, i64::MAX) && !recent.contains(5, i64::MIN));
    }

    #[test]
    fn another_vcenter_begins_a_new_set_and_another_filter_raises_the_horizon() {
        let mut checkpoint = Checkpoint::begin(&delta(10, 0));
        checkpoint.apply(&delta(20, 5), &events(&[(1, 9), (2, 4)]));
        assert!(checkpoint.recent.contains(1, 9) && checkpoint.recent.contains(2, 4));
        checkpoint.apply(&CheckpointDelta { filter: 8, ..delta(21, 20) }, &[]);
        assert_eq!((checkpoint.filter, checkpoint.horizon, checkpoint.recent.len()), (8, 20, 2));
        let other = CheckpointDelta { instance: Uuid::from_u128(2), ..delta(3, 2) };
        checkpoint.apply(&other, &[]);
        assert_eq!((checkpoint.horizon, checkpoint.resume, checkpoint.recent.len()), (2, 3, 0));
    }

    /// What the set must know, and may only know of these.
    fn assert_remembers(checkpoint: &Checkpoint, all: &[(i32, i64)]) {
        assert!(checkpoint.recent.len() <= MOST_REMEMBERED);
        for (key, created) in all {
            assert!(*created < checkpoint.horizon || checkpoint.recent.contains(*key, *created), "{key}");
        }
    }

    #[test]
    fn the_set_is_bounded_and_the_horizon_rises_when_the_bound_bites() {
        let mut checkpoint = Checkpoint::begin(&delta(0, 0));
        let many: Vec<(i32, i64)> = (0..140_000).map(|i| (i, i64::from(i) * 1000)).collect();
        let newest = 140_000_000;
        let mut crowded = false;
        for page in many.chunks(1000) {
            crowded |= checkpoint.apply(&CheckpointDelta { newest, ..delta(0, 0) }, &events(page));
        }
        assert!(crowded);
        assert!(checkpoint.recent.len() >= MOST_REMEMBERED / 2);
        assert_eq!(checkpoint.horizon, 65_535_001, "just behind what was forgotten");
        assert_remembers(&checkpoint, &many);
        let same: Vec<(i32, i64)> = (0..140_000).map(|i| (i, 990_000_000)).collect();
        checkpoint.apply(&delta(0, 0), &events(&same));
        assert_remembers(&checkpoint, &same);
        assert!(!checkpoint.recent.contains(0, 990_000_000), "many events of one moment keep the bound too");
    }

    #[test]
    fn what_is_only_kept_knows_the_same() {
        let (mut kept, mut used) = (Checkpoint::bare(&delta(0, 0)), Checkpoint::begin(&delta(0, 0)));
        for first in (0..300_000).step_by(1000) {
            let page: Vec<_> = (first..first + 1000).map(|i| (i, i64::from(i) * 20_000)).collect();
            let delta = CheckpointDelta { newest: i64::from(first) * 20_000, ..delta(0, 0) };
            assert_eq!(kept.apply(&delta, &events(&page)), used.apply(&delta, &events(&page)));
        }
        assert_eq!(kept, used);
        let opened = kept.opened();
        for key in [0, 150_000, 299_999] {
            let (near, far) = (i64::from(key) * 20_000 + 9_999, i64::from(key) * 20_000 + 10_001);
            for set in [&kept, &opened, &used] {
                assert_eq!((set.recent.contains(key, near), set.recent.contains(key, far)), (key > 200_000, false));
            }
        }
        assert!(kept.recent.index.is_empty() && !opened.recent.index.is_empty());
        kept.apply(&CheckpointDelta { instance: Uuid::from_u128(2), ..delta(0, 0) }, &events(&[(1, 1)]));
        assert!(kept.recent.index.is_empty() && kept.recent.len() == 1);
    }

    #[test]
    fn time_alone_forgets_nothing() {
        let mut checkpoint = Checkpoint::begin(&delta(0, 0));
        let years: Vec<(i32, i64)> = (0..1000).map(|i| (i, i64::from(i) * 24 * 6 * HORIZON_MICROS)).collect();
        assert!(!checkpoint.apply(&delta(0, 0), &events(&years)));
        assert_eq!((checkpoint.horizon, checkpoint.recent.len()), (0, 1000));
    }

    #[test]
    fn what_was_journaled_first_goes_first_and_what_will_come_again_stays() {
        let mut checkpoint = Checkpoint::begin(&delta(0, 0));
        // An hour ahead, then the clock is right again.
        let ahead: Vec<(i32, i64)> = (0..1000).map(|i| (i, 6 * HORIZON_MICROS + i64::from(i))).collect();
        let right: Vec<(i32, i64)> = (1000..160_000).map(|i| (i, i64::from(i))).collect();
        let newest = 160_000;
        checkpoint.apply(&CheckpointDelta { newest, ..delta(0, 0) }, &events(&ahead));
        for page in right.chunks(1000) {
            checkpoint.apply(&CheckpointDelta { newest, ..delta(0, 0) }, &events(page));
        }
        assert!(checkpoint.horizon < newest);
        assert_remembers(&checkpoint, &right);
        assert_remembers(&checkpoint, &ahead);
        assert!(checkpoint.recent.contains(0, 6 * HORIZON_MICROS));
        // More of them than may stay.
        let ahead: Vec<(i32, i64)> = (0..300_000).map(|i| (-1 - i, 6 * HORIZON_MICROS + i64::from(i))).collect();
        checkpoint.apply(&CheckpointDelta { newest, ..delta(0, 0) }, &events(&ahead));
        assert!(checkpoint.horizon > newest, "what is forgotten is known to be");
        assert_remembers(&checkpoint, &ahead);
    }

    #[test]
    fn the_set_finds_what_it_holds() {
        let mut recent = Recent::default();
        let mut all = std::collections::BTreeSet::new();
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..50_000 {
            let (key, created) = (random.i32(-300..300), random.i64(-50_000_000..50_000_000));
            let known = all.range((key, created - 10_000)..=(key, created + 10_000)).next().is_some();
            assert_eq!(recent.contains(key, created), known);
            if random.bool() {
                recent.insert(key, created);
                all.insert((key, created));
            }
            assert_eq!(recent.len(), all.len());
        }
    }
}
