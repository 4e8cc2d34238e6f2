//! The one integration binary: a module per behaviour, and `support` for the peers that they talk to.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may fail by panicking; that is what they are for")]

mod support;

mod admin;
mod backlog;
mod check;
mod command_line;
mod crash;
mod damage;
mod decode;
mod demo;
mod disk;
mod event_bridge;
mod gateway;
mod http;
mod journal;
mod matching;
mod openfaas;
mod operate;
mod oracle;
mod past;
mod patterns;
mod payload;
mod power;
mod replay;
mod router;
mod simulator;
mod story;
mod tidy;
mod vcenter;
