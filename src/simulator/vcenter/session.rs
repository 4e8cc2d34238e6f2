//! Who is logged in.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::collector::{Collector, MOST_COLLECTORS};
use super::history::time;
use super::property::ContainerView;
use super::soap::{Fault, write_text};
use super::updates::Updates;
use crate::simulator::Body;
use crate::simulator::value::Value;
use crate::vim25::soap::Ref;

/// Sessions at once, as `config.vmacore.soap.maxSessionCount` has it.
const MOST_SESSIONS: usize = 3_000;

/// How much of what a client calls itself is kept.
const MOST_AGENT: usize = 200;

/// Who makes a call.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) address: IpAddr,
    pub(super) agent: String,
    /// The session cookie's value, without its quotes.
    pub(super) cookie: Option<String>,
}

/// One login.
pub(super) struct Session {
    pub(super) key: String,
    cookie: String,
    pub(super) user: String,
    locale: String,
    address: IpAddr,
    agent: String,
    login: i64,
    active: i64,
    /// The same by the machine's clock, which nobody sets.
    seen: Instant,
    calls: u32,
    pub(super) collectors: BTreeMap<String, Collector>,
    /// Its property collectors, by the values of their references.
    pub(super) updates: BTreeMap<String, Updates>,
    /// Its views, by the values of their references.
    pub(super) views: BTreeMap<String, ContainerView>,
    /// What is left of answers that were too long, written, by their tokens.
    pub(super) rests: BTreeMap<String, VecDeque<String>>,
}

impl Session {
    /// A reference to something that it made.
    pub(super) fn made(&self, kind: &str) -> Ref {
        Ref { kind: kind.to_owned(), value: format!("session[{}]{}", self.key, Uuid::new_v4()) }
    }

    /// Keeps a collector.
    pub(super) fn add(&mut self, collector: Collector) -> Result<Ref, Fault> {
        if self.collectors.len() >= MOST_COLLECTORS {
            return Err(Fault::invalid_state());
        }
        let reference = self.made("EventHistoryCollector");
        self.collectors.insert(reference.value.clone(), collector);
        Ok(reference)
    }

    /// A collector of this session.
    pub(super) fn collector(&mut self, reference: &Ref) -> Result<&mut Collector, Fault> {
        let found = self.collectors.get_mut(&reference.value);
        found.filter(|_| reference.kind == "EventHistoryCollector").ok_or_else(|| Fault::not_found(reference))
    }

    /// As a `UserSession`.
    pub(super) fn value(&self) -> Value {
        let text = |text: &str| Value::Text("xsd:string", text.to_owned());
        let at = |micros| Value::Text("xsd:dateTime", time(micros));
        let members = vec![
            ("key", text(&self.key)),
            ("userName", text(&self.user)),
            ("fullName", text(&self.user)),
            ("loginTime", at(self.login)),
            ("lastActiveTime", at(self.active)),
            ("locale", text(&self.locale)),
            ("messageLocale", text(&self.locale)),
            ("extensionSession", Value::Text("xsd:boolean", "false".to_owned())),
            ("ipAddress", text(&self.address.to_string())),
            ("userAgent", text(&self.agent)),
            ("callCount", Value::Text("xsd:int", self.calls.to_string())),
        ];
        Value::Object("UserSession", members)
    }

    fn login_event(&self) -> Body {
        let Self { user, address, agent, .. } = self;
        let mut xml = String::new();
        write_text(&mut xml, "userName", user);
        let message = format!("User {user}@{address} logged in as {agent}");
        write_text(&mut xml, "fullFormattedMessage", &message);
        write_text(&mut xml, "ipAddress", &address.to_string());
        write_text(&mut xml, "userAgent", agent);
        write_text(&mut xml, "locale", &self.locale);
        write_text(&mut xml, "sessionId", &self.key);
        body("UserLoginSessionEvent", user, xml)
    }

    fn logout_event(&self) -> Body {
        let Self { user, address, .. } = self;
        let mut xml = String::new();
        write_text(&mut xml, "userName", user);
        let message = format!("User {user}@{address} logged out (login time: {})", time(self.login));
        write_text(&mut xml, "fullFormattedMessage", &message);
        write_text(&mut xml, "ipAddress", &address.to_string());
        write_text(&mut xml, "userAgent", &self.agent);
        write_text(&mut xml, "callCount", &self.calls.to_string());
        write_text(&mut xml, "sessionId", &self.key);
        write_text(&mut xml, "loginTime", &time(self.login));
        body("UserLogoutSessionEvent", user, xml)
    }
}

fn body(class: &str, user: &str, xml: String) -> Body {
    Body { class: class.into(), user: user.into(), xml: xml.into(), ..Body::default() }
}

/// What a login that fails leaves in the history.
pub(super) fn bad_login_event(user: &str, address: IpAddr) -> Body {
    let mut xml = String::new();
    write_text(&mut xml, "userName", user);
    write_text(&mut xml, "fullFormattedMessage", &format!("Cannot login {user}@{address}"));
    write_text(&mut xml, "ipAddress", &address.to_string());
    body("BadUsernameSessionEvent", user, xml)
}

/// Forty hexadecimal digits.
pub(super) fn new_cookie() -> String {
    let mut digits = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    digits.truncate(40);
    digits
}

/// Everybody who is logged in, by session key.
pub(super) struct Sessions {
    all: BTreeMap<String, Session>,
    by_cookie: BTreeMap<String, String>,
    /// How long a session may make no call.
    pub(super) idle: Duration,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { all: BTreeMap::new(), by_cookie: BTreeMap::new(), idle: Duration::from_secs(30 * 60) }
    }
}

impl Sessions {
    /// A new session: its cookie, itself, and what is to be told of it.
    pub(super) fn begin(
        &mut self,
        caller: &Caller,
        user: &str,
        locale: &str,
        now: i64,
    ) -> Result<(String, &mut Session, Body), Fault> {
        self.expire();
        if self.all.len() >= MOST_SESSIONS {
            return Err(Fault::invalid_state());
        }
        let cookie = new_cookie();
        let session = Session {
            key: Uuid::new_v4().to_string(),
            cookie: cookie.clone(),
            user: user.to_owned(),
            locale: locale.to_owned(),
            address: caller.address,
            agent: caller.agent.chars().take(MOST_AGENT).collect(),
            login: now,
            active: now,
            seen: Instant::now(),
            calls: 1,
            collectors: BTreeMap::new(),
            updates: BTreeMap::from([("propertyCollector".to_owned(), Updates::default())]),
            views: BTreeMap::new(),
            rests: BTreeMap::new(),
        };
        let told = session.login_event();
        self.by_cookie.insert(cookie.clone(), session.key.clone());
        let key = session.key.clone();
        Ok((cookie, self.all.entry(key).insert_entry(session).into_mut(), told))
    }

    /// The session that a cookie stands for, and how long it may still wait for a call.
    pub(super) fn of(&mut self, caller: &Caller) -> Option<&mut Session> {
        let key = self.by_cookie.get(caller.cookie.as_deref()?)?;
        let session = self.all.get_mut(key)?;
        if session.seen.elapsed() >= self.idle {
            let key = session.key.clone();
            self.end(&key);
            return None;
        }
        self.all.get_mut(self.by_cookie.get(caller.cookie.as_deref()?)?)
    }

    /// The same, which makes a call.
    pub(super) fn call(&mut self, caller: &Caller, now: i64) -> Option<&mut Session> {
        let session = self.of(caller)?;
        session.calls = session.calls.saturating_add(1);
        (session.active, session.seen) = (now, Instant::now());
        Some(session)
    }

    /// Ends a session, and with it all that it made; tells what is to be told of it.
    pub(super) fn end(&mut self, key: &str) -> Option<Body> {
        let session = self.all.remove(key)?;
        self.by_cookie.remove(&session.cookie);
        Some(session.logout_event())
    }

    /// Ends every session, without a word.
    pub(super) fn end_all(&mut self) {
        self.all.clear();
        self.by_cookie.clear();
    }

    /// Ends those that made no call for too long.
    pub(super) fn expire(&mut self) {
        let idle = self.idle;
        let old: Vec<_> = self.all.values().filter(|session| session.seen.elapsed() >= idle).collect();
        let old: Vec<_> = old.into_iter().map(|session| session.key.clone()).collect();
        for key in old {
            self.end(&key);
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Session> {
        self.all.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Session> {
        self.all.get_mut(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.all.values()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.all.values_mut()
    }
}
