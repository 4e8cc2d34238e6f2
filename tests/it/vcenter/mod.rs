//! The vCenter stream, against govmomi's simulator and against a server that misbehaves on purpose.

mod check;
mod faults;
mod simulator;
