//! Which events a collector has.

use std::collections::HashSet;

use super::history::{Record, parse_time};
use super::soap::{Fault, Node};
use crate::simulator::Body;
use crate::simulator::world::category;
use crate::vim25::describe::derives;
use crate::vim25::soap::Ref;

/// An `EventFilterSpec`. What is not set admits everything.
#[derive(Debug, Default)]
pub(super) struct Filter {
    /// As it was given.
    spec: Node,
    /// The objects, by their values, one of which an event must be about.
    about: Option<HashSet<String>>,
    begin: Option<i64>,
    end: Option<i64>,
    users: Option<Vec<String>>,
    system: bool,
    chain: Option<i32>,
    categories: Vec<String>,
    /// Classes, or bases of theirs.
    classes: Vec<String>,
    /// What events call themselves: their class, or what an `EventEx` says.
    ids: Vec<String>,
}

/// What a filter must know of the data centre.
pub(super) trait Lookup {
    /// The objects that are directly or indirectly below this one, or directly only; none if there is no such object.
    fn below(&self, object: &Ref, all: bool) -> Option<Vec<Ref>>;
}

impl Filter {
    /// Reads one, for objects of this data centre.
    pub(super) fn read(spec: &Node, lookup: &impl Lookup) -> Result<Self, Fault> {
        let mut filter = Self { spec: spec.clone(), ..Self::default() };
        let texts = |name| spec.all(name).map(|node| node.text.trim().to_owned());
        if let Some(entity) = spec.child("entity") {
            filter.about = Some(read_entity(entity, lookup)?);
        }
        if let Some(time) = spec.child("time") {
            let read = |name| match time.text_of(name) {
                None => Ok(None),
                Some(text) => match parse_time(text) {
                    Some(micros) => Ok(Some(micros)),
                    None => Err(Fault::invalid_argument(&format!("filter.time.{name}"))),
                },
            };
            (filter.begin, filter.end) = (read("beginTime")?, read("endTime")?);
        }
        if let Some(user) = spec.child("userName") {
            filter.system = user.text_of("systemUser").is_some_and(truth);
            let users: Vec<_> = user.all("userList").map(|node| node.text.trim().to_owned()).collect();
            filter.users = (filter.system || !users.is_empty()).then_some(users);
        }
        if let Some(chain) = spec.text_of("eventChainId") {
            let chain = chain.trim().parse().map_err(|_| Fault::invalid_argument("filter.eventChainId"))?;
            filter.chain = Some(chain);
        }
        filter.categories = texts("category").collect();
        (filter.classes, filter.ids) = (texts("type").collect(), texts("eventTypeId").collect());
        if !filter.classes.is_empty() && !filter.ids.is_empty() {
            return Err(Fault::invalid_argument("filter"));
        }
        Ok(filter)
    }

    /// As it was given.
    pub(super) fn spec(&self) -> &Node {
        &self.spec
    }

    /// The time before which it has nothing.
    pub(super) fn begin(&self) -> Option<i64> {
        self.begin
    }

    /// Whether it has this event.
    pub(super) fn matches(&self, record: &Record) -> bool {
        let body = &*record.body;
        self.begin.is_none_or(|begin| record.created >= begin)
            && self.end.is_none_or(|end| record.created <= end)
            && self.chain.is_none_or(|chain| record.chain == chain)
            && (self.classes.is_empty() || self.classes.iter().any(|name| is_of(body, name)))
            && (self.ids.is_empty() || self.ids.iter().any(|id| is_called(body, id)))
            && self.about.as_ref().is_none_or(|about| body.about.iter().any(|value| about.contains(&**value)))
            && self.users.as_ref().is_none_or(|users| {
                self.system && body.user.is_empty() || users.iter().any(|user| user.eq_ignore_ascii_case(&body.user))
            })
            && (self.categories.is_empty()
                || self.categories.iter().any(|name| *name == category(&body.class, body.type_id.as_deref())))
    }
}

/// Whether an event is of this class, or of one derived from it.
fn is_of(body: &Body, class: &str) -> bool {
    *body.class == *class || derives(&body.class, class)
}

/// Whether an event calls itself so. A base of its class is not what it is called.
fn is_called(body: &Body, id: &str) -> bool {
    *body.class == *id || body.type_id.as_deref() == Some(id)
}

fn truth(text: &str) -> bool {
    matches!(text.trim(), "true" | "1")
}

fn read_entity(node: &Node, lookup: &impl Lookup) -> Result<HashSet<String>, Fault> {
    let Some(entity) = node.child("entity").map(Node::reference) else {
        return Err(Fault::invalid_argument("filter.entity.entity"));
    };
    let recursion = node.text_of("recursion").map_or("self", str::trim);
    let all = match recursion {
        "self" => None,
        "children" => Some(false),
        "all" => Some(true),
        _ => return Err(Fault::invalid_argument("filter.entity.recursion")),
    };
    let Some(below) = lookup.below(&entity, all.unwrap_or(false)) else { return Err(Fault::not_found(&entity)) };
    let mut about: HashSet<String> = HashSet::new();
    if all.is_some() {
        about.extend(below.into_iter().map(|object| object.value));
    }
    // Events on folders themselves are not found through a recursion over what is in them.
    if all != Some(true) || entity.kind != "Folder" {
        about.insert(entity.value);
    }
    Ok(about)
}
