//! The straight way: JSON is written while XML is read.
//!
//! Elements come in the order in which the table has them, so each is compared with the one expected next, and what was
//! skipped in between is absent.

use super::json::{self, Wrong};
use super::plan::{Plan, Plans, Role, Step, close, end};
use super::schema::{Kind, is_a};
use super::transcode::{Facts, MAX_DEPTH};
use super::value::{Named, Scalar, named, reference, scalar};
use super::xml::{Reader, XmlError, same};

/// Why the straight way ends.
pub(super) enum Stop {
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
pub(super) struct Straight<'s, 'a> {
    pub(super) reader: &'s mut Reader<'a>,
    pub(super) plans: &'s Plans,
    pub(super) out: &'s mut Vec<u8>,
    pub(super) facts: &'s mut Facts,
}

impl<'s> Straight<'s, '_> {
    /// Writes the object whose start tag was just read.
    pub(super) fn object(&mut self, plan: &'s Plan, depth: u32) -> Result<(), Stop> {
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

    /// Reads and writes the next element, comma included, if it is plainly the one expected: without attributes but for
    /// a reference's type.
    #[inline]
    fn glance(&mut self, plan: &Plan, step: &Step, array: bool, depth: u32) -> Result<bool, Stop> {
        match step.kind {
            Kind::Any | Kind::Bytes | Kind::ByteArray => return Ok(false),
            Kind::Object => {
                // Without attributes it is of the type that is declared, polymorphic or not.
                if !self.reader.enter(step.name) {
                    return Ok(false);
                }
                self.key(plan, step, array);
                if depth == 0
                    && let Role::Entity(rank) = step.role
                {
                    self.facts.watching = rank;
                }
                self.object(self.plans.get(step.of), depth + 1)?;
                if depth == 0 {
                    self.facts.watching = 0;
                }
                self.out.push(b',');
                return Ok(true);
            }
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
