//! An event of any class, on request: with a value in every element that the schema's table declares for it.

use crate::simulator::body::Body;
use crate::simulator::value::Value;
use crate::vim25::describe::{self, Member, derives};
use crate::vim25::{Kind, soap::Ref};

use super::draft::{Draft, OUTSIDE, SHAPE, argument, entity, fault, object};
use super::formats::{EXTENDED, TYPE_IDS};
use super::inventory::{Inventory, Item};
use super::names;
use super::state::Power;
use super::told::{self, Job, TaskWords, Told, What, wrong_state};

/// Objects in objects in events, no deeper.
const DEEPEST: usize = 4;

/// Elements of every event that say where it happened; which of them an event has, its kind decides.
const PLACES: [&str; 7] = ["datacenter", "computeResource", "host", "vm", "ds", "net", "dvs"];

/// What else objects in events have, beside what they must have.
const ALSO: [(&str, &[&str]); 16] = [
    ("BoolPolicy", &["value"]),
    ("ChangesInfoEventArgument", &["modified", "added", "deleted"]),
    ("DVPortSetting", &["blocked"]),
    ("DVPortStatus", &["mtu", "macAddress"]),
    ("DVPortgroupConfigSpec", &["configVersion", "name", "numPorts", "description"]),
    ("DVSConfigSpec", &["configVersion", "name", "description"]),
    ("DistributedVirtualSwitchPortConnectee", &["connectedEntity", "nicKey"]),
    ("DistributedVirtualSwitchPortConnection", &["portgroupKey", "portKey", "connectionCookie"]),
    ("DistributedVirtualSwitchProductSpec", &["name", "vendor", "version", "build"]),
    ("HostAccountSpec", &["description"]),
    ("HostMemberHealthCheckResult", &["summary"]),
    ("HostSpecification", &["lastModified", "changeID"]),
    ("LicenseFeatureInfo", &["featureDescription", "state"]),
    ("Permission", &["entity"]),
    ("VirtualMachineConfigSpec", &["name", "annotation", "numCPUs", "memoryMB"]),
    ("VirtualMachineMessage", &["text"]),
];

/// The event that was asked for as number `turn`, of a machine that is there and the host it is on; none if there is no
/// such class. The next turn is about others.
pub(super) fn of_class(inventory: &Inventory, class: &str, turn: usize, (vm, host): (usize, usize)) -> Option<Body> {
    let class = derives(class, "Event").then(|| describe::name(class)).flatten()?;
    let user = names::USERS[turn % names::USERS.len()];
    let what = match class {
        "EventEx" => What::Ex { id: turn % TYPE_IDS.len(), vm, host },
        "ExtendedEvent" => What::Extended { id: turn % EXTENDED.len(), vm, host },
        _ => return Some(Maker { inventory, class, turn, vm, host, user }.draft().finish()),
    };
    Some(Told { what, user }.body(inventory))
}

struct Maker<'w> {
    inventory: &'w Inventory,
    class: &'static str,
    turn: usize,
    vm: usize,
    host: usize,
    user: &'static str,
}

/// The one behind this one, if there is another.
fn next(at: usize, count: usize) -> usize {
    (at + 1) % count.max(1)
}

impl Maker<'_> {
    fn is(&self, bases: &[&str]) -> bool {
        bases.iter().any(|base| derives(self.class, base))
    }

    fn draft(&self) -> Draft {
        let mut draft = Draft::new(self.class, self.user);
        for member in describe::members(self.class, SHAPE) {
            let others = PLACES.iter().chain(&OUTSIDE).chain(&["userName", "fullFormattedMessage"]);
            // Few events have a tag.
            let tagless = member.name == "changeTag" && self.turn.is_multiple_of(2);
            if tagless || others.into_iter().any(|other| *other == member.name) {
                continue;
            }
            if let Some(value) = self.member(self.class, &member, 0) {
                draft = draft.with(member.name, value);
            }
        }
        self.place(draft)
    }

    /// Says where it happened, as events of its kind do.
    fn place(&self, draft: Draft) -> Draft {
        let inventory = self.inventory;
        let named = |item| argument(inventory, item);
        let datacenter = named(Item::Datacenter(self.datacenter()));
        if self.is(&["SessionEvent", "AuthorizationEvent", "LicenseEvent", "CustomFieldDefEvent"]) {
            return draft;
        }
        if self.is(&["DatacenterEvent"]) {
            return draft.with("datacenter", datacenter);
        }
        if self.is(&["DvsEvent"]) {
            return draft.with("datacenter", datacenter).with("dvs", named(Item::Switch(self.datacenter())));
        }
        if self.is(&["DVPortgroupEvent"]) {
            return draft.with("datacenter", datacenter).with("net", named(Item::Network(self.network())));
        }
        if self.is(&["ClusterEvent", "ResourcePoolEvent"]) {
            return draft.on_cluster(inventory, inventory.hosts[self.host].cluster);
        }
        if self.is(&["HostEvent", "ProfileEvent"]) {
            return draft.on_host(inventory, self.host);
        }
        if self.is(&["DatastoreEvent"]) {
            return draft.on_host(inventory, self.host).with("ds", named(Item::Store(self.store())));
        }
        let draft = draft.on_machine(inventory, self.vm, self.host).with("net", named(Item::Network(self.network())));
        match inventory.networks[self.network()].switch {
            Some(_) => draft.with("dvs", named(Item::Switch(self.datacenter()))),
            None => draft,
        }
    }

    fn datacenter(&self) -> usize {
        self.inventory.clusters[self.inventory.hosts[self.host].cluster].datacenter
    }

    fn store(&self) -> usize {
        self.inventory.machines[self.vm].store
    }

    fn network(&self) -> usize {
        self.inventory.machines[self.vm].network
    }

    fn other_host(&self) -> usize {
        let hosts = &self.inventory.clusters[self.inventory.hosts[self.host].cluster].hosts;
        hosts[next(hosts.iter().position(|host| *host == self.host).unwrap_or(0), hosts.len())]
    }

    /// What an element of an event, or of an object in one, holds; none if nothing is known of it.
    fn member(&self, of: &'static str, member: &Member, depth: usize) -> Option<Value> {
        if !member.array {
            return self.value(of, member, depth, 0);
        }
        let items: Vec<_> = (0..2).filter_map(|nth| self.value(of, member, depth, nth)).collect();
        let kind = if member.kind == Kind::Object { member.of } else { "String" };
        (!items.is_empty()).then_some(Value::Array(kind, items))
    }

    fn value(&self, of: &'static str, member: &Member, depth: usize, nth: usize) -> Option<Value> {
        Some(match member.kind {
            Kind::Text => Value::string(self.text(of, member.name, nth)?),
            Kind::Bool => Value::bool(matches!(member.name, "propagate" | "succeeded" | "linkUp")),
            Kind::Byte | Kind::Short | Kind::Int => Value::int(number(member.name)),
            Kind::Long => Value::long(self.long(member.name, nth)),
            Kind::Float | Kind::Double => Value::Text("xsd:double", "0.5".to_owned()),
            Kind::Time => Value::time(format!("2026-01-12T06:{:02}:07.21714Z", self.turn % 60)),
            Kind::Reference => Value::Ref(self.reference(of, member.name)?),
            Kind::Object => self.object(of, member, depth, nth)?,
            Kind::Any | Kind::Bytes | Kind::ByteArray => return None,
        })
    }

    fn reference(&self, of: &str, name: &str) -> Option<Ref> {
        Some(match (of, name) {
            ("ProfileEventArgument", _) => Ref::new("HostProfile", "hostprofile-7"),
            ("ScheduledTaskEventArgument", _) => Ref::new("ScheduledTask", "schedule-14"),
            (_, "host" | "referenceHost") => self.inventory.reference(Item::Host(self.host)),
            (_, "entity" | "connectedEntity") => self.inventory.reference(Item::Machine(self.vm)),
            _ => return None,
        })
    }

    fn object(&self, of: &'static str, member: &Member, depth: usize, nth: usize) -> Option<Value> {
        let inventory = self.inventory;
        let folders = &inventory.datacenters[self.datacenter()].folders;
        let another = |name: &str| name.starts_with("new") || name.starts_with("dest");
        let item = match (member.of, member.name) {
            ("DatacenterEventArgument", _) => Item::Datacenter(self.datacenter()),
            ("HostEventArgument", "outOfSyncHost") => Item::Host(self.host),
            ("HostEventArgument", _) if nth > 0 => Item::Host(self.host),
            ("HostEventArgument", _) => Item::Host(self.other_host()),
            ("DatastoreEventArgument" | "EntityEventArgument", name) if another(name) => {
                Item::Store(next(self.store(), inventory.stores.len()))
            }
            ("DatastoreEventArgument" | "EntityEventArgument", _) => Item::Store(self.store()),
            ("VmEventArgument", "srcTemplate") => {
                let template = inventory.machines.iter().position(|machine| machine.template);
                Item::Machine(template.unwrap_or(self.vm))
            }
            ("VmEventArgument", _) => Item::Machine((self.vm + 1 + nth) % inventory.machines.len()),
            ("FolderEventArgument", "destFolder") => Item::Folder(inventory.machines[self.vm].folder),
            ("FolderEventArgument", _) => Item::Folder(match self.class {
                "ClusterCreatedEvent" => folders[1],
                "DvsCreatedEvent" => folders[3],
                _ => 0,
            }),
            ("ResourcePoolEventArgument", "parent" | "oldParent") => {
                Item::Pool(inventory.machines[self.vm].pool / 3 * 3)
            }
            ("ResourcePoolEventArgument", _) => Item::Pool(inventory.machines[self.vm].pool / 3 * 3 + 1),
            ("DvsEventArgument", name) => Item::Switch(match another(name) {
                true => next(self.datacenter(), inventory.switches.len()),
                false => self.datacenter(),
            }),
            ("AlarmEventArgument", _) => Item::Alarm(self.turn % inventory.alarms.len()),
            ("ManagedEntityEventArgument", "source") => {
                return Some(entity(inventory, Item::Datacenter(self.datacenter())));
            }
            ("ManagedEntityEventArgument", _) => return Some(entity(inventory, Item::Machine(self.vm))),
            ("LocalizedMethodFault", _) => return Some(self.fault()),
            ("TaskInfo", _) => return Some(self.task()),
            _ => return self.nested(of, member.of, depth),
        };
        Some(argument(inventory, item))
    }

    /// An object with what it must have, and some of what it may have.
    fn nested(&self, holder: &'static str, of: &'static str, depth: usize) -> Option<Value> {
        if depth >= DEEPEST || holder == of {
            return None;
        }
        let also = ALSO.iter().find(|(name, _)| *name == of).map_or(&[][..], |(_, also)| also);
        let members = describe::members(of, SHAPE).into_iter();
        let members = members.filter(|member| !member.optional || also.contains(&member.name));
        let values = members.filter_map(|member| Some((member.name, self.member(of, &member, depth + 1)?)));
        Some(object(of, values.collect()))
    }

    fn task(&self) -> Value {
        let machine = &self.inventory.machines[self.vm];
        let me = Ref::new("Task", &format!("task-{}", 1000 + self.turn % 1000));
        let (job, queued) = (Job::PowerOn, told::QUEUED);
        let (vm, vm_name, user) = (&machine.me, &*machine.name, self.user);
        TaskWords { me: &me, job, vm, vm_name, user, queued, ended: None }.info()
    }

    /// Why it failed.
    fn fault(&self) -> Value {
        if self.class.contains("PowerO") || self.class.contains("FailedTo") {
            return wrong_state(Power::On, Power::Suspended);
        }
        if self.class.starts_with("Alarm") || self.class.starts_with("ScheduledTask") {
            let reason = ("reason", Value::string("Connection refused"));
            return fault("SystemError", vec![reason], "A general system error occurred: Connection refused");
        }
        fault("Timedout", Vec::new(), "Operation timed out.")
    }

    fn long(&self, name: &str, nth: usize) -> i64 {
        let nth = i64::try_from(nth).unwrap_or(0);
        let capacity = self.inventory.stores[self.store()].capacity;
        match name {
            "oldCapacity" => capacity,
            "newCapacity" => capacity + told::GROWTH,
            "callCount" => 412,
            "timeout" => 60_000,
            "memoryMB" => 16_384,
            // World wide names.
            _ if name.starts_with("old") => 2_377_900_603_251_818_498 + nth,
            _ => 2_377_900_603_251_818_754 + nth,
        }
    }

    /// What the event is about is called so.
    fn named(&self) -> String {
        let inventory = self.inventory;
        match self.class {
            class if class.starts_with("Datacenter") => inventory.datacenters[self.datacenter()].name.to_owned(),
            class if class.starts_with("Datastore") => inventory.stores[self.store()].name.clone(),
            class if class.starts_with("DVPortgroup") => inventory.networks[self.network()].name.clone(),
            class if class.starts_with("Dvs") => inventory.switches[self.datacenter()].0.clone(),
            class if class.starts_with("CustomField") => "Kostenstelle".to_owned(),
            _ => inventory.machines[self.vm].name.clone(),
        }
    }

    #[allow(clippy::too_many_lines, reason = "it is a table")]
    fn text(&self, of: &str, name: &str, nth: usize) -> Option<String> {
        let inventory = self.inventory;
        let machine = &inventory.machines[self.vm];
        let host = &inventory.hosts[self.host];
        let other = &inventory.machines[next(self.vm, inventory.machines.len())];
        let short = |name: &str| name.split('.').next().unwrap_or(name).to_owned();
        let file = |name: &str| format!("[{}] {}/{name}", inventory.stores[self.store()].name, machine.name);
        let fixed = match (of, name) {
            ("RoleEventArgument", "name") => "VirtualMachinePowerUser",
            ("ProfileEventArgument", "name") => "ESXi baseline",
            ("ScheduledTaskEventArgument", "name") => "Nightly snapshot",
            ("HostSubSpecification", "name") | (_, "subSpecName") => "network-settings",
            ("HostAccountSpec", "id") | (_, "account") => "svc-monitor",
            ("VirtualMachineMessage", "id") => "msg.hbacommon.outofspace",
            ("LicenseFeatureInfo", "key") | (_, "feature") => "vsmp",
            ("LicenseFeatureInfo", "state") => "enabled",
            (_, "featureName") => "Virtual SMP",
            (_, "featureDescription") => "Several processors for one machine",
            (_, "costUnit") => "cpuPackage",
            ("DistributedVirtualSwitchProductSpec", "name") => "DVS",
            ("DistributedVirtualSwitchProductSpec", "version") => "6.6.0",
            (_, "vendor") => "VMware, Inc.",
            (_, "build") => "13643606",
            (_, "configVersion") => "7",
            (_, "changeID") => "41",
            (_, "configParamters") => ["vlan", "teaming"][nth % 2],
            (_, "modified") => "config.annotation: \"\" -> \"Rücksprache <Betrieb> & Leitung\";\n",
            ("ChangesInfoEventArgument", _) => "",
            (_, "changeTag") => "change-4711",
            (_, "annotation" | "description" | "prevDescription") => names::NOTES[1 + self.turn % 5],
            (_, "summary") => "All uplinks are connected",
            ("VirtualMachineMessage", "text") | (_, "message") => {
                "Insufficient disk space. Größe < benötigt & nicht erweiterbar"
            }
            (_, "prevMessage") => "Wartung am Sonntag",
            (_, "to") if self.class.contains("Email") => "betrieb@corp.example",
            (_, "from" | "oldStatus") => "green",
            (_, "to" | "newStatus") => "yellow",
            ("VmFaultToleranceStateChangedEvent", "oldState") => "starting",
            ("VmFaultToleranceStateChangedEvent", "newState") => "running",
            (_, "oldStatusDetail") => "The host is in sync",
            (_, "newStatusDetail" | "statusDetail") => "The host does not answer",
            (_, "state") => "enabled",
            (_, "prevState") => "disabled",
            (_, "prevBlockState") => "unset",
            (_, "adapter") => "Network adapter 1",
            (_, "vnic") => "vmk1",
            (_, "behavior") => "fullyAutomated",
            (_, "componentId" | "serviceId") => "vpxd",
            (_, "componentName") => "vCenter Server",
            (_, "duplicateIP" | "ipAddress" | "ips" | "isolationIp" | "oldIP") => "10.20.4.77",
            (_, "ipAddress2" | "newIP") => "10.20.4.102",
            (_, "importType") => "applyToEntitySpecified",
            (_, "legacyTemplate") => "/templates/rhel5.vmtx",
            (_, "licenseServer") => "27000@licence.corp.example",
            (_, "locale") => "en",
            (_, "logLocation") => "/var/log/vmware/customisation.log",
            (_, "oldMac" | "mac" | "macAddress") => "00:50:56:ab:3c:11",
            (_, "newMac") => "00:50:56:ab:3c:12",
            (_, "methodName") => "UpdateNetworkConfig",
            (_, "portKey" | "prevPortKey") => ["128", "129"][nth % 2],
            (_, "portgroupKey") => "dvportgroup-21",
            (_, "principal" | "userLogin" | "terminatedUsername" | "datastorePrincipal") => names::USERS[4],
            (_, "group") => "CORP\\Betrieb",
            (_, "prevRoleName") => "VirtualMachineUser",
            (_, "privilegeList") => ["System.View", "VirtualMachine.Interact.PowerOn"][nth % 2],
            (_, "privilegesAdded") => ["VirtualMachine.Interact.PowerOn", "VirtualMachine.Interact.Reset"][nth % 2],
            (_, "privilegesRemoved") => ["VirtualMachine.Interact.Suspend", "Datastore.Browse"][nth % 2],
            (_, "product") => "VMware ESX Server 5.0",
            ("VmPrimaryFailoverEvent", "reason") => "lostConnection",
            (_, "reason") => "Host is not responding",
            (_, "shutdownResult") => "success",
            (_, "script") => "/usr/local/bin/notify.sh",
            (_, "serverName") => "10.20.0.15",
            (_, "sessionId" | "transactionId") => "52000f1a-7b1e-40f2-9d33-5e0c81a4f6d2",
            (_, "sourceOfOperation") => "FileManager",
            (_, "sysprepVersion") => "5.1.2600",
            (_, "systemVersion") => "5.2.3790",
            (_, "ticketType") => "webmks",
            (_, "url") => "https://vcenter.corp.example/licence",
            (_, "userAgent") => names::VISITORS[self.turn % names::VISITORS.len()].2,
            (_, "value") => "KST-4017",
            (_, "version") => "vmx-14",
            (_, "vmVnicResourcePoolKey") => "res-vm-1",
            (_, "vmVnicResourcePoolName") => "Backup & Restore",
            (_, "nicKey") => "4000",
            _ => {
                return Some(match name {
                    "newName" | "name" => self.named(),
                    "portgroupName" => inventory.networks[self.network()].name.clone(),
                    "oldName" => format!("{}-old", self.named()),
                    "destName" => format!("{}-clone", machine.name),
                    "configPath" => file("machine.vmx"),
                    "disk" => file("disk_1.vmdk"),
                    "screenshotFilePath" => file("screenshot-0.png"),
                    "sourceFile" => file("image.iso"),
                    "targetFile" => file("image-2.iso"),
                    "datastoreUrl" => format!("ds:///vmfs/volumes/{}/", inventory.stores[self.store()].me.value),
                    "guestId" => names::GUESTS[machine.guest].0.to_owned(),
                    "hostName" | "hostname" | "referenceHostName" | "primaryAgent" => host.name.clone(),
                    "prevReferenceHostName" => inventory.hosts[self.other_host()].name.clone(),
                    "shortName" => short(&host.name),
                    "shortName2" => format!("{}-mgmt", short(&host.name)),
                    "uuid" | "newUuid" => machine.uuid.clone(),
                    "oldUuid" => other.uuid.clone(),
                    "instanceUuid" | "newInstanceUuid" => machine.instance_uuid.clone(),
                    "oldInstanceUuid" => other.instance_uuid.clone(),
                    "switchUuid" | "dvsUuid" => format!("50 1e 3c 11 9a 27 40 f{nth}-8b 12 6d 5e 02 aa 41 9c"),
                    _ => return None,
                });
            }
        };
        Some(fixed.to_owned())
    }
}

fn number(name: &str) -> i32 {
    match name {
        "fieldKey" => 101,
        "capacity" => 1_000,
        "unlicensed" => 2,
        "available" => 30,
        "roleId" => 4,
        "numPorts" => 128,
        "numCPUs" => 4,
        "mtu" => 1_500,
        "connectionCookie" => 1_804_289_383,
        _ => 0,
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;
    use std::sync::Arc;

    use super::super::tests::decode;
    use super::*;
    use crate::simulator::world::{Size, World};

    /// The names of the elements directly in it.
    pub(in crate::simulator::world) fn elements(xml: &str) -> Vec<String> {
        let page = format!("<e xmlns:xsi=\"{}\">{xml}</e>", crate::vim25::xml::XSI);
        let mut reader = crate::vim25::xml::Reader::new(page.as_bytes());
        assert!(reader.child().unwrap().is_some());
        let mut found = Vec::new();
        while let Some(name) = reader.child().unwrap() {
            found.push(name.to_owned());
            reader.skip_element().unwrap();
        }
        found
    }

    #[test]
    fn every_class_has_what_is_declared_for_it() {
        let mut world = World::new(5, Size { machines: 60 });
        let mut bodies = Vec::new();
        for class in describe::events() {
            for _ in 0..4 {
                let body = world.make(class).unwrap();
                assert_eq!(&*body.class, class);
                let found = elements(&body.xml);
                let mut declared = describe::members(class, SHAPE);
                declared.retain(|member| !OUTSIDE.contains(&member.name));
                // In the declared order, and nothing else.
                let mut places = found.iter().map(|name| declared.iter().position(|m| m.name == name).unwrap());
                let first = places.next().unwrap();
                assert!(places.try_fold(first, |last, at| (last <= at).then_some(at)).is_some(), "{class}: {found:?}");
                // What is made as life makes it has what it has there.
                let as_life = matches!(class, "EventEx" | "ExtendedEvent");
                for member in declared {
                    let may_lack =
                        member.optional && (PLACES.contains(&member.name) || member.name == "changeTag" || as_life);
                    let has = found.iter().any(|name| name == member.name);
                    assert!(has || may_lack, "{class} has no {}: {}", member.name, body.xml);
                }
                bodies.push(Arc::new(body));
            }
        }
        assert_eq!(bodies.len(), 4 * 443);
        for event in decode(&bodies) {
            assert_ne!(event["FullFormattedMessage"], "");
        }
        assert!(world.make("VmMovedToAnotherPlanetEvent").is_none() && world.make("TaskInfo").is_none());
    }

    #[test]
    fn objects_in_events_have_what_they_must_have() {
        fn check(of: &str, value: &Value) {
            let Value::Object(_, members) = value else { return };
            for member in describe::members(of, SHAPE).iter().filter(|member| !member.optional) {
                let has = members.iter().find(|(name, _)| *name == member.name);
                let (_, value) = has.unwrap_or_else(|| panic!("{of} has no {}", member.name));
                match value {
                    Value::Array(_, items) => items.iter().for_each(|item| check(member.of, item)),
                    Value::Object(kind, _) => check(kind, value),
                    _ => {}
                }
            }
        }
        let world = World::new(5, Size { machines: 60 });
        let inventory = &world.inventory;
        let mut objects = 0;
        for class in describe::events().filter(|class| !matches!(*class, "EventEx" | "ExtendedEvent")) {
            let maker = Maker { inventory, class, turn: 3, vm: 3, host: inventory.machines[3].host, user: "u" };
            let members = describe::members(class, SHAPE).into_iter();
            for member in members.filter(|member| !PLACES.contains(&member.name)) {
                match maker.member(maker.class, &member, 0) {
                    Some(Value::Array(_, items)) => items.iter().for_each(|item| check(member.of, item)),
                    Some(Value::Object(kind, members)) => {
                        objects += 1;
                        check(kind, &Value::Object(kind, members));
                    }
                    _ => {}
                }
            }
        }
        assert!(objects > 100, "{objects}");
    }

    #[test]
    fn each_is_about_another_and_life_goes_on_as_if_there_were_none() {
        let (mut world, mut other) = (World::new(5, Size { machines: 60 }), World::new(5, Size { machines: 60 }));
        let made: HashSet<_> = (0..50).map(|_| world.make("VmPoweredOnEvent").unwrap().about).collect();
        assert!(made.len() > 40, "{}", made.len());
        for _ in 0..1_000 {
            assert_eq!(world.next().body, other.next().body);
        }
        let ids: HashSet<_> = (0..60).map(|_| world.make("EventEx").unwrap().type_id).collect();
        assert_eq!(ids.len(), TYPE_IDS.len());
    }
}
