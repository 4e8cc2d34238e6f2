//! Against a server that misbehaves on purpose.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use vmware_event_router::attempt::{BatchLimits, Position};
use vmware_event_router::event::Event;
use vmware_event_router::journal::memory::MemoryJournal;
use vmware_event_router::journal::{
    Batch, Begin, Checkpoint, Cursor, CursorState, DeadLetters, History, Journal, JournalError, JournalStats,
};
use vmware_event_router::stream::vcenter::{BeginAt, Config, Timing};
use vmware_event_router::vim25::Shape;

use super::{MINUTE, SECOND, has_key, journal_with, stop, streaming};
use crate::support::fault_soap::{FaultSoap, NOW, Reply, time};
use crate::support::stream::{Running, assert_no_twins, config, keys, member, timing, within};

#[tokio::test]
async fn it_begins_now_and_leaves_nothing_behind() {
    let fake = FaultSoap::start().await;
    fake.happen(&[(1, NOW - MINUTE)]);
    let mut running = streaming(&fake, timing()).await;
    assert_eq!(fake.open(), (1, 1, 1));
    fake.happen(&[(2, NOW), (3, NOW + 1)]);
    running.read_until(has_key(3)).await;
    assert_eq!(keys(&stop(&fake, running).await), [2, 3]);
    assert_eq!(fake.calls("Login"), 1);
    assert_eq!(fake.calls("CancelWaitForUpdates"), 1, "vCenter does not go on waiting for nobody");
    assert_eq!(fake.state().action, "\"urn:vim25/6.7\"");
    let wanted = &fake.state().wanted[0];
    assert!(wanted.starts_with(&format!("<time><beginTime>{}</beginTime></time>", time(NOW))), "{wanted}");
    assert!(!wanted.contains("<entity>"), "a root folder would leave out events on folders: {wanted}");
}

#[tokio::test]
async fn options_say_where_to_begin_and_what_to_read() {
    let fake = FaultSoap::start().await;
    fake.happen(&[(1, NOW - 3 * 60 * MINUTE), (2, NOW - 60 * MINUTE), (3, NOW - 1)]);
    let config = Config {
        begin: BeginAt::Ago(Duration::from_secs(2 * 60 * 60)),
        event_types: vec!["VmPoweredOnEvent".to_owned(), "A<B".to_owned()],
        shape: Shape::LATEST,
        ..config(&fake.url)
    };
    let mut running = Running::start(config, timing()).await;
    running.read_until(has_key(3)).await;
    let events = stop(&fake, running).await;
    assert_eq!(keys(&events), [2, 3]);
    assert!(String::from_utf8_lossy(&events[0].json()).ends_with(r#","vsphereapiversion":"8.0.3.0"}"#));
    assert_eq!(fake.state().action, "\"urn:vim25/8.0.3.0\"", "no newer than the server's");
    let types = "<eventTypeId>A&lt;B</eventTypeId><eventTypeId>VmPoweredOnEvent</eventTypeId><maxCount>1</maxCount>";
    assert!(fake.state().wanted[0].ends_with(types), "{:?}", fake.state().wanted);
}

#[tokio::test]
async fn a_long_history_is_read_page_by_page() {
    let fake = FaultSoap::start().await;
    let history: Vec<_> = (1..=3_500).map(|key| (key, NOW - 60 * MINUTE + i64::from(key) * 1000)).collect();
    fake.happen(&history);
    fake.state().latest = history.last().copied();
    let config = Config { begin: BeginAt::At(NOW - 120 * MINUTE), ..config(&fake.url) };
    let mut running = Running::start(config, timing()).await;
    running.read_until(has_key(3_500)).await;
    running.streaming().await;
    assert!(running.telemetry.metrics().contains("vmware_event_router_stream_events_total{stream=\"vc\"} 3500"));
    let events = stop(&fake, running).await;
    assert!(keys(&events).into_iter().eq(1..=3_500));
}

#[tokio::test]
async fn events_that_come_late_are_found_by_looking_back() {
    let fake = FaultSoap::start().await;
    let quick = Timing { look_back: Duration::from_millis(50), ..timing() };
    let mut running = streaming(&fake, quick).await;
    fake.state().now = NOW + MINUTE;
    fake.happen(&[(10, NOW + 20 * SECOND)]);
    running.read_until(has_key(10)).await;
    fake.happen_late(7, NOW + 10 * SECOND);
    fake.happen_late(8, NOW + 18 * SECOND);
    running.read_until(has_key(7)).await;
    // What is within five seconds of the newest is left to the main collector, until there is a newer one.
    fake.happen(&[(11, NOW + 40 * SECOND)]);
    running.read_until(has_key(8)).await;
    assert!(running.telemetry.metrics().contains("vmware_event_router_stream_late_total{stream=\"vc\"} 2"));
    assert!(fake.open().1 <= 2, "at most two collectors");
    running.read_until_quiet().await;
    let mut found = keys(&stop(&fake, running).await);
    assert_eq!(found.first(), Some(&10));
    found.sort_unstable();
    assert_eq!(found, [7, 8, 10, 11]);
}

#[tokio::test]
async fn keys_may_wrap_and_begin_again() {
    let fake = FaultSoap::start().await;
    let mut running = streaming(&fake, timing()).await;
    fake.happen(&[(i32::MAX - 1, NOW + 1), (i32::MAX, NOW + 2), (i32::MIN, NOW + 3), (i32::MIN + 1, NOW + 4)]);
    running.read_until(has_key(i32::MIN + 1)).await;
    fake.happen(&[(1, NOW + SECOND), (i32::MAX, NOW + SECOND)]);
    running.read_until(|event| event.created() == Some(NOW + SECOND) && event.key() == Some(i32::MAX)).await;
    let events = stop(&fake, running).await;
    assert_eq!(keys(&events), [i32::MAX - 1, i32::MAX, i32::MIN, i32::MIN + 1, 1, i32::MAX]);
}

#[tokio::test]
async fn pages_that_come_newest_first_are_turned_round() {
    let fake = FaultSoap::start().await;
    fake.state().newest_first = true;
    let mut running = streaming(&fake, timing()).await;
    fake.happen(&[(1, NOW + 1), (2, NOW + 2), (3, NOW + 3), (4, NOW + 4)]);
    running.read_until(has_key(4)).await;
    assert_eq!(keys(&stop(&fake, running).await), [1, 2, 3, 4]);
}

/// A control character in the event with key 5, wherever that comes.
fn spoil_five(mut page: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(page.clone()).unwrap();
    if let Some(at) = text.find("<key>5</key>") {
        let user = at + text[at..].find("<userName>").unwrap() + "<userName>".len();
        page[user] = 0x01;
    }
    page
}

#[tokio::test]
async fn of_a_page_that_is_not_well_formed_only_the_damaged_event_suffers() {
    let fake = FaultSoap::start().await;
    let mut running = streaming(&fake, timing()).await;
    for _ in 0..100 {
        fake.script("ReadNextEvents", Reply::Spoil(spoil_five));
    }
    let events: Vec<_> = (1..=9).map(|key| (key, NOW + i64::from(key))).collect();
    fake.happen(&events);
    running.read_until(has_key(9)).await;
    let reads = fake.state().wanted.len();
    let events = stop(&fake, running).await;
    assert_eq!(reads, 2, "one new collector");
    assert_eq!(keys(&events), [1, 2, 3, 4, 6, 7, 8, 9]);
    let damaged = &events[4];
    assert_eq!((damaged.subject(), damaged.key()), ("VmPoweredOnEvent", None));
    assert!(member(damaged, "DecodeError").as_str().unwrap().contains("U+0001"));
    assert!(member(damaged, "RawXml").as_str().unwrap().contains("<key>5</key>"));
}

fn cut_short(mut page: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(page.clone()).unwrap();
    if let Some(at) = text.find("<key>5</key>") {
        page.truncate(at);
    }
    page
}

#[tokio::test]
async fn an_answer_that_breaks_off_damages_no_event() {
    let fake = FaultSoap::start().await;
    let mut running = streaming(&fake, timing()).await;
    for _ in 0..10 {
        fake.script("ReadNextEvents", Reply::Spoil(cut_short));
    }
    let events: Vec<_> = (1..=9).map(|key| (key, NOW + i64::from(key))).collect();
    fake.happen(&events);
    running.read_until(has_key(9)).await;
    let events = stop(&fake, running).await;
    assert!(keys(&events).into_iter().eq(1..=9), "{events:?}");
    assert_eq!(events.len(), 9);
}

#[tokio::test]
async fn waiting_goes_on_from_where_it_was() {
    let fake = FaultSoap::start().await;
    let quick = Timing { max_wait: Duration::from_secs(1), poll: Duration::from_secs(60), ..timing() };
    let mut running = streaming(&fake, quick).await;
    for key in 1..=3 {
        // The wait ends without news, again and again; only it can tell of the event this soon.
        let waits = fake.calls("WaitForUpdatesEx");
        within("another wait", async {
            while fake.calls("WaitForUpdatesEx") == waits {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        fake.happen(&[(key, NOW + i64::from(key))]);
        running.read_until(has_key(key)).await;
    }
    stop(&fake, running).await;
}

#[tokio::test]
async fn whatever_a_call_gets_the_stream_comes_back() {
    let html = || Reply::Raw { status: 503, kind: "text/html", body: b"<html>no healthy upstream".to_vec() };
    let garbage = || Reply::Raw { status: 200, kind: "text/xml", body: b"<a><b/></a>".to_vec() };
    let empty = || Reply::Raw { status: 200, kind: "text/xml", body: Vec::new() };
    let fake = FaultSoap::start().await;
    let short = Timing {
        call: Duration::from_millis(300),
        page: Duration::from_millis(300),
        max_wait: Duration::from_secs(1),
        ..timing()
    };
    let mut running = streaming(&fake, short).await;
    let mut key = 0;
    for reply in
        [html, garbage, empty, || Reply::Hang, || Reply::Fault("NotAuthenticated"), || Reply::Fault("InvalidState")]
    {
        for method in
            ["ReadNextEvents", "CreateCollectorForEvents", "CreateFilter", "CurrentTime", "Login", "WaitForUpdatesEx"]
        {
            fake.script(method, reply());
            // Sessions end, so that logging in and creating a collector have their turn.
            fake.end_sessions();
            key += 1;
            fake.happen(&[(key, NOW + i64::from(key))]);
            running.read_until(has_key(key)).await;
        }
    }
    running.streaming().await;
    let events = running.stop().await;
    assert_no_twins(&events);
    assert!(keys(&events).into_iter().eq(1..=key));
    assert_eq!(fake.open(), (0, 0, 0));
}

#[tokio::test]
async fn trouble_with_the_network_costs_no_new_login() {
    let fake = FaultSoap::start().await;
    let mut running = streaming(&fake, timing()).await;
    for key in 1..=5_i32 {
        fake.script("ReadNextEvents", Reply::Raw { status: 502, kind: "text/html", body: Vec::new() });
        running
            .state("the session is tried again", |status| status.errors_total() >= u64::from(key.unsigned_abs()))
            .await;
        fake.happen(&[(key, NOW + i64::from(key))]);
        running.read_until(has_key(key)).await;
    }
    assert_eq!(fake.calls("Login"), 1);
    assert_eq!(fake.open(), (1, 1, 1), "earlier collectors are destroyed");
    stop(&fake, running).await;
}

#[tokio::test]
async fn without_news_reading_goes_on() {
    let fake = FaultSoap::start().await;
    for _ in 0..1000 {
        fake.script("WaitForUpdatesEx", Reply::Raw { status: 504, kind: "text/html", body: Vec::new() });
    }
    let mut running = streaming(&fake, timing()).await;
    for key in 1..=5 {
        fake.happen(&[(key, NOW + i64::from(key))]);
        running.read_until(has_key(key)).await;
    }
    assert_eq!((fake.calls("Login"), fake.calls("CreateCollectorForEvents")), (1, 1));
    stop(&fake, running).await;
}

#[tokio::test]
async fn a_server_that_does_not_wait_is_not_asked_without_end() {
    let fake = FaultSoap::start().await;
    for _ in 0..1000 {
        fake.script("WaitForUpdatesEx", Reply::Fault("RequestCanceled"));
    }
    let mut running = streaming(&fake, timing()).await;
    let before = fake.calls("ReadNextEvents");
    within("some polls", async {
        while fake.calls("ReadNextEvents") < before + 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(fake.calls("WaitForUpdatesEx") <= fake.calls("ReadNextEvents") + 2);
    fake.happen(&[(1, NOW + 1)]);
    running.read_until(has_key(1)).await;
    stop(&fake, running).await;
}

#[tokio::test]
async fn collectors_that_were_lost_are_given_back_by_logging_out() {
    let fake = FaultSoap::start().await;
    let short = Timing { call: Duration::from_millis(200), ..timing() };
    fake.state().most_collectors = 1;
    // Made, but the answer does not come.
    fake.script("CreateCollectorForEvents", Reply::Spoil(|_| Vec::new()));
    let mut running = Running::start(config(&fake.url), short).await;
    running.streaming().await;
    fake.happen(&[(1, NOW + 1)]);
    running.read_until(has_key(1)).await;
    assert_eq!((fake.calls("Login"), fake.calls("Logout")), (2, 1));
    running.stop().await;
    assert_eq!(fake.open(), (0, 0, 0));
}

#[tokio::test]
async fn a_refused_login_is_not_stormed() {
    let fake = FaultSoap::start().await;
    fake.state().password = Some("another".to_owned());
    let refused =
        Timing { refused_first: Duration::from_secs(3600), retry_most: Duration::from_secs(3600), ..timing() };
    let running = Running::start(config(&fake.url), refused).await;
    running.state("the login is refused", |status| status.state().name() == "waiting").await;
    let why = running.status.state().detail().unwrap();
    assert!(why.contains("InvalidLogin") && why.contains("password"), "{why}");
    assert!(!why.contains("p<a>&ss") && !why.contains("p&lt;a"), "no secret: {why}");
    // After any other failure the next try comes in hundredths of a second.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(fake.calls("Login"), 1);
    running.stop().await;
    let quick = Timing { refused_first: Duration::from_millis(1), retry_most: Duration::from_millis(1), ..timing() };
    let mut running = Running::start(config(&fake.url), quick).await;
    running.state("several refusals", |status| status.errors_total() > 3).await;
    fake.state().password = None;
    running.streaming().await;
    fake.happen(&[(1, NOW)]);
    running.read_until(has_key(1)).await;
    stop(&fake, running).await;
}

#[tokio::test]
async fn too_many_collectors_are_waited_for_and_told() {
    let fake = FaultSoap::start().await;
    fake.state().most_collectors = 0;
    let mut running = Running::start(config(&fake.url), timing()).await;
    running.state("no collector to be had", |status| status.errors_total() > 3).await;
    assert!(
        running.status.state().detail().unwrap_or_default().contains("InvalidState")
            || running.status.state().name() == "connecting"
    );
    assert!(!running.telemetry.not_ready().is_empty());
    fake.state().most_collectors = 1;
    running.streaming().await;
    fake.happen(&[(1, NOW)]);
    running.read_until(has_key(1)).await;
    assert_eq!(fake.calls("Login"), 1);
    stop(&fake, running).await;
}

#[tokio::test]
async fn events_that_reading_does_not_bring_are_noticed_and_read_by_a_new_collector() {
    let fake = FaultSoap::start().await;
    let quick = Timing { stall: Duration::from_millis(100), ..timing() };
    let mut running = streaming(&fake, quick).await;
    fake.happen(&[(1, NOW + 1)]);
    running.read_until(has_key(1)).await;
    // The collector has lost its place, but the newest event is there to see.
    fake.happen_late(2, NOW + 2);
    fake.state().latest = Some((2, NOW + 2));
    running.read_until(has_key(2)).await;
    assert_eq!(keys(&stop(&fake, running).await), [1, 2]);
}

#[tokio::test]
async fn events_that_the_user_may_not_see_are_a_gap_told_once() {
    let fake = FaultSoap::start().await;
    let quick = Timing { stall: Duration::from_millis(20), ..timing() };
    let mut running = streaming(&fake, quick).await;
    fake.happen(&[(1, NOW + 1)]);
    running.read_until(has_key(1)).await;
    fake.state().latest = Some((2000, NOW + 2 * SECOND));
    running.read_until(|event| event.subject() == "EventGap").await;
    let collectors = fake.calls("CreateCollectorForEvents");
    fake.happen(&[(4000, NOW + 4 * SECOND)]);
    running.read_until(has_key(4000)).await;
    running.read_until_quiet().await;
    assert_eq!(fake.calls("CreateCollectorForEvents"), collectors + 1, "it goes on behind them, once");
    let events = stop(&fake, running).await;
    let gaps: Vec<_> = events.iter().filter(|event| event.subject() == "EventGap").collect();
    assert_eq!(gaps.len(), 1);
    assert_eq!(gaps[0].kind(), "com.vmware.event.router/gap");
    assert!(member(gaps[0], "Reason").as_str().unwrap().contains("Read-only"));
}

#[tokio::test]
async fn reading_goes_on_where_it_was_and_brings_nothing_twice() {
    let fake = FaultSoap::start().await;
    let journal = journal_with(&fake, &[(1, NOW + 1), (2, NOW + 2)]).await;
    fake.happen(&[(3, NOW + 3)]);
    let mut running = Running::start_on(journal, config(&fake.url), timing()).await;
    running.read_until(has_key(3)).await;
    running.read_until_quiet().await;
    assert_eq!(keys(&running.stop().await), [3]);
}

#[tokio::test]
async fn what_vcenter_no_longer_has_is_a_gap() {
    let fake = FaultSoap::start().await;
    let journal = journal_with(&fake, &[(1, NOW + 1), (2, NOW + 2)]).await;
    let day = 24 * 60 * MINUTE;
    {
        let mut state = fake.state();
        state.max_age = Some(30);
        state.now = NOW + 40 * day;
        state.history.clear();
    }
    fake.happen(&[(90, NOW + 39 * day)]);
    let mut running = Running::start_on(Arc::clone(&journal), config(&fake.url), timing()).await;
    running.read_until(has_key(90)).await;
    let events = running.stop().await;
    assert_eq!(events.len(), 2, "{events:?}");
    let to = member(&events[0], "To");
    assert!(to.as_str().unwrap().starts_with(&time(NOW + 10 * day)[..16]), "vCenter's clock less 30 days: {to}");
    let mut running = Running::start_on(journal, config(&fake.url), timing()).await;
    fake.happen(&[(91, NOW + 39 * day)]);
    running.read_until(has_key(91)).await;
    assert_eq!(running.stop().await.len(), 1, "a gap is told once");
}

#[tokio::test]
async fn a_history_that_was_lost_is_a_gap() {
    let fake = FaultSoap::start().await;
    let journal = journal_with(&fake, &[(1, NOW + 1), (2, NOW + 2)]).await;
    fake.state().history.clear();
    fake.happen(&[(1, NOW + 30 * SECOND)]);
    let mut running = Running::start_on(journal, config(&fake.url), timing()).await;
    running.read_until(has_key(1)).await;
    let events = running.stop().await;
    assert_eq!((events[0].subject(), events[1].key()), ("EventGap", Some(1)));
    assert_eq!(member(&events[0], "From"), time(NOW + 2).as_str());
    assert_eq!(member(&events[0], "To"), time(NOW + 30 * SECOND).as_str());
}

#[tokio::test]
async fn a_late_event_does_not_end_a_gap() {
    let fake = FaultSoap::start().await;
    let journal = journal_with(&fake, &[(1, NOW + 1), (2, NOW + 2)]).await;
    fake.state().history.clear();
    // Keys 3 to 8 happened in the first half of a minute and are gone; of then, one came about later.
    fake.happen(&[(12, NOW + 5 * SECOND), (9, NOW + 30 * SECOND), (10, NOW + 31 * SECOND), (11, NOW + 32 * SECOND)]);
    let mut running = Running::start_on(journal, config(&fake.url), timing()).await;
    running.read_until(has_key(11)).await;
    let events = running.stop().await;
    assert_eq!((events[0].subject(), events[1].key()), ("EventGap", Some(12)));
    assert_eq!(member(&events[0], "From"), time(NOW + 2).as_str());
    assert_eq!(member(&events[0], "To"), time(NOW + 30 * SECOND).as_str());
}

/// A journal that fails when it is told to.
struct Failing {
    inner: MemoryJournal,
    /// So many appends fail.
    fail: AtomicUsize,
    /// Those that hold a damaged event.
    damaged_only: bool,
    failed: Notify,
}

impl Failing {
    fn new(fail: usize, damaged_only: bool) -> Arc<Self> {
        let inner = MemoryJournal::new(1 << 26);
        Arc::new(Self { inner, fail: fail.into(), damaged_only, failed: Notify::new() })
    }
}

#[async_trait]
impl Journal for Failing {
    fn max_batch(&self) -> BatchLimits {
        self.inner.max_batch()
    }
    async fn append(&self, batch: &mut Batch) -> Result<Position, JournalError> {
        let meant = batch.events.iter().any(|event| !self.damaged_only || event.key().is_none());
        if meant && self.fail.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            self.failed.notify_one();
            return Err(JournalError::Io { what: "write".to_owned(), why: "no luck".to_owned() });
        }
        self.inner.append(batch).await
    }
    fn check_space(&self) -> Result<(), JournalError> {
        self.inner.check_space()
    }
    async fn space(&self) {
        self.inner.space().await;
    }
    async fn pace(&self) {
        self.inner.pace().await;
    }
    async fn checkpoint(&self, stream: &str) -> Result<Option<Checkpoint>, JournalError> {
        self.inner.checkpoint(stream).await
    }
    async fn cursor(&self, processor: &str, begin: Begin) -> Result<Arc<dyn Cursor>, JournalError> {
        self.inner.cursor(processor, begin).await
    }
    async fn forget(&self, processor: &str) -> Result<(), JournalError> {
        self.inner.forget(processor).await
    }
    fn dead_letters(&self) -> Result<Arc<dyn DeadLetters>, JournalError> {
        self.inner.dead_letters()
    }
    fn history(&self) -> Result<Arc<dyn History>, JournalError> {
        self.inner.history()
    }
    fn places(&self) -> Vec<(Arc<str>, CursorState)> {
        self.inner.places()
    }
    fn signing_key(&self) -> [u8; 32] {
        self.inner.signing_key()
    }
    fn stats(&self) -> JournalStats {
        self.inner.stats()
    }
    async fn close(&self) -> Result<(), JournalError> {
        self.inner.close().await
    }
}

#[tokio::test]
async fn after_a_journal_error_reading_starts_from_the_checkpoint() {
    let fake = FaultSoap::start().await;
    let failing = Failing::new(0, false);
    let mut running = Running::start_on(Arc::clone(&failing) as Arc<dyn Journal>, config(&fake.url), timing()).await;
    running.streaming().await;
    fake.happen(&[(1, NOW + 1)]);
    running.read_until(has_key(1)).await;
    failing.fail.store(3, SeqCst);
    fake.happen(&[(2, NOW + 2), (3, NOW + 3)]);
    for _ in 0..3 {
        within("an append fails", failing.failed.notified()).await;
    }
    running.read_until(has_key(3)).await;
    assert_eq!(keys(&stop(&fake, running).await), [1, 2, 3]);
}

#[tokio::test]
async fn a_damaged_event_that_the_journal_did_not_take_is_passed_on_again() {
    let fake = FaultSoap::start().await;
    let failing = Failing::new(2, true);
    let mut running = Running::start_on(Arc::clone(&failing) as Arc<dyn Journal>, config(&fake.url), timing()).await;
    running.streaming().await;
    for _ in 0..100 {
        fake.script("ReadNextEvents", Reply::Spoil(spoil_five));
    }
    fake.happen(&[(4, NOW + 4), (5, NOW + 5), (6, NOW + 6)]);
    running.read_until(has_key(6)).await;
    let events = stop(&fake, running).await;
    let keys: Vec<_> = events.iter().map(Event::key).collect();
    assert_eq!(keys, [Some(4), None, Some(6)]);
}

#[tokio::test]
async fn a_server_that_does_not_answer_does_not_hold_up_the_end() {
    let fake = FaultSoap::start().await;
    let quick = Timing { stop: Duration::from_millis(50), ..timing() };
    let running = streaming(&fake, quick).await;
    for method in ["CancelWaitForUpdates", "DestroyPropertyFilter", "DestroyCollector", "Logout", "ReadNextEvents"] {
        fake.script(method, Reply::Hang);
    }
    running.stop().await;
}
