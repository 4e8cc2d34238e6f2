//! The demo as somebody meets it who has nothing but the binary: in a terminal, and without one.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_vmware-event-router");

/// A demo from which nothing comes ends by itself after so many seconds, and with it the wait for it.
const PATIENCE: &str = "60";

/// A running demo; killed when dropped.
struct Demo(Child);

impl Demo {
    fn start(command: &mut Command) -> Self {
        // Proxies are for what is elsewhere.
        let proxy = "http://127.0.0.1:1";
        let command = command.env("HTTPS_PROXY", proxy).env("HTTP_PROXY", proxy).env_remove("NO_COLOR");
        Self(command.stdout(Stdio::piped()).spawn().unwrap())
    }

    fn plain(args: &[&str]) -> (Self, BufReader<ChildStdout>) {
        let mut demo = Self::start(
            Command::new(BINARY).arg("demo").args(args).stdin(Stdio::null()).stderr(Stdio::null()).env_remove("TERM"),
        );
        let out = BufReader::new(demo.0.stdout.take().unwrap());
        (demo, out)
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn ended(mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Time, subject, entity, latency and functions of one line.
fn parse(line: &str) -> (String, String) {
    let mut words = line.split("  ").map(str::trim).filter(|word| !word.is_empty());
    let (time, subject) = (words.next().unwrap(), words.next().unwrap());
    assert!(time.len() == 12 && time.parse::<jiff::civil::Time>().is_ok(), "{line}");
    assert!(subject.ends_with("Event") || subject.contains('.'), "{line}");
    let rest: Vec<_> = words.collect();
    assert!(rest.iter().any(|word| word.ends_with(" ms") || word.ends_with(" s")), "{line}");
    (subject.to_owned(), rest.last().unwrap().to_string())
}

/// The addresses on which a process listens, as the system has them: hexadecimal, address and port.
fn listens(process: u32) -> Vec<String> {
    let sockets: HashSet<String> = fs::read_dir(format!("/proc/{process}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let mut found = Vec::new();
    for (table, state) in [("tcp", Some("0A")), ("tcp6", Some("0A")), ("udp", None), ("udp6", None), ("raw", None)] {
        let text = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let columns: Vec<_> = line.split_whitespace().collect();
            if sockets.contains(columns[9]) && state.is_none_or(|state| columns[3] == state) {
                found.push(format!("{table} {}", columns[1]));
            }
        }
    }
    found
}

#[test]
fn without_a_terminal_each_event_is_a_line_and_nobody_else_can_connect() {
    let (demo, mut out) = Demo::plain(&["--seconds", "3", "--rate", "40"]);
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    parse(first.trim_end());
    let listens = listens(demo.0.id());
    assert_eq!(listens.len(), 3, "the vCenter, the gateway and the metrics server: {listens:?}");
    assert!(listens.iter().all(|address| address.starts_with("tcp 0100007F:")), "{listens:?}");
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(demo.ended(), Some(0));
    let lines: Vec<_> = rest.lines().map(parse).collect();
    assert!(lines.len() > 30, "{rest}");
    let subjects: HashSet<_> = lines.iter().map(|(subject, _)| subject).collect();
    assert!(subjects.len() > 5, "{subjects:?}");
    assert!(lines.iter().all(|(_, functions)| functions.contains("audit-log")), "{rest}");
    assert!(lines.iter().any(|(_, functions)| functions.contains("tag-vm")), "{rest}");
    assert!(lines.iter().any(|(_, functions)| functions.contains("attempt 2")), "something fails now and then: {rest}");
}

#[test]
fn the_same_seed_shows_the_same() {
    let shown = || {
        let (demo, out) = Demo::plain(&["--seconds", "30", "--rate", "200", "--seed", "7", "--machines", "12"]);
        let audited = out.lines().map(|line| parse(&line.unwrap()));
        // The login is the router's own, and comes when it comes. A function that is away makes others wait.
        let audited = audited.filter(|(subject, functions)| !subject.contains("Session") && functions == "audit-log");
        let subjects: Vec<_> = audited.map(|(subject, _)| subject).take(40).collect();
        demo.signal("KILL");
        subjects
    };
    assert_eq!(shown(), shown());
}

#[test]
fn a_signal_ends_it_well() {
    for name in ["INT", "TERM"] {
        let (demo, mut out) = Demo::plain(&["--rate", "40", "--seconds", PATIENCE]);
        out.read_line(&mut String::new()).unwrap();
        demo.signal(name);
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!(demo.ended(), Some(0), "{name}: {rest}");
    }
}

/// As `demo | head -1`.
#[test]
fn it_ends_when_nobody_reads() {
    let (demo, mut out) = Demo::plain(&["--rate", "40", "--seconds", PATIENCE]);
    out.read_line(&mut String::new()).unwrap();
    drop(out);
    assert_eq!(demo.ended(), Some(1));
}

#[test]
fn the_log_goes_where_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let (demo, mut out) = Demo::plain(&["--seconds", "1", "--log", path.to_str().unwrap()]);
    out.read_to_string(&mut String::new()).unwrap();
    assert_eq!(demo.ended(), Some(0));
    let log = fs::read_to_string(&path).unwrap();
    for part in ["metrics server listens", "connected", "shutting down", "deliveries to 3 functions"] {
        assert!(log.contains(part), "{part} in {log}");
    }
    let (demo, _) = Demo::plain(&["--log", folder.path().to_str().unwrap()]);
    assert_eq!(demo.ended(), Some(1), "a folder is no file");
}

/// The demo in a terminal of this size: what it shows, and the keyboard.
fn in_terminal(folder: &Path, rows: u16, columns: u16, args: &str) -> (Demo, ChildStdout, ChildStdin) {
    let script = format!(
        "stty rows {rows} cols {columns}; stty -g >{folder}/before; {BINARY} demo {args}; \
         echo \"ended with $?\"; stty -g >{folder}/after",
        folder = folder.display()
    );
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--return", "--command", &script, "/dev/null"])
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh");
    let mut demo = Demo::start(command.stdin(Stdio::piped()).stderr(Stdio::null()));
    let (out, keyboard) = (demo.0.stdout.take().unwrap(), demo.0.stdin.take().unwrap());
    (demo, out, keyboard)
}

/// Reads until this was shown.
fn shown(out: &mut ChildStdout, wanted: &str, so_far: &mut String) {
    let mut buffer = [0; 4096];
    while !so_far.contains(wanted) {
        let read = out.read(&mut buffer).unwrap();
        assert!(read > 0, "it ended without {wanted}: {so_far}");
        so_far.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
}

const TAKEN: &str = "\x1b[?1049h";
const GIVEN_BACK: &str = "\x1b[?1049l";
const CURSOR: &str = "\x1b[?25h";

#[test]
fn a_terminal_shows_it_and_is_given_back() {
    for (rows, columns) in [(24, 80), (10, 40)] {
        let folder = tempfile::tempdir().unwrap();
        let (demo, mut out, mut keyboard) =
            in_terminal(folder.path(), rows, columns, &format!("--rate 40 --seconds {PATIENCE}"));
        let mut text = String::new();
        shown(&mut out, TAKEN, &mut text);
        // What has been delivered to it.
        for wanted in ["audit-log", "streaming", "✓"] {
            shown(&mut out, wanted, &mut text);
        }
        assert!(!text.contains(GIVEN_BACK));
        keyboard.write_all(b"\x03").unwrap();
        shown(&mut out, "ended with", &mut text);
        let (_, after) = text.rsplit_once(GIVEN_BACK).expect("the screen is given back");
        assert!(after.contains(CURSOR) && after.contains("deliveries to 3 functions"), "{after:?}");
        shown(&mut out, "ended with 0", &mut text);
        drop(keyboard);
        assert_eq!(demo.ended(), Some(0));
        let state = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(state("before"), state("after"), "the terminal is as it was");
    }
}
