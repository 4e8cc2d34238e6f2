//! What is going wrong at present.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::{Disturbance, Fault, soap_kinds};

/// Trouble for one call.
#[derive(Debug)]
enum Once {
    Hang,
    Truncated,
    Soap { kind: String, method: Option<String> },
}

/// What is going wrong at present, and what went wrong.
#[derive(Debug, Default)]
pub(in crate::simulator::vcenter) struct Troubles {
    once: VecDeque<Once>,
    unavailable: Option<Instant>,
    /// vpxd itself is away: nothing happens.
    down: Option<Instant>,
    logins: Option<Instant>,
    collectors: Option<Instant>,
    slow: Option<(Duration, Instant)>,
    /// Pages break off in two ways, in turn.
    cut_short: bool,
    counts: BTreeMap<&'static str, u64>,
}

/// The most calls that trouble waits for.
const MOST: usize = 10_000;

impl Troubles {
    /// One more fault of this name.
    pub(in crate::simulator::vcenter) fn count(&mut self, fault: &Fault) {
        *self.counts.entry(fault.name()).or_default() += 1;
    }

    /// How many faults there were, by name.
    pub(in crate::simulator::vcenter) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// vpxd is away for so long, and a proxy answers in its place.
    pub(in crate::simulator::vcenter) fn leave(&mut self, lasts: Duration) {
        longer(&mut self.unavailable, lasts);
        longer(&mut self.down, lasts);
    }

    /// Whether vpxd is away.
    pub(in crate::simulator::vcenter) fn is_down(&self) -> bool {
        lasting(self.down)
    }

    /// Begins what is trouble for calls. Whether this fault is of that kind.
    pub(in crate::simulator::vcenter) fn begin(&mut self, fault: &Fault) -> bool {
        let once = match fault {
            Fault::Unavailable(lasts) => {
                longer(&mut self.unavailable, *lasts);
                return true;
            }
            Fault::Login(lasts) => {
                longer(&mut self.logins, *lasts);
                return true;
            }
            Fault::TooManyCollectors(lasts) => {
                longer(&mut self.collectors, *lasts);
                return true;
            }
            Fault::Slow { by, lasts } => {
                self.slow = Some((*by, Instant::now() + *lasts));
                return true;
            }
            Fault::Hang => Once::Hang,
            Fault::Truncated => Once::Truncated,
            Fault::Soap { kind, method } => Once::Soap { kind: kind.clone(), method: method.clone() },
            _ => return false,
        };
        if self.once.len() < MOST {
            self.once.push_back(once);
        }
        true
    }

    /// What becomes of a call of this method; a request that is no call has none.
    pub(in crate::simulator::vcenter) fn on_call(&mut self, method: &str) -> Option<Disturbance> {
        // The proxy stands in front of all else.
        if lasting(self.unavailable) {
            return Some(Disturbance::Unavailable);
        }
        if let Some(disturbance) = self.once(method) {
            return Some(disturbance);
        }
        if method == "Login" && lasting(self.logins) {
            return Some(Disturbance::Fault(soap_kinds::of("InvalidLogin", method)));
        }
        if method == "CreateCollectorForEvents" && lasting(self.collectors) {
            return Some(Disturbance::Fault(soap_kinds::of("InvalidState", method)));
        }
        let (by, until) = self.slow?;
        lasting(Some(until)).then_some(Disturbance::Delay(by))
    }

    /// The oldest trouble that waits for a call such as this one.
    fn once(&mut self, method: &str) -> Option<Disturbance> {
        let fits = |once: &Once| match once {
            Once::Hang | Once::Soap { method: None, .. } => !method.is_empty(),
            Once::Truncated => matches!(method, "ReadNextEvents" | "ReadPreviousEvents" | "QueryEvents"),
            Once::Soap { method: Some(wanted), .. } => wanted == method,
        };
        let at = self.once.iter().position(fits)?;
        Some(match self.once.remove(at)? {
            Once::Hang => Disturbance::Hang,
            Once::Truncated => {
                self.cut_short = !self.cut_short;
                if self.cut_short { Disturbance::CutOff } else { Disturbance::CutShort }
            }
            Once::Soap { kind, .. } => Disturbance::Fault(soap_kinds::of(&kind, method)),
        })
    }
}

fn lasting(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() < until)
}

/// Lasts at least so long from now.
fn longer(until: &mut Option<Instant>, lasts: Duration) {
    let new = Instant::now() + lasts;
    *until = Some(until.map_or(new, |until| until.max(new)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn troubles(texts: &[&str]) -> Troubles {
        let mut troubles = Troubles::default();
        for text in texts {
            assert!(troubles.begin(&text.parse().unwrap()), "{text}");
        }
        troubles
    }

    fn kind(disturbance: Option<Disturbance>) -> String {
        match disturbance {
            Some(Disturbance::Fault(fault)) => fault.kind.into_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn trouble_for_one_call_takes_one_call() {
        let mut troubles = troubles(&["hang", "soap=InvalidState:Login", "soap=NoPermission"]);
        assert_eq!(troubles.on_call("CurrentTime"), Some(Disturbance::Hang));
        assert_eq!(kind(troubles.on_call("CurrentTime")), "NoPermission");
        assert_eq!(troubles.on_call("CurrentTime"), None);
        assert_eq!(kind(troubles.on_call("Login")), "InvalidState");
        assert_eq!(troubles.on_call("Login"), None);
    }

    #[test]
    fn pages_of_events_break_off_in_both_ways_in_turn() {
        let mut troubles = troubles(&["truncated", "truncated", "truncated"]);
        assert_eq!(troubles.on_call("WaitForUpdatesEx"), None);
        let read = |troubles: &mut Troubles| troubles.on_call("ReadNextEvents");
        assert_eq!(read(&mut troubles), Some(Disturbance::CutOff));
        assert_eq!(read(&mut troubles), Some(Disturbance::CutShort));
        assert_eq!(troubles.on_call("QueryEvents"), Some(Disturbance::CutOff));
        assert_eq!(read(&mut troubles), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_lasts_ends() {
        let mut troubles = troubles(&["slow=300ms,10s", "collectors=3s", "login=4s", "unavailable=2s", "hang"]);
        let delay = Some(Disturbance::Delay(Duration::from_millis(300)));
        assert_eq!(troubles.on_call(""), Some(Disturbance::Unavailable));
        assert_eq!(troubles.on_call("Login"), Some(Disturbance::Unavailable));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(troubles.on_call(""), delay, "what waits for a call does not take other requests");
        assert_eq!(troubles.on_call("Login"), Some(Disturbance::Hang));
        assert_eq!(kind(troubles.on_call("Login")), "InvalidLogin");
        assert_eq!(kind(troubles.on_call("CreateCollectorForEvents")), "InvalidState");
        assert_eq!(troubles.on_call("CurrentTime"), delay);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(troubles.on_call("CreateCollectorForEvents"), delay);
        assert_eq!(kind(troubles.on_call("Login")), "InvalidLogin");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(troubles.on_call("Login"), delay);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(troubles.on_call("Login"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_trouble_does_not_end_a_longer_one() {
        let mut troubles = troubles(&["unavailable=5s", "unavailable=1s"]);
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(troubles.on_call("Login"), Some(Disturbance::Unavailable));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(troubles.on_call("Login"), None);
    }

    #[test]
    fn every_soap_fault_has_the_fields_of_its_type() {
        for (name, part) in [
            ("NotAuthenticated", "<privilegeId>System.View</privilegeId>"),
            ("NoPermission", "<privilegeId>System.View</privilegeId>"),
            ("ManagedObjectNotFound", "<obj type=\"EventHistoryCollector\">"),
            ("InvalidArgument", "<invalidProperty>maxCount</invalidProperty>"),
            ("InvalidProperty", "<name>latestPage</name>"),
            ("MethodNotFound", "<method>ReadNextEvents</method>"),
        ] {
            assert!(soap_kinds::of(name, "ReadNextEvents").fields.contains(part), "{name}");
        }
        for name in soap_kinds::NAMES {
            let fault = soap_kinds::of(name, "ReadNextEvents");
            assert_eq!(fault.kind, *name);
            assert!(fault.message != "A fault that was asked for.", "{name} has its own message");
        }
    }

    #[test]
    fn what_changes_the_state_is_no_trouble_for_calls() {
        assert!(!Troubles::default().begin(&Fault::KeyWrap));
    }

    #[test]
    fn faults_are_counted_by_name() {
        let mut troubles = Troubles::default();
        troubles.count(&Fault::Hang);
        troubles.count(&Fault::Hang);
        assert_eq!(troubles.counts().iter().collect::<Vec<_>>(), [(&"hang", &2)]);
    }
}
