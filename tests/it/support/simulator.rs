//! The simulated vCenter: in this process, and as its users run it.

use std::io::{BufRead as _, BufReader, Lines};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use bytes::Bytes;
use http::Request;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;
use vmware_event_router::simulator::vcenter::{Handle, Options, Rate, Server, Tls};

use super::judge::Happened;
use super::raw;
use super::router::executable;
use super::vcsim::{PASSWORD, USER};

/// A simulated vCenter; ended when dropped.
pub(crate) struct Simulated {
    pub(crate) url: Url,
    /// Where faults can be asked for over HTTP, if the options say so.
    pub(crate) control: Option<SocketAddr>,
    pub(crate) handle: Handle,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

/// Plain HTTP at a port that the system chooses, and nothing happens by itself.
pub(crate) fn quiet() -> Options {
    Options {
        listen: ([127, 0, 0, 1], 0).into(),
        username: USER.to_owned(),
        password: PASSWORD.to_owned(),
        rate: Rate::PerSecond(0.0),
        tls: Tls::Off,
        ..Options::default()
    }
}

impl Simulated {
    pub(crate) async fn start(options: Options) -> Self {
        let server = Server::start(options).await.unwrap();
        let (url, control) = (server.url().parse().unwrap(), server.control());
        let (handle, stop) = (server.handle(), CancellationToken::new());
        let task = Some(tokio::spawn(server.run(stop.clone())));
        Self { url, control, handle, stop, task }
    }

    /// Lets these faults happen, or plans them.
    pub(crate) fn plan(&self, faults: &str) {
        self.handle.plan(faults).unwrap();
    }

    /// Ends it, and waits for that.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        self.task.take().unwrap().await.unwrap();
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// `vmware-event-router simulate` as a child process; killed when dropped.
pub(crate) struct Simulator {
    child: Child,
    pub(crate) url: Url,
    control: SocketAddr,
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Simulator {
    /// On ports that the system chooses, with these flags besides.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = Command::new(executable())
            .args(["simulate", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"])
            .args(["--username", USER, "--password", PASSWORD])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut url, mut control) = (None, None);
        // The last of the lines that say where it is.
        loop {
            let line = lines.next().expect("it says where it is").unwrap();
            let word = line.rsplit(' ').next().unwrap();
            match line.split(' ').next() {
                Some("listening") => url = Some(Url::parse(word).unwrap()),
                Some("certificate") => {}
                Some("control") => control = word.strip_prefix("http://").map(|at| at.trim_end_matches('/').to_owned()),
                Some("stream") => break,
                _ => panic!("{line}"),
            }
        }
        let control = control.unwrap().parse().unwrap();
        Self { child, url: url.unwrap(), control, _lines: lines }
    }

    /// Asks the control address.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let request = Request::builder().method(method).uri(path).body(Bytes::from(body.to_owned())).unwrap();
        let answer = raw::send(self.control, request).await.unwrap();
        let text = String::from_utf8(answer.body().to_vec()).unwrap();
        assert!(answer.status().is_success(), "{method} {path} {body}: {text}");
        text
    }

    /// Every subject that its events may have.
    pub(crate) async fn subjects(&self) -> Vec<String> {
        serde_json::from_str(&self.ask("GET", "/subjects", "").await).unwrap()
    }

    /// What happened, from the number on.
    pub(crate) async fn ledger(&self, from: u64) -> Vec<Happened> {
        let ledger = self.ask("GET", &format!("/ledger?from={from}&count=100000"), "").await;
        ledger.lines().map(|line| Happened::parse(line).unwrap()).collect()
    }

    /// Whether all has happened of what lives, and the ledger has told of everything. Sessions that begin and end happen
    /// besides.
    pub(crate) async fn all_happened(&self, lives: u64, told: u64) -> bool {
        let figures = self.figures().await;
        let [lived, made] = ["lived", "events"].map(|figure| figures[figure].as_u64().unwrap());
        lived >= lives && told >= made
    }

    /// Its figures.
    pub(crate) async fn figures(&self) -> Value {
        serde_json::from_str(&self.ask("GET", "/", "").await).unwrap()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
