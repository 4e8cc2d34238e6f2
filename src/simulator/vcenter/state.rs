//! All that the vCenter is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::collector::Collector;
use super::fault::{Schedule, Troubles};
use super::filter::{Filter, Lookup};
use super::history::{History, Place, Record};
use super::ledger::{Ledger, Marks};
use super::replay::Replay;
use super::session::{Caller, Session, Sessions, bad_login_event};
use super::soap::{Fault, Node};
use super::{Options, Rate};
use crate::simulator::Body;
use crate::simulator::value::Value;
use crate::simulator::world::World;
use crate::vim25::soap::Ref;

/// An event that is about to happen. What is not said, the vCenter decides.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) body: Arc<Body>,
    /// It belongs to the chain of the one before.
    pub(super) chained: bool,
    /// It belongs to this chain.
    pub(super) chain: Option<i32>,
    /// The next one, if none is given.
    pub(super) key: Option<i32>,
    /// When it happened; now, if no time is given.
    pub(super) created: Option<i64>,
    /// It goes into the history where its time belongs, and not behind all others.
    pub(super) late: bool,
    /// The user may not see it.
    pub(super) hidden: bool,
    /// What else the ledger says of it.
    pub(super) marks: Marks,
}

impl Draft {
    /// Nothing but what it says.
    pub(super) fn of(body: Body) -> Self {
        Self { body: Arc::new(body), ..Self::default() }
    }
}

/// The vCenter's clock.
#[derive(Debug)]
pub(super) struct Clock {
    /// By how many microseconds it differs from the machine's.
    offset: i64,
    /// What it said last. It does not go back unless it is set.
    last: i64,
}

impl Clock {
    /// Microseconds since 1970.
    pub(super) fn now(&mut self) -> i64 {
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let machine = i64::try_from(machine.as_micros()).unwrap_or(i64::MAX);
        self.last = machine.saturating_add(self.offset).max(self.last);
        self.last
    }

    /// The same, and a while later than it said last: events that are made in one go do not happen at one moment.
    fn tick(&mut self) -> i64 {
        /// Between two events, at the least: a hundred thousand a second.
        const TICK: i64 = 10;
        let before = self.last;
        self.last = self.now().max(before.saturating_add(TICK));
        self.last
    }

    /// Time passes at once.
    pub(super) fn pass(&mut self, micros: i64) {
        self.offset = self.offset.saturating_add(micros);
    }

    /// By how many microseconds it differs from the machine's.
    pub(super) fn offset(&self) -> i64 {
        self.offset
    }

    /// What it said last.
    pub(super) fn last(&self) -> i64 {
        self.last
    }

    /// Sets it forwards or back.
    pub(super) fn shift(&mut self, micros: i64) {
        self.offset = self.offset.saturating_add(micros);
        self.last = i64::MIN;
    }
}

/// What became of the connections: each has a number, and they rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Links {
    /// The next connection's number.
    pub(super) next: u64,
    /// How many are open.
    pub(super) open: u64,
    /// Those below this are silent, and stay open.
    pub(super) silent: u64,
    /// Those below this are closed.
    pub(super) broken: u64,
}

/// All that the vCenter is.
pub(super) struct State {
    pub(super) options: Arc<Options>,
    pub(super) clock: Clock,
    pub(super) sessions: Sessions,
    pub(super) history: History,
    pub(super) world: World,
    /// What happens in place of the world's own life.
    pub(super) replay: Option<Replay>,
    pub(super) troubles: Troubles,
    pub(super) schedule: Schedule,
    pub(super) ledger: Ledger,
    /// Schedules count from then.
    pub(super) started: Instant,
    /// How many events the data centre has made by itself since the start.
    pub(super) lived: u64,
    /// How many events readers were given.
    pub(super) served: u64,
    /// How fast events happen.
    pub(super) rate: watch::Sender<Rate>,
    /// No event has a lower key, but for those that wrapped.
    pub(super) lowest_key: i32,
    /// How many undecodable events there were: each is another kind than the one before.
    pub(super) undecodable: usize,
    pub(super) links: watch::Sender<Links>,
    pub(super) instance: Uuid,
    /// Told of every page that is read.
    pub(super) read: Arc<Notify>,
    /// The key of the next event.
    pub(super) next_key: i32,
    /// How many events there ever were. It wraps.
    born: u32,
    /// How many events there ever were.
    happened: u64,
    chain: i32,
    /// The time of the newest event: the next is not older, unless the clock is set.
    floor: i64,
    /// Something changed that somebody may wait for.
    changed: bool,
    /// Counts what changed.
    revision: u64,
}

impl State {
    #[cfg(test)]
    pub(super) fn new(options: Options) -> Self {
        Self::with(options, None)
    }

    /// With a life of its own, or with captured events that happen again.
    pub(super) fn with(options: Options, replay: Option<Replay>) -> Self {
        let (seed, rate) = (options.seed, watch::Sender::new(options.rate));
        let world = World::new(seed, options.size);
        // The same vCenter for the same seed.
        let instance = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("simulated vCenter {}", options.seed).as_bytes());
        let mut state = Self {
            options: Arc::new(options),
            clock: Clock { offset: 0, last: i64::MIN },
            sessions: Sessions::default(),
            history: History::default(),
            world,
            replay,
            troubles: Troubles::default(),
            schedule: Schedule::new(seed),
            ledger: Ledger::default(),
            started: Instant::now(),
            lived: 0,
            served: 0,
            rate,
            lowest_key: 1,
            undecodable: 0,
            links: watch::Sender::default(),
            instance,
            read: Arc::default(),
            next_key: 1,
            born: 0,
            happened: 0,
            chain: 0,
            floor: i64::MIN,
            changed: false,
            revision: 0,
        };
        state.live_past();
        state.lived = 0;
        state
    }

    /// What has happened before the start, over the hours before.
    fn live_past(&mut self) {
        /// How long one event takes when there are few, and all together when there are many.
        const EACH: u64 = 10_000_000;
        const ALL: u64 = 6 * 3_600_000_000;
        let past = self.options.past;
        let span = past.saturating_mul(EACH).min(ALL);
        let start = self.clock.now().saturating_sub_unsigned(span);
        for event in 0..past {
            let share = u128::from(span) * u128::from(event) / u128::from(past);
            let created = start.saturating_add_unsigned(u64::try_from(share).unwrap_or(span));
            self.happen(Some(created));
        }
    }

    /// Lets the data centre live: the next event of it happens at this time, or now.
    pub(super) fn happen(&mut self, created: Option<i64>) {
        self.go_on(|draft| draft.created = created);
        self.lived += 1;
        self.upset_by_event();
    }

    /// The next event of the data centre happens, changed in some way.
    pub(super) fn go_on(&mut self, change: impl FnOnce(&mut Draft)) {
        let again = self.replay.as_mut().and_then(Replay::next);
        let number = again.as_ref().map(|again| again.number);
        let mut draft = match again {
            Some(again) => Draft { body: again.body, chain: again.chain, ..Draft::default() },
            None => {
                let next = self.world.next();
                Draft { body: next.body, chained: next.chained, ..Draft::default() }
            }
        };
        change(&mut draft);
        let record = self.append(draft);
        if let Some((replay, number)) = self.replay.as_mut().zip(number) {
            replay.happened(number, record.key);
        }
    }

    /// Every event that there ever is comes through here, into the history, to collectors and to those who wait.
    pub(super) fn append(&mut self, draft: Draft) -> Record {
        let key = draft.key.unwrap_or_else(|| {
            let key = self.next_key;
            self.next_key = key.wrapping_add(1);
            key
        });
        let chain = draft.chain.unwrap_or(if draft.chained { self.chain } else { key });
        let created = draft.created.unwrap_or_else(|| self.clock.tick());
        let created = if draft.late { created } else { created.max(self.floor) };
        let record = Record { key, chain, created, born: self.born, hidden: draft.hidden, body: draft.body };
        let mut marks = draft.marks;
        for (is, mark) in [(draft.hidden, Marks::HIDDEN), (draft.late, Marks::LATE)] {
            marks = if is { marks.and(mark) } else { marks };
        }
        self.ledger.push(key, created, marks);
        self.born = self.born.wrapping_add(1);
        self.happened += 1;
        if draft.late {
            let place = self.history.insert(record.clone());
            for session in self.sessions.iter_mut() {
                session.collectors.values_mut().for_each(|collector| collector.inserted(place));
            }
        } else {
            (self.chain, self.floor) = (chain, created);
            self.history.push(record.clone());
        }
        // In steps, since deleting one by one would cost each event something.
        let keep = self.options.keep;
        if self.history.len() > keep + keep / 64 {
            self.delete_oldest(keep);
        }
        for session in self.sessions.iter_mut() {
            session.collectors.values_mut().for_each(|collector| collector.came(&record));
        }
        self.touch();
        record
    }

    /// Whether vpxd is away: then nothing happens.
    pub(super) fn is_down(&self) -> bool {
        self.troubles.is_down()
    }

    /// How many events there ever were.
    pub(super) fn happened(&self) -> u64 {
        self.happened
    }

    /// Sets the clock forwards or back: what happens next has the new time.
    pub(super) fn shift_clock(&mut self, micros: i64) {
        self.clock.shift(micros);
        self.floor = i64::MIN;
    }

    fn delete_oldest(&mut self, keep: usize) {
        let gone = self.history.len().saturating_sub(keep);
        self.history.from(self.history.start()).take(gone).for_each(|record| self.ledger.gone(record.born));
        self.history.keep(keep);
    }

    /// Deletes all but so many of the newest events, as vCenter's retention does.
    pub(super) fn delete_all_but(&mut self, keep: usize) {
        self.delete_oldest(keep);
        self.touch();
    }

    /// Gives up the newest events, and goes on with the keys that come then: an older backup is restored.
    pub(super) fn restore(&mut self, events: u64) {
        let gone = usize::try_from(events).unwrap_or(usize::MAX);
        self.history.before(self.history.end()).take(gone).for_each(|record| self.ledger.gone(record.born));
        self.history.forget_newest(events);
        if let Some(newest) = self.history.newest() {
            self.next_key = newest.key.wrapping_add(1);
        }
        self.end_all_sessions();
    }

    /// Begins with an empty database, and keys from 1 on.
    pub(super) fn begin_anew(&mut self) {
        self.history.from(self.history.start()).for_each(|record| self.ledger.gone(record.born));
        self.history.clear();
        self.next_key = 1;
        self.end_all_sessions();
    }

    /// Every session ends, with its collectors and filters, and whoever waits in one is told.
    pub(super) fn end_all_sessions(&mut self) {
        self.sessions.end_all();
        self.touch();
    }

    /// Every connection that is open falls silent, and stays open.
    pub(super) fn silence_connections(&mut self) {
        self.links.send_modify(|links| links.silent = links.next);
    }

    /// Every connection that is open breaks.
    pub(super) fn break_connections(&mut self) {
        self.links.send_modify(|links| links.broken = links.next);
    }

    /// Whoever waits looks again.
    pub(super) fn touch(&mut self) {
        self.changed = true;
        self.revision += 1;
    }

    /// Counts what changed.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Logs in, and gives the cookie and the session's key.
    pub(super) fn login(&mut self, caller: &Caller, user: &str, password: &str, locale: &str) -> Result<Login, Fault> {
        let refused = || Fault::new("InvalidLogin", "Cannot complete login due to an incorrect user name or password.");
        if self.sessions.of(caller).is_some() {
            return Err(refused());
        }
        if user != self.options.username || password != self.options.password {
            let event = bad_login_event(user, caller.address);
            self.append(Draft::of(event));
            return Err(refused());
        }
        let now = self.clock.now();
        let (cookie, session, event) = self.sessions.begin(caller, user, locale, now)?;
        let key = session.key.clone();
        self.append(Draft::of(event));
        Ok(Login { cookie, key })
    }

    /// Ends the caller's session, if there is one, without a word about it.
    pub(super) fn end_session_of(&mut self, caller: &Caller) {
        if let Some(key) = self.sessions.of(caller).map(|session| session.key.clone()) {
            drop(self.sessions.end(&key));
            self.touch();
        }
    }

    /// Ends a session.
    pub(super) fn logout(&mut self, key: &str) {
        if let Some(event) = self.sessions.end(key) {
            self.append(Draft::of(event));
        }
    }

    /// The session that calls; it is a call of it.
    pub(super) fn session(&mut self, caller: &Caller, object: &Ref) -> Result<&mut Session, Fault> {
        let now = self.clock.now();
        self.sessions.call(caller, now).ok_or_else(|| Fault::not_authenticated(object))
    }

    /// Makes a collector for a session.
    pub(super) fn create_collector(&mut self, session: &str, spec: &Node) -> Result<Ref, Fault> {
        let page = spec.text_of("maxCount").map(super::collector::count).transpose()?;
        let filter = Filter::read(spec, self)?;
        let collector = Collector::new(filter, page, &self.history, self.born);
        let made = self.sessions.get_mut(session).ok_or_else(Fault::invalid_state)?.add(collector)?;
        self.was_read();
        Ok(made)
    }

    /// A collector of a session, and the history that it reads.
    pub(super) fn collector(
        &mut self,
        session: &str,
        collector: &Ref,
    ) -> Result<(&mut Collector, &mut History), Fault> {
        let session = self.sessions.get_mut(session).ok_or_else(|| Fault::not_authenticated(collector))?;
        Ok((session.collector(collector)?, &mut self.history))
    }

    /// A session by its key.
    pub(super) fn session_of(&mut self, key: &str, object: &Ref) -> Result<&mut Session, Fault> {
        self.sessions.get_mut(key).ok_or_else(|| Fault::not_authenticated(object))
    }

    /// Destroys a collector of a session.
    pub(super) fn destroy_collector(&mut self, session: &str, collector: &Ref) -> Result<(), Fault> {
        let session = self.session_of(session, collector)?;
        session.collector(collector)?;
        session.collectors.remove(&collector.value);
        self.touch();
        Ok(())
    }

    /// What an object of the data centre is called.
    pub(super) fn name_of(&self, object: &Ref) -> Option<String> {
        match self.world.object(object)?.at("name") {
            Some(Value::Text(_, name)) => Some(name.clone()),
            _ => Some(object.value.clone()),
        }
    }

    /// Somebody has read on: who makes events as they are read looks again.
    pub(super) fn was_read(&mut self) {
        self.read.notify_one();
    }

    /// Where the collector is that is furthest; none if there is none.
    pub(super) fn furthest_reader(&self) -> Option<Place> {
        self.sessions.iter().flat_map(|session| session.collectors.values()).map(Collector::cursor).max()
    }
}

/// What a login gives.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) cookie: String,
    pub(super) key: String,
}

impl Lookup for State {
    fn below(&self, object: &Ref, all: bool) -> Option<Vec<Ref>> {
        self.world.below(object, all)
    }
}

/// The vCenter, for all who have to do with it.
pub(super) struct VCenter {
    state: Mutex<State>,
    changed: Notify,
}

impl VCenter {
    pub(super) fn new(state: State) -> Self {
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    /// Does something with the state. Whoever waits is woken if that changed something. Nothing may be awaited within.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let done = work(&mut state);
        let changed = std::mem::take(&mut state.changed);
        drop(state);
        if changed {
            self.changed.notify_waiters();
        }
        done
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked with the lock was a connection; the others go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something that changes. To miss nothing, enable it before looking.
    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn state(past: u64) -> State {
        State::new(Options { past, ..Options::default() })
    }

    fn caller(cookie: Option<&str>) -> Caller {
        let cookie = cookie.map(str::to_owned);
        Caller { address: IpAddr::V4(Ipv4Addr::LOCALHOST), agent: "test".to_owned(), cookie }
    }

    fn classes(state: &State) -> Vec<String> {
        state.history.from(0).map(|record| record.body.class.to_string()).collect()
    }

    #[test]
    fn the_past_lies_before_now_in_order() {
        let mut state = state(1_000);
        let times: Vec<_> = state.history.from(0).map(|record| record.created).collect();
        assert_eq!(times.len(), 1_000);
        assert!(times.is_sorted() && times[0] < times[999] && times[999] < state.clock.now());
        let keys: Vec<_> = state.history.from(0).map(|record| record.key).collect();
        assert_eq!(keys, (1..=1_000).collect::<Vec<_>>());
    }

    #[test]
    fn times_do_not_go_back_unless_the_clock_is_set() {
        let mut state = state(0);
        let first = state.append(Draft::default());
        let second = state.append(Draft { created: Some(first.created - 1), ..Draft::default() });
        assert_eq!(second.created, first.created);
        state.shift_clock(-3_600_000_000);
        let third = state.append(Draft::default());
        assert!(third.created < first.created - 3_500_000_000);
        assert_eq!(state.history.end(), 3);
    }

    #[test]
    fn keys_wrap_and_chains_go_on() {
        let mut state = state(0);
        state.next_key = i32::MAX;
        let first = state.append(Draft::default());
        let second = state.append(Draft { chained: true, ..Draft::default() });
        let third = state.append(Draft::default());
        assert_eq!((first.key, first.chain), (i32::MAX, i32::MAX));
        assert_eq!((second.key, second.chain), (i32::MIN, i32::MAX));
        assert_eq!((third.key, third.chain), (i32::MIN + 1, i32::MIN + 1));
    }

    #[test]
    fn sessions_leave_their_trace_and_take_their_collectors_along() {
        let mut state = state(0);
        let this = Ref::new("EventManager", "EventManager");
        assert_eq!(state.login(&caller(None), "user", "wrong", "en").unwrap_err().kind, "InvalidLogin");
        let login = state.login(&caller(None), "user", "pass", "en").unwrap();
        assert_eq!(login.cookie.len(), 40);
        let known = caller(Some(&login.cookie));
        assert_eq!(state.login(&known, "user", "pass", "en").unwrap_err().kind, "InvalidLogin");
        let key = state.session(&known, &this).unwrap().key.clone();
        let collector = state.create_collector(&key, &Node::default()).unwrap();
        assert!(state.collector(&key, &collector).is_ok());
        state.logout(&key);
        assert_eq!(state.session(&known, &this).err().unwrap().kind, "NotAuthenticated");
        let again = state.login(&caller(None), "user", "pass", "en").unwrap();
        assert_eq!(state.collector(&again.key, &collector).err().unwrap().kind, "ManagedObjectNotFound");
        assert_eq!(
            classes(&state),
            ["BadUsernameSessionEvent", "UserLoginSessionEvent", "UserLogoutSessionEvent", "UserLoginSessionEvent"]
        );
    }

    #[test]
    fn a_session_that_makes_no_call_ends() {
        let mut state = state(0);
        let login = state.login(&caller(None), "user", "pass", "en").unwrap();
        state.sessions.idle = std::time::Duration::ZERO;
        let this = Ref::new("EventManager", "EventManager");
        assert!(state.session(&caller(Some(&login.cookie)), &this).is_err());
        assert_eq!(state.sessions.iter().count(), 0);
    }

    #[test]
    fn a_session_has_so_many_collectors_and_no_more() {
        let mut state = state(0);
        let login = state.login(&caller(None), "user", "pass", "en").unwrap();
        for _ in 0..super::super::collector::MOST_COLLECTORS {
            state.create_collector(&login.key, &Node::default()).unwrap();
        }
        assert_eq!(state.create_collector(&login.key, &Node::default()).unwrap_err().kind, "InvalidState");
    }

    #[test]
    fn a_restored_vcenter_uses_keys_again() {
        let mut state = state(10);
        state.restore(4);
        assert_eq!(state.append(Draft::default()).key, 7);
        state.begin_anew();
        assert_eq!(state.append(Draft::default()).key, 1);
        assert_eq!(state.history.len(), 1);
    }

    #[test]
    fn old_events_are_deleted() {
        let mut state = State::new(Options { past: 1_000, keep: 100, ..Options::default() });
        state.happen(Some(i64::MAX / 2));
        assert!((100..=102).contains(&state.history.len()), "{}", state.history.len());
    }
}
