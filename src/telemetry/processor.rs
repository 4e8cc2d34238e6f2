//! How a processor and its targets fare.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use foldhash::fast::RandomState;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tracing::{debug, error, info, warn};

use super::{Labels, Presence, counter, lock};
use crate::attempt::{Reason, Target};
use crate::event::Event;

/// Subjects beyond this many are counted together, so that a hostile upstream cannot fill the memory.
const MOST_SUBJECTS: usize = 4096;

/// Upper bounds of the latency histogram, in seconds.
const BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

#[derive(Clone)]
pub(super) struct Metrics {
    attempts: Family<Labels, Counter>,
    successes: Family<Labels, Counter>,
    failures: Family<Labels, Counter>,
    retries: Family<Labels, Counter>,
    unsubscribed: Family<Labels, Counter>,
    latency: Family<Labels, Histogram, fn() -> Histogram>,
    in_flight: Family<Labels, Gauge>,
    lane: Family<Labels, Gauge>,
    circuit: Family<Labels, Gauge>,
    ready: Family<Labels, Gauge>,
    backlog: Family<Labels, Gauge>,
    refresh_errors: Family<Labels, Counter>,
    changes: Family<Labels, Counter>,
    lacks: Family<Labels, Gauge>,
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let all = Self {
            attempts: Family::default(),
            successes: Family::default(),
            failures: Family::default(),
            retries: Family::default(),
            unsubscribed: Family::default(),
            latency: Family::new_with_constructor(histogram as fn() -> Histogram),
            in_flight: Family::default(),
            lane: Family::default(),
            circuit: Family::default(),
            ready: Family::default(),
            backlog: Family::default(),
            refresh_errors: Family::default(),
            changes: Family::default(),
            lacks: Family::default(),
        };
        registry.register("target_attempts", "Attempts to deliver", all.attempts.clone());
        registry.register("target_successes", "Events delivered", all.successes.clone());
        registry.register("target_failures", "Events given up", all.failures.clone());
        registry.register("target_retries", "Attempts after an event's first", all.retries.clone());
        registry.register("target_unsubscribed", "Events owed to a target that is gone", all.unsubscribed.clone());
        registry.register_with_unit("target_latency", "Duration of an attempt", Unit::Seconds, all.latency.clone());
        registry.register("target_in_flight", "Attempts under way", all.in_flight.clone());
        registry.register("target_lane", "1 while the target has a lane of its own", all.lane.clone());
        registry.register("target_circuit_open", "1 while the target is only probed", all.circuit.clone());
        registry.register("processor_ready", "1 while the processor has its map or rules", all.ready.clone());
        registry.register("processor_backlog", "Positions between the front and the newest event", all.backlog.clone());
        registry.register("processor_refresh_errors", "Refreshes of the map that failed", all.refresh_errors.clone());
        registry.register("processor_map_changes", "Changes of the map or rules", all.changes.clone());
        registry.register("processor_lacks", "Rules that are configured and of no use", all.lacks.clone());
        all
    }
}

/// What a processor is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessorState {
    /// The first map or rules are not there yet.
    NotReady {
        /// Why not, if a try has failed.
        why: Option<String>,
    },
    /// Delivering.
    Ready,
    /// The map or rules could not be refreshed; the known ones are kept.
    Stale {
        /// What happened.
        why: String,
    },
}

/// How often events of one subject were delivered and given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubjectCounts {
    /// Deliveries that succeeded.
    pub success: u64,
    /// Deliveries that were given up.
    pub failure: u64,
}

struct Now {
    state: ProcessorState,
    presence: Presence,
    /// What is configured and of no use, in words.
    lacks: Vec<String>,
    subjects: HashMap<Box<[u8]>, SubjectCounts, RandomState>,
    targets: HashMap<Target, Arc<TargetStatus>, RandomState>,
}

/// How one processor fares.
pub struct ProcessorStatus {
    /// Its name.
    pub name: String,
    /// Its provider.
    pub provider: &'static str,
    /// Its address, without credentials.
    pub address: String,
    /// When it was made.
    pub started: SystemTime,
    metrics: Metrics,
    refresh_errors: Counter,
    changes: Counter,
    lacks: Gauge,
    ready: Gauge,
    backlog: Gauge,
    now: Mutex<Now>,
}

impl Metrics {
    fn forget(&self, target: &Labels) {
        for family in [&self.attempts, &self.successes, &self.failures, &self.retries, &self.unsubscribed] {
            family.remove(target);
        }
        for family in [&self.in_flight, &self.lane, &self.circuit] {
            family.remove(target);
        }
        self.latency.remove(target);
    }
}

fn target_labels(processor: &str, target: &Target) -> Labels {
    vec![("processor", processor.to_owned()), ("target", target.as_str().to_owned())]
}

impl ProcessorStatus {
    pub(super) fn new(metrics: &Metrics, name: &str, provider: &'static str, address: &str) -> Self {
        let labels: Labels = vec![("processor", name.to_owned())];
        Self {
            name: name.to_owned(),
            provider,
            address: address.to_owned(),
            started: SystemTime::now(),
            refresh_errors: counter(&metrics.refresh_errors, &labels),
            changes: counter(&metrics.changes, &labels),
            lacks: metrics.lacks.get_or_create(&labels).clone(),
            ready: metrics.ready.get_or_create(&labels).clone(),
            backlog: metrics.backlog.get_or_create(&labels).clone(),
            metrics: metrics.clone(),
            now: Mutex::new(Now {
                state: ProcessorState::NotReady { why: None },
                presence: Presence::away(),
                lacks: Vec::new(),
                subjects: HashMap::default(),
                targets: HashMap::default(),
            }),
        }
    }

    /// The present state.
    #[must_use]
    pub fn state(&self) -> ProcessorState {
        lock(&self.now).state.clone()
    }

    /// The map or rules are there, and fresh.
    pub fn ready(&self) {
        let mut now = lock(&self.now);
        if now.state != ProcessorState::Ready {
            info!(processor = self.name, address = self.address, "ready");
        }
        now.state = ProcessorState::Ready;
        now.presence.set(true);
    }

    /// The map or rules could not be read. `why` holds no secret.
    pub fn refresh_failed(&self, why: &str) {
        self.refresh_errors.inc();
        let mut now = lock(&self.now);
        let (state, told) = match &now.state {
            ProcessorState::NotReady { why: before } => {
                (ProcessorState::NotReady { why: Some(why.to_owned()) }, before.is_some())
            }
            ProcessorState::Ready => (ProcessorState::Stale { why: why.to_owned() }, false),
            ProcessorState::Stale { .. } => (ProcessorState::Stale { why: why.to_owned() }, true),
        };
        if told {
            debug!(processor = self.name, why, "still cannot be read");
        } else if matches!(state, ProcessorState::Stale { .. }) {
            warn!(processor = self.name, address = self.address, why, "cannot be read, what is known stays in force");
        } else {
            warn!(processor = self.name, address = self.address, why, "cannot be read, events wait until it can");
        }
        now.state = state;
        now.presence.set(false);
    }

    /// The map or rules changed.
    pub fn routes_changed(&self, what: &str) {
        self.changes.inc();
        info!(processor = self.name, "{what}");
    }

    /// What is configured and of no use now, a line each; the rest works. None of them holds a secret.
    pub fn lacks(&self, lacks: Vec<String>) {
        self.lacks.set(i64::try_from(lacks.len()).unwrap_or(i64::MAX));
        let mut now = lock(&self.now);
        for what in lacks.iter().filter(|what| !now.lacks.contains(what)) {
            warn!(processor = self.name, address = self.address, "{what}");
        }
        for what in now.lacks.iter().filter(|what| !lacks.contains(what)) {
            info!(processor = self.name, "no longer so: {what}");
        }
        now.lacks = lacks;
    }

    /// What is configured and of no use now, in words; none if that is nothing.
    #[must_use]
    pub fn lacking(&self) -> Option<String> {
        let now = lock(&self.now);
        (!now.lacks.is_empty()).then(|| now.lacks.join("; "))
    }

    /// Positions between the front and the newest event.
    pub fn backlog(&self, positions: u64) {
        self.backlog.set(i64::try_from(positions).unwrap_or(i64::MAX));
    }

    /// One of its targets.
    pub fn target(&self, target: &Target) -> Arc<TargetStatus> {
        let mut now = lock(&self.now);
        if let Some(status) = now.targets.get(target) {
            return Arc::clone(status);
        }
        let status = Arc::new(TargetStatus::new(&self.metrics, &self.name, target));
        now.targets.insert(target.clone(), Arc::clone(&status));
        status
    }

    /// Forgets a target that is gone, and its metrics.
    pub fn forget(&self, target: &Target) {
        lock(&self.now).targets.remove(target);
        self.metrics.forget(&target_labels(&self.name, target));
    }

    /// The processor's targets by name.
    #[must_use]
    pub fn targets(&self) -> Vec<Arc<TargetStatus>> {
        let mut targets: Vec<_> = lock(&self.now).targets.values().cloned().collect();
        targets.sort_by(|a, b| a.target.cmp(&b.target));
        targets
    }

    /// How often events of each subject were delivered and given up.
    #[must_use]
    pub fn subjects(&self) -> BTreeMap<Box<str>, SubjectCounts> {
        let text = |subject: &[u8]| String::from_utf8_lossy(subject).into();
        lock(&self.now).subjects.iter().map(|(subject, counts)| (text(subject), *counts)).collect()
    }

    fn count(&self, subject: &[u8], add: SubjectCounts) {
        let mut now = lock(&self.now);
        let full = now.subjects.len() >= MOST_SUBJECTS;
        let counts = match now.subjects.get_mut(subject) {
            Some(counts) => counts,
            None => now.subjects.entry(if full { b"(others)" } else { subject }.into()).or_default(),
        };
        counts.success += add.success;
        counts.failure += add.failure;
    }

    /// The target has the event.
    pub fn delivered(&self, target: &TargetStatus, event: &Event, attempts: u32, status: Option<u16>, took: Duration) {
        target.successes.inc();
        self.count(event.subject_bytes(), SubjectCounts { success: 1, failure: 0 });
        debug!(
            processor = self.name,
            target = %target.target,
            id = event.id(),
            subject = event.subject(),
            status,
            attempts,
            ms = (took.as_secs_f64() * 1e5).round() / 100.0,
            "delivered"
        );
    }

    /// The event is given up at this target. `kept` says where it is, if it is kept.
    pub fn given_up(&self, target: &TargetStatus, event: &Event, attempts: u32, why: &Reason) {
        target.failures.inc();
        self.count(event.subject_bytes(), SubjectCounts { success: 0, failure: 1 });
        error!(
            processor = self.name,
            target = %target.target,
            id = event.id(),
            subject = event.subject(),
            status = why.status,
            attempts,
            why = why.text,
            "given up, and set aside as a dead letter"
        );
    }

    /// The target that wanted the event is gone.
    pub fn unsubscribed(&self, target: &TargetStatus, event: &Event) {
        target.unsubscribed.inc();
        debug!(
            processor = self.name,
            target = %target.target,
            id = event.id(),
            subject = event.subject(),
            "unsubscribed"
        );
    }

    /// Nobody wants the event.
    pub fn unwanted(&self, event: &Event) {
        debug!(processor = self.name, id = event.id(), subject = event.subject(), "nobody subscribes to it");
    }

    /// An attempt failed and will be repeated.
    pub fn will_retry(&self, target: &TargetStatus, event: &Event, attempt: u32, why: &Reason, after: Duration) {
        debug!(
            processor = self.name,
            target = %target.target,
            id = event.id(),
            subject = event.subject(),
            status = why.status,
            attempt,
            why = why.text,
            after_ms = after.as_millis() as u64,
            "will try again"
        );
    }

    pub(super) fn refresh(&self) {
        self.ready.set(i64::from(!matches!(lock(&self.now).state, ProcessorState::NotReady { .. })));
    }

    pub(super) fn not_ready(&self) -> Option<String> {
        let now = lock(&self.now);
        if now.presence.ready() {
            return None;
        }
        Some(match &now.state {
            ProcessorState::NotReady { why: None } | ProcessorState::Ready => {
                format!("processor {} has not read its subscriptions yet", self.name)
            }
            ProcessorState::NotReady { why: Some(why) } | ProcessorState::Stale { why } => {
                format!("processor {} cannot read its subscriptions: {why}", self.name)
            }
        })
    }
}

/// How one target fares.
pub struct TargetStatus {
    /// Which.
    pub target: Target,
    processor: String,
    attempts: Counter,
    successes: Counter,
    failures: Counter,
    retries: Counter,
    unsubscribed: Counter,
    latency: Histogram,
    in_flight: Gauge,
    lane: Gauge,
    circuit: Gauge,
}

impl TargetStatus {
    fn new(metrics: &Metrics, processor: &str, target: &Target) -> Self {
        let labels = target_labels(processor, target);
        Self {
            target: target.clone(),
            processor: processor.to_owned(),
            attempts: counter(&metrics.attempts, &labels),
            successes: counter(&metrics.successes, &labels),
            failures: counter(&metrics.failures, &labels),
            retries: counter(&metrics.retries, &labels),
            unsubscribed: counter(&metrics.unsubscribed, &labels),
            latency: metrics.latency.get_or_create(&labels).clone(),
            in_flight: metrics.in_flight.get_or_create(&labels).clone(),
            lane: metrics.lane.get_or_create(&labels).clone(),
            circuit: metrics.circuit.get_or_create(&labels).clone(),
        }
    }

    /// Nothing is under way, and nothing held against the target.
    pub fn reset(&self) {
        for gauge in [&self.in_flight, &self.lane, &self.circuit] {
            gauge.set(0);
        }
    }

    /// An attempt begins that carries so many events, of which so many were tried before.
    pub fn attempt_began(&self, events: u64, again: u64) {
        self.attempts.inc_by(events);
        self.retries.inc_by(again);
        self.in_flight.inc();
    }

    /// The attempt ended.
    pub fn attempt_ended(&self, took: Duration) {
        self.in_flight.dec();
        self.latency.observe(took.as_secs_f64());
    }

    /// The target is only probed from now on.
    pub fn circuit_opened(&self, why: &Reason) {
        if self.circuit.get() == 0 {
            self.circuit.set(1);
            warn!(
                processor = self.processor,
                target = %self.target,
                status = why.status,
                why = why.text,
                "not answering: its events wait, the others go on"
            );
        }
    }

    /// The target answers again.
    pub fn circuit_closed(&self) {
        if self.circuit.get() == 1 {
            self.circuit.set(0);
            info!(processor = self.processor, target = %self.target, "answering again");
        }
    }

    /// Whether the target is only probed.
    #[must_use]
    pub fn circuit_is_open(&self) -> bool {
        self.circuit.get() == 1
    }

    /// The target has a lane of its own, or has none any more.
    pub fn lane(&self, open: bool) {
        self.lane.set(i64::from(open));
        debug!(processor = self.processor, target = %self.target, open, "lane");
    }

    /// Whether the target has a lane of its own.
    #[must_use]
    pub fn has_lane(&self) -> bool {
        self.lane.get() == 1
    }

    /// Attempts, successes, failures, retries so far, and attempts in flight.
    #[must_use]
    pub fn counts(&self) -> [u64; 5] {
        let in_flight = u64::try_from(self.in_flight.get()).unwrap_or(0);
        [self.attempts.get(), self.successes.get(), self.failures.get(), self.retries.get(), in_flight]
    }
}
