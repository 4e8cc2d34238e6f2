//! JSON read in place: of an event, only what a pattern asks for is looked at.
//!
//! It reads what is known to be JSON. What is none leads to an error or a wrong answer, never to a panic or a long wait.

use std::borrow::Cow;

/// The text is no JSON, or too deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotJson;

/// Objects and lists within each other, at most.
pub(super) const DEEPEST: usize = 512;

/// One value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    List,
    Text,
    Number,
    True,
    False,
    Null,
}

/// A place in JSON text.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How far it has read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn peek(&mut self) -> Result<u8, NotJson> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Ok(*byte);
            }
            self.at += 1;
        }
        Err(NotJson)
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.peek()? != byte {
            return Err(NotJson);
        }
        self.at += 1;
        Ok(())
    }

    /// What the value is that comes next.
    pub(super) fn kind(&mut self) -> Result<Kind, NotJson> {
        Ok(match self.peek()? {
            b'{' => Kind::Object,
            b'[' => Kind::List,
            b'"' => Kind::Text,
            b't' => Kind::True,
            b'f' => Kind::False,
            b'n' => Kind::Null,
            b'-' | b'0'..=b'9' => Kind::Number,
            _ => return Err(NotJson),
        })
    }

    /// Enters an object or a list.
    pub(super) fn enter(&mut self) {
        self.at += 1;
    }

    /// Whether there is another member, in whose front the reader then stands, or the end, which it then has passed.
    /// `first` tells that none has been read.
    pub(super) fn more(&mut self, end: u8, first: bool) -> Result<bool, NotJson> {
        let byte = self.peek()?;
        if byte == end {
            self.at += 1;
            return Ok(false);
        }
        if !first {
            self.expect(b',')?;
        }
        Ok(true)
    }

    /// The name of an object's member; the reader then stands in front of its value.
    pub(super) fn key(&mut self) -> Result<Cow<'a, [u8]>, NotJson> {
        let key = self.text()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// A string, unescaped. Half of a surrogate pair is a question mark, as it is for AWS.
    pub(super) fn text(&mut self) -> Result<Cow<'a, [u8]>, NotJson> {
        self.expect(b'"')?;
        let start = self.at;
        let escaped = self.pass_text()?;
        let raw = &self.bytes[start..self.at - 1];
        Ok(if escaped { Cow::Owned(unescaped(raw)?) } else { Cow::Borrowed(raw) })
    }

    /// Passes a string whose beginning has been read. Whether anything in it is escaped.
    fn pass_text(&mut self) -> Result<bool, NotJson> {
        let mut escaped = false;
        loop {
            let rest = self.bytes.get(self.at..).ok_or(NotJson)?;
            let next = memchr::memchr2(b'"', b'\\', rest).ok_or(NotJson)?;
            if rest[next] == b'"' {
                self.at += next + 1;
                return Ok(escaped);
            }
            escaped = true;
            self.at += next + 2;
        }
    }

    /// A number, `true`, `false` or `null`, as it is written.
    pub(super) fn word(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
        let end = rest.iter().position(ends).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Passes one value.
    pub(super) fn pass(&mut self) -> Result<(), NotJson> {
        match self.kind()? {
            Kind::Text => {
                self.at += 1;
                self.pass_text()?;
            }
            // In an object, only its own kind of bracket needs counting.
            Kind::Object => self.pass_nested(b'{', b'}')?,
            Kind::List => self.pass_nested(b'[', b']')?,
            Kind::Number | Kind::True | Kind::False | Kind::Null => {
                self.word();
            }
        }
        Ok(())
    }

    fn pass_nested(&mut self, open: u8, close: u8) -> Result<(), NotJson> {
        let mut depth = 0usize;
        loop {
            let byte = *self.bytes.get(self.at).ok_or(NotJson)?;
            self.at += 1;
            if byte == b'"' {
                self.pass_text()?;
            } else if byte == open {
                depth += 1;
            } else if byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(());
                }
            }
        }
    }
}

/// A string without its escapes.
fn unescaped(raw: &[u8]) -> Result<Vec<u8>, NotJson> {
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        text.extend_from_slice(&rest[..at]);
        let escape = *rest.get(at + 1).ok_or(NotJson)?;
        rest = &rest[at + 2..];
        let byte = match escape {
            b'"' | b'\\' | b'/' => escape,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let unit = hex(rest)?;
                rest = &rest[4..];
                let mut code = u32::from(unit);
                if (0xd800..0xdc00).contains(&unit)
                    && rest.starts_with(b"\\u")
                    && let Ok(low @ 0xdc00..0xe000) = hex(&rest[2..])
                {
                    rest = &rest[6..];
                    code = 0x10000 + ((code - 0xd800) << 10) + (u32::from(low) - 0xdc00);
                }
                let c = char::from_u32(code).unwrap_or('?');
                text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return Err(NotJson),
        };
        text.push(byte);
    }
    text.extend_from_slice(rest);
    Ok(text)
}

fn hex(digits: &[u8]) -> Result<u16, NotJson> {
    let digits = digits.get(..4).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or(NotJson)?;
    u16::from_str_radix(digits, 16).map_err(|_| NotJson)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_unescaped_as_json_says() {
        for (raw, text) in [
            (r#""abc""#, "abc"),
            (r#""a\"\\\/\b\f\n\r\t""#, "a\"\\/\u{8}\u{c}\n\r\t"),
            (r#""\u00fc\u20AC\ud83d\ude00""#, "ü€😀"),
            (r#""\ud83d\u0041\ude00\ud800""#, "?A??"),
            (r#""\\""#, "\\"),
        ] {
            assert_eq!(Reader::new(raw.as_bytes()).text().unwrap(), text.as_bytes(), "{raw}");
        }
        for wrong in [r#"""#, r#""\"#, r#""\x""#, r#""\u12""#, r#""\u12"#, "abc", ""] {
            assert_eq!(Reader::new(wrong.as_bytes()).text(), Err(NotJson), "{wrong}");
        }
    }

    #[test]
    fn values_are_passed_whatever_is_in_them() {
        for value in [r#""a]}\"""#, "{}", r#"{"a":[{"}":"]"}],"b":{"c":1}}"#, r#"[[],{"a":"["},"]"]"#, "-1.5e3", "true"]
        {
            for after in ["", ",", " }"] {
                let text = format!(" {value}{after}");
                let mut reader = Reader::new(text.as_bytes());
                reader.pass().unwrap();
                assert_eq!(&text[reader.at()..], after);
            }
        }
        for wrong in ["", "{", "[1", "\"a", "}", "{\"a\":\"}", "?"] {
            assert_eq!(Reader::new(wrong.as_bytes()).pass(), Err(NotJson), "{wrong}");
        }
    }
}
