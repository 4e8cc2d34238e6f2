//! From a page of XML to JSON events, in one pass.
//!
//! An event goes the straight way (`straight.rs`) if it can. Whenever it does not (an element repeated or out of order, a
//! bad value, a type the table does not know), what was written is thrown away and the event is read again with care, in
//! `careful.rs`.

use std::borrow::Cow;
use std::ops::Range;

use super::careful;
use super::plan::Plans;
use super::schema::{Shape, find};
use super::straight::{Stop, Straight};
use super::xml::{Reader, XmlError};

/// Objects inside each other; the deepest that vSphere's types and a chain of fault causes make is a fraction of it.
pub(super) const MAX_DEPTH: u32 = 128;

/// What an event's class makes of its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The class says what happened.
    Event,
    /// An `EventEx`: its `eventTypeId` does.
    EventEx,
    /// An `ExtendedEvent`: likewise.
    ExtendedEvent,
}

impl EventKind {
    /// The last word of the CloudEvents type.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::EventEx => "eventex",
            Self::ExtendedEvent => "extendedevent",
        }
    }
}

/// When an event was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created<'a> {
    /// RFC 3339, as in the event's data.
    pub text: &'a str,
    /// Microseconds since 1970.
    pub micros: i64,
}

/// One event of a page.
#[derive(Debug)]
pub struct Decoded<'a> {
    /// The event's class as on the wire; empty if it said none.
    pub class: &'a str,
    /// Which kind of event that is.
    pub kind: EventKind,
    /// What a subscriber names: the class, or an `EventEx`'s or `ExtendedEvent`'s `eventTypeId`.
    pub subject: &'a str,
    /// vCenter's number for it.
    pub key: Option<i32>,
    /// When it was created.
    pub created: Option<Created<'a>>,
    /// Whose order it belongs to, as `type:value` of the reference: its VM, else host, compute resource, datastore,
    /// network, datacenter.
    pub entity: Option<&'a str>,
    /// The payload: a JSON object.
    pub data: &'a [u8],
    /// Why it was not decoded in full; `data` then has `DecodeError` and `RawXml`.
    pub error: Option<&'a str>,
    /// The event's XML element.
    pub raw: &'a [u8],
}

/// What a page said besides its events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageSummary {
    /// How many events there were.
    pub events: usize,
    /// WaitForUpdatesEx: the version to wait from next.
    pub version: Option<String>,
    /// WaitForUpdatesEx: there is more, ask again at once.
    pub truncated: bool,
}

/// Why a page could not be read to its end. Events before that were given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// Not XML, or not from some byte on.
    #[error(transparent)]
    NotWellFormed(#[from] XmlError),
    /// The server answered with a SOAP fault.
    #[error("the server answered {fault}: {message}")]
    Fault {
        /// Its type, such as `NotAuthenticated`; the SOAP fault code if there is no detail.
        fault: String,
        /// What the server says, in the server's language.
        message: String,
    },
    /// XML, but no SOAP response.
    #[error("the page is no SOAP response: {0}")]
    NotSoap(String),
}

/// Turns pages into events. It keeps its buffers, so one decoder should serve one stream for as long as it lives.
#[derive(Debug)]
pub struct Decoder {
    plans: Plans,
    out: Vec<u8>,
    facts: Facts,
    error: String,
}

/// A page of which the rest is not read yet.
#[derive(Debug)]
pub struct Unread<'a> {
    reader: Reader<'a>,
    /// It is a list of events, and nothing else.
    list: bool,
    summary: PageSummary,
}

impl<'a> Unread<'a> {
    /// Opens a response for [`Decoder::read`]: a page of a thousand events takes milliseconds, in which others may have
    /// something to do.
    ///
    /// # Errors
    /// As those of [`Decoder::page`].
    pub fn open(page: &'a [u8]) -> Result<Self, PageError> {
        let mut reader = Reader::new(page);
        let response = match enter(&mut reader)? {
            Some(response) => response,
            None => return Err(PageError::NotSoap("its Body is empty".into())),
        };
        if response == "Fault" {
            return Err(fault(&mut reader)?);
        }
        let Some(name) = response.strip_suffix("Response") else {
            return Err(PageError::NotSoap(format!("its Body holds <{response}>")));
        };
        let list = matches!(name, "ReadNextEvents" | "ReadPreviousEvents" | "QueryEvents");
        Ok(Self { reader, list, summary: PageSummary::default() })
    }
}

/// What the event's own elements say about it.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) key: Option<i32>,
    pub(super) created: Option<(Range<usize>, i64)>,
    pub(super) subject: String,
    entity: String,
    rank: u8,
    /// The rank of the entity being read, or 0.
    pub(super) watching: u8,
}

impl Facts {
    pub(super) fn clear(&mut self) {
        self.key = None;
        self.created = None;
        self.subject.clear();
        self.entity.clear();
        self.rank = 0;
        self.watching = 0;
    }

    /// A reference was read; it may be the entity's.
    #[inline]
    pub(super) fn reference(&mut self, of: &str, value: &str) {
        if self.watching != 0 && (self.rank == 0 || self.watching <= self.rank) && !value.is_empty() {
            self.rank = self.watching;
            self.entity.clear();
            self.entity.push_str(of);
            self.entity.push(':');
            self.entity.push_str(value);
        }
    }
}

impl Decoder {
    /// A decoder that writes this shape.
    #[must_use]
    pub fn new(shape: Shape) -> Self {
        Self { plans: Plans::new(shape), out: Vec::new(), facts: Facts::default(), error: String::new() }
    }

    /// The shape that this decoder writes.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.plans.shape
    }

    /// Calls `each` for every event of a response, in the order of the wire: that of ReadNextEvents or QueryEvents, and
    /// whatever events are among the properties that WaitForUpdatesEx or RetrievePropertiesEx bring.
    ///
    /// # Errors
    /// When the page is not well-formed (from some byte on: the events before it were given), a SOAP fault, or no SOAP
    /// response.
    pub fn page(&mut self, page: &[u8], mut each: impl FnMut(Decoded<'_>)) -> Result<PageSummary, PageError> {
        let mut unread = Unread::open(page)?;
        while self.read(&mut unread, usize::MAX, &mut each)? {}
        Ok(unread.summary)
    }

    /// Calls `each` for the next events of a page, `most` at most, or for all of them where they are not in a list. Whether
    /// there may be more.
    ///
    /// # Errors
    /// As those of [`Decoder::page`]. The rest of the page cannot be read then.
    pub fn read(
        &mut self,
        unread: &mut Unread<'_>,
        most: usize,
        mut each: impl FnMut(Decoded<'_>),
    ) -> Result<bool, PageError> {
        let Unread { reader, list, summary } = unread;
        if *list {
            let before = summary.events;
            while let Some(child) = reader.child()? {
                if child != "returnval" {
                    reader.skip_element()?;
                    continue;
                }
                self.event(reader, summary, &mut each)?;
                if summary.events - before >= most {
                    return Ok(true);
                }
            }
        } else {
            self.properties(reader, summary, &mut each)?;
        }
        // What follows must be well-formed too, or the page may be a part of one.
        while reader.next()? != super::xml::Token::Eof {}
        Ok(false)
    }

    /// Goes through the properties in a response and takes the events among them.
    fn properties(
        &mut self,
        reader: &mut Reader<'_>,
        summary: &mut PageSummary,
        each: &mut impl FnMut(Decoded<'_>),
    ) -> Result<(), XmlError> {
        let outside = reader.depth();
        let mut property = Cow::Borrowed("");
        loop {
            let Some(name) = reader.child()? else {
                if reader.depth() < outside {
                    return Ok(());
                }
                continue;
            };
            match name {
                "returnval" | "filterSet" | "objectSet" | "changeSet" | "objects" | "propSet" => {}
                "version" => summary.version = Some(reader.text_of_element()?.into_owned()),
                "truncated" => summary.truncated = matches!(&*reader.text_of_element()?, "true" | "1"),
                "name" => property = reader.text_of_element()?,
                "val" => {
                    let latest = property.starts_with("latestPage") || property == "latestEvent";
                    let of = reader.xsi_type().unwrap_or_default();
                    let of = of.strip_prefix("vim25:").unwrap_or(&of);
                    if of == "ArrayOfEvent" {
                        while let Some(item) = reader.child()? {
                            if item == "Event" {
                                self.event(reader, summary, each)?;
                            } else {
                                reader.skip_element()?;
                            }
                        }
                    } else if latest || find(of, self.plans.shape).is_some_and(|of| self.plans.is_event(of)) {
                        self.event(reader, summary, each)?;
                    } else {
                        reader.skip_element()?;
                    }
                }
                _ => reader.skip_element()?,
            }
        }
    }

    /// Reads the event whose start tag was just read.
    fn event(
        &mut self,
        reader: &mut Reader<'_>,
        summary: &mut PageSummary,
        each: &mut impl FnMut(Decoded<'_>),
    ) -> Result<(), XmlError> {
        let start = reader.tag_offset();
        let class = reader.xsi_type().unwrap_or_default();
        let name = if class.is_empty() { "Event" } else { class.strip_prefix("vim25:").unwrap_or(&class) };
        let known = find(name, self.plans.shape);
        let event = known.filter(|of| self.plans.is_event(*of));
        let mark = reader.mark();
        let done = match event {
            Some(of) => {
                self.out.clear();
                self.facts.clear();
                self.error.clear();
                let plan = self.plans.get(of);
                let mut straight =
                    Straight { reader: &mut *reader, plans: &self.plans, out: &mut self.out, facts: &mut self.facts };
                match straight.object(plan, 0) {
                    Ok(()) => true,
                    Err(Stop::Careful) => false,
                    Err(Stop::Xml(error)) => return Err(error),
                }
            }
            None => false,
        };
        if !done {
            reader.rewind(mark);
            self.out.clear();
            self.facts.clear();
            self.error.clear();
            let tree = careful::read(reader)?;
            let raw = reader.raw(start, reader.offset());
            let careful = careful::Careful::new(&tree, &self.plans, &mut self.out, &mut self.facts, &mut self.error);
            careful.event(name, known, raw);
        }
        let kind = match event {
            Some(of) if self.plans.is_event_ex(of) => EventKind::EventEx,
            Some(of) if self.plans.is_extended_event(of) => EventKind::ExtendedEvent,
            _ => EventKind::Event,
        };
        let facts = &self.facts;
        summary.events += 1;
        each(Decoded {
            class: &class,
            kind,
            subject: if facts.subject.is_empty() { name } else { &facts.subject },
            key: facts.key,
            created: facts.created.as_ref().map(|(at, micros)| {
                let text = self.out.get(at.clone()).and_then(|t| std::str::from_utf8(t).ok()).unwrap_or("");
                Created { text, micros: *micros }
            }),
            entity: (!facts.entity.is_empty()).then_some(&*facts.entity),
            data: &self.out,
            error: (!self.error.is_empty()).then_some(&*self.error),
            raw: reader.raw(start, reader.offset()).as_bytes(),
        });
        Ok(())
    }
}

/// Goes to the first element in a SOAP Body.
fn enter<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a str>, PageError> {
    let root = reader.child()?.unwrap_or("");
    if root != "Envelope" {
        return Err(PageError::NotSoap(format!("it is a <{root}>, not an Envelope")));
    }
    while let Some(part) = reader.child()? {
        if part == "Body" {
            return Ok(reader.child()?);
        }
        reader.skip_element()?;
    }
    Err(PageError::NotSoap("its Envelope has no Body".into()))
}

/// Reads a SOAP fault.
fn fault(reader: &mut Reader<'_>) -> Result<PageError, XmlError> {
    let (mut fault, mut code, mut message) = (None, String::new(), String::new());
    while let Some(part) = reader.child()? {
        match part {
            "faultcode" => code = reader.text_of_element()?.into_owned(),
            "faultstring" => message = reader.text_of_element()?.into_owned(),
            "detail" => {
                while let Some(name) = reader.child()? {
                    let of = reader.xsi_type().unwrap_or(Cow::Borrowed(name.strip_suffix("Fault").unwrap_or(name)));
                    fault.get_or_insert_with(|| of.strip_prefix("vim25:").unwrap_or(&of).to_owned());
                    reader.skip_element()?;
                }
            }
            _ => reader.skip_element()?,
        }
    }
    Ok(PageError::Fault { fault: fault.unwrap_or(code), message })
}

#[cfg(test)]
#[path = "transcode_tests.rs"]
mod tests;
