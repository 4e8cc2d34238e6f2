//! Looks for many patterns in one event at once.
//!
//! The event is read once. Of what it holds, only the fields that some pattern names are looked at, each with all
//! conditions that any pattern has for it; strings that are asked for as they are take one look-up, however many they
//! are. Then each way in which a pattern can match is a matter of a few bits, unless lists of objects are involved: there,
//! what one way asks for has to hold within the same object of each list.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::Part;
use super::condition::{Conditions, Value, left_out};
use super::json::{DEEPEST, Kind, NotJson, Reader};
use super::parse::Way;

/// How many places within lists are looked at for one event to find out which of them fit together. After that what is
/// asked is said to match: sending too much costs little, and sending too little is a loss.
const MOST_LOOKS: usize = 200_000;

/// Patterns, ready to be looked for.
#[derive(Default)]
pub(super) struct Matcher {
    /// What fields are called, as a tree.
    nodes: Vec<Node>,
    fields: Vec<Field>,
    tests: Vec<Test>,
    ways: Vec<Ways>,
    /// AWS's engine reads members without a name only where a pattern has such a step before others.
    nameless: bool,
}

#[derive(Default)]
struct Node {
    children: Vec<(Box<[u8]>, usize)>,
    field: Option<usize>,
}

/// Something that patterns ask for.
struct Field {
    path: Arc<str>,
    /// The tests that a string makes hold by being just this one.
    texts: HashMap<Box<[u8]>, Vec<usize>, RandomState>,
    /// The other tests.
    others: Vec<(usize, Conditions)>,
    /// Whether a test holds where the field is not there.
    absent: bool,
}

/// The conditions of one list.
struct Test {
    field: usize,
    conditions: Arc<Conditions>,
}

/// The ways of one pattern: for each the tests that have to hold, in the order of their fields' names.
type Ways = Vec<Vec<usize>>;

/// A place in [`Found::spots`]: in which object of which lists something is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    start: usize,
    end: usize,
}

/// What an event holds of what is asked for.
#[derive(Default)]
pub(super) struct Found {
    /// A bit for each test that holds outside of all lists of objects.
    holds: Vec<u64>,
    /// A bit for each test that holds anywhere.
    somewhere: Vec<u64>,
    /// A bit for each field that is there.
    there: Vec<u64>,
    /// Tests that hold within lists of objects; of each test in the order of the event.
    placed: Vec<(usize, Place)>,
    /// Fields that are there, of those that may have to be absent; likewise.
    placed_there: Vec<(usize, Place)>,
    /// The objects of lists that surround something: list and number.
    spots: Vec<(u32, u32)>,
    /// Places that may still be looked at.
    looks: Cell<usize>,
    /// Values of fields, where they are asked for.
    pub(super) values: Option<Vec<(usize, String)>>,
}

fn bit(bits: &[u64], at: usize) -> bool {
    bits[at / 64] >> (at % 64) & 1 == 1
}

fn set(bits: &mut [u64], at: usize) {
    bits[at / 64] |= 1 << (at % 64);
}

impl Matcher {
    pub(super) fn new<'a>(patterns: impl IntoIterator<Item = &'a [Way]>) -> Self {
        let mut this = Self { nodes: vec![Node::default()], ..Self::default() };
        for ways in patterns {
            let ways = ways.iter().map(|way| this.way(way)).collect();
            this.ways.push(ways);
        }
        this
    }

    fn way(&mut self, way: &Way) -> Vec<usize> {
        let mut fields: Vec<_> = way.iter().collect();
        // The order of Java's strings, in which AWS's engine goes through them: it tells what bounds where a field is
        // looked for that must not be there.
        fields.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
        fields.into_iter().map(|(path, conditions)| self.test(path, conditions)).collect()
    }

    fn test(&mut self, path: &Arc<str>, conditions: &Arc<Conditions>) -> usize {
        let field = self.field(path);
        let same = |test: &Test| {
            test.field == field && (Arc::ptr_eq(&test.conditions, conditions) || test.conditions == *conditions)
        };
        if let Some(known) = self.tests.iter().position(same) {
            return known;
        }
        let at = self.tests.len();
        self.tests.push(Test { field, conditions: Arc::clone(conditions) });
        let field = &mut self.fields[field];
        field.absent |= conditions.absent();
        let (texts, others) = conditions.split();
        for text in texts {
            let tests = field.texts.entry(text.into()).or_default();
            if tests.last() != Some(&at) {
                tests.push(at);
            }
        }
        if !others.all().is_empty() {
            field.others.push((at, others));
        }
        at
    }

    fn field(&mut self, path: &Arc<str>) -> usize {
        let steps: Vec<_> = path.split('.').collect();
        let used = steps.iter().rposition(|step| !step.is_empty()).map_or(0, |last| last + 1);
        self.nameless |= path.is_empty() || steps[..used].contains(&"");
        let mut node = 0;
        for step in steps {
            let known = self.nodes[node].children.iter().find(|(name, _)| **name == *step.as_bytes());
            node = match known {
                Some((_, child)) => *child,
                None => {
                    let child = self.nodes.len();
                    self.nodes.push(Node::default());
                    self.nodes[node].children.push((step.as_bytes().into(), child));
                    child
                }
            };
        }
        *self.nodes[node].field.get_or_insert_with(|| {
            self.fields.push(Field {
                path: Arc::clone(path),
                texts: HashMap::default(),
                others: Vec::new(),
                absent: false,
            });
            self.fields.len() - 1
        })
    }

    fn child(&self, node: usize, name: &[u8]) -> Option<usize> {
        self.nodes[node].children.iter().find(|(known, _)| **known == *name).map(|(_, child)| *child)
    }

    /// The node of an object's member. A name with dots stands for as many steps.
    fn step(&self, node: usize, name: &[u8]) -> Option<usize> {
        if name.is_empty() && !self.nameless {
            return None;
        }
        self.child(node, name).or_else(|| {
            memchr::memchr(b'.', name)?;
            name.split(|byte| *byte == b'.').try_fold(node, |node, step| self.child(node, step))
        })
    }

    /// Reads a document, which is put together of parts.
    pub(super) fn find(&self, document: &[(&str, Part<'_>)], values: bool) -> Result<Found, NotJson> {
        let mut scan = Scan::new(self, values);
        for (name, part) in document {
            let Some(node) = self.step(0, name.as_bytes()) else { continue };
            match part {
                Part::Text(text) => scan.value(node, Value::Text(text.as_bytes())),
                Part::Texts(texts) => texts.iter().for_each(|text| scan.value(node, Value::Text(text.as_bytes()))),
                Part::Json(json) => scan.json(node, &mut Reader::new(json), 0)?,
                Part::Unknown => scan.value(node, Value::Unknown),
            }
        }
        Ok(scan.done())
    }

    /// Reads a document, which is one JSON object.
    pub(super) fn find_in(&self, json: &[u8], values: bool) -> Result<Found, NotJson> {
        let mut scan = Scan::new(self, values);
        let mut reader = Reader::new(json);
        if reader.kind()? != Kind::Object {
            return Err(NotJson);
        }
        scan.json(0, &mut reader, 0)?;
        Ok(scan.done())
    }

    /// Whether the pattern at this place matches what has been found.
    pub(super) fn matches(&self, pattern: usize, found: &Found) -> bool {
        self.ways[pattern].iter().any(|way| self.fits(way, found))
    }

    /// Whether any pattern does.
    pub(super) fn any(&self, found: &Found) -> bool {
        (0..self.ways.len()).any(|pattern| self.matches(pattern, found))
    }

    fn fits(&self, way: &[usize], found: &Found) -> bool {
        let absent = |test: usize| self.tests[test].conditions.absent();
        if way.iter().any(|test| !bit(&found.somewhere, *test) && !absent(*test)) {
            return false;
        }
        let outside = |test: &usize| bit(&found.holds, *test) || (absent(*test) && !self.is_anywhere(*test, found));
        way.iter().all(outside) || (!found.placed.is_empty() && self.fit(way, found, &mut Vec::new()))
    }

    fn is_anywhere(&self, test: usize, found: &Found) -> bool {
        bit(&found.there, self.tests[test].field)
    }

    /// Whether a test holds, whatever else has to.
    fn holds_alone(&self, test: usize, found: &Found) -> bool {
        bit(&found.somewhere, test) || (self.tests[test].conditions.absent() && !self.is_anywhere(test, found))
    }

    /// Whether all of the tests hold, given in which objects of which lists those before did.
    fn fit(&self, way: &[usize], found: &Found, within: &mut Vec<(u32, u32)>) -> bool {
        let Some((test, others)) = way.split_first() else { return true };
        if bit(&found.holds, *test) && self.fit(others, found, within) {
            return true;
        }
        let before = within.len();
        let mut at = 0;
        let placed = of(&found.placed, *test);
        while let Some(next) = found.agreeing(placed, at, within) {
            at = next + 1;
            if !found.may_look() {
                return true;
            }
            for spot in found.spots(placed[next].1) {
                if !within.contains(spot) {
                    within.push(*spot);
                }
            }
            let fits = self.fit(others, found, within);
            within.truncate(before);
            if fits {
                return true;
            }
        }
        let Test { field, conditions } = &self.tests[*test];
        let absent = conditions.absent() && found.agreeing(of(&found.placed_there, *field), 0, within).is_none();
        absent && self.fit(others, found, within)
    }

    /// What became of each way of a pattern: its fields, whether each holds for itself, and what it asks for.
    pub(super) fn account(&self, pattern: usize, found: &Found) -> Vec<(bool, Vec<Account>)> {
        let account = |test: &usize| {
            let Test { field, conditions } = &self.tests[*test];
            let values = found.values.iter().flatten().filter(|(at, _)| at == field).map(|(_, value)| value.clone());
            Account {
                field: self.fields[*field].path.to_string(),
                holds: self.holds_alone(*test, found),
                wanted: conditions.written().to_owned(),
                values: values.collect(),
            }
        };
        self.ways[pattern].iter().map(|way| (self.fits(way, found), way.iter().map(account).collect())).collect()
    }
}

/// One field of one way, and what became of it.
pub(super) struct Account {
    pub(super) field: String,
    pub(super) holds: bool,
    pub(super) wanted: String,
    pub(super) values: Vec<String>,
}

/// Whether two places may be in one match: no list has them in different objects.
fn agree(within: &[(u32, u32)], spots: &[(u32, u32)]) -> bool {
    left_out("lists of objects")
        || spots.iter().all(|(list, at)| within.iter().all(|(other, there)| list != other || at == there))
}

/// The places of one test, or of one field.
fn of(placed: &[(usize, Place)], which: usize) -> &[(usize, Place)] {
    let start = placed.partition_point(|(one, _)| *one < which);
    let count = placed[start..].partition_point(|(one, _)| *one == which);
    &placed[start..start + count]
}

impl Found {
    fn spots(&self, place: Place) -> &[(u32, u32)] {
        &self.spots[place.start..place.end]
    }

    fn may_look(&self) -> bool {
        let left = self.looks.get();
        self.looks.set(left.saturating_sub(1));
        left > 0
    }

    /// The first from `at` on of the places of one test that agrees with what surrounds those before. They are in the
    /// order of the event: what is in another object of a list that counts is skipped as a whole.
    fn agreeing(&self, placed: &[(usize, Place)], at: usize, within: &[(u32, u32)]) -> Option<usize> {
        let outermost = |(_, place): &(usize, Place)| self.spots(*place).first().copied();
        let mut at = at;
        while let Some(one) = placed.get(at) {
            if let Some((list, object)) = outermost(one)
                && let Some((_, wanted)) = within.iter().find(|(other, _)| *other == list)
                && object != *wanted
                && !left_out("lists of objects")
            {
                let sought = if object < *wanted { Some((list, *wanted)) } else { Some((list + 1, 0)) };
                at += placed[at..].partition_point(|one| outermost(one) < sought);
                continue;
            }
            if agree(within, self.spots(one.1)) {
                return Some(at);
            }
            if !self.may_look() {
                return Some(at);
            }
            at += 1;
        }
        None
    }
}

/// Reading one document.
struct Scan<'a> {
    matcher: &'a Matcher,
    found: Found,
    /// Lists so far.
    lists: u32,
    /// The objects of lists that surround the reader.
    within: Vec<(u32, u32)>,
    /// The same in [`Found::spots`], once it has been needed.
    place: Option<Place>,
}

impl<'a> Scan<'a> {
    fn new(matcher: &'a Matcher, values: bool) -> Self {
        let found = Found {
            holds: vec![0; matcher.tests.len().div_ceil(64)],
            somewhere: vec![0; matcher.tests.len().div_ceil(64)],
            looks: Cell::new(MOST_LOOKS),
            there: vec![0; matcher.fields.len().div_ceil(64)],
            values: values.then(Vec::new),
            ..Found::default()
        };
        Self { matcher, found, lists: 0, within: Vec::new(), place: None }
    }

    fn json(&mut self, node: usize, reader: &mut Reader<'_>, depth: usize) -> Result<(), NotJson> {
        if depth > DEEPEST {
            return Err(NotJson);
        }
        match reader.kind()? {
            Kind::Object if self.matcher.nodes[node].children.is_empty() => reader.pass(),
            Kind::Object => {
                reader.enter();
                let mut first = true;
                while reader.more(b'}', first)? {
                    first = false;
                    let name = reader.key()?;
                    match self.matcher.step(node, &name) {
                        Some(child) => self.json(child, reader, depth + 1)?,
                        None => reader.pass()?,
                    }
                }
                Ok(())
            }
            Kind::List => {
                reader.enter();
                let list = self.lists;
                self.lists += 1;
                let mut at = 0;
                while reader.more(b']', at == 0)? {
                    if matches!(reader.kind()?, Kind::Object | Kind::List) {
                        self.within.push((list, at));
                        self.place = None;
                        self.json(node, reader, depth + 1)?;
                        self.within.pop();
                        self.place = None;
                    } else {
                        self.json(node, reader, depth + 1)?;
                    }
                    at += 1;
                }
                Ok(())
            }
            Kind::Text => {
                let text = reader.text()?;
                self.value(node, Value::Text(&text));
                Ok(())
            }
            Kind::Number => {
                self.value(node, Value::Number(reader.word()));
                Ok(())
            }
            Kind::True | Kind::False | Kind::Null => {
                self.value(node, Value::Word(reader.word()));
                Ok(())
            }
        }
    }

    /// Takes what stands at a node.
    fn value(&mut self, node: usize, value: Value<'_>) {
        let Some(at) = self.matcher.nodes[node].field else { return };
        let field = &self.matcher.fields[at];
        set(&mut self.found.there, at);
        if field.absent {
            let place = self.place();
            self.found.placed_there.push((at, place));
        }
        if let Value::Text(text) = value
            && !field.texts.is_empty()
            && let Some(tests) = field.texts.get(text)
        {
            tests.iter().for_each(|test| self.hit(*test));
        }
        if let Value::Unknown = value {
            field.texts.values().flatten().for_each(|test| self.hit(*test));
        }
        for (test, conditions) in &field.others {
            if conditions.hold(value) {
                self.hit(*test);
            }
        }
        if let Some(values) = &mut self.found.values {
            values.push((at, value.to_string()));
        }
    }

    fn hit(&mut self, test: usize) {
        set(&mut self.found.somewhere, test);
        if self.within.is_empty() {
            set(&mut self.found.holds, test);
            return;
        }
        let place = self.place();
        self.found.placed.push((test, place));
    }

    fn done(mut self) -> Found {
        // Stable: the places of one test stay in the order of the event.
        self.found.placed.sort_by_key(|(test, _)| *test);
        self.found.placed_there.sort_by_key(|(field, _)| *field);
        self.found
    }

    fn place(&mut self) -> Place {
        let Self { found, within, place, .. } = self;
        *place.get_or_insert_with(|| {
            let start = found.spots.len();
            found.spots.extend_from_slice(within);
            Place { start, end: found.spots.len() }
        })
    }
}
