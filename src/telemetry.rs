//! Everything that happens is told once: one call writes the log line and
//! moves the counter, so that they cannot disagree.

mod processor;
mod stream;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

pub use processor::{ProcessorState, ProcessorStatus, SubjectCounts, TargetStatus};
pub use stream::{StreamState, StreamStatus};

/// Labels of a metric, by name.
type Labels = Vec<(&'static str, String)>;

/// A component that has been away for this long makes the router not ready.
const AWAY: Duration = Duration::from_secs(10);

/// The router's metrics and the state of its components.
pub struct Telemetry {
    /// When the router started.
    pub started: SystemTime,
    registry: Mutex<Registry>,
    stream_metrics: stream::Metrics,
    processor_metrics: processor::Metrics,
    streams: Mutex<Vec<Arc<StreamStatus>>>,
    processors: Mutex<Vec<Arc<ProcessorStatus>>>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl Telemetry {
    /// With no components yet.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("vmware_event_router");
        let stream_metrics = stream::Metrics::register(&mut registry);
        let processor_metrics = processor::Metrics::register(&mut registry);
        Self {
            started: SystemTime::now(),
            registry: Mutex::new(registry),
            stream_metrics,
            processor_metrics,
            streams: Mutex::default(),
            processors: Mutex::default(),
        }
    }

    /// A new stream, of the given provider and address (without credentials).
    pub fn stream(&self, name: &str, provider: &'static str, address: &str) -> Arc<StreamStatus> {
        let status = Arc::new(StreamStatus::new(&self.stream_metrics, name, provider, address));
        lock(&self.streams).push(Arc::clone(&status));
        status
    }

    /// A new processor, of the given provider and address (without credentials).
    pub fn processor(&self, name: &str, provider: &'static str, address: &str) -> Arc<ProcessorStatus> {
        let status = Arc::new(ProcessorStatus::new(&self.processor_metrics, name, provider, address));
        lock(&self.processors).push(Arc::clone(&status));
        status
    }

    /// Every stream.
    #[must_use]
    pub fn streams(&self) -> Vec<Arc<StreamStatus>> {
        lock(&self.streams).clone()
    }

    /// Every processor.
    #[must_use]
    pub fn processors(&self) -> Vec<Arc<ProcessorStatus>> {
        lock(&self.processors).clone()
    }

    /// Adds metrics that are read when they are asked for.
    pub fn collect(&self, collector: impl prometheus_client::collector::Collector + 'static) {
        lock(&self.registry).register_collector(Box::new(collector));
    }

    /// All metrics in the OpenMetrics text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        for stream in self.streams() {
            stream.refresh();
        }
        for processor in self.processors() {
            processor.refresh();
        }
        let mut text = String::new();
        // Writing to a string fails only if a label's own encoding does; what is written so far is still of use.
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &lock(&self.registry)) {
            tracing::error!(%error, "metrics could not be written");
        }
        text
    }

    /// Why the router is not ready, a line each; empty if it is.
    #[must_use]
    pub fn not_ready(&self) -> Vec<String> {
        let streams = self.streams().into_iter().filter_map(|stream| stream.not_ready());
        let processors = self.processors().into_iter().filter_map(|processor| processor.not_ready());
        streams.chain(processors).collect()
    }
}

/// Whether a component is there, since when, and whether it has ever been.
#[derive(Clone, Copy, Debug)]
struct Presence {
    present: bool,
    since: Instant,
    ever: bool,
}

impl Presence {
    fn away() -> Self {
        Self { present: false, since: Instant::now(), ever: false }
    }

    fn set(&mut self, present: bool) {
        if present != self.present {
            self.present = present;
            self.since = Instant::now();
        }
        self.ever |= present;
    }

    /// Not ready before the first time, and while away for ten seconds.
    fn ready(&self) -> bool {
        self.present || (self.ever && self.since.elapsed() < AWAY)
    }
}

/// A rate over the last minute.
#[derive(Debug)]
struct Rate {
    started: Instant,
    seconds: [(u64, u64); 60],
}

impl Rate {
    fn new() -> Self {
        Self { started: Instant::now(), seconds: [(u64::MAX, 0); 60] }
    }

    fn add(&mut self, count: u64) {
        let now = self.started.elapsed().as_secs();
        let slot = &mut self.seconds[(now % 60) as usize];
        if slot.0 != now {
            *slot = (now, 0);
        }
        slot.1 += count;
    }

    /// Per second, over the last minute or since the start if that is less.
    fn per_second(&self) -> f64 {
        let now = self.started.elapsed();
        let oldest = now.as_secs().saturating_sub(59);
        let recent = self.seconds.iter().filter(|(second, _)| *second != u64::MAX && *second >= oldest);
        let sum: u64 = recent.map(|(_, count)| count).sum();
        sum as f64 / now.as_secs_f64().clamp(1.0, 60.0)
    }
}

fn counter(family: &Family<Labels, Counter>, labels: &Labels) -> Counter {
    family.get_or_create(labels).clone()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What these locks guard is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_counts_the_last_minute() {
        let mut rate = Rate::new();
        rate.add(30);
        rate.add(30);
        assert!((rate.per_second() - 60.0).abs() < 1.0);
        rate.started = Instant::now().checked_sub(Duration::from_secs(59)).unwrap();
        assert!((rate.per_second() - 60.0 / 59.0).abs() < 0.1);
        rate.started = Instant::now().checked_sub(Duration::from_secs(61)).unwrap();
        assert!(rate.per_second() < f64::EPSILON, "what is older than a minute no longer counts");
    }

    #[test]
    fn the_router_is_ready_once_all_have_been_there() {
        let telemetry = Telemetry::new();
        let stream = telemetry.stream("vc", "vmware_vcenter", "https://vc/sdk");
        let processor = telemetry.processor("faas", "openfaas", "http://gw:8080");
        assert_eq!(telemetry.not_ready().len(), 2);
        stream.streaming();
        processor.ready();
        assert!(telemetry.not_ready().is_empty());
        stream.waiting("unreachable", "connection refused");
        assert!(telemetry.not_ready().is_empty(), "ten seconds are forgiven");
        assert!(telemetry.metrics().contains("vmware_event_router_stream_state"));
    }
}
