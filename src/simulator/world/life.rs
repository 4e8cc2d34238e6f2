//! What happens: machines live, hosts fail and come back, people come and go.
//!
//! Something that happens is a *scene* of one event or some, one behind the other in one chain. A scene is only played
//! where it makes sense: nobody powers on what runs.

use std::collections::VecDeque;

use super::formats::{ANY, EXTENDED, HOST_BACK, HOST_LOST, RESTARTED, TYPE_IDS};
use super::inventory::Inventory;
use super::names;
use super::state::{Power, State};
use super::told::{Change, GROWTH, Job, Told, What};

/// Machines that are asked in turn whether a scene can be played with them.
const TRIES: usize = 8;
/// Snapshots that a machine may have.
const SNAPSHOTS: u8 = 3;
/// Machines of a lost host that are told of as restarted elsewhere.
const RESTARTS: usize = 12;
/// How often a datastore grows before it is replaced by a fresh one of the old size.
const GROWTHS: i64 = 16;

/// What has been told, and belongs to the one before or not.
pub(super) type Queue = VecDeque<(Told<'static>, bool)>;

/// The scenes, and how often each is played.
#[derive(Clone, Copy, Debug)]
enum Scene {
    PowerOn,
    PowerOff,
    Suspend,
    Reset,
    Reboot,
    Migrate,
    Reconfigure,
    Snapshot,
    Clone,
    Destroy,
    MachineAlarm,
    HostAlarm,
    Visit,
    BadLogin,
    Host,
    Ex,
    Extended,
    Store,
    Permission,
    Field,
    Console,
    Message,
    Scheduled,
    Log,
}

const SCENES: &[(Scene, u32)] = &[
    (Scene::PowerOn, 220),
    (Scene::PowerOff, 130),
    (Scene::Suspend, 45),
    (Scene::Reset, 30),
    (Scene::Reboot, 30),
    (Scene::Migrate, 160),
    (Scene::Reconfigure, 90),
    (Scene::Snapshot, 90),
    (Scene::Clone, 6),
    (Scene::Destroy, 6),
    (Scene::MachineAlarm, 120),
    (Scene::HostAlarm, 30),
    (Scene::Visit, 160),
    (Scene::BadLogin, 12),
    (Scene::Host, 4),
    (Scene::Ex, 60),
    (Scene::Extended, 20),
    (Scene::Store, 12),
    (Scene::Permission, 8),
    (Scene::Field, 14),
    (Scene::Console, 30),
    (Scene::Message, 6),
    (Scene::Scheduled, 20),
    (Scene::Log, 5),
];

/// One scene, being played.
pub(super) struct Stage<'w> {
    pub(super) inventory: &'w Inventory,
    pub(super) state: &'w mut State,
    pub(super) rng: &'w mut fastrand::Rng,
    pub(super) queue: &'w mut Queue,
}

impl Stage<'_> {
    /// Plays scenes until something was told.
    pub(super) fn play(&mut self) {
        let total: u32 = SCENES.iter().map(|(_, weight)| weight).sum();
        // Logging an entry is always possible, so this is the bound for the unlucky.
        for _ in 0..64 {
            let mut left = self.rng.u32(..total);
            for (scene, weight) in SCENES {
                if left < *weight {
                    self.scene(*scene);
                    break;
                }
                left -= weight;
            }
            if !self.queue.is_empty() {
                return;
            }
        }
        self.scene(Scene::Log);
    }

    fn tell(&mut self, user: &'static str, what: What) {
        let chained = !self.queue.is_empty();
        self.queue.push_back((Told { what, user }, chained));
    }

    /// Begins a chain of its own.
    fn tell_apart(&mut self, user: &'static str, what: What) {
        self.queue.push_back((Told { what, user }, false));
    }

    /// Who does this to that machine: always the same, so that bodies can be shared.
    fn user(vm: usize, job: Job) -> &'static str {
        names::USERS[(vm * 3 + job as usize) % names::USERS.len()]
    }

    /// A machine that is there, can be reached and suits.
    fn machine(&mut self, suits: impl Fn(usize, Power) -> bool) -> Option<usize> {
        for _ in 0..TRIES {
            let vm = self.rng.usize(..self.state.machines.len());
            let state = &self.state.machines[vm];
            let quiet = self.inventory.machines[vm].template || self.state.hosts[state.host].lost;
            if state.there && !quiet && suits(vm, state.power) {
                return Some(vm);
            }
        }
        None
    }

    fn host_of(&self, vm: usize) -> usize {
        self.state.machines[vm].host
    }

    /// The task that begins a scene.
    fn task(&mut self, job: Job, vm: usize) -> &'static str {
        let user = Self::user(vm, job);
        let host = self.host_of(vm);
        let number = (job as u8) % 16;
        self.tell(user, What::Task { job, vm, host, number });
        user
    }

    fn simple(&mut self, user: &'static str, class: &'static str, vm: usize) {
        let host = self.host_of(vm);
        self.tell(user, What::Machine { class, vm, host });
    }

    fn scene(&mut self, scene: Scene) {
        match scene {
            Scene::PowerOn => self.power_on(),
            Scene::PowerOff => self.power_off(),
            Scene::Suspend => {
                if let Some(vm) = self.machine(|_, power| power == Power::On) {
                    self.suspend(vm);
                }
            }
            Scene::Reset => {
                if let Some(vm) = self.machine(|_, power| power == Power::On) {
                    let user = self.task(Job::Reset, vm);
                    self.simple(user, "VmResettingEvent", vm);
                }
            }
            Scene::Reboot => {
                if let Some(vm) = self.machine(|_, power| power == Power::On) {
                    self.simple(Self::user(vm, Job::Reset), "VmGuestRebootEvent", vm);
                }
            }
            Scene::Migrate => self.migrate(),
            Scene::Reconfigure => self.reconfigure(),
            Scene::Snapshot => {
                if let Some(vm) = self.machine(|_, _| true) {
                    let snapshots = self.state.machines[vm].snapshots;
                    let create = snapshots == 0 || snapshots < SNAPSHOTS && self.rng.bool();
                    self.state.machines[vm].snapshots = if create { snapshots + 1 } else { snapshots - 1 };
                    self.task(if create { Job::CreateSnapshot } else { Job::RemoveSnapshot }, vm);
                }
            }
            Scene::Clone => self.clone_machine(),
            Scene::Destroy => self.destroy(),
            Scene::MachineAlarm => self.machine_alarm(),
            Scene::HostAlarm => self.host_alarm(),
            Scene::Visit => self.visit(),
            Scene::BadLogin => {
                let attacker = self.rng.u8(..8);
                let user = ["root", "admin", "CORP\\a.berger", "<script>"][usize::from(attacker % 4)];
                self.tell(user, What::BadLogin { attacker });
            }
            Scene::Host => self.host(),
            Scene::Ex => {
                if let Some(vm) = self.machine(|_, _| true) {
                    // Each machine and its host have some of their own.
                    let id = ANY + (vm * 5 + self.rng.usize(..3)) % (TYPE_IDS.len() - ANY);
                    let host = self.host_of(vm);
                    self.tell("", What::Ex { id, vm, host });
                }
            }
            Scene::Extended => {
                if let Some(vm) = self.machine(|_, _| true) {
                    let id = vm % EXTENDED.len();
                    let host = self.host_of(vm);
                    self.tell("CORP\\svc-backup", What::Extended { id, vm, host });
                }
            }
            Scene::Store => self.store(),
            Scene::Permission => self.permission(),
            Scene::Field => {
                if let Some(vm) = self.machine(|_, _| true) {
                    let value = self.rng.u8(..2);
                    let host = self.host_of(vm);
                    self.tell(Self::user(vm, Job::Reconfigure), What::Field { vm, host, value });
                }
            }
            Scene::Console => {
                if let Some(vm) = self.machine(|_, power| power == Power::On) {
                    let user = Self::user(vm, Job::Reset);
                    self.simple(user, "VmAcquiredMksTicketEvent", vm);
                    self.simple(user, "VmRemoteConsoleConnectedEvent", vm);
                    self.simple(user, "VmRemoteConsoleDisconnectedEvent", vm);
                }
            }
            Scene::Message => {
                if let Some(vm) = self.machine(|_, power| power == Power::On) {
                    let host = self.host_of(vm);
                    self.tell("", What::Message { vm, host });
                }
            }
            Scene::Scheduled => {
                if let Some(vm) = self.machine(|_, _| true) {
                    let host = self.host_of(vm);
                    for class in ["ScheduledTaskStartedEvent", "ScheduledTaskCompletedEvent"] {
                        self.tell(names::USERS[0], What::Scheduled { class, vm, host });
                    }
                }
            }
            Scene::Log => {
                let number = self.rng.u8(1..9);
                self.tell(names::USERS[0], What::Log { number });
            }
        }
    }

    fn power_on(&mut self) {
        let Some(vm) = self.machine(|_, power| power != Power::On) else { return };
        let cluster = self.inventory.machines[vm].cluster;
        let by_drs = self.inventory.clusters[cluster].drs && vm.is_multiple_of(3);
        let user = self.task(Job::PowerOn, vm);
        let resumes = self.state.machines[vm].power == Power::Suspended;
        self.state.machines[vm].power = Power::On;
        self.simple(user, if resumes { "VmResumingEvent" } else { "VmStartingEvent" }, vm);
        self.simple(user, if by_drs && !resumes { "DrsVmPoweredOnEvent" } else { "VmPoweredOnEvent" }, vm);
    }

    fn power_off(&mut self) {
        let Some(vm) = self.machine(|_, power| power == Power::On) else { return };
        self.state.machines[vm].power = Power::Off;
        if self.rng.bool() {
            // Tools shut the guest down, which is no task; that it is off then is told by itself.
            self.simple(Self::user(vm, Job::PowerOff), "VmGuestShutdownEvent", vm);
            let host = self.host_of(vm);
            self.tell_apart("", What::Machine { class: "VmPoweredOffEvent", vm, host });
        } else {
            let user = self.task(Job::PowerOff, vm);
            self.simple(user, "VmStoppingEvent", vm);
            self.simple(user, "VmPoweredOffEvent", vm);
        }
    }

    fn suspend(&mut self, vm: usize) {
        let user = self.task(Job::Suspend, vm);
        self.state.machines[vm].power = Power::Suspended;
        self.simple(user, "VmSuspendingEvent", vm);
        self.simple(user, "VmSuspendedEvent", vm);
    }

    /// Another host of the machine's cluster that is up: mostly its own one, or the one behind that, so that what is
    /// told of it repeats.
    fn elsewhere(&self, vm: usize) -> Option<usize> {
        let machine = &self.inventory.machines[vm];
        let hosts = &self.inventory.clusters[machine.cluster].hosts;
        let begin = hosts.iter().position(|host| *host == machine.host).unwrap_or(0);
        let from = self.host_of(vm);
        let turned = hosts[begin..].iter().chain(&hosts[..begin]);
        turned.copied().find(|host| *host != from && !self.state.hosts[*host].lost)
    }

    fn migrate(&mut self) {
        let Some(vm) = self.machine(|_, power| power == Power::On) else { return };
        let Some(to) = self.elsewhere(vm) else { return };
        let from = self.host_of(vm);
        let drs = self.inventory.clusters[self.inventory.machines[vm].cluster].drs && vm % 4 > 0;
        let user = if drs {
            let number = Job::Migrate as u8;
            self.tell(names::SYSTEM, What::Task { job: Job::Migrate, vm, host: from, number });
            names::SYSTEM
        } else {
            self.task(Job::Migrate, vm)
        };
        self.tell(user, What::Migrating { vm, from, to });
        self.state.machines[vm].host = to;
        self.tell(user, What::Migrated { vm, from, to, drs });
    }

    fn reconfigure(&mut self) {
        let Some(vm) = self.machine(|_, _| true) else { return };
        let (kind, of) = (self.rng.u8(..4), &self.inventory.machines[vm]);
        let state = &mut self.state.machines[vm];
        // Raised, and taken back the next time.
        let change = match kind {
            0 => {
                let from = state.cpus;
                state.cpus = if from == of.cpus { of.cpus * 2 } else { of.cpus };
                Change::Cpus(from, state.cpus)
            }
            1 => {
                let from = state.memory;
                state.memory = if from == of.memory { of.memory * 2 } else { of.memory };
                Change::Memory(from, state.memory)
            }
            2 => {
                let ours = vm % names::NOTES.len();
                state.note = if state.note == ours { (ours + 1) % names::NOTES.len() } else { ours };
                Change::Note(state.note)
            }
            _ => Change::Disk,
        };
        let host = state.host;
        let user = self.task(Job::Reconfigure, vm);
        self.tell(user, What::Reconfigured { vm, host, change });
    }

    /// Clones come into being, at most as many as there are places for.
    fn clone_machine(&mut self) {
        let machines = self.inventory.machines.iter().zip(&self.state.machines).enumerate();
        let free = machines.filter(|(_, (m, state))| m.clone_of.is_some() && !state.there).map(|(at, _)| at);
        let free: Vec<_> = free.collect();
        let Some(clone) = self.rng.choice(&free).copied() else { return };
        let Some(source) = self.inventory.machines[clone].clone_of else { return };
        let host = self.inventory.machines[clone].host;
        if !self.state.machines[source].there
            || self.state.hosts[host].lost
            || self.state.hosts[self.host_of(source)].lost
        {
            return;
        }
        let user = self.task(Job::Clone, source);
        let from = self.host_of(source);
        self.tell(user, What::BeingCloned { clone, host: from });
        let state = &mut self.state.machines[clone];
        (state.there, state.power, state.host, state.snapshots, state.alarm) = (true, Power::Off, host, 0, 0);
        self.tell(user, What::Cloned { clone, host });
    }

    fn destroy(&mut self) {
        let machines = self.inventory.machines.iter().zip(&self.state.machines).enumerate();
        let off = machines.filter(|(_, (m, state))| {
            m.clone_of.is_some() && state.there && state.power == Power::Off && !self.state.hosts[state.host].lost
        });
        let off: Vec<_> = off.map(|(at, _)| at).collect();
        let Some(vm) = self.rng.choice(&off).copied() else { return };
        let user = self.task(Job::Destroy, vm);
        self.state.machines[vm].there = false;
        self.simple(user, "VmRemovedEvent", vm);
    }

    /// The next colour: worse, or at once back to green.
    fn next_colour(&mut self, from: usize) -> usize {
        if from == 0 || from == 1 && self.rng.bool() { from + 1 } else { 0 }
    }

    fn machine_alarm(&mut self) {
        let Some(vm) = self.machine(|_, power| power == Power::On) else { return };
        let from = self.state.machines[vm].alarm;
        let to = self.next_colour(from);
        self.state.machines[vm].alarm = to;
        self.alarm(vm % 2, Some(vm), self.host_of(vm), from, to);
    }

    fn host_alarm(&mut self) {
        let host = self.rng.usize(..self.state.hosts.len());
        if self.state.hosts[host].lost {
            return;
        }
        let from = self.state.hosts[host].alarm;
        let to = self.next_colour(from);
        self.state.hosts[host].alarm = to;
        self.alarm(2, None, host, from, to);
    }

    fn alarm(&mut self, alarm: usize, vm: Option<usize>, host: usize, from: usize, to: usize) {
        self.tell("", What::Alarm { alarm, vm, host, from, to });
        if to == 2 {
            for class in ["AlarmActionTriggeredEvent", "AlarmEmailCompletedEvent"] {
                self.tell("", What::AlarmDone { class, alarm, vm, host });
            }
        }
    }

    fn visit(&mut self) {
        let visitor = self.rng.usize(..names::VISITORS.len());
        let user = names::USERS[names::VISITORS[visitor].0];
        let there = self.state.visitors[visitor];
        self.state.visitors[visitor] = !there;
        if there {
            let calls = 12 + self.rng.u16(..8) * 31;
            self.tell(user, What::Logout { visitor, calls });
        } else {
            self.tell(user, What::Login { visitor });
        }
    }

    /// A host is lost, and its machines start elsewhere; or the one that was lost is back. One is lost at a time.
    fn host(&mut self) {
        if let Some(host) = self.state.hosts.iter().position(|host| host.lost) {
            self.state.hosts[host].lost = false;
            self.tell("", What::Host { class: "HostConnectedEvent", host });
            for id in HOST_BACK {
                self.tell_apart("", What::Ex { id, vm: 0, host });
            }
            return;
        }
        let host = self.rng.usize(..self.state.hosts.len());
        let machines: Vec<_> = self.state.on_host(host).collect();
        self.state.hosts[host].lost = true;
        self.tell("", What::Host { class: "HostConnectionLostEvent", host });
        self.tell("", What::Alarm { alarm: 3, vm: None, host, from: 0, to: 2 });
        self.state.hosts[host].alarm = 0;
        for id in HOST_LOST {
            self.tell_apart("", What::Ex { id, vm: 0, host });
        }
        let running = machines.into_iter().filter(|vm| self.state.machines[*vm].power == Power::On);
        for vm in running.take(RESTARTS).collect::<Vec<_>>() {
            let Some(to) = self.elsewhere(vm) else { continue };
            self.state.machines[vm].host = to;
            self.tell_apart("", What::Ex { id: RESTARTED, vm, host: to });
        }
    }

    fn store(&mut self) {
        let store = self.rng.usize(..self.state.grown.len());
        if self.rng.bool() {
            let number = self.rng.u8(1..6);
            self.tell(names::USERS[2], What::FileDeleted { store, number });
            return;
        }
        let by = self.state.grown[store] + GROWTH;
        // Nothing grows for ever: then it has the size that it began with, as if replaced.
        let by = if by > GROWTHS * GROWTH { GROWTH } else { by };
        self.state.grown[store] = by;
        self.tell(names::USERS[0], What::Grown { store, by });
    }

    fn permission(&mut self) {
        let user = 1 + self.rng.usize(..names::USERS.len() - 1);
        let there = self.state.permissions[user];
        let class = match (there, self.rng.bool()) {
            (false, _) => "PermissionAddedEvent",
            (true, true) => "PermissionUpdatedEvent",
            (true, false) => "PermissionRemovedEvent",
        };
        self.state.permissions[user] = class != "PermissionRemovedEvent";
        self.tell(names::USERS[0], What::Permission { class, user });
    }
}
