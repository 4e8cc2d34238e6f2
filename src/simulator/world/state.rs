//! What changes in the data centre.

use super::inventory::Inventory;

/// Whether a machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Power {
    On,
    Off,
    Suspended,
}

impl Power {
    /// As the API calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::On => "poweredOn",
            Self::Off => "poweredOff",
            Self::Suspended => "suspended",
        }
    }
}

/// The colours of an alarm.
pub(super) const COLOURS: [&str; 3] = ["green", "yellow", "red"];

#[derive(Clone, Debug)]
pub(super) struct MachineState {
    /// Clones come and go.
    pub(super) there: bool,
    pub(super) power: Power,
    pub(super) host: usize,
    pub(super) cpus: i32,
    pub(super) memory: i32,
    pub(super) note: usize,
    pub(super) snapshots: u8,
    /// The colour of its worst alarm.
    pub(super) alarm: usize,
}

#[derive(Clone, Debug, Default)]
pub(super) struct HostState {
    /// vCenter hears nothing from it.
    pub(super) lost: bool,
    pub(super) alarm: usize,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) machines: Vec<MachineState>,
    pub(super) hosts: Vec<HostState>,
    /// How much was added to each datastore.
    pub(super) grown: Vec<i64>,
    /// Who is logged in, by place among the visitors.
    pub(super) visitors: Vec<bool>,
    /// Whether each granted permission is there.
    pub(super) permissions: Vec<bool>,
}

impl State {
    pub(super) fn new(seed: u64, inventory: &Inventory) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5151);
        let machines = inventory.machines.iter().map(|machine| {
            let power = match rng.u8(..10) {
                _ if machine.template => Power::Off,
                0 | 1 => Power::Off,
                2 => Power::Suspended,
                _ => Power::On,
            };
            MachineState {
                there: machine.clone_of.is_none(),
                power: if machine.clone_of.is_some() { Power::Off } else { power },
                host: machine.host,
                cpus: machine.cpus,
                memory: machine.memory,
                note: rng.usize(..super::names::NOTES.len()),
                snapshots: 0,
                alarm: 0,
            }
        });
        Self {
            machines: machines.collect(),
            hosts: vec![HostState::default(); inventory.hosts.len()],
            grown: vec![0; inventory.stores.len()],
            visitors: vec![false; super::names::VISITORS.len()],
            permissions: vec![false; super::names::USERS.len()],
        }
    }

    /// The machines on a host.
    pub(super) fn on_host(&self, host: usize) -> impl Iterator<Item = usize> {
        self.machines.iter().enumerate().filter(move |(_, m)| m.there && m.host == host).map(|(at, _)| at)
    }
}
