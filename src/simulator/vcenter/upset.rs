//! Faults that are done to the vCenter itself.

use std::sync::Arc;
use std::time::Duration;

use tracing::info;

use super::fault::{Fault, Planned};
use super::ledger::Marks;
use super::state::{Draft, State};
use crate::simulator::Body;

/// A jump of keys goes to so many before the last.
const BEFORE_WRAP: i32 = 49;

/// How far the clock moves on meanwhile, in microseconds.
const WRAP_TAKES: i64 = 1_000_000;

impl State {
    /// Plans a fault, or lets it happen at once.
    pub(super) fn plan(&mut self, planned: Planned) -> Result<(), &'static str> {
        let (lived, elapsed) = (self.lived, self.started.elapsed());
        if let Some(fault) = self.schedule.plan(planned, lived, elapsed)? {
            self.upset(&fault);
        }
        Ok(())
    }

    /// Does what is planned for this many events.
    pub(super) fn upset_by_event(&mut self) {
        while let Some(fault) = self.schedule.due_by_event(self.lived) {
            self.upset(&fault);
        }
    }

    /// Does what is planned for by now. How long it is until there is more.
    pub(super) fn upset_by_time(&mut self) -> Option<Duration> {
        let elapsed = self.started.elapsed();
        while let Some(fault) = self.schedule.due_by_time(elapsed) {
            self.upset(&fault);
        }
        self.schedule.next_time().map(|next| next.saturating_sub(elapsed))
    }

    /// Lets a fault happen.
    pub(super) fn upset(&mut self, fault: &Fault) {
        info!(%fault, events = self.happened(), "goes wrong");
        self.troubles.count(fault);
        match fault {
            Fault::SessionExpiry => self.end_all_sessions(),
            Fault::Restart { new_keys, away } => {
                if *new_keys {
                    self.begin_anew();
                } else {
                    self.end_all_sessions();
                }
                self.leave(*away);
            }
            Fault::Restore { events, away } => {
                self.restore(*events);
                self.leave(*away);
            }
            Fault::HalfOpen => self.silence_connections(),
            Fault::Hidden(events) => self.make(*events, |draft| draft.hidden = true),
            Fault::KeyWrap => {
                // Billions of events do not happen in an instant; a key is not used twice in one.
                self.clock.pass(WRAP_TAKES);
                self.next_key = i32::MAX - BEFORE_WRAP;
            }
            Fault::Late { events, age } => {
                let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
                let created = self.clock.now().saturating_sub(age);
                for _ in 0..*events {
                    // Below all that there is: a key between others would be taken.
                    let key = self.lowest_key.wrapping_sub(1);
                    self.lowest_key = key;
                    self.make(1, |draft| (draft.key, draft.created, draft.late) = (Some(key), Some(created), true));
                }
            }
            Fault::EqualTimes(events) => {
                let created = self.clock.now();
                self.make(*events, |draft| draft.created = Some(created));
            }
            Fault::Clock(seconds) => self.shift_clock(seconds.saturating_mul(1_000_000)),
            Fault::UnknownType(events) => {
                let body = Arc::new(unknown());
                for _ in 0..*events {
                    let body = Arc::clone(&body);
                    self.append(Draft { body, marks: Marks::UNKNOWN, ..Draft::default() });
                }
            }
            Fault::Undecodable(events) => {
                let bodies = undecodable();
                for _ in 0..*events {
                    let (body, marks) = &bodies[self.undecodable % bodies.len()];
                    self.undecodable += 1;
                    let draft = Draft { body: Arc::clone(body), marks: *marks, ..Draft::default() };
                    self.append(draft);
                }
            }
            Fault::Expired { keep } => {
                self.delete_all_but(usize::try_from(*keep).unwrap_or(usize::MAX));
                self.end_all_sessions();
            }
            Fault::Hang
            | Fault::Truncated
            | Fault::Unavailable(_)
            | Fault::Soap { .. }
            | Fault::Slow { .. }
            | Fault::TooManyCollectors(_)
            | Fault::Login(_) => drop(self.troubles.begin(fault)),
        }
        self.touch();
    }

    /// Every connection breaks, and a proxy answers for so long.
    fn leave(&mut self, away: Duration) {
        self.break_connections();
        self.troubles.leave(away);
    }

    /// So many events of the data centre happen, changed in some way.
    fn make(&mut self, events: u64, mut change: impl FnMut(&mut Draft)) {
        for _ in 0..events {
            self.go_on(&mut change);
        }
    }
}

/// The class of events whose type is unknown.
pub(super) const UNKNOWN: &str = "VmMovedToAnotherPlanetEvent";

/// What every one of the made events says before what is special about it.
const USUAL: &str = concat!(
    "<userName>VSPHERE.LOCAL\\vpxd</userName>",
    r#"<datacenter><name>dc-made</name><datacenter type="Datacenter">datacenter-9001</datacenter></datacenter>"#,
    r#"<computeResource><name>cl-made</name><computeResource type="ClusterComputeResource">domain-c9002"#,
    "</computeResource></computeResource>",
    r#"<host><name>esx-made</name><host type="HostSystem">host-9003</host></host>"#,
    r#"<vm><name>made</name><vm type="VirtualMachine">vm-9004</vm></vm>"#,
);

fn body(class: &str, rest: &str) -> Body {
    Body {
        class: class.into(),
        user: "VSPHERE.LOCAL\\vpxd".into(),
        about: ["datacenter-9001", "domain-c9002", "host-9003", "vm-9004"].map(Into::into).into(),
        xml: format!("{USUAL}{rest}").into(),
        ..Body::default()
    }
}

/// An event of a class that no schema has.
fn unknown() -> Body {
    body(
        UNKNOWN,
        "<fullFormattedMessage>made moved to another planet</fullFormattedMessage>\
         <planet>Mars</planet><distance>225000000</distance>",
    )
}

/// Events that cannot be decoded, each for another reason: a value that is none, a time that is none, and a character
/// that no XML has.
fn undecodable() -> [(Arc<Body>, Marks); 3] {
    let message = "<fullFormattedMessage>made on esx-made is powered on</fullFormattedMessage>";
    let value = body("VmPoweredOnEvent", &format!("{message}<template>perhaps</template>"));
    let mut time = body("VmPoweredOnEvent", &format!("{message}<template>false</template>"));
    time.time = Some("yesterday".into());
    let message = "<fullFormattedMessage>made on \u{1}esx-made is powered on</fullFormattedMessage>";
    let malformed = body("VmPoweredOnEvent", &format!("{message}<template>false</template>"));
    let malformed_marks = Marks::UNDECODABLE.and(Marks::MALFORMED);
    [(value, Marks::UNDECODABLE), (time, Marks::UNDECODABLE), (malformed, malformed_marks)]
        .map(|(body, marks)| (Arc::new(body), marks))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::simulator::vcenter::Options;
    use crate::simulator::vcenter::ledger::Entry;
    use crate::simulator::vcenter::session::Caller;
    use crate::simulator::vcenter::soap::Node;
    use crate::vim25::describe::derives;
    use crate::vim25::soap::Ref;

    fn state(past: u64) -> State {
        State::new(Options { past, ..Options::default() })
    }

    fn upset(state: &mut State, text: &str) {
        for planned in Planned::schedule(text).unwrap() {
            state.plan(planned).unwrap();
        }
    }

    /// A session with a collector that has read everything.
    fn reader(state: &mut State) -> (String, Ref) {
        let caller = Caller { address: IpAddr::V4(Ipv4Addr::LOCALHOST), agent: String::new(), cookie: None };
        let session = state.login(&caller, "user", "pass", "en").unwrap().key;
        let collector = state.create_collector(&session, &Node::default()).unwrap();
        while !read(state, &session, &collector, 1_000).is_empty() {}
        (session, collector)
    }

    fn read(state: &mut State, session: &str, collector: &Ref, most: usize) -> Vec<i32> {
        let (collector, history) = state.collector(session, collector).unwrap();
        let mut keys = Vec::new();
        collector.read_next(history, most, |record| keys.push(record.key));
        keys
    }

    fn entries(state: &State) -> Vec<Entry> {
        state.ledger.read(0, usize::MAX).collect()
    }

    #[test]
    fn the_ledger_has_what_the_history_has() {
        let mut state = state(100);
        reader(&mut state);
        let history: Vec<_> = state.history.from(0).map(|record| (record.key, record.created)).collect();
        let ledger: Vec<_> = entries(&state).iter().map(|entry| (entry.key, entry.created)).collect();
        assert_eq!(history, ledger);
        assert_eq!(state.ledger.end(), state.happened());
    }

    #[test]
    fn sessions_expire() {
        let mut state = state(1);
        let (session, _) = reader(&mut state);
        upset(&mut state, "session-expiry");
        assert!(state.sessions.get(&session).is_none());
        assert_eq!(state.troubles.counts().get("session-expiry"), Some(&1));
    }

    #[test]
    fn a_restart_breaks_connections_and_keeps_events() {
        let mut state = state(3);
        let (session, _) = reader(&mut state);
        state.links.send_modify(|links| links.next = 5);
        upset(&mut state, "restart=same-keys,1h");
        assert_eq!(state.links.borrow().broken, 5);
        assert!(state.sessions.get(&session).is_none());
        assert_eq!(state.troubles.on_call("Login"), Some(super::super::fault::Disturbance::Unavailable));
        assert_eq!((state.history.len(), state.next_key), (4, 5));
    }

    #[test]
    fn a_restart_with_new_keys_has_an_empty_database() {
        let mut state = state(3);
        upset(&mut state, "restart=new-keys,0s");
        assert_eq!((state.history.len(), state.next_key), (0, 1));
        assert!(entries(&state).iter().all(|entry| entry.marks == Marks::GONE));
        assert_eq!(state.append(Draft::default()).key, 1);
        assert_eq!(entries(&state)[3].marks, Marks::default());
    }

    #[test]
    fn a_restore_gives_keys_again_with_other_times() {
        let mut state = state(10);
        upset(&mut state, "restore=4,0s");
        assert_eq!(state.history.len(), 6);
        let again = state.append(Draft::default());
        let entries = entries(&state);
        let gone: Vec<_> = entries.iter().filter(|entry| entry.marks.has(Marks::GONE)).map(|entry| entry.key).collect();
        assert_eq!((again.key, gone), (7, vec![7, 8, 9, 10]));
        assert_ne!(again.created, entries[6].created);
    }

    #[test]
    fn connections_fall_silent() {
        let mut state = state(0);
        state.links.send_modify(|links| links.next = 7);
        upset(&mut state, "half-open");
        assert_eq!((state.links.borrow().silent, state.links.borrow().broken), (7, 0));
    }

    #[test]
    fn a_page_of_hidden_events_stalls_a_collector() {
        let mut state = state(3);
        let (session, collector) = reader(&mut state);
        upset(&mut state, "hidden=1000");
        let visible = state.append(Draft::default()).key;
        assert!(read(&mut state, &session, &collector, 1_000).is_empty());
        assert!(read(&mut state, &session, &collector, 1_000).is_empty());
        assert!(visible > 1_000);
        assert_eq!(entries(&state).iter().filter(|entry| entry.marks == Marks::HIDDEN).count(), 1_000);
    }

    #[test]
    fn keys_wrap_and_collectors_that_are_there_see_no_more() {
        let mut state = state(3);
        let (session, collector) = reader(&mut state);
        upset(&mut state, "key-wrap");
        for _ in 0..60 {
            state.append(Draft::default());
        }
        let keys = read(&mut state, &session, &collector, 1_000);
        assert_eq!((keys.len(), keys.last()), (50, Some(&i32::MAX)));
        assert!(read(&mut state, &session, &collector, 1_000).is_empty());
        assert_eq!(state.next_key, i32::MIN + 10);
    }

    #[test]
    fn late_events_lie_behind_what_was_read() {
        let mut state = state(1_000);
        let (session, collector) = reader(&mut state);
        upset(&mut state, "late=3,2m");
        assert!(read(&mut state, &session, &collector, 1_000).is_empty());
        let again = state.create_collector(&session, &Node::default()).unwrap();
        let mut keys = read(&mut state, &session, &again, 1_000);
        keys.extend(read(&mut state, &session, &again, 1_000));
        let at = keys.iter().position(|key| *key == 0).unwrap();
        assert_eq!((&keys[at..at + 3], keys.len()), (&[0, -1, -2][..], 1_004));
        let late: Vec<_> = entries(&state).into_iter().filter(|entry| entry.marks == Marks::LATE).collect();
        let now = state.clock.now();
        let age = |entry: &Entry| (now - entry.created) / 1_000_000;
        assert!(late.len() == 3 && late.iter().all(|entry| (119..600).contains(&age(entry))), "{late:?}");
    }

    #[test]
    fn many_events_have_one_time() {
        let mut state = state(0);
        upset(&mut state, "equal-times=2000");
        let entries = entries(&state);
        assert_eq!(entries.len(), 2_000);
        assert!(entries.iter().all(|entry| entry.created == entries[0].created));
    }

    #[test]
    fn the_clock_is_set_forwards_and_back() {
        let mut state = state(0);
        let before = state.append(Draft::default()).created;
        upset(&mut state, "clock=+2h");
        let ahead = state.append(Draft::default()).created;
        // The clock may have been ahead of the machine's by an event or two.
        assert!((7_199..7_260).contains(&((ahead - before) / 1_000_000)));
        upset(&mut state, "clock=-3h");
        assert!(state.append(Draft::default()).created < before);
    }

    #[test]
    fn an_unknown_type_is_one_that_the_schema_lacks() {
        let mut state = state(0);
        upset(&mut state, "unknown-type=2");
        let classes: Vec<_> = state.history.from(0).map(|record| record.body.class.to_string()).collect();
        assert_eq!(classes.len(), 2);
        assert!(classes.iter().all(|class| !derives(class, class)), "{classes:?}");
        assert!(entries(&state).iter().all(|entry| entry.marks == Marks::UNKNOWN));
    }

    #[test]
    fn undecodable_events_are_so_in_three_ways_in_turn() {
        let mut state = state(0);
        upset(&mut state, "undecodable=2");
        upset(&mut state, "undecodable=2");
        let mut xml = Vec::new();
        for record in state.history.from(0) {
            let mut text = String::new();
            record.write(&mut text, "returnval");
            xml.push(text);
        }
        assert!(xml[0].contains("<template>perhaps</template>") && xml[3].contains("<template>perhaps</template>"));
        assert!(xml[1].contains("<createdTime>yesterday</createdTime>"));
        assert!(xml[2].contains('\u{1}'));
        let marks: Vec<_> = entries(&state).iter().map(|entry| entry.marks.to_string()).collect();
        assert_eq!(marks, ["d", "d", "dm", "d"]);
    }

    #[test]
    fn events_expire() {
        let mut state = state(100);
        let (session, _) = reader(&mut state);
        upset(&mut state, "expired=10");
        assert!(state.sessions.get(&session).is_none());
        assert_eq!(state.history.len(), 10);
        assert_eq!(entries(&state).iter().filter(|entry| entry.marks == Marks::GONE).count(), 91);
    }

    #[test]
    fn retention_is_in_the_ledger_too() {
        let state = State::new(Options { past: 1_000, keep: 100, ..Options::default() });
        let left = entries(&state).iter().filter(|entry| entry.marks == Marks::default()).count();
        assert_eq!(left, state.history.len());
    }

    #[test]
    fn trouble_for_calls_reaches_them() {
        let mut state = state(0);
        for text in ["hang", "truncated", "unavailable", "soap=NoPermission", "slow", "collectors", "login"] {
            upset(&mut state, text);
        }
        assert!(state.troubles.on_call("Login").is_some());
        assert_eq!(state.troubles.counts().len(), 7);
    }

    #[test]
    fn what_is_planned_happens_when_so_many_events_have_happened() {
        let mut state = state(50);
        upset(&mut state, "clock=+2h@3 # later\nequal-times=5@every:2\n");
        let now = state.clock.now();
        let mut counts = Vec::new();
        for _ in 0..4 {
            state.happen(Some(now));
            counts.push(state.happened() - 50);
        }
        assert_eq!(counts, [1, 7, 8, 14], "events of a fault bring no other fault");
        assert_eq!(state.troubles.counts().iter().collect::<Vec<_>>(), [(&"clock", &1), (&"equal-times", &2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_planned_happens_when_it_is_time() {
        let mut state = state(0);
        upset(&mut state, "equal-times=1@10s\nequal-times=2@every:4s\n");
        assert_eq!((state.upset_by_time(), state.happened()), (Some(Duration::from_secs(4)), 0));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!((state.upset_by_time(), state.happened()), (Some(Duration::from_secs(1)), 2));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((state.upset_by_time(), state.happened()), (Some(Duration::from_secs(3)), 3));
    }
}
