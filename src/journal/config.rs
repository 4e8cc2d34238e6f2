//! What the journal is told.

use crate::config::Section;
use crate::config::option::{Kind, NO_ADDRESS, NO_AUTH, OptionSpec, Provider, SectionKind};

/// How much waits.
pub const MAX_BYTES: OptionSpec = OptionSpec {
    name: "max_bytes",
    kind: Kind::Size { min: 1 << 20, max: 1 << 40 },
    default: Some("64MiB"),
    required: false,
    doc: "What the events that wait may occupy. When it is reached, streams wait.",
    example: "256MiB",
};

/// The journal in memory.
pub const MEMORY: Provider = Provider {
    kind: SectionKind::Journal,
    name: "memory",
    address: NO_ADDRESS,
    auth: NO_AUTH,
    options: &[&[MAX_BYTES]],
    doc: "Events wait in memory and end with the process. So it is without a journal entry.",
};

/// The providers of the journal.
pub const PROVIDERS: &[&Provider] = &[&MEMORY];

/// What the journal is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Config {
    /// In memory.
    Memory {
        /// What the events that wait may occupy.
        max_bytes: u64,
    },
}

impl Default for Config {
    fn default() -> Self {
        Self::Memory { max_bytes: 64 << 20 }
    }
}

impl Config {
    /// Takes the section; what is wrong is noted there.
    pub fn parse(section: &mut Section) -> Self {
        match section.provider() {
            "memory" => {
                section.expect(&MEMORY);
                Self::Memory { max_bytes: section.size(&MAX_BYTES) }
            }
            _ => {
                let known: Vec<_> = PROVIDERS.iter().map(|provider| provider.name).collect();
                section.unknown_provider(&known);
                Self::default()
            }
        }
    }
}
