//! Event patterns: what AWS's own engine says of patterns and events that nobody has seen before, we must say, too.
//!
//! The same is asked of a fixed corpus by the tests of `src/pattern`.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use vmware_event_router::pattern::Pattern;

/// Patterns and events that are made anew in each run.
const COUNT: &str = "3000";

#[derive(serde::Deserialize)]
struct Verdict {
    operator: String,
    pattern: String,
    event: String,
    valid: bool,
    matches: bool,
}

#[test]
fn event_ruler_agrees_on_patterns_that_are_new() {
    let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin/event-ruler");
    assert!(peer.exists(), "{} is missing: run `make peers`", peer.display());
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = std::env::var("PATTERNS_SEED").unwrap_or_else(|_| since.as_secs().to_string());
    let made =
        Command::new(peer).args(["corpus", "--seed", &seed, "--count", COUNT, "--invalid", "300"]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let corpus = String::from_utf8(made.stdout).unwrap();
    let (mut lines, mut matching, mut differences) = (0, 0, Vec::new());
    for line in corpus.lines() {
        let Verdict { operator, pattern, event, valid, matches } = serde_json::from_str(line).unwrap();
        let ours = Pattern::parse(&pattern).map(|pattern| pattern.matches_json(event.as_bytes()));
        lines += 1;
        matching += usize::from(matches);
        if ours.as_ref().map_or(valid, |ours| !valid || *ours != matches) {
            differences.push(format!(
                "{operator}: {pattern} on {event}: event-ruler says valid {valid}, matches {matches}; we say {ours:?}"
            ));
        }
    }
    assert!(lines.to_string() == COUNT && matching > lines / 4, "{matching} of {lines} match");
    let shown = differences[..differences.len().min(20)].join("\n");
    assert!(differences.is_empty(), "PATTERNS_SEED={seed}: {} differences:\n{shown}", differences.len());
}
