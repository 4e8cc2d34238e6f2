//! The journal in a folder: a log of events in segments, a log of how they ended, and the places of processors.
//!
//! Two threads write. One appends events: what comes while it syncs is written together and synced once. The other
//! keeps outcomes and places. Readers are given the newest entries from memory and the others from files.

mod batch;
mod cursor;
mod disk;
pub mod dormant;
mod engine;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod flips;
mod frame;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod history;
pub mod inspect;
mod keeper;
mod letters;
mod log;
#[cfg(test)]
mod model;
mod outcomes;
mod parts;
mod place;
pub mod repair;
#[cfg(test)]
mod safeguards;
mod scan;
#[cfg(test)]
mod specimen;
mod state;
mod survey;
mod tail;
mod writer;

use std::fs::{self, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use tracing::warn;
use uuid::Uuid;

pub use state::Settings;

use super::{Batch, Begin, Checkpoint, Cursor, CursorState, DeadLetters, History, Journal, JournalError, JournalStats};
use crate::attempt::{BatchLimits, Position};
pub(in crate::journal) use disk::make_folder;
use disk::{Disk as _, Folder};
use engine::{Engine, blocking};
use parts::Disks;

/// The file that is locked, so that one process alone writes.
pub(super) const LOCK: &str = "lock";

#[cfg(test)]
pub(super) use disk::simulated::Simulated;

/// The provider's name.
const NAME: &str = "embedded";

/// A journal in a folder, closed until it is opened.
pub struct EmbeddedJournal {
    folder: PathBuf,
    settings: Settings,
    processors: Vec<Arc<str>>,
    /// None, if it was not told which there are.
    streams: Option<Vec<Arc<str>>>,
    open: ArcSwapOption<(Engine, [u8; 32])>,
    /// Why it is not open.
    trouble: Mutex<String>,
}

impl EmbeddedJournal {
    /// In that folder, for the processors of those names. What it holds of others pins nothing.
    #[must_use]
    pub fn new(folder: &Path, settings: Settings, processors: Vec<Arc<str>>) -> Self {
        let trouble = Mutex::new("it is not open yet".to_owned());
        Self { folder: folder.to_owned(), settings, processors, streams: None, open: ArcSwapOption::empty(), trouble }
    }

    /// And for the streams of those names, which take over what it holds of others.
    #[must_use]
    pub fn of_streams(mut self, streams: Vec<Arc<str>>) -> Self {
        self.streams = Some(streams);
        self
    }

    /// On simulated disks, and open.
    #[cfg(test)]
    pub(super) fn simulated(
        disk: &Simulated,
        settings: Settings,
        processors: Vec<Arc<str>>,
    ) -> Result<Self, JournalError> {
        let [events, outcomes, places, letters] = ["events/", "outcomes/", "places/", "letters/"]
            .map(|folder| Arc::new(disk.folder(folder)) as Arc<dyn disk::Disk>);
        let disks = Disks { events, outcomes, places, letters };
        let engine = Engine::open(disks, settings.clone(), &processors, Arc::new(()))?;
        let open = ArcSwapOption::from_pointee((engine, [7; 32]));
        Ok(Self { folder: PathBuf::new(), settings, processors, streams: None, open, trouble: Mutex::default() })
    }

    fn engine(&self) -> Result<Arc<(Engine, [u8; 32])>, JournalError> {
        self.open.load_full().ok_or(JournalError::Closed)
    }
}

fn failed(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> JournalError {
    let what = what.into();
    move |error| JournalError::Io { what, why: error.to_string() }
}

/// Whose the folder is now; none, if nobody writes there.
fn owner(folder: &Path) -> Option<String> {
    let mut file = fs::File::open(folder.join(LOCK)).ok()?;
    matches!(file.try_lock(), Err(TryLockError::WouldBlock)).then(|| owner_in(&mut file))
}

/// Who says in the file that it is theirs.
fn owner_in(file: &mut fs::File) -> String {
    let mut owner = String::new();
    drop(file.read_to_string(&mut owner));
    owner.trim().parse::<u32>().map_or_else(|_| "another process".to_owned(), |id| format!("process {id}"))
}

/// Takes the folder for this process alone.
fn lock(folder: &Path) -> Result<fs::File, JournalError> {
    let path = folder.join(LOCK);
    let opened = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = opened.map_err(failed(format!("open {}", path.display())))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let owner = owner_in(&mut file);
            return Err(JournalError::InUse { folder: folder.display().to_string(), owner });
        }
        Err(TryLockError::Error(error)) => return Err(failed(format!("lock {}", path.display()))(error)),
    }
    // Only so that others can say whose it is.
    drop(file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id())));
    Ok(file)
}

/// The key that signs callbacks, made when there is none.
fn signing_key(folder: &Path) -> std::io::Result<[u8; 32]> {
    let (path, new) = (folder.join("key"), folder.join("key.new"));
    let mut key = [0; 32];
    match fs::File::open(&path).and_then(|mut file| file.read_exact(&mut key)) {
        Ok(()) => return Ok(key),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::UnexpectedEof) => {}
        Err(error) => return Err(error),
    }
    for part in key.chunks_exact_mut(16) {
        part.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    }
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&new, &path)?;
    fs::File::open(folder)?.sync_all()?;
    Ok(key)
}

/// A folder, made where it is not there.
fn made(path: PathBuf) -> Result<Folder, JournalError> {
    Folder::make(&path).map_err(failed(format!("make {}", path.display())))
}

/// The folders in that of a journal.
fn disks(folder: &Path) -> Result<Disks, JournalError> {
    Ok(Disks {
        events: Arc::new(made(folder.join("events"))?),
        outcomes: Arc::new(made(folder.join("outcomes"))?),
        places: Arc::new(made(folder.join("places"))?),
        letters: Arc::new(made(folder.join("letters"))?),
    })
}

fn open(folder: &Path, settings: Settings, processors: &[Arc<str>]) -> Result<(Engine, [u8; 32]), JournalError> {
    let own = made(folder.to_owned())?;
    let lock = lock(folder)?;
    let key = signing_key(folder).map_err(failed("read or make its key"))?;
    let disks = disks(folder)?;
    // What is in a folder is no more durable than the folder's name is. Whoever made one may have been killed before it
    // was, so it is made so each time; of the folder itself as well as can be, since it may be a disk of its own.
    own.sync().map_err(failed(format!("sync {}", folder.display())))?;
    if let Err(error) = disk::sync_name(folder) {
        warn!(folder = %folder.display(), %error, "the folder above the journal cannot be synced");
    }
    Ok((Engine::open(disks, settings, processors, Arc::new(lock))?, key))
}

#[async_trait]
impl Journal for EmbeddedJournal {
    async fn open(&self) -> Result<(), JournalError> {
        if self.open.load().is_some() {
            return Ok(());
        }
        let (folder, settings, processors) = (self.folder.clone(), self.settings.clone(), self.processors.clone());
        match blocking(move || open(&folder, settings, &processors)).await {
            Ok(opened) => {
                if let Some(streams) = &self.streams {
                    opened.0.say_dormant(streams);
                }
                self.open.store(Some(Arc::new(opened)));
                Ok(())
            }
            Err(error) => {
                *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
                Err(error)
            }
        }
    }

    fn max_batch(&self) -> BatchLimits {
        BatchLimits {
            events: 10_000,
            bytes: usize::try_from(self.settings.max_bytes / 10).unwrap_or(usize::MAX).min(8 << 20),
        }
    }

    async fn append(&self, batch: &mut Batch) -> Result<Position, JournalError> {
        self.engine()?.0.append(batch).await
    }

    fn check_space(&self) -> Result<(), JournalError> {
        self.engine()?.0.check_space()
    }

    async fn space(&self) {
        if let Ok(open) = self.engine() {
            open.0.space().await;
        }
    }

    async fn pace(&self) {
        if let Ok(open) = self.engine() {
            open.0.pace().await;
        }
    }

    async fn checkpoint(&self, stream: &str) -> Result<Option<Checkpoint>, JournalError> {
        // A copy, so that making its table holds up nobody who appends.
        let kept = self.engine()?.0.shared.checkpoints().get(stream).cloned();
        Ok(kept.map(|kept| kept.opened()))
    }

    async fn adopt(&self, stream: &str, instance: Uuid) -> Result<Option<Arc<str>>, JournalError> {
        match &self.streams {
            Some(streams) => self.engine()?.0.adopt(stream, instance, streams).await,
            None => Ok(None),
        }
    }

    async fn cursor(&self, processor: &str, begin: Begin) -> Result<Arc<dyn Cursor>, JournalError> {
        self.engine()?.0.cursor(processor, begin).await
    }

    async fn forget(&self, processor: &str) -> Result<(), JournalError> {
        self.engine()?.0.forget(processor).await
    }

    fn dead_letters(&self) -> Result<Arc<dyn DeadLetters>, JournalError> {
        Ok(Arc::clone(&self.engine()?.0.letters) as Arc<dyn DeadLetters>)
    }

    fn history(&self) -> Result<Arc<dyn History>, JournalError> {
        Ok(Arc::new(self.engine()?.0.history()))
    }

    fn places(&self) -> Vec<(Arc<str>, CursorState)> {
        self.engine().map(|open| open.0.places()).unwrap_or_default()
    }

    fn signing_key(&self) -> [u8; 32] {
        self.engine().map(|open| open.1).unwrap_or_default()
    }

    fn folder(&self) -> Option<&Path> {
        Some(&self.folder)
    }

    fn stats(&self) -> JournalStats {
        match self.engine() {
            Ok(open) => open.0.stats(),
            Err(_) => JournalStats {
                engine: NAME,
                max_bytes: self.settings.max_bytes,
                trouble: Some(self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()),
                ..JournalStats::default()
            },
        }
    }

    async fn close(&self) -> Result<(), JournalError> {
        match self.engine() {
            Ok(open) => open.0.close().await,
            Err(_) => Ok(()),
        }
    }
}
