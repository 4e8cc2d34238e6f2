//! The journal in a folder: durable, and nothing to install.

mod batch;
mod disk;
mod frame;
mod log;
#[cfg(test)]
mod model;
mod place;
mod scan;
