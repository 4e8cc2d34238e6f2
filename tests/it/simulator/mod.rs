//! Our own simulator: judged by clients that are not ours, and then the judge of the router.

mod command;
mod disturbances;
mod judges;
mod payload;
mod server;
mod storms;
