//! A pull reader for the XML that vSphere speaks.
//!
//! It borrows everything from the page, checks UTF-8 once, resolves namespaces by URI and never recurses, so that no
//! input can make it panic, allocate without measure or exhaust the stack. It reads XML 1.0 with namespaces, less what
//! no SOAP message may hold: a DOCTYPE is refused, hence there are no entities but the five of XML itself.
//!
//! A page whose bytes turn bad half way (invalid UTF-8, a control character, a tag left open) is readable up to that
//! point: whoever reads events can keep those that came before.
//!
//! Two habits of Go's `encoding/xml` are kept on purpose, since the payload is defined by it: attribute values keep their
//! tabs and line feeds, and an undeclared `xsi` prefix means XML Schema's instance namespace.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memchr3, memmem};

use super::json::plain;

/// The namespace of `xsi:type` and `xsi:nil`.
pub const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// The namespace that the prefix `xml` always has.
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// Elements open at once. No vSphere type nests a hundredth of this; it bounds what a hostile page can make us keep.
const MAX_DEPTH: usize = 10_000;

/// Attributes of one element; comparing each with each stays cheap.
const MAX_ATTRIBUTES: usize = 128;

/// Why a page cannot be read on, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not well-formed XML at byte {offset}: {message}")]
pub struct XmlError {
    /// The byte of the page at which reading stopped.
    pub offset: usize,
    /// What is wrong there.
    pub message: Cow<'static, str>,
}

/// What the reader found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token<'a> {
    /// An element begins; its local name. Attributes are asked of the reader until the next token is read.
    Start(&'a str),
    /// Character data, or a CDATA section, with references resolved and line ends normalised. One element's text may
    /// come in several pieces.
    Text(Cow<'a, str>),
    /// The innermost open element ends.
    End,
    /// The document is complete.
    Eof,
}

/// An attribute as written: the value still holds its references.
#[derive(Debug, Clone, Copy)]
struct Attribute<'a> {
    prefix: &'a str,
    local: &'a str,
    raw: &'a str,
}

/// A namespace declaration, in force while more than `depth` elements are open.
#[derive(Debug)]
struct Binding<'a> {
    depth: usize,
    prefix: &'a str,
    uri: Cow<'a, str>,
}

/// Where an open element's name lies in the page.
#[derive(Debug, Clone, Copy)]
struct Open {
    start: u32,
    len: u32,
}

/// A place to come back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pos: usize,
    open: usize,
    bindings: usize,
    empty: bool,
}

/// Reads one document from the front to the back.
#[derive(Debug)]
pub struct Reader<'a> {
    /// The readable part of the page.
    text: &'a str,
    pos: usize,
    open: Vec<Open>,
    bindings: Vec<Binding<'a>>,
    attributes: Vec<Attribute<'a>>,
    /// The last start tag was `<x/>`: its end is still to be told.
    empty: bool,
    /// Where the last start tag began, and its prefix.
    tag: usize,
    prefix: &'a str,
    /// A root element was seen.
    rooted: bool,
    /// What is wrong with the byte behind `text`, when the page goes on there.
    cut: Option<XmlError>,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `page`. What is wrong with the page is told when reading gets there.
    #[must_use]
    pub fn new(page: &'a [u8]) -> Self {
        let (text, cut) = readable(page);
        let pos = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self {
            text,
            pos,
            open: Vec::new(),
            bindings: Vec::new(),
            attributes: Vec::new(),
            empty: false,
            tag: pos,
            prefix: "",
            rooted: false,
            cut,
        }
    }

    /// The byte that is read next.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.pos
    }

    /// The byte at which the last start tag began.
    #[must_use]
    pub fn tag_offset(&self) -> usize {
        self.tag
    }

    /// How many elements are open.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// The page from `start` to `end`, which must be offsets that this reader gave.
    #[must_use]
    pub fn raw(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or("")
    }

    /// The next token.
    ///
    /// # Errors
    /// When the page is not well-formed here. The reader does not move on then.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Token<'a>, XmlError> {
        if self.empty {
            self.end_empty();
            return Ok(Token::End);
        }
        loop {
            let bytes = self.text.as_bytes();
            let Some(&byte) = bytes.get(self.pos) else { return self.finish() };
            if byte != b'<' {
                if let Some(text) = self.character_data()? {
                    return Ok(Token::Text(text));
                }
                continue;
            }
            match bytes.get(self.pos + 1) {
                Some(b'/') => {
                    self.end_tag()?;
                    return Ok(Token::End);
                }
                Some(b'?') => self.instruction()?,
                Some(b'!') => {
                    if let Some(text) = self.declaration()? {
                        return Ok(Token::Text(text));
                    }
                }
                _ => return self.start_tag().map(Token::Start),
            }
        }
    }

    /// The next child of the open element, by local name; `None` when the element ends instead, which is then behind
    /// the reader. Text in between is passed over.
    ///
    /// # Errors
    /// When the page is not well-formed here, or has ended.
    pub fn child(&mut self) -> Result<Option<&'a str>, XmlError> {
        if self.empty {
            self.end_empty();
            return Ok(None);
        }
        let bytes = self.text.as_bytes();
        // What nearly every vSphere tag looks like: no blank before it, and nothing but a name in it.
        if let [b'<', next, ..] = bytes.get(self.pos..).unwrap_or(&[]) {
            if *next == b'/' {
                self.end_tag()?;
                return Ok(None);
            }
            if NAME[usize::from(*next)] == START {
                return self.start_tag().map(Some);
            }
        }
        loop {
            match self.next()? {
                Token::Start(name) => return Ok(Some(name)),
                Token::End => return Ok(None),
                Token::Text(_) => {}
                Token::Eof => return Err(self.error(self.pos, "the document ends, but an element was expected")),
            }
        }
    }

    /// Reads to the end of the element whose start was the last token, and gives the text that is directly in it.
    ///
    /// # Errors
    /// When the page is not well-formed here.
    pub fn text_of_element(&mut self) -> Result<Cow<'a, str>, XmlError> {
        if let Some(text) = self.simple_text() {
            return Ok(Cow::Borrowed(text));
        }
        let inside = self.depth();
        let mut whole = Cow::Borrowed("");
        loop {
            match self.next()? {
                Token::Text(piece) => {
                    if whole.is_empty() {
                        whole = piece;
                    } else {
                        whole.to_mut().push_str(&piece);
                    }
                }
                Token::Start(_) => self.skip_element()?,
                Token::End if self.depth() < inside => return Ok(whole),
                Token::End => {}
                Token::Eof => return Err(self.error(self.pos, "the document ends inside an element")),
            }
        }
    }

    /// Reads past the end of the element whose start was the last token.
    ///
    /// # Errors
    /// When the page is not well-formed here.
    pub fn skip_element(&mut self) -> Result<(), XmlError> {
        let inside = self.depth();
        loop {
            match self.next()? {
                Token::End if self.depth() < inside => return Ok(()),
                Token::Eof => return Err(self.error(self.pos, "the document ends inside an element")),
                _ => {}
            }
        }
    }

    /// The value of the last start tag's attribute that has this local name and no namespace.
    #[must_use]
    pub fn attribute(&self, local: &str) -> Option<Cow<'a, str>> {
        let found = self.attributes.iter().find(|a| a.prefix.is_empty() && a.local == local)?;
        Some(value(found.raw))
    }

    /// The value of the last start tag's attribute that has this local name in the namespace `uri`.
    #[must_use]
    pub fn attribute_ns(&self, uri: &str, local: &str) -> Option<Cow<'a, str>> {
        let found = self
            .attributes
            .iter()
            .find(|a| !a.prefix.is_empty() && a.local == local && self.resolve(a.prefix) == Some(uri))?;
        Some(value(found.raw))
    }

    /// The last start tag's `xsi:type`, whatever the prefix is.
    #[must_use]
    pub fn xsi_type(&self) -> Option<Cow<'a, str>> {
        if self.attributes.is_empty() { None } else { self.attribute_ns(XSI, "type") }
    }

    /// The last start tag's attribute `type`, as govmomi reads it for a reference: in any namespace but XML Schema's.
    #[must_use]
    pub(super) fn reference_type(&self) -> Option<Cow<'a, str>> {
        let found = self
            .attributes
            .iter()
            .rfind(|a| a.local == "type" && (a.prefix.is_empty() || self.resolve(a.prefix) != Some(XSI)))?;
        Some(value(found.raw))
    }

    /// The namespace of the last start tag's element.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.resolve(self.prefix)
    }

    /// The reader's place inside the element whose start was the last token, to come back to before that element ends.
    #[must_use]
    pub(super) fn mark(&self) -> Mark {
        Mark { pos: self.pos, open: self.open.len(), bindings: self.bindings.len(), empty: self.empty }
    }

    /// Goes back to a mark whose element is still open.
    pub(super) fn rewind(&mut self, mark: Mark) {
        self.pos = mark.pos;
        self.open.truncate(mark.open);
        self.bindings.truncate(mark.bindings);
        self.empty = mark.empty;
    }

    fn resolve(&self, prefix: &str) -> Option<&str> {
        match self.bindings.iter().rfind(|b| b.prefix == prefix) {
            Some(binding) => Some(&*binding.uri),
            None if prefix == "xml" => Some(XML),
            None if prefix == "xsi" => Some(XSI),
            None => None,
        }
    }

    /// The rest of the open element, when it is nothing but text that means what it says, its end tag included. The
    /// reader moves only if so.
    #[inline]
    fn simple_text(&mut self) -> Option<&'a str> {
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
    pub(super) fn leaf(&mut self, name: &str) -> Option<(&'a str, usize)> {
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
    pub(super) fn raw_text(&mut self) -> Option<(&'a str, usize)> {
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
    pub(super) fn typed_leaf(&mut self, name: &str) -> Option<(&'a str, &'a str)> {
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

    #[inline]
    fn close(&mut self) {
        self.open.pop();
        while self.bindings.last().is_some_and(|b| b.depth >= self.open.len()) {
            self.bindings.pop();
        }
    }

    #[inline]
    fn end_empty(&mut self) {
        self.empty = false;
        self.close();
    }

    fn finish(&self) -> Result<Token<'a>, XmlError> {
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
    fn error(&self, offset: usize, message: impl Into<Cow<'static, str>>) -> XmlError {
        match &self.cut {
            Some(cut) if offset >= self.text.len() => cut.clone(),
            _ => XmlError { offset, message: message.into() },
        }
    }

    /// Something that must be closed by `what` is not.
    #[cold]
    fn unclosed(&self, start: usize, what: &str) -> XmlError {
        match &self.cut {
            Some(cut) => cut.clone(),
            None => XmlError { offset: start, message: format!("{what} is never closed").into() },
        }
    }

    #[inline]
    fn start_tag(&mut self) -> Result<&'a str, XmlError> {
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
    fn attributes(&mut self, mut at: usize) -> Result<(), XmlError> {
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
    fn end_tag(&mut self) -> Result<(), XmlError> {
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
    fn character_data(&mut self) -> Result<Option<Cow<'a, str>>, XmlError> {
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
    fn instruction(&mut self) -> Result<(), XmlError> {
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
    fn declaration(&mut self) -> Result<Option<Cow<'a, str>>, XmlError> {
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
}

/// The part of a page that can be read, and what is wrong behind it.
fn readable(page: &[u8]) -> (&str, Option<XmlError>) {
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

const START: u8 = 2;
const INNER: u8 = 1;

/// Which bytes may begin a name, or go on in one. Beyond ASCII everything may: telling letters apart there would only
/// refuse pages that every vSphere client takes.
static NAME: [u8; 256] = {
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
static PLAIN: [bool; 256] = {
    let mut class = [false; 256];
    class[b'<' as usize] = true;
    class[b'>' as usize] = true;
    class[b'&' as usize] = true;
    class[b'\r' as usize] = true;
    class
};

/// The length of `</name>`, if `rest` begins with it.
#[inline]
fn ends(rest: &[u8], name: &[u8]) -> Option<usize> {
    let close = name.len() + 2;
    let found = rest.get(..=close)?;
    (found[0] == b'<' && found[1] == b'/' && found[close] == b'>' && same(&found[2..close], name)).then_some(close + 1)
}

/// Where the name at `start` ends, and where its first colon is.
#[inline]
fn name_end(bytes: &[u8], start: usize) -> (usize, Option<usize>) {
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
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    const WORD: usize = 8;
    if a.len() != b.len() {
        return false;
    }
    let (Some(first), Some(last)) = (a.first_chunk::<WORD>(), a.last_chunk::<WORD>()) else {
        return a.iter().zip(b).all(|(a, b)| a == b);
    };
    if b.first_chunk() != Some(first) || b.last_chunk() != Some(last) {
        return false;
    }
    a.len() <= 2 * WORD || a[WORD..a.len() - WORD] == b[WORD..b.len() - WORD]
}

#[inline]
fn skip_blanks(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// `encoding="..."` and the like in an XML declaration.
fn pseudo_attribute<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let rest = body[body.find(name)? + name.len()..].trim_start().strip_prefix('=')?.trim_start();
    let mark = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    rest[1..].split(mark).next()
}

/// An attribute's value, whose references were checked when its tag was read.
fn value(raw: &str) -> Cow<'_, str> {
    unescape(raw).unwrap_or(Cow::Borrowed(raw))
}

/// Text as XML means it: references resolved, line ends normalised.
fn unescape(raw: &str) -> Result<Cow<'_, str>, (usize, Cow<'static, str>)> {
    if memchr2(b'&', b'\r', raw.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(raw));
    }
    let mut text = String::with_capacity(raw.len());
    resolve_references(raw, &mut text)?;
    Ok(Cow::Owned(text))
}

/// Where `]]>` is, which is forbidden in text.
fn closes_cdata(raw: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'>', raw).find(|at| *at >= 2 && raw[at - 2..*at] == *b"]]").map(|at| at - 2)
}

/// CRLF and CR become LF.
fn normalise(raw: &str) -> Cow<'_, str> {
    if memchr(b'\r', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n"))
}

/// Appends `raw` to `out`, references resolved and line ends normalised.
fn resolve_references(raw: &str, out: &mut String) -> Result<(), (usize, Cow<'static, str>)> {
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
pub(super) fn reference(text: &str) -> Option<(char, usize)> {
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

#[cfg(test)]
#[path = "xml_tests.rs"]
mod tests;
