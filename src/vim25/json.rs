//! JSON values exactly as Go's `encoding/json` writes them, appended to a byte buffer.
//!
//! Each function takes an element's text and says in a word what is wrong if it is no such value.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::xml::reference;

/// Why a text is no value of its kind.
pub(super) type Wrong = &'static str;

/// Bytes of a text that cannot simply be copied from XML into a JSON string: those special to either.
pub(super) static SPECIAL: [bool; 256] = {
    let mut class = [false; 256];
    let mut b = 0;
    while b < 256 {
        class[b] = matches!(b as u8, 0..=0x1f | b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2);
        b += 1;
    }
    class
};

/// A JSON string. `<`, `>`, `&`, U+2028 and U+2029 are escaped, as Go does for the sake of HTML and JavaScript.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    escape(out, text);
    out.push(b'"');
}

/// What goes between the quotes.
pub(super) fn escape(out: &mut Vec<u8>, text: &str) {
    copy::<false>(out, text);
}

/// Likewise, from text as it is in XML: references resolved, line ends normalised. False if that is not possible; what
/// was written until then is of no use.
pub(super) fn escape_raw(out: &mut Vec<u8>, raw: &str) -> bool {
    copy::<true>(out, raw)
}

/// How many bytes of a text can simply be copied: those before the first that is `SPECIAL`.
#[inline]
pub(super) fn plain(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let found = special(u64::from_le_bytes(*word));
        if found != 0 {
            return i * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let from = bytes.len() - rest.len();
    rest.iter().position(|b| SPECIAL[usize::from(*b)]).map_or(bytes.len(), |at| from + at)
}

/// Eight bytes at once: the lowest bit that is set belongs to the first special byte. (A subtraction that borrows makes
/// false ones above it only.)
#[inline]
fn special(word: u64) -> u64 {
    const fn each(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    let below = |word: u64, bound: u8| word.wrapping_sub(each(bound)) & !word;
    let is = |word: u64, byte: u8| below(word ^ each(byte), 1);
    // `<` and `>` differ in one bit, as do `"` and `&`.
    let found =
        below(word, 0x20) | is(word | each(2), b'>') | is(word | each(4), b'&') | is(word, b'\\') | is(word, 0xe2);
    found & each(0x80)
}

fn copy<const XML: bool>(out: &mut Vec<u8>, text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let from = at;
        at += plain(&bytes[from..]);
        out.extend_from_slice(&bytes[from..at]);
        let Some(&byte) = bytes.get(at) else { return true };
        at += 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\r' if XML => {
                if bytes.get(at) == Some(&b'\n') {
                    at += 1;
                }
                out.extend_from_slice(b"\\n");
            }
            b'\r' => out.extend_from_slice(b"\\r"),
            b'<' => out.extend_from_slice(b"\\u003c"),
            b'>' if XML && at >= 3 && bytes[at - 3..at - 1] == *b"]]" => return false,
            b'>' => out.extend_from_slice(b"\\u003e"),
            b'&' if XML => {
                let Some((c, len)) = reference(&text[at - 1..]) else { return false };
                copy::<false>(out, c.encode_utf8(&mut [0; 4]));
                at += len - 1;
            }
            b'&' => out.extend_from_slice(b"\\u0026"),
            0xe2 => match bytes.get(at..at + 2) {
                Some([0x80, last @ (0xa8 | 0xa9)]) => {
                    out.extend_from_slice(if *last == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                    at += 2;
                }
                _ => out.push(byte),
            },
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let (high, low) = (HEX[usize::from(control >> 4)], HEX[usize::from(control & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
    }
}

/// A boolean, in any of the spellings that Go's `strconv.ParseBool` takes. Nothing at all is false.
pub(super) fn boolean(out: &mut Vec<u8>, text: &str) -> Result<(), Wrong> {
    let value: &[u8] = match text.trim() {
        "true" | "1" | "t" | "T" | "TRUE" | "True" => b"true",
        "false" | "0" | "f" | "F" | "FALSE" | "False" => b"false",
        "" if text.is_empty() => b"false",
        _ => return Err("not a boolean"),
    };
    out.extend_from_slice(value);
    Ok(())
}

/// A signed integer within the bounds of its type. Nothing at all is zero.
pub(super) fn integer(out: &mut Vec<u8>, text: &str, min: i64, max: i64) -> Result<i64, Wrong> {
    if text.is_empty() {
        out.push(b'0');
        return Ok(0);
    }
    let value: i64 = text.trim().parse().map_err(|_| "not an integer")?;
    if value < min || value > max {
        return Err("an integer out of its type's range");
    }
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    Ok(value)
}

/// An unsigned integer of so many bits. A negative one means its two's complement, as xsd:byte is held unsigned.
pub(super) fn unsigned(out: &mut Vec<u8>, text: &str, bits: u32) -> Result<(), Wrong> {
    let value = if text.is_empty() {
        0
    } else if text.starts_with('-') {
        let value: i64 = text.parse().map_err(|_| "not an integer")?;
        if bits < 64 && value < -(1_i64 << (bits - 1)) {
            return Err("an integer out of its type's range");
        }
        value.cast_unsigned() & (u64::MAX >> (64 - bits))
    } else {
        let text = text.trim();
        let value: u64 = if text.starts_with('+') { None } else { text.parse().ok() }.ok_or("not an integer")?;
        if value > u64::MAX >> (64 - bits) {
            return Err("an integer out of its type's range");
        }
        value
    };
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    Ok(())
}

/// xsd:float: its digits are the fewest that tell it from its neighbours among 32-bit numbers.
pub(super) fn float(out: &mut Vec<u8>, text: &str) -> Result<(), Wrong> {
    if text.is_empty() {
        out.push(b'0');
        return Ok(());
    }
    let value: f32 = text.trim().parse().map_err(|_| "not a number")?;
    if !value.is_finite() {
        return Err("a number that JSON cannot hold");
    }
    let plain = value == 0.0 || (1e-6..1e21).contains(&value.abs());
    go_layout(out, ryu::Buffer::new().format_finite(value), plain);
    Ok(())
}

/// xsd:double
pub(super) fn double(out: &mut Vec<u8>, text: &str) -> Result<(), Wrong> {
    if text.is_empty() {
        out.push(b'0');
        return Ok(());
    }
    let value: f64 = text.trim().parse().map_err(|_| "not a number")?;
    if !value.is_finite() {
        return Err("a number that JSON cannot hold");
    }
    let plain = value == 0.0 || (1e-6..1e21).contains(&value.abs());
    go_layout(out, ryu::Buffer::new().format_finite(value), plain);
    Ok(())
}

/// Lays out shortest digits as Go does: an exponent only where `plain` is false, and then with its sign.
fn go_layout(out: &mut Vec<u8>, shortest: &str, plain: bool) {
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // The digits without leading and trailing zeros, and where the point lies: 0.digits times ten to the `point`.
    let all = [whole, fraction].concat();
    let digits = all.trim_start_matches('0');
    let lost = all.len() - digits.len();
    let digits = digits.trim_end_matches('0');
    out.extend_from_slice(sign.as_bytes());
    if digits.is_empty() {
        out.push(b'0');
        return;
    }
    let point = i32::try_from(whole.len()).unwrap_or(0) - i32::try_from(lost).unwrap_or(0) + exponent;
    let count = i32::try_from(digits.len()).unwrap_or(0);
    if !plain {
        out.extend_from_slice(&digits.as_bytes()[..1]);
        if count > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits.as_bytes()[1..]);
        }
        out.push(b'e');
        if point > 0 {
            out.push(b'+');
        }
        out.extend_from_slice(itoa::Buffer::new().format(point - 1).as_bytes());
    } else if point <= 0 {
        out.extend_from_slice(b"0.");
        out.extend((point..0).map(|_| b'0'));
        out.extend_from_slice(digits.as_bytes());
    } else if point >= count {
        out.extend_from_slice(digits.as_bytes());
        out.extend((count..point).map(|_| b'0'));
    } else {
        let (whole, fraction) = digits.as_bytes().split_at(usize::try_from(point).unwrap_or(0));
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
}

/// A point in time, as RFC 3339 with its offset as received. Returns microseconds since 1970.
pub(super) fn time(out: &mut Vec<u8>, text: &str) -> Result<i64, Wrong> {
    const WRONG: Wrong = "not a date and time with a zone, such as 2026-11-22T10:57:17.98Z";
    let b = text.as_bytes();
    if b.len() < 20 || !(b[4] == b'-' && b[7] == b'-' && b[10] == b'T' && b[13] == b':' && b[16] == b':') {
        return Err(WRONG);
    }
    let digits = |from: usize, len: usize| -> Option<i64> {
        b.get(from..from + len)?.iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
    };
    let all = (digits(0, 4), digits(5, 2), digits(8, 2), digits(11, 2), digits(14, 2), digits(17, 2));
    let (Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second)) = all else { return Err(WRONG) };
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => return Err("a month that no calendar has"),
    };
    if day < 1 || day > days || hour > 23 || minute > 59 || second > 59 {
        return Err("a day or time of day that no calendar or clock has");
    }
    let mut at = 19;
    let mut micros = 0;
    let mut fraction = 19;
    if b[at] == b'.' {
        at += 1;
        let from = at;
        while let Some(d) = b.get(at)
            && d.is_ascii_digit()
        {
            if at < from + 6 {
                micros = micros * 10 + i64::from(d - b'0');
            }
            // Go keeps nanoseconds, and writes no trailing zeros.
            if *d != b'0' && at < from + 9 {
                fraction = at + 1;
            }
            at += 1;
        }
        if at == from {
            return Err(WRONG);
        }
        for _ in at - from..6 {
            micros *= 10;
        }
    }
    let zone = &b[at..];
    let offset = match zone {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (Some(h), Some(m)) = (digits(at + 1, 2), digits(at + 4, 2)) else { return Err(WRONG) };
            if h > 23 || m > 59 {
                return Err("a zone that no place on earth has");
            }
            let minutes = h * 60 + m;
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return Err(WRONG),
    };
    out.push(b'"');
    out.extend_from_slice(&b[..fraction]);
    if offset == 0 {
        out.push(b'Z');
    } else {
        out.extend_from_slice(zone);
    }
    out.push(b'"');
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + (minute - offset) * 60 + second;
    Ok(seconds * 1_000_000 + micros)
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar, counted in years that begin in March.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month < 3 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// Bytes in base64. Up to 7.0 govmomi takes a binary element's text, which is base64 already, for the bytes.
pub(super) fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let from = out.len();
    out.resize(from + bytes.len().div_ceil(3) * 4, b'=');
    // The slice is as long as its encoding, so this cannot fail.
    let written = STANDARD.encode_slice(bytes, &mut out[from..]).unwrap_or(0);
    out.truncate(from + written);
    out.push(b'"');
}

/// A binary element's value, decoded and encoded again: blanks in it mean nothing.
pub(super) fn base64(out: &mut Vec<u8>, text: &str) -> Result<(), Wrong> {
    let packed: String = text.split_ascii_whitespace().collect();
    let decoded = STANDARD.decode(&packed).map_err(|_| "not base64")?;
    bytes(out, &decoded);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn made<T>(f: impl FnOnce(&mut Vec<u8>) -> Result<T, Wrong>) -> String {
        let mut out = Vec::new();
        match f(&mut out) {
            Ok(_) => String::from_utf8(out).unwrap(),
            Err(wrong) => format!("! {wrong}"),
        }
    }

    #[test]
    fn strings_are_escaped_as_go_does() {
        let mut out = Vec::new();
        string(&mut out, "a\"b\\c\nd\re\tf<g>h&i\u{2028}j\u{2029}k\u{2027}l\u{1}/\u{7f}é😀\u{feff}");
        let expected =
            "\"a\\\"b\\\\c\\nd\\re\\tf\\u003cg\\u003eh\\u0026i\\u2028j\\u2029k\u{2027}l\\u0001/\u{7f}é😀\u{feff}\"";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn eight_bytes_at_once_are_as_good_as_one() {
        for byte in 0..=255_u8 {
            for at in 0..19 {
                let mut text = *b"abcdefghijklmnopqrs";
                text[at] = byte;
                let expected = if SPECIAL[usize::from(byte)] { at } else { text.len() };
                assert_eq!(plain(&text), expected, "{byte:#x} at {at}");
                text[18] = b'<';
                assert_eq!(plain(&text), if SPECIAL[usize::from(byte)] { at } else { 18 }, "{byte:#x} at {at}, then <");
            }
        }
    }

    #[test]
    fn booleans() {
        for yes in ["true", "1", "t", "T", "TRUE", "True", " true\n"] {
            assert_eq!(made(|o| boolean(o, yes)), "true", "{yes:?}");
        }
        for no in ["false", "0", "f", "F", "FALSE", "False", ""] {
            assert_eq!(made(|o| boolean(o, no)), "false", "{no:?}");
        }
        for wrong in ["yes", "tRue", " ", "2"] {
            assert_eq!(made(|o| boolean(o, wrong)), "! not a boolean", "{wrong:?}");
        }
    }

    #[test]
    fn integers_stay_in_their_range() {
        let int = |text| made(|o| integer(o, text, i64::from(i32::MIN), i64::from(i32::MAX)));
        assert_eq!(int("2147483647"), "2147483647");
        assert_eq!(int(" +7\n"), "7");
        assert_eq!(int("-0"), "0");
        assert_eq!(int(""), "0");
        assert_eq!(int("007"), "7");
        assert_eq!(int("2147483648"), "! an integer out of its type's range");
        assert_eq!(int("1.0"), "! not an integer");
        assert_eq!(int("1_0"), "! not an integer");
        assert_eq!(made(|o| integer(o, "-9223372036854775808", i64::MIN, i64::MAX)), "-9223372036854775808");
        assert_eq!(made(|o| unsigned(o, "-2", 8)), "254");
        assert_eq!(made(|o| unsigned(o, "255", 8)), "255");
        assert_eq!(made(|o| unsigned(o, "256", 8)), "! an integer out of its type's range");
        assert_eq!(made(|o| unsigned(o, "-129", 8)), "! an integer out of its type's range");
        assert_eq!(made(|o| unsigned(o, "18446744073709551615", 64)), "18446744073709551615");
        assert_eq!(made(|o| unsigned(o, "-1", 64)), "18446744073709551615");
    }

    #[test]
    fn numbers_are_laid_out_as_go_does() {
        for (text, expected) in [
            ("0", "0"),
            ("-0", "-0"),
            ("1", "1"),
            ("-1.5", "-1.5"),
            ("0.1", "0.1"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("1.25e21", "1.25e+21"),
            ("1e-6", "0.000001"),
            ("1e-7", "1e-7"),
            ("-2.5e-9", "-2.5e-9"),
            ("123456.789", "123456.789"),
            ("3.141592653589793", "3.141592653589793"),
            ("1e15", "1000000000000000"),
            ("1e300", "1e+300"),
            ("", "0"),
            (" 2 ", "2"),
            ("12300", "12300"),
            ("1e-300", "1e-300"),
            ("0.00123", "0.00123"),
        ] {
            assert_eq!(made(|o| double(o, text)), expected, "{text:?}");
        }
        assert_eq!(made(|o| float(o, "3.141592653589793")), "3.1415927");
        assert_eq!(made(|o| float(o, "1e21")), "1e+21");
        assert_eq!(made(|o| float(o, "1e-6")), "0.000001");
        assert_eq!(made(|o| float(o, "1e39")), "! a number that JSON cannot hold");
        assert_eq!(made(|o| double(o, "NaN")), "! a number that JSON cannot hold");
        assert_eq!(made(|o| double(o, "INF")), "! a number that JSON cannot hold");
        assert_eq!(made(|o| double(o, "x")), "! not a number");
    }

    #[test]
    fn times_keep_their_offset_and_lose_trailing_zeros() {
        for (text, expected, micros) in [
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", 0),
            ("2026-11-22T10:57:17.980199631Z", "2026-11-22T10:57:17.980199631Z", 1_795_345_037_980_199),
            ("2026-11-22T10:57:17.500000Z", "2026-11-22T10:57:17.5Z", 1_795_345_037_500_000),
            ("2026-11-22T10:57:17.000Z", "2026-11-22T10:57:17Z", 1_795_345_037_000_000),
            ("2026-11-22T10:57:17.1234567891Z", "2026-11-22T10:57:17.123456789Z", 1_795_345_037_123_456),
            ("2026-11-22T12:57:17+02:00", "2026-11-22T12:57:17+02:00", 1_795_345_037_000_000),
            ("2026-11-22T10:57:17+00:00", "2026-11-22T10:57:17Z", 1_795_345_037_000_000),
            ("2026-11-22T10:57:17-00:00", "2026-11-22T10:57:17Z", 1_795_345_037_000_000),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.5Z", -500_000),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z", 1_709_164_800_000_000),
        ] {
            let mut out = Vec::new();
            assert_eq!(time(&mut out, text), Ok(micros), "{text}");
            assert_eq!(String::from_utf8(out).unwrap(), format!("\"{expected}\""));
        }
        for wrong in [
            "",
            " 2026-11-22T10:57:17Z",
            "2026-11-22T10:57:17",
            "2026-11-22T24:00:00Z",
            "2026-11-22T10:57:60Z",
            "2025-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-00T00:00:00Z",
            "12026-11-22T10:57:17Z",
            "2026-11-22T10:57:17.Z",
            "2026-11-22T10:57:17,5Z",
            "2026-11-22T10:57:17+24:00",
            "2026-11-22T10:57:17+0200",
            "2026-11-22t10:57:17z",
            "2026-11-22 10:57:17Z",
            "2026-11-22T10:57:17Z ",
            "-026-11-22T10:57:17Z",
        ] {
            assert!(time(&mut Vec::new(), wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn binary_text_is_encoded_once_more() {
        assert_eq!(
            made(|o| {
                bytes(o, b"AQID");
                Ok(())
            }),
            "\"QVFJRA==\""
        );
        assert_eq!(
            made(|o| {
                bytes(o, b"-2");
                Ok(())
            }),
            "\"LTI=\""
        );
    }

    #[test]
    fn binary_of_newer_shapes_is_what_it_is() {
        assert_eq!(made(|o| base64(o, " AQ\nID ")), "\"AQID\"");
        assert_eq!(made(|o| base64(o, "")), "\"\"");
        assert_eq!(made(|o| base64(o, "A")), "! not base64");
    }

    proptest! {
        #[test]
        fn plain_bytes_are_counted_exactly(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let expected = bytes.iter().position(|b| SPECIAL[usize::from(*b)]).unwrap_or(bytes.len());
            prop_assert_eq!(plain(&bytes), expected);
        }

        #[test]
        fn escaped_strings_are_json(text in any::<String>()) {
            let mut out = Vec::new();
            string(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn doubles_survive(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
            let json = made(|o| double(o, &value.to_string()));
            prop_assert_eq!(json.parse::<f64>().unwrap().to_bits(), value.to_bits());
        }

        #[test]
        fn days_follow_the_calendar(seconds in -62_135_596_800_i64..253_402_300_799) {
            let text = jiff::Timestamp::from_second(seconds).unwrap().to_string();
            prop_assert_eq!(time(&mut Vec::new(), &text), Ok(seconds * 1_000_000));
        }

        #[test]
        fn no_text_makes_a_value_panic(text in "[0-9TZ:.+eE -]{0,30}|\\PC{0,30}") {
            let out = &mut Vec::new();
            let parsed = (time(out, &text).is_ok(), double(out, &text).is_ok(), float(out, &text).is_ok());
            prop_assert!(!parsed.0 || !parsed.1, "no text is both a time and a number");
            let integers = (unsigned(out, &text, 8).is_ok(), integer(out, &text, -128, 127).is_ok());
            prop_assert!(!(integers.0 && integers.1) || boolean(out, &text).is_ok() || parsed.1);
        }
    }
}
