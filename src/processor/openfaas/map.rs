//! The function map: who subscribes to what, refreshed and never lost.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::Timing;
use super::lookup::{Gateway, Listing};
use super::one_line;
use crate::attempt::Target;
use crate::event::Event;
use crate::processor::{Routes, Targets};
use crate::telemetry::ProcessorStatus;

/// What may stand in a path's segment as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How many subjects of one function are told at once.
const MOST_TOLD: usize = 20;

/// One version of the map.
#[derive(Debug)]
pub(super) struct Map {
    by_subject: HashMap<Box<[u8]>, Targets, RandomState>,
    /// Every function that is there, with the URL that calls it.
    functions: HashMap<Target, Uri, RandomState>,
    nobody: Targets,
    /// Whether what is not in the map is known to be gone. A gateway may have answered
    /// an empty list by mistake, and what a function is owed outlives the router.
    certain: bool,
}

impl Map {
    fn new() -> Self {
        Self {
            by_subject: HashMap::default(),
            functions: HashMap::default(),
            nobody: Targets::from([]),
            certain: false,
        }
    }

    /// The URL that calls the function, if the map has it.
    pub(super) fn uri(&self, target: &Target) -> Option<&Uri> {
        self.functions.get(target)
    }
}

impl Routes for Map {
    fn route(&self, event: &Event) -> Targets {
        Arc::clone(self.by_subject.get(event.subject_bytes()).unwrap_or(&self.nobody))
    }

    fn has(&self, target: &Target) -> bool {
        !self.certain || self.functions.contains_key(target)
    }
}

/// The URLs that call functions.
#[derive(Debug)]
pub(super) struct Urls {
    /// `http://gateway:8080/function/`
    prefix: String,
}

impl Urls {
    pub(super) fn new(base: &str, asynchronous: bool) -> Self {
        Self { prefix: format!("{base}/{}/", if asynchronous { "async-function" } else { "function" }) }
    }

    /// None for a name that no path can hold.
    pub(super) fn of(&self, function: &str) -> Option<Uri> {
        if matches!(function, "" | "." | "..") {
            return None;
        }
        format!("{}{}", self.prefix, utf8_percent_encode(function, SEGMENT)).parse().ok()
    }
}

/// What is known of one function.
#[derive(Debug, Default)]
struct Known {
    /// Since when complete lists have lacked it.
    absent: Option<Instant>,
    /// Its subjects, each with when lists began to lack it.
    topics: BTreeMap<Box<str>, Option<Instant>>,
}

/// Everything that is known, and since when it is absent.
#[derive(Debug, Default)]
struct Ledger {
    functions: BTreeMap<Arc<str>, Known>,
    /// When the first complete list came.
    first: Option<Instant>,
    certain: bool,
}

impl Ledger {
    /// Takes a complete list: additions at once, removals after `removal` of absence.
    /// None if that changes nothing; or else what changed, for people.
    fn take(&mut self, listing: &Listing, now: Instant, removal: Duration) -> Option<Vec<String>> {
        let gone = |absent: &mut Option<Instant>| now.duration_since(*absent.get_or_insert(now)) >= removal;
        let mut changed = self.first.is_none();
        let mut told = Vec::new();
        for (name, topics) in listing {
            let known = self.functions.entry(Arc::clone(name)).or_insert_with(|| {
                changed = true;
                Known::default()
            });
            known.absent = None;
            // What is inserted where nothing was is new.
            let added: Vec<_> =
                topics.iter().filter(|topic| known.topics.insert(Box::clone(topic), None).is_none()).collect();
            if !added.is_empty() {
                told.push(format!("function {} subscribes to {}", one_line(name), list(&added)));
            }
        }
        let nothing = BTreeSet::new();
        self.functions.retain(|name, known| {
            if !listing.contains_key(name) && gone(&mut known.absent) {
                told.push(format!("function {} is gone", one_line(name)));
                changed = true;
                return false;
            }
            let listed = listing.get(name).unwrap_or(&nothing);
            let mut removed = Vec::new();
            known.topics.retain(|topic, absent| {
                let keep = listed.contains(topic) || !gone(absent);
                if !keep {
                    removed.push(topic.clone());
                }
                keep
            });
            if !removed.is_empty() {
                told.push(format!("function {} no longer subscribes to {}", one_line(name), list(&removed)));
            }
            true
        });
        let first = *self.first.get_or_insert(now);
        if !self.certain && now.duration_since(first) >= removal {
            self.certain = true;
            changed = true;
        }
        (changed || !told.is_empty()).then_some(told)
    }

    /// The map of all that is known.
    fn map(&self, urls: &Urls) -> Map {
        let mut targets: HashMap<&str, Vec<Target>> = HashMap::new();
        let mut functions = HashMap::with_capacity_and_hasher(self.functions.len(), RandomState::default());
        for (name, known) in &self.functions {
            let Some(uri) = urls.of(name) else { continue };
            let target = Target::new(name);
            for topic in known.topics.keys() {
                targets.entry(topic).or_default().push(target.clone());
            }
            functions.insert(target, uri);
        }
        let by_subject =
            targets.into_iter().map(|(subject, targets)| (subject.as_bytes().into(), targets.into())).collect();
        Map { by_subject, functions, nobody: Targets::from([]), certain: self.certain }
    }
}

fn list<T: AsRef<str>>(subjects: &[T]) -> String {
    let mut text = subjects.iter().take(MOST_TOLD).map(|one| one_line(one.as_ref())).collect::<Vec<_>>().join(", ");
    if subjects.len() > MOST_TOLD {
        text.push_str(&format!(" and {} more", subjects.len() - MOST_TOLD));
    }
    text
}

/// The function map of one gateway, and its refreshes.
pub(super) struct FunctionMap {
    gateway: Gateway,
    pub(super) urls: Urls,
    timing: Timing,
    status: Arc<ProcessorStatus>,
    current: ArcSwap<Map>,
    ready: watch::Sender<bool>,
    refresher: Mutex<Refresher>,
}

/// What refreshes remember. Whoever holds it refreshes; the others wait.
#[derive(Default)]
struct Refresher {
    ledger: Ledger,
    /// When the last one began.
    began: Option<Instant>,
    /// How it ended: who was listed, or why nobody knows.
    result: Option<Result<Arc<Listing>, String>>,
}

impl FunctionMap {
    pub(super) fn new(gateway: Gateway, urls: Urls, timing: Timing, status: Arc<ProcessorStatus>) -> Self {
        Self {
            gateway,
            urls,
            timing,
            status,
            current: ArcSwap::from_pointee(Map::new()),
            ready: watch::Sender::new(false),
            refresher: Mutex::default(),
        }
    }

    pub(super) fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// The present version.
    pub(super) fn current(&self) -> arc_swap::Guard<Arc<Map>> {
        self.current.load()
    }

    /// Waits for the first version.
    pub(super) async fn ready(&self) {
        // Cannot fail: the sender lives as long as this.
        let mut ready = self.ready.subscribe();
        drop(ready.wait_for(|ready| *ready).await);
    }

    /// Asks the gateway now.
    pub(super) async fn refresh(&self) -> Result<Arc<Listing>, String> {
        self.refresh_with(&mut *self.refresher.lock().await).await
    }

    /// What the gateway lists at this moment or later. However many ask, one
    /// refresh at a time is under way, and one begins per [`Timing::floor`].
    pub(super) async fn listed_now(&self) -> Result<Arc<Listing>, String> {
        let asked = Instant::now();
        let mut refresher = self.refresher.lock().await;
        if let Some(began) = refresher.began {
            if began >= asked
                && let Some(result) = &refresher.result
            {
                return result.clone();
            }
            tokio::time::sleep_until(began + self.timing.floor).await;
        }
        self.refresh_with(&mut refresher).await
    }

    async fn refresh_with(&self, refresher: &mut Refresher) -> Result<Arc<Listing>, String> {
        refresher.began = Some(Instant::now());
        // What is dropped in the middle of its refresh has no result.
        refresher.result = None;
        let result = match self.gateway.list().await {
            Ok(listing) => {
                let told = refresher.ledger.take(&listing, Instant::now(), self.timing.removal);
                if let Some(told) = told {
                    let first = self.current.load().functions.is_empty();
                    let map = refresher.ledger.map(&self.urls);
                    if map.by_subject.is_empty() && (first || !told.is_empty()) {
                        self.status.routes_changed(&format!(
                            "no function of {} subscribes to anything: annotate one with {}",
                            self.gateway.base(),
                            self.gateway.annotation()
                        ));
                    }
                    self.current.store(Arc::new(map));
                    for what in told {
                        self.status.routes_changed(&what);
                    }
                }
                self.status.ready();
                self.ready.send_replace(true);
                Ok(Arc::new(listing))
            }
            Err(error) => {
                let why = error.to_string();
                self.status.refresh_failed(&why);
                Err(why)
            }
        };
        refresher.result = Some(result.clone());
        result
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn listing(functions: &[(&str, &[&str])]) -> Listing {
        let of = |topics: &[&str]| topics.iter().map(|topic| (*topic).into()).collect();
        functions.iter().map(|(name, topics)| ((*name).into(), of(topics))).collect()
    }

    fn subscriptions(ledger: &Ledger) -> Vec<(String, Vec<String>)> {
        let map = ledger.map(&Urls::new("http://gw", false));
        let mut all: Vec<_> = map
            .by_subject
            .iter()
            .map(|(subject, targets)| {
                (String::from_utf8_lossy(subject).into_owned(), targets.iter().map(ToString::to_string).collect())
            })
            .collect();
        all.sort();
        all
    }

    fn wanted(expected: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        expected.iter().map(|(subject, targets)| (subject.to_string(), owned(targets))).collect()
    }

    #[test]
    fn additions_act_at_once_and_are_told() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        let told = ledger.take(&listing(&[("echo", &["A", "B"]), ("idle", &[])]), now, MINUTE).unwrap();
        assert_eq!(told, ["function echo subscribes to A, B"]);
        assert!(ledger.take(&listing(&[("echo", &["A", "B"]), ("idle", &[])]), now, MINUTE).is_none(), "no churn");
        let told = ledger.take(&listing(&[("echo", &["A", "B", "C"]), ("idle", &["A"])]), now, MINUTE).unwrap();
        assert_eq!(told, ["function echo subscribes to C", "function idle subscribes to A"]);
        assert_eq!(subscriptions(&ledger), wanted(&[("A", &["echo", "idle"]), ("B", &["echo"]), ("C", &["echo"])]));
    }

    #[test]
    fn removals_act_after_a_minute_of_absence() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let full = listing(&[("echo", &["A", "B"]), ("audit", &["A"])]);
        let at = |seconds| start + Duration::from_secs(seconds);
        ledger.take(&full, at(0), MINUTE);
        assert!(ledger.take(&listing(&[]), at(10), MINUTE).is_none(), "an empty list may be a mistake");
        assert_eq!(ledger.take(&listing(&[]), at(69), MINUTE), Some(Vec::new()), "only certainty came");
        assert_eq!(subscriptions(&ledger), wanted(&[("A", &["audit", "echo"]), ("B", &["echo"])]));
        ledger.take(&full, at(69), MINUTE);
        assert!(ledger.take(&listing(&[]), at(70), MINUTE).is_none(), "absence begins anew after a return");
        assert!(ledger.take(&listing(&[]), at(129), MINUTE).is_none());
        let told = ledger.take(&listing(&[("echo", &["B"])]), at(130), MINUTE).unwrap();
        assert_eq!(told, ["function audit is gone", "function echo no longer subscribes to A"]);
        assert_eq!(subscriptions(&ledger), wanted(&[("B", &["echo"])]));
    }

    #[test]
    fn a_function_without_topics_is_there_and_a_stranger_may_be_until_a_minute_has_passed() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let urls = Urls::new("http://gw", false);
        assert!(Map::new().has(&Target::new("echo")), "nothing is known yet");
        ledger.take(&listing(&[("idle", &[])]), start, MINUTE);
        assert!(ledger.map(&urls).has(&Target::new("stranger")), "it may be a mistaken list");
        ledger.take(&listing(&[("idle", &[])]), start + MINUTE, MINUTE).unwrap();
        let map = ledger.map(&urls);
        assert!(map.has(&Target::new("idle")) && !map.has(&Target::new("stranger")));
    }

    #[test]
    fn urls_hold_any_name() {
        let urls = Urls::new("http://gw:8080/faas", true);
        assert_eq!(urls.of("echo.ops").unwrap().to_string(), "http://gw:8080/faas/async-function/echo.ops");
        assert_eq!(urls.of("a/../b?c#d e").unwrap().path(), "/faas/async-function/a%2F..%2Fb%3Fc%23d%20e");
        for name in ["", ".", ".."] {
            assert!(urls.of(name).is_none());
        }
    }

    proptest! {
        #[test]
        fn no_name_escapes_its_segment(name in ".*") {
            if let Some(uri) = Urls::new("http://gw", false).of(&name) {
                prop_assert_eq!(uri.path().matches('/').count(), 2);
                prop_assert!(uri.query().is_none());
            }
        }

        /// However lists follow each other: what was listed last is routed, what was absent for a minute is not.
        #[test]
        fn what_is_listed_is_routed(steps in proptest::collection::vec((0_u64..90, 0_u8..16), 1..12)) {
            let (mut ledger, mut now) = (Ledger::default(), Instant::now());
            let mut seen = [None; 4];
            for (seconds, bits) in steps {
                now += Duration::from_secs(seconds);
                let topics: Vec<_> = ["A", "B", "C", "D"].into_iter().enumerate().collect();
                let listed: Vec<_> = topics.iter().filter(|(i, _)| bits & (1 << i) != 0).map(|(_, t)| *t).collect();
                ledger.take(&listing(&[("echo", &listed)]), now, MINUTE);
                let routed = subscriptions(&ledger);
                for (i, topic) in topics {
                    let is_routed = routed.iter().any(|(subject, _)| subject == topic);
                    if listed.contains(&topic) {
                        seen[i] = Some((now, None));
                        prop_assert!(is_routed);
                    } else if let Some((_, absent)) = &mut seen[i] {
                        let since = *absent.get_or_insert(now);
                        prop_assert_eq!(is_routed, now - since < MINUTE);
                    } else {
                        prop_assert!(!is_routed);
                    }
                }
            }
        }
    }
}
