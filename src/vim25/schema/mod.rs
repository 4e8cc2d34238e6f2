//! The table of vSphere's data types, and the shapes that a user may ask for.
//!
//! The table is made by `tools/generate-schema.py` and is plain static data: nothing is built when the router starts.
//! A version of the API is a *rank* here: 0 for everything up to 6.7.3, then counting up. A type or field is visible in
//! a shape whose rank is not below its own.

use std::fmt;
use std::str::FromStr;

pub(crate) mod describe;
#[rustfmt::skip]
mod table;

use table::{ENUMS, FIELDS, SHAPES, SLOTS, TYPES};

/// No type: the base of a root, the target of a field that holds no object.
pub(super) const NONE: u16 = u16::MAX;

/// The element may be absent.
const OPT: u8 = 1;
/// The element may repeat, and its JSON is an array.
const ARRAY: u8 = 2;
/// Absent is `null` although the kind says zero: govmomi holds it as a pointer.
const NULL: u8 = 4;
/// Absent is the zero value although the element is optional.
const VALUE: u8 = 8;
/// Absent is `null` in the 6.7 shape only.
const NULL67: u8 = 16;

/// What an element holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Strings and enumerations.
    Text,
    /// xsd:boolean
    Bool,
    /// xsd:byte, which govmomi holds unsigned.
    Byte,
    /// xsd:short
    Short,
    /// xsd:int
    Int,
    /// xsd:long
    Long,
    /// xsd:float
    Float,
    /// xsd:double
    Double,
    /// xsd:dateTime
    Time,
    /// xsd:anyType
    Any,
    /// xsd:base64Binary
    Bytes,
    /// Repeated xsd:byte, which make one value.
    ByteArray,
    /// ManagedObjectReference
    Reference,
    /// A data object.
    Object,
}

/// A data type.
#[derive(Debug)]
pub(super) struct Type {
    pub(super) name: &'static str,
    pub(super) base: u16,
    first: u16,
    count: u8,
    since: u8,
    derived: u8,
}

/// An element of a data type.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    flags: u8,
    since: u8,
    pub(super) of: u16,
}

const fn t(name: &'static str, base: u16, first: u16, count: u8, since: u8, derived: u8) -> Type {
    Type { name, base, first, count, since, derived }
}

const fn f(name: &'static str, kind: Kind, flags: u8, since: u8, of: u16) -> Field {
    Field { name, kind, flags, since, of }
}

/// The JSON a user asks for: that of govmomi's structs for one version of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape(u8);

impl Shape {
    /// The default, and what existing users have: API 6.7 as govmomi 0.22 knows it.
    pub const V6_7: Self = Self(0);

    /// The newest that the table knows.
    pub const LATEST: Self = Self(SHAPES.len() as u8 - 1);

    /// The version of the API to ask a server for, such as `7.0.3.0`.
    #[must_use]
    pub fn api_version(self) -> &'static str {
        SHAPES[usize::from(self.0)].1
    }

    /// Every shape there is, oldest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=Self::LATEST.0).map(Self)
    }

    /// Whether unknown elements and unknown nested types are kept.
    #[must_use]
    pub fn keeps_unknown(self) -> bool {
        self != Self::V6_7
    }

    pub(super) fn rank(self) -> u8 {
        SHAPES[usize::from(self.0)].2
    }
}

impl Default for Shape {
    fn default() -> Self {
        Self::V6_7
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHAPES[usize::from(self.0)].0)
    }
}

/// An `api_version` that is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown api_version {0:?}: use one of {list}", list = SHAPES.map(|s| s.0).join(", "))]
pub struct UnknownShape(String);

impl FromStr for Shape {
    type Err = UnknownShape;

    /// Takes a release (`7.0.3`, `latest`) or the API version behind it (`7.0.3.0`).
    fn from_str(text: &str) -> Result<Self, UnknownShape> {
        Self::all()
            .find(|s| SHAPES[usize::from(s.0)].0 == text || s.api_version() == text)
            .ok_or_else(|| UnknownShape(text.to_owned()))
    }
}

/// Mixes a name eight bytes at a time; the generator has the same.
#[inline]
fn hash(name: &str) -> u64 {
    let mix = |h: u64, word: u64| (h.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    let (words, rest) = name.as_bytes().as_chunks();
    let h = words.iter().fold(0, |h, word| mix(h, u64::from_le_bytes(*word)));
    let h = mix(h, rest.iter().rev().fold(0, |word, b| word << 8 | u64::from(*b)));
    h ^ (h >> 32)
}

/// The data type of this name, if the shape has it.
pub(super) fn find(name: &str, shape: Shape) -> Option<u16> {
    // The table's size is a power of two, so the lower bits are enough.
    #[allow(clippy::cast_possible_truncation)]
    let mut at = hash(name) as usize % SLOTS.len();
    loop {
        let slot = SLOTS[at];
        if slot == NONE {
            return None;
        }
        let found = &TYPES[usize::from(slot)];
        if found.name == name {
            return (found.since <= shape.rank()).then_some(slot);
        }
        at = (at + 1) % SLOTS.len();
    }
}

/// The enumeration of this name, if the shape has it.
pub(super) fn find_enum(name: &str, shape: Shape) -> Option<usize> {
    let at = ENUMS.binary_search_by(|e| e.0.cmp(name)).ok()?;
    (ENUMS[at].1 <= shape.rank()).then_some(at)
}

/// How many data types and enumerations there are.
pub(super) const TYPE_COUNT: usize = TYPES.len();
pub(super) const ENUM_COUNT: usize = ENUMS.len();

pub(super) fn enum_name(at: usize) -> &'static str {
    ENUMS[at].0
}

impl Type {
    pub(super) fn get(at: u16) -> &'static Self {
        &TYPES[usize::from(at)]
    }

    /// Whether the shape has types derived from this one: then `xsi:type` decides what an element holds, and govmomi
    /// has an interface where it otherwise has a struct.
    pub(super) fn polymorphic(&self, shape: Shape) -> bool {
        self.derived <= shape.rank()
    }

    /// The elements that this type adds to its base's, as far as the shape has them.
    pub(super) fn own_fields(&self, shape: Shape) -> impl Iterator<Item = &'static Field> {
        let from = usize::from(self.first);
        FIELDS[from..from + usize::from(self.count)].iter().filter(move |f| f.since <= shape.rank())
    }
}

/// Whether `at` is `base`, or derived from it.
pub(super) fn is_a(mut at: u16, base: u16) -> bool {
    while at != NONE {
        if at == base {
            return true;
        }
        at = Type::get(at).base;
    }
    false
}

impl Field {
    pub(super) fn array(&self) -> bool {
        self.flags & ARRAY != 0
    }

    /// Whether `xsi:type` decides what the element holds.
    pub(super) fn polymorphic(&self, shape: Shape) -> bool {
        self.kind == Kind::Object && Type::get(self.of).polymorphic(shape)
    }

    /// Whether govmomi shows an absent element as `null`, rather than as a zero value.
    pub(super) fn absent_is_null(&self, shape: Shape) -> bool {
        let flags = self.flags;
        if flags & (ARRAY | NULL) != 0 || flags & NULL67 != 0 && shape == Shape::V6_7 {
            return true;
        }
        match self.kind {
            Kind::Any | Kind::Bytes | Kind::ByteArray => true,
            Kind::Object if Type::get(self.of).polymorphic(shape) => true,
            Kind::Object | Kind::Reference | Kind::Bool | Kind::Time => flags & OPT != 0 && flags & VALUE == 0,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use serde_json::Value;

    fn source() -> Value {
        serde_json::from_str(include_str!("../../../tools/schema/vim25.json")).unwrap()
    }

    #[test]
    fn the_table_is_what_its_source_says() {
        let source = source();
        let types = source["types"].as_object().unwrap();
        assert_eq!(types.len(), TYPE_COUNT);
        let mut fields = 0;
        for (name, row) in types {
            let at = find(name, Shape::LATEST).unwrap_or_else(|| panic!("{name} is not found"));
            let found = Type::get(at);
            assert_eq!(found.name, name);
            assert_eq!(u64::from(found.since), row[1].as_u64().unwrap(), "{name}");
            let base = (found.base != NONE).then(|| Type::get(found.base).name);
            assert_eq!(base, row[0].as_str(), "{name}");
            let own: Vec<_> = FIELDS[usize::from(found.first)..][..usize::from(found.count)].iter().collect();
            assert_eq!(own.len(), row[2].as_array().unwrap().len(), "{name}");
            for (field, row) in own.iter().zip(row[2].as_array().unwrap()) {
                fields += 1;
                let kind = row[1].as_str().unwrap();
                assert_eq!(field.name, row[0].as_str().unwrap());
                assert_eq!(u64::from(field.since), row[3].as_u64().unwrap());
                assert_eq!(field.array(), kind.ends_with("[]") && kind != "byte[]", "{name}.{}", field.name);
                assert_eq!(field.flags & OPT != 0, row[2].as_str().unwrap().contains('?'));
                if field.kind == Kind::Object {
                    assert_eq!(Type::get(field.of).name, kind.trim_end_matches("[]"));
                } else {
                    assert!(!types.contains_key(kind.trim_end_matches("[]")), "{name}.{}", field.name);
                }
            }
        }
        assert_eq!(fields, FIELDS.len());
        assert_eq!(source["enums"].as_object().unwrap().len(), ENUM_COUNT);
    }

    #[test]
    fn every_shape_knows_443_event_classes() {
        for shape in Shape::all() {
            let event = find("Event", shape).unwrap();
            let events = (0..TYPES.len() as u16).filter(|t| is_a(*t, event) && Type::get(*t).since <= shape.rank());
            assert_eq!(events.count(), 443, "{shape}");
        }
    }

    #[test]
    fn shapes_are_named_by_release_or_api_version() {
        for shape in Shape::all() {
            assert_eq!(shape.to_string().parse(), Ok(shape));
            assert_eq!(shape.api_version().parse(), Ok(shape));
        }
        assert_eq!("6.7".parse(), Ok(Shape::default()));
        assert_eq!(Shape::default().api_version(), "6.7.3");
        assert_eq!("7.0".parse::<Shape>().unwrap().api_version(), "7.0.0.0");
        assert_eq!(
            "5.5".parse::<Shape>().unwrap_err().to_string(),
            "unknown api_version \"5.5\": use one of 6.7, 7.0, 7.0.1, 7.0.2, 7.0.3, 8.0, 8.0.1, 8.0.2, 8.0.3, 9.0, 9.1, latest"
        );
    }

    #[test]
    fn what_later_versions_brought_is_invisible_before() {
        let seven = "7.0".parse().unwrap();
        assert_eq!(find("FeatureEVCMode", Shape::V6_7), None);
        assert!(find("FeatureEVCMode", seven).is_some());
        let names =
            |name, shape| Type::get(find(name, shape).unwrap()).own_fields(shape).map(|f| f.name).collect::<Vec<_>>();
        assert_eq!(names("CustomizationFailed", Shape::V6_7), Vec::<&str>::new());
        assert_eq!(names("CustomizationFailed", seven), ["reason"]);
    }

    #[test]
    fn what_absent_elements_become() {
        let null = |name: &str, field: &str, shape| {
            let owner = Type::get(find(name, shape).unwrap());
            owner.own_fields(shape).find(|f| f.name == field).unwrap().absent_is_null(shape)
        };
        let seven = "7.0".parse().unwrap();
        assert!(!null("Event", "fullFormattedMessage", seven));
        assert!(null("Event", "vm", seven));
        assert!(null("EventEx", "arguments", seven));
        assert!(null("KeyAnyValue", "value", seven));
        assert!(!null("NoPermission", "object", seven));
        assert!(null("VirtualDevice", "unitNumber", seven));
        assert!(!null("VirtualDevice", "controllerKey", seven));
        assert!(null("ReplicationVmFault", "vm", Shape::V6_7));
        assert!(!null("ReplicationVmFault", "vm", seven));
    }
}
