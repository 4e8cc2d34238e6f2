//! The one integration binary: a module for each behaviour.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod oracle;
mod payload;
