//! A vCenter in the binary, and a small function gateway: for the demo, for load, and for every fault that a real
//! vCenter cannot be asked for.
//!
//! Nothing here knows how the router reads or delivers: what the simulator does follows what is known of real servers
//! (`docs/simulator.md` says what, and where it is a guess).

mod body;
pub mod gateway;
mod value;
pub mod vcenter;
mod world;

pub use body::Body;
pub use world::{Size, subjects};
