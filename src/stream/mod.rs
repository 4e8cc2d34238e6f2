//! Where events come from.

pub mod vcenter;

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use crate::config::{Provider, Section};
use crate::event::Event;
use crate::journal::Appender;

/// A source of events. It runs until [`Appender::stop`] is cancelled: whatever
/// upstream does, it comes back.
#[async_trait]
pub trait EventStream: Send {
    /// Reads upstream and appends. Returns early only with what no waiting can
    /// mend; the router then starts it again with backoff.
    async fn run(&mut self, out: &Appender) -> Result<(), StreamError>;

    /// Connects, looks, and reports, for the `check` command.
    async fn check(&mut self, report: &mut crate::report::Report);
}

/// Why a stream ended by itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StreamError(pub String);

/// Every provider of streams.
pub const PROVIDERS: &[&Provider] = &[&vcenter::PROVIDER];

/// What one stream is told.
#[derive(Clone, Debug)]
pub enum Config {
    /// A vCenter Server.
    Vcenter(vcenter::Config),
}

impl Config {
    /// What the stream is known by.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Vcenter(config) => &config.name,
        }
    }

    /// Its provider.
    #[must_use]
    pub fn provider(&self) -> &'static str {
        match self {
            Self::Vcenter(_) => vcenter::PROVIDER.name,
        }
    }

    /// The event that tells of events that are missing, from and to microseconds since 1970 by upstream's clock.
    #[must_use]
    pub fn gap(&self, instance: Uuid, from: i64, to: i64, reason: &str) -> Event {
        match self {
            Self::Vcenter(config) => vcenter::gap(config, instance, from, to, reason),
        }
    }

    /// Its address, without credentials.
    #[must_use]
    pub fn address(&self) -> &str {
        match self {
            Self::Vcenter(config) => &config.source,
        }
    }
}

/// The stream of an entry. Nothing if there is no such provider; what is wrong is noted in the section.
pub fn parse(section: &mut Section) -> Option<Config> {
    match section.provider() {
        "vmware_vcenter" => Some(Config::Vcenter(vcenter::Config::parse(section))),
        _ => {
            let known: Vec<_> = PROVIDERS.iter().map(|provider| provider.name).collect();
            section.unknown_provider(&known);
            None
        }
    }
}

/// A stream as configured, that does nothing yet.
#[must_use]
pub fn build(config: Config) -> Box<dyn EventStream> {
    match config {
        Config::Vcenter(config) => Box::new(vcenter::VCenter::new(config)),
    }
}
