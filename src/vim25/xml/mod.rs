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

mod glance;
mod markup;
mod scan;

use scan::{NAME, START, readable, value};
pub(super) use scan::{reference, same};

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
}

#[cfg(test)]
mod tests;
