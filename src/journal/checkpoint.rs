//! A stream's place upstream, and the events it has journaled lately.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::event::Event;

/// How long the checkpoint remembers events by identity, in microseconds of vCenter's time.
pub const HORIZON_MICROS: i64 = 10 * 60 * 1_000_000;

/// How many events a checkpoint remembers at most. Beyond it the horizon rises.
pub const MOST_REMEMBERED: usize = 65_536;

/// Two reads of one event may give its time more or less exactly: within this it is the same event.
const SAME_EVENT_MICROS: i64 = 10_000;

/// A stream's place upstream. Times are microseconds since 1970 by vCenter's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The vCenter's instance UUID.
    pub instance: Uuid,
    /// What the stream asked for: another filter sees other events.
    pub filter: u64,
    /// Where reading resumes.
    pub resume: i64,
    /// From here on every journaled event is remembered in `recent`.
    pub horizon: i64,
    /// The events journaled since the horizon.
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
    /// Where reading resumes after this batch.
    pub resume: i64,
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
            horizon: delta.horizon,
            recent: Recent::default(),
        }
    }

    /// The checkpoint after a batch. Returns whether the bound on remembered
    /// events bit, so that the horizon rose further than `delta` asked.
    pub fn apply(&mut self, delta: &CheckpointDelta, events: &[Event]) -> bool {
        if self.instance != delta.instance {
            self.recent = Recent::default();
            self.horizon = delta.horizon;
        }
        self.instance = delta.instance;
        self.filter = delta.filter;
        self.resume = delta.resume;
        self.horizon = self.horizon.max(delta.horizon);
        for event in events {
            if let (Some(key), Some(created)) = (event.key(), event.created())
                && created >= self.horizon
            {
                self.recent.insert(key, created);
            }
        }
        self.recent.forget_before(self.horizon);
        match self.recent.shrink(MOST_REMEMBERED) {
            Some(horizon) => {
                self.horizon = self.horizon.max(horizon);
                true
            }
            None => false,
        }
    }
}

/// A set of events by identity: (key, CreatedTime).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    events: BTreeSet<(i32, i64)>,
    /// All before this have been forgotten already.
    swept: i64,
    /// Sweeping waits until the set has grown to this.
    sweep_at: usize,
}

impl Recent {
    /// Whether the event is remembered: the same key within 10 ms.
    #[must_use]
    pub fn contains(&self, key: i32, created: i64) -> bool {
        let from = (key, created.saturating_sub(SAME_EVENT_MICROS));
        let to = (key, created.saturating_add(SAME_EVENT_MICROS));
        self.events.range(from..=to).next().is_some()
    }

    /// Remembers an event.
    pub fn insert(&mut self, key: i32, created: i64) {
        self.events.insert((key, created));
    }

    /// How many events are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Each remembered event: key and CreatedTime.
    pub fn iter(&self) -> impl Iterator<Item = (i32, i64)> {
        self.events.iter().copied()
    }

    /// Forgets what lies before `horizon`. The work is done once for many calls,
    /// so some of it may stay for a while.
    pub fn forget_before(&mut self, horizon: i64) {
        if horizon > self.swept && self.events.len() >= self.sweep_at.max(1024) {
            self.events.retain(|(_, created)| *created >= horizon);
            self.swept = horizon;
            self.sweep_at = self.events.len() * 2;
        }
    }

    /// Forgets the oldest until at most `most` remain; the new horizon if any had to go.
    pub fn shrink(&mut self, most: usize) -> Option<i64> {
        if self.events.len() <= most {
            return None;
        }
        let mut times: Vec<i64> = self.events.iter().map(|(_, created)| *created).collect();
        // Half is let go at once, so that a storm does not pay for every event.
        let cut = times.len() - most / 2;
        let (_, horizon, _) = times.select_nth_unstable(cut);
        let horizon = *horizon;
        self.events.retain(|(_, created)| *created >= horizon);
        // Where more than half share one moment, keeping them all would keep the bound from holding.
        if self.events.len() > most {
            self.events.clear();
        }
        self.swept = horizon;
        self.sweep_at = self.events.len() * 2;
        Some(horizon)
    }
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
        CheckpointDelta { instance: Uuid::from_u128(1), filter: 7, resume, horizon }
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
        assert!(checkpoint.recent.contains(1, 9), "an event since the horizon is remembered");
        assert_eq!(checkpoint.recent.len(), 1, "one before the horizon is not");
        checkpoint.apply(&CheckpointDelta { filter: 8, ..delta(21, 20) }, &[]);
        assert_eq!((checkpoint.filter, checkpoint.horizon), (8, 20));
        let other = CheckpointDelta { instance: Uuid::from_u128(2), ..delta(3, 2) };
        checkpoint.apply(&other, &[]);
        assert_eq!((checkpoint.horizon, checkpoint.resume, checkpoint.recent.len()), (2, 3, 0));
    }

    #[test]
    fn the_set_is_bounded_and_the_horizon_rises_when_the_bound_bites() {
        let mut checkpoint = Checkpoint::begin(&delta(0, 0));
        let many: Vec<(i32, i64)> = (0..70_000).map(|i| (i, i64::from(i) * 1000)).collect();
        assert!(checkpoint.apply(&delta(0, 0), &events(&many)));
        assert!(checkpoint.recent.len() <= MOST_REMEMBERED);
        assert!(checkpoint.horizon > 0);
        let kept: BTreeSet<i32> = checkpoint.recent.iter().map(|(key, _)| key).collect();
        for (key, created) in many {
            assert_eq!(kept.contains(&key), created >= checkpoint.horizon, "{key}");
        }
        let same: Vec<(i32, i64)> = (0..70_000).map(|i| (i, 90_000_000)).collect();
        checkpoint.apply(&delta(0, 0), &events(&same));
        assert!(checkpoint.recent.len() <= MOST_REMEMBERED, "many events of one moment keep the bound too");
    }
}
