//! The metrics server: `/stats`, `/metrics`, `/healthz`, `/readyz`.

pub mod config;
