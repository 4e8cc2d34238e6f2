//! The folder that a log lives in: all that is asked of a file system, so that tests can have one that fails.

#[cfg(any(test, fuzzing))]
pub(in crate::journal) mod simulated;

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A folder of files.
pub(super) trait Disk: Send + Sync + 'static {
    /// What is there.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Makes a file that must not be there. It may be gone after a crash, until the folder is synced.
    fn create(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// A file that is there, to read and write.
    fn open(&self, name: &str) -> io::Result<Box<dyn File>>;

    /// Removes a file. It may be back after a crash, until the folder is synced.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Gives a file another name, and lets go of one that has it. Until the folder is synced it may have the old one
    /// after a crash.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes durable what was created, renamed and removed.
    fn sync(&self) -> io::Result<()>;

    /// Keeps so many bytes from being used by anybody, until they are released. Nothing, where they are kept already.
    fn reserve(&self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }

    /// Releases them.
    fn release(&self) {}
}

/// The file that takes up what is reserved.
const RESERVE: &str = "reserve";

/// A file.
pub(super) trait File: Send + Sync {
    /// How long it is.
    fn len(&self) -> io::Result<u64>;

    /// Reads what is there from `at` on, as much as fits; less only at the file's end.
    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes all of it. Any part may be there after a crash, until it is synced.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Makes durable what was written. Once this has failed, nobody knows what the file holds.
    fn sync(&self) -> io::Result<()>;
}

/// A folder of the file system.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder, where it is not there.
    pub(super) fn make(path: &Path) -> io::Result<Self> {
        make_folder(path)?;
        Ok(Self(path.to_owned()))
    }
}

/// Makes a folder, and those above it, where they are not there, for their owner alone. Then their names are durable.
pub(in crate::journal) fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    make_folder(above(path))?;
    match fs::DirBuilder::new().mode(0o700).create(path) {
        // Another process was quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    sync_name(path)
}

/// Makes a folder's name durable. Where the folder above may not be read, it cannot be synced, and nothing is done.
pub(super) fn sync_name(path: &Path) -> io::Result<()> {
    match fs::File::open(above(path)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        opened => opened?.sync_all(),
    }
}

/// The folder that a path is in.
fn above(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => path,
    }
}

impl Disk for Folder {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            // What is not text is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        let mut options = fs::OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(self.0.join(name))?;
        Ok(Box::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        Ok(Box::new(fs::OpenOptions::new().read(true).write(true).open(self.0.join(name))?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn sync(&self) -> io::Result<()> {
        fs::File::open(&self.0)?.sync_all()
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        let path = self.0.join(RESERVE);
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == bytes) {
            return Ok(());
        }
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        let written = io::copy(&mut io::repeat(0).take(bytes), &mut file).map(drop);
        if written.is_err() {
            self.release();
        }
        written
    }

    fn release(&self) {
        // Where it is not there, there is nothing to release.
        drop(fs::remove_file(self.0.join(RESERVE)));
    }
}

/// A folder of the file system that is only looked at.
#[derive(Clone, Debug)]
pub(super) struct Looked(pub(super) PathBuf);

impl Disk for Looked {
    fn names(&self) -> io::Result<Vec<String>> {
        match Folder(self.0.clone()).names() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        }
    }

    fn create(&self, _name: &str) -> io::Result<Box<dyn File>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        Ok(Box::new(Legible(fs::File::open(self.0.join(name))?)))
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// A disk gives up a piece of so many bytes at once.
const PIECE: u64 = 4096;

/// A file of which some may not be legible: that reads as zeros, which are damage.
struct Legible(fs::File);

impl File for Legible {
    fn len(&self) -> io::Result<u64> {
        File::len(&self.0)
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        if let Ok(read) = File::read_at(&self.0, into, at) {
            return Ok(read);
        }
        let there = usize::try_from(File::len(&self.0)?.saturating_sub(at)).unwrap_or(usize::MAX);
        let length = into.len().min(there);
        let mut done = 0;
        while done < length {
            let from = at + done as u64;
            let part = usize::try_from(PIECE - from % PIECE).unwrap_or(1).min(length - done);
            let piece = &mut into[done..done + part];
            if !matches!(File::read_at(&self.0, piece, from), Ok(read) if read == part) {
                piece.fill(0);
            }
            done += part;
        }
        Ok(length)
    }

    fn write_at(&self, _bytes: &[u8], _at: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

impl File for fs::File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, mut into: &mut [u8], mut at: u64) -> io::Result<usize> {
        let mut done = 0;
        while !into.is_empty() {
            match FileExt::read_at(self, into, at) {
                Ok(0) => break,
                Ok(read) => {
                    into = &mut into[read..];
                    at += read as u64;
                    done += read;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
