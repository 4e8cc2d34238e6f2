//! Servers that stand in for AWS, as child processes: moto, which checks signatures and permissions, and LocalStack,
//! which tests event patterns and knows limits of size. `tools/peers.sh` installs them.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The region that tests use; both servers take any.
pub(crate) const REGION: &str = "us-east-1";

/// The account of everything that moto makes.
pub(crate) const MOTO_ACCOUNT: &str = "123456789012";

/// The account of everything that LocalStack makes.
pub(crate) const LOCALSTACK_ACCOUNT: &str = "000000000000";

/// A server that is not ready after this long never will be: on a busy machine it takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a server may take over one small request.
const PATIENCE_WITH_AN_ANSWER: Duration = Duration::from_secs(20);

/// The Python interpreter of a peer, which `tools/peers.sh` installs.
pub(super) fn python(peer: &str) -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers").join(peer).join("bin/python");
    assert!(python.exists(), "{} is missing: run `tools/peers.sh {peer}`", python.display());
    python
}

/// An address of which nobody makes use at present.
pub(super) fn free() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr()).expect("a free port")
}

/// A running server and its files; killed when dropped. None has children.
pub(super) struct Server {
    name: &'static str,
    child: Child,
    pub(super) address: SocketAddr,
    /// Its home, its temporary files and its log, which a killed server does not remove.
    folder: TempDir,
}

impl Server {
    /// In a folder with these files, and with an environment of nothing but these variables, so that no proxy, profile
    /// or setting of whoever runs the test matters.
    pub(super) fn spawn(
        name: &'static str,
        program: &Path,
        args: &[&str],
        env: &[(&str, String)],
        files: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("a file");
        }
        let log = File::create(folder.path().join("log")).expect("a log");
        let child = Command::new(program)
            .args(args)
            .env_clear()
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("PYTHONUNBUFFERED", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("NO_PROXY", "*")
            .envs(env.iter().map(|(name, value)| (*name, value)))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { name, child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), folder }
    }

    pub(super) fn log(&self) -> String {
        let log = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Asks until there is something, and panics with the end of the log when the server ends or takes too long.
    pub(super) fn wait<T>(&mut self, what: &str, mut ask: impl FnMut(&Self) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            // Before the question: what a server says last, it has said when it is gone.
            let ended = self.child.try_wait().expect("the state of a child");
            if let Some(answer) = ask(self) {
                return answer;
            }
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let end = lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n");
            assert!(ended.is_none(), "{} ended ({ended:?}) without {what}; its last lines:\n{end}", self.name);
            assert!(begin.elapsed() < PATIENCE, "{} is without {what} for too long; its last lines:\n{end}", self.name);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The status and the body of a plain request; None when the server is not there.
pub(super) fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE_WITH_AN_ANSWER).ok()?;
    socket.set_read_timeout(Some(PATIENCE_WITH_AN_ANSWER)).ok()?;
    socket.set_write_timeout(Some(PATIENCE_WITH_AN_ANSWER)).ok()?;
    // The type matters: moto loses a body that could be a form.
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Some((status, body))
}

/// A running moto server; killed when dropped.
///
/// At first it lets anybody do anything. A rule to a log group costs it 3 to 15 ms an event, a rule to a queue several
/// times that; 10,000 events of a log group are one answer of `FilterLogEvents`.
pub(crate) struct Moto {
    server: Server,
}

impl Moto {
    /// At a port that the system chooses.
    pub(crate) fn start() -> Self {
        let mut server =
            Server::spawn("moto", &python("moto"), &["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], &[], &[]);
        server.address = server.wait("a port", |server| {
            let log = server.log();
            // The line is whole once another has begun.
            let (_, rest) = log.split_once("Running on http://")?;
            rest.split_once('\n')?.0.trim().parse().ok()
        });
        let ready = |server: &Server| match ask(server.address, "GET", "/moto-api/data.json", "") {
            Some((200, _)) => Some(()),
            _ => None,
        };
        server.wait("an answer", ready);
        Self { server }
    }

    /// For `endpoint_url`.
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// From now on every request must be signed by a key that IAM knows, and allowed by its policies.
    pub(crate) fn check_signatures(&self) {
        self.order("/moto-api/reset-auth", "0");
    }

    /// So many requests from now on need neither.
    pub(crate) fn let_unsigned(&self, requests: u32) {
        self.order("/moto-api/reset-auth", &requests.to_string());
    }

    fn order(&self, path: &str, body: &str) {
        match ask(self.server.address, "POST", path, body) {
            Some((200, _)) => {}
            answer => panic!("moto does not obey {path}: {answer:?}\n{}", self.server.log()),
        }
    }
}

/// A running LocalStack; killed when dropped, since it may take long over a signal, or forever.
///
/// It looks at no signature. An event costs it 10 to 15 ms with one rule to a queue.
pub(crate) struct LocalStack {
    server: Server,
}

impl LocalStack {
    /// At a port that is free. It must know the port beforehand, since it delivers to itself; should another take it
    /// meanwhile, it starts anew.
    pub(crate) fn start() -> Self {
        for _ in 0..5 {
            if let Some(server) = Self::launch(free()) {
                return Self { server };
            }
        }
        panic!("every port of LocalStack's was taken by another");
    }

    fn launch(address: SocketAddr) -> Option<Server> {
        let settings = [
            ("GATEWAY_SERVER", "hypercorn"),
            ("SERVICES", "events,sqs,logs,sts,iam"),
            // Nothing from the network, nothing to it.
            ("DNS_ADDRESS", "0"),
            ("SKIP_SSL_CERT_DOWNLOAD", "1"),
            ("DISABLE_EVENTS", "1"),
            // Files below FILESYSTEM_ROOT, in a container too.
            ("OVERRIDE_IN_DOCKER", "0"),
            // Queues have addresses that need no name server, and are not counted.
            ("SQS_ENDPOINT_STRATEGY", "path"),
            ("SQS_DISABLE_CLOUDWATCH_METRICS", "1"),
            ("LS_LOG", "error"),
        ];
        let mut env: Vec<_> = settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        env.push(("GATEWAY_LISTEN", address.to_string()));
        // Relative to its working folder, which is its own.
        env.push(("FILESYSTEM_ROOT", "files".to_owned()));
        let mut server =
            Server::spawn("localstack", &python("localstack"), &["-m", "localstack.runtime.main"], &env, &[]);
        server.address = address;
        // It says that it is ready as soon as anything listens there. Whether that is itself, another line says, which
        // is never later by this much.
        let mut ready = None;
        let ours = server.wait("services", |server| {
            let log = server.log();
            if !log.lines().any(|line| line == "Ready.") {
                return None;
            }
            if !log.contains("Running on https://") {
                let since = *ready.get_or_insert_with(Instant::now);
                return (since.elapsed() > Duration::from_secs(3)).then_some(false);
            }
            let (status, _) = ask(server.address, "GET", "/_localstack/health", "")?;
            (status == 200).then_some(true)
        });
        ours.then_some(server)
    }

    /// For `endpoint_url`.
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }
}
