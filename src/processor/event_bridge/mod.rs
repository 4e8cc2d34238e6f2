//! One event bus of AWS EventBridge.
//!
//! `rules` knows which events the bus is for, as `client` reads it from AWS;
//! `put` makes one attempt, with events as `entry` has them and `body` writes
//! them, which the thread of `worker` sends; `failure` is what AWS's errors
//! mean. When and in which order attempts are made is
//! delivery's.

mod arn;
mod body;
mod check;
mod client;
mod config;
mod connector;
mod entry;
mod failure;
mod put;
mod rules;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

pub use arn::{Bus, RuleArn};
pub use config::{AccessKey, Config, PROVIDER, Role};

use crate::attempt::{BatchLimits, Delivery, Outcome, Target};
use crate::backoff::Backoff;
use crate::event::Event;
use crate::pattern::Part;
use crate::processor::{Processor, Routes};
use crate::report::Report;
use crate::telemetry::ProcessorStatus;

/// The first wait after the rules could not be read; doubles up to a minute, or to the interval if that is less.
const RETRY: Duration = Duration::from_secs(1);
const MOST_RETRY: Duration = Duration::from_secs(60);

/// Shows an event as a rule of some bus sees it: within AWS's envelope, of which account and region are not known.
pub fn as_a_rule_sees<T>(event: &Event, see: impl FnOnce(&[(&str, Part<'_>)]) -> T) -> T {
    entry::with_envelope(event, None, see)
}

/// One event bus.
pub struct EventBridge {
    config: Config,
    aws: Arc<client::Aws>,
    put: put::Put,
    rules: rules::Rules,
}

impl EventBridge {
    /// Does nothing yet.
    #[must_use]
    pub fn new(config: Config, status: Arc<ProcessorStatus>) -> Self {
        let aws = Arc::new(client::Aws::new(&config));
        let put = put::Put {
            aws: Arc::clone(&aws),
            processor: Arc::clone(&config.name),
            bus: config.bus.text.clone(),
            most_bytes: config.max_request_bytes,
            worker: worker::Worker::default(),
        };
        let rules = rules::Rules::new(&config, status);
        Self { config, aws, put, rules }
    }

    /// Reads the rules once. Whether what came can be used.
    async fn sync(&self) -> bool {
        let sdk = self.aws.sdk().await;
        let (listed, caller) = tokio::join!(rules::list(&sdk, &self.config), rules::caller(&sdk, &self.config));
        if let Err(failure) = &listed
            && failure.kind == failure::Kind::Credentials
        {
            self.aws.refused(&sdk).await;
        }
        self.rules.take(&self.config, listed, caller.as_deref()).await
    }
}

#[async_trait]
impl Processor for EventBridge {
    async fn run(&self, stop: CancellationToken) {
        if self.config.all_events {
            self.rules.settled();
            return stop.cancelled().await;
        }
        let interval = self.config.sync_interval;
        let mut backoff = Backoff::new(RETRY.min(interval), MOST_RETRY.min(interval));
        let keep_fresh = async {
            loop {
                let wait = if self.sync().await {
                    backoff.reset();
                    interval
                } else {
                    backoff.wait()
                };
                tokio::time::sleep(wait).await;
            }
        };
        stop.run_until_cancelled(keep_fresh).await;
    }

    async fn ready(&self) {
        self.rules.ready().await;
    }

    fn routes(&self) -> Arc<dyn Routes> {
        self.rules.current()
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits { events: put::MOST_ENTRIES, bytes: self.config.max_request_bytes }
    }

    fn weight(&self, event: &Event) -> usize {
        entry::weight(event)
    }

    fn linger(&self) -> Duration {
        self.config.batch_delay
    }

    /// The bus is the only target.
    async fn attempt(&self, _target: &Target, batch: &[Delivery]) -> Vec<Outcome> {
        self.put.put(batch).await
    }

    async fn check(&self, report: &mut Report) {
        check::check(self, report).await;
    }

    async fn send_test(&self, report: &mut Report) {
        check::send_test(self, report).await;
    }
}
