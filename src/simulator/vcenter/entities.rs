//! What views, machines and the search index understand, and what every object does: show one of its properties.

use super::objects::{is_manager, look};
use super::property::{self, ContainerView};
use super::service::Called;
use super::soap::{Answer, Fault, write_reference, write_text};
use super::state::{Draft, State};
use crate::simulator::world::{Act, Refused};
use crate::vim25::soap::Ref;

/// Views of one session.
const MOST_VIEWS: usize = 100;

impl Called<'_> {
    /// The calls that are not of the service's own managers.
    pub(super) fn of_entity(self) -> Result<Answer, Fault> {
        match (&*self.call.name, &*self.this.kind) {
            ("Fetch", _) => self.fetch(),
            ("CreateContainerView", "ViewManager") => self.create_view(),
            ("DestroyView", _) => {
                let session = self.state.session_of(&self.session, &self.this)?;
                session.views.remove(&self.this.value).ok_or_else(|| Fault::not_found(&self.this))?;
                self.state.touch();
                Ok(self.empty())
            }
            ("FindByInventoryPath", "SearchIndex") => {
                let found = self.state.world.by_path(self.argument("inventoryPath"));
                Ok(self.found(found))
            }
            ("FindByUuid", "SearchIndex") => Ok(self.find_by_uuid()),
            ("FindChild", "SearchIndex") => self.find_child(),
            (method, "VirtualMachine") => match Act::of_method(method) {
                Some(act) => self.act(act),
                None => Err(self.unknown()),
            },
            _ => Err(self.unknown()),
        }
    }

    /// The fault of a method that there is not, or not of that object.
    fn unknown(&self) -> Fault {
        let known = is_manager(&self.this) || self.state.exists(&self.session, &self.this);
        if !known {
            return Fault::not_found(&self.this);
        }
        let mut fields = String::new();
        write_reference(&mut fields, "receiver", &self.this);
        write_text(&mut fields, "method", &self.call.name);
        Fault { fields, ..Fault::new("MethodNotFound", "The method is not known to this object.") }
    }

    /// One property of one object: how some clients read whatever they touch.
    fn fetch(self) -> Result<Answer, Fault> {
        let path = self.argument("prop");
        look(self.state, &self.session, &self.this);
        let name = path.split('.').next().unwrap_or_default();
        let state: &State = self.state;
        let Some(session) = state.sessions.get(&self.session) else {
            return Err(Fault::not_authenticated(&self.this));
        };
        let object = state.object(session, &self.this, &|wanted| wanted == name);
        let object = object.ok_or_else(|| Fault::not_found(&self.this))?;
        let mut answer = self.empty();
        if let Some(value) = property::one(&object, path)? {
            value.write_val(&mut answer.xml, "returnval");
        }
        Ok(answer)
    }

    fn create_view(self) -> Result<Answer, Fault> {
        let view = ContainerView::read(self.call, &self.state.world)?;
        let session = self.state.session_of(&self.session, &self.this)?;
        if session.views.len() >= MOST_VIEWS {
            return Err(Fault::invalid_state());
        }
        let made = session.made("ContainerView");
        session.views.insert(made.value.clone(), view);
        Ok(self.reference(&made))
    }

    /// What a search has found; nothing is an answer too.
    fn found(&self, found: Option<Ref>) -> Answer {
        found.map_or_else(|| self.empty(), |found| self.reference(&found))
    }

    fn find_by_uuid(&self) -> Answer {
        let truth = |name| matches!(self.argument(name), "true" | "1");
        let world = &self.state.world;
        let found = world.by_uuid(self.argument("uuid"), truth("vmSearch"), truth("instanceUuid"));
        let inside = |found: &Ref| match self.call.child("datacenter") {
            Some(datacenter) => world.below(&datacenter.reference(), true).is_some_and(|below| below.contains(found)),
            None => true,
        };
        self.found(found.filter(inside))
    }

    fn find_child(&self) -> Result<Answer, Fault> {
        let entity = self.needed("entity")?.reference();
        let below = self.state.world.below(&entity, false).ok_or_else(|| Fault::not_found(&entity))?;
        let name = self.argument("name");
        let found = below.into_iter().find(|child| self.state.name_of(child).as_deref() == Some(name));
        Ok(self.found(found))
    }

    fn act(self, act: Act) -> Result<Answer, Fault> {
        let (user, now) = (self.user(), self.state.clock.now());
        let acted = self.state.world.act(&self.this, act, &user, now).map_err(|refused| match refused {
            Refused::NotFound => Fault::not_found(&self.this),
            Refused::State { wanted, found } => invalid_power_state(wanted, found),
        })?;
        for happening in acted.happened {
            self.state.append(Draft { body: happening.body, chained: happening.chained, ..Draft::default() });
        }
        Ok(self.found(acted.task))
    }
}

fn invalid_power_state(wanted: &str, found: &str) -> Fault {
    let mut fields = String::new();
    write_text(&mut fields, "requestedState", wanted);
    write_text(&mut fields, "existingState", found);
    let message = "The attempted operation cannot be performed in the current state of the virtual machine.";
    Fault { fields, ..Fault::new("InvalidPowerState", message) }
}

impl State {
    /// Whether a session has such an object.
    fn exists(&self, session: &str, object: &Ref) -> bool {
        self.sessions.get(session).is_some_and(|session| self.object(session, object, &|_| false).is_some())
    }
}
