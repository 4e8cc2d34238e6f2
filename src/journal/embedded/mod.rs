//! What the journal in a folder stands on: a log in segments, what is kept in it, and the places of its readers.

#![allow(dead_code, reason = "the engine that puts these together is not there yet")]

mod batch;
mod disk;
mod frame;
mod log;
#[cfg(test)]
mod model;
mod place;
mod scan;
