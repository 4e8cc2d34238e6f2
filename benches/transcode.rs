//! Events per second of processor time: our transcoder against govmomi's decoder plus `encoding/json`, on the same pages
//! and in turns. `cargo bench --bench transcode`; needs `make peers`.

#![allow(clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use vmware_event_router::vim25::{Decoder, Shape};

const ROUNDS: usize = 9;
const SECONDS: u64 = 1;

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    println!("events per CPU second, median of {ROUNDS} rounds of {SECONDS} s each");
    let captured = folder.path().join("captured.xml");
    std::fs::write(&captured, captured_page()).expect("the page is written");
    compare("1,000 captured events", &[captured]);
    let generated = folder.path().join("generated");
    let made = Command::new(peer("oracle"))
        .args(["-seed", "7", "-n", "3", "-api", "6.7", "-page", "1000", "-out"])
        .arg(&generated)
        .output()
        .expect("the oracle starts");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // The first page has the first thousand of 443 classes times three; the sweep over rare types comes later.
    compare("1,000 generated events, every class", &[generated.join("page-0000.xml")]);
}

fn peer(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin").join(name);
    assert!(path.exists(), "{} is missing: run `make peers`", path.display());
    path
}

/// The events captured from vcsim, over and over, in one response.
fn captured_page() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vcsim");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the captured events")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "xml"))
        .collect();
    files.sort();
    let pages: Vec<_> = files.iter().map(|f| std::fs::read_to_string(f).expect("a page")).collect();
    let (start, end) = (|page: &str| page.find("<returnval"), |page: &str| page.rfind("</ReadNextEventsResponse>"));
    let first = &pages[0];
    let mut page = first[..start(first).expect("an event")].to_owned();
    for i in 0..1000 {
        let from = &pages[i % pages.len()];
        page.push_str(&from[start(from).expect("an event")..end(from).expect("an end")]);
    }
    page.push_str(&first[end(first).expect("an end")..]);
    page
}

fn compare(what: &str, pages: &[PathBuf]) {
    let texts: Vec<_> = pages.iter().map(|p| std::fs::read(p).expect("a page")).collect();
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    let mut size = 0;
    for _ in 0..ROUNDS {
        let output = Command::new(peer("govmomi-decode"))
            .args(["-seconds", &SECONDS.to_string()])
            .args(pages)
            .output()
            .expect("the peer starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let rate = text.split(' ').next().and_then(|t| t.parse::<f64>().ok());
        theirs.push(rate.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr))));
        let (rate, bytes) = measure(&texts);
        ours.push(rate);
        size = bytes;
    }
    let xml: usize = texts.iter().map(Vec::len).sum();
    // A round's two contenders share whatever else the machine does, so it is their ratio that is worth a median.
    let ratio = median(ours.iter().zip(&theirs).map(|(a, b)| a / b).collect());
    let (ours, theirs) = (median(ours), median(theirs));
    println!("{what} ({xml} bytes of XML, {size} of JSON): ours {ours:.0}, govmomi {theirs:.0}; {ratio:.1} times");
}

/// Our events per CPU second, and the JSON bytes of one pass.
fn measure(pages: &[Vec<u8>]) -> (f64, usize) {
    let mut decoder = Decoder::new(Shape::V6_7);
    let mut pass = || {
        let (mut events, mut bytes, mut bad) = (0_u64, 0, 0);
        for page in pages {
            let read = decoder.page(page, |event| {
                events += 1;
                bytes += event.data.len();
                bad += usize::from(event.error.is_some());
            });
            assert!(read.is_ok() && bad == 0, "a page that does not decode measures nothing");
        }
        (events, bytes)
    };
    let (_, size) = pass();
    let start = cpu();
    let mut events = 0;
    while cpu() - start < Duration::from_secs(SECONDS) {
        events += pass().0;
    }
    (events as f64 / (cpu() - start).as_secs_f64(), size)
}

/// Processor time of this thread, which is all that runs here.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux says how long a thread has run");
    Duration::from_nanos(stat.split(' ').next().and_then(|t| t.parse().ok()).expect("nanoseconds come first"))
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
