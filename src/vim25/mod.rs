//! What vSphere speaks: SOAP on the wire, the table of its types, and the way from an XML event to its JSON payload.

mod careful;
mod json;
mod plan;
mod schema;
pub mod soap;
mod straight;
mod transcode;
mod value;
pub mod xml;

pub(crate) use schema::{Kind, describe};
pub use schema::{Shape, UnknownShape};
pub use transcode::{Created, Decoded, Decoder, EventKind, PageError, PageSummary, Unread};
