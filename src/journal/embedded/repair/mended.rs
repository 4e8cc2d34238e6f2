//! A log as it will be once its damage is cut out, so that it can be opened and appended to before that.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use crate::journal::embedded::disk::{Disk, File, Folder, Looked};
use crate::journal::embedded::survey::{Patch, Survey};

/// A folder whose damaged files read as if they were mended.
pub(super) struct Mended {
    /// Where what is not legible reads as zeros.
    looked: Looked,
    folder: Folder,
    patches: BTreeMap<String, Vec<Patch>>,
    hopeless: Vec<String>,
}

struct MendedFile {
    looked: Box<dyn File>,
    file: Box<dyn File>,
    patches: Vec<Patch>,
}

impl Mended {
    pub(super) fn new(path: PathBuf, folder: Folder, survey: &Survey) -> Self {
        let (patches, hopeless) = (survey.patches.clone(), survey.hopeless.clone());
        Self { looked: Looked(path), folder, patches, hopeless }
    }
}

impl Disk for Mended {
    fn names(&self) -> io::Result<Vec<String>> {
        let names = self.folder.names()?;
        Ok(names.into_iter().filter(|name| !self.hopeless.contains(name)).collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        self.folder.create(name)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let file = self.folder.open(name)?;
        let Some(patches) = self.patches.get(name) else { return Ok(file) };
        Ok(Box::new(MendedFile { looked: self.looked.open(name)?, file, patches: patches.clone() }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder.rename(from, to)
    }

    fn sync(&self) -> io::Result<()> {
        self.folder.sync()
    }
}

impl File for MendedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.patches.iter().map(Patch::end).fold(self.looked.len()?, u64::max))
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        let there = usize::try_from(self.len()?.saturating_sub(at)).unwrap_or(usize::MAX);
        let length = into.len().min(there);
        let into = &mut into[..length];
        let read = self.looked.read_at(into, at)?;
        into[read..].fill(0);
        for patch in &self.patches {
            let (from, to) = (patch.at.max(at), patch.end().min(at + length as u64));
            for place in from..to {
                // Both lie within what is in memory.
                let byte = usize::try_from(place - patch.at).ok().and_then(|byte| patch.bytes.get(byte));
                if let Some(into) = usize::try_from(place - at).ok().and_then(|at| into.get_mut(at)) {
                    *into = byte.copied().unwrap_or(0);
                }
            }
        }
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}
