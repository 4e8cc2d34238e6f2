//! The functions of one OpenFaaS gateway.
//!
//! `map` knows who subscribes to what, as `lookup` reads it from the
//! gateway; `invoke` makes one attempt; `callback` is how a queued function
//! reports. When and in which order attempts are made is delivery's.

mod callback;
mod check;
mod config;
mod invoke;
mod lookup;
mod map;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, StatusCode};
use tokio_util::sync::CancellationToken;

pub use callback::{CALLBACK_PATH, Callback, CallbackSigner};
pub use config::{Config, PROVIDER};

use crate::attempt::{BatchLimits, Delivery, Outcome, Target};
use crate::backoff::Backoff;
use crate::http::Client;
use crate::processor::{Late, Processor, Routes, one_line};
use crate::report::Report;
use crate::telemetry::ProcessorStatus;

/// The header in which the queue's worker says how the function answered.
const FUNCTION_STATUS: &str = "x-function-status";

/// When the function map is refreshed. Tests are in more of a hurry.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Between one refresh and the next.
    pub interval: Duration,
    /// The first wait after a refresh that failed; doubles up to `interval`.
    pub retry: Duration,
    /// How long a function or subscription must be absent before it is removed.
    pub removal: Duration,
    /// The least time between a refresh and one that a 404 causes.
    pub floor: Duration,
    /// How long one lookup may take.
    pub lookup: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            retry: Duration::from_millis(500),
            removal: Duration::from_secs(60),
            floor: Duration::from_secs(1),
            lookup: Duration::from_secs(15),
        }
    }
}

/// The functions of one gateway.
pub struct OpenFaas {
    config: Config,
    client: Arc<Client>,
    callbacks: Option<CallbackSigner>,
    timing: Timing,
    map: map::FunctionMap,
    spare: invoke::Spare,
}

impl OpenFaas {
    /// Does nothing yet. `callbacks` signs what `callback_url` asks for.
    #[must_use]
    pub fn new(config: Config, status: Arc<ProcessorStatus>, callbacks: Option<CallbackSigner>) -> Self {
        Self::with_timing(config, status, callbacks, Timing::default())
    }

    /// With another timing than the usual one.
    #[must_use]
    pub fn with_timing(
        config: Config,
        status: Arc<ProcessorStatus>,
        callbacks: Option<CallbackSigner>,
        timing: Timing,
    ) -> Self {
        let client = Arc::new(Client::new(config.tls.clone()));
        let gateway = lookup::Gateway::new(Arc::clone(&client), &config, timing.lookup);
        let urls = map::Urls::new(gateway.base(), config.asynchronous);
        let map = map::FunctionMap::new(gateway, urls, timing, status);
        Self { config, client, callbacks, timing, map, spare: invoke::Spare::default() }
    }

    /// What a callback means: the function's own answer, as the queue's worker passes it on.
    async fn called_back(&self, target: &Target, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Outcome {
        self.meaning(target, invoke::Answer { status, headers, body, queued: false }).await
    }
}

#[async_trait]
impl Processor for OpenFaas {
    async fn run(&self, stop: CancellationToken) {
        let mut backoff = Backoff::new(self.timing.retry, self.timing.interval);
        let keep_fresh = async {
            loop {
                let wait = if self.map.refresh().await.is_ok() {
                    backoff.reset();
                    self.timing.interval
                } else {
                    backoff.wait()
                };
                tokio::time::sleep(wait).await;
            }
        };
        stop.run_until_cancelled(keep_fresh).await;
    }

    async fn ready(&self) {
        self.map.ready().await;
    }

    fn routes(&self) -> Arc<dyn Routes> {
        let current: Arc<map::Map> = Arc::clone(&self.map.current());
        current
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits { events: 1, bytes: usize::MAX }
    }

    async fn attempt(&self, target: &Target, batch: &[Delivery]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for delivery in batch {
            outcomes.push(self.attempt_one(target, delivery).await);
        }
        outcomes
    }

    async fn callback(&self, query: &str, headers: &HeaderMap, body: &[u8]) -> Option<Late> {
        let Callback { processor, position, target, attempt } = self.callbacks.as_ref()?.verify(query)?;
        if processor != *self.config.name {
            return None;
        }
        let status = headers.get(FUNCTION_STATUS).and_then(|status| StatusCode::from_bytes(status.as_bytes()).ok());
        // A queue that does not say how it went failed to call the function.
        let status = status.unwrap_or(StatusCode::BAD_GATEWAY);
        let outcome = self.called_back(&target, status, headers, body).await;
        Some(Late { position, target, attempt, outcome })
    }

    async fn check(&self, report: &mut Report) {
        check::check(self.map.gateway(), &self.config, report).await;
    }
}
