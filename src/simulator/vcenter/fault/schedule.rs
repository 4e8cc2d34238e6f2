//! What goes wrong when, from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tracing::info;

use super::{Fault, Planned, When};

/// The moments of what is planned, in their order.
#[derive(Debug)]
pub(in crate::simulator::vcenter) struct Schedule {
    rng: Rng,
    /// By how many events have happened. What is planned for one moment happens as it was planned.
    by_event: BTreeMap<(u64, u64), Arc<Planned>>,
    /// By how long it has been.
    by_time: BTreeMap<(Duration, u64), Arc<Planned>>,
    /// How many were planned, which orders them.
    planned: u64,
}

/// The most moments that can be planned at a time.
const MOST: usize = 250_000;

impl Schedule {
    /// Nothing is planned. The seed decides about random moments.
    pub(in crate::simulator::vcenter) fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), by_event: BTreeMap::new(), by_time: BTreeMap::new(), planned: 0 }
    }

    /// Plans a fault, from now on: so many events have happened, and it has been so long. What has no moment of its own
    /// comes back, to be done at once.
    pub(in crate::simulator::vcenter) fn plan(
        &mut self,
        planned: Planned,
        happened: u64,
        elapsed: Duration,
    ) -> Result<Option<Fault>, &'static str> {
        let order = self.planned;
        self.planned += 1;
        let planned = Arc::new(planned);
        let more = if let When::Random(times, _) = planned.when { times } else { 1 };
        if (self.by_event.len() + self.by_time.len()) as u64 + more > MOST as u64 {
            return Err("too many faults are planned already");
        }
        match planned.when {
            When::Now => return Ok(Some(planned.fault.clone())),
            When::Event(at) | When::EveryEvents(at) => {
                self.by_event.insert((happened.saturating_add(at), order), planned);
            }
            When::Random(times, among) => {
                let moments = moments(&mut self.rng, times, among);
                info!(fault = %planned.fault, ?moments, "planned for random moments, counted in events");
                let moments = moments.iter().map(|at| (happened.saturating_add(*at), order));
                self.by_event.extend(moments.map(|moment| (moment, Arc::clone(&planned))));
            }
            When::After(span) | When::Every(span) => {
                self.by_time.insert((elapsed + span, order), planned);
            }
        }
        Ok(None)
    }

    /// The next fault that is due when so many events have happened.
    pub(in crate::simulator::vcenter) fn due_by_event(&mut self, happened: u64) -> Option<Fault> {
        if self.next_event()? > happened {
            return None;
        }
        let ((at, order), planned) = self.by_event.pop_first()?;
        if let When::EveryEvents(events) = planned.when {
            self.by_event.insert((at.saturating_add(events), order), Arc::clone(&planned));
        }
        Some(planned.fault.clone())
    }

    /// The next fault that is due when it has been so long. What was missed meanwhile is not made up for.
    pub(in crate::simulator::vcenter) fn due_by_time(&mut self, elapsed: Duration) -> Option<Fault> {
        if self.next_time()? > elapsed {
            return None;
        }
        let ((_, order), planned) = self.by_time.pop_first()?;
        if let When::Every(span) = planned.when {
            self.by_time.insert((elapsed + span, order), Arc::clone(&planned));
        }
        Some(planned.fault.clone())
    }

    /// When the next fault is due by time.
    pub(in crate::simulator::vcenter) fn next_time(&self) -> Option<Duration> {
        self.by_time.first_key_value().map(|((at, _), _)| *at)
    }

    /// How many events must have happened for the next fault by event.
    pub(in crate::simulator::vcenter) fn next_event(&self) -> Option<u64> {
        self.by_event.first_key_value().map(|((at, _), _)| *at)
    }
}

/// So many different numbers from 1 to `among`.
fn moments(rng: &mut Rng, times: u64, among: u64) -> BTreeSet<u64> {
    let mut moments = BTreeSet::new();
    // Floyd's way: each step adds one, however full it is already.
    for most in among.saturating_sub(times) + 1..=among {
        let at = rng.u64(1..=most);
        if !moments.insert(at) {
            moments.insert(most);
        }
    }
    moments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seed: u64, texts: &[&str], events: u64) -> Vec<(u64, Fault)> {
        let mut schedule = Schedule::new(seed);
        for text in texts {
            assert_eq!(schedule.plan(text.parse().unwrap(), 0, Duration::ZERO), Ok(None));
        }
        let mut done = Vec::new();
        for happened in 1..=events {
            while let Some(fault) = schedule.due_by_event(happened) {
                done.push((happened, fault));
            }
        }
        done
    }

    #[test]
    fn events_bring_what_is_planned_for_them() {
        let at: Vec<_> = run(1, &["hang@3", "half-open@every:4", "truncated@8"], 12);
        let wanted = [
            (3, Fault::Hang),
            (4, Fault::HalfOpen),
            (8, Fault::HalfOpen),
            (8, Fault::Truncated),
            (12, Fault::HalfOpen),
        ];
        assert_eq!(at, wanted);
    }

    #[test]
    fn a_seed_gives_the_same_moments_each_time() {
        let plan = ["hang@random:20/1000", "session-expiry@random:1000/1000", "truncated@random:5/1000"];
        let once = run(7, &plan, 1000);
        assert_eq!(once, run(7, &plan, 1000));
        assert_ne!(once, run(8, &plan, 1000));
        let count = |fault: &Fault| once.iter().filter(|(_, other)| other == fault).count();
        assert_eq!([Fault::Hang, Fault::SessionExpiry, Fault::Truncated].map(|fault| count(&fault)), [20, 1000, 5]);
        let different: BTreeSet<_> = once.iter().filter(|(_, fault)| *fault == Fault::Hang).map(|(at, _)| at).collect();
        assert_eq!(different.len(), 20);
    }

    #[test]
    fn time_brings_what_is_planned_for_it() {
        let mut schedule = Schedule::new(1);
        let seconds = Duration::from_secs;
        for text in ["hang@3s", "half-open@every:2s"] {
            assert_eq!(schedule.plan(text.parse().unwrap(), 0, seconds(10)), Ok(None));
        }
        assert_eq!((schedule.due_by_time(seconds(11)), schedule.next_time()), (None, Some(seconds(12))));
        assert_eq!(schedule.due_by_time(seconds(13)), Some(Fault::HalfOpen));
        assert_eq!(schedule.due_by_time(seconds(13)), Some(Fault::Hang));
        assert_eq!((schedule.due_by_time(seconds(13)), schedule.next_time()), (None, Some(seconds(15))));
        assert_eq!(schedule.due_by_time(seconds(100)), Some(Fault::HalfOpen));
        assert_eq!(schedule.next_time(), Some(seconds(102)), "what was missed is not made up for");
        assert_eq!(schedule.due_by_event(u64::MAX), None);
    }

    #[test]
    fn what_is_planned_later_counts_from_then() {
        let mut schedule = Schedule::new(1);
        assert_eq!(schedule.plan("hang".parse().unwrap(), 100, Duration::ZERO), Ok(Some(Fault::Hang)));
        assert_eq!(schedule.plan("hang@5".parse().unwrap(), 100, Duration::ZERO), Ok(None));
        assert_eq!(schedule.next_event(), Some(105));
        let many = || "hang@random:100000/100000".parse().unwrap();
        assert_eq!(schedule.plan(many(), 0, Duration::ZERO), Ok(None));
        assert_eq!(schedule.plan(many(), 0, Duration::ZERO), Ok(None));
        assert!(schedule.plan(many(), 0, Duration::ZERO).is_err());
        while schedule.due_by_event(100_000).is_some() {}
        assert_eq!(schedule.plan(many(), 0, Duration::ZERO), Ok(None), "what has happened takes no place");
    }
}
