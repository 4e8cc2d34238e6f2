//! pyvmomi as a judge of the payload in the newest shape.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use vmware_event_router::vim25::{Decoder, PageError, PageSummary, Shape};

/// What lies at a path from the project's root.
pub(crate) fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The script that asks pyvmomi, in the environment that `make peers` makes.
pub(crate) fn judge() -> Command {
    let python = root("target/peers/venv/bin/python");
    assert!(python.exists(), "{} is missing: run `make peers`", python.display());
    let mut command = Command::new(python);
    command.arg(root("tests/it/support/pyvmomi_judge.py"));
    command
}

pub(crate) fn run(command: &mut Command) {
    let output = command.output().expect("pyvmomi's judge starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The events of a page: class and data.
pub(crate) fn decode(shape: Shape, page: &[u8]) -> (Vec<(String, Value)>, Result<PageSummary, PageError>) {
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
pub(crate) fn compare_page(path: &Path) -> (usize, usize) {
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

/// What pyvmomi reads from these pages is what we do. How many events and values that were.
pub(crate) fn compare_pages(pages: &[String]) -> (usize, usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let paths: Vec<_> = pages
        .iter()
        .enumerate()
        .map(|(at, page)| {
            let path = folder.path().join(format!("page-{at:04}.xml"));
            std::fs::write(&path, page).expect("a page");
            path
        })
        .collect();
    run(judge().arg("read").args(&paths));
    let all = paths.iter().map(|path| compare_page(path));
    all.fold((0, 0), |(events, values), (e, v)| (events + e, values + v))
}
