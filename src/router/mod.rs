//! Starts everything, watches it, and drains it.

mod config;
#[cfg(test)]
mod config_tests;
mod errands;
mod replay;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

pub use config::{PROVIDERS, RouterConfig};
use errands::Sent;
use replay::Replays;

use crate::admin::api::Api;
use crate::admin::{Admin, Callbacks, Figures, Server, socket};
use crate::backoff::Backoff;
use crate::config::delivery::BeginAt;
use crate::delivery::{Delivery, Options, Settler};
use crate::journal::{self, Appender, Begin, Journal, JournalError};
use crate::processor::{self, Processor};
use crate::stream::{self, EventStream};
use crate::telemetry::{ProcessorStatus, StreamStatus, Telemetry};

/// How long a shutdown may take.
const GRACE: Duration = Duration::from_secs(25);

/// The waits between starts of what ended by itself.
const RESTART: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));

/// How the journal is tried again: as soon as a disk is back, since until then nothing is read and nothing delivered.
const OPENING: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(3));

/// Why the router cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// The metrics server cannot listen.
    #[error("the metrics server cannot listen on {address}: {error}; free the address or configure another one")]
    Bind {
        /// The configured address.
        address: String,
        /// What the system says.
        error: io::Error,
    },
}

/// Where each processor's late outcomes go at present.
type Settlers = Arc<Mutex<HashMap<Arc<str>, Settler>>>;

/// The processors and how they deliver, by name, once the journal is open and they are built.
#[derive(Clone, Default)]
struct Deliveries(Arc<OnceLock<Vec<Delivers>>>);

/// A processor's name, the processor, and how it delivers.
type Delivers = (Arc<str>, Arc<dyn Processor>, Options);

impl Deliveries {
    /// None until they are built.
    fn all(&self) -> Option<&[Delivers]> {
        self.0.get().map(Vec::as_slice)
    }

    fn get(&self, name: &str) -> Option<(Arc<dyn Processor>, Options)> {
        let found = self.all()?.iter().find(|(of, ..)| **of == *name)?;
        Some((Arc::clone(&found.1), found.2.clone()))
    }

    fn names(&self) -> Vec<&str> {
        self.all().unwrap_or_default().iter().map(|(name, ..)| &**name).collect()
    }
}

/// A router that has been built and does nothing yet.
pub struct Router {
    telemetry: Arc<Telemetry>,
    journal: Arc<dyn Journal>,
    streams: Vec<(Box<dyn EventStream>, Arc<StreamStatus>)>,
    processors: Vec<(processor::Config, Arc<ProcessorStatus>)>,
    metrics: crate::admin::config::Config,
    listener: Option<std::net::TcpListener>,
}

impl Router {
    /// Builds all components; connects to nothing.
    #[must_use]
    pub fn new(config: RouterConfig) -> Self {
        let telemetry = Arc::new(Telemetry::new());
        let configured = config.configured();
        let journal = journal::build(config.journal, configured);
        let streams = config.streams.into_iter().map(|config| {
            let status = telemetry.stream(config.name(), config.provider(), config.address());
            (stream::build(config), status)
        });
        let streams = streams.collect();
        let processors = config.processors.into_iter().map(|config| {
            let status = telemetry.processor(config.name(), config.provider(), config.address());
            (config, status)
        });
        let processors = processors.collect();
        Self { telemetry, journal, streams, processors, metrics: config.metrics, listener: None }
    }

    /// Has the metrics server take this listener, in place of listening on the configured address.
    #[must_use]
    pub fn listening_on(mut self, listener: std::net::TcpListener) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Has events wait in this journal, in place of the configured one.
    #[must_use]
    pub fn keeping(mut self, journal: Arc<dyn Journal>) -> Self {
        self.journal = journal;
        self
    }

    /// How everything fares, for whoever wants to watch it run.
    #[must_use]
    pub fn telemetry(&self) -> Arc<Telemetry> {
        Arc::clone(&self.telemetry)
    }

    /// The journal, for its figures.
    #[must_use]
    pub fn journal(&self) -> Arc<dyn Journal> {
        Arc::clone(&self.journal)
    }

    /// Runs until stopped, then drains: streams finish the append under way,
    /// deliveries the attempts, then the journal closes and the metrics server last.
    ///
    /// # Errors
    /// The metrics server cannot listen.
    pub async fn run(self, stop: CancellationToken) -> Result<(), RouterError> {
        let Self { telemetry, journal, streams, processors, metrics, listener } = self;
        telemetry.collect(Figures { started: telemetry.started, journal: Arc::clone(&journal) });

        let settlers: Settlers = Settlers::default();
        let built = Deliveries::default();
        let replays: Arc<OnceLock<Arc<Replays>>> = Arc::default();
        let admin = Admin {
            telemetry: Arc::clone(&telemetry),
            api: Api {
                journal: Arc::clone(&journal),
                errands: Some(Arc::new(Sent { settlers: Arc::clone(&settlers), replays: Arc::clone(&replays) })),
            },
            auth: metrics.auth,
            callbacks: Box::new(Late {
                processors: built.clone(),
                settlers: Arc::clone(&settlers),
                replays: Arc::clone(&replays),
            }),
        };
        let server = match listener {
            Some(listener) => Server::open(listener, admin),
            None => Server::bind(&metrics.address, admin).await,
        };
        let server = server.map_err(|error| RouterError::Bind { address: metrics.address, error })?;
        let (admin_stop, admin_tasks) = (CancellationToken::new(), TaskTracker::new());
        let admin = server.admin();
        admin_tasks.spawn(server.run(admin_stop.clone()));

        let begins: Vec<_> =
            processors.iter().map(|(config, status)| (status.name.clone(), begin(config.delivery().begin))).collect();
        if stop.run_until_cancelled(open(&*journal, &begins)).await.is_none() {
            admin_stop.cancel();
            drain("metrics server", &admin_tasks, Instant::now() + GRACE).await;
            return Ok(());
        }
        if let Some(folder) = journal.folder().map(ToOwned::to_owned) {
            let stop = admin_stop.clone();
            admin_tasks.spawn(async move { socket::run(&folder, admin, stop).await });
        }
        let key = journal.signing_key();
        let processors: Vec<_> = processors
            .into_iter()
            .map(|(config, status)| {
                let options = config.delivery().clone();
                (processor::build(config, Arc::clone(&status), &key), status, options)
            })
            .collect();
        let by_name = processors
            .iter()
            .map(|(processor, status, options)| (status.name.as_str().into(), Arc::clone(processor), options.clone()));
        built.0.get_or_init(|| by_name.collect());

        let (delivery_stop, delivery_tasks) = (CancellationToken::new(), TaskTracker::new());
        for (processor, status, options) in processors {
            let (keeper, stop) = (Arc::clone(&processor), delivery_stop.clone());
            delivery_tasks.spawn(async move { keeper.run(stop).await });
            let (journal, settlers, stop) = (Arc::clone(&journal), Arc::clone(&settlers), delivery_stop.clone());
            delivery_tasks.spawn(async move {
                let open = || async {
                    // It has its place, unless that was damaged: then there is no beginning.
                    let cursor = journal.cursor(&status.name, Begin::End).await?;
                    let letters = journal.dead_letters()?;
                    let (processor, status) = (Arc::clone(&processor), Arc::clone(&status));
                    let name = Arc::from(status.name.as_str());
                    let (delivery, settler) = Delivery::new(processor, status, cursor, letters, options.clone());
                    settlers.lock().unwrap_or_else(PoisonError::into_inner).insert(name, settler);
                    Ok(delivery)
                };
                deliver(&status.name, open, &stop).await;
            });
        }
        let known = replays.get_or_init(|| {
            let (journal, tasks) = (Arc::clone(&journal), delivery_tasks.clone());
            Arc::new(Replays::new(journal, built.clone(), tasks, delivery_stop.clone()))
        });
        known.go_on().await;
        delivery_tasks.close();

        let stream_tasks = TaskTracker::new();
        for (stream, status) in streams {
            let name = Arc::from(status.name.as_str());
            let out = Appender::new(Arc::clone(&journal), name, status, stop.clone());
            stream_tasks.spawn(read(stream, out));
        }
        stream_tasks.close();

        stop.cancelled().await;
        info!("shutting down");
        let deadline = Instant::now() + GRACE;
        drain("streams", &stream_tasks, deadline).await;
        delivery_stop.cancel();
        drain("deliveries", &delivery_tasks, deadline).await;
        let kept = journal.stats();
        match tokio::time::timeout_at(deadline, journal.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "the journal was not closed well; what was delivered last may come twice"),
            Err(_) => warn!("the journal's disk does not answer; what was delivered last may come twice"),
        }
        admin_stop.cancel();
        drain("metrics server", &admin_tasks, deadline).await;
        if kept.engine == "memory" && kept.undelivered > 0 {
            let waiting = kept.pinned_by.unwrap_or_default();
            warn!(
                events = kept.undelivered,
                waiting, "undelivered events end with the process, since the journal is in memory"
            );
        }
        Ok(())
    }
}

fn begin(at: BeginAt) -> Begin {
    match at {
        BeginAt::End => Begin::End,
        BeginAt::Oldest => Begin::Oldest,
        BeginAt::At(micros) => {
            let since = Duration::from_micros(micros.unsigned_abs());
            let moment = if micros < 0 { UNIX_EPOCH.checked_sub(since) } else { UNIX_EPOCH.checked_add(since) };
            Begin::Time(moment.unwrap_or(UNIX_EPOCH))
        }
    }
}

/// Opens the journal, and gives every processor its place there: durable before streams start, so that nothing passes
/// a new processor by. Tries until it succeeds, since a disk may come back and another process may end.
async fn open(journal: &dyn Journal, processors: &[(String, Begin)]) {
    let mut backoff = OPENING;
    let mut said = None;
    loop {
        let opened = async {
            journal.open().await?;
            for (processor, begin) in processors {
                match journal.cursor(processor, *begin).await {
                    // Its events are kept, and others go on; the journal says what is wrong.
                    Ok(_) | Err(JournalError::Damaged(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok::<_, JournalError>(())
        };
        let Err(error) = opened.await else { return };
        let now = error.to_string();
        if said.as_ref() != Some(&now) {
            error!(error = now, "the journal cannot be opened: nothing is read from vCenter until it can");
            said = Some(now);
        }
        tokio::time::sleep(backoff.wait()).await;
    }
}

async fn drain(what: &str, tasks: &TaskTracker, deadline: Instant) {
    tasks.close();
    if tokio::time::timeout_at(deadline, tasks.wait()).await.is_err() {
        warn!("{what} did not end in time; what was under way is repeated after the next start");
    }
}

/// Runs a stream, again and again, until it is stopped.
async fn read(mut stream: Box<dyn EventStream>, out: Appender) {
    let mut backoff = RESTART;
    loop {
        let began = Instant::now();
        let ended = stream.run(&out).await;
        if out.stop().is_cancelled() {
            break;
        }
        if began.elapsed() > GRACE {
            backoff.reset();
        }
        let why = ended.err().map_or_else(|| "it ended by itself".to_owned(), |error| error.to_string());
        out.status().waiting("ended", &why);
        tokio::select! {
            () = tokio::time::sleep(backoff.wait()) => {}
            () = out.stop().cancelled() => break,
        }
    }
}

/// Delivers, again and again, until stopped. `open` begins at the durable place.
async fn deliver<F>(name: &str, open: impl Fn() -> F, stop: &CancellationToken)
where
    F: Future<Output = Result<Delivery, JournalError>>,
{
    let mut backoff = RESTART;
    let mut said = None;
    while !stop.is_cancelled() {
        let began = Instant::now();
        let ended = match open().await {
            Ok(mut delivery) => delivery.run(stop).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            if began.elapsed() > GRACE {
                backoff.reset();
            }
            let now = error.to_string();
            if said.as_ref() != Some(&now) {
                error!(processor = name, error = now, "delivery waits for the journal");
                said = Some(now);
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.wait()) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

/// Hands what functions say of accepted events to the delivery that waits for it.
struct Late {
    /// None until the journal is open.
    processors: Deliveries,
    settlers: Settlers,
    replays: Arc<OnceLock<Arc<Replays>>>,
}

#[async_trait]
impl Callbacks for Late {
    async fn take(&self, query: &str, headers: &HeaderMap, body: &[u8]) -> StatusCode {
        let Some(processors) = self.processors.all() else { return StatusCode::SERVICE_UNAVAILABLE };
        for (name, processor, _) in processors {
            let Some(late) = processor.callback(query, headers, body).await else { continue };
            // Whoever waits for it takes it; what nobody waits for is nothing to the others.
            for settler in self.replays.get().map(|replays| replays.settlers(name)).unwrap_or_default() {
                drop(settler.settle(late.clone()).await);
            }
            let settler = self.settlers.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
            let Some(settler) = settler else { return StatusCode::SERVICE_UNAVAILABLE };
            let settled = settler.settle(late).await.is_ok();
            return if settled { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        }
        debug!("a callback that this router did not sign");
        StatusCode::FORBIDDEN
    }
}
