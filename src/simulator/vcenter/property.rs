//! Which objects and properties a `PropertyFilterSpec` selects, and the views that such specs begin at.

use std::collections::{HashMap, HashSet};

use super::soap::{Fault, Node};
use crate::simulator::value::{Object, Value};
use crate::simulator::world::World;
use crate::vim25::soap::Ref;
use crate::vim25::{Kind, Shape, describe};

/// An object, and those of its properties that were asked for, by path.
type Selected = (Ref, Vec<(String, Value)>);

/// Objects that one spec may come by: more than any data centre of ours has, each by some ways.
const MOST_STEPS: usize = 2_000_000;

/// What every managed entity has.
const ENTITY: &[&str] = &[
    "parent",
    "customValue",
    "overallStatus",
    "configStatus",
    "configIssue",
    "effectiveRole",
    "permission",
    "name",
    "disabledMethod",
    "recentTask",
    "declaredAlarmState",
    "triggeredAlarmState",
    "alarmActionsEnabled",
    "tag",
    "availableField",
    "value",
];

/// The properties of managed types, besides those of their bases. Of a type that is not here all are taken for known.
const PROPERTIES: &[(&str, &[&str])] = &[
    ("Folder", &["childType", "childEntity", "namespace"]),
    (
        "Datacenter",
        &["vmFolder", "hostFolder", "datastoreFolder", "networkFolder", "datastore", "network", "configuration"],
    ),
    (
        "ComputeResource",
        &[
            "resourcePool",
            "host",
            "datastore",
            "network",
            "summary",
            "environmentBrowser",
            "configurationEx",
            "lifecycleManaged",
        ],
    ),
    (
        "ClusterComputeResource",
        &[
            "configuration",
            "recommendation",
            "drsRecommendation",
            "hciConfig",
            "migrationHistory",
            "actionHistory",
            "drsFault",
            "summaryEx",
        ],
    ),
    (
        "HostSystem",
        &[
            "runtime",
            "summary",
            "hardware",
            "capability",
            "licensableResource",
            "remediationState",
            "precheckRemediationResult",
            "remediationResult",
            "complianceCheckState",
            "complianceCheckResult",
            "configManager",
            "config",
            "vm",
            "datastore",
            "network",
            "datastoreBrowser",
            "systemResources",
            "answerFileValidationState",
            "answerFileValidationResult",
        ],
    ),
    (
        "ResourcePool",
        &["summary", "runtime", "owner", "resourcePool", "vm", "config", "childConfiguration", "namespace"],
    ),
    ("Datastore", &["info", "summary", "host", "vm", "browser", "capability", "iormConfiguration"]),
    ("Network", &["summary", "host", "vm"]),
    ("DistributedVirtualPortgroup", &["key", "config", "portKeys"]),
    (
        "DistributedVirtualSwitch",
        &["uuid", "capability", "summary", "config", "networkResourcePool", "portgroup", "runtime"],
    ),
    (
        "VirtualMachine",
        &[
            "capability",
            "config",
            "layout",
            "layoutEx",
            "storage",
            "environmentBrowser",
            "resourcePool",
            "parentVApp",
            "resourceConfig",
            "runtime",
            "guest",
            "summary",
            "datastore",
            "network",
            "snapshot",
            "rootSnapshot",
            "guestHeartbeatStatus",
            "reconfigureBlocked",
        ],
    ),
    ("Task", &["info"]),
    ("Alarm", &["info", "availableField", "value"]),
    ("HistoryCollector", &["filter"]),
    ("EventHistoryCollector", &["latestPage", "initialized"]),
    ("EventManager", &["description", "latestEvent", "maxCollector"]),
    ("ManagedObjectView", &["view"]),
    ("ContainerView", &["container", "type", "recursive"]),
];

/// The type above a managed type.
fn base(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "ClusterComputeResource" => "ComputeResource",
        "DistributedVirtualPortgroup" | "OpaqueNetwork" => "Network",
        "VmwareDistributedVirtualSwitch" => "DistributedVirtualSwitch",
        "VirtualApp" => "ResourcePool",
        "StoragePod" => "Folder",
        "Folder"
        | "Datacenter"
        | "ComputeResource"
        | "HostSystem"
        | "ResourcePool"
        | "Datastore"
        | "Network"
        | "DistributedVirtualSwitch"
        | "VirtualMachine" => "ManagedEntity",
        "ManagedEntity" | "Alarm" | "Task" => "ExtensibleManagedObject",
        "EventHistoryCollector" | "TaskHistoryCollector" => "HistoryCollector",
        "ContainerView" | "ListView" | "InventoryView" => "ManagedObjectView",
        "ManagedObjectView" => "View",
        "ManagedObject" => return None,
        _ => "ManagedObject",
    })
}

/// Whether objects of a managed type are of another, which may be a base of theirs.
fn is_kind(kind: &str, of: &str) -> bool {
    let of = of.trim();
    let mut at = Some(kind);
    while let Some(kind) = at {
        if kind == of {
            return true;
        }
        at = base(kind);
    }
    false
}

/// Whether a spec asks for this property of an object, to show it or to go on from it.
pub(super) fn wants(spec: &Node, kind: &str, name: &str) -> bool {
    let begins = |path: &Node| path.text.trim().split('.').next() == Some(name);
    let mut shown = spec.all("propSet").filter(|set| set.text_of("type").is_some_and(|of| is_kind(kind, of)));
    shown.any(|set| set.text_of("all").is_some_and(truth) || set.all("pathSet").any(begins))
        || spec.all("objectSet").any(|set| followed(set, kind, name))
}

fn followed(select: &Node, kind: &str, name: &str) -> bool {
    select.all("selectSet").any(|step| {
        let here = step.text_of("type").is_some_and(|of| is_kind(kind, of));
        let path = step.text_of("path").and_then(|path| path.trim().split('.').next());
        here && path == Some(name) || followed(step, kind, name)
    })
}

fn truth(text: &str) -> bool {
    matches!(text.trim(), "true" | "1")
}

/// Whether the objects of a managed type have such a property, whether or not it is set.
fn known(object: &Object, path: &str) -> bool {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let mut at = Some(&*object.reference.kind);
    let (mut listed, mut found) = (false, false);
    while let Some(kind) = at {
        if let Some((_, names)) = PROPERTIES.iter().find(|(of, _)| *of == kind) {
            listed = true;
            found = found || names.contains(&name);
        }
        found = found || kind == "ManagedEntity" && ENTITY.contains(&name);
        at = base(kind);
    }
    if !listed {
        return true;
    }
    match object.at(name) {
        Some(Value::Object(of, _)) => found && declared(of, rest),
        _ => found,
    }
}

/// Whether a data object can have something at a path.
fn declared(of: &str, path: &str) -> bool {
    if path.is_empty() || describe::name(of).is_none() {
        return true;
    }
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    match describe::find_member(of, name) {
        Some(member) if member.kind == Kind::Object => declared(member.of, rest),
        Some(_) => rest.is_empty(),
        // One of the types that derive from this one may have it.
        None => describe::derived(of, Shape::LATEST).any(|of| describe::find_member(of, name).is_some()),
    }
}

fn invalid_property(path: &str) -> Fault {
    let mut fields = String::new();
    super::soap::write_text(&mut fields, "name", path);
    Fault { fields, ..Fault::new("InvalidProperty", "A property that was asked for is none of the object's type.") }
}

/// One property of an object; `None` if it is not set.
pub(super) fn one<'o>(object: &'o Object, path: &str) -> Result<Option<&'o Value>, Fault> {
    match object.at(path) {
        None if !known(object, path) => Err(invalid_property(path)),
        found => Ok(found),
    }
}

/// What a spec says of the properties of one object; `None` if it asks for no object of its type.
fn properties(spec: &Node, object: &Object) -> Result<Option<Vec<(String, Value)>>, Fault> {
    let kind = &*object.reference.kind;
    let mut found: Option<Vec<(String, Value)>> = None;
    for set in spec.all("propSet").filter(|set| set.text_of("type").is_some_and(|of| is_kind(kind, of))) {
        let found = found.get_or_insert_default();
        let has = |found: &[(String, Value)], path: &str| found.iter().any(|(other, _)| other == path);
        if set.text_of("all").is_some_and(truth) {
            for (name, value) in &object.properties {
                if !has(found, name) {
                    found.push(((*name).to_owned(), value.clone()));
                }
            }
        }
        for path in set.all("pathSet").map(|path| path.text.trim()) {
            match object.at(path) {
                Some(value) if !has(found, path) => found.push((path.to_owned(), value.clone())),
                None if !known(object, path) => return Err(invalid_property(path)),
                _ => {}
            }
        }
    }
    Ok(found)
}

/// Every step of a spec that has a name, so that others can refer to it.
fn names<'s>(select: &'s Node, all: &mut HashMap<&'s str, &'s Node>) {
    for step in select.all("selectSet").filter(|step| step.child("path").is_some()) {
        if let Some(name) = step.text_of("name").map(str::trim).filter(|name| !name.is_empty()) {
            all.insert(name, step);
        }
        names(step, all);
    }
}

/// Selects from these objects. An object comes once, however many ways lead to it.
pub(super) fn select(spec: &Node, objects: &dyn Fn(&Ref) -> Option<Object>) -> Result<Vec<Selected>, Fault> {
    let mut found: Vec<Selected> = Vec::new();
    let mut taken: HashSet<Ref> = HashSet::new();
    for set in spec.all("objectSet") {
        let begin = set.child("obj").map(Node::reference).unwrap_or_default();
        let mut named = HashMap::new();
        names(set, &mut named);
        // An object, the step that led to it, and whether it is to be left out.
        let mut open = vec![(begin.clone(), set, set.text_of("skip").is_some_and(truth))];
        let mut seen: HashSet<(Ref, *const Node)> = HashSet::new();
        let mut next = 0;
        while let Some((at, step, skip)) = open.get(next).cloned() {
            next += 1;
            let Some(object) = objects(&at) else {
                if next == 1 {
                    return Err(Fault::not_found(&begin));
                }
                // It went away meanwhile.
                continue;
            };
            if !skip
                && !taken.contains(&at)
                && let Some(properties) = properties(spec, &object)?
            {
                taken.insert(at.clone());
                found.push((at.clone(), properties));
            }
            for choice in step.all("selectSet") {
                let step = match choice.child("path") {
                    Some(_) => choice,
                    None => {
                        let name = choice.text_of("name").unwrap_or_default().trim();
                        *named.get(name).ok_or_else(|| Fault::invalid_argument("specSet.objectSet.selectSet.name"))?
                    }
                };
                if !step.text_of("type").is_some_and(|of| is_kind(&at.kind, of)) {
                    continue;
                }
                let path = step.text_of("path").unwrap_or_default().trim();
                let Some(value) = object.at(path) else {
                    if known(&object, path) {
                        continue;
                    }
                    return Err(invalid_property(path));
                };
                let skip = step.text_of("skip").is_some_and(truth);
                for to in value.references() {
                    if open.len() < MOST_STEPS && seen.insert((to.clone(), std::ptr::from_ref(step))) {
                        open.push((to.clone(), step, skip));
                    }
                }
            }
        }
    }
    Ok(found)
}

/// A view of what lies below a container, as `CreateContainerView` makes one.
#[derive(Clone, Debug)]
pub(super) struct ContainerView {
    container: Ref,
    types: Vec<String>,
    recursive: bool,
}

impl ContainerView {
    /// Reads the call that makes one.
    pub(super) fn read(call: &Node, world: &World) -> Result<Self, Fault> {
        let container = call.child("container").map(Node::reference).unwrap_or_default();
        if world.below(&container, false).is_none() {
            return Err(Fault::not_found(&container));
        }
        let types = call.all("type").map(|of| of.text.trim().to_owned()).filter(|of| !of.is_empty()).collect();
        Ok(Self { container, types, recursive: call.text_of("recursive").is_some_and(truth) })
    }

    /// The view as an object: what lies below its container is looked up anew each time.
    pub(super) fn object(&self, me: &Ref, world: &World) -> Object {
        let below = world.below(&self.container, self.recursive).unwrap_or_default();
        let suits = |found: &Ref| self.types.is_empty() || self.types.iter().any(|of| is_kind(&found.kind, of));
        let types = self.types.iter().map(|of| Value::string(&**of)).collect();
        let properties = vec![
            ("view", Value::refs(below.into_iter().filter(suits))),
            ("container", Value::Ref(self.container.clone())),
            ("type", Value::Array("String", types)),
            ("recursive", Value::bool(self.recursive)),
        ];
        Object { reference: me.clone(), properties }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::Size;
    use crate::simulator::vcenter::soap::read_call;

    fn world() -> World {
        World::new(1, Size { machines: 60 })
    }

    fn call(xml: &str) -> Node {
        let envelope = format!(
            "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><e:Body>{xml}</e:Body></e:Envelope>"
        );
        read_call(envelope.as_bytes()).unwrap()
    }

    /// As govc writes a spec: it names the type of every step.
    fn spec(props: &[(&str, &[&str])], object: &Ref, skip: bool, select: &str) -> Node {
        let paths = |paths: &[&str]| paths.iter().map(|path| format!("<pathSet>{path}</pathSet>")).collect::<String>();
        let sets = props.iter().map(|(of, all)| format!("<propSet><type>{of}</type>{}</propSet>", paths(all)));
        let (kind, value) = (&object.kind, &object.value);
        call(&format!(
            "<spec>{}<objectSet><obj type=\"{kind}\">{value}</obj><skip>{skip}</skip>{select}</objectSet></spec>",
            sets.collect::<String>()
        ))
    }

    fn step(name: &str, of: &str, path: &str, inside: &str) -> String {
        format!(
            "<selectSet xsi:type=\"TraversalSpec\"><name>{name}</name><type>{of}</type><path>{path}</path>\
             <skip>false</skip>{inside}</selectSet>"
        )
    }

    fn run(world: &World, spec: &Node) -> Result<Vec<Selected>, Fault> {
        select(spec, &|object| world.object(object))
    }

    #[test]
    fn a_folder_is_listed_as_govc_does() {
        let world = world();
        let types = ["Folder", "Datacenter", "VirtualMachine", "Network", "ComputeResource", "ClusterComputeResource"];
        let props: Vec<(&str, &[&str])> = types.iter().map(|of| (*of, &["name"][..])).collect();
        let folder = world.by_path("/Frankfurt/vm/Production").unwrap();
        let found = run(&world, &spec(&props, &folder, true, &step("", "Folder", "childEntity", ""))).unwrap();
        assert!(found.len() > 10);
        let name = vec![("name".to_owned(), Value::string("erp-db-01"))];
        assert!(found.iter().any(|(object, properties)| object.kind == "VirtualMachine" && *properties == name));
        // A cluster is a ComputeResource too, and comes once all the same.
        let folder = world.by_path("/Frankfurt/host").unwrap();
        let found = run(&world, &spec(&props, &folder, true, &step("", "Folder", "childEntity", ""))).unwrap();
        assert!(
            !found.is_empty()
                && found
                    .iter()
                    .all(|(object, properties)| { object.kind == "ClusterComputeResource" && properties.len() == 1 })
        );
    }

    #[test]
    fn ancestors_are_found_by_a_step_that_names_itself() {
        let world = world();
        let vm = world.by_path("/Frankfurt/vm/Production/erp-db-01").unwrap();
        let again = "<selectSet><name>up</name></selectSet>";
        let vapp = step("vapp", "VirtualMachine", "parentVApp", again);
        let select = step("up", "ManagedEntity", "parent", again) + &vapp;
        let found = run(&world, &spec(&[("ManagedEntity", &["name", "parent"])], &vm, false, &select)).unwrap();
        let kinds: Vec<_> = found.iter().map(|(object, _)| &*object.kind).collect();
        assert_eq!(kinds, ["VirtualMachine", "Folder", "Folder", "Datacenter", "Folder"]);
        assert_eq!(found[4].1.len(), 1, "the root has no parent");
    }

    #[test]
    fn a_circle_ends() {
        let world = world();
        let down = "<selectSet><name>down</name></selectSet><selectSet><name>up</name></selectSet>";
        let select = step("down", "Folder", "childEntity", down) + &step("up", "ManagedEntity", "parent", down);
        let root = world.by_path("/Frankfurt/vm").unwrap();
        let found = run(&world, &spec(&[("VirtualMachine", &["name"])], &root, false, &select)).unwrap();
        assert_eq!(found.len(), 60);
    }

    #[test]
    fn a_view_shows_what_lies_below() {
        let world = world();
        let create = |types: &str, recursive: bool| {
            let create = call(&format!(
                "<CreateContainerView><_this type=\"ViewManager\">ViewManager</_this>\
                 <container type=\"Folder\">group-d1</container>{types}<recursive>{recursive}</recursive>\
                 </CreateContainerView>"
            ));
            ContainerView::read(&create, &world).unwrap()
        };
        let me = Ref::new("ContainerView", "session[1]2");
        let count = |view: &ContainerView| view.object(&me, &world).at("view").unwrap().references().len();
        let machines = create("<type>VirtualMachine</type>", true);
        assert_eq!(count(&machines), 60);
        assert_eq!(count(&create("<type>Datacenter</type>", false)), 1);
        assert_eq!(count(&create("<type>HostSystem</type><type>Network</type>", true)), 4 + 5);
        assert!(count(&create("", true)) > 80);
        let select = step("", "ManagedObjectView", "view", "");
        let spec = spec(&[("VirtualMachine", &["summary.config.name", "runtime.powerState"])], &me, true, &select);
        let found = super::select(&spec, &|object| {
            if *object == me { Some(machines.object(&me, &world)) } else { world.object(object) }
        });
        assert!(found.unwrap().iter().all(|(object, found)| object.kind == "VirtualMachine" && found.len() == 2));
        assert!(wants(&spec, "ContainerView", "view") && !wants(&spec, "ContainerView", "container"));
        let nobody = call("<CreateContainerView><container type=\"Folder\">group-x</container></CreateContainerView>");
        assert_eq!(ContainerView::read(&nobody, &world).unwrap_err().kind, "ManagedObjectNotFound");
    }

    #[test]
    fn what_is_not_set_is_missing_and_what_is_unknown_a_fault() {
        let world = world();
        let vm = world.by_path("/Frankfurt/vm/Production/erp-db-01").unwrap();
        let ask = |paths: &[&str]| run(&world, &spec(&[("VirtualMachine", paths)], &vm, false, ""));
        for unset in ["snapshot", "parentVApp", "config.managedBy", "summary.config.product.name", "guest.net"] {
            assert_eq!(ask(&[unset]).unwrap()[0].1, [], "{unset}");
        }
        for unknown in ["nothing", "config.nothing", "summary.config.name.length", "childEntity", ""] {
            let fault = ask(&["name", unknown]).unwrap_err();
            assert_eq!((&*fault.kind, fault.fields), ("InvalidProperty", format!("<name>{unknown}</name>")));
        }
        let nobody = Ref::new("VirtualMachine", "vm-1");
        let fault = run(&world, &spec(&[("VirtualMachine", &["name"])], &nobody, false, "")).unwrap_err();
        assert_eq!(fault.kind, "ManagedObjectNotFound");
        let lost = "<selectSet><name>nowhere</name></selectSet>";
        assert_eq!(run(&world, &spec(&[], &vm, false, lost)).unwrap_err().kind, "InvalidArgument");
        // Asked for by nobody, an object does not come at all.
        assert_eq!(run(&world, &spec(&[("HostSystem", &["name"])], &vm, false, "")).unwrap(), []);
        let all = call(&format!(
            "<spec><propSet><type>ManagedEntity</type><all>true</all></propSet><objectSet>\
             <obj type=\"VirtualMachine\">{}</obj></objectSet></spec>",
            vm.value
        ));
        assert!(run(&world, &all).unwrap()[0].1.len() > 15);
    }
}
