//! The functions of one OpenFaaS gateway.

mod config;

pub use config::{Config, PROVIDER};
