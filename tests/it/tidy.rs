//! What holds of the tree itself: which way imports point, how long files are, what must not be in them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Modules in the order of `src/lib.rs`, with what each may import. The first are the base: nothing of ours above them.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("attempt", &["event"]),
    ("pattern", &["event"]),
    ("backoff", &[]),
    ("http", &[]),
    ("config", &["http", "pattern"]),
    ("report", &[]),
    ("telemetry", &["attempt", "event"]),
    ("vim25", &[]),
    ("simulator", &["vim25"]),
    ("journal", &["attempt", "config", "event", "report", "telemetry"]),
    ("stream", &["backoff", "config", "event", "http", "journal", "report", "telemetry", "vim25"]),
    ("processor", &["attempt", "backoff", "config", "event", "http", "pattern", "report", "telemetry"]),
    ("delivery", &["attempt", "backoff", "config", "event", "journal", "processor", "telemetry"]),
    ("admin", &["attempt", "config", "event", "http", "journal", "pattern", "telemetry"]),
    (
        "router",
        &[
            "admin",
            "attempt",
            "backoff",
            "config",
            "delivery",
            "event",
            "journal",
            "pattern",
            "processor",
            "report",
            "stream",
            "telemetry",
        ],
    ),
    (
        "cli",
        &[
            "admin",
            "attempt",
            "config",
            "event",
            "http",
            "journal",
            "pattern",
            "processor",
            "report",
            "router",
            "simulator",
            "stream",
            "telemetry",
            "vim25",
        ],
    ),
];

/// As long as a file may be.
const LONGEST: usize = 700;

/// Longer for a reason.
const LONGER: &[(&str, usize)] = &[
    ("src/vim25/schema/table.rs", usize::MAX),
    ("src/router/config_tests.rs", 900),
    ("tests/it/support/gateway.rs", 900),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            // What is made here is not ours to judge.
            if !matches!(name, ".git" | "target" | "dist" | "__pycache__") {
                walk(&path, found);
            }
        } else if name != ".git" {
            found.push(path);
        }
    }
}

/// All files with text, by their paths from the root.
fn files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk(root(), &mut found);
    found.sort();
    let text = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).ok()?;
        Some((path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(), text))
    };
    found.into_iter().filter_map(text).collect()
}

/// Source files of the library that are not tests, without comments and the tests within them.
fn sources() -> Vec<(String, String)> {
    let ours = files().into_iter().filter(|(path, _)| {
        path.starts_with("src/") && path.ends_with(".rs") && !path.ends_with("tests.rs") && path != "src/main.rs"
    });
    let code = ours.map(|(path, text)| {
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
        let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        (path, code.join("\n"))
    });
    code.collect()
}

/// The paths that a use tree names, such as `{a::{b, c}, d}`, after a prefix.
fn expand(tree: &str, prefix: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        found.push(format!("{prefix}{tree}"));
        return;
    };
    let rest = rest.strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut start) = (0, 0);
    for (at, c) in rest.char_indices().chain([(rest.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !rest[start..at].trim().is_empty() {
                    expand(&rest[start..at], &format!("{prefix}{}", head.trim()), found);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// Every path into the crate that the code names, without `crate::`.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let path = &code[at + "crate::".len()..];
        let before = &code[..at];
        if before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let statement = before.rsplit(['\n', ';', '}']).next().unwrap_or_default().trim_start();
        let is_use = statement.starts_with("use ") || statement.starts_with("pub use ");
        let end = if is_use {
            path.find(';').unwrap()
        } else {
            path.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(path.len())
        };
        expand(&path[..end], "", &mut found);
    }
    found
}

fn module(path: &str) -> &str {
    path.trim_start_matches("src/").split(['/', '.']).next().unwrap()
}

#[test]
fn the_reader_of_imports_reads_them() {
    let code = "use crate::a::{b, c::{D, E}};\npub use crate::{f, g::H};\nlet x = crate::i::j(mycrate::k);";
    let mut found = imports(code);
    found.sort();
    assert_eq!(found, ["a::b", "a::c::D", "a::c::E", "f", "g::H", "i::j"]);
}

#[test]
fn imports_point_one_way() {
    let sources = sources();
    let mut wrong = Vec::new();
    for (path, code) in &sources {
        let own = module(path);
        if own == "lib" {
            continue;
        }
        let (_, allowed) = MAY_IMPORT
            .iter()
            .find(|(name, _)| *name == own)
            .unwrap_or_else(|| panic!("{path}: say what {own} may import, here and in ARCHITECTURE.md"));
        for import in imports(code) {
            let other = import.split("::").next().unwrap().trim();
            if other != own && !allowed.contains(&other) {
                wrong.push(format!("{path} imports {import}"));
            }
        }
        let up = code.matches("super::super::super::super::").count();
        assert_eq!(up, 0, "{path}: a path from the crate's root is clearer");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // The table itself points one way.
    for (at, (name, allowed)) in MAY_IMPORT.iter().enumerate() {
        let earlier: BTreeSet<_> = MAY_IMPORT[..at].iter().map(|(name, _)| *name).collect();
        for other in *allowed {
            assert!(earlier.contains(other), "{name} may not import {other}, which comes after it");
        }
    }
    let known: BTreeSet<_> = sources.iter().map(|(path, _)| module(path)).filter(|module| *module != "lib").collect();
    assert_eq!(known, MAY_IMPORT.iter().map(|(name, _)| *name).collect(), "every module is in the table");
}

#[test]
fn no_provider_knows_another() {
    for (path, code) in sources() {
        let parts: Vec<_> = path.trim_start_matches("src/").split('/').collect();
        let (side, provider) = match parts[..] {
            [side @ ("stream" | "processor"), provider, ..] if provider != "mod.rs" => (side, provider),
            _ => continue,
        };
        let provider = provider.trim_end_matches(".rs");
        for import in imports(&code) {
            let mut import = import.split("::");
            if import.next() == Some(side)
                && let Some(other) = import.next()
            {
                let is_module = root().join("src").join(side).join(other).exists()
                    || root().join("src").join(side).join(format!("{other}.rs")).exists();
                assert!(other == provider || !is_module, "{path} imports {side}::{other}");
            }
        }
    }
}

#[test]
fn files_are_not_too_long_to_read() {
    for (path, text) in files() {
        if !path.ends_with(".rs") {
            continue;
        }
        let most = LONGER.iter().find(|(name, _)| *name == path).map_or(LONGEST, |(_, most)| *most);
        let lines = text.lines().count();
        assert!(lines <= most, "{path} has {lines} lines: split it");
    }
}

/// A clone builds anywhere: nothing points into the machine where it was written.
#[test]
fn no_file_knows_a_machine_or_a_mirror() {
    let here = root().to_str().unwrap().to_owned();
    let mut private: Vec<String> = Vec::new();
    if here.matches('/').count() > 2 {
        private.push(here);
    }
    // Where this machine gets its packages from, if it has mirrors.
    for name in ["GOPROXY", "PIP_INDEX_URL", "CARGO_REGISTRIES_CRATES_IO_INDEX", "npm_config_registry"] {
        let value = std::env::var(name).unwrap_or_default();
        let hosts = value.split(',').filter_map(|url| url::Url::parse(url).ok()?.host_str().map(str::to_owned));
        let public = ["proxy.golang.org", "pypi.org", "crates.io", "npmjs.org", "localhost", "127.0.0.1"];
        private.extend(hosts.filter(|host| !public.iter().any(|public| host.ends_with(public))));
    }
    for (path, text) in files() {
        for found in &private {
            assert!(!text.contains(found.as_str()), "{path} names {found}");
        }
        let file = path.rsplit('/').next().unwrap();
        assert!(!matches!(file, "pip.conf" | ".npmrc" | ".netrc"), "{path} is a machine's own");
        assert!(!path.contains(".cargo/"), "{path} is a machine's own");
        match file {
            "Cargo.lock" => {
                let sources = text.lines().filter_map(|line| line.strip_prefix("source = "));
                for source in sources {
                    assert_eq!(source, "\"registry+https://github.com/rust-lang/crates.io-index\"");
                }
            }
            "go.mod" => assert!(!text.contains("\nreplace "), "{path} replaces a module"),
            "requirements.txt" => assert!(!text.contains("://"), "{path} names an index"),
            _ => {}
        }
    }
}

#[test]
fn pages_that_are_named_are_there() {
    for (path, text) in files() {
        if path.contains("fixtures/") {
            continue;
        }
        for (at, _) in text.match_indices("docs/") {
            let name: String =
                text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || "/-._".contains(*c)).collect();
            let name = name.trim_end_matches('.');
            let whole = !text[..at].ends_with(|c: char| c.is_alphanumeric() || "/-.".contains(c));
            if whole && name.ends_with(".md") {
                assert!(root().join(name).exists(), "{path} names {name}");
            }
        }
    }
}

#[test]
fn every_json_file_is_json() {
    let mut checked = 0;
    for (path, text) in files() {
        if path.ends_with(".json") {
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{path}");
            checked += usize::from(path.starts_with("examples/") || path.starts_with("deploy/"));
        }
    }
    assert!(checked >= 4, "{checked} configurations");
}
