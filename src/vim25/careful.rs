//! The way for events that do not go straight: elements repeated or out of order, values that cannot be read, types and
//! elements that the table does not know.
//!
//! Such an event is read into a flat list of its elements first, so that nesting and repetition cost nothing but their
//! own length. What then cannot be written is left out, and the first reason is kept.

use std::borrow::Cow;

use super::json;
use super::plan::{Plan, Plans, Role, Step, close, end, key};
use super::schema::{Kind, is_a};
use super::transcode::{Facts, MAX_DEPTH};
use super::value::{Named, Scalar, named, reference, scalar};
use super::xml::{Reader, Token, XSI, XmlError};

/// An element of an event.
#[derive(Debug)]
pub(super) struct Node<'a> {
    name: &'a str,
    offset: usize,
    xsi: Option<Cow<'a, str>>,
    of: Option<Cow<'a, str>>,
    guid: Option<Cow<'a, str>>,
    nil: bool,
    /// The text directly in it.
    text: Cow<'a, str>,
    first: usize,
    last: usize,
    next: usize,
}

/// No node: the event itself, which is nobody's child or sibling.
const ROOT: usize = 0;

/// Reads the element whose start tag was just read, to its end.
pub(super) fn read<'a>(reader: &mut Reader<'a>) -> Result<Vec<Node<'a>>, XmlError> {
    let node = |reader: &Reader<'a>, name| Node {
        name,
        offset: reader.tag_offset(),
        xsi: reader.xsi_type(),
        of: reader.reference_type(),
        guid: reader.attribute("serverGuid"),
        nil: reader.attribute_ns(XSI, "nil").is_some_and(|nil| matches!(&*nil, "true" | "1")),
        text: Cow::Borrowed(""),
        first: ROOT,
        last: ROOT,
        next: ROOT,
    };
    let mut nodes = vec![Node { of: None, ..node(reader, "") }];
    let mut open = vec![ROOT];
    while let Some(&parent) = open.last() {
        match reader.next()? {
            Token::Start(name) => {
                let at = nodes.len();
                nodes.push(node(reader, name));
                match nodes[parent].last {
                    ROOT => nodes[parent].first = at,
                    last => nodes[last].next = at,
                }
                nodes[parent].last = at;
                open.push(at);
            }
            Token::Text(piece) => {
                let text = &mut nodes[parent].text;
                if text.is_empty() {
                    *text = piece;
                } else {
                    text.to_mut().push_str(&piece);
                }
            }
            Token::End => {
                open.pop();
            }
            // The reader ends only when nothing is open.
            Token::Eof => break,
        }
    }
    Ok(nodes)
}

/// Writes one event from its elements.
pub(super) struct Careful<'s, 'a> {
    nodes: &'s [Node<'a>],
    plans: &'s Plans,
    out: &'s mut Vec<u8>,
    facts: &'s mut Facts,
    error: &'s mut String,
    /// The names of the elements that the writer is in.
    path: Vec<&'s str>,
}

/// Why a value is left out; the first such reason has been kept.
struct LeftOut;

impl<'s, 'a> Careful<'s, 'a> {
    pub(super) fn new(
        nodes: &'s [Node<'a>],
        plans: &'s Plans,
        out: &'s mut Vec<u8>,
        facts: &'s mut Facts,
        error: &'s mut String,
    ) -> Self {
        Self { nodes, plans, out, facts, error, path: Vec::new() }
    }

    /// Writes the event, whose class is `name`, and `of` in the table.
    pub(super) fn event(mut self, name: &str, of: Option<u16>, raw: &str) {
        let plan = match (of, named(self.plans, name)) {
            (Some(of), _) => Some(self.plans.get(of)),
            (None, Named::Unknown) => Some(self.plans.get(self.plans.event)),
            // An ArrayOf..., an enumeration, a number.
            (None, _) => None,
        };
        if plan.is_none_or(|_| of.is_some_and(|of| !self.plans.is_event(of))) {
            *self.error = format!("{name} is not an event");
        }
        match plan {
            Some(plan) => {
                // A class that the table does not know keeps its own elements in every shape.
                let keep = of.is_none() || self.plans.shape.keeps_unknown();
                self.object(plan, &[ROOT], 0, keep);
            }
            None => self.out.extend_from_slice(b"{}"),
        }
        if !self.error.is_empty() {
            self.out.pop();
            if self.out.last() != Some(&b'{') {
                self.out.push(b',');
            }
            self.out.extend_from_slice(b"\"DecodeError\":");
            json::string(self.out, self.error);
            self.out.extend_from_slice(b",\"RawXml\":");
            json::string(self.out, raw);
            self.out.push(b'}');
        }
    }

    fn children(&self, of: &[usize]) -> Vec<usize> {
        let mut all = Vec::new();
        for node in of {
            let mut child = self.nodes[*node].first;
            while child != ROOT {
                all.push(child);
                child = self.nodes[child].next;
            }
        }
        all
    }

    /// Notes why a value of `node` is left out.
    fn wrong(&mut self, node: usize, why: &str) -> LeftOut {
        if self.error.is_empty() {
            let node = &self.nodes[node];
            let (text, more) = match node.text.char_indices().nth(80) {
                Some((end, _)) => (&node.text[..end], "..."),
                None => (&*node.text, ""),
            };
            let path = self.path.join(".");
            *self.error = format!("{path}: {text:?}{more} is {why} (at byte {} of the response)", node.offset);
        }
        LeftOut
    }

    /// Notes that a type is not what an element may hold.
    fn misfit(&mut self, node: usize, name: &str, wanted: &str) -> LeftOut {
        if self.error.is_empty() {
            let (path, offset) = (self.path.join("."), self.nodes[node].offset);
            *self.error = format!("{path}: a {name} where {wanted} is expected (at byte {offset} of the response)");
        }
        LeftOut
    }

    /// Writes what `write` does, or nothing if that is left out.
    fn attempt(&mut self, write: impl FnOnce(&mut Self) -> Result<(), LeftOut>) -> bool {
        let start = self.out.len();
        let done = write(self).is_ok();
        if !done {
            self.out.truncate(start);
        }
        done
    }

    /// An object made of the elements in `of`; several are one object told in pieces. `keep` tells whether elements
    /// that the type does not have are written behind those it has.
    fn object(&mut self, plan: &'s Plan, of: &[usize], depth: u32, keep: bool) {
        let children = self.children(of);
        // Each child with its step; in the common order the step is the one found last, or soon after it.
        let steps = &*plan.steps;
        let mut taken = Vec::with_capacity(children.len());
        let mut unknown = Vec::new();
        let mut hint = 0;
        for child in children {
            let name = self.nodes[child].name;
            let from =
                |from: usize| steps.get(from..).and_then(|s| s.iter().position(|s| s.name == name)).map(|i| i + from);
            match from(hint).or_else(|| from(0)) {
                Some(step) => {
                    hint = step;
                    taken.push((step, child));
                }
                None => unknown.push(child),
            }
        }
        taken.sort_by_key(|t| t.0);
        self.out.push(b'{');
        let mut next = 0;
        for same in taken.chunk_by(|a, b| a.0 == b.0) {
            let at = same[0].0;
            self.out.extend_from_slice(plan.absent(next, at));
            next = at + 1;
            let step = &steps[at];
            let nodes: Vec<usize> = same.iter().map(|s| s.1).collect();
            self.path.push(step.name);
            let written = self.attempt(|w| {
                w.out.extend_from_slice(plan.key(step));
                if step.array { w.array(step, &nodes, depth) } else { w.fact(step, &nodes, depth) }
            });
            if written {
                self.out.push(b',');
            }
            self.path.pop();
        }
        self.out.extend_from_slice(plan.absent(next, steps.len()));
        if keep {
            self.unknown(&unknown, depth, |name| steps.iter().any(|s| s.name == name));
        }
        close(self.out);
    }

    fn array(&mut self, step: &'s Step, nodes: &[usize], depth: u32) -> Result<(), LeftOut> {
        self.out.push(b'[');
        for node in nodes {
            if self.attempt(|w| w.value(step, &[*node], depth)) {
                self.out.push(b',');
            }
        }
        end(self.out, b']');
        Ok(())
    }

    /// A value, and what it says about the event itself.
    fn fact(&mut self, step: &'s Step, nodes: &[usize], depth: u32) -> Result<(), LeftOut> {
        if depth > 0 {
            return self.value(step, nodes, depth);
        }
        let start = self.out.len();
        self.facts.watching = if let Role::Entity(rank) = step.role { rank } else { 0 };
        let done = self.value(step, nodes, depth);
        self.facts.watching = 0;
        done?;
        let last = &self.nodes[nodes.last().copied().unwrap_or(ROOT)];
        match step.role {
            Role::Key => self.facts.key = last.text.trim().parse().ok().or_else(|| last.text.is_empty().then_some(0)),
            Role::Created => {
                let micros = json::time(&mut Vec::new(), &last.text).unwrap_or(0);
                self.facts.created = Some((start + 1..self.out.len() - 1, micros));
            }
            Role::Subject => self.facts.subject.push_str(&last.text),
            Role::Entity(_) | Role::None => {}
        }
        Ok(())
    }

    /// The value of an element that is there once, or of which the last one counts, or whose pieces make one object.
    fn value(&mut self, step: &'s Step, nodes: &[usize], depth: u32) -> Result<(), LeftOut> {
        let keep = self.plans.shape.keeps_unknown();
        let Some(&last) = nodes.last() else { return Err(LeftOut) };
        match step.kind {
            Kind::Reference => self.reference(nodes),
            Kind::Any => {
                // An interface that holds a value is not set again.
                let mut at = nodes.iter().peekable();
                while let Some(node) = at.next() {
                    let start = self.out.len();
                    self.any(*node, depth, keep)?;
                    if self.out.get(start..) != Some(b"null") || at.peek().is_none() {
                        break;
                    }
                    self.out.truncate(start);
                }
                Ok(())
            }
            Kind::Object => {
                if depth >= MAX_DEPTH {
                    return Err(self.misfit(last, "deeper nesting", &format!("no object beyond {MAX_DEPTH} levels")));
                }
                let (mut of, mut nodes) = (step.of, nodes);
                if step.polymorphic {
                    // The first piece decides the type, the others are read into it.
                    loop {
                        let Some((&first, rest)) = nodes.split_first() else {
                            self.out.extend_from_slice(b"null");
                            return Ok(());
                        };
                        let Some(name) = self.nodes[first].xsi.as_deref().filter(|n| !n.is_empty()) else { break };
                        match named(self.plans, name) {
                            Named::Data(found) if is_a(found, step.of) => {
                                of = found;
                                break;
                            }
                            Named::Unknown if keep => break,
                            Named::Unknown => nodes = rest,
                            _ => {
                                let name = name.to_owned();
                                let wanted = super::schema::Type::get(step.of).name;
                                return Err(self.misfit(first, &name, &format!("a {wanted}")));
                            }
                        }
                    }
                }
                self.object(self.plans.get(of), nodes, depth + 1, keep);
                Ok(())
            }
            Kind::ByteArray if self.plans.modern => {
                let mut bytes = Vec::with_capacity(nodes.len());
                for node in nodes {
                    match self.nodes[*node].text.trim().parse::<i16>() {
                        // xsd:byte is signed, but some servers write it as if it were not.
                        Ok(byte @ -128..=255) => bytes.push(byte.to_le_bytes()[0]),
                        _ => return Err(self.wrong(*node, "not a byte")),
                    }
                }
                json::bytes(self.out, &bytes);
                Ok(())
            }
            kind => self.scalar(last, Scalar::field(kind, self.plans)),
        }
    }

    fn scalar(&mut self, node: usize, what: Scalar) -> Result<(), LeftOut> {
        let nodes = self.nodes;
        scalar(self.out, what, &nodes[node].text).map_err(|why| self.wrong(node, why))
    }

    fn reference(&mut self, nodes: &[usize]) -> Result<(), LeftOut> {
        let all = self.nodes;
        let of = nodes.iter().rev().find_map(|n| all[*n].of.as_deref()).unwrap_or("");
        let guid = nodes.iter().rev().find_map(|n| all[*n].guid.as_deref()).filter(|_| self.plans.modern);
        let value = nodes.last().map_or("", |n| &*all[*n].text);
        self.facts.reference(of, value);
        reference(self.out, of, value, guid);
        Ok(())
    }

    /// The value of an element that may hold anything, by its `xsi:type`.
    fn any(&mut self, node: usize, depth: u32, keep: bool) -> Result<(), LeftOut> {
        if depth >= MAX_DEPTH {
            return Err(self.misfit(node, "deeper nesting", &format!("nothing beyond {MAX_DEPTH} levels")));
        }
        let nodes = self.nodes;
        let found = nodes[node].xsi.as_deref().map_or(Named::Unknown, |name| named(self.plans, name));
        let of_shape = self.plans.shape.keeps_unknown();
        match found {
            Named::Data(of) => self.object(self.plans.get(of), &[node], depth + 1, of_shape),
            Named::Array(plan) => self.object(plan, &[node], depth + 1, of_shape),
            Named::Scalar(Scalar::Of(Kind::Reference)) => return self.reference(&[node]),
            Named::Scalar(what) => return self.scalar(node, what),
            Named::Unknown if keep => return self.untyped(node, depth),
            Named::Unknown => self.out.extend_from_slice(b"null"),
        }
        Ok(())
    }

    /// An element that nothing says the type of: an object if it holds elements, a reference if it looks like one, else
    /// a string.
    fn untyped(&mut self, node: usize, depth: u32) -> Result<(), LeftOut> {
        let this = &self.nodes[node];
        if this.first != ROOT {
            self.out.push(b'{');
            let children = self.children(&[node]);
            self.unknown(&children, depth + 1, |_| false);
            close(self.out);
        } else if this.nil {
            self.out.extend_from_slice(b"null");
        } else if this.of.is_some() {
            return self.reference(&[node]);
        } else {
            json::string(self.out, &this.text);
        }
        Ok(())
    }

    /// Members for elements that the table does not know, in the order in which their names first come.
    fn unknown(&mut self, nodes: &[usize], depth: u32, known: impl Fn(&str) -> bool) {
        let all = self.nodes;
        let mut order: Vec<(usize, usize)> = Vec::with_capacity(nodes.len());
        let mut first: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
        let mut names = Vec::new();
        for node in nodes {
            let name = pascal(all[*node].name);
            let at = *first.entry(name.clone()).or_insert_with(|| {
                names.push(name);
                names.len() - 1
            });
            order.push((at, *node));
        }
        order.sort_by_key(|o| o.0);
        for same in order.chunk_by(|a, b| a.0 == b.0) {
            let mut name = names[same[0].0].clone();
            // Two members of one name would hide each other. The table's names begin in lower case, or as JSON has them.
            while known(&name) || known(&lower(&name)) || depth == 0 && matches!(&*name, "DecodeError" | "RawXml") {
                name.push('_');
            }
            self.path.push(all[same[0].1].name);
            let written = self.attempt(|w| {
                key(w.out, &name);
                if let [(_, node)] = same {
                    return w.any(*node, depth, true);
                }
                w.out.push(b'[');
                for (_, node) in same {
                    if w.attempt(|w| w.any(*node, depth, true)) {
                        w.out.push(b',');
                    }
                }
                end(w.out, b']');
                Ok(())
            });
            if written {
                self.out.push(b',');
            }
            self.path.pop();
        }
    }
}

fn pascal(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

fn lower(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or(String::new(), |first| first.to_lowercase().chain(chars).collect())
}
