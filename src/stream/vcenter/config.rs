//! What a vCenter stream is configured with.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::config::Secret;
use crate::http::TlsOptions;
use crate::vim25::Shape;

/// Where a stream without a checkpoint begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginAt {
    /// With the first login, by vCenter's clock.
    Now,
    /// So long before the first login.
    Ago(Duration),
    /// At this moment: microseconds since 1970.
    At(i64),
}

/// One vCenter stream.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name.
    pub name: Arc<str>,
    /// The SDK's URL.
    pub address: Url,
    /// The CloudEvents source.
    pub source: String,
    /// Who logs in.
    pub username: Secret,
    /// With which password.
    pub password: Secret,
    /// Whom to trust.
    pub tls: TlsOptions,
    /// Where to begin without a checkpoint.
    pub begin: BeginAt,
    /// Only these types of events; all if empty.
    pub event_types: Vec<String>,
    /// The shape of the JSON.
    pub shape: Shape,
}
