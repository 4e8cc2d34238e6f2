//! The reader's grammar: tags, attributes, text, comments, and what is wrong with them.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memchr3, memmem};

use super::scan::{
    NAME, START, closes_cdata, name_end, normalise, pseudo_attribute, resolve_references, same, skip_blanks,
};
use super::scan::{unescape, value};
use super::{Attribute, Binding, MAX_ATTRIBUTES, MAX_DEPTH, Open, Reader, Token, XmlError};

impl<'a> Reader<'a> {
    #[inline]
    pub(super) fn start_tag(&mut self) -> Result<&'a str, XmlError> {
        let bytes = self.text.as_bytes();
        let tag = self.pos;
        let start = tag + 1;
        let (end, colon) = name_end(bytes, start);
        if end == start || NAME[usize::from(bytes[start])] != START {
            return Err(self.error(start, "a tag must begin with a name"));
        }
        if self.open.is_empty() && self.rooted {
            return Err(self.error(tag, "a second root element"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(self.error(tag, format!("elements are nested more than {MAX_DEPTH} deep")));
        }
        self.attributes.clear();
        self.empty = false;
        self.tag = tag;
        self.rooted = true;
        // `readable` cuts a page before offsets outgrow 32 bits.
        #[allow(clippy::cast_possible_truncation)]
        self.open.push(Open { start: start as u32, len: (end - start) as u32 });
        let local = match colon {
            None => {
                self.prefix = "";
                start
            }
            Some(colon) => {
                self.prefix = &self.text[start..colon];
                colon + 1
            }
        };
        if bytes.get(end) == Some(&b'>') {
            self.pos = end + 1;
        } else if let Err(error) = self.attributes(end) {
            self.close();
            return Err(error);
        }
        if local == end {
            return Err(self.error(end, "a name must go on behind its colon"));
        }
        Ok(&self.text[local..end])
    }

    /// Reads attributes from `at` to the end of the tag.
    pub(super) fn attributes(&mut self, mut at: usize) -> Result<(), XmlError> {
        let bytes = self.text.as_bytes();
        loop {
            let blank = at;
            at = skip_blanks(bytes, at);
            match bytes.get(at) {
                None => return Err(self.unclosed(self.tag, "a start tag")),
                Some(b'>') => {
                    self.pos = at + 1;
                    return Ok(());
                }
                Some(b'/') if bytes.get(at + 1) == Some(&b'>') => {
                    self.pos = at + 2;
                    self.empty = true;
                    return Ok(());
                }
                Some(_) => {}
            }
            let (end, colon) = name_end(bytes, at);
            if end == at || NAME[usize::from(bytes[at])] != START {
                return Err(self.error(at, "expected an attribute, > or />"));
            }
            if blank == at {
                return Err(self.error(at, "an attribute must be set off by a blank"));
            }
            let equals = skip_blanks(bytes, end);
            if bytes.get(equals) != Some(&b'=') {
                return Err(self.error(equals, "an attribute must have a value"));
            }
            let quote = skip_blanks(bytes, equals + 1);
            let mark = match bytes.get(quote) {
                Some(mark @ (b'"' | b'\'')) => *mark,
                _ => return Err(self.error(quote, "an attribute's value must be quoted")),
            };
            let from = quote + 1;
            let Some(len) = memchr2(mark, b'<', &bytes[from..]) else {
                return Err(self.unclosed(quote, "an attribute's value"));
            };
            if bytes[from + len] == b'<' {
                return Err(self.error(from + len, "a raw < in an attribute's value"));
            }
            let raw = &self.text[from..from + len];
            if memchr(b'&', raw.as_bytes()).is_some()
                && let Err((offset, message)) = resolve_references(raw, &mut String::new())
            {
                return Err(self.error(from + offset, message));
            }
            let (prefix, local) = match colon {
                None => ("", &self.text[at..end]),
                Some(colon) => (&self.text[at..colon], &self.text[colon + 1..end]),
            };
            if self.attributes.iter().any(|a| a.prefix == prefix && a.local == local) {
                return Err(self.error(at, format!("the attribute {} is there twice", &self.text[at..end])));
            }
            if self.attributes.len() >= MAX_ATTRIBUTES {
                return Err(self.error(at, format!("an element with more than {MAX_ATTRIBUTES} attributes")));
            }
            let declared = match (prefix, local) {
                ("", "xmlns") => Some(""),
                ("xmlns", name) => Some(name),
                _ => None,
            };
            if let Some(prefix) = declared {
                self.bindings.push(Binding { depth: self.open.len() - 1, prefix, uri: value(raw) });
            }
            self.attributes.push(Attribute { prefix, local, raw });
            at = from + len + 1;
        }
    }

    #[inline]
    pub(super) fn end_tag(&mut self) -> Result<(), XmlError> {
        let bytes = self.text.as_bytes();
        let at = self.pos + 2;
        let Some(open) = self.open.last() else {
            return Err(self.error(self.pos, "an end tag, but no element is open"));
        };
        let (start, len) = (open.start as usize, open.len as usize);
        let end = at + len;
        if bytes.get(at..end).is_some_and(|found| same(found, &bytes[start..start + len])) {
            let close = if bytes.get(end) == Some(&b'>') { end } else { skip_blanks(bytes, end) };
            match bytes.get(close) {
                Some(b'>') => {
                    self.pos = close + 1;
                    self.close();
                    return Ok(());
                }
                None => return Err(self.unclosed(self.pos, "an end tag")),
                Some(_) => {}
            }
        }
        let (found, _) = name_end(bytes, at);
        let name = &self.text[start..start + len];
        let message = format!("</{}> where </{name}> was expected", &self.text[at.min(found)..found]);
        Err(self.error(self.pos, message))
    }

    /// The text up to the next `<`; nothing outside the root element, where only blanks may be.
    pub(super) fn character_data(&mut self) -> Result<Option<Cow<'a, str>>, XmlError> {
        let start = self.pos;
        let rest = &self.text[start..];
        let len = memchr(b'<', rest.as_bytes()).unwrap_or(rest.len());
        let raw = &rest[..len];
        if self.open.is_empty() {
            let blank = skip_blanks(self.text.as_bytes(), start);
            if blank < start + len {
                return Err(self.error(blank, "text outside the root element"));
            }
            self.pos = start + len;
            return Ok(None);
        }
        let text = match memchr3(b'>', b'&', b'\r', raw.as_bytes()) {
            None => Cow::Borrowed(raw),
            Some(_) => {
                if let Some(at) = closes_cdata(raw.as_bytes()) {
                    return Err(self.error(start + at, "a raw ]]> in text"));
                }
                match unescape(raw) {
                    Ok(text) => text,
                    Err((offset, message)) => return Err(self.error(start + offset, message)),
                }
            }
        };
        if len == rest.len() {
            // Whatever comes next, this piece is not followed by a tag.
            self.pos = self.text.len();
            return Err(self.finish().err().unwrap_or_else(|| self.error(self.text.len(), "the page ends in text")));
        }
        self.pos = start + len;
        Ok(Some(text))
    }

    /// `<?target ...?>`
    pub(super) fn instruction(&mut self) -> Result<(), XmlError> {
        let start = self.pos;
        let body = &self.text[start + 2..];
        let Some(len) = memmem::find(body.as_bytes(), b"?>") else {
            return Err(self.unclosed(start, "a processing instruction"));
        };
        let body = &body[..len];
        if body.starts_with("xml") && body.as_bytes().get(3).is_none_or(u8::is_ascii_whitespace) {
            if let Some(encoding) = pseudo_attribute(body, "encoding")
                && !encoding.eq_ignore_ascii_case("utf-8")
            {
                return Err(self.error(start, format!("the encoding is {encoding}, and only UTF-8 is read")));
            }
        } else if name_end(body.as_bytes(), 0).0 == 0 {
            return Err(self.error(start + 2, "a processing instruction must begin with a name"));
        }
        self.pos = start + 2 + len + 2;
        Ok(())
    }

    /// `<!--`, `<![CDATA[`, or what we refuse.
    pub(super) fn declaration(&mut self) -> Result<Option<Cow<'a, str>>, XmlError> {
        let start = self.pos;
        let rest = &self.text[start..];
        if let Some(body) = rest.strip_prefix("<!--") {
            let Some(len) = memmem::find(body.as_bytes(), b"--") else {
                return Err(self.unclosed(start, "a comment"));
            };
            match body.as_bytes().get(len + 2) {
                Some(b'>') => {}
                None => return Err(self.unclosed(start, "a comment")),
                Some(_) => return Err(self.error(start + 4 + len, "-- inside a comment")),
            }
            self.pos = start + 4 + len + 3;
            return Ok(None);
        }
        if let Some(body) = rest.strip_prefix("<![CDATA[") {
            if self.open.is_empty() {
                return Err(self.error(start, "text outside the root element"));
            }
            let Some(len) = memmem::find(body.as_bytes(), b"]]>") else {
                return Err(self.unclosed(start, "a CDATA section"));
            };
            self.pos = start + 9 + len + 3;
            return Ok(Some(normalise(&body[..len])));
        }
        if rest.starts_with("<!DOCTYPE") {
            return Err(
                self.error(start, "a DOCTYPE is refused: SOAP messages have none, and entities are not expanded")
            );
        }
        if "<!DOCTYPE".starts_with(rest) || "<![CDATA[".starts_with(rest) || "<!--".starts_with(rest) {
            return Err(self.unclosed(start, "a declaration"));
        }
        Err(self.error(start, "a declaration that is neither comment nor CDATA"))
    }

    #[inline]
    pub(super) fn close(&mut self) {
        self.open.pop();
        while self.bindings.last().is_some_and(|b| b.depth >= self.open.len()) {
            self.bindings.pop();
        }
    }

    #[inline]
    pub(super) fn end_empty(&mut self) {
        self.empty = false;
        self.close();
    }

    pub(super) fn finish(&self) -> Result<Token<'a>, XmlError> {
        if let Some(cut) = &self.cut {
            return Err(cut.clone());
        }
        if let Some(open) = self.open.last() {
            let name = self.raw(open.start as usize, open.start as usize + open.len as usize);
            return Err(self.error(self.pos, format!("the page ends, but <{name}> is still open")));
        }
        if !self.rooted {
            return Err(self.error(self.pos, "there is no element"));
        }
        Ok(Token::Eof)
    }

    /// An error at `offset`; at the end of what is readable, what is wrong there is the better answer.
    #[cold]
    pub(super) fn error(&self, offset: usize, message: impl Into<Cow<'static, str>>) -> XmlError {
        match &self.cut {
            Some(cut) if offset >= self.text.len() => cut.clone(),
            _ => XmlError { offset, message: message.into() },
        }
    }

    /// Something that must be closed by `what` is not.
    #[cold]
    pub(super) fn unclosed(&self, start: usize, what: &str) -> XmlError {
        match &self.cut {
            Some(cut) => cut.clone(),
            None => XmlError { offset: start, message: format!("{what} is never closed").into() },
        }
    }
}
