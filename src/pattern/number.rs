//! Numbers as patterns compare them.

/// The number that this text stands for, if a pattern can compare it: the shortest decimal of the double that is nearest
/// has to be exactly the same number. So 0.1 can be compared and 9007199254740993 cannot.
pub(super) fn comparable(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let number: f64 = text.parse().ok()?;
    if !number.is_finite() {
        return None;
    }
    // What has few digits is always the shortest decimal of its double; most numbers have.
    if text.len() <= 15 && !text.bytes().any(|byte| matches!(byte, b'e' | b'E')) {
        return Some(number + 0.0);
    }
    let shortest = ryu::Buffer::new().format_finite(number).to_owned();
    // Zero has no sign.
    (Decimal::of(text)? == Decimal::of(&shortest)?).then_some(number + 0.0)
}

/// A decimal number in one form for each number.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    /// Without zeros at either end.
    digits: Vec<u8>,
    /// Of ten, for the last digit.
    exponent: i64,
}

impl Decimal {
    fn of(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(mantissa) => (true, mantissa),
            None => (false, mantissa),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let mut exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        while digits.last() == Some(&b'0') {
            digits.pop();
            exponent = exponent.checked_add(1)?;
        }
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        if digits.is_empty() {
            return Some(Self { negative: false, digits, exponent: 0 });
        }
        Some(Self { negative, digits, exponent })
    }
}

/// Numbers that a pattern asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Numeric {
    /// This one.
    Equal(f64),
    /// Those between two.
    Between {
        /// The least, and whether it is itself left out.
        bottom: (f64, bool),
        /// The greatest, and whether it is itself left out.
        top: (f64, bool),
    },
}

impl Numeric {
    pub(super) fn holds(&self, number: f64) -> bool {
        match self {
            Self::Equal(value) => *value == number,
            Self::Between { bottom: (bottom, above), top: (top, below) } => {
                (if *above { number > *bottom } else { number >= *bottom })
                    && (if *below { number < *top } else { number <= *top })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_double_does_not_hold_exactly_is_not_compared() {
        for (text, number) in [
            ("0", 0.0),
            ("-0", 0.0),
            ("-0.00", 0.0),
            ("-0e7", 0.0),
            ("0.1", 0.1),
            ("1.0", 1.0),
            ("1e0", 1.0),
            ("10E-1", 1.0),
            ("100000000000000000000", 1e20),
            ("1.50000000000000000000", 1.5),
            ("9007199254740992", 9_007_199_254_740_992.0),
            ("-1.7976931348623157e308", f64::MIN),
            ("5e-324", 5e-324),
            ("0.30000000000000004", 0.1 + 0.2),
        ] {
            let found = comparable(text.as_bytes()).unwrap();
            assert_eq!(found.to_bits(), f64::to_bits(number), "{text}");
        }
        for text in [
            "9007199254740993",
            "1e309",
            "1e-400",
            "0.1000000000000000055511151231257827",
            "12345678901234567890",
            "1e99999999999999999999",
        ] {
            assert_eq!(comparable(text.as_bytes()), None, "{text}");
        }
    }
}
