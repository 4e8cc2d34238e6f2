//! A vCenter in the binary, and a small function gateway: for the demo, for load, and for every fault that a real
//! vCenter cannot be asked for.
//!
//! Nothing here knows how the router reads or delivers: what the simulator does follows what is known of real servers
//! (`docs/simulator.md` says what, and where it is a guess).

#![allow(dead_code, reason = "its parts come one after another")]

mod body;
pub mod gateway;
mod value;
pub mod vcenter;
mod world;

pub use body::Body;
pub use world::{Size, subjects};
