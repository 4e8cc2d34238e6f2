//! A vCenter stream that runs into a journal in memory, with a reader behind it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;
use vmware_event_router::attempt::{BatchLimits, Position};
use vmware_event_router::config::Secret;
use vmware_event_router::event::Event;
use vmware_event_router::http::TlsOptions;
use vmware_event_router::journal::memory::MemoryJournal;
use vmware_event_router::journal::{Appender, Begin, Cursor, CursorState, Journal};
use vmware_event_router::stream::vcenter::{BeginAt, Config, Timing, VCenter};
use vmware_event_router::stream::{EventStream, StreamError};
use vmware_event_router::telemetry::{StreamStatus, Telemetry};
use vmware_event_router::vim25::Shape;

use super::vcsim::{PASSWORD, USER};

/// No test waits longer than this for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What must happen, happens.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("gave up waiting: {what}"),
    }
}

pub(crate) fn config(url: &Url) -> Config {
    Config {
        name: "vc".into(),
        address: url.clone(),
        source: url.to_string(),
        username: Secret::literal(USER),
        password: Secret::literal(PASSWORD),
        tls: TlsOptions { insecure: true, ..TlsOptions::default() },
        begin: BeginAt::Now,
        checkpoint_dir: None,
        event_types: Vec::new(),
        shape: Shape::V6_7,
        timing: Timing::default(),
    }
}

/// Intervals that suit a test; what happens is the same.
pub(crate) fn timing() -> Timing {
    Timing {
        poll: Duration::from_millis(50),
        retry_first: Duration::from_millis(10),
        retry_most: Duration::from_millis(200),
        refused_first: Duration::from_millis(100),
        ..Timing::default()
    }
}

/// A running stream.
pub(crate) struct Running {
    pub(crate) status: Arc<StreamStatus>,
    pub(crate) telemetry: Arc<Telemetry>,
    cursor: Arc<dyn Cursor>,
    read: Position,
    stop: CancellationToken,
    task: JoinHandle<(VCenter, Result<(), StreamError>)>,
    /// Every event that was read from the journal.
    pub(crate) events: Vec<Event>,
}

impl Running {
    pub(crate) async fn start(config: Config, timing: Timing) -> Self {
        Self::start_on(Arc::new(MemoryJournal::new(256 << 20)), config, timing).await
    }

    /// On a journal that may hold a checkpoint already.
    pub(crate) async fn start_on(journal: Arc<dyn Journal>, config: Config, timing: Timing) -> Self {
        if std::env::var_os("TEST_LOG").is_some() {
            tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_test_writer().try_init().ok();
        }
        let telemetry = Arc::new(Telemetry::new());
        let status = telemetry.stream(&config.name, "vmware_vcenter", config.address.as_str());
        let cursor = journal.cursor("test", Begin::End).await.unwrap();
        let read = cursor.newest();
        let stop = CancellationToken::new();
        let out = Appender::new(Arc::clone(&journal), Arc::clone(&config.name), Arc::clone(&status), stop.clone());
        let mut stream = VCenter::new(Config { timing, ..config });
        let task = tokio::spawn(async move {
            let end = stream.run(&out).await;
            (stream, end)
        });
        Self { status, telemetry, cursor, read, stop, task, events: Vec::new() }
    }

    /// Reads events from the journal until there is one that `last` accepts; it must come.
    pub(crate) async fn read_until(&mut self, mut last: impl FnMut(&Event) -> bool) {
        let read = async {
            loop {
                self.cursor.readable(self.read).await.unwrap();
                let limits = BatchLimits { events: 10_000, bytes: usize::MAX };
                let entries = self.cursor.read(self.read, limits).await.unwrap();
                let mut found = false;
                for entry in entries {
                    self.read = entry.position;
                    found |= last(&entry.event);
                    self.events.push(entry.event);
                }
                self.cursor.commit(CursorState { front: self.read, lanes: Vec::new() }).await.unwrap();
                if found {
                    return;
                }
            }
        };
        within("an event in the journal", read).await;
    }

    /// Reads what is in the journal, once the stream has read all that there is some times over.
    pub(crate) async fn read_until_quiet(&mut self) {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            self.streaming().await;
        }
        let limits = BatchLimits { events: 10_000, bytes: usize::MAX };
        for entry in self.cursor.read(self.read, limits).await.unwrap() {
            self.read = entry.position;
            self.events.push(entry.event);
        }
    }

    /// Waits until the status is as `as_it_should` says.
    pub(crate) async fn state(&self, what: &str, as_it_should: impl Fn(&StreamStatus) -> bool) {
        let poll = async {
            while !as_it_should(&self.status) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        within(what, poll).await;
    }

    /// Waits until the stream is connected and has read all there is.
    pub(crate) async fn streaming(&self) {
        self.state("streaming", |status| status.state().name() == "streaming").await;
    }

    /// Ends the stream, which must end well.
    pub(crate) async fn stop(self) -> Vec<Event> {
        self.stop.cancel();
        let (_, end) = within("the stream ends", self.task).await.unwrap();
        end.unwrap();
        assert_eq!(self.status.state().name(), "stopped");
        self.events
    }
}

/// The keys of events, in their order.
pub(crate) fn keys(events: &[Event]) -> Vec<i32> {
    events.iter().filter_map(Event::key).collect()
}

/// A member of an event's data.
pub(crate) fn member(event: &Event, name: &str) -> serde_json::Value {
    let data: serde_json::Value = serde_json::from_slice(&event.data()).unwrap();
    data[name].clone()
}

/// No event may be there twice.
pub(crate) fn assert_no_twins(events: &[Event]) {
    let mut ids: Vec<&str> = events.iter().map(Event::id).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "an event is in the journal twice");
}
