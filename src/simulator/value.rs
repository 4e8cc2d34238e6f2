//! Values of properties and events, as they go over the wire.

use std::borrow::Cow;

use crate::vim25::soap::{Ref, escape};
use crate::vim25::{Kind, describe};

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
    /// Something that is written already: its type, and what is in it.
    Xml(Cow<'static, str>, String),
    /// An array: the items' type as `ArrayOf` names it (`ManagedObjectReference`, `Event`), and the items.
    Array(&'static str, Vec<Value>),
}

/// A managed object, or what is known of it: its properties by name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    pub(crate) reference: Ref,
    pub(crate) properties: Vec<(&'static str, Value)>,
}

impl Object {
    /// The value at a path such as `summary.config.name`.
    pub(crate) fn at(&self, path: &str) -> Option<&Value> {
        let (name, rest) = path.split_once('.').unwrap_or((path, ""));
        self.properties.iter().find(|(property, _)| *property == name)?.1.at(rest)
    }
}

impl Value {
    pub(crate) fn string(text: impl Into<String>) -> Self {
        Self::Text("xsd:string", text.into())
    }

    pub(crate) fn int(number: impl Into<i64>) -> Self {
        Self::Text("xsd:int", number.into().to_string())
    }

    pub(crate) fn short(number: impl Into<i64>) -> Self {
        Self::Text("xsd:short", number.into().to_string())
    }

    pub(crate) fn long(number: impl Into<i64>) -> Self {
        Self::Text("xsd:long", number.into().to_string())
    }

    pub(crate) fn bool(is: bool) -> Self {
        Self::Text("xsd:boolean", is.to_string())
    }

    pub(crate) fn time(text: impl Into<String>) -> Self {
        Self::Text("xsd:dateTime", text.into())
    }

    /// References, as a property holds them.
    pub(crate) fn refs(objects: impl IntoIterator<Item = Ref>) -> Self {
        Self::Array("ManagedObjectReference", objects.into_iter().map(Self::Ref).collect())
    }

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
        let kind = match self {
            Self::Array(item, _) => format!("ArrayOf{item}"),
            Self::Text(kind, _) | Self::Object(kind, _) => (*kind).to_owned(),
            Self::Xml(kind, _) => kind.clone().into_owned(),
            Self::Ref(_) => "ManagedObjectReference".to_owned(),
        };
        self.element(out, element, Some(&kind));
    }

    /// Writes the members of an object, one element after the other.
    pub(crate) fn write_members(&self, out: &mut String) {
        let Self::Object(of, members) = self else { return };
        for (name, value) in members {
            value.write_member(out, name, describe::find_member(of, name));
        }
    }

    /// Writes it as a member of that name. Its type goes with it only where the declaration leaves it open, as real
    /// servers do.
    fn write_member(&self, out: &mut String, element: &str, declared: Option<describe::Member>) {
        let kind = match (self, declared) {
            (Self::Array(_, items), Some(member)) if member.kind != Kind::Any => {
                items.iter().for_each(|item| item.write_member(out, element, declared));
                return;
            }
            (Self::Array(_, items), None) => {
                items.iter().for_each(|item| item.write_member(out, element, None));
                return;
            }
            (_, Some(member)) if member.kind == Kind::Any => return self.write_val(out, element),
            (Self::Object(kind, _), declared) => declared.is_none_or(|member| member.of != *kind).then_some(*kind),
            (Self::Text(kind, _), None) => (!kind.starts_with("xsd:")).then_some(*kind),
            _ => None,
        };
        self.element(out, element, kind);
    }

    /// Writes it as one element.
    fn element(&self, out: &mut String, element: &str, kind: Option<&str>) {
        out.push('<');
        out.push_str(element);
        if let Some(kind) = kind {
            for part in [" xsi:type=\"", kind, "\""] {
                out.push_str(part);
            }
        }
        if let Self::Ref(object) = self {
            for part in [" type=\"", &object.kind, "\""] {
                out.push_str(part);
            }
        }
        out.push('>');
        match self {
            Self::Text(_, text) => escape(out, text),
            Self::Ref(object) => escape(out, &object.value),
            Self::Object(..) => self.write_members(out),
            Self::Xml(_, xml) => out.push_str(xml),
            Self::Array(item, items) => {
                for value in items {
                    value.item(out, item);
                }
            }
        }
        for part in ["</", element, ">"] {
            out.push_str(part);
        }
    }

    /// Writes it as an item of `ArrayOfX`, whose elements are named X, or `string` and the like.
    fn item(&self, out: &mut String, of: &str) {
        match self {
            Self::Text(kind, _) => self.element(out, kind.strip_prefix("xsd:").unwrap_or(kind), None),
            Self::Object(kind, _) => self.element(out, of, (*kind != of).then_some(*kind)),
            _ if of == "AnyType" => self.write_val(out, "anyType"),
            _ => self.element(out, of, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &Value) -> String {
        let mut out = String::new();
        value.write_val(&mut out, "val");
        out
    }

    #[test]
    fn values_are_written_as_servers_do() {
        let vm = Ref::new("VirtualMachine", "vm-1");
        assert_eq!(written(&Value::string("a<b")), "<val xsi:type=\"xsd:string\">a&lt;b</val>");
        assert_eq!(
            written(&Value::refs([vm.clone()])),
            "<val xsi:type=\"ArrayOfManagedObjectReference\"><ManagedObjectReference type=\"VirtualMachine\">vm-1\
             </ManagedObjectReference></val>"
        );
        let folders = Value::Array("String", vec![Value::string("Folder")]);
        assert_eq!(written(&folders), "<val xsi:type=\"ArrayOfString\"><string>Folder</string></val>");
        // Where the declaration says what is there, the element does not.
        let argument = Value::Object("VmEventArgument", vec![("name", Value::string("x")), ("vm", Value::Ref(vm))]);
        let event = Value::Object(
            "EventEx",
            vec![
                ("vm", argument),
                (
                    "arguments",
                    Value::Array(
                        "KeyAnyValue",
                        vec![Value::Object("KeyAnyValue", vec![("key", Value::string("n")), ("value", Value::int(5))])],
                    ),
                ),
            ],
        );
        let mut out = String::new();
        event.write_members(&mut out);
        assert_eq!(
            out,
            "<vm><name>x</name><vm type=\"VirtualMachine\">vm-1</vm></vm>\
             <arguments><key>n</key><value xsi:type=\"xsd:int\">5</value></arguments>"
        );
    }

    #[test]
    fn paths_lead_into_objects() {
        let name = Value::Object("VirtualMachineConfigSummary", vec![("name", Value::string("x"))]);
        let summary = Value::Object("VirtualMachineSummary", vec![("config", name)]);
        let object = Object { reference: Ref::new("VirtualMachine", "vm-1"), properties: vec![("summary", summary)] };
        assert_eq!(object.at("summary.config.name"), Some(&Value::string("x")));
        assert_eq!(object.at("summary.config.nothing"), None);
        assert_eq!(object.at("nothing"), None);
    }
}
