//! Values of properties, as they go over the wire.

use crate::vim25::soap::{Ref, escape};

/// What a property holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A simple value: its type (`xsd:string`, `xsd:int`, an enumeration's name) and its text.
    Text(&'static str, String),
    /// A reference.
    Ref(Ref),
    /// A data object: its type, and its members in their declared order. A member that is an array of the schema's
    /// (without a wrapper of its own) is an `Array`.
    Object(&'static str, Vec<(&'static str, Value)>),
    /// An array: the items' type as `ArrayOf` names it (`ManagedObjectReference`, `Event`), and the items.
    Array(&'static str, Vec<Value>),
}

impl Value {
    /// The value at a path such as `config.name` below this one.
    pub(crate) fn at(&self, path: &str) -> Option<&Self> {
        if path.is_empty() {
            return Some(self);
        }
        let (name, rest) = path.split_once('.').unwrap_or((path, ""));
        match self {
            Self::Object(_, members) => members.iter().find(|(member, _)| *member == name)?.1.at(rest),
            _ => None,
        }
    }

    /// The references that it holds: what a traversal follows.
    pub(crate) fn references(&self) -> Vec<&Ref> {
        match self {
            Self::Ref(object) => vec![object],
            Self::Array(_, items) => items.iter().flat_map(Self::references).collect(),
            _ => Vec::new(),
        }
    }

    /// Writes it as the element `val` of a property, with its type.
    pub(crate) fn write_val(&self, out: &mut String, element: &str) {
        match self {
            Self::Array(item, items) => {
                out.push_str(&format!("<{element} xsi:type=\"ArrayOf{item}\">"));
                for value in items {
                    value.write(out, item);
                }
                out.push_str(&format!("</{element}>"));
            }
            Self::Text(kind, text) => {
                out.push_str(&format!("<{element} xsi:type=\"{kind}\">"));
                escape(out, text);
                out.push_str(&format!("</{element}>"));
            }
            Self::Ref(object) => write_ref(out, element, object, " xsi:type=\"ManagedObjectReference\""),
            Self::Object(kind, members) => {
                out.push_str(&format!("<{element} xsi:type=\"{kind}\">"));
                for (name, value) in members {
                    value.write(out, name);
                }
                out.push_str(&format!("</{element}>"));
            }
        }
    }

    /// Writes it as a member of that name.
    fn write(&self, out: &mut String, element: &str) {
        match self {
            Self::Array(_, items) => items.iter().for_each(|item| item.write(out, element)),
            Self::Ref(object) => write_ref(out, element, object, ""),
            Self::Text(kind, text) if kind.starts_with("xsd:") => {
                out.push_str(&format!("<{element}>"));
                escape(out, text);
                out.push_str(&format!("</{element}>"));
            }
            other => other.write_val(out, element),
        }
    }
}

fn write_ref(out: &mut String, element: &str, object: &Ref, kind: &str) {
    out.push_str(&format!("<{element}{kind} type=\"{}\">", object.kind));
    escape(out, &object.value);
    out.push_str(&format!("</{element}>"));
}
