//! govmomi's vCenter simulator as a child process.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use url::Url;

/// Who may log in to every simulator of ours.
pub(crate) const USER: &str = "user";
pub(crate) const PASSWORD: &str = "p<a>&ss";

/// A program that `make peers` installs.
pub(crate) fn peer(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin").join(name);
    assert!(path.exists(), "{} is missing: run `make peers`", path.display());
    path
}

/// A running simulator; killed when dropped.
pub(crate) struct Vcsim {
    child: Child,
    /// Without credentials.
    pub(crate) url: Url,
    args: Vec<String>,
    /// Its files, which a killed simulator does not remove.
    folder: TempDir,
}

impl Vcsim {
    /// With a port that the system chooses, and these flags besides.
    pub(crate) fn start(args: &[&str]) -> Self {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let folder = tempfile::tempdir().unwrap();
        let (child, url) = Self::launch("127.0.0.1:0", &args, &folder).expect("vcsim starts");
        Self { child, url, args, folder }
    }

    fn launch(listen: &str, args: &[String], folder: &TempDir) -> Option<(Child, Url)> {
        let mut child = Command::new(peer("vcsim"))
            .args(["-l", listen, "-username", USER, "-password", PASSWORD])
            .args(args)
            .env("TMPDIR", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(url) = line.split_whitespace().find_map(|word| word.strip_prefix("GOVC_URL=")) else {
            child.kill().ok();
            child.wait().unwrap();
            return None;
        };
        let mut url = Url::parse(url).unwrap();
        url.set_username("").unwrap();
        url.set_password(None).unwrap();
        Some((child, url))
    }

    /// As a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().unwrap();
    }

    /// Kills it and starts another on the same port: its keys begin at 1 again.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let listen = format!("127.0.0.1:{}", self.url.port().unwrap());
        // The system may take a moment to give the port back.
        for _ in 0..50 {
            if let Some((child, url)) = Self::launch(&listen, &self.args, &self.folder) {
                (self.child, self.url) = (child, url);
                return;
            }
        }
        panic!("vcsim does not start again at {listen}");
    }
}

impl Drop for Vcsim {
    fn drop(&mut self) {
        self.kill();
    }
}
