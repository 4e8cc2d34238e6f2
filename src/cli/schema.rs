//! `schema`: prints the JSON Schema of the configuration.

use std::process::ExitCode;

use crate::config::schema;
use crate::router::PROVIDERS;

pub(super) fn run() -> ExitCode {
    let schema = schema::schema(PROVIDERS.into_iter().flatten().copied());
    super::print(&format!("{schema:#}\n"))
}
