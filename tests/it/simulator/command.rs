//! `simulate` as its users run it, and what `docs/simulator.md` says of it.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use bytes::Bytes;
use http::Request;
use url::Url;
use vmware_event_router::cli::args::{Args, Command as Said};
use vmware_event_router::http::inspect_tls;
use vmware_event_router::simulator::vcenter::Options;
use vmware_event_router::simulator::vcenter::fault::{FORMS, Planned, WHENS};

use crate::support::raw;
use crate::support::simulator::{Simulated, quiet};
use crate::support::soap::SoapClient;
use crate::support::vcsim::{PASSWORD, USER};

fn simulate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmware-event-router"));
    command.args(["simulate", "--listen", "127.0.0.1:0"]).stdin(Stdio::null());
    command
}

/// A running simulator; killed when dropped.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut child = simulate().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// The rest of the next line, which begins so.
    fn line(&mut self, begins: &str) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.strip_prefix(begins).unwrap_or_else(|| panic!("{line:?} begins with {begins:?}")).trim_end().to_owned()
    }

    /// Ends it by this signal: its exit code and its log.
    fn end(mut self, signal: &str) -> (Option<i32>, String) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn it_says_where_it_is_and_ends_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let faults = folder.path().join("faults");
    std::fs::write(&faults, "# some\nequal-times=7\nhang@100000 # never\n").unwrap();
    let faults = faults.to_str().unwrap();
    let args = ["--username", USER, "--password", PASSWORD, "-rate", "0", "--control", "127.0.0.1:0"];
    let mut running = Running::start(&[&args[..], &["--faults", faults, "-fault", "unknown-type=3"]].concat());
    let url: Url = running.line("listening on ").parse().unwrap();
    assert_eq!((url.scheme(), url.path()), ("https", "/sdk"));
    let thumbprint = running.line("certificate SHA-256 ");
    assert_eq!(inspect_tls(&url).await.unwrap().thumbprint, thumbprint);
    let control: Url = running.line("control on ").parse().unwrap();
    let stream: serde_json::Value = serde_json::from_str(&running.line("stream ")).unwrap();
    assert_eq!((&stream["address"], &stream["options"]["thumbprint"]), (&url.as_str().into(), &thumbprint.into()));
    assert_eq!(stream["auth"]["secret"]["password"], "REPLACE_ME", "a password that was given is not printed");
    SoapClient::login(&url).await.unwrap();
    let to = SocketAddr::from(([127, 0, 0, 1], control.port().unwrap()));
    let answer = raw::send(to, Request::get("/").body(Bytes::new()).unwrap()).await.unwrap();
    let figures: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(figures["faults"], serde_json::json!({"equal-times": 1, "unknown-type": 1}));
    assert_eq!(figures["events"], 11, "and one of the login");
    let (code, log) = running.end("-TERM");
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(log.lines().filter(|line| line.contains("goes wrong")).count(), 2, "{log}");
    assert!(log.contains("seed=1") && !log.contains(PASSWORD), "{log}");
}

#[tokio::test]
async fn it_ends_on_ctrl_c_too_and_speaks_plain_http() {
    let mut running = Running::start(&["-tls=false"]);
    assert!(running.line("listening on ").starts_with("http://127.0.0.1:"));
    let stream: serde_json::Value = serde_json::from_str(&running.line("stream ")).unwrap();
    assert_eq!(stream["auth"]["secret"]["password"], "pass");
    assert_eq!(running.end("-INT").0, Some(0));
}

fn fails(args: &[&str]) -> Output {
    simulate().args(args).output().unwrap()
}

#[test]
fn what_is_wrong_with_the_command_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad");
    std::fs::write(&bad, "hang\nrestart=soon\n").unwrap();
    let missing = folder.path().join("missing");
    for (args, code, part) in [
        (&["--fault", "hnag"][..], 2, "did you mean \"hang\"?"),
        (&["--faults", bad.to_str().unwrap()], 2, "line 2: \"soon\" is neither same-keys nor new-keys"),
        (&["--faults", missing.to_str().unwrap()], 2, "missing: "),
        (&["--rate", "fast"], 2, "or \"max\""),
        (&["--tls-cert", "x", "--tls-key", missing.to_str().unwrap()], 1, "x"),
    ] {
        let output = fails(args);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {told}");
        assert!(told.contains(part) && output.stdout.is_empty(), "{args:?}: {told}");
    }
}

#[test]
fn others_than_this_machine_are_warned_of() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmware-event-router"));
    // Nobody has this address, so that it does not listen there.
    let output = command.args(["simulate", "--listen", "192.0.2.1:1"]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && told.contains("can be reached from other machines"), "{told}");
}

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/simulator.md")).unwrap()
}

fn blocks<'a>(page: &'a str, kind: &str) -> Vec<&'a str> {
    let begin = format!("```{kind}\n");
    let mut found: Vec<_> = page.split(&*begin).skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    found.retain(|block| !block.is_empty());
    found
}

/// Arguments as a shell would split them.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[tokio::test]
async fn the_examples_of_its_page_work() {
    let page = page();
    let control = Some(([127, 0, 0, 1], 0).into());
    let simulated = Simulated::start(Options { past: 10, control, ..quiet() }).await;
    let to = simulated.control.unwrap();
    let (mut commands, mut calls) = (0, 0);
    for line in blocks(&page, "sh").iter().flat_map(|block| block.lines()) {
        let words = words(line);
        if words[0] == "curl" {
            let url: Url = words.last().unwrap().parse().unwrap();
            let path = &url[url::Position::BeforePath..];
            let request = match words.iter().position(|word| word == "-d") {
                Some(at) => Request::post(path).body(Bytes::from(words[at + 1].clone())),
                None => Request::get(path).body(Bytes::new()),
            };
            let answer = raw::send(to, request.unwrap()).await.unwrap();
            assert_eq!(answer.status(), 200, "{line}: {:?}", answer.body());
            calls += 1;
        } else {
            assert_eq!(words[0], "vmware-event-router");
            let args = Args::parse(words[1..].iter().map(Into::into));
            assert!(matches!(args.map(|args| args.command), Ok(Said::Simulate(_))), "{line}");
            commands += 1;
        }
    }
    let schedules = blocks(&page, "faults");
    for schedule in &schedules {
        assert!(Planned::schedule(schedule).is_ok_and(|planned| !planned.is_empty()), "{schedule}");
    }
    assert!(commands >= 3 && calls >= 6 && !schedules.is_empty(), "{commands} {calls}");
}

/// What stands first in the rows of its tables, as code.
fn rows(page: &str) -> Vec<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split('`').next().unwrap().to_owned()).collect()
}

#[test]
fn its_page_lists_every_fault_moment_and_option() {
    let page = page();
    let rows = rows(&page);
    for form in FORMS.iter().map(|(_, form, _)| form).chain(WHENS.iter().map(|(form, _)| form)) {
        assert!(rows.iter().any(|row| row == form), "{form} is missing in {rows:#?}");
    }
    let help = String::from_utf8(fails(&["-h"]).stdout).unwrap();
    let options = help.split("Options:").nth(1).unwrap().split("Faults,").next().unwrap();
    let names = |text: &str| -> BTreeSet<String> {
        let words = text.split_whitespace().filter(|word| word.starts_with("--"));
        words.map(|word| word.trim_end_matches([',', ']', '[']).split(['=', '[']).next().unwrap().to_owned()).collect()
    };
    let everywhere = ["--config", "--verbose", "--log-level", "--log-json", "--help"];
    let first = |line: &str| names(line).into_iter().next();
    let of_help = options.lines().filter(|line| line.trim_start().starts_with('-')).filter_map(first);
    let of_help: BTreeSet<_> = of_help.filter(|name| !everywhere.contains(&&**name)).collect();
    let of_page: BTreeSet<_> = rows.iter().filter(|row| row.starts_with("--")).filter_map(|row| first(row)).collect();
    assert_eq!(of_help, of_page);
    assert!(of_page.len() >= 15, "{of_page:?}");
    for kind in ["NotAuthenticated", "InvalidCollectorVersion", "NotImplemented"] {
        assert!(page.contains(&format!("`{kind}`")));
    }
}
