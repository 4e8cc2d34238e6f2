//! The payload against judges other than the oracle: pyvmomi for the newest shape, and responses captured from servers.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use vmware_event_router::vim25::{Decoder, PageError, PageSummary, Shape};

/// Seeds; each gives two events of every class, and an argument of every type that pyvmomi knows.
const SEEDS: u32 = 3;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The script that asks pyvmomi, in the environment that `make peers` makes.
fn judge() -> Command {
    let python = root("target/peers/venv/bin/python");
    assert!(python.exists(), "{} is missing: run `make peers`", python.display());
    let mut command = Command::new(python);
    command.arg(root("tests/it/support/pyvmomi_judge.py"));
    command
}

fn run(command: &mut Command) {
    let output = command.output().expect("pyvmomi's judge starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The events of a page: class and data.
fn decode(shape: Shape, page: &[u8]) -> (Vec<(String, Value)>, Result<PageSummary, PageError>) {
    let mut events = Vec::new();
    let result = Decoder::new(shape).page(page, |event| {
        assert_eq!(event.error, None, "{}", String::from_utf8_lossy(event.raw));
        let data = serde_json::from_slice(event.data).expect("the payload is JSON");
        events.push((event.class.to_owned(), data));
    });
    (events, result)
}

/// Whether a value is what the payload has for an element that was not there. pyvmomi says None of all of them.
fn absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty() || s == "0001-01-01T00:00:00Z",
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(absent),
    }
}

/// Compares what we wrote with what pyvmomi read, and counts the values. The rules: None is anything absent (and an
/// empty list, which the payload has as null); a time is the same instant to the microsecond, which is all that Python
/// keeps; a number with a fraction is the same to a float's precision, since pyvmomi knows doubles only.
fn compare(path: &str, ours: &Value, theirs: &Value) -> usize {
    match (ours, theirs) {
        (_, Value::Null) => assert!(absent(ours), "{path}: {ours} but pyvmomi says None"),
        (Value::Null, Value::Array(items)) => assert!(items.is_empty(), "{path}: null, but pyvmomi has {theirs}"),
        (Value::String(time), Value::Object(of)) if of.contains_key("$time") => {
            let time: jiff::Timestamp = time.parse().unwrap_or_else(|e| panic!("{path}: {e}"));
            assert_eq!(Some(time.as_microsecond()), of["$time"].as_i64(), "{path}");
        }
        (Value::Number(number), Value::Object(of)) if of.contains_key("$float") => {
            let (ours, theirs) = (number.as_f64().expect("a number"), of["$float"].as_f64().expect("a number"));
            assert!((ours - theirs).abs() <= theirs.abs() * 1e-7, "{path}: {ours} but pyvmomi says {theirs}");
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{path}");
            return a.iter().zip(b).enumerate().map(|(i, (a, b))| compare(&format!("{path}[{i}]"), a, b)).sum();
        }
        (Value::Object(a), Value::Object(b)) => {
            let (ours, theirs): (Vec<_>, Vec<_>) = (a.keys().collect(), b.keys().collect());
            assert_eq!(ours, theirs, "{path}: other members");
            return a.iter().map(|(k, v)| compare(&format!("{path}.{k}"), v, &b[k])).sum();
        }
        _ => assert_eq!(ours, theirs, "{path}"),
    }
    1
}

/// Compares a page that was judged; returns how many events and values.
fn compare_page(path: &Path) -> (usize, usize) {
    let page = std::fs::read(path).expect("a page");
    let judged = PathBuf::from(format!("{}.judged", path.display()));
    let judged: Vec<Value> = serde_json::from_slice(&std::fs::read(judged).expect("a judgement")).expect("JSON");
    let (events, result) = decode(Shape::LATEST, &page);
    result.expect("the page is well-formed");
    assert_eq!(events.len(), judged.len(), "{}", path.display());
    let mut values = 0;
    for (i, ((class, data), theirs)) in events.iter().zip(&judged).enumerate() {
        let class = if class.is_empty() { "Event" } else { class };
        assert_eq!(Some(class), theirs["class"].as_str());
        values += compare(&format!("{} event {i} {class}", path.display()), data, &theirs["data"]);
    }
    (events.len(), values)
}

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
