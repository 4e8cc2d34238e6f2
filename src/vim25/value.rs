//! Values that are written from their text, and what an `xsi:type` says of one.

use super::json::{self, Wrong};
use super::plan::{Plan, Plans};
use super::schema::{Kind, find, find_enum};

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
