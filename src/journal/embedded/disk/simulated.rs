//! A disk in memory that loses and damages what a real one may lose and damage.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, File};

/// Bytes that a disk writes whole.
const SECTOR: usize = 512;

/// A piece that was written, and what becomes of it when the file is synced.
#[derive(Clone, Debug)]
struct Piece {
    at: u64,
    bytes: Vec<u8>,
    /// A sync of it failed: it counts as clean, is seen as long as it is cached, and will never be durable.
    lost: bool,
}

/// A file: what is durable, and what was written since, in order.
#[derive(Clone, Debug, Default)]
struct Content {
    durable: Vec<u8>,
    written: Vec<Piece>,
}

fn put(into: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let at = at as usize;
    if into.len() < at + bytes.len() {
        into.resize(at + bytes.len(), 0);
    }
    into[at..at + bytes.len()].copy_from_slice(bytes);
}

impl Content {
    /// What a reader sees.
    fn seen(&self) -> Vec<u8> {
        let mut all = self.durable.clone();
        self.written.iter().for_each(|piece| put(&mut all, piece.at, &piece.bytes));
        all
    }
}

/// Names that change at once, and the files that they lead to now.
type Change = Vec<(String, Option<usize>)>;

#[derive(Debug, Default)]
struct State {
    /// Files by number; names lead to them.
    files: Vec<Content>,
    names: BTreeMap<String, usize>,
    /// Names as they are after a crash, and what has changed since.
    durable_names: BTreeMap<String, usize>,
    changes: Vec<Change>,
    /// So many writes and syncs until one fails, and the next ones too.
    fail_in: Option<u32>,
}

/// A simulated folder. Clones are the same folder.
#[derive(Clone, Debug, Default)]
pub(in crate::journal) struct Simulated(Arc<Mutex<State>>);

impl Simulated {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From the operation after so many on, each fails; none: all succeed again.
    pub(in crate::journal) fn fail_in(&self, operations: Option<u32>) {
        self.lock().fail_in = operations;
    }

    /// What is there after a power loss: of what was not synced, what `keep` says, asked once for each piece.
    pub(in crate::journal) fn after_power_loss(&self, mut keep: impl FnMut() -> bool) -> Self {
        let state = self.lock();
        let mut files = state.files.clone();
        for file in &mut files {
            for Piece { at, bytes, lost } in std::mem::take(&mut file.written) {
                let mut from = 0;
                while from < bytes.len() {
                    let place = at as usize + from;
                    let to = (from + SECTOR - place % SECTOR).min(bytes.len());
                    // What is on the disk in the place of what was not written may be another file's, that is gone.
                    let stale = state.files.iter().find_map(|file| file.durable.get(place..place + to - from));
                    if !lost && keep() {
                        put(&mut file.durable, place as u64, &bytes[from..to]);
                    } else if let Some(stale) = stale
                        && place >= file.durable.len()
                        && keep()
                    {
                        put(&mut file.durable, place as u64, stale);
                    }
                    from = to;
                }
            }
        }
        let mut names = state.durable_names.clone();
        for change in &state.changes {
            if !keep() {
                continue;
            }
            for (name, file) in change {
                match file {
                    Some(file) => drop(names.insert(name.clone(), *file)),
                    None => drop(names.remove(name)),
                }
            }
        }
        let after = State { files, durable_names: names.clone(), names, ..State::default() };
        Self(Arc::new(Mutex::new(after)))
    }

    /// What is there after the process was killed: all that was written, synced or not.
    pub(in crate::journal) fn after_kill(&self) -> Self {
        let state = self.lock();
        let after = State {
            files: state.files.clone(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            changes: state.changes.clone(),
            ..State::default()
        };
        Self(Arc::new(Mutex::new(after)))
    }

    /// Turns a bit of a file over.
    pub(in crate::journal) fn flip(&self, name: &str, bit: usize) {
        let mut state = self.lock();
        let file = state.names[name];
        state.files[file].durable[bit / 8] ^= 1 << (bit % 8);
    }

    /// What a file holds.
    pub(in crate::journal) fn content(&self, name: &str) -> Vec<u8> {
        let state = self.lock();
        state.files[state.names[name]].seen()
    }
}

impl State {
    fn operation(&mut self) -> io::Result<()> {
        match &mut self.fail_in {
            Some(0) => Err(io::Error::other("the disk fails")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// A folder within a simulated disk.
pub(in crate::journal::embedded) struct SimulatedFolder {
    disk: Simulated,
    prefix: &'static str,
}

impl Simulated {
    /// What is in it has names that begin with `prefix`.
    pub(in crate::journal::embedded) fn folder(&self, prefix: &'static str) -> SimulatedFolder {
        SimulatedFolder { disk: self.clone(), prefix }
    }

    fn sync_names(&self, prefix: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.operation()?;
        let State { names, durable_names, changes, .. } = &mut *state;
        let others = std::mem::take(durable_names).into_iter().filter(|(name, _)| !name.starts_with(prefix));
        let these = names.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(name, file)| (name.clone(), *file));
        *durable_names = others.chain(these).collect();
        // Nothing is renamed from one folder to another.
        changes.retain(|change| !change.iter().all(|(name, _)| name.starts_with(prefix)));
        Ok(())
    }
}

impl Disk for SimulatedFolder {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.disk.names()?.iter().filter_map(|name| name.strip_prefix(self.prefix)).map(str::to_owned).collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.disk.create(&format!("{}{name}", self.prefix))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.disk.open(&format!("{}{name}", self.prefix))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(&format!("{}{name}", self.prefix))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(&format!("{}{from}", self.prefix), &format!("{}{to}", self.prefix))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.sync_names(self.prefix)
    }
}

impl Disk for Simulated {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let mut state = self.lock();
        state.operation()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(Content::default());
        state.names.insert(name.to_owned(), file);
        state.changes.push(vec![(name.to_owned(), Some(file))]);
        Ok(Box::new(SimulatedFile { disk: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let file = *self.lock().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), file }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.operation()?;
        state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.changes.push(vec![(name.to_owned(), None)]);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.operation()?;
        let file = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), file);
        state.changes.push(vec![(from.to_owned(), None), (to.to_owned(), Some(file))]);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_names("")
    }
}

struct SimulatedFile {
    disk: Simulated,
    file: usize,
}

impl File for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[self.file].seen().len() as u64)
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let seen = self.disk.lock().files[self.file].seen();
        let rest = seen.get(at as usize..).unwrap_or_default();
        let read = rest.len().min(into.len());
        into[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut state = self.disk.lock();
        if let Err(error) = state.operation() {
            // A part may be there all the same.
            let part = bytes[..bytes.len() / 2].to_vec();
            state.files[self.file].written.push(Piece { at, bytes: part, lost: false });
            return Err(error);
        }
        let file = &mut state.files[self.file];
        for piece in &mut file.written {
            // Where it is written again, the new bytes are seen.
            for (place, byte) in (at..).zip(bytes) {
                if let Some(old) = place.checked_sub(piece.at).and_then(|at| piece.bytes.get_mut(at as usize)) {
                    *old = *byte;
                }
            }
        }
        file.written.push(Piece { at, bytes: bytes.to_vec(), lost: false });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        let failed = state.operation();
        let file = &mut state.files[self.file];
        if let Err(error) = failed {
            file.written.iter_mut().for_each(|piece| piece.lost = true);
            return Err(error);
        }
        let (lost, written): (Vec<_>, Vec<_>) =
            std::mem::take(&mut file.written).into_iter().partition(|piece| piece.lost);
        for Piece { at, bytes, .. } in written {
            put(&mut file.durable, at, &bytes);
        }
        file.written = lost;
        Ok(())
    }
}
