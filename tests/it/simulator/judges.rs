//! govc and pyvmomi, which know real vCenters, as the judges of the simulator.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::govc::{command, govc, govc_json};
use crate::support::simulator::Simulator;
use crate::support::vcsim::{PASSWORD, USER};

/// A data centre that only does what the test makes it do, after a past of some hours.
const QUIET: &[&str] = &["--rate", "0", "--history", "300", "--machines", "40", "--seed", "7"];

/// There are so many machines then: one was cloned.
const MACHINES: usize = 41;

/// The first machine in this power state, by its path.
fn machine(simulator: &Simulator, state: &str) -> String {
    let found = govc(&simulator.url, &["find", "/", "-type", "m", "-runtime.powerState", state]);
    found.lines().next().unwrap_or_else(|| panic!("a machine that is {state}")).to_owned()
}

#[tokio::test]
async fn govc_finds_its_way_about_the_data_centre() {
    let simulator = Simulator::start(QUIET);
    let url = &simulator.url;
    let about = govc_json(url, &["about", "-json"]).await;
    assert_eq!(about["about"]["apiType"], "VirtualCenter");
    assert!(govc(url, &["about"]).contains("vCenter Server"));
    let centres = govc(url, &["ls", "/"]);
    let centre = centres.lines().next().expect("a datacenter");
    let folders: HashSet<String> = govc(url, &["ls", centre]).lines().map(str::to_owned).collect();
    for folder in ["vm", "host", "datastore", "network"] {
        assert!(folders.contains(&format!("{centre}/{folder}")), "{folders:?}");
    }
    let long = govc(url, &["ls", "-l", &format!("{centre}/host")]);
    assert!(long.contains("(ClusterComputeResource)"), "{long}");
    let found = govc(url, &["find", "/", "-type", "m"]);
    assert_eq!(found.lines().count(), MACHINES);
    let path = machine(&simulator, "poweredOn");
    let name = path.rsplit('/').next().unwrap();
    let info = govc(url, &["vm.info", &path]);
    for part in [name, "poweredOn", "UUID", "Host:"] {
        assert!(info.contains(part), "{part}: {info}");
    }
    let info = govc_json(url, &["vm.info", "-json", &path]).await;
    assert_eq!(info["virtualMachines"][0]["name"], name, "{info:#}");
    assert!(!govc(url, &["object.collect", "-s", &path, "runtime.host"]).trim().is_empty());
}

#[tokio::test]
async fn govc_sees_events_as_they_happen() {
    let simulator = Simulator::start(QUIET);
    let url = &simulator.url;
    let all = govc_json(url, &["events", "-json", "-l", "-n", "1000"]).await;
    let all = all.as_array().unwrap();
    let keys: Vec<i64> = all.iter().map(|event| event["key"].as_i64().unwrap()).collect();
    assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "oldest first: {keys:?}");
    assert!(all.iter().all(|event| !event["message"].as_str().unwrap().is_empty()));
    // It asks for what is below the root folder: of whatever concerns no entity, such as logins, it is told nothing.
    let found: HashSet<i64> = keys.into_iter().collect();
    let logins = ["UserLoginSessionEvent", "UserLogoutSessionEvent", "BadUsernameSessionEvent"];
    let missing = (1..=300).filter(|key| !found.contains(key)).count();
    assert!(missing > 0 && missing < 30, "{missing}");
    assert!(all.iter().all(|event| !logins.contains(&event["type"].as_str().unwrap())));
    let text = govc(url, &["events", "-n", "5"]);
    assert_eq!(text.lines().count(), 5, "{text}");

    // What is followed comes while it happens.
    let mut follow = command(url, &["events", "-f", "-n", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    lines.next().expect("the newest event there is");
    let path = machine(&simulator, "poweredOn");
    let name = path.rsplit('/').next().unwrap().to_owned();
    govc(url, &["vm.power", "-off", &path]);
    assert!(lines.any(|line| line.contains(&name) && line.contains("off")), "the machine goes off");
    follow.kill().unwrap();
    follow.wait().unwrap();
    // It is off, for everybody.
    let info = govc_json(url, &["vm.info", "-json", &path]).await;
    assert_eq!(info["virtualMachines"][0]["runtime"]["powerState"], "poweredOff");
    govc(url, &["vm.power", "-on", &path]);
    let events = govc_json(url, &["events", "-json", "-l", "-n", "100", &path]).await;
    let of: Vec<&str> = events.as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    for kind in ["VmStoppingEvent", "VmPoweredOffEvent", "VmStartingEvent", "VmPoweredOnEvent"] {
        assert!(of.contains(&kind), "{kind}: {of:?}");
    }
    // Some call it by its name, others by its reference.
    let me = info["virtualMachines"][0]["self"]["value"].as_str().unwrap();
    let messages = events.as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap());
    let others: Vec<&str> = messages.filter(|message| !message.contains(&name) && !message.contains(me)).collect();
    assert!(others.is_empty(), "of that machine alone: {others:?}");
    let typed = govc_json(url, &["events", "-json", "-l", "-type", "VmPoweredOffEvent", "-n", "100"]).await;
    let typed = if typed.is_array() { typed } else { Value::Array(vec![typed]) };
    let newest = typed.as_array().unwrap().last().unwrap();
    assert!(newest["message"].as_str().unwrap().contains(&name), "{newest}");
    assert!(typed.as_array().unwrap().iter().all(|event| event["type"] == "VmPoweredOffEvent"));
}

#[tokio::test]
async fn govc_lists_sessions_and_ends_them() {
    let simulator = Simulator::start(QUIET);
    let url = &simulator.url;
    let mut follow = command(url, &["events", "-f", "-n", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    lines.next().expect("the newest event there is").unwrap();
    let sessions = govc_json(url, &["session.ls", "-json"]).await;
    let own = sessions["currentSession"]["key"].as_str().unwrap_or_default();
    let others = sessions["sessionList"].as_array().unwrap().iter().map(|session| session["key"].as_str().unwrap());
    let others: Vec<&str> = others.filter(|key| *key != own).collect();
    assert_eq!(others.len(), 1, "{sessions:#}");
    govc(url, &["session.rm", others[0]]);
    // Its owner is told, and gives up.
    let url = url.clone();
    let status = tokio::task::spawn_blocking(move || {
        // What happens wakes it, should it only be waiting.
        govc(&url, &["session.ls"]);
        follow.wait().unwrap()
    });
    assert!(!status.await.unwrap().success());
    let figures = simulator.figures().await;
    assert_eq!((figures["sessions"].as_u64(), figures["collectors"].as_u64()), (Some(0), Some(0)), "{figures:#}");
}

#[tokio::test]
async fn pyvmomi_is_at_home() {
    let simulator = Simulator::start(QUIET);
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/venv/bin/python");
    assert!(python.exists(), "{} is missing: run `make peers`", python.display());
    let classes = ["GeneralUserEvent", "VmRenamedEvent", "VmPoweredOnEvent", "AlarmStatusChangedEvent"];
    let mut command = Command::new(python);
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/pyvmomi_client.py"))
        .args(["127.0.0.1", &simulator.url.port().unwrap().to_string(), USER, PASSWORD])
        .args(classes);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let saw: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(saw["api"], "VirtualCenter");
    assert_eq!(saw["machines"], MACHINES);
    assert!(!saw["datacenters"].as_array().unwrap().is_empty());
    assert_eq!(saw["max_collector"], 32);

    // The catalogue lists every class, with what it is and how it reads.
    let catalogue = saw["catalogue"].as_object().unwrap();
    assert!(catalogue.len() >= 443, "{}", catalogue.len());
    assert!(catalogue.values().all(|kind| ["info", "warning", "error", "user"].contains(&kind.as_str().unwrap())));
    assert!(saw["formats"].as_u64().unwrap() >= 443);

    // Collectors: everything from the oldest on, page by page, and back again.
    let keys: Vec<i64> = saw["keys"].as_array().unwrap().iter().map(|key| key.as_i64().unwrap()).collect();
    assert!(keys.len() >= 300 && keys.windows(2).all(|pair| pair[1] == pair[0] + 1), "{keys:?}");
    assert_eq!(saw["latest_page"], 10);
    assert_eq!(saw["latest"].as_i64(), keys.last().copied());
    let rewound: Vec<i64> = saw["rewound"].as_array().unwrap().iter().map(|key| key.as_i64().unwrap()).collect();
    assert_eq!(rewound, keys[..3], "the oldest is not skipped");
    let previous: Vec<i64> = saw["previous"].as_array().unwrap().iter().map(|key| key.as_i64().unwrap()).collect();
    assert_eq!(previous.len(), 5);
    assert!(previous.iter().all(|key| *key <= keys[keys.len() - 11]), "older than the latest page: {previous:?}");
    assert_eq!((&saw["page_size"], &saw["destroyed"]), (&"maxCount".into(), &"ManagedObjectNotFound".into()));

    // What is posted is seen at once, and read with what its poster said, under the poster's name.
    for posted in saw["posted"].as_array().unwrap() {
        assert_eq!(posted["seen"], true, "{posted}");
    }
    let names = |name: &str| -> Vec<&str> { saw[name].as_array().unwrap().iter().filter_map(Value::as_str).collect() };
    assert_eq!(names("read"), classes);
    assert!(names("messages").contains(&"posted <&> by pyvmomi"), "{}", saw["messages"]);
    assert_eq!(names("users"), [USER]);
    // The vCenter writes the message of an event that has none.
    let machine = saw["machine"]["name"].as_str().unwrap();
    let full = names("full");
    assert_eq!(full.len(), classes.len(), "{full:?}");
    assert_eq!(full[0], "User logged event: posted <&> by pyvmomi");
    assert!(full[2].starts_with(&format!("{machine} on ")) && full[2].ends_with("is powered on"), "{full:?}");
    assert_eq!(full[3], format!("Alarm 'Posted' on {machine} changed from green to red"));
    let (queried, classes): (HashSet<&str>, HashSet<&str>) = (names("queried").into_iter().collect(), classes.into());
    assert_eq!(queried, classes);
    assert!(saw["about"].as_u64().unwrap() >= 10, "{}", saw["about"]);
    assert!(names("strangers").is_empty(), "of that machine alone: {}", saw["strangers"]);

    assert_eq!((&saw["power"], &saw["twice"]), (&"poweredOff".into(), &"poweredOff".into()));
    assert_eq!(saw["sessions"], 2);
    assert_eq!((&saw["terminated"], &saw["wrong_password"]), (&"NotAuthenticated".into(), &"InvalidLogin".into()));
    let figures = simulator.figures().await;
    assert_eq!((figures["sessions"].as_u64(), figures["collectors"].as_u64()), (Some(0), Some(0)), "{figures:#}");
}
