//! `decode`: captured responses in, what functions get out.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn decode(args: &[&str], files: &[PathBuf]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmware-event-router"));
    command.arg("decode").args(args).args(files).stdin(Stdio::null()).output().unwrap()
}

/// The same with this on standard input.
fn decode_input(args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmware-event-router"));
    let command = command.arg("decode").args(args).arg("-");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Lines of payloads as the list that the samples hold.
fn as_list(payloads: &[u8]) -> String {
    format!("[{}]\n", text(payloads).lines().collect::<Vec<_>>().join(","))
}

#[test]
fn payloads_of_all_samples_are_exact_to_the_byte() {
    let entries = std::fs::read_dir(fixture("vcsim")).unwrap().map(|entry| entry.unwrap().path());
    let (mut samples, mut expected) = (Vec::new(), Vec::new());
    for path in entries.filter(|path| path.extension().is_some_and(|extension| extension == "xml")) {
        let wanted = std::fs::read_to_string(path.with_extension("json")).unwrap();
        let output = decode_input(&["--payload"], &std::fs::read(&path).unwrap());
        assert_eq!(output.status.code(), Some(0), "{}: {}", path.display(), text(&output.stderr));
        assert_eq!(as_list(&output.stdout), wanted, "{}", path.display());
        samples.push(path);
        expected.push(wanted.trim_end().trim_start_matches('[').trim_end_matches(']').to_owned());
    }
    assert!(samples.len() >= 40, "{} samples", samples.len());
    let output = decode(&["-payload"], &samples);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(as_list(&output.stdout), format!("[{}]\n", expected.join(",")), "all files at once, in their order");
    assert!(output.stderr.is_empty());
}

#[test]
fn an_event_gets_the_source_and_instance_that_a_capture_lacks() {
    let sample = [fixture("vcsim/VmPoweredOnEvent.xml")];
    let uuid = "dbed6e0c-bd88-4ef6-b594-21283e1c677f";
    let output = decode(&["--source", "https://vc.example.com/sdk", "--instance-uuid", uuid], &sample);
    assert_eq!(output.status.code(), Some(0));
    let events = lines(&output);
    let keys: Vec<_> =
        text(&output.stdout).lines().next().unwrap().split("\"data\"").next().unwrap().split('"').collect();
    let keys: Vec<_> = keys.iter().skip(1).step_by(4).copied().collect();
    assert_eq!(keys, ["id", "source", "specversion", "type", "subject", "time"], "and then data");
    let payloads: Vec<Value> =
        serde_json::from_slice(&std::fs::read(sample[0].with_extension("json")).unwrap()).unwrap();
    assert_eq!(events.len(), payloads.len());
    for (event, payload) in events.iter().zip(&payloads) {
        assert_eq!(event["source"], "https://vc.example.com/sdk");
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["type"], "com.vmware.event.router/event");
        assert_eq!(event["subject"], "VmPoweredOnEvent");
        assert_eq!(event["time"], payload["CreatedTime"]);
        assert_eq!(&event["data"], payload);
        assert_eq!(event["datacontenttype"], "application/json");
        assert_eq!(event.get("vsphereapiversion"), None);
        // KEY/MILLIS, in the instance's namespace.
        let created: jiff::Timestamp = payload["CreatedTime"].as_str().unwrap().parse().unwrap();
        let name = format!("{}/{}", payload["Key"], created.as_millisecond());
        let id = uuid::Uuid::new_v5(&uuid::Uuid::parse_str(uuid).unwrap(), name.as_bytes());
        assert_eq!(event["id"], id.to_string());
    }
    let without = lines(&decode(&[], &sample));
    assert_eq!(without[0]["data"], events[0]["data"]);
    assert_ne!(without[0]["id"], events[0]["id"], "another vCenter, another event");
}

#[test]
fn newer_shapes_are_asked_for_by_version() {
    let sample = [fixture("vcsim/VmPoweredOnEvent.xml")];
    for (asked, extension) in [("7.0", "7.0"), ("latest", "9.1")] {
        let output = decode(&["--api-version", asked], &sample);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(lines(&output)[0]["vsphereapiversion"].as_str().unwrap().starts_with(extension), "{asked}");
    }
    let output = decode(&["--api-version", "5.5"], &sample);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let error = text(&output.stderr);
    assert!(error.starts_with("--api-version: ") && error.contains("5.5") && error.contains("6.7"), "{error}");
}

#[test]
fn all_responses_that_carry_events_are_read() {
    for prefix in ["", "wire-"] {
        let wire = |name: &str| fixture("wire").join(format!("{prefix}{name}-res.xml"));
        for name in
            ["11-ReadNextEvents-typefiltered", "15-ReadNextEvents", "23-QueryEvents", "21-WaitForUpdatesEx-modify"]
        {
            let output = decode(&[], &[wire(name)]);
            assert_eq!(output.status.code(), Some(0), "{name}: {}", text(&output.stderr));
            let capture = std::fs::read_to_string(wire(name)).unwrap();
            // Each event has one chain, and nothing else has.
            assert_eq!(lines(&output).len(), capture.matches("<chainId>").count(), "{name}");
            assert!(!lines(&output).is_empty(), "{name}");
        }
        for name in ["16-ReadNextEvents-empty", "20-WaitForUpdatesEx-timeout-empty", "24-QueryEvents-empty"] {
            let output = decode(&[], &[wire(name)]);
            assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0), "{name}: {}", text(&output.stderr));
        }
        let output = decode(&[], &[wire("28-NotAuthenticated-after-logout-fault")]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("NotAuthenticated"), "{}", text(&output.stderr));
    }
}

fn page(events: &str) -> Vec<u8> {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body><ReadNextEventsResponse xmlns="urn:vim25">{events}</ReadNextEventsResponse></soapenv:Body></soapenv:Envelope>"#
    )
    .into_bytes()
}

fn event(key: &str) -> String {
    format!(
        r#"<returnval xsi:type="UserLogoutSessionEvent"><key>{key}</key><chainId>1</chainId><createdTime>2024-05-06T07:08:09Z</createdTime><userName>u</userName></returnval>"#
    )
}

#[test]
fn xml_that_is_not_well_formed_is_told_with_its_offset() {
    let good = event("1");
    let mut broken = page(&format!("{good}{}", event("2")));
    let at = text(&broken).rfind("<userName>").unwrap();
    broken[at + 1] = b'<';
    let output = decode_input(&["--payload"], &broken);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    let told: Vec<usize> =
        error.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
    assert!(told.iter().any(|offset| (at..=at + 2).contains(offset)), "{at} in {error}");
    assert!(error.starts_with("-: "), "{error}");
    assert_eq!(lines(&output)[0]["Key"], 1, "what came before is printed");

    let whole = page(&good);
    let cut = &whole[..text(&whole).find("</soapenv:Body>").unwrap()];
    let output = decode_input(&["--payload"], cut);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&format!("at byte {}", cut.len())), "{}", text(&output.stderr));
    assert_eq!(lines(&output)[0]["Key"], 1);
    for nonsense in [&b""[..], b"no XML at all", b"\xff\xfe<"] {
        let output = decode_input(&[], nonsense);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{nonsense:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn an_event_that_cannot_be_decoded_fails_beside_others_that_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one.xml"), folder.path().join("other.xml"));
    std::fs::write(&one, page(&[event("1"), event("many"), event("3")].concat())).unwrap();
    std::fs::write(&other, page(&event("4"))).unwrap();
    let output = decode(&["--payload"], &[one, folder.path().join("missing.xml"), other]);
    assert_eq!(output.status.code(), Some(1));
    let payloads = lines(&output);
    let keys: Vec<_> = payloads.iter().filter_map(|payload| payload["Key"].as_i64()).filter(|key| *key != 0).collect();
    assert_eq!((payloads.len(), keys), (4, vec![1, 3, 4]));
    let bad = &payloads[1];
    assert!(bad["DecodeError"].as_str().unwrap().contains("many"), "{bad}");
    assert!(bad["RawXml"].as_str().unwrap().contains("<key>many</key>"), "{bad}");
    assert_eq!(bad["UserName"], "u", "what could be read is there");
    let error = text(&output.stderr);
    let told: Vec<_> = error.lines().collect();
    assert_eq!(told.len(), 2, "{error}");
    assert!(told[0].contains("one.xml") && told[0].contains("UserLogoutSessionEvent"), "{error}");
    assert!(told[1].contains("missing.xml"), "{error}");
}

#[test]
fn nobody_reading_is_no_panic() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let bad = [fixture("wire/28-NotAuthenticated-after-logout-fault-res.xml"), fixture("vcsim/VmPoweredOnEvent.xml")];
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmware-event-router"));
    let status = command.arg("decode").args(bad).stdin(Stdio::null()).stdout(full()).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}
