//! The data centre: what there is, what it is called, and what lies where. None of this changes; what does is in
//! `state`.

use std::collections::HashMap;

use crate::vim25::soap::Ref;

use super::Size;
use super::names;

/// Machines beyond those of the start that may exist at once, made by cloning: one for so many, and at least some.
const CLONES: usize = 20;
/// Machines to a host, and hosts to a cluster.
const MACHINES_PER_HOST: usize = 15;
const HOSTS_PER_CLUSTER: usize = 4;
const CLUSTERS_PER_DATACENTER: usize = 6;
const MOST_MACHINES: usize = 50_000;

#[derive(Debug)]
pub(super) struct Datacenter {
    pub(super) name: &'static str,
    pub(super) me: Ref,
    /// Folders of machines, hosts, datastores and networks, by their places among all folders.
    pub(super) folders: [usize; 4],
}

#[derive(Debug)]
pub(super) struct Folder {
    pub(super) name: String,
    pub(super) me: Ref,
    pub(super) parent: Ref,
    /// What may lie in it.
    pub(super) kinds: &'static [&'static str],
}

#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) name: String,
    pub(super) me: Ref,
    pub(super) datacenter: usize,
    pub(super) pool: Ref,
    pub(super) hosts: Vec<usize>,
    pub(super) stores: Vec<usize>,
    pub(super) drs: bool,
}

#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) me: Ref,
    pub(super) cluster: usize,
}

#[derive(Debug)]
pub(super) struct Pool {
    pub(super) name: &'static str,
    pub(super) me: Ref,
    pub(super) cluster: usize,
    /// The cluster for its own pool, that pool for the others.
    pub(super) parent: Ref,
}

#[derive(Debug)]
pub(super) struct Store {
    pub(super) name: String,
    pub(super) me: Ref,
    pub(super) datacenter: usize,
    pub(super) kind: &'static str,
    pub(super) capacity: i64,
}

#[derive(Debug)]
pub(super) struct Network {
    pub(super) name: String,
    pub(super) me: Ref,
    pub(super) datacenter: usize,
    /// The distributed switch whose port group it is.
    pub(super) switch: Option<Ref>,
}

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) me: Ref,
    pub(super) folder: usize,
    pub(super) cluster: usize,
    /// Where it begins.
    pub(super) host: usize,
    pub(super) pool: usize,
    pub(super) store: usize,
    pub(super) network: usize,
    pub(super) guest: usize,
    pub(super) cpus: i32,
    pub(super) memory: i32,
    pub(super) template: bool,
    pub(super) uuid: String,
    pub(super) instance_uuid: String,
    pub(super) ip: String,
    /// What it is a clone of. Only then it may not exist.
    pub(super) clone_of: Option<usize>,
}

/// What a reference refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Datacenter(usize),
    Folder(usize),
    Cluster(usize),
    Host(usize),
    Pool(usize),
    Store(usize),
    Network(usize),
    /// The distributed switch of a data centre.
    Switch(usize),
    Machine(usize),
    Alarm(usize),
}

#[derive(Debug, Default)]
pub(super) struct Inventory {
    pub(super) datacenters: Vec<Datacenter>,
    pub(super) folders: Vec<Folder>,
    pub(super) clusters: Vec<Cluster>,
    pub(super) hosts: Vec<Host>,
    pub(super) pools: Vec<Pool>,
    pub(super) stores: Vec<Store>,
    pub(super) networks: Vec<Network>,
    pub(super) switches: Vec<(String, Ref)>,
    pub(super) machines: Vec<Machine>,
    pub(super) alarms: Vec<(&'static str, Ref)>,
    items: HashMap<String, Item>,
    /// The number that the next object gets: vCenter counts all of them together.
    number: u32,
}

impl Inventory {
    pub(super) fn new(seed: u64, size: Size) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x1f2e_3d4c);
        let count = usize::try_from(size.machines).unwrap_or(MOST_MACHINES).clamp(1, MOST_MACHINES);
        let hosts = count.div_ceil(MACHINES_PER_HOST).max(3);
        let clusters = hosts.div_ceil(HOSTS_PER_CLUSTER);
        let datacenters = clusters.div_ceil(CLUSTERS_PER_DATACENTER).clamp(1, names::PLACES.len());
        let mut made = Self { number: 1, ..Self::default() };
        made.folder("Datacenters".to_owned(), 'd', Ref::default(), &["Folder", "Datacenter"]);
        for place in 0..datacenters {
            made.datacenter(place);
        }
        for at in 0..clusters {
            // The remainder is spread, so that no cluster is left with one host.
            let own = hosts / clusters + usize::from(at < hosts % clusters);
            made.cluster(at, at % datacenters, own, &mut rng);
        }
        made.number = made.number.max(1000);
        for at in 0..count {
            made.machine(at, count, &mut rng);
        }
        for at in 0..(count / CLONES).max(3) {
            made.clone_of(at, at * 7 % count, &mut rng);
        }
        for (at, name) in names::ALARMS.iter().enumerate() {
            let me = Ref::new("Alarm", &format!("alarm-{}", at + 1));
            made.items.insert(me.value.clone(), Item::Alarm(at));
            made.alarms.push((name, me));
        }
        made
    }

    /// The folder above all.
    pub(super) fn root(&self) -> Ref {
        Ref::new("Folder", "group-d1")
    }

    /// What the reference refers to, if there is such a thing. Machines that are not there now are found too.
    pub(super) fn find(&self, object: &Ref) -> Option<Item> {
        self.find_value(&object.value).filter(|item| self.reference(*item) == *object)
    }

    /// The same for those who know no type.
    pub(super) fn find_value(&self, value: &str) -> Option<Item> {
        self.items.get(value).copied()
    }

    pub(super) fn reference(&self, item: Item) -> Ref {
        match item {
            Item::Datacenter(at) => self.datacenters[at].me.clone(),
            Item::Folder(at) => self.folders[at].me.clone(),
            Item::Cluster(at) => self.clusters[at].me.clone(),
            Item::Host(at) => self.hosts[at].me.clone(),
            Item::Pool(at) => self.pools[at].me.clone(),
            Item::Store(at) => self.stores[at].me.clone(),
            Item::Network(at) => self.networks[at].me.clone(),
            Item::Switch(at) => self.switches[at].1.clone(),
            Item::Machine(at) => self.machines[at].me.clone(),
            Item::Alarm(at) => self.alarms[at].1.clone(),
        }
    }

    /// The data centre of a cluster.
    pub(super) fn place(&self, cluster: usize) -> &Datacenter {
        &self.datacenters[self.clusters[cluster].datacenter]
    }

    fn next(&mut self, kind: &str, prefix: &str, item: Item) -> Ref {
        let me = Ref::new(kind, &format!("{prefix}{}", self.number));
        self.number += 1;
        self.items.insert(me.value.clone(), item);
        me
    }

    fn folder(&mut self, name: String, letter: char, parent: Ref, kinds: &'static [&'static str]) -> usize {
        let at = self.folders.len();
        let me = self.next("Folder", &format!("group-{letter}"), Item::Folder(at));
        self.folders.push(Folder { name, me, parent, kinds });
        at
    }

    fn datacenter(&mut self, at: usize) {
        let name = names::PLACES[at].0;
        let me = self.next("Datacenter", "datacenter-", Item::Datacenter(at));
        let mut own = |name: &str, letter, kinds| self.folder(name.to_owned(), letter, me.clone(), kinds);
        let machines = own("vm", 'v', &["Folder", "VirtualMachine", "VirtualApp"]);
        let hosts = own("host", 'h', &["Folder", "ComputeResource"]);
        let stores = own("datastore", 's', &["Folder", "Datastore", "StoragePod"]);
        let networks = own("network", 'n', &["Folder", "Network", "DistributedVirtualSwitch"]);
        for name in names::FOLDERS {
            let parent = self.folders[machines].me.clone();
            self.folder(name.to_owned(), 'v', parent, &["Folder", "VirtualMachine", "VirtualApp"]);
        }
        self.datacenters.push(Datacenter { name, me, folders: [machines, hosts, stores, networks] });
        let code = names::PLACES[at].1.to_uppercase();
        let switch = self.next("VmwareDistributedVirtualSwitch", "dvs-", Item::Switch(at));
        for (name, switch) in [
            ("VM Network".to_owned(), None),
            (format!("DVS-{code}-Uplinks"), Some(switch.clone())),
            (format!("PG-{code}-Prod-110"), Some(switch.clone())),
            (format!("PG-{code}-Test-120"), Some(switch.clone())),
            (format!("PG-{code}-DMZ-130"), Some(switch.clone())),
        ] {
            let item = Item::Network(self.networks.len());
            let me = match switch {
                Some(_) => self.next("DistributedVirtualPortgroup", "dvportgroup-", item),
                None => self.next("Network", "network-", item),
            };
            self.networks.push(Network { name, me, datacenter: at, switch });
        }
        self.switches.push((format!("DVS-{code}"), switch));
        self.store(format!("nfs-{}-iso", names::PLACES[at].1), at, "NFS", 2 << 40);
    }

    fn store(&mut self, name: String, datacenter: usize, kind: &'static str, capacity: i64) -> usize {
        let at = self.stores.len();
        let me = self.next("Datastore", "datastore-", Item::Store(at));
        self.stores.push(Store { name, me, datacenter, kind, capacity });
        at
    }

    fn cluster(&mut self, at: usize, datacenter: usize, hosts: usize, rng: &mut fastrand::Rng) {
        let (purpose, drs) = names::CLUSTERS[(at / self.datacenters.len()) % names::CLUSTERS.len()];
        let round = at / self.datacenters.len() / names::CLUSTERS.len();
        let code = names::PLACES[datacenter].1;
        let mut name = format!("{}-{purpose}", code.to_uppercase());
        if round > 0 {
            name.push(char::from(b'a' + u8::try_from(round % 26).unwrap_or(0)));
            if round >= 26 {
                name.push_str(&(round / 26).to_string());
            }
        }
        let me = self.next("ClusterComputeResource", "domain-c", Item::Cluster(at));
        let first = self.pools.len();
        let pool = self.next("ResourcePool", "resgroup-", Item::Pool(first));
        self.pools.push(Pool { name: "Resources", me: pool.clone(), cluster: at, parent: me.clone() });
        for name in ["High", "Normal"] {
            let own = self.next("ResourcePool", "resgroup-", Item::Pool(self.pools.len()));
            self.pools.push(Pool { name, me: own, cluster: at, parent: pool.clone() });
        }
        let stores = ["a", "b", "c"].map(|letter| {
            let name = format!("vmfs-{}{letter}", name.to_lowercase());
            self.store(name, datacenter, "VMFS", (4 + rng.i64(0..8)) << 40)
        });
        let before = self.hosts.iter().filter(|h| self.clusters[h.cluster].datacenter == datacenter).count();
        let mut own = Vec::new();
        for number in before..before + hosts {
            let host = self.hosts.len();
            let me = self.next("HostSystem", "host-", Item::Host(host));
            let name = format!("esx-{code}-{:02}.corp.example", number + 1);
            self.hosts.push(Host { name, me, cluster: at });
            own.push(host);
        }
        let iso = self.stores.iter().position(|store| store.datacenter == datacenter);
        let stores = stores.into_iter().chain(iso).collect();
        self.clusters.push(Cluster { name, me, datacenter, pool, hosts: own, stores, drs });
    }

    fn machine(&mut self, at: usize, count: usize, rng: &mut fastrand::Rng) {
        let (name, folder) = names::machine(at);
        let cluster = at % self.clusters.len();
        let datacenter = self.clusters[cluster].datacenter;
        let template = count > 20 && at % 50 == 49;
        let folder = self.datacenters[datacenter].folders[3] + 1 + if template { 4 } else { folder };
        let hosts = &self.clusters[cluster].hosts;
        let host = hosts[rng.usize(..hosts.len())];
        let stores = &self.clusters[cluster].stores;
        let store = stores[rng.usize(..stores.len().min(3))];
        let me = self.next("VirtualMachine", "vm-", Item::Machine(at));
        // Five networks to a data centre; machines are not connected to the uplinks.
        let network = datacenter * 5 + [0, 2, 2, 3, 4][rng.usize(..5)];
        let machine = Machine {
            name,
            me,
            folder,
            cluster,
            host,
            pool: cluster * 3 + rng.usize(..3),
            store,
            network,
            guest: rng.usize(..names::GUESTS.len()),
            cpus: 1 << rng.i32(0..4),
            memory: 1024 << rng.i32(0..6),
            template,
            uuid: uuid(rng, "42"),
            instance_uuid: uuid(rng, "50"),
            ip: format!("10.{}.{}.{}", 100 + datacenter, at / 250 % 250, at % 250 + 2),
            clone_of: None,
        };
        self.machines.push(machine);
    }

    fn clone_of(&mut self, number: usize, source: usize, rng: &mut fastrand::Rng) {
        let me = self.next("VirtualMachine", "vm-", Item::Machine(self.machines.len()));
        let of = &self.machines[source];
        let machine = Machine {
            name: format!("{}-clone{}", of.name, number + 1),
            me,
            folder: self.place(of.cluster).folders[3] + 2,
            uuid: uuid(rng, "42"),
            instance_uuid: uuid(rng, "50"),
            ip: format!("10.200.{}.{}", number / 250 % 250, number % 250 + 2),
            template: false,
            clone_of: Some(source),
            ..*of
        };
        self.machines.push(machine);
    }
}

/// A UUID as vCenter gives them to machines: 42 for the BIOS, 50 for the instance.
fn uuid(rng: &mut fastrand::Rng, prefix: &str) -> String {
    format!(
        "{prefix}{:06x}-{:04x}-{:04x}-{:04x}-{:012x}",
        rng.u32(..1 << 24),
        rng.u16(..),
        rng.u16(..),
        rng.u16(..),
        rng.u64(..1 << 48)
    )
}
