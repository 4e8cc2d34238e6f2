//! The payload against judges other than the oracle: pyvmomi for the newest shape, and responses captured from servers.

use std::path::{Path, PathBuf};

use serde_json::Value;
use vmware_event_router::vim25::{PageError, PageSummary, Shape};

use crate::support::pyvmomi::{compare_page, decode, judge, root, run};

/// Seeds; each gives two events of every class, and an argument of every type that pyvmomi knows.
const SEEDS: u32 = 3;

fn pages(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut all: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "xml")).collect();
    all.sort();
    all
}

#[test]
fn the_newest_shape_is_what_pyvmomi_reads() {
    let (mut events, mut values) = (0, 0);
    for seed in 1..=SEEDS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        run(judge().args(["make", &seed.to_string(), "2"]).arg(folder.path()));
        for path in pages(folder.path()) {
            let (e, v) = compare_page(&path);
            (events, values) = (events + e, values + v);
        }
    }
    println!("newest shape: {events} events, {values} values as pyvmomi has them");
    assert!(events >= 2 * 443 * SEEDS as usize && values > 100_000);
}

#[test]
fn captured_events_are_what_pyvmomi_reads() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut copies = Vec::new();
    for path in pages(&root("tests/fixtures/vcsim")) {
        let copy = folder.path().join(path.file_name().expect("a name"));
        std::fs::copy(&path, &copy).expect("a copy");
        copies.push(copy);
    }
    run(judge().arg("read").args(&copies));
    let events: usize = copies.iter().map(|path| compare_page(path).0).sum();
    assert_eq!(events, 45);
}

fn wire(name: &str) -> (Vec<(String, Value)>, Result<PageSummary, PageError>) {
    let path = root("tests/fixtures/wire").join(format!("{name}-res.xml"));
    decode(Shape::V6_7, &std::fs::read(path).expect("a captured response"))
}

#[test]
fn captured_responses_give_their_events() {
    let classes = |name| wire(name).0.into_iter().map(|(class, _)| class).collect::<Vec<_>>();
    assert_eq!(classes("15-ReadNextEvents").len(), 5);
    assert_eq!(classes("16-ReadNextEvents-empty"), Vec::<String>::new());
    assert_eq!(classes("23-QueryEvents").len(), 2);
    assert_eq!(classes("24-QueryEvents-empty"), Vec::<String>::new());
    assert_eq!(classes("19-WaitForUpdatesEx-initial"), ["UserLoginSessionEvent", "VmPoweredOnEvent"]);
    assert_eq!(wire("19-WaitForUpdatesEx-initial").1.expect("a page").version.as_deref(), Some("-"));
    let idle = wire("20-WaitForUpdatesEx-timeout-empty");
    assert_eq!((idle.0.len(), idle.1.expect("a page")), (0, PageSummary::default()));
    assert!(classes("21-WaitForUpdatesEx-modify").len() > 1);
    // Responses without any events are pages without any.
    assert_eq!(classes("01-RetrieveServiceContent"), Vec::<String>::new());
    assert_eq!(classes("07-RetrievePropertiesEx-eventInfo-maxCollector"), Vec::<String>::new());
}

#[test]
fn captured_faults_are_named() {
    for (name, expected) in [
        ("02-NotAuthenticated-fault", "NotAuthenticated"),
        ("03-Login-InvalidLogin-fault", "InvalidLogin"),
        ("13-SetCollectorPageSize-InvalidArgument-fault", "InvalidArgument"),
        ("26-ManagedObjectNotFound-fault", "ManagedObjectNotFound"),
        ("28-NotAuthenticated-after-logout-fault", "NotAuthenticated"),
    ] {
        match wire(name).1 {
            Err(PageError::Fault { fault, .. }) => assert_eq!(fault, expected),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_latest_page_may_come_whole_or_by_key_or_as_the_latest_event() {
    let change = |name: &str, val: &str| format!("<changeSet><name>{name}</name><op>add</op>{val}</changeSet>");
    let event = |name: &str, key: u32| format!("<{name} xsi:type=\"VmPoweredOnEvent\"><key>{key}</key></{name}>");
    let changes = [
        change(
            "latestPage",
            &format!("<val xsi:type=\"ArrayOfEvent\">{}{}</val>", event("Event", 1), event("Event", 2)),
        ),
        change("latestPage[\"3\"]", &event("val", 3)),
        change("latestPage[\"4\"]", "<val><key>4</key></val>"),
        change("other", "<val xsi:type=\"xsd:string\">x</val>"),
    ];
    let envelope = |body: &str| {
        format!(
            "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><e:Body>{body}</e:Body></e:Envelope>"
        )
    };
    let wait = envelope(&format!(
        "<WaitForUpdatesExResponse xmlns=\"urn:vim25\"><returnval><version>7</version><filterSet><filter type=\"PropertyFilter\">f</filter>\
         <objectSet><kind>modify</kind><obj type=\"EventHistoryCollector\">c</obj>{}</objectSet></filterSet><truncated>true</truncated>\
         </returnval></WaitForUpdatesExResponse>",
        changes.concat()
    ));
    let keys = |page: &str| {
        let (events, result) = decode(Shape::V6_7, page.as_bytes());
        (
            events.iter().map(|(_, data)| data["Key"].as_i64().expect("a key")).collect::<Vec<_>>(),
            result.expect("a page"),
        )
    };
    let (found, summary) = keys(&wait);
    assert_eq!(found, [1, 2, 3, 4]);
    assert_eq!((summary.events, summary.version.as_deref(), summary.truncated), (4, Some("7"), true));
    let latest = envelope(&format!(
        "<RetrievePropertiesExResponse><returnval><objects><obj type=\"EventManager\">EventManager</obj>\
         <propSet><name>latestEvent</name>{}</propSet></objects></returnval></RetrievePropertiesExResponse>",
        event("val", 9)
    ));
    assert_eq!(keys(&latest).0, [9]);
}
