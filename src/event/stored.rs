//! An event as bytes that can be kept: a small header of numbers, and the event's own bytes behind it.

use std::sync::Arc;

use bytes::Bytes;

use super::{Event, Parts, Span};

/// There is a key; there is a CreatedTime.
const KEY: u64 = 1;
const CREATED: u64 = 2;

/// Writes a number in groups of seven bits, the lowest first.
pub(crate) fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads such a number off the front of `bytes`; none if it does not end or is too large.
pub(crate) fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(first & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        number |= part << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Takes so many bytes off the front.
pub(crate) fn read_part<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (part, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(part)
}

/// Writes a text with its length before it.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    write_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Reads such a text off the front.
pub(crate) fn read_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(read_number(bytes)?).ok()?;
    std::str::from_utf8(read_part(bytes, length)?).ok()
}

/// Signed numbers, so that small ones are short.
pub(crate) fn write_signed(out: &mut Vec<u8>, number: i64) {
    write_number(out, (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned());
}

pub(crate) fn read_signed(bytes: &mut &[u8]) -> Option<i64> {
    let number = read_number(bytes)?;
    Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
}

impl Event {
    /// Adds the event to what is to be kept. Its stream is kept by whoever keeps it.
    pub(crate) fn store(&self, out: &mut Vec<u8>) {
        let parts = &*self.0;
        let flags = u64::from(parts.key.is_some()) * KEY + u64::from(parts.created.is_some()) * CREATED;
        write_number(out, parts.bytes.len() as u64);
        write_number(out, flags);
        write_number(out, u64::from(parts.json));
        for span in [parts.id, parts.kind, parts.subject, parts.time, parts.data, parts.entity] {
            write_number(out, u64::from(span.start));
            write_number(out, u64::from(span.len));
        }
        if let Some(key) = parts.key {
            write_signed(out, key.into());
        }
        if let Some(created) = parts.created {
            write_signed(out, created);
        }
        out.extend_from_slice(&parts.bytes);
    }

    /// Passes over an event at the front of `from`, and says its key and CreatedTime.
    pub(crate) fn glance(from: &mut &[u8]) -> Option<(Option<i32>, Option<i64>)> {
        let length = usize::try_from(read_number(from)?).ok()?;
        let flags = read_number(from)?;
        for _ in 0..13 {
            read_number(from)?;
        }
        let key = if flags & KEY > 0 { Some(i32::try_from(read_signed(from)?).ok()?) } else { None };
        let created = if flags & CREATED > 0 { Some(read_signed(from)?) } else { None };
        *from = from.get(length..)?;
        Some((key, created))
    }

    /// Takes an event off the front of `from`, whose bytes it shares; none if that is no event.
    pub(crate) fn restore(from: &mut Bytes, stream: &Arc<str>) -> Option<Self> {
        let mut head = &from[..];
        let length = usize::try_from(read_number(&mut head)?).ok()?;
        let flags = read_number(&mut head)?;
        let json = u32::try_from(read_number(&mut head)?).ok()?;
        let mut spans = [Span::default(); 6];
        for span in &mut spans {
            let start = u32::try_from(read_number(&mut head)?).ok()?;
            let len = u32::try_from(read_number(&mut head)?).ok()?;
            if start as usize + len as usize > length {
                return None;
            }
            *span = Span { start, len };
        }
        let key = if flags & KEY > 0 { Some(i32::try_from(read_signed(&mut head)?).ok()?) } else { None };
        let created = if flags & CREATED > 0 { Some(read_signed(&mut head)?) } else { None };
        if json as usize > length || head.len() < length || flags > KEY | CREATED {
            return None;
        }
        let [id, kind, subject, time, data, entity] = spans;
        let _head = from.split_to(from.len() - head.len());
        let bytes = from.split_to(length);
        let stream = Arc::clone(stream);
        Some(Self(Arc::new(Parts { bytes, stream, json, id, kind, subject, time, entity, data, key, created })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Attributes, PageBuilder};

    fn same(one: &Event, other: &Event) {
        let parts = |event: &Event| {
            let texts = [event.id(), event.kind(), event.subject(), event.time(), event.entity()].map(str::to_owned);
            (texts, event.json(), event.data(), event.key(), event.created(), event.size())
        };
        assert_eq!(parts(one), parts(other));
    }

    #[test]
    fn an_event_comes_back_as_it_was() {
        let mut page = PageBuilder::new("vc".into(), "s", &[("vsphereapiversion", "8.0")]);
        page.push(
            &Attributes {
                id: "1",
                kind: "k",
                subject: "a\"b",
                time: "t",
                entity: "VM:1",
                key: Some(-5),
                created: Some(i64::MIN),
            },
            b"{}",
        );
        page.push(&Attributes { id: "2", ..Attributes::default() }, &[b'7'; 3000]);
        let events = page.finish();
        let mut stored = Vec::new();
        events.iter().for_each(|event| event.store(&mut stored));
        let mut from = Bytes::from(stored.clone());
        let mut glanced = &stored[..];
        let keys: Vec<_> = std::iter::from_fn(|| Event::glance(&mut glanced)).collect();
        assert_eq!(keys, [(Some(-5), Some(i64::MIN)), (None, None)]);
        let stream = "vc".into();
        for event in &events {
            same(&Event::restore(&mut from, &stream).unwrap(), event);
        }
        assert!(from.is_empty() && Event::restore(&mut from, &stream).is_none());
        for cut in 0..stored.len() {
            let mut from = Bytes::copy_from_slice(&stored[..cut]);
            let all = std::iter::from_fn(|| Event::restore(&mut from, &stream)).count();
            assert!(all < 2, "cut at {cut}");
        }
    }

    #[test]
    fn numbers_come_back_as_they_were() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            write_number(&mut out, number);
            write_signed(&mut out, number.cast_signed());
            let mut bytes = &out[..];
            assert_eq!((read_number(&mut bytes), read_signed(&mut bytes)), (Some(number), Some(number.cast_signed())));
            assert!(bytes.is_empty() && read_number(&mut bytes).is_none());
        }
        assert_eq!(read_number(&mut &[0xff; 10][..]), None, "too large");
    }
}
