//! Event patterns: which events are meant.
//!
//! The language is that of AWS EventBridge: a JSON object with the names of fields that must be there, and for each a list
//! of values, or conditions, of which one must hold. What matches is what AWS's own engine, event-ruler, says matches;
//! its verdicts on thousands of patterns and events are tests of this module, its oddities included.
//!
//! `parse` reads patterns, `condition` says what each of their conditions holds for (with `text`, `number` and `address`),
//! and `matcher` looks for many patterns at once in an event that `json` reads in place.

mod address;
mod condition;
mod json;
mod matcher;
mod number;
mod parse;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;

use crate::event::Event;
use condition::Value;
use matcher::Matcher;
use parse::Way;

/// A pattern is no longer than this.
const MOST_BYTES: usize = 16 * 1024;

/// Values of a field that are shown, at most.
const MOST_VALUES: usize = 5;

/// Says of events whether they are meant.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    ways: Vec<Way>,
    matcher: std::sync::Arc<Matcher>,
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
        let ways = parse::ways(text)?;
        let matcher = Matcher::new([&*ways]).into();
        Ok(Self { text: text.to_owned(), ways, matcher })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches nothing that has no field of this name at its top.
    #[must_use]
    pub fn needs(&self, name: &str) -> bool {
        let is_below = |path: &str| path == name || path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        self.ways.iter().all(|way| way.iter().any(|(path, asked)| is_below(path) && !asked.absent()))
    }

    /// Whether the event is meant, as the CloudEvent that it is.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.matches_json(&event.json())
    }

    /// Whether a document is meant that is one JSON object. What cannot be read counts as meant: to send too much is
    /// better than to lose something.
    #[must_use]
    pub fn matches_json(&self, json: &[u8]) -> bool {
        self.matcher.find_in(json, false).map_or(true, |found| self.matcher.matches(0, &found))
    }

    /// Whether a document is meant that is put together of parts.
    #[must_use]
    pub fn matches_parts(&self, document: &[(&str, Part<'_>)]) -> bool {
        self.matcher.find(document, false).map_or(true, |found| self.matcher.matches(0, &found))
    }

    /// Which parts of the pattern hold for a document that is one JSON object, and which do not.
    #[must_use]
    pub fn explain(&self, json: &[u8]) -> Explanation {
        self.explained(self.matcher.find_in(json, true))
    }

    /// The same for a document that is put together of parts.
    #[must_use]
    pub fn explain_parts(&self, document: &[(&str, Part<'_>)]) -> Explanation {
        self.explained(self.matcher.find(document, true))
    }

    fn explained(&self, found: Result<matcher::Found, json::NotJson>) -> Explanation {
        let Ok(found) = found else { return Explanation { ways: Vec::new() } };
        let ways = self.matcher.account(0, &found).into_iter().map(|(matches, fields)| {
            let fields = fields.into_iter().map(|account| FieldExplained {
                field: account.field,
                holds: account.holds,
                wanted: account.wanted,
                values: account.values,
            });
            WayExplained { matches, fields: fields.collect() }
        });
        Explanation { ways: ways.collect() }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
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
pub struct Patterns {
    all: Vec<Pattern>,
    matcher: Matcher,
}

impl Patterns {
    /// Of these.
    #[must_use]
    pub fn new(patterns: Vec<Pattern>) -> Self {
        let matcher = Matcher::new(patterns.iter().map(|pattern| &*pattern.ways));
        Self { all: patterns, matcher }
    }

    /// The patterns.
    #[must_use]
    pub fn all(&self) -> &[Pattern] {
        &self.all
    }

    /// Whether one of them means the document. What cannot be read counts as meant.
    #[must_use]
    pub fn any(&self, document: &[(&str, Part<'_>)]) -> bool {
        self.matcher.find(document, false).map_or(true, |found| self.matcher.any(&found))
    }

    /// The places of those that mean a document that is one JSON object.
    #[must_use]
    pub fn which(&self, json: &[u8]) -> Vec<usize> {
        let Ok(found) = self.matcher.find_in(json, false) else { return (0..self.all.len()).collect() };
        (0..self.all.len()).filter(|pattern| self.matcher.matches(*pattern, &found)).collect()
    }
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Patterns").field(&self.all).finish()
    }
}

/// Why a pattern matches a document, or does not.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The ways in which the pattern can match: one, unless it has `$or`.
    pub ways: Vec<WayExplained>,
}

/// One way in which a pattern can match.
#[derive(Clone, Debug)]
pub struct WayExplained {
    /// Whether it does.
    pub matches: bool,
    /// What it asks for.
    pub fields: Vec<FieldExplained>,
}

/// What is asked of one field.
#[derive(Clone, Debug)]
pub struct FieldExplained {
    /// Its path, with dots.
    pub field: String,
    /// Whether one of the conditions holds.
    pub holds: bool,
    /// The conditions, as they are written.
    pub wanted: String,
    /// The values that are there.
    pub values: Vec<String>,
}

impl fmt::Display for FieldExplained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, wanted, values, .. } = self;
        match &**values {
            [] => write!(f, "{field} is not there, wanted {wanted}"),
            [value] => write!(f, "{field} is {value}, wanted {wanted}"),
            values => {
                let shown = values[..values.len().min(MOST_VALUES)].join(", ");
                let more = if values.len() > MOST_VALUES { ", ..." } else { "" };
                write!(f, "{field} is any of {shown}{more}, wanted {wanted}")
            }
        }
    }
}

impl fmt::Display for Explanation {
    /// The parts that do not hold; a line for each way.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ways.iter().any(|way| way.matches) {
            return f.write_str("it matches");
        }
        for (at, way) in self.ways.iter().enumerate() {
            if at > 0 {
                f.write_str("\nor ")?;
            }
            let failed: Vec<_> = way.fields.iter().filter(|field| !field.holds).map(ToString::to_string).collect();
            if failed.is_empty() {
                f.write_str("each part holds, but not all within the same object of a list")?;
            } else {
                f.write_str(&failed.join("; "))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{:?}", String::from_utf8_lossy(text)),
            Self::Number(word) | Self::Word(word) => f.write_str(&String::from_utf8_lossy(word)),
            Self::Unknown => f.write_str("not known yet"),
        }
    }
}
