//! The table told to those who write what it describes, rather than read it.

use super::{FIELDS, Kind, NONE, OPT, Shape, TYPES, Type, find, is_a};

/// An element of a data type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its name on the wire.
    pub(crate) name: &'static str,
    /// What it holds.
    pub(crate) kind: Kind,
    /// The data type that it is declared to hold, when it holds an object.
    pub(crate) of: &'static str,
    /// It may repeat.
    pub(crate) array: bool,
    /// It may be absent.
    pub(crate) optional: bool,
}

/// The data type's name as the table has it, which lives as long as the program.
pub(crate) fn name(of: &str) -> Option<&'static str> {
    find(of, Shape::LATEST).map(|at| Type::get(at).name)
}

/// Every element of a data type, in the order in which it goes over the wire: those of its base first.
pub(crate) fn members(of: &str, shape: Shape) -> Vec<Member> {
    let mut line = Vec::new();
    let mut at = find(of, shape).unwrap_or(NONE);
    while at != NONE {
        line.push(at);
        at = Type::get(at).base;
    }
    line.into_iter().rev().flat_map(|at| Type::get(at).own_fields(shape)).map(member).collect()
}

/// One element of a data type.
pub(crate) fn find_member(of: &str, name: &str) -> Option<Member> {
    let mut at = find(of, Shape::LATEST)?;
    while at != NONE {
        let of = Type::get(at);
        let own = &FIELDS[usize::from(of.first)..usize::from(of.first) + usize::from(of.count)];
        if let Some(found) = own.iter().find(|field| field.name == name) {
            return Some(member(found));
        }
        at = of.base;
    }
    None
}

/// Whether the data type is the other, or derived from it.
pub(crate) fn derives(of: &str, base: &str) -> bool {
    match (find(of, Shape::LATEST), find(base, Shape::LATEST)) {
        (Some(of), Some(base)) => is_a(of, base),
        _ => false,
    }
}

/// The data type that it is derived from.
pub(crate) fn base(of: &str) -> Option<&'static str> {
    let base = Type::get(find(of, Shape::LATEST)?).base;
    (base != NONE).then(|| Type::get(base).name)
}

/// The data types that are derived from this one in the shape, by name.
pub(crate) fn derived(base: &str, shape: Shape) -> impl Iterator<Item = &'static str> {
    let base = find(base, shape);
    (0_u16..).zip(&TYPES).filter_map(move |(at, found)| {
        let is = base.is_some_and(|base| at != base && is_a(at, base)) && found.since <= shape.rank();
        is.then_some(found.name)
    })
}

/// Every class of event, by name: the class `Event` itself, and what is derived from it.
pub(crate) fn events() -> impl Iterator<Item = &'static str> {
    std::iter::once("Event").chain(derived("Event", Shape::LATEST))
}

fn member(field: &super::Field) -> Member {
    Member {
        name: field.name,
        kind: field.kind,
        of: if field.kind == Kind::Object { Type::get(field.of).name } else { "" },
        array: field.array(),
        optional: field.flags & OPT != 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn members_are_those_of_the_table_in_its_order() {
        let names = |of, shape| members(of, shape).iter().map(|m| m.name).collect::<Vec<_>>();
        let event = ["key", "chainId", "createdTime", "userName"];
        assert_eq!(names("VmMigratedEvent", Shape::V6_7)[..4], event);
        let own = ["template", "sourceHost", "sourceDatacenter", "sourceDatastore"];
        assert!(names("DrsVmMigratedEvent", Shape::V6_7).ends_with(&own));
        assert!(!names("Event", Shape::V6_7).contains(&"tgw"));
        assert!(names("Event", Shape::LATEST).contains(&"tgw"));
        assert_eq!(names("NoSuchType", Shape::LATEST), Vec::<&str>::new());
        let vm = find_member("VmPoweredOnEvent", "vm").unwrap();
        assert_eq!((vm.kind, vm.of, vm.array, vm.optional), (Kind::Object, "VmEventArgument", false, true));
        let arguments = find_member("EventEx", "arguments").unwrap();
        assert!(arguments.array && arguments.optional && arguments.of == "KeyAnyValue");
        assert_eq!(find_member("EventEx", "nothing"), None);
    }

    #[test]
    fn every_class_of_event_is_told() {
        assert_eq!(events().count(), 443);
        assert!(events().all(|class| derives(class, "Event")));
        assert_eq!(base("VmPoweredOnEvent"), Some("VmEvent"));
        assert_eq!(base("DynamicData"), None);
        assert!(!derives("Event", "VmEvent") && !derives("Event", "NoSuchType"));
        assert!(derived("MethodFault", Shape::V6_7).any(|name| name == "InvalidPowerState"));
        assert_eq!(name("TaskInfo"), Some("TaskInfo"));
    }
}
