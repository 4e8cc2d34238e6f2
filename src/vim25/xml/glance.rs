//! Elements that can be read at a glance: those that look exactly as vSphere's servers write them. Whatever looks another
//! way is left to the reader's other methods.

use memchr::memchr;

use super::scan::{PLAIN, ends, same};
use super::{MAX_DEPTH, Open, Reader};
use crate::vim25::json::plain;

impl<'a> Reader<'a> {
    /// The rest of the open element, when it is nothing but text that means what it says, its end tag included. The
    /// reader moves only if so.
    #[inline]
    pub(super) fn simple_text(&mut self) -> Option<&'a str> {
        if self.empty {
            self.end_empty();
            return Some("");
        }
        let bytes = self.text.as_bytes();
        let start = self.pos;
        let rest = bytes.get(start..)?;
        let len = rest.iter().position(|b| PLAIN[usize::from(*b)])?;
        let open = *self.open.last()?;
        let name = bytes.get(open.start as usize..)?.get(..open.len as usize)?;
        let end = ends(&rest[len..], name)?;
        self.pos = start + len + end;
        self.close();
        self.text.get(start..start + len)
    }

    /// The whole element `<name>text</name>`, if that is what comes next, to the letter: its text as written, and how much
    /// of that needs no escaping in JSON. The reader moves only if so.
    #[inline]
    pub(in crate::vim25) fn leaf(&mut self, name: &str) -> Option<(&'a str, usize)> {
        let start = self.begins(name)?;
        if self.text.as_bytes().get(start) != Some(&b'>') {
            return None;
        }
        let (text, plain, end) = self.body(start + 1, name.as_bytes())?;
        self.pos = end;
        Some((text, plain))
    }

    /// The rest of the open element, likewise.
    #[inline]
    pub(in crate::vim25) fn raw_text(&mut self) -> Option<(&'a str, usize)> {
        if self.empty {
            self.end_empty();
            return Some(("", 0));
        }
        let open = *self.open.last()?;
        let name = self.text.as_bytes().get(open.start as usize..)?.get(..open.len as usize)?;
        let (text, plain, end) = self.body(self.pos, name)?;
        self.pos = end;
        self.close();
        Some((text, plain))
    }

    /// The whole element `<name type="of">text</name>`, likewise, if neither needs escaping: the type and the text.
    #[inline]
    pub(in crate::vim25) fn typed_leaf(&mut self, name: &str) -> Option<(&'a str, &'a str)> {
        const TYPE: &[u8] = b" type=\"";
        let start = self.begins(name)? + TYPE.len();
        let bytes = self.text.as_bytes();
        if bytes.get(start - TYPE.len()..start)? != TYPE {
            return None;
        }
        let len = plain(&bytes[start..]);
        if bytes.get(start + len..start + len + 2)? != b"\">" {
            return None;
        }
        let (text, plain, end) = self.body(start + len + 2, name.as_bytes())?;
        if plain != text.len() {
            return None;
        }
        self.pos = end;
        Some((&self.text[start..start + len], text))
    }

    /// Reads the start tag `<name>`, if that is what comes next, to the letter.
    #[inline]
    pub(in crate::vim25) fn enter(&mut self, name: &str) -> bool {
        let Some(end) = self.begins(name) else { return false };
        if self.text.as_bytes().get(end) != Some(&b'>') || self.open.is_empty() || self.open.len() >= MAX_DEPTH {
            return false;
        }
        self.attributes.clear();
        self.prefix = "";
        self.tag = self.pos;
        // `readable` cuts a page before offsets outgrow 32 bits.
        #[allow(clippy::cast_possible_truncation)]
        self.open.push(Open { start: self.pos as u32 + 1, len: name.len() as u32 });
        self.pos = end + 1;
        true
    }

    /// Where a tag's name ends, if `<name` is what comes next, inside the open element.
    #[inline]
    fn begins(&self, name: &str) -> Option<usize> {
        let bytes = self.text.as_bytes();
        if self.empty || bytes.get(self.pos) != Some(&b'<') {
            return None;
        }
        let start = self.pos + 1;
        let end = start + name.len();
        same(bytes.get(start..end)?, name.as_bytes()).then_some(end)
    }

    /// The text at `start`, how much of it needs no escaping, and where `</name>` behind it ends.
    #[inline]
    fn body(&self, start: usize, name: &[u8]) -> Option<(&'a str, usize, usize)> {
        let rest = self.text.as_bytes().get(start..)?;
        let plain = plain(rest);
        let len = match rest.get(plain)? {
            b'<' => plain,
            _ => plain + memchr(b'<', &rest[plain..])?,
        };
        let end = ends(&rest[len..], name)?;
        Some((&self.text[start..start + len], plain, start + len + end))
    }
}
