//! The configuration: a file in, entries with their places out, and every
//! problem at once.
//!
//! This layer knows entries, options and secrets, but no provider. A provider
//! says in tables ([`Provider`], [`OptionSpec`]) what its entry may hold and
//! takes it with [`Section`]'s getters; `stream::parse` and `processor::parse`
//! say which providers there are, and `router::RouterConfig` puts all together.

pub mod delivery;
pub mod document;
pub mod option;
pub mod problem;
pub mod schema;
pub mod secret;
pub mod section;
pub mod tls;

use std::path::Path;

use document::{At, Value, WHOLE};
pub use option::{OptionSpec, Provider, SectionKind};
pub use problem::{Complaint, Problem, Problems};
pub use secret::{Secret, SecretError, SecretValue};
use section::Read;
pub use section::Section;

/// The entries of a file, and what is wrong so far.
#[derive(Debug)]
pub struct Loaded {
    /// Each entry that names its type and provider.
    pub sections: Vec<Section>,
    /// What is wrong outside of these.
    pub problems: Problems,
}

/// The entries of a configuration file.
#[must_use]
pub fn load(path: &Path) -> Loaded {
    let file = path.display().to_string();
    match document::read(path) {
        Ok(bytes) => parse(&file, &bytes),
        Err(problem) => Loaded { sections: Vec::new(), problems: one(&file, problem) },
    }
}

/// The entries of a configuration, as if it came from `file`.
#[must_use]
pub fn parse(file: &str, bytes: &[u8]) -> Loaded {
    let mut sections = Vec::new();
    let (root, twice) = match document::parse_json(bytes) {
        Ok(parsed) => parsed,
        Err(problem) => return Loaded { sections, problems: one(file, problem) },
    };
    let mut problems = Problems::new(file);
    problems.extend(twice);
    let Value::List(nodes) = &root.value else {
        let what = format!("is {}, not an array of entries", root.value.kind());
        problems.push(Problem::new(root.at, WHOLE, Complaint::new(what, "put the entries into [ ]")));
        return Loaded { sections, problems };
    };
    let mut kinds = Vec::new();
    for node in nodes {
        match Section::read(node) {
            Read::Section(section) => {
                kinds.push(Some(section.kind()));
                sections.push(*section);
            }
            Read::Unusable { kind, problems: more } => {
                kinds.push(kind);
                problems.extend(more);
            }
        }
    }
    for (kind, hint) in [
        (SectionKind::Stream, "add one with \"type\": \"stream\" and \"provider\": \"vmware_vcenter\""),
        (SectionKind::Processor, "add one with \"type\": \"processor\" and \"provider\": \"openfaas\""),
        (SectionKind::Metrics, "add one with \"type\": \"metrics\" and \"provider\": \"internal\""),
    ] {
        // An entry of an unknown type may be the one that is missing.
        if !kinds.contains(&Some(kind)) && !kinds.contains(&None) {
            let what = format!("has no {} entry", kind.name());
            problems.push(Problem::new(root.at, WHOLE, Complaint::new(what, hint)));
        }
    }
    for kind in [SectionKind::Metrics, SectionKind::Journal] {
        let mut same = sections.iter().filter(|section| section.kind() == kind);
        if let Some(first) = same.next() {
            let line = first.at().line;
            for section in same {
                let what = format!("is a second {} entry, after that in line {line}", kind.name());
                problems.push(Problem::new(section.at(), "type", Complaint::new(what, "keep one of them")));
            }
        }
    }
    Loaded { sections, problems }
}

fn one(file: &str, problem: Problem) -> Problems {
    let mut problems = Problems::new(file);
    problems.push(problem);
    problems
}

/// The problem that two entries have the same identity.
#[must_use]
pub fn same_identity(at: At, identity: &str, first: At) -> Problem {
    let what = format!("\"{identity}\" is also the entry in line {}", first.line);
    Problem::new(at, "name", Complaint::new(what, "give each a \"name\" of its own"))
}
