//! The data centre as managed objects: what the property collector shows of each.

use crate::simulator::value::{Object, Value};
use crate::vim25::soap::Ref;

use super::inventory::{Inventory, Item};
use super::names;
use super::state::{COLOURS, MachineState, Power, State};

/// When everything was set up, and when machines were last started: the world has no clock of its own.
const SINCE: &str = "2026-01-12T06:30:00Z";

fn object(kind: &'static str, members: Vec<(&'static str, Value)>) -> Value {
    Value::Object(kind, members)
}

fn named(kind: &'static str, text: &str) -> Value {
    Value::Text(kind, text.to_owned())
}

/// A look at the data centre as it is now.
pub(super) struct View<'w> {
    pub(super) inventory: &'w Inventory,
    pub(super) state: &'w State,
}

impl View<'_> {
    pub(super) fn object(&self, item: Item) -> Option<Object> {
        let reference = self.inventory.reference(item);
        let properties = match item {
            Item::Datacenter(at) => self.datacenter(at),
            Item::Folder(at) => self.folder(at),
            Item::Cluster(at) => self.cluster(at),
            Item::Host(at) => self.host(at),
            Item::Pool(at) => self.pool(at),
            Item::Store(at) => self.store(at),
            Item::Network(at) => self.network(at),
            Item::Switch(at) => self.switch(at),
            Item::Machine(at) if self.state.machines[at].there => self.machine(at),
            Item::Machine(_) => return None,
            Item::Alarm(at) => self.alarm(at),
        };
        Some(Object { reference, properties })
    }

    /// The one above it in the inventory.
    pub(super) fn parent(&self, item: Item) -> Option<Ref> {
        let inventory = self.inventory;
        let folder = |datacenter: usize, which: usize| {
            inventory.folders[inventory.datacenters[datacenter].folders[which]].me.clone()
        };
        let parent = match item {
            Item::Datacenter(_) | Item::Alarm(_) => inventory.root(),
            Item::Folder(at) => inventory.folders[at].parent.clone(),
            Item::Cluster(at) => folder(inventory.clusters[at].datacenter, 1),
            Item::Host(at) => inventory.clusters[inventory.hosts[at].cluster].me.clone(),
            Item::Pool(at) => inventory.pools[at].parent.clone(),
            Item::Store(at) => folder(inventory.stores[at].datacenter, 2),
            Item::Network(at) => folder(inventory.networks[at].datacenter, 3),
            Item::Switch(at) => folder(at, 3),
            Item::Machine(at) => inventory.folders[inventory.machines[at].folder].me.clone(),
        };
        (!parent.value.is_empty()).then_some(parent)
    }

    /// What every entity has.
    fn entity(&self, item: Item, name: &str, status: usize) -> Vec<(&'static str, Value)> {
        let mut properties = vec![
            ("availableField", Value::Array("CustomFieldDef", Vec::new())),
            ("value", Value::Array("CustomFieldValue", Vec::new())),
        ];
        properties.extend(self.parent(item).map(|parent| ("parent", Value::Ref(parent))));
        properties.extend([
            ("customValue", Value::Array("CustomFieldValue", Vec::new())),
            ("overallStatus", named("ManagedEntityStatus", COLOURS[status])),
            ("configStatus", named("ManagedEntityStatus", "green")),
            ("configIssue", Value::Array("Event", Vec::new())),
            ("effectiveRole", Value::Array("Int", vec![Value::int(-1)])),
            ("permission", Value::Array("Permission", Vec::new())),
            // vCenter shows these three escaped in names.
            ("name", Value::string(name.replace('%', "%25").replace('/', "%2f").replace('\\', "%5c"))),
            ("disabledMethod", Value::Array("String", Vec::new())),
            ("recentTask", Value::refs([])),
            ("declaredAlarmState", Value::Array("AlarmState", Vec::new())),
            ("triggeredAlarmState", Value::Array("AlarmState", Vec::new())),
            ("alarmActionsEnabled", Value::bool(true)),
            ("tag", Value::Array("Tag", Vec::new())),
        ]);
        properties
    }

    fn folder(&self, at: usize) -> Vec<(&'static str, Value)> {
        let folder = &self.inventory.folders[at];
        let mut properties = self.entity(Item::Folder(at), &folder.name, 0);
        let kinds = folder.kinds.iter().map(|kind| Value::string(*kind)).collect();
        properties.push(("childType", Value::Array("String", kinds)));
        properties.push(("childEntity", Value::refs(self.in_folder(at))));
        properties
    }

    /// What lies in a folder.
    fn in_folder(&self, at: usize) -> Vec<Ref> {
        let inventory = self.inventory;
        if at == 0 {
            return inventory.datacenters.iter().map(|datacenter| datacenter.me.clone()).collect();
        }
        let me = &inventory.folders[at].me;
        let mut found: Vec<Ref> =
            inventory.folders.iter().filter(|other| other.parent == *me).map(|folder| folder.me.clone()).collect();
        let machines = inventory.machines.iter().zip(&self.state.machines);
        found.extend(machines.filter(|(m, state)| m.folder == at && state.there).map(|(m, _)| m.me.clone()));
        for (place, datacenter) in inventory.datacenters.iter().enumerate() {
            let [_, hosts, stores, networks] = datacenter.folders;
            if at == hosts {
                found.extend(inventory.clusters.iter().filter(|c| c.datacenter == place).map(|c| c.me.clone()));
            } else if at == stores {
                found.extend(inventory.stores.iter().filter(|s| s.datacenter == place).map(|s| s.me.clone()));
            } else if at == networks {
                found.extend(inventory.networks.iter().filter(|n| n.datacenter == place).map(|n| n.me.clone()));
                found.push(inventory.switches[place].1.clone());
            }
        }
        found
    }

    fn datacenter(&self, at: usize) -> Vec<(&'static str, Value)> {
        let (inventory, datacenter) = (self.inventory, &self.inventory.datacenters[at]);
        let mut properties = self.entity(Item::Datacenter(at), datacenter.name, 0);
        for (name, folder) in
            ["vmFolder", "hostFolder", "datastoreFolder", "networkFolder"].iter().zip(datacenter.folders)
        {
            properties.push((name, Value::Ref(inventory.folders[folder].me.clone())));
        }
        let stores = inventory.stores.iter().filter(|s| s.datacenter == at).map(|s| s.me.clone());
        properties.push(("datastore", Value::refs(stores)));
        let networks = inventory.networks.iter().filter(|n| n.datacenter == at).map(|n| n.me.clone());
        properties.push(("network", Value::refs(networks)));
        let version = named("xsd:string", "8.0.2");
        properties
            .push(("configuration", object("DatacenterConfigInfo", vec![("defaultHardwareVersionKey", version)])));
        properties
    }

    fn cluster(&self, at: usize) -> Vec<(&'static str, Value)> {
        let (inventory, cluster) = (self.inventory, &self.inventory.clusters[at]);
        let mut properties = self.entity(Item::Cluster(at), &cluster.name, 0);
        let hosts = cluster.hosts.len();
        let up = cluster.hosts.iter().filter(|host| !self.state.hosts[**host].lost).count();
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let summary = vec![
            ("totalCpu", Value::int(number(hosts) * 83_200)),
            ("totalMemory", Value::long(number(hosts) * (512 << 30))),
            ("numCpuCores", Value::short(number(hosts) * 32)),
            ("numCpuThreads", Value::short(number(hosts) * 64)),
            ("effectiveCpu", Value::int(number(up) * 78_000)),
            ("effectiveMemory", Value::long(number(up) * (500 << 10))),
            ("numHosts", Value::int(number(hosts))),
            ("numEffectiveHosts", Value::int(number(up))),
            ("overallStatus", named("ManagedEntityStatus", if up < hosts { "red" } else { "green" })),
            ("currentFailoverLevel", Value::int(1)),
            ("numVmotions", Value::int(0)),
        ];
        let das = object("ClusterDasConfigInfo", vec![("enabled", Value::bool(true))]);
        let drs = object("ClusterDrsConfigInfo", vec![("enabled", Value::bool(cluster.drs))]);
        let networks = inventory.networks.iter().filter(|n| n.datacenter == cluster.datacenter).map(|n| n.me.clone());
        properties.extend([
            ("resourcePool", Value::Ref(cluster.pool.clone())),
            ("host", Value::refs(cluster.hosts.iter().map(|host| inventory.hosts[*host].me.clone()))),
            ("datastore", Value::refs(cluster.stores.iter().map(|store| inventory.stores[*store].me.clone()))),
            ("network", Value::refs(networks)),
            ("summary", object("ClusterComputeResourceSummary", summary)),
            (
                "configurationEx",
                object(
                    "ClusterConfigInfoEx",
                    vec![
                        ("vmSwapPlacement", Value::string("vmDirectory")),
                        ("dasConfig", das.clone()),
                        ("drsConfig", drs.clone()),
                    ],
                ),
            ),
            ("configuration", object("ClusterConfigInfo", vec![("dasConfig", das), ("drsConfig", drs)])),
        ]);
        properties
    }

    fn host(&self, at: usize) -> Vec<(&'static str, Value)> {
        let (inventory, host, state) = (self.inventory, &self.inventory.hosts[at], &self.state.hosts[at]);
        let cluster = &inventory.clusters[host.cluster];
        let status = if state.lost { 2 } else { state.alarm };
        let mut properties = self.entity(Item::Host(at), &host.name, status);
        let connection = if state.lost { "notResponding" } else { "connected" };
        let runtime = object(
            "HostRuntimeInfo",
            vec![
                ("connectionState", named("HostSystemConnectionState", connection)),
                ("powerState", named("HostSystemPowerState", if state.lost { "unknown" } else { "poweredOn" })),
                ("standbyMode", Value::string("none")),
                ("inMaintenanceMode", Value::bool(false)),
                ("bootTime", Value::time(SINCE)),
            ],
        );
        let uuid = host_uuid(at);
        let hardware = object(
            "HostHardwareSummary",
            vec![
                ("vendor", Value::string("Dell Inc.")),
                ("model", Value::string("PowerEdge R750")),
                ("uuid", Value::string(uuid)),
                ("memorySize", Value::long(512_i64 << 30)),
                ("cpuModel", Value::string("Intel(R) Xeon(R) Gold 6326 CPU @ 2.60GHz")),
                ("cpuMhz", Value::int(2600)),
                ("numCpuPkgs", Value::short(2)),
                ("numCpuCores", Value::short(32)),
                ("numCpuThreads", Value::short(64)),
                ("numNics", Value::int(4)),
                ("numHBAs", Value::int(3)),
            ],
        );
        let product = object(
            "AboutInfo",
            [
                ("name", "VMware ESXi"),
                ("fullName", "VMware ESXi 8.0.2 build-22380479"),
                ("vendor", "VMware, Inc."),
                ("version", "8.0.2"),
                ("build", "22380479"),
                ("osType", "vmnix-x86"),
                ("productLineId", "embeddedEsx"),
                ("apiType", "HostAgent"),
                ("apiVersion", "8.0.2.0"),
            ]
            .map(|(name, text)| (name, Value::string(text)))
            .to_vec(),
        );
        let config = object(
            "HostConfigSummary",
            vec![
                ("name", Value::string(&*host.name)),
                ("port", Value::int(443)),
                ("product", product),
                ("vmotionEnabled", Value::bool(true)),
                ("faultToleranceEnabled", Value::bool(false)),
            ],
        );
        let running = self.state.on_host(at).filter(|vm| self.state.machines[*vm].power == Power::On);
        let memory: i64 = running.map(|vm| i64::from(self.state.machines[vm].memory)).sum();
        let stats = object(
            "HostListSummaryQuickStats",
            vec![
                ("overallCpuUsage", Value::int(memory / 20 + 900)),
                ("overallMemoryUsage", Value::int(memory / 2 + 6_000)),
                ("uptime", Value::int(1_209_600)),
            ],
        );
        let summary = object(
            "HostListSummary",
            vec![
                ("host", Value::Ref(host.me.clone())),
                ("hardware", hardware),
                ("runtime", runtime.clone()),
                ("config", config),
                ("quickStats", stats),
                ("overallStatus", named("ManagedEntityStatus", COLOURS[status])),
                ("rebootRequired", Value::bool(false)),
                ("managementServerIp", Value::string("10.20.0.5")),
            ],
        );
        let networks = inventory.networks.iter().filter(|n| n.datacenter == cluster.datacenter).map(|n| n.me.clone());
        properties.extend([
            ("runtime", runtime),
            ("summary", summary),
            ("vm", Value::refs(self.state.on_host(at).map(|vm| inventory.machines[vm].me.clone()))),
            ("datastore", Value::refs(cluster.stores.iter().map(|store| inventory.stores[*store].me.clone()))),
            ("network", Value::refs(networks)),
        ]);
        properties
    }

    fn pool(&self, at: usize) -> Vec<(&'static str, Value)> {
        let (inventory, pool) = (self.inventory, &self.inventory.pools[at]);
        let mut properties = self.entity(Item::Pool(at), pool.name, 0);
        let below = inventory.pools.iter().filter(|other| other.parent == pool.me).map(|pool| pool.me.clone());
        let machines = inventory.machines.iter().zip(&self.state.machines);
        let machines = machines.filter(|(m, state)| m.pool == at && state.there).map(|(m, _)| m.me.clone());
        properties.extend([
            ("owner", Value::Ref(inventory.clusters[pool.cluster].me.clone())),
            ("resourcePool", Value::refs(below)),
            ("vm", Value::refs(machines)),
        ]);
        properties
    }

    fn store(&self, at: usize) -> Vec<(&'static str, Value)> {
        let (inventory, store) = (self.inventory, &self.inventory.stores[at]);
        let mut properties = self.entity(Item::Store(at), &store.name, 0);
        let capacity = store.capacity + self.state.grown[at];
        let url = format!("ds:///vmfs/volumes/{:08x}-{:08x}/", 0x6361_0000 + at, 0x1f2e_0000 + at * 7);
        let summary = object(
            "DatastoreSummary",
            vec![
                ("datastore", Value::Ref(store.me.clone())),
                ("name", Value::string(&*store.name)),
                ("url", Value::string(&*url)),
                ("capacity", Value::long(capacity)),
                ("freeSpace", Value::long(capacity / 100 * 37)),
                ("uncommitted", Value::long(capacity / 10)),
                ("accessible", Value::bool(true)),
                ("multipleHostAccess", Value::bool(true)),
                ("type", Value::string(store.kind)),
                ("maintenanceMode", Value::string("normal")),
            ],
        );
        let info = vec![
            ("name", Value::string(&*store.name)),
            ("url", Value::string(url)),
            ("freeSpace", Value::long(capacity / 100 * 37)),
            ("maxFileSize", Value::long(64_i64 << 40)),
            ("maxMemoryFileSize", Value::long(64_i64 << 40)),
        ];
        let machines = inventory.machines.iter().zip(&self.state.machines);
        let machines = machines.filter(|(m, state)| m.store == at && state.there).map(|(m, _)| m.me.clone());
        properties.extend([
            ("info", object("DatastoreInfo", info)),
            ("summary", summary),
            ("vm", Value::refs(machines)),
        ]);
        properties
    }

    fn network(&self, at: usize) -> Vec<(&'static str, Value)> {
        let (inventory, network) = (self.inventory, &self.inventory.networks[at]);
        let mut properties = self.entity(Item::Network(at), &network.name, 0);
        let machines = inventory.machines.iter().zip(&self.state.machines);
        let machines = machines.filter(|(m, state)| m.network == at && state.there).map(|(m, _)| m.me.clone());
        let clusters = inventory.clusters.iter().filter(|cluster| cluster.datacenter == network.datacenter);
        let hosts = clusters.flat_map(|c| c.hosts.iter().map(|host| inventory.hosts[*host].me.clone()));
        let summary = vec![
            ("network", Value::Ref(network.me.clone())),
            ("name", Value::string(&*network.name)),
            ("accessible", Value::bool(true)),
            ("ipPoolName", Value::string("")),
        ];
        properties.extend([
            ("summary", object("NetworkSummary", summary)),
            ("host", Value::refs(hosts)),
            ("vm", Value::refs(machines)),
        ]);
        if let Some(switch) = &network.switch {
            properties.push(("key", Value::string(&*network.me.value)));
            let policy = [
                "blockOverrideAllowed",
                "shapingOverrideAllowed",
                "vendorConfigOverrideAllowed",
                "livePortMovingAllowed",
                "portConfigResetAtDisconnect",
            ];
            let policy = policy.iter().map(|name| (*name, Value::bool(true))).collect();
            let config = vec![
                ("key", Value::string(&*network.me.value)),
                ("name", Value::string(&*network.name)),
                ("numPorts", Value::int(128)),
                ("distributedVirtualSwitch", Value::Ref(switch.clone())),
                ("type", Value::string("earlyBinding")),
                ("policy", object("DVPortgroupPolicy", policy)),
            ];
            properties.push(("config", object("DVPortgroupConfigInfo", config)));
        }
        properties
    }

    fn switch(&self, at: usize) -> Vec<(&'static str, Value)> {
        let (name, me) = &self.inventory.switches[at];
        let mut properties = self.entity(Item::Switch(at), name, 0);
        let groups = self.inventory.networks.iter().filter(|network| network.switch.as_ref() == Some(me));
        let groups: Vec<_> = groups.map(|network| network.me.clone()).collect();
        let uuid = format!("50 2b 3c 11 aa 0{at} 44 5f-9d 10 22 41 7e 08 c3 5a");
        let summary =
            vec![("name", Value::string(&**name)), ("uuid", Value::string(&*uuid)), ("numPorts", Value::int(512))];
        properties.extend([
            ("uuid", Value::string(uuid)),
            ("summary", object("DVSSummary", summary)),
            ("portgroup", Value::refs(groups)),
        ]);
        properties
    }

    fn alarm(&self, at: usize) -> Vec<(&'static str, Value)> {
        let (name, me) = &self.inventory.alarms[at];
        let info = vec![
            ("name", Value::string(*name)),
            ("systemName", Value::string(format!("alarm.{}", at + 1))),
            ("description", Value::string(*name)),
            ("enabled", Value::bool(true)),
            (
                "expression",
                object("OrAlarmExpression", vec![("expression", Value::Array("AlarmExpression", Vec::new()))]),
            ),
            ("key", Value::string(&*me.value)),
            ("alarm", Value::Ref(me.clone())),
            ("entity", Value::Ref(self.inventory.root())),
            ("lastModifiedTime", Value::time(SINCE)),
            ("lastModifiedUser", Value::string("")),
            ("creationEventId", Value::int(0)),
        ];
        vec![("info", object("AlarmInfo", info))]
    }

    fn machine(&self, at: usize) -> Vec<(&'static str, Value)> {
        let (inventory, machine, state) = (self.inventory, &self.inventory.machines[at], &self.state.machines[at]);
        let mut properties = self.entity(Item::Machine(at), &machine.name, state.alarm);
        let store = &inventory.stores[machine.store];
        let path = format!("[{}] {}/{}.vmx", store.name, machine.name, machine.name);
        let (guest_id, guest_name) = names::GUESTS[machine.guest];
        let on = state.power == Power::On;
        let runtime = self.runtime(at);
        let note = names::NOTES[state.note];
        let config_summary = object(
            "VirtualMachineConfigSummary",
            vec![
                ("name", Value::string(&*machine.name)),
                ("template", Value::bool(machine.template)),
                ("vmPathName", Value::string(&*path)),
                ("memorySizeMB", Value::int(state.memory)),
                ("cpuReservation", Value::int(0)),
                ("memoryReservation", Value::int(0)),
                ("numCpu", Value::int(state.cpus)),
                ("numEthernetCards", Value::int(1)),
                ("numVirtualDisks", Value::int(1)),
                ("uuid", Value::string(&*machine.uuid)),
                ("instanceUuid", Value::string(&*machine.instance_uuid)),
                ("guestId", Value::string(guest_id)),
                ("guestFullName", Value::string(guest_name)),
                ("annotation", Value::string(note)),
                ("installBootRequired", Value::bool(false)),
            ],
        );
        let guest = guest(machine, on);
        let in_summary = [
            "guestId",
            "guestFullName",
            "toolsStatus",
            "toolsVersionStatus2",
            "toolsRunningStatus",
            "hostName",
            "ipAddress",
        ];
        let guest_summary = in_summary.iter().filter_map(|name| Some((*name, guest.at(name)?.clone()))).collect();
        let size = i64::from(machine.cpus) * (20 << 30);
        let storage = object(
            "VirtualMachineStorageSummary",
            vec![
                ("committed", Value::long(size)),
                ("uncommitted", Value::long(size / 4)),
                ("unshared", Value::long(size)),
                ("timestamp", Value::time(SINCE)),
            ],
        );
        let summary = object(
            "VirtualMachineSummary",
            vec![
                ("vm", Value::Ref(machine.me.clone())),
                ("runtime", runtime.clone()),
                ("guest", object("VirtualMachineGuestSummary", guest_summary)),
                ("config", config_summary),
                ("storage", storage),
                ("quickStats", quick_stats(state)),
                ("overallStatus", named("ManagedEntityStatus", COLOURS[state.alarm])),
            ],
        );
        properties.extend([
            ("config", self.config(at, &path)),
            ("runtime", runtime),
            ("guest", guest),
            ("summary", summary),
            ("resourcePool", Value::Ref(inventory.pools[machine.pool].me.clone())),
            ("datastore", Value::refs([store.me.clone()])),
            ("network", Value::refs([inventory.networks[machine.network].me.clone()])),
            ("guestHeartbeatStatus", named("ManagedEntityStatus", if on { "green" } else { "gray" })),
        ]);
        properties
    }

    fn runtime(&self, at: usize) -> Value {
        let state = &self.state.machines[at];
        let lost = self.state.hosts[state.host].lost;
        let connection = if lost { "disconnected" } else { "connected" };
        let mut runtime = vec![
            ("host", Value::Ref(self.inventory.hosts[state.host].me.clone())),
            ("connectionState", named("VirtualMachineConnectionState", connection)),
            ("powerState", named("VirtualMachinePowerState", state.power.name())),
            ("faultToleranceState", named("VirtualMachineFaultToleranceState", "notConfigured")),
            ("toolsInstallerMounted", Value::bool(false)),
        ];
        if state.power == Power::On {
            runtime.push(("bootTime", Value::time(SINCE)));
        }
        runtime.extend([
            ("maxCpuUsage", Value::int(state.cpus * 2600)),
            ("maxMemoryUsage", Value::int(state.memory)),
            ("numMksConnections", Value::int(0)),
            ("recordReplayState", named("VirtualMachineRecordReplayState", "inactive")),
            ("onlineStandby", Value::bool(false)),
            ("consolidationNeeded", Value::bool(false)),
        ]);
        object("VirtualMachineRuntimeInfo", runtime)
    }

    fn config(&self, at: usize, path: &str) -> Value {
        let (machine, state) = (&self.inventory.machines[at], &self.state.machines[at]);
        let (guest_id, guest_name) = names::GUESTS[machine.guest];
        let tools = vec![
            ("toolsVersion", Value::int(12352)),
            ("afterPowerOn", Value::bool(true)),
            ("afterResume", Value::bool(true)),
            ("toolsUpgradePolicy", Value::string("manual")),
            ("syncTimeWithHost", Value::bool(false)),
        ];
        let hardware = vec![
            ("numCPU", Value::int(state.cpus)),
            ("numCoresPerSocket", Value::int(1)),
            ("memoryMB", Value::int(state.memory)),
            ("device", Value::Array("VirtualDevice", Vec::new())),
        ];
        let extra = [("svga.present", "TRUE"), ("pciBridge0.present", "TRUE"), ("nvram", "machine.nvram")];
        let extra =
            extra.map(|(k, v)| object("OptionValue", vec![("key", Value::string(k)), ("value", Value::string(v))]));
        let snapshot = path.rsplit_once('/').map_or(path, |(folder, _)| folder);
        object(
            "VirtualMachineConfigInfo",
            vec![
                ("changeVersion", Value::string(SINCE)),
                ("modified", Value::time(SINCE)),
                ("name", Value::string(&*machine.name)),
                ("guestFullName", Value::string(guest_name)),
                ("version", Value::string("vmx-19")),
                ("uuid", Value::string(&*machine.uuid)),
                ("instanceUuid", Value::string(&*machine.instance_uuid)),
                ("template", Value::bool(machine.template)),
                ("guestId", Value::string(guest_id)),
                ("alternateGuestName", Value::string("")),
                ("annotation", Value::string(names::NOTES[state.note])),
                (
                    "files",
                    object(
                        "VirtualMachineFileInfo",
                        vec![("vmPathName", Value::string(path)), ("snapshotDirectory", Value::string(snapshot))],
                    ),
                ),
                ("tools", object("ToolsConfigInfo", tools)),
                ("flags", object("VirtualMachineFlagInfo", vec![("enableLogging", Value::bool(true))])),
                (
                    "defaultPowerOps",
                    object("VirtualMachineDefaultPowerOpInfo", vec![("powerOffType", Value::string("soft"))]),
                ),
                ("hardware", object("VirtualHardware", hardware)),
                ("extraConfig", Value::Array("OptionValue", extra.to_vec())),
                ("firmware", Value::string("efi")),
            ],
        )
    }
}

pub(super) fn host_uuid(at: usize) -> String {
    format!("4c4c4544-{:04x}-3310-8056-b4c04f4e4d32", at + 1)
}

fn guest(machine: &super::inventory::Machine, on: bool) -> Value {
    let (guest_id, guest_name) = names::GUESTS[machine.guest];
    let text = |on_text: &str, off_text: &str| (if on { on_text } else { off_text }).to_owned();
    let mut guest = vec![
        ("toolsStatus", Value::Text("VirtualMachineToolsStatus", text("toolsOk", "toolsNotRunning"))),
        ("toolsVersionStatus2", Value::string("guestToolsCurrent")),
        ("toolsRunningStatus", Value::string(text("guestToolsRunning", "guestToolsNotRunning"))),
        ("toolsVersion", Value::string("12352")),
        ("guestId", Value::string(guest_id)),
        ("guestFamily", Value::string(if guest_id.starts_with("windows") { "windowsGuest" } else { "linuxGuest" })),
        ("guestFullName", Value::string(guest_name)),
    ];
    if on {
        let host: String = machine.name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        guest.push(("hostName", Value::string(format!("{host}.corp.example"))));
        guest.push(("ipAddress", Value::string(&*machine.ip)));
    }
    guest.push(("guestState", Value::string(text("running", "notRunning"))));
    object("GuestInfo", guest)
}

fn quick_stats(state: &MachineState) -> Value {
    let on = i64::from(state.power == Power::On);
    object(
        "VirtualMachineQuickStats",
        vec![
            ("overallCpuUsage", Value::int(on * i64::from(state.cpus) * 210)),
            ("guestMemoryUsage", Value::int(on * i64::from(state.memory) / 5)),
            ("hostMemoryUsage", Value::int(on * i64::from(state.memory) * 9 / 10)),
            ("guestHeartbeatStatus", named("ManagedEntityStatus", if on == 1 { "green" } else { "gray" })),
            ("uptimeSeconds", Value::int(on * 86_400)),
        ],
    )
}
