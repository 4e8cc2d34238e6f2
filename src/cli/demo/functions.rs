//! The demo's functions: what they want, and how they answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;

use super::record::Record;
use crate::simulator;
use crate::simulator::gateway::{Answer, Call, Function};

/// The functions' names.
pub(super) const NAMES: [&str; 3] = ["audit-log", "tag-vm", "page-oncall"];

/// Machines that begin or cease to run.
const POWER: [&str; 4] = ["VmPoweredOnEvent", "DrsVmPoweredOnEvent", "VmPoweredOffEvent", "VmClonedEvent"];

/// What somebody should look at.
const TROUBLE: [&str; 9] = [
    "AlarmStatusChangedEvent",
    "HostConnectionLostEvent",
    "VmFailedToPowerOnEvent",
    "com.vmware.vc.HA.DasHostFailedEvent",
    "com.vmware.vc.HA.ClusterFailoverActionInitiatedEvent",
    "com.vmware.vc.ha.VmRestartedByHAEvent",
    "com.vmware.vc.vsan.HealthCheckFailed",
    "esx.problem.net.redundancy.degraded",
    "esx.problem.scsi.device.io.latency.high",
];

/// What they subscribe to: one to everything that happens, one to machines' power, one to trouble.
pub(super) fn topics() -> [Vec<&'static str>; 3] {
    [simulator::subjects().collect(), POWER.to_vec(), TROUBLE.to_vec()]
}

/// One of so many calls of the tagger fails.
const TAG_FAILS: u64 = 9;

/// The pager goes away with the first call after so long: soon for those who begin to watch, and seldom after that.
const FIRST: Duration = Duration::from_secs(4);
const THERE: Duration = Duration::from_secs(16);

/// It is away for so long.
const AWAY: Duration = Duration::from_secs(4);

/// The functions, which tell the record of every call.
pub(super) fn functions(record: &Arc<Mutex<Record>>) -> Vec<Function> {
    let [audit, tag, page] = [0, 1, 2].map(|number| {
        let record = Arc::clone(record);
        move |call: Call<'_>, answer: Answer| {
            record.lock().unwrap_or_else(PoisonError::into_inner).called(number, call.body, answer.status.as_u16());
            answer
        }
    });
    let (tagger, pager) = (Tagger::default(), Pager::new(Instant::now()));
    let ([first, second, third], [everything, power, trouble]) = (NAMES, topics().map(|topics| topics.join(",")));
    vec![
        Function::new(first, &everything, move |call| audit(call, Answer::new(StatusCode::OK, "written down"))),
        Function::new(second, &power, move |call| tag(call, tagger.answer())),
        Function::new(third, &trouble, move |call| page(call, pager.answer(Instant::now()))),
    ]
}

/// Trips over itself now and then, and does better the next time.
#[derive(Default)]
struct Tagger(AtomicU64);

impl Tagger {
    fn answer(&self) -> Answer {
        // A call to vCenter's tagging service takes about so long.
        let takes = Duration::from_millis(5);
        if self.0.fetch_add(1, Ordering::Relaxed) % TAG_FAILS == TAG_FAILS - 1 {
            Answer::new(StatusCode::INTERNAL_SERVER_ERROR, "the tag is locked by another").after(takes)
        } else {
            Answer::new(StatusCode::OK, "tagged").after(takes)
        }
    }
}

/// Is away for some seconds now and then.
struct Pager(Mutex<Mood>);

/// How the pager is.
#[derive(Clone, Copy)]
enum Mood {
    /// It answers calls until then.
    There(Instant),
    /// It comes back then.
    Away(Instant),
}

impl Pager {
    fn new(now: Instant) -> Self {
        Self(Mutex::new(Mood::There(now + FIRST)))
    }

    fn answer(&self, now: Instant) -> Answer {
        let mut mood = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *mood = match *mood {
            Mood::There(until) if now >= until => Mood::Away(now + AWAY),
            Mood::Away(back) if now >= back => Mood::There(now + THERE),
            same => same,
        };
        match *mood {
            Mood::There(_) => Answer::new(StatusCode::ACCEPTED, "paged").after(Duration::from_millis(20)),
            Mood::Away(_) => Answer::new(StatusCode::SERVICE_UNAVAILABLE, "the pager's provider is down"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tagger_fails_now_and_then_and_never_twice_in_a_row() {
        let tagger = Tagger::default();
        let failures: Vec<_> = (0..30).filter(|_| !tagger.answer().status.is_success()).collect();
        assert_eq!(failures, [8, 17, 26]);
    }

    #[test]
    fn the_pager_goes_away_and_comes_back() {
        let now = Instant::now();
        let (pager, ms) = (Pager::new(now), Duration::from_millis(1));
        let answer = |at| pager.answer(at).status.as_u16();
        assert_eq!((answer(now), answer(now + FIRST - ms)), (202, 202));
        // Not by the clock alone, so that somebody sees it.
        let late = now + FIRST * 2;
        assert_eq!((answer(late), answer(late + AWAY - ms)), (503, 503));
        let back = late + AWAY;
        assert_eq!((answer(back), answer(back + THERE - ms), answer(back + THERE)), (202, 202, 503));
    }
}
