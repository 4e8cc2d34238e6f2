//! The event: one CloudEvent, rendered once and never copied again.
//!
//! An [`Event`] is a slice of a buffer that many events of its page were written into.
//! The slice begins with the structured CloudEvents JSON, exactly the bytes
//! that receivers get; behind it follow, unescaped, the few header strings
//! that cannot be cut out of that JSON. Cloning an event counts a reference.

mod given;
mod json;
pub(crate) mod stored;

pub use given::GivenError;
pub use json::write_json_string;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ring::digest;
use serde::Deserialize;
use uuid::Uuid;

use json::needs_escape;

/// The prefix of the `type` attribute of every event that the router makes.
pub const TYPE_PREFIX: &str = "com.vmware.event.router/";

/// The media type of [`Event::json`].
pub const CLOUDEVENTS_JSON: &str = "application/cloudevents+json";

/// Where a header string lies in an event's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: u32,
    len: u32,
}

/// One CloudEvent in structured JSON, and what the router needs to know of it.
#[derive(Clone)]
pub struct Event(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    bytes: Bytes,
    stream: Arc<str>,
    json: u32,
    id: Span,
    kind: Span,
    subject: Span,
    time: Span,
    entity: Span,
    data: Span,
    key: Option<i32>,
    created: Option<i64>,
}

impl Event {
    fn part(&self, span: Span) -> &[u8] {
        let start = span.start as usize;
        &self.0.bytes[start..start + span.len as usize]
    }

    fn text(&self, span: Span) -> &str {
        // Every span is written by `PageBuilder` around whole strings.
        std::str::from_utf8(self.part(span)).unwrap_or_default()
    }

    /// The whole CloudEvent in structured JSON, as receivers get it.
    #[must_use]
    pub fn json(&self) -> Bytes {
        self.0.bytes.slice(..self.0.json as usize)
    }

    /// The `data` attribute alone: one JSON value.
    #[must_use]
    pub fn data(&self) -> Bytes {
        let data = self.0.data;
        let start = data.start as usize;
        self.0.bytes.slice(start..start + data.len as usize)
    }

    /// The CloudEvents `id`.
    #[must_use]
    pub fn id(&self) -> &str {
        self.text(self.0.id)
    }

    /// The same as bytes.
    #[must_use]
    pub fn id_bytes(&self) -> &[u8] {
        self.part(self.0.id)
    }

    /// The CloudEvents `type`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.text(self.0.kind)
    }

    /// The CloudEvents `source`. It is cut out of the JSON, where it follows the id unless somebody else wrote that.
    #[must_use]
    pub fn source(&self) -> Cow<'_, str> {
        const NAME: &[u8] = b"\",\"source\":\"";
        let json = &self.0.bytes[..self.0.json as usize];
        let id = self.0.id;
        let value = json.get((id.start + id.len) as usize..).and_then(|rest| rest.strip_prefix(NAME));
        if let Some(value) = value
            && let Some(end) = memchr::memchr2(b'"', b'\\', value)
            && value[end] == b'"'
            && let Ok(source) = std::str::from_utf8(&value[..end])
        {
            return Cow::Borrowed(source);
        }
        #[derive(Deserialize)]
        struct Source {
            source: String,
        }
        // Every event has one.
        serde_json::from_slice(json).map_or(Cow::Borrowed(""), |Source { source }| Cow::Owned(source))
    }

    /// The CloudEvents `subject`: what functions subscribe to. Empty if the event has none.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.text(self.0.subject)
    }

    /// The same as bytes: what is only compared need not be looked through as text again.
    #[must_use]
    pub fn subject_bytes(&self) -> &[u8] {
        self.part(self.0.subject)
    }

    /// The CloudEvents `time`, RFC 3339. Empty if the event has none.
    #[must_use]
    pub fn time(&self) -> &str {
        self.text(self.0.time)
    }

    /// The configured stream that read this event.
    #[must_use]
    pub fn stream(&self) -> &Arc<str> {
        &self.0.stream
    }

    /// The entity whose events stay in order, such as `VirtualMachine:vm-56`;
    /// empty for an event without one, which is unordered.
    #[must_use]
    pub fn entity(&self) -> &str {
        self.text(self.0.entity)
    }

    /// The same as bytes.
    #[must_use]
    pub fn entity_bytes(&self) -> &[u8] {
        self.part(self.0.entity)
    }

    /// vCenter's event key, where it could be read.
    #[must_use]
    pub fn key(&self) -> Option<i32> {
        self.0.key
    }

    /// CreatedTime in microseconds since 1970, where it could be read.
    #[must_use]
    pub fn created(&self) -> Option<i64> {
        self.0.created
    }

    /// What the event occupies in memory and counts against the journal's bound, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.bytes.len() + size_of::<Parts>()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id())
            .field("subject", &self.subject())
            .field("time", &self.time())
            .field("stream", self.stream())
            .finish_non_exhaustive()
    }
}

/// The attributes of one event, all unescaped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes<'a> {
    /// CloudEvents `id`.
    pub id: &'a str,
    /// CloudEvents `type`.
    pub kind: &'a str,
    /// CloudEvents `subject`; left out if empty.
    pub subject: &'a str,
    /// CloudEvents `time`; left out if empty.
    pub time: &'a str,
    /// The entity whose events stay in order, if any.
    pub entity: &'a str,
    /// vCenter's event key.
    pub key: Option<i32>,
    /// CreatedTime in microseconds since 1970.
    pub created: Option<i64>,
}

/// How much the events that share one buffer take, unless a single one takes more. The buffer lives as long as the last
/// of them: were it as large as a page, one event that waits would keep a thousand that are delivered.
const BUFFER: usize = 64 * 1024;

/// Writes a page of events into few buffers.
#[derive(Debug)]
pub struct PageBuilder {
    stream: Arc<str>,
    /// `","source":"...","specversion":"1.0","type":"`, the same in every event of the page.
    after_id: Vec<u8>,
    /// What follows `data`: `,"datacontenttype":...` and the extensions.
    after_data: Vec<u8>,
    buffer: BytesMut,
    /// Events in the buffer, each with where it begins.
    open: Vec<(usize, Parts)>,
    events: Vec<Event>,
}

impl PageBuilder {
    /// A page of events of `stream`, all with the same `source` and `extensions`
    /// (name and value; names are lower-case letters and digits).
    #[must_use]
    pub fn new(stream: Arc<str>, source: &str, extensions: &[(&str, &str)]) -> Self {
        let mut after_id = b",\"source\":".to_vec();
        write_json_string(&mut after_id, source);
        after_id.extend_from_slice(b",\"specversion\":\"1.0\",\"type\":");
        let mut after_data = b",\"datacontenttype\":\"application/json\"".to_vec();
        for (name, value) in extensions {
            after_data.push(b',');
            write_json_string(&mut after_data, name);
            after_data.push(b':');
            write_json_string(&mut after_data, value);
        }
        after_data.push(b'}');
        Self { stream, after_id, after_data, buffer: BytesMut::new(), open: Vec::new(), events: Vec::new() }
    }

    /// Adds one event whose `data` is the given JSON value.
    pub fn push(&mut self, attributes: &Attributes<'_>, data: &[u8]) {
        let strings = attributes.id.len() + attributes.subject.len() + attributes.entity.len();
        let room = data.len() + 3 * strings + self.after_id.len() + self.after_data.len() + 192;
        let full = !self.open.is_empty() && self.buffer.len() + room > BUFFER;
        if full {
            self.cut();
        }
        // Where one buffer was filled, the next one most likely is.
        self.buffer.reserve(if full { room.max(BUFFER) } else { room });
        let start = self.buffer.len();
        let mut tail: [Option<&str>; 4] = [None; 4];

        let mut text = |buffer: &mut BytesMut, name: &[u8], value, slot: usize| {
            buffer.extend_from_slice(name);
            let at = buffer.len() + 1;
            if needs_escape(value) {
                let mut written = Vec::new();
                write_json_string(&mut written, value);
                buffer.extend_from_slice(&written);
                tail[slot] = Some(value);
                Span::default()
            } else {
                buffer.extend_from_slice(b"\"");
                buffer.extend_from_slice(value.as_bytes());
                buffer.extend_from_slice(b"\"");
                span(at - start, value.len())
            }
        };
        let mut id = text(&mut self.buffer, b"{\"id\":", attributes.id, 0);
        let mut kind = text(&mut self.buffer, &self.after_id, attributes.kind, 1);
        let mut subject = Span::default();
        if !attributes.subject.is_empty() {
            subject = text(&mut self.buffer, b",\"subject\":", attributes.subject, 2);
        }
        let mut time = Span::default();
        if !attributes.time.is_empty() {
            time = text(&mut self.buffer, b",\"time\":", attributes.time, 3);
        }
        self.buffer.extend_from_slice(b",\"data\":");
        let data_span = span(self.buffer.len() - start, data.len());
        self.buffer.extend_from_slice(data);
        self.buffer.extend_from_slice(&self.after_data);
        let json = self.buffer.len() - start;
        for (slot, span_of) in [(0, &mut id), (1, &mut kind), (2, &mut subject), (3, &mut time)] {
            if let Some(value) = tail[slot] {
                *span_of = span(self.buffer.len() - start, value.len());
                self.buffer.extend_from_slice(value.as_bytes());
            }
        }
        let entity = span(self.buffer.len() - start, attributes.entity.len());
        self.buffer.extend_from_slice(attributes.entity.as_bytes());

        let parts = Parts {
            bytes: Bytes::new(),
            stream: Arc::clone(&self.stream),
            json: narrow(json),
            id,
            kind,
            subject,
            time,
            entity,
            data: data_span,
            key: attributes.key,
            created: attributes.created,
        };
        self.open.push((start, parts));
    }

    /// How many events have been added.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len() + self.open.len()
    }

    /// Whether no event has been added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The events in the order in which they were added; the builder begins a new page.
    pub fn finish(&mut self) -> Vec<Event> {
        self.cut();
        std::mem::take(&mut self.events)
    }

    /// Gives the events in the buffer their parts of it.
    fn cut(&mut self) {
        let buffer = std::mem::take(&mut self.buffer).freeze();
        let mut end = buffer.len();
        let before = self.events.len();
        for (start, mut parts) in self.open.drain(..).rev() {
            parts.bytes = buffer.slice(start..end);
            end = start;
            self.events.push(Event(Arc::new(parts)));
        }
        self.events[before..].reverse();
    }
}

/// The id of an event: a name-based UUID of the vCenter's instance UUID, the
/// event's key and its CreatedTime, in milliseconds since 1970.
#[must_use]
pub fn event_id(instance: Uuid, key: i32, created_micros: i64) -> Uuid {
    let mut name = [0u8; 40];
    let mut digits = itoa::Buffer::new();
    let mut len = 0;
    for part in [digits.format(key).as_bytes(), b"/"] {
        name[len..len + part.len()].copy_from_slice(part);
        len += part.len();
    }
    let millis = digits.format(created_micros.div_euclid(1000)).as_bytes();
    name[len..len + millis.len()].copy_from_slice(millis);
    named(instance, &name[..len + millis.len()])
}

/// The id of an event whose key or time cannot be read: of its raw XML.
#[must_use]
pub fn raw_event_id(instance: Uuid, raw: &[u8]) -> Uuid {
    named(instance, raw)
}

/// The name-based UUID (version 5), as `Uuid::new_v5` makes it. Every event has one, and ring knows the processor's own
/// instructions for the digest.
fn named(namespace: Uuid, name: &[u8]) -> Uuid {
    let mut digest = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(namespace.as_bytes());
    digest.update(name);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.finish().as_ref()[..16]);
    uuid::Builder::from_sha1_bytes(bytes).into_uuid()
}

fn span(start: usize, len: usize) -> Span {
    Span { start: narrow(start), len: narrow(len) }
}

/// Bodies are bounded far below 4 GiB where they are read.
fn narrow(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes<'a>() -> Attributes<'a> {
        Attributes {
            id: "08179137-b8e0-4973-b05f-8f212bf5003b",
            kind: "com.vmware.event.router/event",
            subject: "VmPoweredOffEvent",
            time: "2020-02-11T21:29:54.9052539Z",
            entity: "VirtualMachine:vm-56",
            key: Some(9902),
            created: Some(1_581_456_594_905_253),
        }
    }

    #[test]
    fn an_event_is_the_seed_s_envelope_in_the_seed_s_order() {
        let mut page = PageBuilder::new("vc".into(), "https://10.0.0.1:443/sdk", &[]);
        page.push(&attributes(), br#"{"Key":9902}"#);
        let event = page.finish().remove(0);
        assert_eq!(
            event.json(),
            concat!(
                r#"{"id":"08179137-b8e0-4973-b05f-8f212bf5003b","source":"https://10.0.0.1:443/sdk","specversion":"1.0","#,
                r#""type":"com.vmware.event.router/event","subject":"VmPoweredOffEvent","time":"2020-02-11T21:29:54.9052539Z","#,
                r#""data":{"Key":9902},"datacontenttype":"application/json"}"#
            )
        );
        assert_eq!(event.data(), r#"{"Key":9902}"#);
        assert_eq!(event.id(), "08179137-b8e0-4973-b05f-8f212bf5003b");
        assert_eq!(event.entity(), "VirtualMachine:vm-56");
        assert_eq!((event.subject(), event.time()), ("VmPoweredOffEvent", "2020-02-11T21:29:54.9052539Z"));
        assert!(matches!(event.source(), Cow::Borrowed("https://10.0.0.1:443/sdk")), "{}", event.source());
    }

    #[test]
    fn strings_that_json_escapes_are_kept_unescaped_for_routing() {
        let mut page = PageBuilder::new("vc".into(), "s\"", &[("vsphereapiversion", "8.0")]);
        page.push(&Attributes { subject: "a\"b\\c\u{1}ü", entity: "Folder:\"", ..attributes() }, b"{}");
        page.push(&Attributes { subject: "", time: "", entity: "", ..attributes() }, b"null");
        let events = page.finish();
        assert_eq!((events[0].subject(), events[0].entity()), ("a\"b\\c\u{1}ü", "Folder:\""));
        let json: serde_json::Value = serde_json::from_slice(&events[0].json()).unwrap();
        assert_eq!(json["subject"], "a\"b\\c\u{1}ü");
        assert_eq!(json["source"], "s\"");
        assert_eq!(events[0].source(), "s\"");
        assert_eq!(json["vsphereapiversion"], "8.0");
        let json: serde_json::Value = serde_json::from_slice(&events[1].json()).unwrap();
        assert!(json.get("subject").is_none() && json.get("time").is_none() && json["data"].is_null());
        assert!(page.is_empty() && page.finish().is_empty());
    }

    #[test]
    fn a_page_of_any_length_comes_out_as_it_went_in() {
        let mut page = PageBuilder::new("vc".into(), "s", &[]);
        let data = |n: usize| format!("\"{}\"", "x".repeat(if n == 50 { 3 * BUFFER } else { 10 * n }));
        for n in 0..300 {
            page.push(&Attributes { id: &n.to_string(), subject: "a\"b", ..attributes() }, data(n).as_bytes());
            assert_eq!(page.len(), n + 1);
        }
        let events = page.finish();
        assert!(page.is_empty() && events.len() == 300);
        for (n, event) in events.iter().enumerate() {
            assert_eq!((event.id(), event.subject()), (n.to_string().as_str(), "a\"b"));
            assert_eq!(event.data(), data(n));
            assert!(event.json().starts_with(b"{\"id\":") && event.json().ends_with(b"\"application/json\"}"));
        }
    }

    #[test]
    fn ids_are_the_same_for_ever() {
        let instance = Uuid::parse_str("dbed6e0c-bd88-4ef6-b594-21283e1c677f").unwrap();
        let id = event_id(instance, -7, 1_581_456_594_905_253);
        assert_eq!(id, Uuid::new_v5(&instance, b"-7/1581456594905"));
        assert_ne!(id, event_id(instance, -7, 1_581_456_594_906_253));
        assert_eq!(event_id(instance, i32::MIN, i64::MIN).get_version_num(), 5);
        for length in 0..200 {
            let raw = vec![b'x'; length];
            assert_eq!(raw_event_id(instance, &raw), Uuid::new_v5(&instance, &raw));
        }
    }
}
