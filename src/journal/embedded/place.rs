//! The durable places of processors: for each, two files that are written in turn, so that one is always whole.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use ring::digest;

use super::disk::{Disk, File};
use crate::attempt::{Position, Target};
use crate::event::stored::{read_number, read_text, write_number, write_text};
use crate::journal::CursorState;

const MAGIC: [u8; 8] = *b"VER-CUR\n";
const VERSION: u16 = 1;

/// A file is larger than it need be by at least so much.
const RESERVE: usize = 4096;

/// As much as a file may hold: a million targets are behind.
const MOST: u64 = 256 << 20;

/// A processor's place on the disk.
pub(super) struct Place {
    disk: Arc<dyn Disk>,
    name: Arc<str>,
    files: [Option<Box<dyn File>>; 2],
    /// The one that is written next; the other is durable, once there is one.
    turn: usize,
    number: u64,
    /// What is to be written there, until it is durable; and whether it is written.
    bytes: Option<Vec<u8>>,
    written: bool,
}

/// The file's name does not depend on what a processor's name may hold.
fn file_name(processor: &str, turn: usize) -> String {
    let digest = digest::digest(&digest::SHA256, processor.as_bytes());
    let mut name: String = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    name.push_str(if turn == 0 { ".a.cursor" } else { ".b.cursor" });
    name
}

/// Removes a processor's place.
pub(super) fn remove(disk: &dyn Disk, processor: &str) -> io::Result<()> {
    for file in files(&stem(processor)) {
        match disk.remove(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    disk.sync()
}

fn encode(name: &str, number: u64, state: &CursorState) -> Vec<u8> {
    let mut payload = Vec::new();
    write_text(&mut payload, name);
    write_number(&mut payload, state.front.0);
    write_number(&mut payload, state.lanes.len() as u64);
    for (target, through) in &state.lanes {
        write_text(&mut payload, target.as_str());
        write_number(&mut payload, through.0);
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&payload);
    let sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    // Room for more lanes: where the disk is full, moving on is what frees it.
    bytes.resize(bytes.len().next_multiple_of(RESERVE) + RESERVE, 0);
    bytes
}

/// What a file holds that is whole: its version, its number and the rest.
fn whole(bytes: &[u8]) -> Option<(u16, u64, &[u8])> {
    let head = bytes.get(..26)?;
    let version = u16::from_le_bytes(*head[8..].first_chunk()?);
    let number = u64::from_le_bytes(*head[10..].first_chunk()?);
    let length = usize::try_from(u64::from_le_bytes(*head[18..].first_chunk()?)).ok()?;
    let end = length.checked_add(26)?;
    let sum = u32::from_le_bytes(*bytes.get(end..)?.first_chunk()?);
    (head[..8] == MAGIC && crc32fast::hash(&bytes[..end]) == sum).then(|| (version, number, &bytes[26..end]))
}

fn decode(bytes: &[u8]) -> Option<(u64, Arc<str>, CursorState)> {
    let (_, number, mut rest) = whole(bytes).filter(|(version, ..)| *version <= VERSION)?;
    let name = read_text(&mut rest)?.into();
    let front = Position(read_number(&mut rest)?);
    let mut lanes = Vec::new();
    for _ in 0..read_number(&mut rest)? {
        let target = Target::new(read_text(&mut rest)?);
        lanes.push((target, Position(read_number(&mut rest)?)));
    }
    Some((number, name, CursorState { front, lanes }))
}

/// The processor that a file is of.
#[cfg(any(test, fuzzing))]
pub(super) fn name_in(bytes: &[u8]) -> Option<String> {
    decode(bytes).map(|(_, name, _)| name.to_string())
}

/// Makes a file's checksum right, and a length that is too long, so that what is before it is looked at.
#[cfg(any(test, fuzzing))]
pub(super) fn set_right(bytes: &mut [u8]) {
    let Some(most) = bytes.len().checked_sub(30) else { return };
    bytes[..8].copy_from_slice(&MAGIC);
    let length = bytes[18..26].first_chunk().map_or(0, |length| u64::from_le_bytes(*length)).min(most as u64);
    bytes[18..26].copy_from_slice(&length.to_le_bytes());
    let end = 26 + length as usize;
    let sum = crc32fast::hash(&bytes[..end]);
    bytes[end..end + 4].copy_from_slice(&sum.to_le_bytes());
}

/// Each processor's place.
pub(super) type Places = BTreeMap<Arc<str>, (Place, CursorState)>;

/// What is in the files of places.
pub(super) struct Found {
    /// Each processor's: how often it was written, in which of the files, and what.
    pub(super) places: BTreeMap<Arc<str>, (u64, usize, CursorState)>,
    /// Pairs of files of which none can be read, by what their names have in common.
    pub(super) broken: Vec<String>,
}

/// Reads the files of all processors. Where one is not whole, the other counts: it is older, or this was the first to
/// be written and nobody was told.
///
/// # Errors
/// The folder or a file cannot be read, or a file is of a newer version.
pub(super) fn find(disk: &Arc<dyn Disk>) -> io::Result<Found> {
    let mut places: BTreeMap<Arc<str>, (u64, usize, CursorState)> = BTreeMap::new();
    let mut unreadable = Vec::new();
    for file in disk.names()?.iter().filter(|name| name.ends_with(".cursor")) {
        let content = disk.open(file)?;
        let mut bytes = vec![0; usize::try_from(content.len()?.min(MOST)).unwrap_or(0)];
        let read = content.read_at(&mut bytes, 0)?;
        if let Some((version, ..)) = whole(&bytes[..read])
            && version > VERSION
        {
            let why = format!("{file} is of version {version}, and this router knows versions up to {VERSION}");
            return Err(io::Error::other(why));
        }
        let Some((number, name, state)) = decode(&bytes[..read]) else {
            unreadable.push(file.clone());
            continue;
        };
        let turn = usize::from(*file == file_name(&name, 1));
        if places.get(&name).is_none_or(|(other, ..)| *other < number) {
            places.insert(name, (number, turn, state));
        }
    }
    let both = |name: &&str| unreadable.iter().any(|other| *other == format!("{name}.b.cursor"));
    let broken = unreadable.iter().filter_map(|file| file.strip_suffix(".a.cursor")).filter(both);
    Ok(Found { broken: broken.map(str::to_owned).collect(), places })
}

/// What the names of a processor's files have in common.
pub(super) fn stem(processor: &str) -> String {
    let name = file_name(processor, 0);
    name.strip_suffix(".a.cursor").unwrap_or(&name).to_owned()
}

/// The two files with such names.
pub(super) fn files(stem: &str) -> [String; 2] {
    [format!("{stem}.a.cursor"), format!("{stem}.b.cursor")]
}

impl Place {
    /// The places of all processors that there are, and the files of those of whom it is not known.
    ///
    /// # Errors
    /// The folder or a file cannot be read, or not be made durable.
    pub(super) fn all(disk: &Arc<dyn Disk>) -> io::Result<(Places, Vec<String>)> {
        let Found { places: found, broken } = find(disk)?;
        let mut places = BTreeMap::new();
        for (name, (number, turn, state)) in found {
            let mut place = Self::new(Arc::clone(disk), Arc::clone(&name));
            (place.turn, place.number) = (turn, number);
            // Nobody knows whether the newer one is durable, and the older one is about to be written over.
            let bytes = encode(&name, number, &state);
            let file = place.file()?;
            file.write_at(&bytes, 0)?;
            file.sync()?;
            place.turn = 1 - turn;
            places.insert(name, (place, state));
        }
        Ok((places, broken))
    }

    /// A place that is not on the disk yet.
    pub(super) fn new(disk: Arc<dyn Disk>, name: Arc<str>) -> Self {
        Self { disk, name, files: [None, None], turn: 0, number: 0, bytes: None, written: false }
    }

    fn file(&mut self) -> io::Result<&dyn File> {
        let slot = &mut self.files[self.turn];
        if slot.is_none() {
            let name = file_name(&self.name, self.turn);
            let file = match self.disk.open(&name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.disk.create(&name)?,
                other => other?,
            };
            // Where it is there already, this may have failed when it was made.
            self.disk.sync()?;
            *slot = Some(file);
        }
        slot.as_deref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Writes the place down. It is durable once it is synced; until then the one before is.
    ///
    /// # Errors
    /// It could not be written. The next sync tries again.
    pub(super) fn write(&mut self, state: &CursorState) -> io::Result<()> {
        self.number += 1;
        let bytes = encode(&self.name, self.number, state);
        let written = self.file().and_then(|file| file.write_at(&bytes, 0));
        (self.bytes, self.written) = (Some(bytes), written.is_ok());
        written
    }

    /// Makes durable what was written last.
    ///
    /// # Errors
    /// It may not be; the one before is there still.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let Some(bytes) = self.bytes.take() else { return Ok(()) };
        let done = self.make_durable(&bytes);
        match &done {
            Ok(()) => self.turn = 1 - self.turn,
            // It would succeed next time, without having done anything, unless it is written again.
            Err(_) => (self.bytes, self.written) = (Some(bytes), false),
        }
        done
    }

    fn make_durable(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.written;
        let file = self.file()?;
        if !written {
            file.write_at(bytes, 0)?;
        }
        file.sync()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::journal::embedded::disk::simulated::Simulated;

    fn state(front: u64) -> CursorState {
        // With lanes, it takes more than the disk writes at once.
        let name = |lane| format!("{lane}{}", "f".repeat(400));
        let lanes = (0..front % 4).map(|lane| (Target::new(&name(lane)), Position(front - lane))).collect();
        CursorState { front: Position(front), lanes }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write,
        Sync,
        Fail(u32),
        Mend,
        Kill,
        PowerLoss(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            5 => Just(Step::Write),
            4 => Just(Step::Sync),
            1 => (0..4_u32).prop_map(Step::Fail),
            1 => Just(Step::Mend),
            1 => Just(Step::Kill),
            2 => any::<u64>().prop_map(Step::PowerLoss),
        ];
        prop::collection::vec(step, 1..40)
    }

    #[test]
    fn damage_is_no_beginning() {
        let disk = Simulated::default();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut place = Place::new(Arc::clone(&shared), "p".into());
        for front in [5, 7] {
            place.write(&state(front)).unwrap();
            place.sync().unwrap();
        }
        disk.flip(&file_name("p", 1), 300);
        assert_eq!(Place::all(&shared).unwrap().0["p"].1, state(5), "the older one counts");
        disk.flip(&file_name("p", 0), 300);
        disk.flip(&file_name("p", 1), 200);
        let (places, lost) = Place::all(&shared).unwrap();
        assert!(places.is_empty() && lost == [stem("p")], "{lost:?}");
    }

    #[test]
    fn a_newer_version_is_no_damage() {
        let disk = Simulated::default();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut place = Place::new(Arc::clone(&shared), "p".into());
        place.write(&state(4)).unwrap();
        place.sync().unwrap();
        let mut bytes = disk.content(&file_name("p", 0));
        bytes[8] = 2;
        let end = 26 + usize::from(bytes[18]);
        let sum = crc32fast::hash(&bytes[..end]);
        bytes[end..end + 4].copy_from_slice(&sum.to_le_bytes());
        let file = shared.open(&file_name("p", 0)).unwrap();
        file.write_at(&bytes, 0).unwrap();
        file.sync().unwrap();
        let why = find(&shared).err().unwrap().to_string();
        assert!(why.ends_with("is of version 2, and this router knows versions up to 1"), "{why}");
        // But a bit of it may have turned over.
        disk.flip(&file_name("p", 0), 8 * 12);
        assert!(find(&shared).unwrap().places.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn a_place_that_was_synced_is_never_lost(steps in steps()) {
            let mut disk = Simulated::default();
            let mut place = Place::new(Arc::new(disk.clone()), "p/1".into());
            let (mut front, mut most, mut durable) = (0, 0, 0);
            for step in steps {
                let after = match step {
                    Step::Write => {
                        front += 1;
                        most = front.max(most);
                        place.write(&state(front)).ok();
                        continue;
                    }
                    Step::Sync => {
                        if place.sync().is_ok() {
                            durable = front;
                        }
                        continue;
                    }
                    Step::Fail(operations) => {
                        disk.fail_in(Some(operations));
                        continue;
                    }
                    Step::Mend => {
                        disk.fail_in(None);
                        continue;
                    }
                    Step::Kill => disk.after_kill(),
                    Step::PowerLoss(seed) => {
                        let mut random = fastrand::Rng::with_seed(seed);
                        disk.after_power_loss(|| random.bool())
                    }
                };
                disk = after;
                let shared: Arc<dyn Disk> = Arc::new(disk.clone());
                let found = Place::all(&shared).unwrap().0.remove("p/1");
                let (now, seen) = found.unwrap_or_else(|| (Place::new(shared, "p/1".into()), CursorState::default()));
                prop_assert!((durable..=most).contains(&seen.front.0), "{} of {durable} to {most}", seen.front);
                prop_assert!(seen.front.0 == 0 || seen == state(seen.front.0));
                (place, front) = (now, seen.front.0);
                durable = front;
            }
        }
    }
}
