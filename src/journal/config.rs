//! What the journal is told.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Configured;
use super::embedded::inspect::dormant;
use super::embedded::{LOCK, Settings, make_folder};
use crate::config::Section;
use crate::config::option::{
    AddressKind, AddressSpec, Kind, NO_ADDRESS, NO_AUTH, OptionSpec, Provider, SectionKind, duration, parse_size,
};
use crate::report::Report;

/// Where the journal is, if nobody says.
const FOLDER: &str = "/var/lib/vmware-event-router";

/// How much waits in memory.
pub const MAX_BYTES: OptionSpec = OptionSpec {
    name: "max_bytes",
    kind: Kind::Size { min: 1 << 20, max: 1 << 40 },
    default: Some("64MiB"),
    required: false,
    doc: "What the events that wait may occupy. When it is reached, streams wait.",
    example: "256MiB",
};

/// How much the folder holds.
pub const FOLDER_BYTES: OptionSpec = OptionSpec {
    name: "max_bytes",
    kind: Kind::Size { min: 1 << 20, max: 1 << 44 },
    default: Some("1GiB"),
    required: false,
    doc: "What the folder may hold. History goes first; when nine tenths of it are events that wait, streams wait.",
    example: "4GiB",
};

/// How long history is kept.
pub const MAX_AGE: OptionSpec = OptionSpec {
    name: "max_age",
    kind: Kind::Duration { min: Duration::ZERO, max: Duration::from_secs(10 * 365 * 86_400) },
    default: Some("24h"),
    required: false,
    doc: "How long events are kept that nobody waits for any more.",
    example: "168h",
};

/// When events are durable.
pub const SYNC: OptionSpec = OptionSpec {
    name: "sync",
    kind: Kind::Choice(&["always", "relaxed"]),
    default: Some("always"),
    required: false,
    doc: "`always`: an event is on the disk before vCenter is told. `relaxed`: within a second; that second may be lost when the power fails.",
    example: "relaxed",
};

/// How large files are.
pub const SEGMENT_BYTES: OptionSpec = OptionSpec {
    name: "segment_bytes",
    kind: Kind::Size { min: 64 << 10, max: 1 << 30 },
    default: Some("16MiB"),
    required: false,
    doc: "How large a file of events is. Space is given back by whole files. At most a sixteenth of `max_bytes`.",
    example: "64MiB",
};

/// The journal in a folder.
pub const EMBEDDED: Provider = Provider {
    kind: SectionKind::Journal,
    name: "embedded",
    address: AddressSpec {
        kind: AddressKind::Folder,
        default: Some(FOLDER),
        doc: "The folder. If it is not given, `$STATE_DIRECTORY` goes before the default.",
        example: "/srv/event-router",
    },
    auth: NO_AUTH,
    options: &[&[FOLDER_BYTES, MAX_AGE, SYNC, SEGMENT_BYTES]],
    doc: "Events wait in a folder, and survive crashes and power losses. So it is without a journal entry, where the folder can be written.",
};

/// The journal in memory.
pub const MEMORY: Provider = Provider {
    kind: SectionKind::Journal,
    name: "memory",
    address: NO_ADDRESS,
    auth: NO_AUTH,
    options: &[&[MAX_BYTES]],
    doc: "Events wait in memory and end with the process.",
};

/// The providers of the journal.
pub const PROVIDERS: &[&Provider] = &[&EMBEDDED, &MEMORY];

/// What the journal is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Config {
    /// Nothing.
    #[default]
    Unsaid,
    /// In memory.
    Memory {
        /// What the events that wait may occupy.
        max_bytes: u64,
    },
    /// In a folder.
    Embedded {
        /// Where; unless it is said, where the system or its service manager wants it.
        folder: Option<PathBuf>,
        /// The rest.
        settings: Settings,
    },
}

fn default_size(spec: &OptionSpec) -> u64 {
    spec.default.and_then(|text| parse_size(text, 0, u64::MAX).ok()).unwrap_or_default()
}

impl Config {
    /// Takes the section; what is wrong is noted there.
    pub fn parse(section: &mut Section) -> Self {
        match section.provider() {
            "memory" => {
                section.expect(&MEMORY);
                Self::Memory { max_bytes: section.size(&MAX_BYTES) }
            }
            "embedded" => {
                section.expect(&EMBEDDED);
                let folder = section.has_address().then(|| section.address(&EMBEDDED, |text| Ok(PathBuf::from(text))));
                Self::Embedded {
                    folder: folder.flatten(),
                    settings: Settings {
                        max_bytes: section.size(&FOLDER_BYTES),
                        max_age: section.duration(&MAX_AGE),
                        synced: section.choice(&SYNC) != "relaxed",
                        segment_bytes: section.size(&SEGMENT_BYTES),
                    },
                }
            }
            _ => {
                let known: Vec<_> = PROVIDERS.iter().map(|provider| provider.name).collect();
                section.unknown_provider(&known);
                Self::default()
            }
        }
    }

    /// Finds the folder where none is said. Where no journal was configured and the folder cannot be written, events
    /// wait in memory; that is said, since it loses what waits when the process ends.
    #[must_use]
    pub fn settled(self) -> Self {
        match self {
            Self::Embedded { folder: None, settings } => Self::Embedded { folder: Some(default_folder()), settings },
            Self::Unsaid => {
                let folder = default_folder();
                match try_to_write(&folder) {
                    Ok(()) => Self::Embedded { folder: Some(folder), settings: Settings::default() },
                    Err(error) => {
                        tracing::warn!(
                            folder = %folder.display(),
                            %error,
                            "the journal's folder cannot be written, so events wait in memory: those that wait are \
                             lost when the router ends. Make the folder writable, set STATE_DIRECTORY, or configure \
                             a journal with an address"
                        );
                        Self::memory()
                    }
                }
            }
            other => other,
        }
    }

    /// Finds the folder where none is said, without looking whether it can be written.
    #[must_use]
    pub fn found(self) -> Self {
        match self {
            Self::Embedded { folder: None, settings } => Self::Embedded { folder: Some(default_folder()), settings },
            Self::Unsaid if default_folder().exists() => {
                Self::Embedded { folder: Some(default_folder()), settings: Settings::default() }
            }
            other => other,
        }
    }

    /// Looks whether the journal can be used, without touching what is in it; and whether it knows what is not
    /// configured.
    pub fn check(&self, configured: &Configured, report: &mut Report) {
        match self {
            Self::Memory { .. } | Self::Unsaid => {
                report.warn("events wait in memory: those that wait are lost when the router ends");
            }
            Self::Embedded { folder, settings } => {
                let folder = folder.clone().unwrap_or_else(default_folder);
                let shown = folder.display();
                if let Err(error) = try_to_write(&folder) {
                    report.fail(format!("{shown} cannot be written: {error}; make it writable for the router's user"));
                    return;
                }
                report.ok(format!("events wait in {shown}"));
                match rustix::fs::statvfs(&folder) {
                    Ok(disk) => {
                        let free = disk.f_bavail.saturating_mul(disk.f_frsize).saturating_add(used(&folder));
                        let (has, may) = (show_size(free), show_size(settings.max_bytes));
                        if free < settings.max_bytes {
                            report.warn(format!(
                                "the journal may grow to {may}, and its disk has {has} for it: free some, or lower max_bytes"
                            ));
                        } else {
                            report.ok(format!("it may grow to {may}, and its disk has {has} for it"));
                        }
                    }
                    Err(error) => report.warn(format!("how much its disk has for it is not known: {error}")),
                }
                match dormant(&folder, configured) {
                    Ok(Configured { streams, processors }) => {
                        let act = "which is not configured: journal rename gives that to another one, journal forget lets it go";
                        for name in streams {
                            report.warn(format!("it knows where the stream {name} was, {act}"));
                        }
                        for name in processors {
                            report.warn(format!("it knows where the processor {name} was, {act}"));
                        }
                    }
                    Err(error) => report.warn(format!("what it knows cannot be read: {error}")),
                }
            }
        }
    }

    /// In memory, with what it may occupy by default.
    #[must_use]
    pub fn memory() -> Self {
        Self::Memory { max_bytes: default_size(&MAX_BYTES) }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_bytes: default_size(&FOLDER_BYTES),
            max_age: MAX_AGE.default.and_then(duration).unwrap_or_default(),
            synced: true,
            segment_bytes: default_size(&SEGMENT_BYTES),
        }
    }
}

fn default_folder() -> PathBuf {
    let given = env::var_os("STATE_DIRECTORY").unwrap_or_default();
    // A service manager may give several, with colons between.
    let first = env::split_paths(&given).next().filter(|path| !path.as_os_str().is_empty());
    first.unwrap_or_else(|| PathBuf::from(FOLDER))
}

/// Bytes of the files in the folder and those in it.
fn used(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => used(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// A size for people, in whole units.
fn show_size(bytes: u64) -> String {
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB")];
    let (unit, name) = units.into_iter().find(|(unit, _)| bytes >= 10 * unit).unwrap_or((1 << 20, "MiB"));
    format!("{} {name}", bytes / unit)
}

fn try_to_write(folder: &Path) -> io::Result<()> {
    make_folder(folder)?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).open(folder.join(LOCK)).map(drop)
}
