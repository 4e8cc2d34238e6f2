//! Ways to find entities: what lies below one, and by path or UUID.

use std::collections::HashSet;

use crate::simulator::value::Value;
use crate::vim25::soap::Ref;

use super::objects::{View, host_uuid};

/// Properties that lead from an entity to those below it.
const DOWN: [&str; 8] =
    ["childEntity", "vmFolder", "hostFolder", "datastoreFolder", "networkFolder", "host", "resourcePool", "vm"];

impl View<'_> {
    /// What lies directly below an entity.
    fn children(&self, object: &Ref) -> Option<Vec<Ref>> {
        let found = self.object(self.inventory.find(object)?)?;
        // These are beside or above, for all that they are named by the same words.
        let skip: &[&str] = match &*object.kind {
            "VirtualMachine" => &DOWN,
            "Datastore" | "Network" | "DistributedVirtualPortgroup" => &["host", "vm"],
            _ => &[],
        };
        let down = DOWN.iter().filter(|path| !skip.contains(path));
        Some(down.filter_map(|path| found.at(path)).flat_map(Value::references).cloned().collect())
    }

    pub(super) fn below(&self, object: &Ref, all: bool) -> Option<Vec<Ref>> {
        let mut found = self.children(object)?;
        let mut seen: HashSet<Ref> = HashSet::new();
        found.retain(|child| seen.insert(child.clone()));
        let mut next = 0;
        while all && next < found.len() {
            for child in self.children(&found[next]).unwrap_or_default() {
                if seen.insert(child.clone()) {
                    found.push(child);
                }
            }
            next += 1;
        }
        Some(found)
    }

    pub(super) fn by_path(&self, path: &str) -> Option<Ref> {
        let mut at = self.inventory.root();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            at = self.children(&at)?.into_iter().find(|child| self.name(child).as_deref() == Some(name))?;
        }
        Some(at)
    }

    pub(super) fn by_uuid(&self, uuid: &str, machine: bool, instance: bool) -> Option<Ref> {
        if !machine {
            let at = (0..self.inventory.hosts.len()).find(|at| host_uuid(*at).eq_ignore_ascii_case(uuid))?;
            return Some(self.inventory.hosts[at].me.clone());
        }
        let mut machines = self.inventory.machines.iter().zip(&self.state.machines).filter(|(_, state)| state.there);
        let found = machines.find(|(m, _)| {
            let own = if instance { &m.instance_uuid } else { &m.uuid };
            own.eq_ignore_ascii_case(uuid)
        });
        found.map(|(machine, _)| machine.me.clone())
    }

    fn name(&self, object: &Ref) -> Option<String> {
        match self.object(self.inventory.find(object)?)?.at("name") {
            Some(Value::Text(_, name)) => Some(name.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::simulator::Size;
    use crate::simulator::world::World;
    use crate::vim25::soap::Ref;

    #[test]
    fn entities_are_found_below_others_and_by_path() {
        let world = World::new(1, Size { machines: 200 });
        let all = world.below(&world.root(), true).unwrap();
        let count = |kind: &str| all.iter().filter(|found| found.kind == kind).count();
        assert_eq!(count("VirtualMachine"), 200);
        assert_eq!(count("HostSystem"), world.inventory.hosts.len());
        assert_eq!(count("ResourcePool"), world.inventory.pools.len());
        assert_eq!(count("Datastore"), world.inventory.stores.len());
        assert_eq!(world.below(&world.root(), false).unwrap().len(), world.inventory.datacenters.len());
        let machine = &world.inventory.machines[0];
        let host = &world.inventory.hosts[machine.host].me;
        assert!(world.below(host, false).unwrap().contains(&machine.me));
        assert_eq!(world.below(&Ref::new("Folder", "group-x9"), true), None);
        assert_eq!(world.by_path("/Frankfurt/vm/Production/erp-db-01").as_ref(), Some(&machine.me));
        assert_eq!(world.by_path("/Frankfurt/vm/Production/nobody"), None);
        assert_eq!(world.by_path("/"), Some(world.root()));
        assert_eq!(world.by_uuid(&machine.uuid.to_uppercase(), true, false).as_ref(), Some(&machine.me));
        assert_eq!(world.by_uuid(&machine.uuid, true, true), None);
        assert_eq!(world.by_uuid(&machine.instance_uuid, true, true).as_ref(), Some(&machine.me));
    }
}
