//! Journals that earlier versions of the format have written, and what is in them. They are kept for ever.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::frame::VERSION;
use super::inspect::{self, Which};
use super::repair::repair;
use super::specimen::{self, configured, settings};
use super::{EmbeddedJournal, Journal as _};

/// Where they are: a folder for each version, and beside it what is in it.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journal")
}

/// What `verify` says, and what is dumped, of a folder wherever it is.
fn looked_at(folder: &Path) -> Value {
    let mut verified = serde_json::to_value(inspect::verify(folder, &configured()).unwrap()).unwrap();
    verified.as_object_mut().unwrap().remove("folder");
    let mut lines = Vec::new();
    for which in Which::ALL {
        let mut count = 0;
        let told = inspect::dump(folder, which, 0, &mut |line| {
            assert!(!line.contains("\"damage\""), "{line}");
            count += 1;
            true
        });
        told.unwrap();
        lines.push(count);
    }
    json!({ "verified": verified, "lines": lines })
}

async fn read(journal: &EmbeddedJournal) -> Value {
    let key: String = journal.signing_key().iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "contents": specimen::read(journal).await, "key": key })
}

/// Writes the fixture of this version, once and for all.
#[tokio::test]
#[ignore = "it writes what is to stay as it is: only for a new version of the format"]
async fn a_fixture_is_written() {
    let folder = fixtures().join(format!("v{VERSION}"));
    assert!(!folder.exists(), "it is there already, and stays as it is");
    let filled = specimen::empty();
    specimen::fill(filled.path()).await.close().await.unwrap();
    specimen::copy(filled.path(), &folder);
    let looked_at = looked_at(filled.path());
    let journal = specimen::journal(filled.path());
    journal.open().await.unwrap();
    let expected = json!({ "looked_at": looked_at, "read": read(&journal).await });
    journal.close().await.unwrap();
    fs::write(folder.with_extension("json"), format!("{expected:#}\n")).unwrap();
}

#[tokio::test]
async fn what_every_version_wrote_is_read_and_goes_on() {
    for version in 1..=VERSION {
        let kept = fixtures().join(format!("v{version}"));
        let expected: Value = serde_json::from_slice(&fs::read(kept.with_extension("json")).unwrap()).unwrap();
        let folder = specimen::empty();
        specimen::copy(&kept, folder.path());
        assert_eq!(looked_at(folder.path()), expected["looked_at"], "version {version}");
        assert_eq!(expected["looked_at"]["verified"]["whole"], true, "version {version}");
        let mended = repair(folder.path(), &settings(), &configured(), &|_| None, true).unwrap();
        assert!(mended.is_nothing(), "version {version}: {mended:?}");

        let journal = specimen::journal(folder.path());
        journal.open().await.unwrap();
        let mut found = read(&journal).await;
        assert_eq!(found, expected["read"], "version {version}");
        let newest = journal.stats().newest;
        let position = journal.append(&mut specimen::batch("vc", 900..903)).await.unwrap();
        assert!(position.0 >= newest.0 + 3, "version {version}: {position} behind {newest}");
        journal.close().await.unwrap();
        drop(journal);

        // What is new is behind what was there.
        let journal = specimen::journal(folder.path());
        journal.open().await.unwrap();
        let mut after = read(&journal).await;
        let events = after["contents"]["events"].as_object_mut().unwrap();
        let new: Vec<_> =
            (position.0 - 2..=position.0).map(|at| events.remove(&at.to_string()).unwrap()["id"].clone()).collect();
        assert_eq!(new, ["vc-900", "vc-901", "vc-902"], "version {version}");
        let moved = |all: &mut Value| all["contents"].as_object_mut().unwrap().remove("checkpoints").unwrap();
        assert_ne!(moved(&mut after), moved(&mut found), "version {version}");
        assert_eq!(after, found, "version {version}");
        journal.close().await.unwrap();
        assert_eq!(looked_at(folder.path())["verified"]["whole"], true, "version {version}");
    }
}
