//! The data centre that the simulated vCenter manages, and what happens in it.

mod bodies;
mod catalogue;
mod draft;
mod find;
mod formats;
mod inventory;
mod life;
mod make;
mod names;
mod objects;
mod power;
mod state;
#[cfg(test)]
mod tests;
mod told;

use std::sync::Arc;

use super::Body;
use super::value::{Object, Value};
use crate::vim25::soap::Ref;

use bodies::Bodies;
use catalogue::CATALOGUE;
use inventory::Inventory;
use life::{Queue, Stage};
use objects::View;
use power::Tasks;
pub(crate) use power::{Act, Refused};
use state::State;
use told::Told;

/// How large the data centre is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Virtual machines; hosts, clusters and datastores follow from that.
    pub machines: u32,
}

/// The subjects of all that happens by itself: classes, and the type ids of `EventEx` and `ExtendedEvent`.
pub fn subjects() -> impl Iterator<Item = &'static str> {
    let classes = formats::CLASSES.iter().map(|class| class.0);
    classes.chain(formats::TYPE_IDS.iter().map(|id| id.id)).chain(formats::EXTENDED.iter().map(|id| id.0))
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) struct Happening {
    pub(crate) body: Arc<Body>,
    /// It belongs to the chain of the one before.
    pub(crate) chained: bool,
}

/// How grave an event of this class, or of this id, is: `info`, `warning`, `error` or `user`.
pub(crate) fn category(class: &str, type_id: Option<&str>) -> &'static str {
    CATALOGUE.category(class, type_id).unwrap_or("info")
}

/// The message of an event: what the catalogue says, filled with what is at the paths of the event.
pub(crate) fn message(class: &str, type_id: Option<&str>, at: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    CATALOGUE.format(class, type_id).map(|format| catalogue::fill(format, at))
}

/// A data centre with machines that live.
#[derive(Debug)]
pub(crate) struct World {
    inventory: Inventory,
    state: State,
    rng: fastrand::Rng,
    /// Told, but not yet asked for.
    queue: Queue,
    bodies: Bodies<Told<'static>>,
    tasks: Tasks,
    /// How many events were asked for.
    made: usize,
}

impl World {
    /// The data centre of this seed and size: the same for the same.
    pub(crate) fn new(seed: u64, size: Size) -> Self {
        let inventory = Inventory::new(seed, size);
        let state = State::new(seed, &inventory);
        let rng = fastrand::Rng::with_seed(seed);
        Self { inventory, state, rng, queue: Queue::new(), bodies: Bodies::new(), tasks: Tasks::default(), made: 0 }
    }

    /// What happens next.
    pub(crate) fn next(&mut self) -> Happening {
        loop {
            if let Some((told, chained)) = self.queue.pop_front() {
                let body = self.bodies.get(told, || told.body(&self.inventory));
                return Happening { body, chained };
            }
            let Self { inventory, state, rng, queue, .. } = self;
            Stage { inventory, state, rng, queue }.play();
        }
    }

    /// An event of this class, about a machine that is there now, and about another each time; `None` if there is no
    /// such class. What happens next does not depend on it.
    pub(crate) fn make(&mut self, class: &str) -> Option<Body> {
        let there: Vec<_> = self.state.machines.iter().enumerate().filter(|(_, machine)| machine.there).collect();
        let (vm, machine) = *there.get(self.made % there.len().max(1))?;
        let body = make::of_class(&self.inventory, class, self.made, (vm, machine.host))?;
        self.made = self.made.wrapping_add(1);
        Some(body)
    }

    /// The folder above all.
    #[cfg(test)]
    pub(crate) fn root(&self) -> Ref {
        self.inventory.root()
    }

    /// The object with its properties as they are now; `None` if there is none.
    pub(crate) fn object(&self, object: &Ref) -> Option<Object> {
        if object.kind == "Task" {
            return self.tasks.object(object);
        }
        self.view().object(self.inventory.find(object)?)
    }

    /// The entities below a folder, a data centre, a cluster, a host or a pool, directly or at any depth; `None` if
    /// there is no such object. Machines lie below their folder, their host and their pool.
    pub(crate) fn below(&self, object: &Ref, all: bool) -> Option<Vec<Ref>> {
        self.view().below(object, all)
    }

    /// The entity that is found by its path from the root, such as `/Frankfurt/vm/Production/erp-db-01`.
    pub(crate) fn by_path(&self, path: &str) -> Option<Ref> {
        self.view().by_path(path)
    }

    /// The machine or host with this UUID.
    pub(crate) fn by_uuid(&self, uuid: &str, machine: bool, instance: bool) -> Option<Ref> {
        self.view().by_uuid(uuid, machine, instance)
    }

    /// The entity above one, by its value alone (`vm-12`): what a filter of events by folder climbs.
    #[cfg(test)]
    pub(crate) fn parent(&self, value: &str) -> Option<Ref> {
        self.view().parent(self.inventory.find_value(value)?)
    }

    /// The property `description.eventInfo` of the event manager.
    pub(crate) fn catalogue(&self) -> Value {
        CATALOGUE.value()
    }

    fn view(&self) -> View<'_> {
        View { inventory: &self.inventory, state: &self.state }
    }
}
