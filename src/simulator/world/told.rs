//! What can be told of the data centre, and the event that each becomes. An event follows from what is told and from
//! what never changes, so equal tales share one body.

use crate::simulator::body::Body;
use crate::simulator::value::Value;
use crate::vim25::soap::Ref;

use super::draft::{Draft, argument, entity, fault, object};
use super::formats::{About, EXTENDED, Held, TYPE_IDS};
use super::inventory::{Inventory, Item};
use super::names;
use super::state::{COLOURS, Power};

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Job {
    PowerOn,
    PowerOff,
    Suspend,
    Reset,
    Migrate,
    Reconfigure,
    CreateSnapshot,
    RemoveSnapshot,
    Clone,
    Destroy,
}

impl Job {
    /// The method, and the id of its description.
    pub(super) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::PowerOn => ("PowerOnVM_Task", "VirtualMachine.powerOn"),
            Self::PowerOff => ("PowerOffVM_Task", "VirtualMachine.powerOff"),
            Self::Suspend => ("SuspendVM_Task", "VirtualMachine.suspend"),
            Self::Reset => ("ResetVM_Task", "VirtualMachine.reset"),
            Self::Migrate => ("MigrateVM_Task", "VirtualMachine.migrate"),
            Self::Reconfigure => ("ReconfigVM_Task", "VirtualMachine.reconfigure"),
            Self::CreateSnapshot => ("CreateSnapshot_Task", "VirtualMachine.createSnapshot"),
            Self::RemoveSnapshot => ("RemoveSnapshot_Task", "vim.vm.Snapshot.remove"),
            Self::Clone => ("CloneVM_Task", "VirtualMachine.clone"),
            Self::Destroy => ("Destroy_Task", "VirtualMachine.destroy"),
        }
    }
}

/// What is reconfigured, and to which value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Change {
    Cpus(i32, i32),
    Memory(i32, i32),
    Note(usize),
    Disk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// A task on a machine begins; equal tasks differ by their number.
    Task {
        job: Job,
        vm: usize,
        host: usize,
        number: u8,
    },
    /// An event of a machine that says nothing else.
    Machine {
        class: &'static str,
        vm: usize,
        host: usize,
    },
    /// It cannot be done in the state that the machine is in.
    Failed {
        class: &'static str,
        vm: usize,
        host: usize,
        wanted: Power,
        found: Power,
    },
    Migrating {
        vm: usize,
        from: usize,
        to: usize,
    },
    Migrated {
        vm: usize,
        from: usize,
        to: usize,
        drs: bool,
    },
    Reconfigured {
        vm: usize,
        host: usize,
        change: Change,
    },
    BeingCloned {
        clone: usize,
        host: usize,
    },
    Cloned {
        clone: usize,
        host: usize,
    },
    /// An alarm of a machine, or of a host, changes its colour.
    Alarm {
        alarm: usize,
        vm: Option<usize>,
        host: usize,
        from: usize,
        to: usize,
    },
    /// What the alarm has done about it.
    AlarmDone {
        class: &'static str,
        alarm: usize,
        vm: Option<usize>,
        host: usize,
    },
    Login {
        visitor: usize,
    },
    Logout {
        visitor: usize,
        calls: u16,
    },
    BadLogin {
        attacker: u8,
    },
    Host {
        class: &'static str,
        host: usize,
    },
    Ex {
        id: usize,
        vm: usize,
        host: usize,
    },
    Extended {
        id: usize,
        vm: usize,
        host: usize,
    },
    Grown {
        store: usize,
        by: i64,
    },
    FileDeleted {
        store: usize,
        number: u8,
    },
    Permission {
        class: &'static str,
        user: usize,
    },
    Field {
        vm: usize,
        host: usize,
        value: u8,
    },
    Message {
        vm: usize,
        host: usize,
    },
    Scheduled {
        class: &'static str,
        vm: usize,
        host: usize,
    },
    Log {
        number: u8,
    },
}

/// What happened, and who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Told<'u> {
    pub(super) what: What,
    pub(super) user: &'u str,
}

/// When tasks were queued that have no clock to ask.
pub(super) const QUEUED: &str = "2026-01-12T06:30:00.117305Z";

/// The elements of a `TaskInfo`.
pub(super) struct TaskWords<'t> {
    pub(super) me: &'t Ref,
    pub(super) job: Job,
    pub(super) vm: &'t Ref,
    pub(super) vm_name: &'t str,
    pub(super) user: &'t str,
    pub(super) queued: &'t str,
    /// How it ended, once it has: the time, and the fault if it failed.
    pub(super) ended: Option<(&'t str, Option<Value>)>,
}

impl TaskWords<'_> {
    pub(super) fn info(self) -> Value {
        let (method, description) = self.job.names();
        let state = match &self.ended {
            None => "queued",
            Some((_, None)) => "success",
            Some((_, Some(_))) => "error",
        };
        let reason = object("TaskReasonUser", vec![("userName", Value::string(self.user))]);
        let mut members = vec![
            ("key", Value::string(&*self.me.value)),
            ("task", Value::Ref(self.me.clone())),
            ("name", Value::string(method)),
            ("descriptionId", Value::string(description)),
            ("entity", Value::Ref(self.vm.clone())),
            ("entityName", Value::string(self.vm_name)),
            ("state", Value::Text("TaskInfoState", state.to_owned())),
            ("cancelled", Value::bool(false)),
            ("cancelable", Value::bool(false)),
        ];
        let completed = self.ended.map(|(time, error)| {
            members.extend(error.map(|error| ("error", error)));
            time
        });
        members.push(("reason", reason));
        members.push(("queueTime", Value::time(self.queued)));
        if let Some(time) = completed {
            members.push(("startTime", Value::time(self.queued)));
            members.push(("completeTime", Value::time(time)));
        }
        members.push(("eventChainId", Value::int(0)));
        object("TaskInfo", members)
    }
}

/// `InvalidPowerState`, as tasks end with it and events tell it.
pub(super) fn wrong_state(wanted: Power, found: Power) -> Value {
    let state = |power: Power| Value::Text("VirtualMachinePowerState", power.name().to_owned());
    fault(
        "InvalidPowerState",
        vec![("requestedState", state(wanted)), ("existingState", state(found))],
        &format!(
            "The attempted operation cannot be performed in the current state ({}).",
            match found {
                Power::On => "Powered on",
                Power::Off => "Powered off",
                Power::Suspended => "Suspended",
            }
        ),
    )
}

impl Told<'_> {
    /// The event.
    pub(super) fn body(self, inventory: &Inventory) -> Body {
        self.draft(inventory).finish()
    }

    fn draft(self, inventory: &Inventory) -> Draft {
        let new = |class| Draft::new(class, self.user);
        let machine = |class, vm, host| new(class).on_machine(inventory, vm, host);
        match self.what {
            What::Task { job, vm, host, number } => {
                let me = Ref::new("Task", &format!("task-{}", 1000 + vm * 16 + usize::from(number)));
                let words = TaskWords {
                    me: &me,
                    job,
                    vm: &inventory.machines[vm].me,
                    vm_name: &inventory.machines[vm].name,
                    user: self.user,
                    queued: QUEUED,
                    ended: None,
                };
                task_event(inventory, vm, host, self.user, words.info())
            }
            What::Machine { class, vm, host } => machine(class, vm, host),
            What::Failed { class, vm, host, wanted, found } => {
                machine(class, vm, host).with("reason", wrong_state(wanted, found))
            }
            What::Migrating { vm, from, to } => {
                let cluster = inventory.hosts[to].cluster;
                let datacenter = Item::Datacenter(inventory.clusters[cluster].datacenter);
                machine("VmBeingHotMigratedEvent", vm, from)
                    .with("destHost", argument(inventory, Item::Host(to)))
                    .with("destDatacenter", argument(inventory, datacenter))
                    .with("destDatastore", argument(inventory, Item::Store(inventory.machines[vm].store)))
            }
            What::Migrated { vm, from, to, drs } => {
                let cluster = inventory.hosts[from].cluster;
                let datacenter = Item::Datacenter(inventory.clusters[cluster].datacenter);
                machine(if drs { "DrsVmMigratedEvent" } else { "VmMigratedEvent" }, vm, to)
                    .with("sourceHost", argument(inventory, Item::Host(from)))
                    .with("sourceDatacenter", argument(inventory, datacenter))
                    .with("sourceDatastore", argument(inventory, Item::Store(inventory.machines[vm].store)))
            }
            What::Reconfigured { vm, host, change } => reconfigured(machine("VmReconfiguredEvent", vm, host), change),
            What::BeingCloned { clone, host } => {
                let source = inventory.machines[clone].clone_of.unwrap_or(clone);
                machine("VmBeingClonedEvent", source, host)
                    .with("destFolder", argument(inventory, Item::Folder(inventory.machines[clone].folder)))
                    .text("destName", &*inventory.machines[clone].name)
                    .with("destHost", argument(inventory, Item::Host(inventory.machines[clone].host)))
            }
            What::Cloned { clone, host } => {
                let source = inventory.machines[clone].clone_of.unwrap_or(clone);
                machine("VmClonedEvent", clone, host).with("sourceVm", argument(inventory, Item::Machine(source)))
            }
            What::Alarm { alarm, vm, host, from, to } => {
                alarmed(new("AlarmStatusChangedEvent"), inventory, alarm, vm, host)
                    .text("from", COLOURS[from])
                    .text("to", COLOURS[to])
            }
            What::AlarmDone { class, alarm, vm, host } => {
                let draft = alarmed(new(class), inventory, alarm, vm, host);
                match class {
                    "AlarmEmailCompletedEvent" => draft.text("to", "betrieb@corp.example"),
                    _ => draft,
                }
            }
            What::Login { visitor } => {
                let (_, ip, client) = names::VISITORS[visitor];
                new("UserLoginSessionEvent")
                    .text("ipAddress", ip)
                    .text("userAgent", client)
                    .text("locale", "en")
                    .text("sessionId", session(visitor))
            }
            What::Logout { visitor, calls } => {
                let (_, ip, client) = names::VISITORS[visitor];
                new("UserLogoutSessionEvent")
                    .text("ipAddress", ip)
                    .text("userAgent", client)
                    .with("callCount", Value::long(calls))
                    .text("sessionId", session(visitor))
                    .with("loginTime", Value::time(QUEUED))
            }
            What::BadLogin { attacker } => {
                new("BadUsernameSessionEvent").text("ipAddress", format!("10.66.6.{}", attacker + 10))
            }
            What::Host { class, host } => new(class).on_host(inventory, host),
            What::Ex { id, vm, host } => extended(new("EventEx"), inventory, id, vm, host),
            What::Extended { id, vm, host } => {
                let (name, _, data) = EXTENDED[id];
                let pair = |(key, value): &(&'static str, &'static str)| {
                    object("ExtendedEventPair", vec![("key", Value::string(*key)), ("value", Value::string(*value))])
                };
                machine("ExtendedEvent", vm, host)
                    .type_id(name)
                    .with("managedObject", Value::Ref(inventory.machines[vm].me.clone()))
                    .with("data", Value::Array("ExtendedEventPair", data.iter().map(pair).collect()))
            }
            What::Grown { store, by } => new("DatastoreCapacityIncreasedEvent")
                .on_store(inventory, store)
                .with("datastore", argument(inventory, Item::Store(store)))
                .with("oldCapacity", Value::long(inventory.stores[store].capacity + by - GROWTH))
                .with("newCapacity", Value::long(inventory.stores[store].capacity + by)),
            What::FileDeleted { store, number } => new("DatastoreFileDeletedEvent")
                .on_store(inventory, store)
                .with("datastore", argument(inventory, Item::Store(store)))
                .text("targetFile", format!("[{}] iso/old-image-{number}.iso", inventory.stores[store].name)),
            What::Permission { class, user } => {
                let place = &inventory.datacenters[user % inventory.datacenters.len()];
                let draft = new(class)
                    .with("entity", entity(inventory, Item::Folder(place.folders[0])))
                    .text("principal", names::USERS[user])
                    .with("group", Value::bool(false));
                if class == "PermissionRemovedEvent" {
                    return draft;
                }
                let role = vec![("name", Value::string("VirtualMachinePowerUser")), ("roleId", Value::int(4))];
                draft.with("role", object("RoleEventArgument", role)).with("propagate", Value::bool(true))
            }
            What::Field { vm, host, value } => machine("CustomFieldValueChangedEvent", vm, host)
                .with("entity", entity(inventory, Item::Machine(vm)))
                .with("fieldKey", Value::int(101))
                .text("name", "Kostenstelle")
                .text("value", format!("KST-{}", 4000 + u32::from(value)))
                .text("prevState", ""),
            What::Message { vm, host } => machine("VmMessageEvent", vm, host)
                .text("message", "Insufficient disk space on datastore ''. Größe < benötigt & nicht erweiterbar"),
            What::Scheduled { class, vm, host } => {
                let me = Ref::new("ScheduledTask", "schedule-14");
                let task = vec![("name", Value::string("Nightly snapshot")), ("scheduledTask", Value::Ref(me))];
                machine(class, vm, host)
                    .with("scheduledTask", object("ScheduledTaskEventArgument", task))
                    .with("entity", entity(inventory, Item::Machine(vm)))
            }
            What::Log { number } => new("GeneralUserEvent")
                .text("message", format!("Wartungsfenster {number}: Umbau <Rack 7> & Prüfung / メンテナンス")),
        }
    }
}

/// The event with which a task on a machine begins.
pub(super) fn task_event(inventory: &Inventory, vm: usize, host: usize, user: &str, info: Value) -> Draft {
    Draft::new("TaskEvent", user).on_machine(inventory, vm, host).with("info", info)
}

/// By how much a datastore grows at a time.
pub(super) const GROWTH: i64 = 64 << 30;

fn session(visitor: usize) -> String {
    format!("52{visitor:06x}-7b1e-40f2-9d33-5e0c81a4f6d2")
}

fn reconfigured(draft: Draft, change: Change) -> Draft {
    let modified = |path: &str, from: String, to: String| format!("config.{path}: {from} -> {to};\n");
    let (spec, modified, added) = match change {
        Change::Cpus(from, to) => {
            let modified = modified("hardware.numCPU", from.to_string(), to.to_string());
            (vec![("numCPUs", Value::int(to))], modified, String::new())
        }
        Change::Memory(from, to) => {
            let modified = modified("hardware.memoryMB", from.to_string(), to.to_string());
            (vec![("memoryMB", Value::long(to))], modified, String::new())
        }
        Change::Note(note) => {
            let note = names::NOTES[note];
            let modified = format!("config.annotation: \"{note}\";\n");
            (vec![("annotation", Value::string(note))], modified, String::new())
        }
        Change::Disk => {
            let backing = vec![
                ("fileName", Value::string("")),
                ("diskMode", Value::string("persistent")),
                ("thinProvisioned", Value::bool(true)),
            ];
            let device = object(
                "VirtualDisk",
                vec![
                    ("key", Value::int(-1)),
                    ("backing", object("VirtualDiskFlatVer2BackingInfo", backing)),
                    ("controllerKey", Value::int(1000)),
                    ("unitNumber", Value::int(2)),
                    ("capacityInKB", Value::long(52_428_800)),
                ],
            );
            let edit = object(
                "VirtualDeviceConfigSpec",
                vec![
                    ("operation", Value::string("add")),
                    ("fileOperation", Value::string("create")),
                    ("device", device),
                ],
            );
            let added =
                "config.hardware.device(2002): (diskMode: \"persistent\", capacityInKB: 52428800);\n".to_owned();
            (vec![("deviceChange", Value::Array("VirtualDeviceConfigSpec", vec![edit]))], String::new(), added)
        }
    };
    let changes =
        vec![("modified", Value::string(modified)), ("added", Value::string(added)), ("deleted", Value::string(""))];
    draft
        .with("configSpec", object("VirtualMachineConfigSpec", spec))
        .with("configChanges", object("ChangesInfoEventArgument", changes))
}

fn alarmed(draft: Draft, inventory: &Inventory, alarm: usize, vm: Option<usize>, host: usize) -> Draft {
    let (draft, item) = match vm {
        Some(vm) => (draft.on_machine(inventory, vm, host), Item::Machine(vm)),
        None => (draft.on_host(inventory, host), Item::Host(host)),
    };
    let root = object(
        "ManagedEntityEventArgument",
        vec![("name", Value::string("Datacenters")), ("entity", Value::Ref(inventory.root()))],
    );
    // Not every event of an alarm says where the alarm is defined.
    let draft = if draft.declares("source") { draft.with("source", root) } else { draft };
    draft.with("alarm", argument(inventory, Item::Alarm(alarm))).with("entity", entity(inventory, item))
}

fn extended(draft: Draft, inventory: &Inventory, id: usize, vm: usize, host: usize) -> Draft {
    let of = &TYPE_IDS[id];
    let cluster = inventory.hosts[host].cluster;
    let store = inventory.machines[vm].store;
    let (draft, item) = match of.about {
        About::Machine => (draft.on_machine(inventory, vm, host), Item::Machine(vm)),
        About::Host => (draft.on_host(inventory, host), Item::Host(host)),
        About::Cluster => (draft.on_cluster(inventory, cluster), Item::Cluster(cluster)),
        About::Store => (draft.on_store(inventory, store), Item::Store(store)),
    };
    let value = |held: &Held| match held {
        Held::Text(text) => Value::string(*text),
        Held::Int(number) => Value::int(*number),
        Held::Long(number) => Value::long(*number),
        Held::Double(number) => Value::Text("xsd:double", (*number).to_owned()),
        Held::Bool(is) => Value::bool(*is),
        Held::Time(time) => Value::time(*time),
        Held::Texts(texts) => Value::Array("String", texts.iter().map(|text| Value::string(*text)).collect()),
        Held::Host => Value::Ref(inventory.hosts[host].me.clone()),
    };
    let argument = |(key, held): &(&'static str, Held)| {
        object("KeyAnyValue", vec![("key", Value::string(*key)), ("value", value(held))])
    };
    let me = inventory.reference(item);
    let name = super::draft::argument(inventory, item).at("name").cloned().unwrap_or_else(|| Value::string(""));
    let draft = draft.type_id(of.id).text("severity", of.severity);
    let draft = if of.arguments.is_empty() {
        draft
    } else {
        draft.with("arguments", Value::Array("KeyAnyValue", of.arguments.iter().map(argument).collect()))
    };
    draft.text("objectId", me.value).text("objectType", me.kind).with("objectName", name)
}
