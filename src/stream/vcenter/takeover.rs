//! The checkpoint file of the Go router, read once by the router that takes over.
//!
//! `<checkpoint_dir>/cp-<host>.json` holds the last event that was delivered. The Go router writes over it in place, so
//! that it may be half written; then nobody knows what was delivered, and nothing is begun.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;

use super::session::Seen;

/// A file that is larger is none.
const MOST: u64 = 64 * 1024;

/// The last event that the Go router delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// Its key and CreatedTime.
    pub(super) last: Seen,
    /// Its class, or event type id.
    pub(super) kind: String,
    /// The file that says so.
    pub(super) path: PathBuf,
}

/// What the file holds, as far as it is of use.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Checkpoint {
    v_center: String,
    last_event_key: i32,
    #[serde(default)]
    last_event_type: String,
    last_event_key_timestamp: String,
}

/// The host of an address, as it was written.
pub(super) fn host(source: &str) -> &str {
    let rest = source.split_once("://").map_or(source, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    match host.strip_prefix('[') {
        Some(literal) => literal.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// Reads the checkpoint of that host; none, if the Go router has delivered nothing from there.
///
/// # Errors
/// It cannot be told what was delivered; in words, with what to do.
pub(super) fn read(folder: &Path, host: &str) -> Result<Option<Taken>, String> {
    let path = folder.join(format!("cp-{host}.json"));
    let shown = path.display();
    let advice = "mend it, or remove it to begin where the option begin says";
    let mut bytes = Vec::new();
    match fs::File::open(&path).and_then(|file| file.take(MOST).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Err(error) = fs::metadata(folder) {
                let folder = folder.display();
                return Err(format!(
                    "the Go router's checkpoints in {folder} cannot be read: {error}; correct checkpoint_dir, or take \
                     it out to begin where the option begin says"
                ));
            }
            return Ok(None);
        }
        Err(error) => {
            return Err(format!("the Go router's checkpoint {shown} cannot be read: {error}; let this user read it"));
        }
    }
    let damaged = |why: String| {
        format!("the Go router's checkpoint {shown} is damaged, or was only half written: {why}; {advice}")
    };
    let checkpoint = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    let Checkpoint { v_center, last_event_key, last_event_type, last_event_key_timestamp } = checkpoint;
    let time: Timestamp = last_event_key_timestamp.parse().map_err(|error: jiff::Error| damaged(error.to_string()))?;
    // It is made with Go's zero time, before anything is delivered.
    if time < Timestamp::UNIX_EPOCH {
        return Ok(None);
    }
    if !v_center.eq_ignore_ascii_case(host) {
        return Err(format!("the Go router's checkpoint {shown} is that of {v_center:?}, not of {host}; {advice}"));
    }
    let last = (last_event_key, time.as_microsecond());
    Ok(Some(Taken { last, kind: last_event_type, path }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_as_go_has_them() {
        for (source, expected) in [
            ("https://vc.corp/sdk", "vc.corp"),
            ("https://VC.corp:443/sdk", "VC.corp"),
            ("http://u:p@10.0.0.1:8989/sdk", "10.0.0.1"),
            ("https://[fd00::1]:443/sdk", "fd00::1"),
            ("https://[fd00::1]/sdk", "fd00::1"),
        ] {
            assert_eq!(host(source), expected, "{source}");
        }
    }

    #[test]
    fn what_the_go_router_writes_is_read_and_nothing_else_passes_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cp-vc.corp.json");
        let read = || read(folder.path(), "vc.corp");
        assert_eq!(read(), Ok(None));
        // As Go's encoding/json writes it, before and after the first event.
        let zero = r#"{"vCenter":"","lastEventUUID":"","lastEventKey":0,"lastEventType":"","lastEventKeyTimestamp":"0001-01-01T00:00:00Z","createdTimestamp":"0001-01-01T00:00:00Z"}"#;
        fs::write(&path, zero).unwrap();
        assert_eq!(read(), Ok(None));
        let whole = r#"{"vCenter":"vc.corp","lastEventUUID":"7f2c0e0c-0b1f-4a43-8f3d-3c7b0e5f3a11","lastEventKey":-7,"lastEventType":"VmPoweredOffEvent","lastEventKeyTimestamp":"2026-01-31T09:00:00.123456789+01:00","createdTimestamp":"2026-01-31T08:00:02.5Z"}"#;
        fs::write(&path, whole).unwrap();
        let taken = read().unwrap().unwrap();
        assert_eq!(taken.last, (-7, 1_769_846_400_123_456));
        assert_eq!((taken.kind.as_str(), &taken.path), ("VmPoweredOffEvent", &path));
        for end in 0..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            let why = read().unwrap_err();
            assert!(why.contains("half written") && why.contains("cp-vc.corp.json") && why.contains("remove"), "{why}");
        }
        fs::write(&path, whole.replace("vc.corp", "other")).unwrap();
        assert!(read().unwrap_err().contains("not of vc.corp"));
        fs::write(&path, vec![b' '; 100_000]).unwrap();
        assert!(read().is_err());
        let nowhere = super::read(&folder.path().join("none"), "vc.corp").unwrap_err();
        assert!(nowhere.contains("correct checkpoint_dir"), "{nowhere}");
    }
}
