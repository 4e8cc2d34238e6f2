//! The loop against a processor whose targets do as they are told, in simulated time.

mod batches;
mod chosen;
mod held;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Delivery, Late, Options, Ordering, Resent, Retry, Settler};
use crate::attempt::{BatchLimits, Delivery as Attempted, Outcome, Position, Reason, Target};
use crate::event::{Attributes, Event, PageBuilder};
use crate::journal::memory::MemoryJournal;
use crate::journal::{Batch, Begin, Journal};
use crate::processor::{Processor, Routes, Targets};
use crate::telemetry::{ProcessorStatus, Telemetry};

type Behaviour = dyn Fn(&Target, &Attempted) -> (Duration, Outcome) + Send + Sync;

/// Every event goes to every target, except those whose subject names one.
struct Map(Vec<Target>);

impl Routes for Map {
    fn route(&self, event: &Event) -> Targets {
        if event.subject() == "Nobody" {
            return Arc::new([]);
        }
        let named: Vec<Target> = self.0.iter().filter(|target| target.as_str() == event.subject()).cloned().collect();
        if named.is_empty() { self.0.clone().into() } else { named.into() }
    }

    fn has(&self, target: &Target) -> bool {
        self.0.contains(target)
    }
}

struct Sim {
    routes: Mutex<Arc<Map>>,
    behaviour: Box<Behaviour>,
    limits: BatchLimits,
    linger: Duration,
    /// Each attempt: when it began, and the places that it carried.
    batches: Mutex<Vec<(tokio::time::Instant, Vec<Position>)>>,
    /// Everything delivered: target, position, entity.
    log: watch::Sender<Vec<(Target, Position, String)>>,
    attempts: Mutex<BTreeMap<(Target, Position), u32>>,
    most_in_flight: Mutex<(usize, usize)>,
}

#[async_trait]
impl Processor for Sim {
    async fn run(&self, stop: CancellationToken) {
        stop.cancelled().await;
    }

    async fn ready(&self) {}

    fn routes(&self) -> Arc<dyn Routes> {
        self.routes.lock().unwrap().clone()
    }

    fn limits(&self) -> BatchLimits {
        self.limits
    }

    fn linger(&self) -> Duration {
        self.linger
    }

    async fn attempt(&self, target: &Target, batch: &[Attempted]) -> Vec<Outcome> {
        let carried = batch.iter().map(|delivery| delivery.position).collect();
        self.batches.lock().unwrap().push((tokio::time::Instant::now(), carried));
        {
            let mut in_flight = self.most_in_flight.lock().unwrap();
            in_flight.0 += 1;
            in_flight.1 = in_flight.1.max(in_flight.0);
        }
        let mut outcomes = Vec::new();
        for delivery in batch {
            *self.attempts.lock().unwrap().entry((target.clone(), delivery.position)).or_default() += 1;
            let (takes, outcome) = (self.behaviour)(target, delivery);
            tokio::time::sleep(takes).await;
            if matches!(outcome, Outcome::Delivered { .. }) {
                let line = (target.clone(), delivery.position, delivery.event.entity().to_owned());
                self.log.send_modify(|log| log.push(line));
            }
            outcomes.push(outcome);
        }
        self.most_in_flight.lock().unwrap().0 -= 1;
        outcomes
    }

    async fn check(&self, _report: &mut crate::report::Report) {}
}

struct Run {
    sim: Arc<Sim>,
    journal: Arc<MemoryJournal>,
    status: Arc<ProcessorStatus>,
    settler: Settler,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn reason(text: &str) -> Reason {
    Reason { status: Some(500), text: text.to_owned() }
}

fn delivered() -> Outcome {
    Outcome::Delivered { status: Some(200) }
}

fn busy() -> Outcome {
    Outcome::Busy { after: None, why: reason("busy") }
}

fn failed() -> Outcome {
    Outcome::Failed { after: None, why: reason("failed") }
}

fn targets(names: &[&str]) -> Vec<Target> {
    names.iter().map(|name| Target::new(name)).collect()
}

fn sim(
    names: &[&str],
    behaviour: impl Fn(&Target, &Attempted) -> (Duration, Outcome) + Send + Sync + 'static,
) -> Arc<Sim> {
    Arc::new(Sim {
        routes: Mutex::new(Arc::new(Map(targets(names)))),
        behaviour: Box::new(behaviour),
        limits: BatchLimits { events: 1, bytes: usize::MAX },
        linger: Duration::ZERO,
        batches: Mutex::default(),
        log: watch::Sender::new(Vec::new()),
        attempts: Mutex::default(),
        most_in_flight: Mutex::default(),
    })
}

impl Run {
    async fn start(sim: Arc<Sim>, options: Options) -> Self {
        Self::resume(sim, Arc::new(MemoryJournal::new(1 << 30)), options).await
    }

    async fn resume(sim: Arc<Sim>, journal: Arc<MemoryJournal>, options: Options) -> Self {
        let telemetry = Telemetry::new();
        let status = telemetry.processor("sim", "sim", "none");
        let cursor = journal.cursor("sim", Begin::End).await.unwrap();
        let (mut delivery, settler) = Delivery::new(
            Arc::clone(&sim) as Arc<dyn Processor>,
            Arc::clone(&status),
            cursor,
            journal.dead_letters().unwrap(),
            options,
        );
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move { delivery.run(&stopped).await.unwrap() });
        Self { sim, journal, status, settler, stop, task }
    }

    /// Appends events of the given subjects and entities.
    async fn append(&self, events: impl IntoIterator<Item = (String, String)>) {
        let mut page = PageBuilder::new("vc".into(), "s", &[]);
        for (subject, entity) in events {
            page.push(&Attributes { id: "i", subject: &subject, entity: &entity, ..Attributes::default() }, b"{}");
        }
        let mut batch = Batch { stream: "vc".into(), events: page.finish(), checkpoint: None };
        self.journal.append(&mut batch).await.unwrap();
    }

    async fn append_many(&self, count: usize, entities: usize) {
        self.append((0..count).map(|i| ("All".to_owned(), format!("vm-{}", i % entities)))).await;
    }

    async fn until(&self, done: impl Fn(&[(Target, Position, String)]) -> bool) {
        self.sim.log.subscribe().wait_for(|log| done(log)).await.unwrap();
    }

    /// Waits until the durable place satisfies a condition.
    async fn until_settled_through(&self, position: u64) {
        loop {
            let cursor = self.journal.cursor("sim", Begin::End).await.unwrap();
            if cursor.state().settled_through() >= Position(position) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn of(&self, target: &str) -> Vec<(u64, String)> {
        let log = self.sim.log.borrow();
        let own = log.iter().filter(|(t, ..)| t.as_str() == target);
        own.map(|(_, position, entity)| (position.0, entity.clone())).collect()
    }

    async fn finish(self) -> Arc<Sim> {
        self.stop.cancel();
        self.task.await.unwrap();
        self.sim
    }
}

/// Each event once, and those of one entity in order.
fn assert_once_in_order(log: &[(u64, String)], count: usize) {
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (position, entity) in log {
        assert!(seen.insert(position), "{position} came twice");
        if entity.is_empty() {
            continue;
        }
        let before = last.insert(entity, *position).unwrap_or(0);
        assert!(before < *position, "{entity}: {position} came after {before}");
    }
    assert_eq!(seen.len(), count);
}

#[tokio::test(start_paused = true)]
async fn every_event_reaches_every_target_once_and_in_order_whatever_fails() {
    let seed = fastrand::u64(..);
    let rng = Mutex::new(fastrand::Rng::with_seed(seed));
    let sim = sim(&["a", "b", "c"], move |_, _| {
        let mut rng = rng.lock().unwrap();
        let takes = Duration::from_micros(rng.u64(1..20_000));
        let outcome = match rng.u32(0..100) {
            0..3 => busy(),
            3..13 => failed(),
            13..14 => Outcome::Busy { after: Some(Duration::from_secs(3)), why: reason("asks") },
            _ => delivered(),
        };
        (takes, outcome)
    });
    let run = Run::start(sim, Options { max_attempts: 1000, ..Options::default() }).await;
    for _ in 0..20 {
        run.append_many(500, 37).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    run.append((0..100).map(|_| ("Nobody".to_owned(), String::new()))).await;
    run.append((0..100).map(|_| ("b".to_owned(), String::new()))).await;
    run.until(|log| log.len() == 30_100).await;
    for (target, count) in [("a", 10_000), ("b", 10_100), ("c", 10_000)] {
        println!("seed {seed}");
        assert_once_in_order(&run.of(target), count);
    }
    run.until_settled_through(10_200).await;
    let stats = run.journal.stats();
    assert_eq!((stats.undelivered, stats.pinned_bytes), (0, 0), "what is settled pins nothing");
}

#[tokio::test(start_paused = true)]
async fn a_dead_target_delays_no_other_and_gets_all_when_it_is_back() {
    let (alive, watch) = watch::channel(false);
    let sim = sim(&["dead", "well"], move |target, _| {
        let answers = target.as_str() == "well" || *watch.borrow();
        (Duration::from_millis(1), if answers { delivered() } else { busy() })
    });
    let run = Run::start(sim, Options::default()).await;
    for _ in 0..40 {
        run.append_many(500, 50).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    run.until(|log| log.len() == 20_000).await;
    assert_once_in_order(&run.of("well"), 20_000);
    let dead = run.status.target(&Target::new("dead"));
    assert!(dead.has_lane() && dead.circuit_is_open());
    let cursor = run.journal.cursor("sim", Begin::End).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(cursor.state().front, Position(20_000), "the front has passed what the dead one is owed");
    assert_eq!(cursor.state().lanes.len(), 1);
    let attempts =
        run.sim.attempts.lock().unwrap().iter().filter(|((t, _), _)| t.as_str() == "dead").map(|(_, n)| n).sum::<u32>();
    assert!(attempts < 200, "a minute and a bit of probes, not {attempts}");
    alive.send_replace(true);
    run.until(|log| log.len() == 40_000).await;
    assert_once_in_order(&run.of("dead"), 20_000);
    run.append_many(10, 3).await;
    run.until_settled_through(20_010).await;
    assert!(!dead.has_lane() && !dead.circuit_is_open());
    assert_eq!(cursor.state().lanes, vec![]);
}

#[tokio::test(start_paused = true)]
async fn many_dead_targets_hold_little_and_delay_nobody() {
    let names: Vec<String> = (0..50).map(|i| format!("dead-{i}")).chain(["well".to_owned()]).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let sim = sim(&names, |target, _| {
        // The dead hold every connection as long as they can.
        if target.as_str() == "well" {
            (Duration::from_millis(1), delivered())
        } else {
            (Duration::from_secs(15), busy())
        }
    });
    let run = Run::start(sim, Options::default()).await;
    run.append_many(2_000, 100).await;
    let well = |log: &[(Target, Position, String)]| log.len() == 2_000;
    tokio::time::timeout(Duration::from_secs(60), run.until(well)).await.expect("the well one is not starved");
    assert!(run.sim.most_in_flight.lock().unwrap().1 <= 64);
}

#[tokio::test(start_paused = true)]
async fn a_poison_event_does_not_pass_for_an_outage() {
    let sim = sim(&["f"], |_, delivery| {
        // The poisoned one makes the function time out, each time.
        if delivery.position == Position(5) {
            (Duration::from_secs(15), busy())
        } else {
            (Duration::from_millis(5), delivered())
        }
    });
    let run = Run::start(sim, Options::default()).await;
    for _ in 0..20 {
        run.append_many(100, 10).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    // Of ten entities, the poisoned one's 199 later events wait behind it.
    let others = |log: &[(Target, Position, String)]| log.len() == 1_800;
    tokio::time::timeout(Duration::from_secs(120), run.until(others)).await.expect("the other entities go on");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_fails_is_given_up_and_its_entity_goes_on() {
    let sim = sim(&["f"], |_, delivery| {
        let outcome = match delivery.position.0 {
            2 => failed(),
            3 => Outcome::Rejected { why: reason("never") },
            _ => delivered(),
        };
        (Duration::from_millis(1), outcome)
    });
    let run = Run::start(sim, Options { max_attempts: 4, ..Options::default() }).await;
    run.append_many(5, 1).await;
    run.until_settled_through(5).await;
    assert_eq!(run.of("f").iter().map(|(position, _)| *position).collect::<Vec<_>>(), [1, 4, 5]);
    let target = run.status.target(&Target::new("f"));
    let [attempts, successes, failures, retries, in_flight] = target.counts();
    assert_eq!((attempts, successes, failures, retries, in_flight), (8, 3, 2, 3, 0));
    assert!(!target.has_lane(), "an event's failure is not the target's");
}

#[tokio::test(start_paused = true)]
async fn a_busy_target_is_given_as_long_as_max_age_and_no_longer() {
    let sim = sim(&["f"], |_, delivery| {
        (Duration::from_millis(1), if delivery.position.0 == 1 { busy() } else { delivered() })
    });
    let run =
        Run::start(sim, Options { max_age: Duration::from_secs(3600), max_attempts: 1, ..Options::default() }).await;
    let began = tokio::time::Instant::now();
    run.append_many(2, 1).await;
    run.until(|log| log.len() == 1).await;
    let took = began.elapsed();
    assert!(took > Duration::from_secs(3600) && took < Duration::from_secs(3630), "{took:?}");
    assert_eq!(run.of("f"), [(2, "vm-0".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_target_gets_a_lane_and_delays_no_other() {
    let sim = sim(&["slow", "quick"], |target, _| {
        (Duration::from_millis(if target.as_str() == "slow" { 200 } else { 1 }), delivered())
    });
    let run = Run::start(sim, Options::default()).await;
    run.append((0..20_000).map(|i| ("All".to_owned(), format!("vm-{}", i % 500)))).await;
    let quick =
        |log: &[(Target, Position, String)]| log.iter().filter(|(t, ..)| t.as_str() == "quick").count() == 20_000;
    let began = tokio::time::Instant::now();
    run.until(quick).await;
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(run.status.target(&Target::new("slow")).has_lane());
    run.until(|log| log.len() == 40_000).await;
    assert_once_in_order(&run.of("slow"), 20_000);
    assert_once_in_order(&run.of("quick"), 20_000);
}

#[tokio::test(start_paused = true)]
async fn what_a_target_that_is_gone_was_owed_is_unsubscribed() {
    let sim = sim(&["gone", "stays"], |target, _| {
        (Duration::from_millis(1), if target.as_str() == "gone" { busy() } else { delivered() })
    });
    let run = Run::start(sim, Options::default()).await;
    run.append_many(1_000, 10).await;
    run.until(|log| log.len() == 1_000).await;
    *run.sim.routes.lock().unwrap() = Arc::new(Map(targets(&["stays", "new"])));
    run.append((0..10).map(|_| ("stays".to_owned(), String::new()))).await;
    run.until_settled_through(1_010).await;
    assert_once_in_order(&run.of("stays"), 1_010);
    assert!(!run.status.target(&Target::new("gone")).has_lane());
    // Routing is decided when the front meets an event: what was before, the new one does not get.
    assert_eq!(run.of("new").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_where_it_was_committed() {
    let (alive, watch) = watch::channel(false);
    let sim = sim(&["dead", "well"], move |target, _| {
        let answers = target.as_str() == "well" || *watch.borrow();
        (Duration::from_millis(1), if answers { delivered() } else { busy() })
    });
    let journal = Arc::new(MemoryJournal::new(1 << 30));
    for round in 1..=5 {
        let run = Run::resume(Arc::clone(&sim), Arc::clone(&journal), Options::default()).await;
        run.append_many(1_000, 20).await;
        run.until(|log| log.iter().filter(|(t, ..)| t.as_str() == "well").count() == round * 1_000).await;
        run.finish().await;
    }
    alive.send_replace(true);
    let run = Run::resume(Arc::clone(&sim), journal, Options::default()).await;
    run.until_settled_through(5_000).await;
    assert_once_in_order(&run.of("well"), 5_000);
    assert_once_in_order(&run.of("dead"), 5_000);
}

#[tokio::test(start_paused = true)]
async fn strict_means_one_at_a_time_and_none_means_all_at_once() {
    for (ordering, most) in [(Ordering::Strict, 1), (Ordering::Entity, 10), (Ordering::None, 64)] {
        let sim = sim(&["f"], |_, _| (Duration::from_millis(5), delivered()));
        let run = Run::start(sim, Options { ordering, ..Options::default() }).await;
        run.append_many(1_000, 10).await;
        run.until(|log| log.len() == 1_000).await;
        assert_eq!(run.sim.most_in_flight.lock().unwrap().1, most, "{ordering:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_accepted_event_stays_open_until_it_is_settled() {
    let sim = sim(&["f"], |_, _| (Duration::from_millis(1), Outcome::Accepted { within: Duration::from_secs(30) }));
    let run = Run::start(sim, Options::default()).await;
    run.append_many(3, 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let cursor = run.journal.cursor("sim", Begin::End).await.unwrap();
    assert_eq!(cursor.state().front, Position(0));
    let settle = |position, attempt, outcome| {
        let target = Target::new("f");
        let settler = run.settler.clone();
        async move { settler.settle(Late { position: Position(position), target, attempt, outcome }).await.unwrap() }
    };
    settle(1, 1, delivered()).await;
    settle(2, 9, delivered()).await;
    settle(3, 1, failed()).await;
    run.until_settled_through(1).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let count = |position| run.sim.attempts.lock().unwrap()[&(Target::new("f"), Position(position))];
    assert_eq!(
        (count(1), count(2), count(3)),
        (1, 1, 2),
        "a failure is tried again, a settlement of another attempt is none"
    );
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(count(2), 2, "no callback in time is a failure");
    settle(2, 2, delivered()).await;
    settle(3, 2, delivered()).await;
    run.until_settled_through(3).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_attempts_under_way() {
    let sim = sim(&["f"], |_, _| (Duration::from_secs(5), delivered()));
    let run = Run::start(sim, Options { concurrency: 4, ..Options::default() }).await;
    run.append_many(100, 100).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let journal = Arc::clone(&run.journal);
    let sim = run.finish().await;
    assert_eq!(sim.log.borrow().len(), 4);
    assert_eq!(journal.cursor("sim", Begin::End).await.unwrap().state().front, Position(4));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_comes_back_gets_its_events_at_once() {
    let sim = sim(&["f", "stays"], |target, _| {
        (Duration::from_millis(1), if target.as_str() == "f" { busy() } else { delivered() })
    });
    let run = Run::start(Arc::clone(&sim), Options::default()).await;
    run.append_many(10_000, 3).await;
    run.until(|log| log.len() == 10_000).await;
    *sim.routes.lock().unwrap() = Arc::new(Map(targets(&["stays"])));
    run.until_settled_through(10_000).await;
    // It answers again, since it is another one.
    *sim.routes.lock().unwrap() = Arc::new(Map(targets(&["back", "stays", "f"])));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = tokio::time::Instant::now();
    run.append((0..10).map(|_| ("f".to_owned(), "vm-0".to_owned()))).await;
    let tried = || sim.attempts.lock().unwrap().contains_key(&(Target::new("f"), Position(10_001)));
    while !tried() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(before.elapsed() < Duration::from_millis(200), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_the_front_decided_holds_however_often_it_is_read_again() {
    struct Only(&'static str);
    impl Routes for Only {
        fn route(&self, event: &Event) -> Targets {
            if event.subject() == self.0 { targets(&["f"]).into() } else { Arc::new([]) }
        }
        fn has(&self, _target: &Target) -> bool {
            true
        }
    }
    struct Changing {
        sim: Arc<Sim>,
        routes: Mutex<Arc<dyn Routes>>,
    }
    #[async_trait]
    impl Processor for Changing {
        async fn run(&self, _stop: CancellationToken) {}
        async fn ready(&self) {}
        fn routes(&self) -> Arc<dyn Routes> {
            self.routes.lock().unwrap().clone()
        }
        fn limits(&self) -> BatchLimits {
            self.sim.limits
        }
        async fn attempt(&self, target: &Target, batch: &[Attempted]) -> Vec<Outcome> {
            self.sim.attempt(target, batch).await
        }
        async fn check(&self, _report: &mut crate::report::Report) {}
    }
    let (alive, watch) = watch::channel(false);
    let sim = sim(&[], move |_, _| (Duration::from_millis(1), if *watch.borrow() { delivered() } else { busy() }));
    let processor = Arc::new(Changing { sim: Arc::clone(&sim), routes: Mutex::new(Arc::new(Only("old"))) });
    let journal = Arc::new(MemoryJournal::new(1 << 30));
    let status = Telemetry::new().processor("sim", "sim", "none");
    let cursor = journal.cursor("sim", Begin::End).await.unwrap();
    let options = Options { ordering: Ordering::Strict, ..Options::default() };
    let shared = Arc::clone(&processor) as Arc<dyn Processor>;
    let (mut delivery, settler) =
        Delivery::new(shared, Arc::clone(&status), cursor, journal.dead_letters().unwrap(), options);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let task = tokio::spawn(async move { delivery.run(&stopped).await.unwrap() });
    let run = Run { sim, journal, status, settler, stop, task };

    run.append((0..200).flat_map(|_| ["old", "new"].map(|subject| (subject.to_owned(), String::new())))).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    *processor.routes.lock().unwrap() = Arc::new(Only("new"));
    tokio::time::sleep(Duration::from_secs(60)).await;
    run.append((0..200).flat_map(|_| ["old", "new"].map(|subject| (subject.to_owned(), String::new())))).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    alive.send_replace(true);
    run.until_settled_through(800).await;
    let expected: Vec<u64> = (1..400).step_by(2).chain((402..=800).step_by(2)).collect();
    assert_eq!(run.of("f").iter().map(|(position, _)| *position).collect::<Vec<_>>(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_callback_may_overtake_the_answer_that_the_call_was_accepted() {
    let settler: Arc<Mutex<Option<Settler>>> = Arc::default();
    let shared = Arc::clone(&settler);
    let sim = sim(&["f"], move |target, delivery| {
        let (position, target, attempt) = (delivery.position, target.clone(), delivery.attempt);
        let settler = shared.lock().unwrap().clone().unwrap();
        let outcome = if attempt == 1 { failed() } else { delivered() };
        tokio::spawn(async move { settler.settle(Late { position, target, attempt, outcome }).await.unwrap() });
        (Duration::from_millis(5), Outcome::Accepted { within: Duration::from_secs(300) })
    });
    let run = Run::start(sim, Options::default()).await;
    *settler.lock().unwrap() = Some(run.settler.clone());
    run.append_many(5, 5).await;
    let began = tokio::time::Instant::now();
    run.until_settled_through(5).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(run.sim.attempts.lock().unwrap().values().sum::<u32>(), 10, "one failure and one success each");
}

#[tokio::test(start_paused = true)]
async fn an_acceptance_outlives_the_alarm_of_an_earlier_one() {
    let sim = sim(&["f"], |_, _| (Duration::from_millis(1), Outcome::Accepted { within: Duration::from_secs(30) }));
    let run = Run::start(sim, Options::default()).await;
    run.append_many(1, 1).await;
    let settle = |outcome| {
        let settler = run.settler.clone();
        let late = Late { position: Position(1), target: Target::new("f"), attempt: 1, outcome };
        async move { settler.settle(late).await.unwrap() }
    };
    tokio::time::sleep(Duration::from_secs(29)).await;
    // Busy does not count as an attempt: the next one is the first again.
    settle(busy()).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    settle(delivered()).await;
    run.until_settled_through(1).await;
    assert_eq!(run.sim.attempts.lock().unwrap().values().sum::<u32>(), 2);
    assert!(!run.status.target(&Target::new("f")).circuit_is_open());
}

#[tokio::test(start_paused = true)]
async fn a_target_is_not_kept_waiting_by_those_that_have_nothing() {
    let names = ["a", "b", "c", "d"];
    let sim = sim(&names, |_, _| (Duration::from_millis(10), delivered()));
    let run = Run::start(sim, Options::default()).await;
    // All end at the same moment; only the last has another event of the entity.
    let subjects = ["a", "b", "c", "d", "d", "d"];
    let began = tokio::time::Instant::now();
    run.append(subjects.map(|subject| (subject.to_owned(), "vm-1".to_owned()))).await;
    run.until(|log| log.len() == 6).await;
    assert!(began.elapsed() < Duration::from_millis(40), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stop_makes_durable_what_ended_even_if_one_attempt_hangs() {
    let sim = sim(&["f"], |_, delivery| {
        (if delivery.position.0 == 3 { Duration::from_secs(86_400) } else { Duration::from_secs(1) }, delivered())
    });
    let run = Run::start(sim, Options::default()).await;
    run.append_many(5, 5).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    run.stop.cancel();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let cursor = run.journal.cursor("sim", Begin::End).await.unwrap();
    assert_eq!(cursor.state().front, Position(2));
}

/// What becomes of a letter that is sent again.
async fn resend(run: &Run, letter: crate::journal::DeadLetter) -> Resent {
    let (told, what) = tokio::sync::oneshot::channel();
    run.settler.retry(Retry { letter, told }).await;
    what.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_is_a_dead_letter_until_it_has_arrived() {
    let (mends, watch) = watch::channel(0);
    let sim = sim(&["f", "well"], move |target, _| {
        let outcome = match (target.as_str(), *watch.borrow()) {
            ("well", _) | (_, 3) => delivered(),
            (_, 0) => Outcome::Rejected { why: reason("no such thing") },
            (_, 1) => failed(),
            _ => busy(),
        };
        (Duration::from_millis(1), outcome)
    });
    let run = Run::start(sim, Options { max_attempts: 3, ..Options::default() }).await;
    run.append_many(20, 3).await;
    run.until_settled_through(20).await;
    let letters = run.journal.dead_letters().unwrap();
    let all = letters.read(crate::journal::LettersPlace::default()).await.unwrap().0;
    assert_eq!((all.len(), run.of("f").len()), (20, 0));
    assert_once_in_order(&run.of("well"), 20);
    assert!(all.iter().all(|letter| letter.attempts == 1 && letter.why == reason("no such thing")));

    // Another way to fail, and more attempts.
    mends.send_replace(1);
    assert_eq!(resend(&run, all[4].clone()).await, Resent::Kept(reason("failed")));
    let again = letters.get(&all[4].id()).await.unwrap().unwrap();
    assert_eq!((again.attempts, again.why.text.as_str()), (4, "failed"));

    // A target that is busy is waited for, and one letter is not sent twice at a time.
    mends.send_replace(2);
    let (told, what) = tokio::sync::oneshot::channel();
    run.settler.retry(Retry { letter: again.clone(), told }).await;
    assert_eq!(resend(&run, again.clone()).await, Resent::TooMany);
    run.append_many(5, 3).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(run.of("well").len(), 25, "others do not wait");
    mends.send_replace(3);
    assert_eq!(what.await.unwrap(), Resent::Delivered);
    assert!(letters.get(&again.id()).await.unwrap().is_none());
    assert_eq!(letters.held().0, 19);
    for letter in all.into_iter().filter(|letter| letter.entry.position != again.entry.position) {
        assert_eq!(resend(&run, letter).await, Resent::Delivered);
    }
    run.until_settled_through(25).await;
    let mut came: Vec<_> = run.of("f").into_iter().map(|(position, _)| position).collect();
    came.sort_unstable();
    assert_eq!((came, letters.held()), ((1..=25).collect(), (0, 0)), "each once");

    // The function is gone.
    let mut lost = crate::journal::DeadLetter { target: Target::new("gone"), ..again };
    lost.entry.position = Position(1);
    assert_eq!(resend(&run, lost).await, Resent::NoTarget);
    run.finish().await;
}
