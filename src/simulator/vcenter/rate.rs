//! How fast events happen.

use std::fmt;
use std::str::FromStr;

/// How fast events happen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// So many a second.
    PerSecond(f64),
    /// As fast as they are read: never more than some thousands ahead of the reader that is furthest, and none while
    /// nobody reads.
    AsRead,
}

/// The most events a second that can be asked for.
const FASTEST: f64 = 1_000_000.0;

/// What is wrong with the text of a rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a number of events a second, at most {FASTEST}, or \"max\"")]
pub struct RateError;

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        if text == "max" {
            return Ok(Self::AsRead);
        }
        let rate = text.parse().ok().filter(|rate| (0.0..=FASTEST).contains(rate));
        rate.map(Self::PerSecond).ok_or(RateError)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerSecond(rate) => write!(f, "{rate}"),
            Self::AsRead => f.write_str("max"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_or_max() {
        for text in ["max", "0", "0.5", "20000"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        for text in ["", "fast", "-1", "NaN", "inf", "1000001"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
