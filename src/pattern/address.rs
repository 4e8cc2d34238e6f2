//! IP addresses: single ones, and networks.
//!
//! AWS's engine compares addresses as hexadecimal digits, from the left, without looking at how many there are. So a
//! pattern for one family may hold for an address of the other that begins alike; that is kept, since what the rule
//! matches is what has to be sent.

/// An address as upper-case hexadecimal digits: 8 or 32.
pub(super) type Digits = Vec<u8>;

/// The digits of an address. None for what is no address.
///
/// Four decimal numbers, or groups of hexadecimal digits between colons. An IPv4 address that is written as an IPv6 one
/// is an IPv4 address.
pub(super) fn digits(text: &[u8]) -> Option<Digits> {
    // The longest has eight groups, with a few zeros in front.
    if text.len() > 80 {
        return None;
    }
    let bytes = if text.contains(&b':') { v6(text)? } else { v4(text)?.to_vec() };
    let digit = |half: u8| b"0123456789ABCDEF"[usize::from(half)];
    Some(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
}

fn v4(text: &[u8]) -> Option<[u8; 4]> {
    if text.len() > 15 {
        return None;
    }
    let mut address = [0; 4];
    let mut parts = text.split(|byte| *byte == b'.');
    for part in &mut address {
        let digits = parts.next()?;
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        *part = std::str::from_utf8(digits).ok()?.parse::<u32>().ok().and_then(|value| u8::try_from(value).ok())?;
    }
    parts.next().is_none().then_some(address)
}

fn v6(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let groups = |text: &str| -> Option<Vec<u16>> {
        if text.is_empty() {
            return Some(Vec::new());
        }
        let group = |digits: &str| {
            let hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            if hex { u32::from_str_radix(digits, 16).ok().and_then(|value| u16::try_from(value).ok()) } else { None }
        };
        text.split(':').map(group).collect()
    };
    let all = match text.split_once("::") {
        None => groups(text)?,
        Some((before, after)) => {
            let (before, after) = (groups(before)?, groups(after)?);
            let zeros = 8usize.checked_sub(before.len() + after.len()).filter(|zeros| *zeros > 0)?;
            [before, vec![0; zeros], after].concat()
        }
    };
    if all.len() != 8 {
        return None;
    }
    let bytes: Vec<u8> = all.iter().flat_map(|group| group.to_be_bytes()).collect();
    // IPv4, mapped.
    let mapped = bytes.starts_with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    Some(if mapped { bytes[12..].to_vec() } else { bytes })
}

/// Addresses from one to another, both of them included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Network {
    bottom: Digits,
    top: Digits,
}

impl Network {
    /// One address.
    pub(super) fn single(address: &[u8]) -> Option<Self> {
        let digits = digits(address)?;
        Some(Self { bottom: digits.clone(), top: digits })
    }

    /// The network of an address and the number of bits that count, such as `10.0.0.0/8`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (address, bits) = text.trim_end_matches('/').split_once('/').ok_or("it is not written as ADDRESS/BITS")?;
        let bits: i32 = bits.parse().map_err(|_| format!("{bits:?} is not a number of bits"))?;
        let digits = digits(address.as_bytes()).ok_or_else(|| format!("{address:?} is not an IP address"))?;
        let most = if digits.len() == 8 { 31 } else { 127 };
        let bits = usize::try_from(bits).ok().filter(|bits| *bits <= most);
        let bits = bits.ok_or_else(|| format!("the number of bits must be from 0 to {most}"))?;
        let end = |ones: bool| -> Digits {
            let bit = |at: usize| {
                let value = u8::try_from(char::from(digits[at / 4]).to_digit(16).unwrap_or(0)).unwrap_or(0);
                if at < bits { value >> (3 - at % 4) & 1 } else { u8::from(ones) }
            };
            let digit = |at: usize| (0..4).fold(0, |value, n| value << 1 | usize::from(bit(4 * at + n)));
            (0..digits.len()).map(|at| b"0123456789ABCDEF"[digit(at)]).collect()
        };
        Ok(Self { bottom: end(false), top: end(true) })
    }

    /// Whether these digits lie within it, read from the left as far as they have to be.
    pub(super) fn holds(&self, digits: &[u8]) -> bool {
        let (mut low, mut high) = (true, true);
        for (at, (bottom, top)) in self.bottom.iter().zip(&self.top).enumerate() {
            // Digits are to be found in order, as their characters are.
            let Some(digit) = digits.get(at).copied().filter(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F')) else {
                return false;
            };
            if (low && digit < *bottom) || (high && digit > *top) {
                return false;
            }
            low &= digit == *bottom;
            high &= digit == *top;
            if !low && !high {
                return true;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(address: &str) -> Option<String> {
        digits(address.as_bytes()).map(|digits| String::from_utf8(digits).unwrap())
    }

    #[test]
    fn addresses_have_one_form() {
        for (address, digits) in [
            ("10.0.0.255", "0A0000FF"),
            ("010.0.0.1", "0A000001"),
            ("::", "00000000000000000000000000000000"),
            ("2001:DB8::1", "20010DB8000000000000000000000001"),
            ("1:2:3:4:5:6:7:8", "00010002000300040005000600070008"),
            ("1:2:3:4:5:6:7::", "00010002000300040005000600070000"),
            ("::ffff:a00:1", "0A000001"),
        ] {
            assert_eq!(text(address).as_deref(), Some(digits), "{address}");
        }
        for wrong in [
            "",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "1.2.3.x",
            "1..2.3",
            ":",
            ":1",
            "1:",
            "1::2::3",
            "12345::",
            "1:2:3:4:5:6:7",
            "::1.2.3.4",
            "a",
        ] {
            assert_eq!(text(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_network_holds_what_begins_as_it_does() {
        for (network, address, within) in [
            ("10.0.0.0/24", "10.0.0.0", true),
            ("10.0.0.77/24", "10.0.0.255", true),
            ("10.0.0.0/24", "10.0.1.0", false),
            ("10.0.0.0/31", "10.0.0.1", true),
            ("10.0.0.0/31", "10.0.0.2", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("32.1.13.0/24", "2001:db8::1", true),
        ] {
            assert_eq!(
                Network::parse(network).unwrap().holds(&digits(address.as_bytes()).unwrap()),
                within,
                "{network} {address}"
            );
        }
        for wrong in ["10.0.0.0", "10.0.0.0/32", "10.0.0.0/-1", "10.0.0.0/x", "10.0.0/8", "::/128", "/8", "1.2.3.4/5/6"]
        {
            assert!(Network::parse(wrong).is_err(), "{wrong}");
        }
    }
}
