//! Where events go. A processor knows how to make one attempt, and who wants
//! an event; when, how often and in which order is delivery's.

pub mod openfaas;

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::attempt::{BatchLimits, Delivery, Outcome, Target};
use crate::config::{Provider, Section};
use crate::event::Event;

/// The targets of one event.
pub type Targets = Arc<[Target]>;

/// One version of a processor's map or rules.
pub trait Routes: Send + Sync {
    /// Who wants the event.
    fn route(&self, event: &Event) -> Targets;

    /// Whether the target exists. What is owed to one that does not is settled as unsubscribed.
    fn has(&self, target: &Target) -> bool;
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
