//! What the reader knows about bytes and characters.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memmem};

use super::XmlError;

/// The part of a page that can be read, and what is wrong behind it.
pub(super) fn readable(page: &[u8]) -> (&str, Option<XmlError>) {
    let (mut text, mut cut) = match simdutf8::basic::from_utf8(page) {
        Ok(text) => (text, None),
        Err(_) => match simdutf8::compat::from_utf8(page) {
            Ok(text) => (text, None),
            Err(error) => {
                let offset = error.valid_up_to();
                let text = page.get(..offset).and_then(|good| std::str::from_utf8(good).ok()).unwrap_or("");
                (text, Some(XmlError { offset, message: "invalid UTF-8".into() }))
            }
        },
    };
    if text.len() > u32::MAX as usize {
        let offset = (0..=u32::MAX as usize).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text = &text[..offset];
        cut = Some(XmlError { offset, message: "a page of more than 4 GiB".into() });
    }
    if let Some(offset) = forbidden(text) {
        let code = text[offset..].chars().next().map_or(0, u32::from);
        text = &text[..offset];
        cut = Some(XmlError { offset, message: format!("the character U+{code:04X} is not allowed in XML").into() });
    }
    (text, cut)
}

/// The first character that XML forbids: a control character but tab, line feed, carriage return; U+FFFE and U+FFFF.
fn forbidden(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let bad = |b: &u8| *b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r');
    // Folding over a chunk, instead of stopping at the first, lets the compiler use vector instructions.
    let control = bytes.chunks(256).enumerate().find_map(|(i, chunk)| {
        let any = chunk.iter().fold(false, |any, b| any | bad(b));
        any.then(|| chunk.iter().position(bad).map(|at| i * 256 + at)).flatten()
    });
    let limit = control.unwrap_or(bytes.len());
    let noncharacter =
        memmem::find_iter(&bytes[..limit], b"\xef\xbf").find(|at| matches!(bytes.get(at + 2), Some(0xbe | 0xbf)));
    noncharacter.or(control)
}

pub(super) const START: u8 = 2;
const INNER: u8 = 1;

/// Which bytes may begin a name, or go on in one. Beyond ASCII everything may: telling letters apart there would only
/// refuse pages that every vSphere client takes.
pub(super) static NAME: [u8; 256] = {
    let mut class = [0; 256];
    let mut b = 0;
    while b < 256 {
        let byte = b as u8;
        class[b] = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => START,
            b'0'..=b'9' | b'-' | b'.' => INNER,
            _ => 0,
        };
        b += 1;
    }
    class
};

/// Bytes that end plain text: markup, references, line ends to be normalised, and `>`, which may close a forbidden `]]>`.
pub(super) static PLAIN: [bool; 256] = {
    let mut class = [false; 256];
    class[b'<' as usize] = true;
    class[b'>' as usize] = true;
    class[b'&' as usize] = true;
    class[b'\r' as usize] = true;
    class
};

/// The length of `</name>`, if `rest` begins with it.
#[inline]
pub(super) fn ends(rest: &[u8], name: &[u8]) -> Option<usize> {
    let close = name.len() + 2;
    let found = rest.get(..=close)?;
    (found[0] == b'<' && found[1] == b'/' && found[close] == b'>' && same(&found[2..close], name)).then_some(close + 1)
}

/// Where the name at `start` ends, and where its first colon is.
#[inline]
pub(super) fn name_end(bytes: &[u8], start: usize) -> (usize, Option<usize>) {
    let mut at = start;
    let mut colon = None;
    loop {
        while let Some(b) = bytes.get(at)
            && NAME[usize::from(*b)] != 0
        {
            at += 1;
        }
        if colon.is_none() && at > start && bytes.get(at) == Some(&b':') {
            colon = Some(at);
            at += 1;
            continue;
        }
        return (at, colon);
    }
}

/// Whether two names are equal. They are short, so a call to memcmp would cost more than comparing them.
#[inline]
pub(in crate::vim25) fn same(a: &[u8], b: &[u8]) -> bool {
    const WORD: usize = 8;
    const HALF: usize = 4;
    if a.len() != b.len() {
        return false;
    }
    if a.len() >= WORD {
        a.first_chunk::<WORD>() == b.first_chunk()
            && a.last_chunk::<WORD>() == b.last_chunk()
            && (a.len() <= 2 * WORD || a[WORD..a.len() - WORD] == b[WORD..b.len() - WORD])
    } else if a.len() >= HALF {
        a.first_chunk::<HALF>() == b.first_chunk() && a.last_chunk::<HALF>() == b.last_chunk()
    } else {
        a.iter().zip(b).all(|(a, b)| a == b)
    }
}

#[inline]
pub(super) fn skip_blanks(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// `encoding="..."` and the like in an XML declaration.
pub(super) fn pseudo_attribute<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let rest = body[body.find(name)? + name.len()..].trim_start().strip_prefix('=')?.trim_start();
    let mark = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    rest[1..].split(mark).next()
}

/// An attribute's value, whose references were checked when its tag was read.
pub(super) fn value(raw: &str) -> Cow<'_, str> {
    unescape(raw).unwrap_or(Cow::Borrowed(raw))
}

/// Text as XML means it: references resolved, line ends normalised.
pub(super) fn unescape(raw: &str) -> Result<Cow<'_, str>, (usize, Cow<'static, str>)> {
    if memchr2(b'&', b'\r', raw.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(raw));
    }
    let mut text = String::with_capacity(raw.len());
    resolve_references(raw, &mut text)?;
    Ok(Cow::Owned(text))
}

/// Where `]]>` is, which is forbidden in text.
pub(super) fn closes_cdata(raw: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'>', raw).find(|at| *at >= 2 && raw[at - 2..*at] == *b"]]").map(|at| at - 2)
}

/// CRLF and CR become LF.
pub(super) fn normalise(raw: &str) -> Cow<'_, str> {
    if memchr(b'\r', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n"))
}

/// Appends `raw` to `out`, references resolved and line ends normalised.
pub(super) fn resolve_references(raw: &str, out: &mut String) -> Result<(), (usize, Cow<'static, str>)> {
    let bytes = raw.as_bytes();
    let mut at = 0;
    while let Some(len) = memchr2(b'&', b'\r', &bytes[at..]) {
        let special = at + len;
        out.push_str(&raw[at..special]);
        if bytes[special] == b'\r' {
            out.push('\n');
            at = special + if bytes.get(special + 1) == Some(&b'\n') { 2 } else { 1 };
            continue;
        }
        match reference(&raw[special..]) {
            Some((c, len)) => {
                out.push(c);
                at = special + len;
            }
            None => {
                let name = raw[special + 1..].split_inclusive(';').next().unwrap_or("");
                let message = match name.strip_suffix(';') {
                    Some(name) if name.len() < MAX_REFERENCE => {
                        format!("&{name}; is no character that XML knows").into()
                    }
                    _ => "a raw &: & must be written &amp;".into(),
                };
                return Err((special, message));
            }
        }
    }
    out.push_str(&raw[at..]);
    Ok(())
}

/// The longest reference that means anything is `&#1114111;`, but leading zeros are legal.
const MAX_REFERENCE: usize = 32;

/// The character that the reference at the front of `text` stands for, and the reference's length.
pub(in crate::vim25) fn reference(text: &str) -> Option<(char, usize)> {
    let body = text.get(1..)?;
    let end = body.bytes().take(MAX_REFERENCE).position(|b| b == b';')?;
    Some((referenced(&body[..end])?, end + 2))
}

/// The character that `&name;` stands for.
fn referenced(name: &str) -> Option<char> {
    let code = match name {
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "amp" => return Some('&'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => match name.strip_prefix("#x") {
            Some(hex) => digits(hex, 16)?,
            None => digits(name.strip_prefix('#')?, 10)?,
        },
    };
    char::from_u32(code).filter(|c| match u32::from(*c) {
        0x9 | 0xa | 0xd => true,
        c => c >= 0x20 && c != 0xfffe && c != 0xffff,
    })
}

fn digits(text: &str, radix: u32) -> Option<u32> {
    // from_str_radix would take a sign.
    if text.starts_with(['+', '-']) { None } else { u32::from_str_radix(text, radix).ok() }
}
