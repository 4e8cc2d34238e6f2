//! What clients do to machines: power operations, as tasks and as orders to the guest.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::simulator::body::Body;
use crate::simulator::value::{Object, Value};
use crate::vim25::soap::Ref;

use super::inventory::Item;
use super::state::Power;
use super::told::{Job, TaskWords, Told, What, task_event, wrong_state};
use super::{Happening, World};

/// Tasks that are remembered; older ones are forgotten, as vCenter forgets those that are done.
const TASKS: usize = 256;

/// What is asked of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    PowerOn,
    PowerOff,
    Suspend,
    Reset,
    /// The guest is asked, and no task is made.
    ShutdownGuest,
    RebootGuest,
}

impl Act {
    /// What a method of a machine asks for.
    pub(crate) fn of_method(method: &str) -> Option<Self> {
        Some(match method {
            "PowerOnVM_Task" => Self::PowerOn,
            "PowerOffVM_Task" => Self::PowerOff,
            "SuspendVM_Task" => Self::Suspend,
            "ResetVM_Task" => Self::Reset,
            "ShutdownGuest" => Self::ShutdownGuest,
            "RebootGuest" => Self::RebootGuest,
            _ => return None,
        })
    }

    /// The task that it is, unless it is none.
    fn job(self) -> Option<Job> {
        Some(match self {
            Self::PowerOn => Job::PowerOn,
            Self::PowerOff => Job::PowerOff,
            Self::Suspend => Job::Suspend,
            Self::Reset => Job::Reset,
            Self::ShutdownGuest | Self::RebootGuest => return None,
        })
    }

    /// The state that it asks for, and whether it can be had from that one.
    fn wanted(self, found: Power) -> (Power, bool) {
        match self {
            Self::PowerOn => (Power::On, found != Power::On),
            Self::PowerOff => (Power::Off, found != Power::Off),
            Self::Suspend => (Power::Suspended, found == Power::On),
            Self::Reset | Self::RebootGuest => (Power::On, found == Power::On),
            Self::ShutdownGuest => (Power::Off, found == Power::On),
        }
    }

    fn failure(self) -> &'static str {
        match self {
            Self::PowerOn => "VmFailedToPowerOnEvent",
            Self::PowerOff | Self::ShutdownGuest => "VmFailedToPowerOffEvent",
            Self::Suspend => "VmFailedToSuspendEvent",
            Self::Reset | Self::RebootGuest => "VmFailedToResetEvent",
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Acted {
    /// The task, done or failed already; orders to the guest make none.
    pub(crate) task: Option<Ref>,
    /// What has happened, in order: first what was still to be told of before.
    pub(crate) happened: Vec<Happening>,
}

/// Why nothing came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is no such machine.
    NotFound,
    /// The fault `InvalidPowerState`, with both states as the API calls them.
    State { wanted: &'static str, found: &'static str },
}

/// The tasks of clients, the newest last.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    made: u32,
    tasks: VecDeque<(Ref, Value)>,
}

impl Tasks {
    fn next(&mut self) -> Ref {
        self.made = self.made.wrapping_add(1);
        // Behind all that machines make by themselves.
        Ref::new("Task", &format!("task-{}", 1_000_000 + u64::from(self.made)))
    }

    fn add(&mut self, me: Ref, info: Value) {
        if self.tasks.len() == TASKS {
            self.tasks.pop_front();
        }
        self.tasks.push_back((me, info));
    }

    pub(super) fn object(&self, task: &Ref) -> Option<Object> {
        let (me, info) = self.tasks.iter().rfind(|(me, _)| me == task)?;
        let properties = vec![("info", info.clone())];
        Some(Object { reference: me.clone(), properties })
    }

    /// The newest, as `TaskManager.recentTask` has them.
    pub(super) fn recent(&self) -> impl Iterator<Item = Ref> {
        self.tasks.iter().rev().take(16).map(|(me, _)| me.clone())
    }
}

impl World {
    /// Does what a client asks of a machine. The task that comes of it is done at once: there is nothing to wait for
    /// in a machine that is none.
    pub(crate) fn act(&mut self, vm: &Ref, act: Act, user: &str, now: i64) -> Result<Acted, Refused> {
        let Some(Item::Machine(vm)) = self.inventory.find(vm) else { return Err(Refused::NotFound) };
        let state = self.state.machines[vm].clone();
        if !state.there {
            return Err(Refused::NotFound);
        }
        let (wanted, possible) = act.wanted(state.power);
        if !possible && act.job().is_none() {
            return Err(Refused::State { wanted: Power::On.name(), found: state.power.name() });
        }
        let mut happened = self.untold();
        let begin = happened.len();
        let host = state.host;
        let mut tell = |body: Body| {
            let chained = happened.len() > begin;
            happened.push(Happening { body: Arc::new(body), chained });
        };
        let task = act.job().map(|job| {
            let me = self.tasks.next();
            let time = jiff::Timestamp::from_microsecond(now).unwrap_or_default().to_string();
            let machine = &self.inventory.machines[vm];
            let words = |ended| {
                let (vm, vm_name) = (&machine.me, &*machine.name);
                TaskWords { me: &me, job, vm, vm_name, user, queued: &time, ended }.info()
            };
            tell(task_event(&self.inventory, vm, host, user, words(None)).finish());
            let fault = (!possible).then(|| wrong_state(wanted, state.power));
            let info = words(Some((&time, fault)));
            self.tasks.add(me.clone(), info);
            me
        });
        let mut say = |what| tell(Told { what, user }.body(&self.inventory));
        if possible {
            let classes: &[&'static str] = match (act, state.power) {
                (Act::PowerOn, Power::Suspended) => &["VmResumingEvent", "VmPoweredOnEvent"],
                (Act::PowerOn, _) => &["VmStartingEvent", "VmPoweredOnEvent"],
                (Act::PowerOff, _) => &["VmStoppingEvent", "VmPoweredOffEvent"],
                (Act::Suspend, _) => &["VmSuspendingEvent", "VmSuspendedEvent"],
                (Act::Reset, _) => &["VmResettingEvent"],
                (Act::ShutdownGuest, _) => &["VmGuestShutdownEvent", "VmPoweredOffEvent"],
                (Act::RebootGuest, _) => &["VmGuestRebootEvent"],
            };
            classes.iter().for_each(|class| say(What::Machine { class, vm, host }));
            self.state.machines[vm].power = wanted;
        } else {
            say(What::Failed { class: act.failure(), vm, host, wanted, found: state.power });
        }
        Ok(Acted { task, happened })
    }

    /// The newest tasks of clients.
    pub(crate) fn recent_tasks(&self) -> Vec<Ref> {
        self.tasks.recent().collect()
    }

    /// What has happened, but was not asked for yet: the machines are further than what was told of them.
    fn untold(&mut self) -> Vec<Happening> {
        let mut all = Vec::new();
        while !self.queue.is_empty() {
            all.push(self.next());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::tests::decode;
    use super::*;
    use crate::simulator::Size;

    const NOW: i64 = 1_767_225_600_250_000;

    fn world_and_machine() -> (World, Ref) {
        let mut world = World::new(3, Size { machines: 10 });
        let vm = world.inventory.machines[4].me.clone();
        // From a known state.
        let _ = world.act(&vm, Act::PowerOff, "user", NOW).unwrap();
        (world, vm)
    }

    fn text(world: &World, object: &Ref, path: &str) -> String {
        match world.object(object).unwrap().at(path) {
            Some(Value::Text(_, text)) => text.clone(),
            other => panic!("{path}: {other:?}"),
        }
    }

    fn classes(acted: &Acted) -> Vec<(String, bool)> {
        acted.happened.iter().map(|h| (h.body.class.to_string(), h.chained)).collect()
    }

    #[test]
    fn a_power_operation_is_a_task_and_a_chain_of_events() {
        let (mut world, vm) = world_and_machine();
        let acted = world.act(&vm, Act::PowerOn, "CORP\\me", NOW).unwrap();
        let chain = [("TaskEvent", false), ("VmStartingEvent", true), ("VmPoweredOnEvent", true)];
        assert_eq!(classes(&acted), chain.map(|(class, chained)| (class.to_owned(), chained)));
        let bodies: Vec<_> = acted.happened.into_iter().map(|h| h.body).collect();
        let decoded = decode(&bodies);
        let task = acted.task.unwrap();
        assert_eq!(decoded[0].pointer("/Info/Key").unwrap(), &*task.value);
        assert_eq!(decoded[2]["UserName"], "CORP\\me");
        assert_eq!(text(&world, &task, "info.state"), "success");
        assert_eq!(text(&world, &task, "info.completeTime"), "2026-01-01T00:00:00.25Z");
        assert_eq!(text(&world, &vm, "runtime.powerState"), "poweredOn");
        assert_eq!(world.recent_tasks()[0], task);
    }

    #[test]
    fn what_the_state_forbids_fails() {
        let (mut world, vm) = world_and_machine();
        let acted = world.act(&vm, Act::Suspend, "user", NOW).unwrap();
        assert_eq!(classes(&acted)[1].0, "VmFailedToSuspendEvent");
        let task = acted.task.unwrap();
        assert_eq!(text(&world, &task, "info.state"), "error");
        assert_eq!(text(&world, &task, "info.error.fault.existingState"), "poweredOff");
        assert_eq!(text(&world, &vm, "runtime.powerState"), "poweredOff");
        let bodies: Vec<_> = acted.happened.into_iter().map(|h| h.body).collect();
        assert_eq!(decode(&bodies)[1].pointer("/Reason/Fault/RequestedState").unwrap(), "suspended");
        let refused = world.act(&vm, Act::ShutdownGuest, "user", NOW).unwrap_err();
        assert_eq!(refused, Refused::State { wanted: "poweredOn", found: "poweredOff" });
        let none = Ref::new("VirtualMachine", "vm-1");
        assert_eq!(world.act(&none, Act::PowerOn, "user", NOW).unwrap_err(), Refused::NotFound);
    }

    #[test]
    fn tasks_are_forgotten_in_the_end() {
        let (mut world, vm) = world_and_machine();
        let first = world.act(&vm, Act::PowerOn, "user", NOW).unwrap().task.unwrap();
        assert!(world.object(&first).is_some());
        for _ in 0..TASKS {
            let _ = world.act(&vm, Act::Reset, "user", NOW).unwrap();
        }
        assert_eq!(world.object(&first), None);
        assert_eq!(world.tasks.tasks.len(), TASKS);
    }
}
