//! What to write for a type in a shape, worked out once, when the type is first met.
//!
//! A plan holds a type's elements in the order of the JSON, and the bytes that stand for them when they are absent, laid
//! end to end: a run of absent elements is one copy.

use std::cell::OnceCell;

use super::schema::{ENUM_COUNT, Kind, NONE, Shape, TYPE_COUNT, Type, enum_name, find, is_a};

/// What an element of an event says about the event itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    None,
    Key,
    Created,
    /// `eventTypeId`, where it is the subject.
    Subject,
    /// An entity that the event is about; the lowest rank wins.
    Entity(u8),
}

/// An element of a type.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) array: bool,
    /// `xsi:type` decides what the element holds.
    pub(super) polymorphic: bool,
    pub(super) role: Role,
    /// The type of an object.
    pub(super) of: u16,
    /// Where `"Name":absent,` lies in the plan's text, and how much of it is `"Name":`.
    pub(super) from: usize,
    pub(super) value: usize,
}

/// A type's elements, bases' first.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Box<[Step]>,
    absent: Box<[u8]>,
}

impl Plan {
    /// The bytes for absent elements, from one step to before another.
    #[inline]
    pub(super) fn absent(&self, from: usize, to: usize) -> &[u8] {
        let start = self.steps.get(from).map_or(self.absent.len(), |s| s.from);
        let end = self.steps.get(to).map_or(self.absent.len(), |s| s.from);
        self.absent.get(start..end).unwrap_or(&[])
    }

    /// `"Name":` of a step.
    #[inline]
    pub(super) fn key(&self, step: &Step) -> &[u8] {
        self.absent.get(step.from..step.value).unwrap_or(&[])
    }
}

/// The plans of one shape, each made at its first use.
#[derive(Debug)]
pub(super) struct Plans {
    pub(super) shape: Shape,
    /// Binary values are decoded, and references show their server's GUID, as in govmomi since it follows API 8.0.
    pub(super) modern: bool,
    of_type: Box<[OnceCell<Box<Plan>>]>,
    of_array: Box<[OnceCell<Box<Plan>>]>,
    pub(super) event: u16,
    event_ex: u16,
    extended_event: u16,
}

/// What `ArrayOfX` may hold besides data objects and enumerations.
const PRIMITIVES: [(&str, &str, Kind); 12] = [
    ("AnyType", "anyType", Kind::Any),
    ("Base64Binary", "base64Binary", Kind::Bytes),
    ("Boolean", "boolean", Kind::Bool),
    ("Byte", "byte", Kind::ByteArray),
    ("DateTime", "dateTime", Kind::Time),
    ("Double", "double", Kind::Double),
    ("Float", "float", Kind::Float),
    ("Int", "int", Kind::Int),
    ("Long", "long", Kind::Long),
    ("ManagedObjectReference", "ManagedObjectReference", Kind::Reference),
    ("Short", "short", Kind::Short),
    ("String", "string", Kind::Text),
];

impl Plans {
    pub(super) fn new(shape: Shape) -> Self {
        let empty = |n: usize| (0..n).map(|_| OnceCell::new()).collect();
        let event = |name| find(name, shape).unwrap_or(NONE);
        Self {
            shape,
            modern: "8.0".parse().is_ok_and(|since: Shape| shape.rank() >= since.rank()),
            of_type: empty(TYPE_COUNT),
            of_array: empty(TYPE_COUNT + ENUM_COUNT + PRIMITIVES.len()),
            event: event("Event"),
            event_ex: event("EventEx"),
            extended_event: event("ExtendedEvent"),
        }
    }

    pub(super) fn is_event(&self, of: u16) -> bool {
        is_a(of, self.event)
    }

    pub(super) fn is_event_ex(&self, of: u16) -> bool {
        is_a(of, self.event_ex)
    }

    pub(super) fn is_extended_event(&self, of: u16) -> bool {
        is_a(of, self.extended_event)
    }

    /// The plan of a type.
    #[inline]
    pub(super) fn get(&self, of: u16) -> &Plan {
        self.of_type[usize::from(of)].get_or_init(|| Box::new(self.of_type(of)))
    }

    /// The plan of the wrapper type `ArrayOf` + `item`, if there is such a type.
    pub(super) fn array_of(&self, item: &str) -> Option<&Plan> {
        let (at, name, kind, of) = if let Some(at) = PRIMITIVES.iter().position(|p| p.0 == item) {
            let (_, name, kind) = PRIMITIVES[at];
            (TYPE_COUNT + ENUM_COUNT + at, name, kind, NONE)
        } else if let Some(of) = find(item, self.shape) {
            (usize::from(of), Type::get(of).name, Kind::Object, of)
        } else {
            let at = super::schema::find_enum(item, self.shape)?;
            (TYPE_COUNT + at, enum_name(at), Kind::Text, NONE)
        };
        let plan = self.of_array[at].get_or_init(|| {
            let mut absent = Vec::new();
            key(&mut absent, name);
            let value = absent.len();
            absent.extend_from_slice(b"null,");
            let step = Step {
                name,
                kind,
                array: item != "Byte",
                polymorphic: of != NONE && Type::get(of).polymorphic(self.shape),
                role: Role::None,
                of,
                from: 0,
                value,
            };
            Box::new(Plan { steps: Box::new([step]), absent: absent.into() })
        });
        Some(plan)
    }

    fn of_type(&self, of: u16) -> Plan {
        let shape = self.shape;
        let mut line = vec![of];
        while let Some(base) = line.last().map(|t| Type::get(*t).base).filter(|b| *b != NONE) {
            line.push(base);
        }
        let (is_event, names_itself) = (self.is_event(of), self.is_event_ex(of) || self.is_extended_event(of));
        let mut steps = Vec::new();
        let mut absent = Vec::new();
        for (owner, field) in line.iter().rev().flat_map(|t| Type::get(*t).own_fields(shape).map(move |f| (*t, f))) {
            let from = absent.len();
            key(&mut absent, field.name);
            let value = absent.len();
            if field.absent_is_null(shape) {
                absent.extend_from_slice(b"null");
            } else {
                self.zero(&mut absent, field.kind, field.of);
            }
            absent.push(b',');
            let role = match field.name {
                "eventTypeId" if names_itself => Role::Subject,
                _ if !is_event || owner != self.event => Role::None,
                "key" => Role::Key,
                "createdTime" => Role::Created,
                "vm" => Role::Entity(1),
                "host" => Role::Entity(2),
                "computeResource" => Role::Entity(3),
                "ds" => Role::Entity(4),
                "net" => Role::Entity(5),
                "datacenter" => Role::Entity(6),
                _ => Role::None,
            };
            steps.push(Step {
                name: field.name,
                kind: field.kind,
                array: field.array(),
                polymorphic: field.polymorphic(shape),
                role,
                of: field.of,
                from,
                value,
            });
        }
        Plan { steps: steps.into(), absent: absent.into() }
    }

    /// The zero value of a Go struct's field. No type holds itself by value, so this ends.
    fn zero(&self, out: &mut Vec<u8>, kind: Kind, of: u16) {
        let zero: &[u8] = match kind {
            Kind::Text => b"\"\"",
            Kind::Bool => b"false",
            Kind::Byte | Kind::Short | Kind::Int | Kind::Long | Kind::Float | Kind::Double => b"0",
            Kind::Time => b"\"0001-01-01T00:00:00Z\"",
            Kind::Any | Kind::Bytes | Kind::ByteArray => b"null",
            Kind::Reference => b"{\"Type\":\"\",\"Value\":\"\"}",
            Kind::Object => {
                out.push(b'{');
                out.extend_from_slice(self.get(of).absent(0, usize::MAX));
                return close(out);
            }
        };
        out.extend_from_slice(zero);
    }
}

/// `"Name":` for the element `name`.
pub(super) fn key(out: &mut Vec<u8>, name: &str) {
    out.push(b'"');
    let mut chars = name.chars();
    if let Some(first) = chars.next() {
        let mut upper = first.to_uppercase().to_string();
        upper.push_str(chars.as_str());
        super::json::escape(out, &upper);
    }
    out.extend_from_slice(b"\":");
}

/// Ends an object or array, whose members each left a comma behind.
#[inline]
pub(super) fn close(out: &mut Vec<u8>) {
    end(out, b'}');
}

#[inline]
pub(super) fn end(out: &mut Vec<u8>, with: u8) {
    match out.last_mut() {
        Some(last) if *last == b',' => *last = with,
        _ => out.push(with),
    }
}
