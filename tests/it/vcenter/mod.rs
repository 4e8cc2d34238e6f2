//! The vCenter stream, against govmomi's simulator and against a server that misbehaves on purpose.

mod answers;
mod check;
mod clock;
mod faults;
mod histories;
mod simulator;
mod takeover;

use std::sync::Arc;

use vmware_event_router::event::Event;
use vmware_event_router::journal::Journal;
use vmware_event_router::journal::memory::MemoryJournal;
use vmware_event_router::stream::vcenter::Timing;

use crate::support::fault_soap::FaultSoap;
use crate::support::stream::{Running, assert_no_twins, config, keys, member, timing};

pub(super) const SECOND: i64 = 1_000_000;
pub(super) const MINUTE: i64 = 60 * SECOND;

pub(super) async fn streaming(fake: &FaultSoap, timing: Timing) -> Running {
    let running = Running::start(config(&fake.url), timing).await;
    running.streaming().await;
    running
}

/// Nothing is left at the server when the stream has ended.
pub(super) async fn stop(fake: &FaultSoap, running: Running) -> Vec<Event> {
    let events = running.stop().await;
    assert_eq!(fake.open(), (0, 0, 0), "sessions, collectors, filters");
    assert_eq!(fake.calls("Logout"), 1);
    assert_eq!(fake.state().strange_waits, 0);
    assert_no_twins(&events);
    events
}

pub(super) fn has_key(key: i32) -> impl FnMut(&Event) -> bool {
    move |event| event.key() == Some(key)
}

/// Runs until these events are in the journal, and gives the journal back.
pub(super) async fn journal_with(fake: &FaultSoap, events: &[(i32, i64)]) -> Arc<dyn Journal> {
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new(1 << 26));
    let mut running = Running::start_on(Arc::clone(&journal), config(&fake.url), timing()).await;
    running.streaming().await;
    fake.happen(events);
    running.read_until(has_key(events[events.len() - 1].0)).await;
    running.stop().await;
    journal
}

/// The keys of events that are no gaps, and the spans of those that are.
pub(super) fn events_and_gaps(events: &[Event]) -> (Vec<i32>, Vec<(String, String)>) {
    let gaps = events.iter().filter(|event| event.subject() == "EventGap");
    let text = |event, name| member(event, name).as_str().unwrap().to_owned();
    (keys(events), gaps.map(|gap| (text(gap, "From"), text(gap, "To"))).collect())
}
