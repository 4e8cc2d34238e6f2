//! `match`: what it prints for events of a file and of the journal, and what it says of one event.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::gateway::{Function, Gateway};
use crate::support::router::{Router, ask, metrics, processor, stream};
use crate::support::simulator::{Simulated, quiet};

const EVENTS: &str = r#"{"id":"a","subject":"VmPoweredOnEvent","data":{"Key":1,"Vm":{"Name":"web-1"}}}
[{"id":"b","subject":"VmPoweredOffEvent","data":{"Key":2}},
 {
  "id":"c","subject":"VmPoweredOnEvent",
  "data":{"Key":3,"Vm":{"Name":"db-1"}}
 }]"#;

/// Exit code, standard output and standard error.
fn match_events(events: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vmware-event-router"))
        .arg("match")
        .args(args)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have seen enough before all is written.
    drop(child.stdin.take().unwrap().write_all(events.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn events_of_a_file_are_printed_that_match() {
    let (code, out, err) = match_events(EVENTS, &["-pattern", r#"{"subject":["VmPoweredOnEvent"]}"#]);
    let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<_> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!((code, ids, &*err), (Some(0), vec!["a", "c"], "2 of 3 events match\n"), "{out}");
    let (code, out, err) = match_events(EVENTS, &["-pattern", r#"{"data":{"Key":[{"numeric":[">",3]}]}}"#]);
    assert_eq!((code, &*out, &*err), (Some(1), "", "0 of 3 events match\n"));
}

#[test]
fn of_one_event_it_is_said_which_part_fails() {
    let pattern =
        r#"{"subject":["VmPoweredOnEvent"],"data":{"Vm":{"Name":[{"prefix":"web-"}]},"Key":[{"exists":true}]}}"#;
    let (code, out, _) = match_events(EVENTS, &["-event", "c", "-pattern", pattern]);
    let wanted = "it does not match:\n  holds  data.Key is 3, wanted [{\"exists\":true}]\n  \
                  FAILS  data.Vm.Name is \"db-1\", wanted [{\"prefix\":\"web-\"}]\n  \
                  holds  subject is \"VmPoweredOnEvent\", wanted [\"VmPoweredOnEvent\"]\n";
    assert_eq!((code, &*out), (Some(1), wanted));
    let (code, out, _) = match_events(EVENTS, &["-event", "a", "-pattern", pattern]);
    assert!(code == Some(0) && out.starts_with("it matches:\n") && !out.contains("FAILS"), "{out}");
    let (code, _, err) = match_events(EVENTS, &["-event", "d", "-pattern", pattern]);
    assert_eq!((code, &*err), (Some(1), "there is no event d\n"));
    // A file with one event needs no id.
    let (code, out, err) = match_events(r#"{"subject":"x"}"#, &["-pattern", r#"{"data":{"Key":[1]},"subject":["x"]}"#]);
    assert_eq!((code, &*out, &*err), (Some(1), "", "it does not match: data.Key is not there, wanted [1]\n"));
    let either = r#"{"$or":[{"subject":["y"]},{"id":["z"]}]}"#;
    let (_, _, err) = match_events(r#"{"subject":"x"}"#, &["-pattern", either]);
    assert_eq!(err, "it does not match: subject is \"x\", wanted [\"y\"]\nor id is not there, wanted [\"z\"]\n");
    let boxes = r#"{"list":[{"a":1,"b":2},{"a":2,"b":1}]}"#;
    let (_, _, err) = match_events(boxes, &["-pattern", r#"{"list":{"a":[1],"b":[1]}}"#]);
    assert_eq!(err, "it does not match: each part holds, but not all within the same object of a list\n");
}

#[test]
fn a_rule_sees_the_envelope() {
    let event = r#"{"id":"a","source":"https://vc/sdk","specversion":"1.0","type":"com.vmware.event.router/event","subject":"VmPoweredOnEvent","time":"2026-11-22T10:00:00.5Z","data":{"Key":7,"Vm":{"Name":"web-1","Vm":{"Type":"VirtualMachine","Value":"vm-56"}}}}"#;
    let rule = r#"{"detail-type":["VmPoweredOnEvent"],"time":["2026-11-22T10:00:00Z"],"id":["known later"],"resources":["vm-56"],"account":[{"prefix":"1"}],"detail":{"data":{"Key":[7]}}}"#;
    let (code, out, err) = match_events(event, &["-rule", "-pattern", rule]);
    assert_eq!((code, &*out, &*err), (Some(0), &*format!("{event}\n"), "1 of 1 events match\n"));
    let (code, _, err) = match_events(event, &["-rule", "-pattern", r#"{"subject":["VmPoweredOnEvent"]}"#]);
    assert_eq!((code, &*err), (Some(1), "it does not match: subject is not there, wanted [\"VmPoweredOnEvent\"]\n"));
}

#[test]
fn what_is_wrong_is_said() {
    for (events, args, code, part) in [
        ("{", ["-pattern", r#"{"a":[1]}"#], 1, "-: this is no JSON: "),
        ("{} 7", ["-pattern", r#"{"a":[1]}"#], 1, "after 1 events comes what is no JSON object"),
        ("{}", ["-pattern", r#"{"a":1}"#], 2, "\"a\" must have a list"),
        (
            "{}",
            ["-pattern", r#"{"a":[{"cidr":"10.0.0.0/40"}]}"#],
            2,
            "\"a\": \"cidr\": the number of bits must be from 0 to 31",
        ),
        ("{}", ["-pattern", "{"], 2, "it is no JSON"),
        ("{}", ["-pattern", r#"{"$or":[{"a":[1]}]}"#], 2, "at least two"),
    ] {
        let (found, _, err) = match_events(events, &args);
        assert!(found == Some(code) && err.contains(part), "{args:?}: {found:?} {err}");
    }
}

#[tokio::test]
async fn the_journal_is_looked_through_whether_the_router_runs_or_not() {
    let simulated = Simulated::start(quiet()).await;
    let gateway = Gateway::start([Function::subscribed("well", "VmPoweredOnEvent")]).await;
    let config = [stream(&simulated.url), processor(&gateway, &json!({})), metrics()];
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let router = Router::start_in(&folder, &config, &[], &[]).await;
    router.ready().await;
    for subject in ["VmPoweredOnEvent", "VmPoweredOffEvent", "VmPoweredOnEvent"] {
        simulated.handle.make(subject, 1).unwrap();
    }
    gateway.wait_for_calls("well", 2).await;
    let id = gateway.read(|state| state.calls_of("well")[1].event_id());
    let look = async || {
        let pattern = r#"{"subject":[{"prefix":"VmPoweredOn"}]}"#;
        let (well, out) = ask(&folder, &config, &["match", "-pattern", pattern]).await;
        let (events, told) = out.rsplit_once('\n').map_or(("", ""), |(events, _)| events.rsplit_once('\n').unwrap());
        assert!(well && events.lines().count() == 2 && told.starts_with("2 of "), "{out}");
        let off = r#"{"subject":["VmPoweredOffEvent"]}"#;
        let (well, out) = ask(&folder, &config, &["match", "-pattern", off, "-event", &id, "-from", "1"]).await;
        assert!(!well && out.contains("FAILS  subject is \"VmPoweredOnEvent\", wanted"), "{out}");
    };
    look().await;
    router.stop().await;
    look().await;
    simulated.stop().await;
}

#[test]
fn the_patterns_of_the_documentation_are_patterns() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/patterns.md")).unwrap();
    let mut count = 0;
    for block in page.split("```json\n").skip(1) {
        let pattern = block.split("```").next().unwrap();
        let found = vmware_event_router::pattern::Pattern::parse(pattern);
        assert!(found.is_ok(), "{pattern}: {found:?}");
        count += 1;
    }
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let condition = row.trim_start_matches("| `").split("` |").next().unwrap().replace('`', "");
        let pattern = format!(r#"{{"field":[{condition}]}}"#);
        let found = vmware_event_router::pattern::Pattern::parse(&pattern);
        assert!(found.is_ok(), "{pattern}: {found:?}");
        count += 1;
    }
    assert!(count >= 20, "{count}");
}
