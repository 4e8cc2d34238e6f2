//! `description.eventInfo`: what every class of event is called, how grave it is, and the format of its message.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::simulator::value::Value;
use crate::vim25::{Kind, Shape, describe};

use super::formats::{CLASSES, EXTENDED, TYPE_IDS};

/// What the catalogue says of a class or a type id.
#[derive(Debug)]
struct Detail {
    key: &'static str,
    description: String,
    category: &'static str,
    format: String,
}

#[derive(Debug)]
pub(super) struct Catalogue {
    /// First the classes, then the type ids.
    details: Vec<Detail>,
    classes: HashMap<&'static str, usize>,
    ids: HashMap<&'static str, usize>,
}

/// The catalogue is the same in every world.
pub(super) static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::new);

impl Catalogue {
    fn new() -> Self {
        let by_hand: HashMap<_, _> = CLASSES.iter().map(|row| (row.0, row)).collect();
        let mut made = Self { details: Vec::new(), classes: HashMap::new(), ids: HashMap::new() };
        for class in describe::events() {
            made.classes.insert(class, made.details.len());
            made.details.push(match by_hand.get(class) {
                Some((key, description, category, format)) => {
                    Detail { key, description: (*description).to_owned(), category, format: (*format).to_owned() }
                }
                None => by_rule(class),
            });
        }
        let ids = TYPE_IDS.iter().map(|id| ("EventEx", id.id, category(id.severity), id.format));
        let ids = ids.chain(EXTENDED.iter().map(|(id, format, _)| ("ExtendedEvent", *id, "info", *format)));
        for (key, id, category, format) in ids {
            made.ids.insert(id, made.details.len());
            let description = words(id.rsplit('.').next().unwrap_or(id));
            made.details.push(Detail { key, description, category, format: format!("{id}|{format}") });
        }
        made
    }

    /// The format of an event's message.
    pub(super) fn format(&self, class: &str, type_id: Option<&str>) -> Option<&str> {
        if let Some(at) = type_id.and_then(|id| self.ids.get(id)) {
            return self.details[*at].format.split_once('|').map(|(_, format)| format);
        }
        self.classes.get(class).map(|at| self.details[*at].format.as_str())
    }

    /// How grave an event is: `info`, `warning`, `error` or `user`.
    pub(super) fn category(&self, class: &str, type_id: Option<&str>) -> Option<&'static str> {
        let at = type_id.and_then(|id| self.ids.get(id)).or_else(|| self.classes.get(class))?;
        Some(self.details[*at].category)
    }

    /// As the property `description.eventInfo`.
    pub(super) fn value(&self) -> Value {
        let details = self.details.iter().map(|detail| {
            let seen_from = |what: &[(&str, &str)]| {
                let mut format = detail.format.clone();
                for (name, here) in what {
                    format = format.replace(name, here);
                }
                Value::string(format)
            };
            let datacenter = ("{datacenter.name}", "this datacenter");
            let cluster = ("{computeResource.name}", "this cluster");
            Value::Object(
                "EventDescriptionEventDetail",
                vec![
                    ("key", Value::string(detail.key)),
                    ("description", Value::string(&*detail.description)),
                    ("category", Value::string(detail.category)),
                    ("formatOnDatacenter", seen_from(&[datacenter])),
                    ("formatOnComputeResource", seen_from(&[datacenter, cluster])),
                    ("formatOnHost", seen_from(&[datacenter, cluster, ("{host.name}", "this host")])),
                    ("formatOnVm", seen_from(&[datacenter, cluster, ("{vm.name}", "this virtual machine")])),
                    ("fullFormat", Value::string(&*detail.format)),
                ],
            )
        });
        Value::Array("EventDescriptionEventDetail", details.collect())
    }
}

/// The category that goes with a severity.
fn category(severity: &'static str) -> &'static str {
    if matches!(severity, "error" | "warning" | "user") { severity } else { "info" }
}

/// What the name of a class says of it.
fn by_rule(class: &'static str) -> Detail {
    let description = words(class);
    let has = |words: &[&str]| words.iter().any(|word| class.contains(word));
    let category =
        if has(&["Failed", "Error", "Lost", "NoAccess", "Invalid", "Bad", "Conflict", "Insufficient", "Exceeded"])
            || has(&[
                "Cannot",
                "CouldNot",
                "Timedout",
                "Timeout",
                "TimedOut",
                "Uncompliant",
                "NotCompliant",
                "Nonviolation",
            ])
        {
            "error"
        } else if has(&[
            "Warning",
            "Degraded",
            "Expired",
            "Mismatch",
            "Duplicate",
            "OutOf",
            "Orphaned",
            "Redundan",
            "LongName",
        ]) {
            "warning"
        } else if class.starts_with("User") || class.contains("User") {
            "user"
        } else {
            "info"
        };
    let place = [
        ("VmEvent", " for {vm.name} on {host.name} in {datacenter.name}"),
        ("HostEvent", " on {host.name} in {datacenter.name}"),
        ("ClusterEvent", " in cluster {computeResource.name} in {datacenter.name}"),
        ("DatastoreEvent", " on datastore {datastore.name} in {datacenter.name}"),
        ("AlarmEvent", " for alarm '{alarm.name}'"),
        ("DvsEvent", " on switch {dvs.name} in {datacenter.name}"),
        ("DVPortgroupEvent", " for port group {net.name} in {datacenter.name}"),
        ("ResourcePoolEvent", " for resource pool {resourcePool.name} in {computeResource.name}"),
        ("ScheduledTaskEvent", " for task {scheduledTask.name} on {entity.name}"),
        ("SessionEvent", " for {userName}"),
    ];
    let mut format = description.clone();
    if let Some((_, place)) = place.iter().find(|(base, _)| describe::derives(class, base)) {
        format.push_str(place);
    }
    // What its own simple elements say goes behind.
    let base = describe::base(class).map_or(0, |base| describe::members(base, Shape::V6_7).len());
    let mut joint = ": ";
    for member in describe::members(class, Shape::V6_7).into_iter().skip(base) {
        let path = match member.kind {
            Kind::Text | Kind::Int | Kind::Long | Kind::Bool if class != "Event" => member.name.to_owned(),
            Kind::Object if member.of == "LocalizedMethodFault" => format!("{}.msg", member.name),
            _ => continue,
        };
        let name = words(member.name).to_lowercase();
        format.push_str(&format!("{joint}{name} {{{path}}}"));
        joint = ", ";
    }
    Detail { key: class, description, category, format }
}

/// A name such as `VmFailedToPowerOnEvent` as words: `VM failed to power on`.
fn words(name: &str) -> String {
    let name = name.strip_suffix("Event").filter(|name| !name.is_empty()).unwrap_or(name);
    let chars: Vec<char> = name.chars().collect();
    let mut found: Vec<String> = Vec::new();
    for (at, c) in chars.iter().enumerate() {
        let upper = c.is_uppercase();
        let before = at.checked_sub(1).map(|at| chars[at]);
        let after_lower = before.is_some_and(|b| b.is_lowercase() || b.is_ascii_digit());
        // The last capital of `DVSUpgrade` begins a word.
        let last_capital =
            before.is_some_and(char::is_uppercase) && chars.get(at + 1).is_some_and(|n| n.is_lowercase());
        match found.last_mut() {
            Some(word) if !(upper && (after_lower || last_capital)) => word.push(*c),
            _ => found.push(c.to_string()),
        }
    }
    let known = |word: &str| match word.to_lowercase().as_str() {
        "vm" => Some("VM"),
        "drs" => Some("DRS"),
        "das" => Some("vSphere HA"),
        "dvs" => Some("distributed switch"),
        "dvportgroup" => Some("distributed port group"),
        "ft" => Some("fault tolerance"),
        "nas" => Some("NAS"),
        "ip" => Some("IP"),
        "uuid" => Some("UUID"),
        "wwn" => Some("WWN"),
        "mac" => Some("MAC"),
        "vnic" => Some("VNIC"),
        "ghost" => Some("ghost"),
        _ => None,
    };
    let words = found.iter().map(|word| match known(word) {
        Some(known) => known.to_owned(),
        None if word.chars().all(|c| c.is_uppercase() || c.is_ascii_digit()) => word.clone(),
        None => word.to_lowercase(),
    });
    let mut words = words.collect::<Vec<_>>().join(" ");
    if let Some(first) = words.get(..1).filter(|first| !words.starts_with("vSphere") && first.is_ascii()) {
        words.replace_range(..1, &first.to_uppercase());
    }
    words
}

/// Fills a format: `{vm.name}` becomes what `at` has at this path, or nothing.
pub(super) fn fill(format: &str, at: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(format.len() + 64);
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((path, behind)) = after.split_once('}') else {
            out.push('{');
            rest = after;
            continue;
        };
        // `{from.@enum.X}` asks for the word that a user reads, which is the value's own.
        let path = path.split_once(".@").map_or(path, |(path, _)| path);
        out.push_str(&at(path).unwrap_or_default());
        rest = behind;
    }
    out.push_str(rest);
    out
}
