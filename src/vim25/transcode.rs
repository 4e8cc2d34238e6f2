//! From a page of XML to JSON events, in one pass.
//!
//! The straight way (this file) writes JSON while it reads: elements come in the order in which the table has them, so
//! each is compared with the one expected next, and what was skipped in between is absent. Whenever an event does not go
//! that way (an element repeated or out of order, a bad value, a type the table does not know), what was written is
//! thrown away and the event is read again with care, in `careful.rs`.

use std::borrow::Cow;
use std::ops::Range;

use super::careful;
use super::json::{self, Wrong};
use super::plan::{Plan, Plans, Role, Step, close, end};
use super::schema::{Kind, Shape, find, find_enum, is_a};
use super::xml::{Reader, XmlError, same};

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

/// What an `xsi:type` means in a shape.
pub(super) enum Named<'p> {
    Data(u16),
    Array(&'p Plan),
    Scalar(Scalar),
    Unknown,
}

/// Values that are written from their text alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scalar {
    Of(Kind),
    /// xsd:byte of an anyType is signed, unlike that of a field up to 7.0.
    SignedByte,
    /// xsd:unsignedByte and so on: so many bits.
    Unsigned(u32),
    /// Binary that is shown as it is on the wire, instead of encoded once more.
    Base64,
}

impl Scalar {
    /// How a field of this kind is written in the plans' shape.
    #[inline]
    pub(super) fn field(kind: Kind, plans: &Plans) -> Self {
        match kind {
            Kind::Bytes if plans.modern => Self::Base64,
            Kind::Byte if plans.modern => Self::SignedByte,
            kind => Self::Of(kind),
        }
    }
}

/// Resolves an `xsi:type` as govmomi does: exact names, or ones behind the literal prefix `vim25:`.
pub(super) fn named<'p>(plans: &'p Plans, name: &str) -> Named<'p> {
    if let Some(xsd) = name.strip_prefix("xsd:") {
        let scalar = match xsd {
            "string" => Scalar::Of(Kind::Text),
            "boolean" => Scalar::Of(Kind::Bool),
            "byte" => Scalar::SignedByte,
            "short" => Scalar::Of(Kind::Short),
            "int" => Scalar::Of(Kind::Int),
            "long" => Scalar::Of(Kind::Long),
            "unsignedByte" => Scalar::Unsigned(8),
            "unsignedShort" => Scalar::Unsigned(16),
            "unsignedInt" => Scalar::Unsigned(32),
            "unsignedLong" => Scalar::Unsigned(64),
            "float" => Scalar::Of(Kind::Float),
            "double" => Scalar::Of(Kind::Double),
            "dateTime" => Scalar::Of(Kind::Time),
            "base64Binary" => Scalar::field(Kind::Bytes, plans),
            _ => return Named::Unknown,
        };
        return Named::Scalar(scalar);
    }
    let name = name.strip_prefix("vim25:").unwrap_or(name);
    if let Some(of) = find(name, plans.shape) {
        return Named::Data(of);
    }
    if name == "ManagedObjectReference" {
        return Named::Scalar(Scalar::Of(Kind::Reference));
    }
    if let Some(plan) = name.strip_prefix("ArrayOf").and_then(|item| plans.array_of(item)) {
        return Named::Array(plan);
    }
    match find_enum(name, plans.shape) {
        Some(_) => Named::Scalar(Scalar::Of(Kind::Text)),
        None => Named::Unknown,
    }
}

/// Writes a value from its text. References and objects are not of this kind.
#[inline]
pub(super) fn scalar(out: &mut Vec<u8>, what: Scalar, text: &str) -> Result<(), Wrong> {
    let integer = |out, min, max| json::integer(out, text, min, max).map(drop);
    match what {
        Scalar::Of(Kind::Bool) => json::boolean(out, text),
        Scalar::Of(Kind::Int) => integer(out, i64::from(i32::MIN), i64::from(i32::MAX)),
        Scalar::Of(Kind::Long) => integer(out, i64::MIN, i64::MAX),
        Scalar::Of(Kind::Short) => integer(out, i64::from(i16::MIN), i64::from(i16::MAX)),
        Scalar::SignedByte => integer(out, i64::from(i8::MIN), i64::from(i8::MAX)),
        Scalar::Of(Kind::Byte) => json::unsigned(out, text, 8),
        Scalar::Unsigned(bits) => json::unsigned(out, text, bits),
        Scalar::Of(Kind::Float) => json::float(out, text),
        Scalar::Of(Kind::Double) => json::double(out, text),
        Scalar::Of(Kind::Time) => json::time(out, text).map(drop),
        Scalar::Base64 => json::base64(out, text),
        Scalar::Of(Kind::Bytes | Kind::ByteArray) => {
            json::bytes(out, text.as_bytes());
            Ok(())
        }
        Scalar::Of(Kind::Text | Kind::Any | Kind::Reference | Kind::Object) => {
            json::string(out, text);
            Ok(())
        }
    }
}

/// `{"Type":...,"Value":...}`. A server's GUID is kept where govmomi's structs have a field for it: since 8.0.
pub(super) fn reference(out: &mut Vec<u8>, of: &str, value: &str, guid: Option<&str>) {
    out.extend_from_slice(b"{\"Type\":");
    json::string(out, of);
    out.extend_from_slice(b",\"Value\":");
    json::string(out, value);
    if let Some(guid) = guid {
        out.extend_from_slice(b",\"ServerGuid\":");
        json::string(out, guid);
    }
    out.push(b'}');
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
        let mut reader = Reader::new(page);
        let mut summary = PageSummary::default();
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
        match name {
            "ReadNextEvents" | "ReadPreviousEvents" | "QueryEvents" => {
                while let Some(child) = reader.child()? {
                    if child == "returnval" {
                        self.event(&mut reader, &mut summary, &mut each)?;
                    } else {
                        reader.skip_element()?;
                    }
                }
            }
            _ => self.properties(&mut reader, &mut summary, &mut each)?,
        }
        // What follows must be well-formed too, or the page may be a part of one.
        while reader.next()? != super::xml::Token::Eof {}
        Ok(summary)
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

/// Why the straight way ends.
enum Stop {
    /// This event needs care.
    Careful,
    /// The page ends here.
    Xml(XmlError),
}

impl From<XmlError> for Stop {
    fn from(error: XmlError) -> Self {
        Self::Xml(error)
    }
}

impl From<Wrong> for Stop {
    fn from(_: Wrong) -> Self {
        Self::Careful
    }
}

/// The straight way through one event.
struct Straight<'s, 'a> {
    reader: &'s mut Reader<'a>,
    plans: &'s Plans,
    out: &'s mut Vec<u8>,
    facts: &'s mut Facts,
}

impl<'s> Straight<'s, '_> {
    /// Writes the object whose start tag was just read.
    fn object(&mut self, plan: &'s Plan, depth: u32) -> Result<(), Stop> {
        if depth > MAX_DEPTH {
            return Err(Stop::Careful);
        }
        self.out.push(b'{');
        let steps = &*plan.steps;
        // The step after the last one written, and whether that one is an array still open.
        let mut next = 0;
        let mut array = false;
        loop {
            let guess = if array { next - 1 } else { next };
            if let Some(step) = steps.get(guess)
                && self.glance(plan, step, array, depth)?
            {
                next = guess + 1;
                array = step.array;
                continue;
            }
            let Some(name) = self.reader.child()? else { break };
            let is = |step: &Step| same(step.name.as_bytes(), name.as_bytes());
            if array {
                if let Some(step) = steps.get(next - 1)
                    && is(step)
                {
                    self.value(step, depth)?;
                    self.out.push(b',');
                    continue;
                }
                end(self.out, b']');
                self.out.push(b',');
                array = false;
            }
            let Some(skipped) = steps.get(next..).and_then(|ahead| ahead.iter().position(is)) else {
                if self.plans.shape.keeps_unknown() || steps.iter().take(next).any(is) {
                    return Err(Stop::Careful);
                }
                self.reader.skip_element()?;
                continue;
            };
            let at = next + skipped;
            if skipped > 0 {
                self.out.extend_from_slice(plan.absent(next, at));
            }
            let step = &steps[at];
            self.out.extend_from_slice(plan.key(step));
            next = at + 1;
            if step.array {
                array = true;
                self.out.push(b'[');
                self.value(step, depth)?;
            } else if depth == 0 && step.role != Role::None {
                self.fact(step)?;
            } else {
                self.value(step, depth)?;
            }
            self.out.push(b',');
        }
        if array {
            end(self.out, b']');
            self.out.push(b',');
        }
        self.out.extend_from_slice(plan.absent(next, steps.len()));
        close(self.out);
        Ok(())
    }

    /// Reads and writes the next element, comma included, if it is plainly the one expected: a leaf without attributes,
    /// but for a reference's type, whose text needs no escaping.
    #[inline]
    fn glance(&mut self, plan: &Plan, step: &Step, array: bool, depth: u32) -> Result<bool, Stop> {
        match step.kind {
            Kind::Object | Kind::Any | Kind::Bytes | Kind::ByteArray => return Ok(false),
            Kind::Reference => {
                let Some((of, value)) = self.reader.typed_leaf(step.name) else { return Ok(false) };
                self.key(plan, step, array);
                self.facts.reference(of, value);
                self.out.reserve(of.len() + value.len() + 32);
                self.out.extend_from_slice(b"{\"Type\":\"");
                self.out.extend_from_slice(of.as_bytes());
                self.out.extend_from_slice(b"\",\"Value\":\"");
                self.out.extend_from_slice(value.as_bytes());
                self.out.extend_from_slice(b"\"},");
                return Ok(true);
            }
            _ => {}
        }
        if step.kind == Kind::Text {
            if depth == 0 && step.role != Role::None {
                return Ok(false);
            }
            let Some((text, clean)) = self.reader.leaf(step.name) else { return Ok(false) };
            self.key(plan, step, array);
            self.raw_text(text, clean)?;
            self.out.push(b',');
            return Ok(true);
        }
        let Some((text, clean)) = self.reader.leaf(step.name) else { return Ok(false) };
        if clean != text.len() {
            return Err(Stop::Careful);
        }
        self.key(plan, step, array);
        if depth == 0 && step.role != Role::None {
            self.told(step.role, text)?;
        } else {
            scalar(self.out, Scalar::field(step.kind, self.plans), text)?;
        }
        self.out.push(b',');
        Ok(true)
    }

    /// `"Name":`, unless it is an array's that is open already.
    #[inline]
    fn key(&mut self, plan: &Plan, step: &Step, array: bool) {
        if !array {
            self.out.extend_from_slice(plan.key(step));
            if step.array {
                self.out.push(b'[');
            }
        }
    }

    /// An element that says something about the event itself.
    fn fact(&mut self, step: &'s Step) -> Result<(), Stop> {
        match step.role {
            Role::Key | Role::Created | Role::Subject => {
                let text = self.reader.text_of_element()?;
                self.told(step.role, &text)?;
            }
            Role::Entity(rank) => {
                self.facts.watching = rank;
                self.value(step, 0)?;
                self.facts.watching = 0;
            }
            Role::None => self.value(step, 0)?,
        }
        Ok(())
    }

    /// Writes a value that the event is known by, and keeps it.
    fn told(&mut self, role: Role, text: &str) -> Result<(), Wrong> {
        match role {
            Role::Key => {
                let key = json::integer(self.out, text, i64::from(i32::MIN), i64::from(i32::MAX))?;
                self.facts.key = i32::try_from(key).ok();
            }
            Role::Created => {
                let from = self.out.len() + 1;
                let micros = json::time(self.out, text)?;
                self.facts.created = Some((from..self.out.len() - 1, micros));
            }
            Role::Subject | Role::Entity(_) | Role::None => {
                self.facts.subject.push_str(text);
                json::string(self.out, text);
            }
        }
        Ok(())
    }

    /// Writes the value of the element whose start tag was just read.
    fn value(&mut self, step: &'s Step, depth: u32) -> Result<(), Stop> {
        match step.kind {
            Kind::Text => self.text(),
            Kind::Object => {
                if !step.polymorphic {
                    return self.object(self.plans.get(step.of), depth + 1);
                }
                let Some(name) = self.reader.xsi_type() else {
                    return self.object(self.plans.get(step.of), depth + 1);
                };
                match named(self.plans, &name) {
                    Named::Data(of) if is_a(of, step.of) => self.object(self.plans.get(of), depth + 1),
                    Named::Unknown => self.nothing(),
                    _ => Err(Stop::Careful),
                }
            }
            Kind::Reference => self.reference(),
            Kind::Any => {
                let Some(name) = self.reader.xsi_type() else { return self.nothing() };
                match named(self.plans, &name) {
                    Named::Data(of) => self.object(self.plans.get(of), depth + 1),
                    Named::Array(plan) => self.object(plan, depth + 1),
                    Named::Scalar(Scalar::Of(Kind::Reference)) => self.reference(),
                    Named::Scalar(Scalar::Of(Kind::Text)) => self.text(),
                    Named::Scalar(what) => self.scalar(what),
                    Named::Unknown => self.nothing(),
                }
            }
            // One value told in several elements.
            Kind::ByteArray if self.plans.modern => Err(Stop::Careful),
            kind => self.scalar(Scalar::field(kind, self.plans)),
        }
    }

    fn text(&mut self) -> Result<(), Stop> {
        if let Some((text, clean)) = self.reader.raw_text() {
            return self.raw_text(text, clean);
        }
        let text = self.reader.text_of_element()?;
        json::string(self.out, &text);
        Ok(())
    }

    /// A string from text as written, of which the first `clean` bytes need no escaping.
    #[inline]
    fn raw_text(&mut self, text: &str, clean: usize) -> Result<(), Stop> {
        self.out.reserve(text.len() + 3);
        self.out.push(b'"');
        let (plain, rest) = text.split_at(clean);
        self.out.extend_from_slice(plain.as_bytes());
        // A reference that means nothing, or a raw ]]>: reading it with care tells what is wrong, and where.
        let closes_cdata = plain.ends_with("]]") && rest.starts_with('>');
        if !rest.is_empty() && (closes_cdata || !json::escape_raw(self.out, rest)) {
            return Err(Stop::Careful);
        }
        self.out.push(b'"');
        Ok(())
    }

    fn scalar(&mut self, what: Scalar) -> Result<(), Stop> {
        let text = self.reader.text_of_element()?;
        Ok(scalar(self.out, what, &text)?)
    }

    fn reference(&mut self) -> Result<(), Stop> {
        let of = self.reader.reference_type().unwrap_or_default();
        let guid = if self.plans.modern { self.reader.attribute("serverGuid") } else { None };
        let value = self.reader.text_of_element()?;
        self.facts.reference(&of, &value);
        reference(self.out, &of, &value, guid.as_deref());
        Ok(())
    }

    /// A type that the shape does not have: nothing in 6.7, kept with care in newer ones.
    fn nothing(&mut self) -> Result<(), Stop> {
        if self.plans.shape.keeps_unknown() {
            return Err(Stop::Careful);
        }
        self.out.extend_from_slice(b"null");
        Ok(self.reader.skip_element()?)
    }
}

#[cfg(test)]
#[path = "transcode_tests.rs"]
mod tests;
