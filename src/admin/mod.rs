//! What people and probes ask the router: `/stats`, `/metrics`, `/healthz`, `/readyz`; and where callbacks arrive.

pub mod api;
pub mod config;
mod process;
mod server;
pub mod socket;
mod stats;

pub use process::{Figures, Process};
pub use server::{Admin, Callbacks, Server};
