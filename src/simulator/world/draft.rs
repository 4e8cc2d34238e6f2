//! An event while it is written.

use crate::simulator::body::Body;
use crate::simulator::value::Value;
use crate::vim25::soap::Ref;
use crate::vim25::{Shape, describe};

use super::catalogue::{CATALOGUE, fill};
use super::inventory::{Inventory, Item};

/// The newest version whose elements events have. A client that asks for an older one than the server's gets no more
/// than that, and most ask for this.
#[allow(dead_code, reason = "for events of any class, which are made on request")]
pub(super) const SHAPE: Shape = Shape::V6_7;

/// The elements that the history writes, not the body.
#[allow(dead_code, reason = "for events of any class, which are made on request")]
pub(super) const OUTSIDE: [&str; 3] = ["key", "chainId", "createdTime"];

#[derive(Debug)]
pub(super) struct Draft {
    class: &'static str,
    type_id: Option<String>,
    user: String,
    members: Vec<(&'static str, Value)>,
}

pub(super) fn object(kind: &'static str, members: Vec<(&'static str, Value)>) -> Value {
    Value::Object(kind, members)
}

/// A fault as events and tasks carry one.
pub(super) fn fault(kind: &'static str, members: Vec<(&'static str, Value)>, message: &str) -> Value {
    let fault = object(kind, members);
    object("LocalizedMethodFault", vec![("fault", fault), ("localizedMessage", Value::string(message))])
}

/// An entity as an event names it: its name, and where it is.
pub(super) fn argument(inventory: &Inventory, item: Item) -> Value {
    let (kind, element, name): (_, _, &str) = match item {
        Item::Datacenter(at) => ("DatacenterEventArgument", "datacenter", inventory.datacenters[at].name),
        Item::Folder(at) => ("FolderEventArgument", "folder", &inventory.folders[at].name),
        Item::Cluster(at) => ("ComputeResourceEventArgument", "computeResource", &inventory.clusters[at].name),
        Item::Host(at) => ("HostEventArgument", "host", &inventory.hosts[at].name),
        Item::Pool(at) => ("ResourcePoolEventArgument", "resourcePool", inventory.pools[at].name),
        Item::Store(at) => ("DatastoreEventArgument", "datastore", &inventory.stores[at].name),
        Item::Network(at) => ("NetworkEventArgument", "network", &inventory.networks[at].name),
        Item::Switch(at) => ("DvsEventArgument", "dvs", &inventory.switches[at].0),
        Item::Machine(at) => ("VmEventArgument", "vm", &inventory.machines[at].name),
        Item::Alarm(at) => ("AlarmEventArgument", "alarm", inventory.alarms[at].0),
    };
    object(kind, vec![("name", Value::string(name)), (element, Value::Ref(inventory.reference(item)))])
}

/// The same where any entity may be named.
pub(super) fn entity(inventory: &Inventory, item: Item) -> Value {
    let named = argument(inventory, item);
    let name = named.at("name").cloned().unwrap_or_else(|| Value::string(""));
    object("ManagedEntityEventArgument", vec![("name", name), ("entity", Value::Ref(inventory.reference(item)))])
}

impl Draft {
    pub(super) fn new(class: &'static str, user: &str) -> Self {
        Self { class, type_id: None, user: user.to_owned(), members: vec![("userName", Value::string(user))] }
    }

    /// What an `EventEx` or `ExtendedEvent` calls itself.
    pub(super) fn type_id(mut self, id: &str) -> Self {
        self.type_id = Some(id.to_owned());
        self.with("eventTypeId", Value::string(id))
    }

    /// Whether its class has such an element.
    pub(super) fn declares(&self, name: &str) -> bool {
        describe::find_member(self.class, name).is_some()
    }

    /// Has this element, in place of one of the same name.
    pub(super) fn with(mut self, name: &'static str, value: Value) -> Self {
        self.members.retain(|(other, _)| *other != name);
        self.members.push((name, value));
        self
    }

    pub(super) fn text(self, name: &'static str, text: impl Into<String>) -> Self {
        self.with(name, Value::string(text))
    }

    pub(super) fn on_cluster(self, inventory: &Inventory, cluster: usize) -> Self {
        self.with("datacenter", argument(inventory, Item::Datacenter(inventory.clusters[cluster].datacenter)))
            .with("computeResource", argument(inventory, Item::Cluster(cluster)))
    }

    pub(super) fn on_host(self, inventory: &Inventory, host: usize) -> Self {
        self.on_cluster(inventory, inventory.hosts[host].cluster).with("host", argument(inventory, Item::Host(host)))
    }

    pub(super) fn on_machine(self, inventory: &Inventory, machine: usize, host: usize) -> Self {
        let draft = self.on_host(inventory, host).with("vm", argument(inventory, Item::Machine(machine)));
        let store = inventory.machines[machine].store;
        let draft = draft.with("ds", argument(inventory, Item::Store(store)));
        if describe::derives(draft.class, "VmEvent") {
            return draft.with("template", Value::bool(inventory.machines[machine].template));
        }
        draft
    }

    pub(super) fn on_store(self, inventory: &Inventory, store: usize) -> Self {
        self.with("datacenter", argument(inventory, Item::Datacenter(inventory.stores[store].datacenter)))
            .with("ds", argument(inventory, Item::Store(store)))
    }

    /// The text at a path of the event, as formats ask for it.
    fn at(&self, path: &str) -> Option<String> {
        let (name, rest) = path.split_once('.').unwrap_or((path, ""));
        if let Some((_, value)) = self.members.iter().find(|(member, _)| *member == name) {
            let value = match rest {
                "msg" => value.at("localizedMessage"),
                rest => value.at(rest),
            };
            if let Some(value) = value {
                return Some(shown(value));
            }
        }
        // Arguments of an EventEx go by their keys; the data of an ExtendedEvent by `data.KEY`.
        let (list, key) = if name == "data" { ("data", rest) } else { ("arguments", path) };
        let (_, list) = self.members.iter().find(|(member, _)| *member == list)?;
        let Value::Array(_, items) = list else { return None };
        let found = items.iter().find(|item| item.at("key").map(shown).as_deref() == Some(key))?;
        found.at("value").map(shown)
    }

    /// The event with its message, its elements in their declared order.
    pub(super) fn finish(mut self) -> Body {
        if let Some(format) = CATALOGUE.format(self.class, self.type_id.as_deref()) {
            let message = fill(format, &|path| self.at(path));
            if self.type_id.is_some() && self.declares("message") {
                self = self.text("message", &*message);
            }
            self = self.text("fullFormattedMessage", message);
        }
        let declared = describe::members(self.class, Shape::LATEST);
        let place = |name: &str| declared.iter().position(|member| member.name == name);
        self.members.sort_by_key(|(name, _)| place(name));
        let mut about = Vec::new();
        self.members.iter().for_each(|(_, value)| collect(value, &mut about));
        if let Some((_, Value::Text(_, id))) = self.members.iter().find(|(name, _)| *name == "objectId")
            && !about.iter().any(|other| **other == **id)
        {
            about.push(id.as_str().into());
        }
        let mut xml = String::with_capacity(1024);
        object(self.class, self.members).write_members(&mut xml);
        Body {
            class: self.class.into(),
            type_id: self.type_id.map(Into::into),
            user: self.user.into(),
            about,
            time: None,
            xml: xml.into(),
        }
    }
}

/// The entities that a value names.
fn collect(value: &Value, about: &mut Vec<Box<str>>) {
    match value {
        Value::Ref(object) => add(object, about),
        Value::Object(_, members) => members.iter().for_each(|(_, value)| collect(value, about)),
        Value::Array(_, items) => items.iter().for_each(|value| collect(value, about)),
        Value::Text(..) | Value::Xml(..) => {}
    }
}

/// Adds an entity, once.
pub(super) fn add(object: &Ref, about: &mut Vec<Box<str>>) {
    if !matches!(&*object.kind, "Task" | "Alarm" | "ScheduledTask" | "Extension")
        && !about.iter().any(|other| **other == object.value)
    {
        about.push(object.value.as_str().into());
    }
}

/// A value as a message shows it.
fn shown(value: &Value) -> String {
    match value {
        Value::Text(_, text) => text.clone(),
        Value::Xml(..) => String::new(),
        Value::Ref(object) => object.value.clone(),
        Value::Object(..) => value.at("name").map(shown).unwrap_or_default(),
        Value::Array(_, items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
    }
}
