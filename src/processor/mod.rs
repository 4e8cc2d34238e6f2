//! Where events go. A processor knows how to make one attempt, and who wants
//! an event; when, how often and in which order is delivery's.

pub mod event_bridge;
pub mod openfaas;

use std::sync::Arc;
use std::time::Duration;

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

    /// What an event counts against the bytes of [`Processor::limits`].
    fn weight(&self, event: &Event) -> usize {
        event.size()
    }

    /// How long an event may wait, once it could go, for others to fill its batch, while another attempt at its target
    /// is under way.
    fn linger(&self) -> Duration {
        Duration::ZERO
    }

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

    /// Sends an event that says it is a test, and reports what came of it.
    async fn send_test(&self, report: &mut crate::report::Report) {
        report.warn("no test event is sent here: \"send -target NAME FILE\" sends one to a target of your choice");
    }
}

/// How much of what others say is shown.
const MOST_TEXT: usize = 512;

/// Text of others as one line that a terminal and a log can show.
fn one_line(text: &str) -> String {
    let printable = text.split(|c: char| c.is_control() || c.is_whitespace());
    printable.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The beginning of a body, for people: one line of printable text.
fn excerpt(body: &[u8]) -> String {
    one_line(&String::from_utf8_lossy(&body[..body.len().min(MOST_TEXT)]))
}

/// Every provider of processors.
pub const PROVIDERS: &[&Provider] = &[&openfaas::PROVIDER, &event_bridge::PROVIDER];

/// What one processor is told.
#[derive(Clone, Debug)]
pub enum Config {
    /// An OpenFaaS gateway.
    OpenFaas(openfaas::Config),
    /// An event bus of AWS.
    EventBridge(event_bridge::Config),
}

impl Config {
    /// What the processor is known by.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::OpenFaas(config) => &config.name,
            Self::EventBridge(config) => &config.name,
        }
    }

    /// Its provider.
    #[must_use]
    pub fn provider(&self) -> &'static str {
        match self {
            Self::OpenFaas(_) => openfaas::PROVIDER.name,
            Self::EventBridge(_) => event_bridge::PROVIDER.name,
        }
    }

    /// Its address, without credentials.
    #[must_use]
    pub fn address(&self) -> &str {
        match self {
            Self::OpenFaas(config) => config.address.as_str(),
            Self::EventBridge(config) => &config.address,
        }
    }

    /// How its events are delivered.
    #[must_use]
    pub fn delivery(&self) -> &delivery::Options {
        match self {
            Self::OpenFaas(config) => &config.delivery,
            Self::EventBridge(config) => &config.delivery,
        }
    }
}

/// The processor of an entry. Nothing if there is no such provider; what is wrong is noted in the section.
pub fn parse(section: &mut Section) -> Option<Config> {
    let known: Vec<_> = PROVIDERS.iter().map(|provider| provider.name).collect();
    match section.provider() {
        "openfaas" => Some(Config::OpenFaas(openfaas::Config::parse(section))),
        "aws_event_bridge" => Some(Config::EventBridge(event_bridge::Config::parse(section))),
        _ => {
            section.unknown_provider(&known);
            None
        }
    }
}

/// A processor as configured, that does nothing yet. `key` signs what it asks its targets to call back with.
#[must_use]
pub fn build(config: Config, status: Arc<ProcessorStatus>, key: &[u8; 32]) -> Arc<dyn Processor> {
    match config {
        Config::OpenFaas(config) => {
            let callbacks = openfaas::CallbackSigner::new(key);
            Arc::new(openfaas::OpenFaas::new(config, status, Some(callbacks)))
        }
        Config::EventBridge(config) => Arc::new(event_bridge::EventBridge::new(config, status)),
    }
}
