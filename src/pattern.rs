//! Event patterns: which events are meant.
//!
//! The language is that of AWS EventBridge's event patterns, applied to the CloudEvent as it is sent: a JSON object with
//! the names that must be there, and for each a list of the values, or conditions, of which one must hold.

use std::fmt;

use quamina::Quamina;

use crate::event::Event;

/// A pattern is no longer than this.
const MOST_BYTES: usize = 16 * 1024;

/// Says of events whether they are meant.
pub struct Pattern {
    text: String,
    matcher: Quamina<()>,
}

/// A pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pattern is not understood: {0}")]
pub struct PatternError(String);

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let text = text.trim();
        if text.len() > MOST_BYTES {
            return Err(PatternError(format!("it is longer than {MOST_BYTES} bytes")));
        }
        let mut matcher = Quamina::new();
        matcher.add_pattern((), text).map_err(|error| PatternError(error.to_string()))?;
        Ok(Self { text: text.to_owned(), matcher })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the event is meant.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        // An event is always JSON.
        self.matcher.has_matches(&event.json()).unwrap_or(false)
    }
}

/// One field of a document that is put together of parts.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// A string.
    Text(&'a str),
    /// A list of strings.
    Texts(&'a [&'a str]),
    /// JSON text.
    Json(&'a [u8]),
    /// Something that is there and not known: it has whatever value is asked for.
    Unknown,
}

/// Several patterns, looked for at once.
#[derive(Debug)]
pub struct Patterns(Vec<Pattern>);

impl Patterns {
    /// Of these.
    #[must_use]
    pub fn new(patterns: Vec<Pattern>) -> Self {
        Self(patterns)
    }

    /// The patterns.
    #[must_use]
    pub fn all(&self) -> &[Pattern] {
        &self.0
    }

    /// Whether one of them means the document.
    #[must_use]
    pub fn any(&self, document: &[(&str, Part<'_>)]) -> bool {
        let mut text = b"{".to_vec();
        for (at, (key, part)) in document.iter().enumerate() {
            text.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
            text.extend_from_slice(key.as_bytes());
            text.extend_from_slice(b"\":");
            match part {
                Part::Text(value) => crate::event::write_json_string(&mut text, value),
                Part::Texts(values) => text.extend_from_slice(serde_json::json!(values).to_string().as_bytes()),
                Part::Json(json) => text.extend_from_slice(json),
                Part::Unknown => text.extend_from_slice(b"null"),
            }
        }
        text.push(b'}');
        self.0.iter().any(|pattern| pattern.matcher.has_matches(&text).unwrap_or(false))
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Attributes, PageBuilder};

    #[test]
    fn a_pattern_is_about_the_whole_event() {
        let mut page = PageBuilder::new("vc".into(), "https://vc/sdk", &[]);
        let attributes = Attributes { subject: "VmPoweredOnEvent", ..Attributes::default() };
        page.push(&attributes, br#"{"Vm":{"Name":"web-1"},"Key":7}"#);
        let event = page.finish().remove(0);
        for (pattern, meant) in [
            (r#"{"subject":["VmPoweredOnEvent","VmPoweredOffEvent"]}"#, true),
            (r#"{"subject":["VmPoweredOffEvent"]}"#, false),
            (r#"{"data":{"Vm":{"Name":[{"prefix":"web-"}]}}}"#, true),
            (r#"{"data":{"Vm":{"Name":[{"prefix":"db-"}]}}}"#, false),
            (r#"{"data":{"Key":[{"numeric":[">",6]}],"Host":[{"exists":false}]}}"#, true),
            (r#"{"data":{"Key":[{"numeric":[">",7]}]}}"#, false),
            (r#"{"source":["https://vc/sdk"],"subject":[{"anything-but":["VmPoweredOnEvent"]}]}"#, false),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(&event), meant, "{pattern}");
        }
        for wrong in ["", "[]", "{", r#"{"subject":"VmPoweredOnEvent"}"#, r#"{"subject":[{"begins":"x"}]}"#] {
            let error = Pattern::parse(wrong).unwrap_err();
            assert!(error.to_string().starts_with("the pattern is not understood: "), "{error}");
        }
        assert!(Pattern::parse(&format!("{:40000}", "{}")).is_ok(), "blanks do not count");
        assert!(Pattern::parse(&format!(r#"{{"a":["{}"]}}"#, "x".repeat(40_000))).is_err());
    }
}
