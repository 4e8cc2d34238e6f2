#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, HashMap, HashSet};

use super::*;
use crate::vim25::{Decoder, Shape, describe};

fn world(seed: u64, machines: u32) -> World {
    World::new(seed, Size { machines })
}

/// The bodies as a page that a collector answers with.
pub(super) fn page<'b>(bodies: impl IntoIterator<Item = &'b Body>) -> String {
    let mut out = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<soapenv:Envelope \
         xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n<soapenv:Body>\n\
         <ReadNextEventsResponse xmlns=\"urn:vim25\">",
    );
    for (key, body) in bodies.into_iter().enumerate() {
        out.push_str(&format!(
            "<returnval xsi:type=\"{}\"><key>{key}</key><chainId>{key}</chainId><createdTime>2026-01-12T06:30:00Z\
             </createdTime>{}</returnval>",
            body.class, body.xml
        ));
    }
    out.push_str("</ReadNextEventsResponse>\n</soapenv:Body>\n</soapenv:Envelope>");
    out
}

/// Every event of the page is decoded without error, in the oldest and the newest shape, and under its own class.
pub(super) fn decode(bodies: &[Arc<Body>]) -> Vec<serde_json::Value> {
    let page = page(bodies.iter().map(|body| &**body));
    let mut decoded = Vec::new();
    for shape in [Shape::V6_7, Shape::LATEST] {
        decoded.clear();
        let summary = Decoder::new(shape).page(page.as_bytes(), |event| {
            let body = &bodies[decoded.len()];
            assert_eq!(event.error, None, "{}", body.xml);
            assert_eq!(event.class, &*body.class);
            let data: serde_json::Value = serde_json::from_slice(event.data).unwrap();
            assert_eq!(data["UserName"], *body.user, "{}", body.xml);
            decoded.push(data);
        });
        assert_eq!(summary.unwrap().events, bodies.len());
    }
    decoded
}

#[test]
fn whoever_wants_everything_can_name_it() {
    let named: HashSet<_> = subjects().collect();
    let mut world = world(3, 60);
    let happened = (0..50_000).map(|_| world.next().body);
    let subjects: HashSet<_> = happened.map(|body| body.type_id.clone().unwrap_or(body.class.clone())).collect();
    let unnamed: Vec<_> = subjects.iter().filter(|subject| !named.contains(&***subject)).collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
}

#[test]
fn the_same_seed_gives_the_same_life() {
    let life = |seed| {
        let mut world = world(seed, 60);
        (0..20_000).map(|_| world.next()).map(|h| (h.body, h.chained)).collect::<Vec<_>>()
    };
    let (one, again, other) = (life(7), life(7), life(8));
    assert!(one == again);
    assert!(one != other);
    assert_eq!(
        world(7, 60).object(&Ref::new("VirtualMachine", "vm-1003")),
        world(7, 60).object(&Ref::new("VirtualMachine", "vm-1003"))
    );
}

#[test]
fn events_have_no_elements_but_those_of_their_class() {
    let mut world = world(3, 60);
    for _ in 0..20_000 {
        let body = world.next().body;
        for name in make::tests::elements(&body.xml) {
            assert!(describe::find_member(&body.class, &name).is_some(), "{} has {name}", body.class);
        }
    }
}

#[test]
fn a_long_life_makes_sense() {
    for (seed, machines) in [(1, 100), (2, 1), (3, 900)] {
        let mut world = world(seed, machines);
        let mut power: HashMap<Box<str>, &str> = HashMap::new();
        let mut place: HashMap<Box<str>, String> = HashMap::new();
        let mut lost: HashSet<Box<str>> = HashSet::new();
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut number = 0;
        // To the end of a scene.
        while number < 60_000 || !world.queue.is_empty() {
            let Happening { body, chained } = world.next();
            assert!(number > 0 || !chained);
            number += 1;
            *seen.entry(body.class.to_string()).or_default() += 1;
            let about = |prefix: &str| body.about.iter().find(|id| id.starts_with(prefix)).cloned();
            let Some(vm) = about("vm-") else {
                match (&*body.class, about("host-")) {
                    ("HostConnectionLostEvent", Some(host)) => assert!(lost.insert(host)),
                    ("HostConnectedEvent", Some(host)) => assert!(lost.remove(&host)),
                    _ => {}
                }
                continue;
            };
            let was = power.get(&vm).copied();
            let now = match &*body.class {
                "VmStartingEvent" => {
                    assert_ne!(was, Some("on"));
                    assert_ne!(was, Some("suspended"));
                    Some("starting")
                }
                "VmResumingEvent" => {
                    assert!(matches!(was, None | Some("suspended")), "{was:?}");
                    Some("starting")
                }
                "VmPoweredOnEvent" | "DrsVmPoweredOnEvent" => {
                    assert_eq!(was, Some("starting"));
                    Some("on")
                }
                "VmStoppingEvent" | "VmGuestShutdownEvent" => {
                    assert!(matches!(was, None | Some("on")), "{was:?}");
                    Some("stopping")
                }
                "VmPoweredOffEvent" => {
                    assert_eq!(was, Some("stopping"));
                    Some("off")
                }
                "VmSuspendingEvent" => {
                    assert!(matches!(was, None | Some("on")));
                    Some("suspending")
                }
                "VmSuspendedEvent" => {
                    assert_eq!(was, Some("suspending"));
                    Some("suspended")
                }
                "VmClonedEvent" => Some("off"),
                "VmRemovedEvent" => {
                    assert!(matches!(was, Some("off")));
                    None
                }
                _ => was,
            };
            match now {
                Some(now) => power.insert(vm.clone(), now),
                None => power.remove(&vm),
            };
            // Every event names the host that the machine is on; only a migration or HA moves it.
            let host = about("host-").map(|host| host.to_string());
            let moves = body.type_id.as_deref() == Some("com.vmware.vc.ha.VmRestartedByHAEvent");
            if let Some(host) = host {
                let ours = matches!(&*body.class, "VmMigratedEvent" | "DrsVmMigratedEvent" | "VmClonedEvent") || moves;
                match place.insert(vm.clone(), host.clone()) {
                    Some(before) if !ours => assert_eq!(before, host, "{}", body.xml),
                    _ => {}
                }
                if body.class.starts_with("Vm") {
                    assert!(!lost.contains(&*host), "{}", body.xml);
                }
            }
        }
        // What was told is what the objects show.
        for (vm, told) in &power {
            let shown = world.object(&Ref::new("VirtualMachine", vm)).unwrap();
            let Some(Value::Text(_, shown)) = shown.at("runtime.powerState").cloned() else { panic!("a state") };
            match *told {
                "on" => assert_eq!(shown, "poweredOn", "{vm}"),
                "off" => assert_eq!(shown, "poweredOff", "{vm}"),
                "suspended" => assert_eq!(shown, "suspended", "{vm}"),
                other => panic!("{vm} is left {other}"),
            }
        }
        if machines > 1 {
            for class in [
                "TaskEvent",
                "VmStartingEvent",
                "VmPoweredOnEvent",
                "DrsVmPoweredOnEvent",
                "VmPoweredOffEvent",
                "VmSuspendedEvent",
                "VmResumingEvent",
                "VmResettingEvent",
                "VmGuestShutdownEvent",
                "VmBeingHotMigratedEvent",
                "VmMigratedEvent",
                "DrsVmMigratedEvent",
                "VmReconfiguredEvent",
                "VmBeingClonedEvent",
                "VmClonedEvent",
                "VmRemovedEvent",
                "AlarmStatusChangedEvent",
                "AlarmActionTriggeredEvent",
                "UserLoginSessionEvent",
                "UserLogoutSessionEvent",
                "BadUsernameSessionEvent",
                "HostConnectionLostEvent",
                "HostConnectedEvent",
                "EventEx",
                "ExtendedEvent",
                "DatastoreCapacityIncreasedEvent",
                "PermissionAddedEvent",
                "PermissionRemovedEvent",
            ] {
                assert!(seen.contains_key(class), "{class} never happened: {seen:?}");
            }
        }
    }
}

#[test]
fn every_event_of_a_life_is_decoded() {
    let mut world = world(5, 120);
    let mut bodies: HashMap<*const Body, Arc<Body>> = HashMap::new();
    for _ in 0..60_000 {
        let body = world.next().body;
        bodies.insert(Arc::as_ptr(&body), body);
    }
    let bodies: Vec<_> = bodies.into_values().collect();
    let decoded = decode(&bodies);
    // Bodies are shared: far fewer than events.
    assert!(bodies.len() < 15_000, "{}", bodies.len());
    for (body, data) in bodies.iter().zip(decoded) {
        let message = data["FullFormattedMessage"].as_str().unwrap();
        assert!(!message.is_empty() && !message.contains(['{', '}']), "{}: {message}", body.class);
    }
}

#[test]
fn a_message_is_what_the_catalogue_says() {
    let mut world = world(1, 30);
    let migrated = std::iter::repeat_with(|| world.next()).find(|h| &*h.body.class == "VmMigratedEvent").unwrap();
    let data = &decode(std::slice::from_ref(&migrated.body))[0];
    let name = |path: &str| data.pointer(path).unwrap().as_str().unwrap().to_owned();
    assert!(migrated.chained);
    assert_eq!(
        name("/FullFormattedMessage"),
        format!(
            "Migration of {} from {} to {} in {} completed",
            name("/Vm/Name"),
            name("/SourceHost/Name"),
            name("/Host/Name"),
            name("/Datacenter/Name")
        )
    );
    for path in ["/Vm/Vm/Value", "/Host/Host/Value", "/SourceHost/Host/Value", "/Datacenter/Datacenter/Value"] {
        assert!(migrated.body.about.iter().any(|id| **id == name(path)), "{path}: {:?}", migrated.body.about);
    }
}

#[test]
fn the_inventory_hangs_together() {
    for machines in [1, 100, 3_000] {
        let world = world(4, machines);
        // From the root, by what each object says lies in it, everything is found, and knows where it is.
        let mut found: HashMap<String, usize> = HashMap::new();
        let mut left = vec![world.root()];
        while let Some(at) = left.pop() {
            let object = world.object(&at).unwrap_or_else(|| panic!("{at:?}"));
            *found.entry(at.kind.clone()).or_default() += 1;
            for path in ["childEntity", "vmFolder", "hostFolder", "datastoreFolder", "networkFolder", "host"] {
                if path == "host" && at.kind != "ClusterComputeResource" {
                    continue;
                }
                for child in object.at(path).map(Value::references).unwrap_or_default() {
                    assert_eq!(world.parent(&child.value).as_ref(), Some(&at), "{child:?}");
                    left.push(child.clone());
                }
            }
        }
        assert_eq!(found["VirtualMachine"], machines as usize);
        let hosts = found["HostSystem"];
        assert!(hosts >= 3 && hosts <= (machines as usize / 10).max(3), "{hosts} hosts for {machines}");
        let clusters = found["ClusterComputeResource"];
        assert!((3..=6).contains(&(hosts / clusters)), "{hosts} hosts in {clusters} clusters");
        for item in 0..world.inventory.hosts.len() {
            let host = world.object(&world.inventory.hosts[item].me).unwrap();
            for vm in host.at("vm").unwrap().references() {
                let vm = world.object(vm).unwrap();
                assert_eq!(vm.at("runtime.host").unwrap().references(), [&host.reference]);
            }
        }
        assert_eq!(world.object(&Ref::new("VirtualMachine", "vm-1")), None);
        assert_eq!(world.object(&Ref::new("HostSystem", "vm-1001")), None);
    }
}

#[test]
fn properties_are_of_types_that_the_schema_has() {
    fn check(path: &str, value: &Value) {
        use crate::vim25::describe;
        match value {
            Value::Object(kind, members) => {
                assert!(describe::name(kind).is_some(), "{path}: no type {kind}");
                let declared = describe::members(kind, Shape::LATEST);
                let mut before = 0;
                for (name, value) in members {
                    let at = declared.iter().position(|m| m.name == *name);
                    let at = at.unwrap_or_else(|| panic!("{path}: {kind} has no {name}"));
                    assert!(at >= before, "{path}: {name} is out of order in {kind}");
                    before = at;
                    check(&format!("{path}.{name}"), value);
                }
                for member in declared.iter().filter(|member| !member.optional && !member.array) {
                    assert!(members.iter().any(|(n, _)| *n == member.name), "{path}: {kind} lacks {}", member.name);
                }
            }
            Value::Xml(..) => {}
            Value::Array(_, items) => items.iter().for_each(|item| check(path, item)),
            Value::Text(..) | Value::Ref(_) => {}
        }
    }
    let world = world(1, 40);
    let items =
        world.inventory.machines.iter().map(|m| m.me.clone()).chain(world.inventory.hosts.iter().map(|h| h.me.clone()));
    let clusters = world.inventory.clusters.iter().map(|c| c.me.clone());
    let stores = world.inventory.stores.iter().map(|c| c.me.clone());
    let networks = world.inventory.networks.iter().map(|c| c.me.clone());
    let switches = world.inventory.switches.iter().map(|c| c.1.clone());
    let alarms = world.inventory.alarms.iter().map(|c| c.1.clone());
    for object in
        items.chain(clusters).chain(stores).chain(networks).chain(switches).chain(alarms).chain([world.root()])
    {
        for (name, value) in world.object(&object).map(|object| object.properties).unwrap_or_default() {
            check(&format!("{}.{name}", object.value), &value);
        }
    }
}

#[test]
fn events_have_the_elements_of_their_class_and_no_others() {
    let mut world = world(3, 60);
    let mut seen = HashSet::new();
    for _ in 0..50_000 {
        let body = world.next().body;
        if !seen.insert((body.class.clone(), body.type_id.clone())) {
            continue;
        }
        let xml = format!("<Event xmlns:xsi=\"{}\">{}</Event>", crate::vim25::xml::XSI, body.xml);
        let mut reader = crate::vim25::xml::Reader::new(xml.as_bytes());
        reader.next().unwrap();
        while let Some(name) = reader.child().unwrap() {
            let declared = crate::vim25::describe::find_member(&body.class, name);
            assert!(declared.is_some(), "{}: {name}", body.class);
            reader.skip_element().unwrap();
        }
    }
    assert!(seen.len() > 50, "{}", seen.len());
}

#[test]
fn the_catalogue_has_every_class() {
    let Value::Array(_, details) = world(1, 1).catalogue() else { panic!("an array") };
    let text = |detail: &Value, name: &str| match detail.at(name) {
        Some(Value::Text(_, text)) => text.clone(),
        _ => panic!("{name}: {detail:?}"),
    };
    let keys: HashSet<_> = details.iter().map(|detail| text(detail, "key")).collect();
    assert_eq!(keys, crate::vim25::describe::events().map(str::to_owned).collect());
    for detail in &details {
        assert!(["info", "warning", "error", "user"].contains(&&*text(detail, "category")));
        for name in ["description", "fullFormat", "formatOnVm", "formatOnHost", "formatOnDatacenter"] {
            assert!(!text(detail, name).is_empty(), "{detail:?}");
        }
    }
    let ids: Vec<_> = details.iter().filter(|d| text(d, "key") == "EventEx").map(|d| text(d, "fullFormat")).collect();
    assert!(ids.iter().any(|f| f.starts_with("com.vmware.vc.HA.DasHostFailedEvent|vSphere HA detected")), "{ids:?}");
    let of = |key: &str| details.iter().find(|d| text(d, "key") == key).unwrap();
    assert_eq!(text(of("VmDasUpdateErrorEvent"), "category"), "error");
    assert_eq!(text(of("DvsPortBlockedEvent"), "description"), "Distributed switch port blocked");
    assert_eq!(
        text(of("VmFailedMigrateEvent"), "fullFormat"),
        "VM failed migrate for {vm.name} on {host.name} in {datacenter.name}: reason {reason.msg}"
    );
}
