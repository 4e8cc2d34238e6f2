//! What a program wrote into a folder, call by call as strace saw it, and what of that a loss of power may leave there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// A disk writes so many bytes at once, or none of them.
const SECTOR: usize = 512;

/// A test that waits this long for something waits in vain.
const PATIENCE: Duration = Duration::from_secs(60);

/// The calls that change what a folder holds, or make it durable.
const CALLS: &str = "openat,write,pwrite64,fdatasync,fsync,rename,renameat,renameat2,unlink,unlinkat,ftruncate";

/// The program that runs another one and notes in this file what it does.
pub(crate) fn tracer(log: &Path) -> Vec<String> {
    let trace = format!("trace={CALLS}");
    let log = log.to_str().unwrap();
    // As a child of the program, not its parent: who kills the program kills the right one. No piece is left out.
    ["strace", "-D", "-f", "-q", "-y", "-xx", "-s", "16777216", "-e", &trace, "-o", log].map(str::to_owned).to_vec()
}

/// Waits until strace has noted everything: it ends when all threads of the program have.
pub(crate) async fn ended(log: &Path) {
    let log = log.to_str().unwrap().as_bytes();
    let traces = |entry: std::io::Result<std::fs::DirEntry>| {
        let words = entry.and_then(|entry| std::fs::read(entry.path().join("cmdline"))).unwrap_or_default();
        words.split(|byte| *byte == 0).any(|word| word == log)
    };
    let ended = async {
        // There is nothing to be told by: it is no child of ours.
        while std::fs::read_dir("/proc").unwrap().any(traces) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("strace ends with what it traces");
}

/// A piece of a file that was written and not synced.
struct Write {
    at: usize,
    bytes: Vec<u8>,
}

#[derive(Default)]
struct Content {
    durable: Vec<u8>,
    pending: Vec<Write>,
    /// Where whoever opened it last writes next, if he does not say where.
    position: usize,
}

impl Content {
    fn write(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
        let end = at + piece.len();
        bytes.resize(bytes.len().max(end), 0);
        bytes[at..end].copy_from_slice(piece);
    }

    fn now(&self) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        self.pending.iter().for_each(|write| Self::write(&mut bytes, write.at, &write.bytes));
        bytes
    }

    /// Any of the sectors that were not synced, and any length between.
    fn after_power_loss(&self, random: &mut fastrand::Rng) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        // All of them, none, or some here and there.
        let share = random.u32(0..=4);
        for Write { at, bytes: piece } in &self.pending {
            let mut from = 0;
            while from < piece.len() {
                let to = piece.len().min(from + SECTOR - (at + from) % SECTOR);
                if random.u32(0..4) < share {
                    Self::write(&mut bytes, at + from, &piece[from..to]);
                }
                from = to;
            }
        }
        let whole = self.now().len();
        if random.bool() && whole > bytes.len() {
            // The length is there, and what was written is not.
            bytes.resize(random.usize(bytes.len()..=whole), 0);
        }
        bytes
    }
}

/// A change of names that is not synced.
enum Renaming {
    Created(PathBuf, usize),
    Removed(PathBuf),
    Renamed(PathBuf, PathBuf),
}

/// Of each file's writes those that had ended when a sync began, and last of all changes of names.
type Covered = Rc<[usize]>;

type Names = BTreeMap<PathBuf, usize>;

impl Renaming {
    fn folder(&self) -> &Path {
        let (Self::Created(name, _) | Self::Removed(name) | Self::Renamed(name, _)) = self;
        name.parent().unwrap()
    }

    fn apply(&self, names: &mut Names) {
        match self {
            Self::Created(name, file) => drop(names.insert(name.clone(), *file)),
            Self::Removed(name) => drop(names.remove(name)),
            Self::Renamed(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}

/// A folder, and what of it is durable. Folders in it are taken as durable themselves.
pub(crate) struct Traced {
    root: PathBuf,
    files: Vec<Content>,
    durable: Names,
    pending: Vec<Renaming>,
    /// Whether syncs count.
    honest: bool,
}

/// What is no part of the journal, or can be made again.
fn is_beside(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name == "reserve" || name == "lock" || name.ends_with(".sock")
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.is_file() && !is_beside(&path) {
            found.push(path);
        }
    }
}

impl Traced {
    /// The folder as it is, all of which is durable. On a disk that is not `honest`, syncs do nothing.
    pub(crate) fn begin(root: &Path, honest: bool) -> Self {
        let mut traced =
            Self { root: root.to_owned(), files: Vec::new(), durable: Names::new(), pending: Vec::new(), honest };
        let mut found = Vec::new();
        files_below(root, &mut found);
        for path in found {
            traced.durable.insert(path.clone(), traced.files.len());
            traced.files.push(Content { durable: std::fs::read(path).unwrap(), ..Content::default() });
        }
        traced
    }

    fn names(&self) -> Names {
        let mut names = self.durable.clone();
        self.pending.iter().for_each(|change| change.apply(&mut names));
        names
    }

    fn change(&mut self, change: Renaming) {
        self.pending.push(change);
    }

    /// What is not durable, in bytes.
    pub(crate) fn at_stake(&self) -> usize {
        self.files.iter().flat_map(|file| &file.pending).map(|write| write.bytes.len()).sum()
    }

    /// Follows what strace noted to its end.
    pub(crate) fn follow(&mut self, log: &Path) {
        // What a thread has begun, and another one's line came between.
        let mut begun: BTreeMap<&str, (&str, Option<Covered>)> = BTreeMap::new();
        let text = std::fs::read_to_string(log).unwrap();
        for line in text.lines() {
            let (thread, call) = line.split_once(' ').unwrap();
            let call = call.trim_start();
            if call.starts_with("---") || call.starts_with("+++") {
                continue;
            }
            if let Some(start) = call.strip_suffix(" <unfinished ...>") {
                begun.insert(thread, (start, self.covered(start)));
            } else if let Some(rest) = call.strip_prefix("<... ") {
                // One that was under way when strace began has no beginning.
                let Some((start, covered)) = begun.remove(thread) else { continue };
                let end = rest.split_once(" resumed>").unwrap().1;
                self.called(&format!("{start}{end}"), covered);
            } else {
                self.called(call, self.covered(call));
            }
        }
    }

    /// How many writes to each file a sync covers that begins now: those that have ended.
    fn covered(&self, call: &str) -> Option<Covered> {
        let syncs = call.starts_with("fdatasync(") || call.starts_with("fsync(");
        syncs.then(|| {
            let mut covered: Vec<_> = self.files.iter().map(|file| file.pending.len()).collect();
            covered.push(self.pending.len());
            covered.into()
        })
    }

    fn called(&mut self, call: &str, covered: Option<Covered>) {
        let (name, rest) = call.split_once('(').unwrap_or_else(|| panic!("no call: {call:.200}"));
        let (arguments, result) = rest.rsplit_once(" = ").unwrap_or_else(|| panic!("no result: {call:.200}"));
        let arguments = arguments.trim_end().strip_suffix(')').unwrap();
        // Where the program was killed there is none: the last call may have happened, and nobody was told.
        let killed = result.starts_with('?');
        if result.starts_with('-') || killed && matches!(name, "fdatasync" | "fsync") {
            return;
        }
        let mut parts = arguments.splitn(2, ", ");
        let first = parts.next().unwrap();
        let quoted = || arguments.split('"').skip(1).step_by(2).map(|text| self.path(&unhex(text)));
        match name {
            "openat" if arguments.contains("O_CREAT") => {
                let Some(path) = quoted().next().filter(|path| self.is_ours(path)) else { return };
                if killed && !path.exists() {
                    return;
                }
                let there = self.names().get(&path).copied();
                match there {
                    Some(file) if !arguments.contains("O_TRUNC") => self.files[file].position = 0,
                    // What is emptied may be as it was, like what is made in the place of another.
                    _ => {
                        self.change(Renaming::Created(path, self.files.len()));
                        self.files.push(Content::default());
                    }
                }
            }
            "write" | "pwrite64" => {
                let Some(file) = self.opened(first) else { return };
                let bytes = unhex(arguments.split('"').nth(1).unwrap());
                let at = match name {
                    "write" => self.files[file].position,
                    _ => arguments.rsplit_once(", ").unwrap().1.parse().unwrap(),
                };
                let written = if killed {
                    // Or a part of it.
                    let there = self.there(&opened_path(first), at, bytes.len());
                    there.iter().zip(&bytes).take_while(|(there, written)| there == written).count()
                } else {
                    result.split(' ').next().unwrap().parse().unwrap()
                };
                self.files[file].position = at + written;
                self.files[file].pending.push(Write { at, bytes: bytes[..written].to_vec() });
            }
            "fdatasync" | "fsync" if self.honest => {
                let (covered, path) = (covered.unwrap(), opened_path(first));
                if let Some(file) = self.opened(first) {
                    let count = covered.get(file).copied().unwrap_or(0);
                    let content = &mut self.files[file];
                    for write in content.pending.drain(..count) {
                        Content::write(&mut content.durable, write.at, &write.bytes);
                    }
                } else if path.starts_with(&self.root) {
                    let mut number = 0;
                    let count = *covered.last().unwrap();
                    let durable = &mut self.durable;
                    self.pending.retain(|change| {
                        number += 1;
                        let stays = number > count || change.folder() != path;
                        if !stays {
                            change.apply(durable);
                        }
                        stays
                    });
                }
            }
            "rename" | "renameat" | "renameat2" => {
                let paths: Vec<_> = quoted().collect();
                let [from, to] = &paths[..] else { panic!("{call:.200}") };
                if self.is_ours(from) && !(killed && from.exists()) {
                    self.change(Renaming::Renamed(from.clone(), to.clone()));
                }
            }
            "unlink" | "unlinkat" => {
                let Some(path) = quoted().next().filter(|path| self.is_ours(path)) else { return };
                if !(killed && path.exists()) {
                    self.change(Renaming::Removed(path));
                }
            }
            "ftruncate" if self.opened(first).is_some() => panic!("not looked at here: {call:.200}"),
            _ => {}
        }
    }

    /// What is on the disk there.
    fn there(&self, path: &Path, at: usize, length: usize) -> Vec<u8> {
        let mut bytes = std::fs::read(path).unwrap_or_default();
        bytes.drain(..at.min(bytes.len()));
        bytes.truncate(length);
        bytes
    }

    fn path(&self, text: &[u8]) -> PathBuf {
        PathBuf::from(std::str::from_utf8(text).unwrap())
    }

    fn is_ours(&self, path: &Path) -> bool {
        path.starts_with(&self.root) && !is_beside(path)
    }

    /// The file behind `7<PATH>`.
    fn opened(&self, argument: &str) -> Option<usize> {
        let path = opened_path(argument);
        if !self.is_ours(&path) {
            return None;
        }
        self.names().get(&path).copied()
    }

    /// Whether what was followed is what the folder holds.
    pub(crate) fn assert_followed(&self) {
        let mut found = Vec::new();
        files_below(&self.root, &mut found);
        found.sort();
        let names = self.names();
        assert_eq!(names.keys().cloned().collect::<Vec<_>>(), found);
        for (path, file) in names {
            let (traced, there) = (self.files[file].now(), std::fs::read(&path).unwrap());
            let at = traced.iter().zip(&there).position(|(one, other)| one != other);
            assert!(traced == there, "{} ({} bytes, {} traced): {at:?}", path.display(), there.len(), traced.len());
        }
    }

    /// Leaves in the folder what a loss of power may.
    pub(crate) fn lose_power(&self, random: &mut fastrand::Rng) {
        let mut names = self.durable.clone();
        // Changes of names are in the file system's own journal, in their order.
        let kept = random.usize(0..=self.pending.len());
        self.pending[..kept].iter().for_each(|change| change.apply(&mut names));
        let mut found = Vec::new();
        files_below(&self.root, &mut found);
        for path in found {
            std::fs::remove_file(path).unwrap();
        }
        for (path, file) in names {
            std::fs::write(path, self.files[file].after_power_loss(random)).unwrap();
        }
    }
}

fn opened_path(argument: &str) -> PathBuf {
    let path = argument.split_once('<').and_then(|(_, path)| path.strip_suffix('>')).unwrap_or_default();
    // Strange characters are escaped in it: all of them, where everything is to be in hexadecimal.
    let text = if path.starts_with("\\x") { unhex(path) } else { path.as_bytes().to_vec() };
    PathBuf::from(String::from_utf8(text).unwrap())
}

/// `\x61\x62` as bytes.
fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    text.as_bytes()
        .chunks_exact(4)
        .map(|piece| {
            assert_eq!(&piece[..2], b"\\x", "{text:.80}");
            digit(piece[2]) << 4 | digit(piece[3])
        })
        .collect()
}
