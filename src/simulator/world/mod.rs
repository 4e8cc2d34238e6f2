//! The data centre that the simulated vCenter manages, and what happens in it.

mod bodies;
mod catalogue;
mod draft;
mod formats;
mod inventory;
mod life;
mod names;
mod objects;
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
use state::State;
use told::Told;

/// How large the data centre is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Virtual machines; hosts, clusters and datastores follow from that.
    pub machines: u32,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) struct Happening {
    pub(crate) body: Arc<Body>,
    /// It belongs to the chain of the one before.
    pub(crate) chained: bool,
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
}

impl World {
    /// The data centre of this seed and size: the same for the same.
    pub(crate) fn new(seed: u64, size: Size) -> Self {
        let inventory = Inventory::new(seed, size);
        let state = State::new(seed, &inventory);
        let rng = fastrand::Rng::with_seed(seed);
        Self { inventory, state, rng, queue: Queue::new(), bodies: Bodies::new() }
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

    /// The folder above all.
    pub(crate) fn root(&self) -> Ref {
        self.inventory.root()
    }

    /// The object with its properties as they are now; `None` if there is none.
    pub(crate) fn object(&self, object: &Ref) -> Option<Object> {
        self.view().object(self.inventory.find(object)?)
    }

    /// The entity above one, by its value alone (`vm-12`): what a filter of events by folder climbs.
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
