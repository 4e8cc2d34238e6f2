//! Mending a damaged journal: what can be read stays, what cannot is cut out, told of, and read from vCenter again.
//!
//! A damaged file is put aside first. The beginning of a new segment, with the checkpoints that lead back to what is
//! lost, is durable before any damage is cut out: a repair that is interrupted is simply done again.

mod mended;
mod replay;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use uuid::Uuid;

use self::mended::Mended;
use self::replay::Replay;
use super::disk::{Disk, Folder, Looked};
use super::inspect::{Damage, Which, folder_of};
use super::log::{Log, LogError, segment_base};
use super::parts::{highest, options};
use super::place::{self, Found, Place};
use super::state::{Settings, micros};
use super::survey::{Seen, Survey, survey};
use super::{batch, failed, letters, lock, writer};
use crate::attempt::Position;
use crate::event::Event;
use crate::journal::{Batch, Checkpoint, Configured, CursorState, JournalError};

/// Where damaged files are put.
const ASIDE: &str = "damaged";

/// A router that waits for its journal has it now and then: so long it is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// So much is copied at once.
const PART: usize = 1 << 20;

/// Events of a stream that are lost with damage, or may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The stream.
    pub stream: Arc<str>,
    /// Its vCenter.
    pub instance: Uuid,
    /// From this moment on, in microseconds since 1970 by vCenter's clock.
    pub from: i64,
    /// And up to this one.
    pub to: i64,
    /// Whether the stream reads them again.
    pub again: bool,
    /// More has come since than is remembered: some events are journaled twice, with the same id.
    pub twice: bool,
    /// What happened.
    pub reason: String,
}

/// What was done, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What was damaged in the logs.
    pub damage: Vec<Damage>,
    /// What was damaged of places.
    pub places: Vec<String>,
    /// What streams miss.
    pub gaps: Vec<Gap>,
    /// Processors whose place is not known: they begin at the oldest event that is kept.
    pub anew: Vec<String>,
    /// Streams have no place any more: they begin where they are told to.
    pub placeless: bool,
    /// Where the damaged files are.
    pub aside: Option<PathBuf>,
}

impl Repaired {
    /// Nothing was damaged.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.damage.is_empty() && self.places.is_empty()
    }
}

/// Takes the folder, unless somebody has it for longer than a moment.
pub(super) fn take(folder: &Path) -> Result<fs::File, JournalError> {
    let began = Instant::now();
    loop {
        match lock(folder) {
            Err(JournalError::InUse { .. }) if began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(50));
            }
            other => return other,
        }
    }
}

/// Mends what is damaged in a journal's folder. `gap` makes the event that tells of a gap, where
/// the stream is known. With `dry` nothing is changed, and it is only said what would be.
///
/// # Errors
/// The folder is in use, is of a newer version, or cannot be read or written. Then it may be done again.
pub fn repair(
    folder: &Path,
    settings: &Settings,
    configured: &Configured,
    gap: &dyn Fn(&Gap) -> Option<Event>,
    dry: bool,
) -> Result<Repaired, JournalError> {
    let _lock = if dry { None } else { Some(take(folder)?) };
    let told = |error: LogError| writer::told(&error);
    let places: Arc<dyn Disk> = Arc::new(Looked(folder.join("places")));
    let Found { places, broken } = place::find(&places).map_err(failed("read places"))?;
    let mut replay = Replay::new(settled(&places, configured));
    let mut letter = Position(0);
    let mut surveys = BTreeMap::new();
    for which in Which::ALL {
        let disk = folder_of(folder, which);
        let surveyed = survey(&disk, which.name(), which.number(), which.is_sound(), &mut |seen| {
            match (which, seen) {
                (Which::Events, seen) => replay.visit(&seen),
                (Which::Letters, Seen::Frame(_, payload)) => {
                    letter = letter.max(letters::read_id(&mut &payload[..]).map_or(Position(0), |id| id.position));
                }
                _ => {}
            }
            true
        });
        surveys.insert(which.name(), surveyed.map_err(told)?);
    }
    let damage: Vec<_> = Which::ALL.iter().filter_map(|which| surveys.get(which.name())).collect();
    let damage: Vec<_> = damage.into_iter().flat_map(|survey| survey.damage.iter().cloned()).collect();
    let stems: BTreeMap<_, _> = configured.processors.iter().map(|name| (place::stem(name), name)).collect();
    let (checkpoints, gaps) = replay.finish();
    let mut repaired = Repaired {
        placeless: checkpoints.is_empty() && damage.iter().any(|damage| damage.file.starts_with("events/")),
        anew: broken.iter().filter_map(|stem| stems.get(stem)).map(ToString::to_string).collect(),
        places: broken.clone(),
        damage,
        gaps,
        aside: None,
    };
    if dry || repaired.is_nothing() {
        return Ok(repaired);
    }
    repaired.aside = Some(put_aside(folder, &surveys, &broken).map_err(failed("put damaged files aside"))?);

    let [events, outcomes, letters] = Which::ALL.map(Which::name);
    let written = |name: &str| Folder::make(&folder.join(name)).map_err(failed(format!("open {name}")));
    if let Some(survey) = surveys.get(events).filter(|survey| !survey.damage.is_empty()) {
        let floor = places.values().map(|(.., state)| highest(state)).fold(letter, Position::max);
        let floor = floor.max(Position(survey.above.0.saturating_sub(1)));
        let disk: Arc<dyn Disk> = Arc::new(Mended::new(folder.join(events), written(events)?, survey));
        let opened = Log::open(disk, options(settings), floor, &mut |_| {});
        let (mut log, _) = opened.map_err(told)?;
        let told_of = repaired.gaps.iter().filter_map(|of| Some((Arc::clone(&of.stream), gap(of)?)));
        let batches = told_of.map(|(stream, event)| Batch { stream, events: vec![event], checkpoint: None });
        let batches: Vec<_> = batches.collect();
        let time = micros(std::time::SystemTime::now()).max(survey.time);
        let begun = log.append(
            time,
            &mut |frames| {
                checkpoints.iter().for_each(|(name, checkpoint)| batch::write_checkpoint(frames, name, checkpoint));
            },
            &mut |frames| batches.iter().for_each(|batch| batch::write(frames, batch)),
        );
        begun.and_then(|()| log.sync()).map_err(told)?;
    }
    for name in [events, outcomes, letters] {
        if let Some(survey) = surveys.get(name).filter(|survey| !survey.damage.is_empty()) {
            let disk = written(name)?;
            if name == outcomes {
                // As long as there is damage, it is done again.
                let_go_before(&disk, survey).map_err(failed(format!("mend {name}")))?;
            }
            cut_out(&disk, survey).map_err(failed(format!("mend {name}")))?;
        }
    }
    if !broken.is_empty() {
        let first = surveys.get(events).and_then(|survey| survey.span).map_or(Position(0), |(first, _)| first);
        let begin = CursorState { front: Position(first.0.saturating_sub(1)), lanes: Vec::new() };
        begin_anew(&written("places")?, &broken, &stems, &begin).map_err(failed("mend places"))?;
    }
    Ok(repaired)
}

/// What all configured processors are done with.
fn settled(places: &BTreeMap<Arc<str>, (u64, usize, CursorState)>, configured: &Configured) -> Position {
    let place = |name| places.get(name).map_or(Position(0), |(.., state)| state.settled_through());
    configured.processors.iter().map(place).min().unwrap_or_default()
}

/// Copies the files that will be changed, and says where they are.
fn put_aside(folder: &Path, surveys: &BTreeMap<&str, Survey>, broken: &[String]) -> io::Result<PathBuf> {
    let now = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut aside = folder.join(ASIDE).join(&now);
    let mut number = 1;
    while aside.exists() {
        number += 1;
        aside = folder.join(ASIDE).join(format!("{now}-{number}"));
    }
    let mut files: Vec<(&str, String)> = Vec::new();
    for (log, survey) in surveys {
        let names: BTreeSet<_> = survey.patches.keys().chain(&survey.hopeless).collect();
        files.extend(names.into_iter().map(|name| (*log, name.clone())));
    }
    files.extend(broken.iter().flat_map(|stem| place::files(stem)).map(|name| ("places", name)));
    for (part, name) in files {
        let to = aside.join(part);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&to)?;
        let from = Looked(folder.join(part)).open(&name)?;
        let mut copy = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to.join(&name))?;
        let length = from.len()?;
        let mut bytes = vec![0; PART];
        let mut at = 0;
        while at < length {
            let read = from.read_at(&mut bytes, at)?;
            if read == 0 {
                break;
            }
            copy.write_all(&bytes[..read])?;
            at += read as u64;
        }
        copy.sync_all()?;
        fs::File::open(&to)?.sync_all()?;
    }
    for folder in [&aside, &folder.join(ASIDE), folder] {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(aside)
}

/// Writes over what cannot be read.
fn cut_out(disk: &dyn Disk, survey: &Survey) -> io::Result<()> {
    let zeros = vec![0; PART];
    for (name, patches) in &survey.patches {
        let file = match disk.open(name) {
            // It was found to hold nothing, and let go when the new segment was begun.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        for patch in patches {
            file.write_at(&patch.bytes, patch.at)?;
            let mut at = patch.at + patch.bytes.len() as u64;
            while at < patch.end() {
                let part = usize::try_from(patch.end() - at).unwrap_or(PART).min(PART);
                file.write_at(&zeros[..part], at)?;
                at += part as u64;
            }
        }
        file.sync()?;
    }
    for name in &survey.hopeless {
        match disk.remove(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    disk.sync()
}

/// Lets outcomes go that are older than a file which is gone: in that one, their processor may have been forgotten.
fn let_go_before(disk: &dyn Disk, survey: &Survey) -> io::Result<()> {
    let Some(gone) = survey.hopeless.iter().filter_map(|name| segment_base(name)).max() else { return Ok(()) };
    for name in disk.names()? {
        if segment_base(&name).is_some_and(|base| base < gone) {
            disk.remove(&name)?;
        }
    }
    disk.sync()
}

/// Lets processors begin at the oldest event whose place is not known. What the outcomes say was settled is skipped.
fn begin_anew(
    disk: &Folder,
    broken: &[String],
    stems: &BTreeMap<String, &Arc<str>>,
    begin: &CursorState,
) -> io::Result<()> {
    for stem in broken {
        for file in place::files(stem) {
            disk.remove(&file)?;
        }
        if let Some(name) = stems.get(stem) {
            let mut place = Place::new(Arc::new(disk.clone()), Arc::clone(name));
            for _ in 0..2 {
                place.write(begin).and_then(|()| place.sync())?;
            }
        }
    }
    disk.sync()
}

/// Streams' checkpoints, by name.
type Checkpoints = BTreeMap<Arc<str>, Checkpoint>;
