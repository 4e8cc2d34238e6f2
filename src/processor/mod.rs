//! Where events go. A processor knows how to make one attempt, and who wants
//! an event; when, how often and in which order is delivery's.

pub mod openfaas;

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderMap;
use tokio_util::sync::CancellationToken;

use crate::attempt::{BatchLimits, Delivery, Outcome, Position, Target};
use crate::config::{Provider, Section, delivery};
use crate::event::Event;
use crate::telemetry::ProcessorStatus;

/// The targets of one event.
pub type Targets = Arc<[Target]>;

/// One version of a processor's map or rules.
pub trait Routes: Send + Sync {
    /// Who wants the event.
    fn route(&self, event: &Event) -> Targets;

    /// Whether the target exists. What is owed to one that does not is settled as unsubscribed.
    fn has(&self, target: &Target) -> bool;
}

/// How an accepted event ended, as its target said later.
#[derive(Clone, Debug)]
pub struct Late {
    /// The event's place.
    pub position: Position,
    /// Who says so.
    pub target: Target,
    /// The attempt that is meant.
    pub attempt: u32,
    /// How it ended; anything but [`Outcome::Accepted`].
    pub outcome: Outcome,
}

/// A place where events go.
#[async_trait]
pub trait Processor: Send + Sync {
    /// Keeps the map or rules fresh until stopped. Never ends by itself.
    async fn run(&self, stop: CancellationToken);

    /// Waits until the first map or rules are there. Until then nothing is read:
    /// not ready never means that nobody wants the event.
    async fn ready(&self);

    /// The present version of the map or rules.
    fn routes(&self) -> Arc<dyn Routes>;

    /// What one attempt may carry.
    fn limits(&self) -> BatchLimits;

    /// Makes one attempt at one target. One outcome for each delivery, in their order.
    async fn attempt(&self, target: &Target, batch: &[Delivery]) -> Vec<Outcome>;

    /// Reads what a target says later of an event that it accepted: the query of
    /// the address that it was given, and the headers and body that tell how it
    /// went. None if this processor did not sign it.
    async fn callback(&self, _query: &str, _headers: &HeaderMap, _body: &[u8]) -> Option<Late> {
        None
    }

    /// Connects, looks, and reports, for the `check` command.
    async fn check(&self, report: &mut crate::report::Report);
}

/// Every provider of processors.
pub const PROVIDERS: &[&Provider] = &[&openfaas::PROVIDER];

/// What one processor is told.
#[derive(Clone, Debug)]
pub enum Config {
    /// An OpenFaaS gateway.
    OpenFaas(openfaas::Config),
}

impl Config {
    /// What the processor is known by.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::OpenFaas(config) => &config.name,
        }
    }

    /// Its provider.
    #[must_use]
    pub fn provider(&self) -> &'static str {
        match self {
            Self::OpenFaas(_) => openfaas::PROVIDER.name,
        }
    }

    /// Its address, without credentials.
    #[must_use]
    pub fn address(&self) -> &str {
        match self {
            Self::OpenFaas(config) => config.address.as_str(),
        }
    }

    /// How its events are delivered.
    #[must_use]
    pub fn delivery(&self) -> &delivery::Options {
        match self {
            Self::OpenFaas(config) => &config.delivery,
        }
    }
}

/// The processor of an entry. Nothing if there is no such provider; what is wrong is noted in the section.
pub fn parse(section: &mut Section) -> Option<Config> {
    let known: Vec<_> = PROVIDERS.iter().map(|provider| provider.name).collect();
    match section.provider() {
        "openfaas" => return Some(Config::OpenFaas(openfaas::Config::parse(section))),
        "aws_event_bridge" => section.provider_of_later(&known),
        _ => section.unknown_provider(&known),
    }
    None
}

/// A processor as configured, that does nothing yet. `key` signs what it asks its targets to call back with.
#[must_use]
pub fn build(config: Config, status: Arc<ProcessorStatus>, key: &[u8; 32]) -> Arc<dyn Processor> {
    match config {
        Config::OpenFaas(config) => {
            let callbacks = openfaas::CallbackSigner::new(key);
            Arc::new(openfaas::OpenFaas::new(config, status, Some(callbacks)))
        }
    }
}
