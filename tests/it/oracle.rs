//! The payload, byte for byte: what the oracle says govmomi and `encoding/json` make of a page, the decoder must too.
//!
//! The oracle (`tools/oracle`) writes pages of every event class with random values, and the JSON that govmomi's own
//! decoder gives for each. What is compared is every byte of every event.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use vmware_event_router::vim25::{Decoder, Shape};

/// Seeds for every combination; each gives about 1,500 events.
const SEEDS: u64 = 20;

const WRAPS: [&str; 3] = ["next", "query", "wait"];

/// A program that `make peers` installs.
fn peer(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin").join(name);
    assert!(path.exists(), "{} is missing: run `make peers`", path.display());
    path
}

/// The data of all events of a page, as the JSON array that the oracle writes.
fn decode(decoder: &mut Decoder, page: &[u8]) -> String {
    let mut out = vec![b'['];
    let summary = decoder.page(page, |event| {
        assert_eq!(event.error, None, "{}", String::from_utf8_lossy(event.raw));
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(event.data);
    });
    if let Err(error) = summary {
        panic!("{error}");
    }
    out.push(b']');
    String::from_utf8(out).expect("the decoder writes UTF-8")
}

/// Two elements that govmomi 0.24 has in its 7.0 structs, although API 7.0.1 brought them: no shape before 7.0.1 knows
/// them, so they are taken out of what is compared.
const NOT_IN_70: [(&str, &str); 2] =
    [("sevEnabled", "SevEnabled"), ("syncTimeWithHostAllowed", "SyncTimeWithHostAllowed")];

fn without_elements(mut page: String) -> String {
    for (name, _) in NOT_IN_70 {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        while let Some(start) = page.find(&open) {
            let end = start + page[start..].find(&close).expect("the element ends") + close.len();
            page.replace_range(start..end, "");
        }
    }
    page
}

fn without_members(mut json: String) -> String {
    for (_, name) in NOT_IN_70 {
        for value in ["null", "true", "false"] {
            json = json.replace(&format!(",\"{name}\":{value}"), "");
        }
    }
    json
}

/// Runs the oracle once and compares every page. Returns how many events and bytes that were.
fn compare(seed: u64, api: &str, wrap: &str, quirks: bool, drop: bool) -> (usize, usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(peer("oracle"));
    command.args(["-seed", &seed.to_string(), "-n", "3", "-api", api, "-wrap", wrap, "-out"]).arg(folder.path());
    if quirks {
        command.arg("-quirks");
    }
    if drop {
        command.args(["-drop", "0.3"]);
    }
    let output = command.output().expect("the oracle starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let shape: Shape = api.parse().expect("a shape");
    let mut decoder = Decoder::new(shape);
    let (mut events, mut bytes) = (0, 0);
    let mut pages: Vec<_> = std::fs::read_dir(folder.path())
        .expect("the oracle's folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "xml"))
        .collect();
    pages.sort();
    assert!(!pages.is_empty());
    for path in pages {
        let mut page = std::fs::read_to_string(&path).expect("a page");
        let mut expected = std::fs::read_to_string(path.with_extension("json")).expect("its JSON");
        let classes = std::fs::read_to_string(path.with_extension("types")).expect("its classes");
        if api == "7.0" {
            (page, expected) = (without_elements(page), without_members(expected));
        }
        let made = decode(&mut decoder, page.as_bytes());
        let expected = expected.trim_end();
        if made != expected {
            differ(&command, &path, &made, expected);
        }
        events += classes.lines().count();
        bytes += made.len();
    }
    (events, bytes)
}

/// Says where two texts part.
fn differ(command: &Command, path: &Path, made: &str, expected: &str) -> ! {
    let at = made.bytes().zip(expected.bytes()).take_while(|(a, b)| a == b).count();
    let around = |text: &str| {
        let bytes = &text.as_bytes()[at.saturating_sub(300).min(text.len())..(at + 200).min(text.len())];
        String::from_utf8_lossy(bytes).into_owned()
    };
    panic!(
        "{command:?}\n{}: differs at byte {at} of {}\nmade     {}\nexpected {}",
        path.display(),
        expected.len(),
        around(made),
        around(expected)
    );
}

/// Runs all combinations, on as many threads as there are processors.
fn all(api: &str, quirks: &[bool]) {
    let mut work = Vec::new();
    for seed in 1..=SEEDS {
        for &quirks in quirks {
            for drop in [false, true] {
                work.extend(WRAPS.map(|wrap| (seed, wrap, quirks, drop)));
            }
        }
    }
    let work = Mutex::new(work.into_iter());
    let total = Mutex::new((0, 0, 0));
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let Some((seed, wrap, quirks, drop)) = work.lock().expect("no panic").next() else { return };
                    let (events, bytes) = compare(seed, api, wrap, quirks, drop);
                    let mut total = total.lock().expect("no panic");
                    *total = (total.0 + 1, total.1 + events, total.2 + bytes);
                }
            });
        }
    });
    let (runs, events, bytes) = *total.lock().expect("no panic");
    println!("api {api}: {runs} runs, {events} events, {bytes} bytes, none differing");
    assert!(events > 1_300 * runs, "{events} events in {runs} runs: the oracle makes fewer than it should");
}

#[test]
fn the_6_7_shape_is_govmomi_0_22_byte_for_byte() {
    all("6.7", &[false, true]);
}

#[test]
fn the_7_0_shape_is_govmomi_0_24_byte_for_byte() {
    all("7.0", &[false]);
}

#[test]
fn captured_events_become_what_they_must() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vcsim");
    let mut pairs = 0;
    for entry in std::fs::read_dir(folder).expect("the captured events") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "xml") {
            let page = std::fs::read(&path).expect("a page");
            let expected = std::fs::read_to_string(path.with_extension("json")).expect("its JSON");
            let made = decode(&mut Decoder::new(Shape::V6_7), &page);
            assert_eq!(made, expected.trim_end(), "{}", path.display());
            pairs += 1;
        }
    }
    assert_eq!(pairs, 45);
}
