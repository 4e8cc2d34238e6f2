//! How a stream fares.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tracing::{debug, error, info, warn};

use super::{Labels, Presence, Rate, counter, lock};

/// A lag below this is the normal course of things and not told.
const TELL_BEHIND: u64 = 1000;

#[derive(Default)]
pub(super) struct Metrics {
    events: Family<Labels, Counter>,
    errors: Family<Labels, Counter>,
    reconnects: Family<Labels, Counter>,
    gaps: Family<Labels, Counter>,
    undecoded: Family<Labels, Counter>,
    late: Family<Labels, Counter>,
    lag_events: Family<Labels, Gauge>,
    lag_seconds: Family<Labels, Gauge<f64, AtomicU64>>,
    state: Family<Labels, Gauge>,
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let all = Self::default();
        registry.register("stream_events", "Events read and made durable", all.events.clone());
        registry.register("stream_errors", "Errors while reading", all.errors.clone());
        registry.register("stream_reconnects", "Logins after the first", all.reconnects.clone());
        registry.register("stream_gaps", "Spans of events that can no longer be had", all.gaps.clone());
        registry.register("stream_undecoded", "Events passed on with DecodeError", all.undecoded.clone());
        registry.register("stream_late", "Events found by looking back", all.late.clone());
        registry.register(
            "stream_lag_events",
            "Events that upstream has and the journal has not",
            all.lag_events.clone(),
        );
        registry.register_with_unit(
            "stream_lag",
            "Upstream's time since the creation of the newest journaled event, while behind; else 0",
            Unit::Seconds,
            all.lag_seconds.clone(),
        );
        registry.register("stream_state", "1 for the state that the stream is in", all.state.clone());
        all
    }
}

/// What a stream is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamState {
    /// Connecting, logging in, creating its collector.
    Connecting,
    /// Reading; everything that upstream has is journaled.
    Streaming,
    /// Reading history.
    Behind {
        /// Events to go, where upstream tells.
        events: Option<u64>,
    },
    /// Waiting before the next try.
    Waiting {
        /// What kind of trouble: the same kind is told once.
        kind: String,
        /// What happened.
        why: String,
    },
    /// Waiting for space in the journal.
    Full {
        /// How full it is, and who pins it.
        why: String,
    },
    /// Ended for shutdown.
    Stopped,
}

impl StreamState {
    /// Every state's name.
    const NAMES: [&'static str; 6] = ["connecting", "streaming", "behind", "waiting", "full", "stopped"];

    /// The state's name, as metrics and `/stats` give it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        Self::NAMES[match self {
            Self::Connecting => 0,
            Self::Streaming => 1,
            Self::Behind { .. } => 2,
            Self::Waiting { .. } => 3,
            Self::Full { .. } => 4,
            Self::Stopped => 5,
        }]
    }

    /// What there is to say about it beyond its name.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Behind { events } => events.map(|events| format!("{events} events to go")),
            Self::Waiting { why, .. } | Self::Full { why } => Some(why.clone()),
            _ => None,
        }
    }
}

struct Now {
    state: StreamState,
    /// The last trouble that was told, until it is over.
    trouble: Option<String>,
    told_behind: bool,
    presence: Presence,
    rate: Rate,
}

/// How one stream fares.
pub struct StreamStatus {
    /// Its name.
    pub name: String,
    /// Its provider.
    pub provider: &'static str,
    /// Its address, without credentials.
    pub address: String,
    /// When it was made.
    pub started: SystemTime,
    labels: Labels,
    now: Mutex<Now>,
    events: Counter,
    errors: Counter,
    reconnects: Counter,
    gaps: Counter,
    undecoded: Counter,
    late: Counter,
    lag_events: Gauge,
    lag_seconds: Gauge<f64, AtomicU64>,
    states: Family<Labels, Gauge>,
}

impl StreamStatus {
    pub(super) fn new(metrics: &Metrics, name: &str, provider: &'static str, address: &str) -> Self {
        let labels: Labels = vec![("stream", name.to_owned())];
        Self {
            name: name.to_owned(),
            provider,
            address: address.to_owned(),
            started: SystemTime::now(),
            now: Mutex::new(Now {
                state: StreamState::Connecting,
                trouble: None,
                told_behind: false,
                presence: Presence::away(),
                rate: Rate::new(),
            }),
            events: counter(&metrics.events, &labels),
            errors: counter(&metrics.errors, &labels),
            reconnects: counter(&metrics.reconnects, &labels),
            gaps: counter(&metrics.gaps, &labels),
            undecoded: counter(&metrics.undecoded, &labels),
            late: counter(&metrics.late, &labels),
            lag_events: metrics.lag_events.get_or_create(&labels).clone(),
            lag_seconds: metrics.lag_seconds.get_or_create(&labels).clone(),
            states: metrics.state.clone(),
            labels,
        }
    }

    /// The present state.
    #[must_use]
    pub fn state(&self) -> StreamState {
        lock(&self.now).state.clone()
    }

    /// Connecting, logging in, creating a collector. Not told while in trouble.
    pub fn connecting(&self) {
        let mut now = lock(&self.now);
        now.presence.set(false);
        now.state = StreamState::Connecting;
        debug!(stream = self.name, address = self.address, "connecting");
    }

    /// Upstream is connected.
    ///
    /// `about` says what it is, such as its version; told with the change.
    pub fn connected(&self, about: &str) {
        let mut now = lock(&self.now);
        if now.trouble.take().is_some() || !now.presence.ever {
            info!(stream = self.name, address = self.address, about, "connected");
        }
        now.presence.set(true);
    }

    /// Everything that upstream has is journaled.
    pub fn streaming(&self) {
        let mut now = lock(&self.now);
        now.presence.set(true);
        now.trouble = None;
        self.lag_events.set(0);
        self.lag_seconds.set(0.0);
        if std::mem::take(&mut now.told_behind) {
            info!(stream = self.name, "caught up");
        }
        now.state = StreamState::Streaming;
    }

    /// Reading history: `events` to go, where upstream tells, and `seconds` of upstream's time.
    pub fn behind(&self, events: Option<u64>, seconds: f64) {
        let mut now = lock(&self.now);
        now.presence.set(true);
        now.state = StreamState::Behind { events };
        self.lag_events.set(events.and_then(|events| i64::try_from(events).ok()).unwrap_or(0));
        self.lag_seconds.set(seconds.max(0.0));
        if !now.told_behind && events.is_some_and(|events| events >= TELL_BEHIND) {
            now.told_behind = true;
            info!(stream = self.name, events, seconds = seconds.round(), "behind, reading history");
        }
    }

    /// A try failed; the next comes after a wait. The same `kind` of trouble is
    /// told once, until it is over. `why` holds no secret.
    pub fn waiting(&self, kind: &str, why: &str) {
        self.errors.inc();
        let mut now = lock(&self.now);
        now.presence.set(false);
        if now.trouble.as_deref() == Some(kind) {
            debug!(stream = self.name, why, "still waiting");
        } else {
            warn!(stream = self.name, address = self.address, why, "waiting, will go on trying");
            now.trouble = Some(kind.to_owned());
        }
        now.state = StreamState::Waiting { kind: kind.to_owned(), why: why.to_owned() };
    }

    /// Something went wrong that the stream mends at once.
    pub fn trouble(&self, why: &str) {
        self.errors.inc();
        debug!(stream = self.name, why, "mended");
    }

    /// The stream was ended for shutdown.
    pub fn stopped(&self) {
        let mut now = lock(&self.now);
        now.presence.set(false);
        now.state = StreamState::Stopped;
        debug!(stream = self.name, "stopped");
    }

    /// The journal has no space: reading stops until it has.
    pub fn journal_full(&self, full: &dyn std::fmt::Display) {
        let mut now = lock(&self.now);
        let why = full.to_string();
        if !matches!(now.state, StreamState::Full { .. }) {
            warn!(stream = self.name, why, "reading stops until the journal has space");
        }
        now.state = StreamState::Full { why };
    }

    /// The journal takes events (again).
    pub fn journal_has_space(&self) {
        let mut now = lock(&self.now);
        if matches!(now.state, StreamState::Full { .. }) {
            info!(stream = self.name, "the journal has space, reading goes on");
            now.state = StreamState::Behind { events: None };
        }
    }

    /// A login that was not the first.
    pub fn reconnected(&self) {
        self.reconnects.inc();
        debug!(stream = self.name, "logged in again");
    }

    /// Events became durable.
    pub fn events(&self, count: u64) {
        self.events.inc_by(count);
        lock(&self.now).rate.add(count);
    }

    /// Looking back found events that came late.
    pub fn late(&self, count: u64) {
        self.late.inc_by(count);
        debug!(stream = self.name, count, "events came late");
    }

    /// An event was passed on with what could be read of it.
    pub fn undecoded(&self, id: &str, subject: &str, why: &str) {
        self.errors.inc();
        self.undecoded.inc();
        warn!(stream = self.name, id, subject, why, "an event could not be decoded whole: passed on with RawXml");
    }

    /// Events are gone that no reading can bring back.
    pub fn gap(&self, span: &str, why: &str) {
        self.gaps.inc();
        error!(stream = self.name, span, why, "events are missing");
    }

    /// Something that the operator should know of, once.
    pub fn note(&self, text: &str) {
        warn!(stream = self.name, "{text}");
    }

    /// Events journaled since the start.
    #[must_use]
    pub fn events_total(&self) -> u64 {
        self.events.get()
    }

    /// Errors since the start.
    #[must_use]
    pub fn errors_total(&self) -> u64 {
        self.errors.get()
    }

    /// Logins after the first.
    #[must_use]
    pub fn reconnects_total(&self) -> u64 {
        self.reconnects.get()
    }

    /// Events a second, over the last minute.
    #[must_use]
    pub fn events_per_second(&self) -> f64 {
        lock(&self.now).rate.per_second()
    }

    pub(super) fn refresh(&self) {
        let state = lock(&self.now).state.name();
        for name in StreamState::NAMES {
            let mut labels = self.labels.clone();
            labels.push(("state", name.to_owned()));
            self.states.get_or_create(&labels).set(i64::from(name == state));
        }
    }

    pub(super) fn not_ready(&self) -> Option<String> {
        let now = lock(&self.now);
        if now.presence.ready() {
            return None;
        }
        let detail = now.state.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
        Some(format!("stream {} is {}{detail}", self.name, now.state.name()))
    }
}
