//! The whole configuration.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::config::document::At;
use crate::config::{self, Loaded, Problems, Provider, SectionKind};
use crate::journal::Configured;
use crate::{admin, journal, processor, stream};

/// Every provider: what the schema and the documentation are held against.
pub const PROVIDERS: [&[&Provider]; 4] =
    [stream::PROVIDERS, processor::PROVIDERS, &[&admin::config::PROVIDER], journal::config::PROVIDERS];

/// The whole configuration, found to be right.
#[derive(Clone, Debug)]
pub struct RouterConfig {
    /// Where events come from; at least one.
    pub streams: Vec<stream::Config>,
    /// Where they go; at least one.
    pub processors: Vec<processor::Config>,
    /// The metrics server.
    pub metrics: admin::config::Config,
    /// Where events wait.
    pub journal: journal::config::Config,
}

impl RouterConfig {
    /// Reads a configuration file.
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        Self::build(config::load(path))
    }

    /// Reads a configuration as if it came from `file`.
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, Problems> {
        Self::build(config::parse(file, bytes))
    }

    /// What is configured, by name.
    #[must_use]
    pub fn configured(&self) -> Configured {
        Configured {
            streams: self.streams.iter().map(|config| Arc::clone(config.name())).collect(),
            processors: self.processors.iter().map(|config| Arc::clone(config.name())).collect(),
        }
    }

    fn build(Loaded { sections, mut problems }: Loaded) -> Result<Self, Problems> {
        let (mut streams, mut processors) = (Vec::new(), Vec::new());
        let (mut metrics, mut journal) = (None, None);
        let mut identities: HashMap<Arc<str>, At> = HashMap::new();
        for mut section in sections {
            let mut identity = None;
            match section.kind() {
                SectionKind::Stream => {
                    if let Some(config) = stream::parse(&mut section) {
                        identity = Some(Arc::clone(config.name()));
                        streams.push(config);
                    }
                }
                SectionKind::Processor => {
                    if let Some(config) = processor::parse(&mut section) {
                        identity = Some(Arc::clone(config.name()));
                        processors.push(config);
                    }
                }
                SectionKind::Metrics => metrics = Some(admin::config::Config::parse(&mut section)),
                SectionKind::Journal => journal = Some(journal::config::Config::parse(&mut section)),
            }
            let at = section.at();
            let wrong = section.into_problems();
            // Two wrong addresses are not the same one.
            if let Some(identity) = identity.filter(|_| !wrong.iter().any(|problem| problem.key == "address")) {
                if let Some(first) = identities.get(&identity) {
                    problems.push(config::same_identity(at, &identity, *first));
                } else {
                    identities.insert(identity, at);
                }
            }
            problems.extend(wrong);
        }
        match metrics {
            Some(metrics) if problems.is_empty() => {
                Ok(Self { streams, processors, metrics, journal: journal.unwrap_or_default() })
            }
            _ => Err(problems),
        }
    }
}
