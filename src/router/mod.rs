//! The router: starts, watches, drains.

mod config;

pub use config::{PROVIDERS, RouterConfig};
