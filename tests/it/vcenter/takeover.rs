//! A stream goes on where another router, or a stream of another name, was.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use vmware_event_router::journal::embedded::{EmbeddedJournal, Settings};
use vmware_event_router::journal::memory::MemoryJournal;
use vmware_event_router::journal::{Begin, Journal};
use vmware_event_router::stream::vcenter::{BeginAt, Config};

use super::{MINUTE, SECOND, events_and_gaps, has_key};
use crate::support::fault_soap::{FaultSoap, NOW, time};
use crate::support::stream::{Running, config, timing};

const HOUR: i64 = 60 * MINUTE;

/// A stream that takes over from that folder.
fn taking(fake: &FaultSoap, folder: &Path) -> Config {
    Config { checkpoint_dir: Some(folder.to_owned()), begin: BeginAt::At(0), ..config(&fake.url) }
}

/// What the Go router leaves when it has delivered that event last.
fn leave(folder: &Path, fake: &FaultSoap, (key, created): (i32, i64)) {
    let host = fake.url.host_str().unwrap();
    let checkpoint = json!({
        "vCenter": host, "lastEventUUID": "7f2c0e0c-0b1f-4a43-8f3d-3c7b0e5f3a11", "lastEventKey": key,
        "lastEventType": "VmPoweredOnEvent", "lastEventKeyTimestamp": time(created), "createdTimestamp": time(NOW),
    });
    fs::write(folder.join(format!("cp-{host}.json")), checkpoint.to_string()).unwrap();
}

fn memory() -> Arc<dyn Journal> {
    Arc::new(MemoryJournal::new(1 << 26))
}

#[tokio::test]
async fn a_stream_goes_on_behind_what_the_go_router_delivered() {
    let (fake, folder) = (FaultSoap::start().await, tempfile::tempdir().unwrap());
    let last = NOW - 2 * HOUR;
    fake.happen(&[(1, last - 5 * MINUTE), (2, last - 30 * SECOND), (3, last), (4, last + 1), (5, NOW - HOUR)]);
    leave(folder.path(), &fake, (3, last));
    let journal = memory();
    let mut running = Running::start_on(Arc::clone(&journal), taking(&fake, folder.path()), timing()).await;
    running.read_until(has_key(5)).await;
    running.read_until_quiet().await;
    // Within the overlap it may come again; what was delivered last does not.
    assert_eq!(events_and_gaps(&running.stop().await), (vec![2, 4, 5], Vec::new()));

    // Once is enough: what the file says now is of no account.
    leave(folder.path(), &fake, (1, last - 5 * MINUTE));
    fake.happen(&[(6, NOW)]);
    let mut running = Running::start_on(journal, taking(&fake, folder.path()), timing()).await;
    running.read_until(has_key(6)).await;
    running.read_until_quiet().await;
    assert_eq!(events_and_gaps(&running.stop().await), (vec![6], Vec::new()));
}

#[tokio::test]
async fn what_was_delivered_last_comes_neither_after_a_start_that_brought_nothing() {
    let (fake, folder) = (FaultSoap::start().await, tempfile::tempdir().unwrap());
    fake.happen(&[(3, NOW - SECOND)]);
    leave(folder.path(), &fake, (3, NOW - SECOND));
    let journal = memory();
    for _ in 0..2 {
        let mut running = Running::start_on(Arc::clone(&journal), taking(&fake, folder.path()), timing()).await;
        running.streaming().await;
        running.read_until_quiet().await;
        assert!(running.stop().await.is_empty());
    }
    fake.happen(&[(4, NOW)]);
    let mut running = Running::start_on(journal, taking(&fake, folder.path()), timing()).await;
    running.read_until(has_key(4)).await;
    assert_eq!(events_and_gaps(&running.stop().await), (vec![4], Vec::new()));
}

#[tokio::test]
async fn a_checkpoint_that_is_half_written_is_no_beginning() {
    let (fake, folder) = (FaultSoap::start().await, tempfile::tempdir().unwrap());
    fake.happen(&[(1, NOW - 2 * HOUR), (2, NOW - HOUR)]);
    leave(folder.path(), &fake, (1, NOW - 2 * HOUR));
    let path = folder.path().join(format!("cp-{}.json", fake.url.host_str().unwrap()));
    let whole = fs::read(&path).unwrap();
    for half in [0, 70] {
        fs::write(&path, &whole[..half]).unwrap();
        let journal = memory();
        let mut running = Running::start_on(Arc::clone(&journal), taking(&fake, folder.path()), timing()).await;
        let says = |part: &str, detail: Option<String>| detail.is_some_and(|detail| detail.contains(part));
        running
            .state("it waits and says why", |status| {
                says("half written", status.state().detail()) && status.errors_total() > 2
            })
            .await;
        assert_eq!(journal.checkpoint("vc").await.unwrap(), None, "nothing is begun");
        fs::write(&path, &whole).unwrap();
        running.read_until(has_key(2)).await;
        assert_eq!(events_and_gaps(&running.stop().await), (vec![2], Vec::new()));
    }
}

#[tokio::test]
async fn an_event_that_the_filter_keeps_back_is_not_missed() {
    let (fake, folder) = (FaultSoap::start().await, tempfile::tempdir().unwrap());
    // vCenter gives it to nobody who asks for others.
    leave(folder.path(), &fake, (1, NOW - HOUR));
    let config = Config { event_types: vec!["VmPoweredOffEvent".to_owned()], ..taking(&fake, folder.path()) };
    fake.happen(&[(2, NOW - HOUR + SECOND)]);
    let mut running = Running::start_on(memory(), config, timing()).await;
    running.read_until(has_key(2)).await;
    running.read_until_quiet().await;
    assert_eq!(events_and_gaps(&running.stop().await), (vec![2], Vec::new()));
}

#[tokio::test]
async fn a_stream_of_another_name_goes_on_where_the_one_before_was() {
    let (fake, folder) = (FaultSoap::start().await, tempfile::tempdir().unwrap());
    let mut came = Vec::new();
    for (name, key) in [("before", 1), ("after", 2), ("after", 3)] {
        let journal = EmbeddedJournal::new(folder.path(), Settings::default(), vec!["test".into()]);
        let journal: Arc<dyn Journal> = Arc::new(journal.of_streams(vec![name.into()]));
        journal.open().await.unwrap();
        journal.cursor("test", Begin::End).await.unwrap();
        let config = Config { name: name.into(), ..config(&fake.url) };
        if key > 1 {
            // It happens while nobody reads.
            fake.happen(&[(key, NOW + i64::from(key))]);
        }
        let mut running = Running::start_on(Arc::clone(&journal), config, timing()).await;
        running.streaming().await;
        if key == 1 {
            fake.happen(&[(key, NOW + i64::from(key))]);
        }
        running.read_until(has_key(key)).await;
        running.read_until_quiet().await;
        let (keys, gaps) = events_and_gaps(&running.stop().await);
        assert!(gaps.is_empty(), "{gaps:?}");
        came.extend(keys);
        assert_eq!(journal.checkpoint("before").await.unwrap().is_some(), key == 1);
        assert!(journal.checkpoint(name).await.unwrap().is_some());
        journal.close().await.unwrap();
    }
    assert_eq!(came, [1, 2, 3], "each once");
}
