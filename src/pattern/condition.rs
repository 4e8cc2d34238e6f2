//! One condition on a value, as it stands in a pattern's list.

use super::address::{self, Network};
use super::number::{self, Numeric};
use super::text::{self, Folded, Where, Wildcard};

/// A value of an event, that is neither an object nor a list.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// A string, unescaped.
    Text(&'a [u8]),
    /// A number, as it is written.
    Number(&'a [u8]),
    /// `true`, `false` or `null`.
    Word(&'a [u8]),
    /// Something is there, and what will be known later only.
    Unknown,
}

/// What a value has to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    /// This string.
    Text(Box<[u8]>),
    /// This number: equal to it, where both can be compared, or written alike.
    Number {
        written: Box<[u8]>,
        value: Option<f64>,
    },
    /// `true`, `false` or `null`.
    Word(&'static str),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    /// A string, or its beginning or end, whatever its case.
    Folded(Folded, Where),
    Wildcard(Wildcard),
    Numeric(Numeric),
    Network(Network),
    /// Something is there.
    Exists,
    /// Nothing is there: not a condition on a value.
    Absent,
    /// None of these, which are no such conditions themselves.
    AnythingBut(Vec<Condition>),
}

impl Condition {
    /// Whether it makes AWS's engine compare numbers as such.
    fn is_numeric(&self) -> bool {
        match self {
            Self::Numeric(_) | Self::Number { value: Some(_), .. } => true,
            Self::AnythingBut(values) => values.iter().any(Self::is_numeric),
            _ => false,
        }
    }

    fn is_left_out(&self) -> bool {
        let part = match self {
            Self::AnythingBut(values) => match values.first() {
                Some(Self::Number { .. }) => "anything-but: numbers",
                Some(Self::Prefix(_)) => "anything-but: prefix",
                Some(Self::Suffix(_)) => "anything-but: suffix",
                Some(Self::Folded(..)) => "anything-but: equals-ignore-case",
                Some(Self::Wildcard(_)) => "anything-but: wildcard",
                _ => "anything-but",
            },
            Self::Text(_) => "string",
            Self::Number { .. } => "number",
            Self::Word(_) => "word",
            Self::Prefix(_) => "prefix",
            Self::Suffix(_) => "suffix",
            Self::Folded(_, Where::Begins) => "prefix: equals-ignore-case",
            Self::Folded(_, Where::Is) => "equals-ignore-case",
            Self::Folded(_, Where::Ends) => "suffix: equals-ignore-case",
            Self::Wildcard(_) => "wildcard",
            Self::Numeric(_) => "numeric",
            Self::Network(_) => "cidr",
            Self::Exists => "exists: true",
            Self::Absent => "exists: false",
        };
        left_out(part)
    }
}

/// Whether a test leaves a part of the language out, to see that its absence would be noticed.
#[cfg(test)]
pub(super) fn left_out(part: &str) -> bool {
    super::tests::LEFT_OUT.get() == part
}

#[cfg(not(test))]
#[inline]
pub(super) const fn left_out(_: &str) -> bool {
    false
}

/// The conditions of one list, of which one has to hold.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Conditions {
    all: Vec<Condition>,
    /// The list as it is written in the pattern.
    written: Box<str>,
    numeric: bool,
    network: bool,
    absent: bool,
}

impl Conditions {
    pub(super) fn new(mut all: Vec<Condition>, written: &str) -> Self {
        all.retain(|one| !one.is_left_out());
        Self {
            written: written.into(),
            numeric: all.iter().any(Condition::is_numeric),
            network: all.iter().any(|one| matches!(one, Condition::Network(_))),
            absent: all.contains(&Condition::Absent),
            all,
        }
    }

    pub(super) fn all(&self) -> &[Condition] {
        &self.all
    }

    pub(super) fn written(&self) -> &str {
        &self.written
    }

    /// The strings among them, and the others.
    pub(super) fn split(&self) -> (Vec<&[u8]>, Self) {
        let mut texts = Vec::new();
        let mut others = self.clone();
        others.all.retain(|one| !matches!(one, Condition::Text(_)));
        for one in &self.all {
            if let Condition::Text(text) = one {
                texts.push(&**text);
            }
        }
        (texts, others)
    }

    /// Whether they hold where nothing is there.
    pub(super) fn absent(&self) -> bool {
        self.absent
    }

    /// Whether one holds for the value.
    pub(super) fn hold(&self, value: Value<'_>) -> bool {
        match value {
            Value::Text(text) => self.hold_text(text),
            Value::Number(written) => self.hold_number(written),
            Value::Word(word) => self.all.iter().any(|one| match one {
                Condition::Word(this) => this.as_bytes() == word,
                Condition::Exists | Condition::AnythingBut(_) => true,
                _ => false,
            }),
            Value::Unknown => self.all.iter().any(|one| *one != Condition::Absent),
        }
    }

    fn hold_text(&self, text: &[u8]) -> bool {
        // What is no address has no digits, which are in no network.
        let digits = if self.network { address::digits(text) } else { None };
        self.all.iter().any(|one| match one {
            Condition::Network(network) => digits.as_ref().is_some_and(|digits| network.holds(digits)),
            // An address is also compared as the digits that it is, as numbers are.
            Condition::Number { written, .. } => digits.as_deref() == Some(&**written),
            one => holds_text(one, text),
        })
    }

    fn hold_number(&self, written: &[u8]) -> bool {
        let number = if self.numeric { number::comparable(written) } else { None };
        self.all.iter().any(|one| match one {
            Condition::Number { written: this, value } => match (number, value) {
                (Some(number), Some(value)) => number == *value,
                (Some(_), None) => false,
                (None, _) => **this == *written,
            },
            Condition::Numeric(numeric) => number.is_some_and(|number| numeric.holds(number)),
            Condition::AnythingBut(values) => !values.iter().any(
                |value| matches!((value, number), (Condition::Number { value: Some(value), .. }, Some(number)) if *value == number),
            ),
            // A number that is not compared as such is compared as the digits of an address.
            Condition::Network(network) => number.is_none() && network.holds(written),
            Condition::Exists => true,
            _ => false,
        })
    }
}

/// Whether a condition holds for a string that is not looked at as an address.
fn holds_text(one: &Condition, text: &[u8]) -> bool {
    match one {
        Condition::Text(this) => **this == *text,
        Condition::Prefix(prefix) => text::begins(text, prefix),
        Condition::Suffix(suffix) => text::ends(text, suffix),
        Condition::Folded(folded, place) => folded.holds(text, *place),
        Condition::Wildcard(wildcard) => wildcard.holds(text),
        Condition::AnythingBut(values) => !values.iter().any(|value| holds_text(value, text)),
        Condition::Exists => true,
        Condition::Number { .. }
        | Condition::Word(_)
        | Condition::Numeric(_)
        | Condition::Network(_)
        | Condition::Absent => false,
    }
}
