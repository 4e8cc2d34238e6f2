//! What vSphere speaks: SOAP on the wire, the table of its types, and the way from an XML event to its JSON payload.

mod schema;
pub mod xml;

pub use schema::{Shape, UnknownShape};
