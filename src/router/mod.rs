//! The router: starts, watches, drains.

mod config;
#[cfg(test)]
mod config_tests;

pub use config::{PROVIDERS, RouterConfig};
