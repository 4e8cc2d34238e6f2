//! The router as its users run it: the binary, a configuration file, signals, logs.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use url::Url;

use super::gateway::Gateway;
use super::raw;
use super::vcsim::{PASSWORD, USER};

/// A test that waits this long for something waits in vain.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// The entry of a vCenter.
pub(crate) fn stream(url: &Url) -> Value {
    json!({
        "type": "stream",
        "provider": "vmware_vcenter",
        "address": url.as_str(),
        "auth": { "method": "user_password", "secret": { "username": USER, "password": PASSWORD } },
        "options": { "insecure": "true" },
    })
}

/// The entry of a gateway, with these options.
pub(crate) fn processor(gateway: &Gateway, options: &Value) -> Value {
    json!({
        "type": "processor",
        "provider": "openfaas",
        "address": gateway.url(),
        "auth": { "method": "basic_auth", "secret": { "username": super::gateway::USERNAME, "password": super::gateway::PASSWORD } },
        "options": options,
    })
}

/// The entry of a metrics server on a port that the system chooses.
pub(crate) fn metrics() -> Value {
    json!({ "type": "metrics", "provider": "internal", "address": "127.0.0.1:0", "auth": { "method": "none" } })
}

/// A metrics server at a port that is free, so that others can be told of it, and where only who is known may change
/// anything.
pub(crate) fn metrics_at_a_port() -> Value {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut metrics = metrics();
    metrics["address"] = format!("127.0.0.1:{port}").into();
    metrics["auth"] = json!({ "method": "basic_auth", "secret": { "username": "u", "password": "p" } });
    metrics
}

/// An entry under a name.
pub(crate) fn named(mut entry: Value, name: &str) -> Value {
    entry["name"] = name.into();
    entry
}

/// The binary: the one that was built for the tests, or `ROUTER`.
pub(crate) fn executable() -> OsString {
    std::env::var_os("ROUTER").unwrap_or_else(|| env!("CARGO_BIN_EXE_vmware-event-router").into())
}

/// The binary, with a configuration file and an environment in which proxies are these alone.
pub(crate) fn command(folder: &TempDir, config: &[Value], env: &[(&str, &str)]) -> Command {
    let path = folder.path().join("config.json");
    // At once, since another command of this folder may be reading it.
    let mut file = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
    file.write_all(json!(config).to_string().as_bytes()).unwrap();
    file.persist(&path).unwrap();
    let mut command = Command::new(executable());
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    // Nobody's own credentials and settings of AWS matter.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"AWS_")) {
        command.env_remove(name);
    }
    // Every router of the tests has a journal of its own.
    command.env("STATE_DIRECTORY", folder.path().join("state"));
    command.envs(env.iter().copied()).arg("-config").arg(path).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(args: &[&str], config: &[Value]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    command(&folder, config, &[]).args(args).output().unwrap()
}

/// The same, while the peers of this test go on: its exit code, and all that it printed.
pub(crate) async fn run_with(args: &[&str], config: &[Value], env: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(&folder, config, env);
    command.args(args);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// Runs a command beside the router of this folder: whether it went well, and what it printed.
pub(crate) async fn ask(folder: &TempDir, config: &[Value], args: &[&str]) -> (bool, String) {
    let mut command = command(folder, config, &[]);
    command.args(args);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.success(), text)
}

/// Asks until the answer is as wanted, and gives it. There is nothing to be told by.
pub(crate) async fn ask_until(
    folder: &TempDir,
    config: &[Value],
    args: &[&str],
    wanted: impl Fn(&str) -> bool,
) -> String {
    let began = std::time::Instant::now();
    loop {
        let (well, text) = ask(folder, config, args).await;
        assert!(well, "{text}");
        if wanted(&text) {
            return text;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain: {text}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Waits until the router of this folder has no replay under way.
pub(crate) async fn no_replays(folder: &TempDir, config: &[Value]) {
    ask_until(folder, config, &["replay", "-list"], str::is_empty).await;
}

/// A running router; killed when dropped.
pub(crate) struct Router {
    child: Child,
    /// Where its metrics server listens.
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    lines: watch::Receiver<usize>,
    _folder: Arc<TempDir>,
}

impl Router {
    /// Starts it with these entries and arguments, and waits until its metrics server listens.
    pub(crate) async fn start(config: &[Value], args: &[&str]) -> Self {
        Self::start_with(config, args, &[]).await
    }

    /// The same, with these in its environment.
    pub(crate) async fn start_with(config: &[Value], args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_in(&Arc::new(tempfile::tempdir().unwrap()), config, args, env).await
    }

    /// The same, where another one has run before.
    pub(crate) async fn start_in(folder: &Arc<TempDir>, config: &[Value], args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_under(&[], folder, config, args, env).await
    }

    /// The same, run by another program, whose arguments these are.
    pub(crate) async fn start_under(
        by: &[&str],
        folder: &Arc<TempDir>,
        config: &[Value],
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        let folder = Arc::clone(folder);
        let mut command = command(&folder, config, env);
        if let Some((program, before)) = by.split_first() {
            let mut other = Command::new(program);
            other.args(before).arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
            for (name, value) in command.get_envs() {
                match value {
                    Some(value) => other.env(name, value),
                    None => other.env_remove(name),
                };
            }
            command = other;
        }
        let mut child =
            command.arg("-log-json").args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (told, mut lines) = watch::channel(0);
        let (kept, errors) = (Arc::clone(&log), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines() {
                let Ok(line) = line else { return };
                kept.lock().unwrap().push(line);
                told.send_modify(|lines| *lines += 1);
            }
        });
        let listening = |log: &Mutex<Vec<String>>| {
            let log = log.lock().unwrap();
            let line = log.iter().find(|line| line.contains("metrics server listens"))?;
            let line: Value = serde_json::from_str(line).unwrap();
            let address = line.pointer("/fields/address").or_else(|| line.get("address")).unwrap();
            Some(address.as_str().unwrap().parse::<SocketAddr>().unwrap())
        };
        let address = loop {
            if let Some(address) = listening(&log) {
                break address;
            }
            lines.changed().await.unwrap_or_else(|_| panic!("it ended: {:?}", log.lock().unwrap()));
        };
        Self { child, address, log, lines, _folder: folder }
    }

    /// The most memory that it ever had, in bytes.
    pub(crate) fn most_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// The log so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits for a line of the log.
    pub(crate) async fn logged(&mut self, wanted: &str) {
        while !self.log().iter().any(|line| line.contains(wanted)) {
            self.lines.changed().await.unwrap_or_else(|_| panic!("it ended without {wanted:?}: {:#?}", self.log()));
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Response<Bytes> {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        raw::send(self.address, request.body(Bytes::new()).unwrap()).await.unwrap()
    }

    /// `/stats`, read.
    pub(crate) async fn stats(&self) -> Value {
        // Who is known where only they may look, and nobody asks for it elsewhere.
        let known = [("authorization", "Basic dTpw")];
        serde_json::from_slice(self.get_with("/stats", &known).await.body()).unwrap()
    }

    /// Waits until `/stats` is as wanted, and gives it. There is nothing to be told by.
    pub(crate) async fn stats_when(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = std::time::Instant::now();
        loop {
            let stats = self.stats().await;
            if wanted(&stats) {
                return stats;
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain: {stats:#}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Waits until it is ready. There is nothing to be told by, as for the probes that it is made for.
    pub(crate) async fn ready(&self) {
        while self.get("/readyz").await.status() != StatusCode::OK {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Ends it at once, in the middle of whatever it does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(mut self) -> (ExitStatus, Vec<String>) {
        let mut child = std::mem::replace(&mut self.child, Command::new("true").spawn().unwrap());
        let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
        // The log's end is the end of its pipe.
        while self.lines.changed().await.is_ok() {}
        (status, self.log())
    }

    /// Asks it to end, and expects that it does so well.
    pub(crate) async fn stop(self) -> Vec<String> {
        self.signal("TERM");
        let (status, log) = self.ended().await;
        assert_eq!(status.code(), Some(0), "{log:#?}");
        log
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            let log = self.log();
            eprintln!("the router's last lines: {:#?}", &log[log.len().saturating_sub(60)..]);
        }
    }
}
