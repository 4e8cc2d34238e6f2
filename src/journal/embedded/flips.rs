//! Any bit of any file of a journal turns over: nothing that is read is wrong, and nothing is missing that nobody says.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::frame::{HEAD, HEADER};
use super::specimen::{self, Contents, PROCESSORS, configured};
use super::{Journal as _, JournalError, inspect};

/// So many bits of each file, beside those that are all tried.
const FLIPS: u64 = 24;

/// A journal as its files are, and what it holds.
struct Whole {
    folder: TempDir,
    contents: Contents,
    key: [u8; 32],
    /// The router ended in order.
    closed: bool,
    newest: u64,
}

impl Whole {
    async fn new(closed: bool) -> Self {
        let filled = specimen::empty();
        let journal = specimen::fill(filled.path()).await;
        let folder = specimen::empty();
        if closed {
            journal.close().await.unwrap();
        }
        specimen::copy(filled.path(), folder.path());
        let copy = specimen::empty();
        specimen::copy(folder.path(), copy.path());
        let journal = specimen::journal(copy.path());
        journal.open().await.unwrap();
        let contents = specimen::read(&journal).await;
        assert_eq!(contents.trouble, [""; 0]);
        let newest = *contents.events.last_key_value().unwrap().0;
        Self { folder, key: journal.signing_key(), contents, closed, newest }
    }

    /// Turns that bit of that file over in a copy, and sees what becomes of it. Says whether that was noticed.
    async fn check(&self, file: &Path, bit: u64) -> bool {
        let told = format!("{} bit {bit} (byte {})", file.display(), bit / 8);
        // Seen if it panics.
        println!("{told}");
        let folder = specimen::empty();
        specimen::copy(self.folder.path(), folder.path());
        let path = folder.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        bytes[usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8);
        fs::write(&path, bytes).unwrap();

        let verified = inspect::verify(folder.path(), &configured());
        let damaged = !matches!(&verified, Ok(verified) if verified.whole);
        let journal = specimen::journal(folder.path());
        if let Err(error) = journal.open().await {
            assert!(damaged, "{told}: it is whole, and cannot be opened: {error}");
            assert!(is_plain(&error), "{told}: {error}");
            return true;
        }
        let found = specimen::read(&journal).await;
        self.compare(&found, file, damaged, &told);
        if file != Path::new("key") {
            assert_eq!(journal.signing_key(), self.key, "{told}");
        }

        // It goes on, and gives no place twice.
        let position = journal.append(&mut specimen::batch("hooks", 900..901)).await.unwrap();
        assert!(position.0 > self.newest, "{told}: {position} is given twice");
        for (name, settled) in &found.settled {
            let taken = settled.iter().any(|(at, _)| *at >= position.0);
            assert!(!taken, "{told}: {position} passes for settled at {name}");
        }
        journal.close().await.unwrap();
        damaged
    }

    fn compare(&self, found: &Contents, file: &Path, damaged: bool, told: &str) {
        let whole = &self.contents;
        let of = |folder: &str| file.starts_with(folder);
        for trouble in &found.trouble {
            assert!(trouble.contains("is damaged"), "{told}: {trouble}");
        }
        assert!(damaged || found.trouble.is_empty(), "{told}: {:?}", found.trouble);

        // Nothing is other than it was, and nothing is missing in secret.
        for (position, event) in &found.events {
            assert_eq!(Some(event), whole.events.get(position), "{told}");
        }
        for (letter, shown) in &found.letters {
            assert_eq!(Some(shown), whole.letters.get(letter), "{told}");
        }
        assert!(found.ended.is_subset(&whole.ended), "{told}");
        if !damaged && self.closed {
            assert!(found.events.len() == whole.events.len(), "{told}: events are missing");
            assert!(found.letters.len() == whole.letters.len(), "{told}: letters are missing");
        }
        if !damaged {
            // Of what was written last before a kill, nothing testifies that it was durable.
            assert!(found.events.len() + 1 >= whole.events.len(), "{told}: events are missing");
            assert!(found.letters.len() + 1 >= whole.letters.len(), "{told}: letters are missing");
        }
        assert!(of("events") || found.events.len() == whole.events.len(), "{told}");
        assert!(of("letters") || found.letters == whole.letters, "{told}");
        assert!(of("outcomes") || found.ended == whole.ended, "{told}");
        if self.closed || !of("events") {
            assert_eq!(found.checkpoints, whole.checkpoints, "{told}");
        }

        for name in PROCESSORS {
            let Some((front, lanes)) = found.places.get(name) else {
                assert!(damaged, "{told}: {name} has no place");
                continue;
            };
            // The older of the two files may count. Then nothing is settled that was not, and the outcomes say what was.
            let (whole_front, whole_lanes) = &whole.places[name];
            for target in ["a", "b", "any"] {
                let (now, before) =
                    (lanes.get(target).unwrap_or(front), whole_lanes.get(target).unwrap_or(whole_front));
                assert!(now <= before, "{told}: {name} is at {now} for {target}, and was at {before}");
            }
            let same = front == whole_front && lanes == whole_lanes;
            assert!(same || of("places"), "{told}");
            let (settled, all) = (&found.settled[name], &whole.settled[name]);
            if same {
                assert!(settled.is_subset(all), "{told}");
            }
            if !of("outcomes") {
                assert!(settled.is_superset(all), "{told}: {name} forgets what it delivered");
            }
        }
    }
}

/// It says what can be done.
fn is_plain(error: &JournalError) -> bool {
    let text = error.to_string();
    text.contains("journal repair") || text.contains("it is of version")
}

/// Some bits of each file.
fn some(folder: &Path) -> Vec<(PathBuf, u64)> {
    let seed = std::env::var("FLIP_SEED").ok().map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("FLIP_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut flips = Vec::new();
    for file in specimen::files(folder) {
        let bits = fs::metadata(folder.join(&file)).unwrap().len() * 8;
        if bits > 0 {
            flips.extend((0..FLIPS).map(|_| (file.clone(), random.u64(..bits))));
        }
    }
    flips
}

/// Each bit of what all depends on: the headers of a log's newest two files, the last frame that holds something and the
/// one behind it, and the numbers of a place.
fn every(folder: &Path) -> Vec<(PathBuf, u64)> {
    let files = specimen::files(folder);
    let of = |part: &str| {
        files.iter().filter(|file| file.to_str().unwrap().starts_with(part)).rev().take(2).collect::<Vec<_>>()
    };
    let length = |file: &Path| fs::metadata(folder.join(file)).unwrap().len();
    let bits =
        |file: &PathBuf, from: u64, to: u64| -> Vec<_> { (8 * from..8 * to).map(|bit| (file.clone(), bit)).collect() };
    let mut flips = Vec::new();
    for file in of("events/0") {
        flips.extend(bits(file, 0, HEADER as u64));
    }
    for part in ["events/0", "letters/0"] {
        let end = length(of(part)[0]);
        flips.extend(bits(of(part)[0], end - 2 * HEAD as u64, end));
    }
    flips.extend(bits(of("places")[0], 0, 64));
    flips
}

#[tokio::test]
async fn any_bit_that_turns_over_is_noticed_or_changes_nothing() {
    let whole = Whole::new(true).await;
    let mut noticed = 0;
    for (file, bit) in [some(whole.folder.path()), every(whole.folder.path())].concat() {
        noticed += u32::from(whole.check(&file, bit).await);
    }
    assert!(noticed > 1000, "{noticed} flips were noticed");
}

#[tokio::test]
async fn so_it_is_after_a_kill_but_for_what_was_written_last() {
    let whole = Whole::new(false).await;
    let mut noticed = 0;
    for (file, bit) in some(whole.folder.path()) {
        noticed += u32::from(whole.check(&file, bit).await);
    }
    assert!(noticed > 100, "{noticed} flips were noticed");
}
