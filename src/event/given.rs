//! An event that somebody wrote, as JSON.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Event, Parts, Span, narrow, span};

/// It is no CloudEvent in structured JSON.
#[derive(Debug, thiserror::Error)]
#[error("this is no CloudEvent: {0}")]
pub struct GivenError(String);

#[derive(Deserialize)]
struct Given<'a> {
    id: String,
    source: String,
    specversion: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    time: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Event {
    /// An event as it was written: a CloudEvent in structured JSON, whose `data` is JSON. It is of the stream that its
    /// source names, and receivers get it unchanged.
    ///
    /// # Errors
    /// It is no such event.
    pub fn from_json(json: &[u8]) -> Result<Self, GivenError> {
        let given: Given<'_> = serde_json::from_slice(json).map_err(|error| GivenError(error.to_string()))?;
        for (name, text) in [("id", &given.id), ("source", &given.source), ("type", &given.kind)] {
            if text.is_empty() {
                return Err(GivenError(format!("its {name} is empty")));
            }
        }
        if given.specversion != "1.0" {
            return Err(GivenError(format!("its specversion is {:?}, and must be \"1.0\"", given.specversion)));
        }
        let mut bytes = json.to_vec();
        let mut part = |text: &str| -> Span {
            let part = span(bytes.len(), text.len());
            bytes.extend_from_slice(text.as_bytes());
            part
        };
        let (id, kind, subject, time) = (part(&given.id), part(&given.kind), part(&given.subject), part(&given.time));
        let data = part(given.data.get());
        let parts = Parts {
            stream: Arc::from(given.source),
            json: narrow(json.len()),
            id,
            kind,
            subject,
            time,
            entity: Span::default(),
            data,
            key: None,
            created: None,
            bytes: Bytes::from(bytes),
        };
        Ok(Self(Arc::new(parts)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_taken_as_it_was_written() {
        let json = br#" {"specversion": "1.0", "id": "a\"b", "source": "https://vc/sdk", "type": "t", "ext": 7,
            "subject": "VmPoweredOnEvent", "data": {"Key": 7}} "#;
        let event = Event::from_json(json).unwrap();
        assert_eq!(event.json(), &json[..]);
        assert_eq!((event.id(), event.kind(), event.subject()), ("a\"b", "t", "VmPoweredOnEvent"));
        assert_eq!(event.source(), "https://vc/sdk");
        assert_eq!((event.time(), &*event.data(), &**event.stream()), ("", &br#"{"Key": 7}"#[..], "https://vc/sdk"));
    }

    #[test]
    fn what_is_no_event_is_refused_with_a_reason() {
        for (json, why) in [
            ("", "EOF"),
            ("[]", "invalid"),
            (r#"{"specversion":"1.0","source":"s","type":"t","data":1}"#, "missing field `id`"),
            (r#"{"specversion":"1.0","id":"","source":"s","type":"t","data":1}"#, "its id is empty"),
            (r#"{"specversion":"0.3","id":"1","source":"s","type":"t","data":1}"#, "its specversion is \"0.3\""),
            (r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#, "missing field `data`"),
        ] {
            let error = Event::from_json(json.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("this is no CloudEvent: ") && error.contains(why), "{json}: {error}");
        }
    }
}
