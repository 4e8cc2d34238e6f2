//! The VMware Event Router: reads every event of VMware vCenter Servers and
//! delivers each as a CloudEvent to functions and buses.
//!
//! ```text
//! vCenter -SOAP-> stream -batch + checkpoint-> journal -cursor-> delivery -attempt-> processor -HTTP-> functions
//! ```
//!
//! Modules in reading order; imports point upwards in this list only.

pub mod event;

pub mod attempt;
pub mod backoff;
pub mod config;
pub mod http;
pub mod pattern;
pub mod report;
pub mod telemetry;

pub mod vim25;

pub mod simulator;

pub mod journal;
pub mod stream;

pub mod processor;

pub mod delivery;

pub mod admin;

pub mod router;

pub mod cli;
