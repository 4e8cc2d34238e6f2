//! Replays: a part of the journal, delivered again by a processor beside what it delivers anyway.
//!
//! A replay is a cursor of its own, whose name says of which processor and which replay it is, and a delivery that reads
//! no further than the replay goes. What it is to do is written down in the journal's folder before it begins, so that a
//! restart goes on with it.

mod kept;
mod part;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use self::kept::{Kept, new_id};
use self::part::{Partial, PartialCursor};
use super::{Deliveries, deliver};
use crate::admin::api::replay::{Counted, Part, Refused, Replay};
use crate::attempt::{BatchLimits, Position};
use crate::backoff::Backoff;
use crate::delivery::{Delivery, Options, Settler, excludes};
use crate::journal::{Begin, Journal, JournalError, REPLAY};
use crate::processor::Processor;
use crate::telemetry::{ProcessorStatus, Telemetry};

/// So many replays go on at once.
const MOST: usize = 8;

/// What is read at once to count.
const CHUNK: BatchLimits = BatchLimits { events: 1000, bytes: 2 << 20 };

/// Chunks that are looked at for one answer.
const CHUNKS: usize = 8;

/// How long a count waits for the processor's map.
const PATIENCE: Duration = Duration::from_secs(10);

/// A replay that is under way.
struct Running {
    part: Part,
    status: Arc<ProcessorStatus>,
    settler: Arc<Mutex<Option<Settler>>>,
    /// It is to be ended, and forgotten.
    ended: CancellationToken,
}

/// The replays of a router.
pub(super) struct Replays {
    journal: Arc<dyn Journal>,
    deliveries: Deliveries,
    kept: Kept,
    running: Arc<Mutex<BTreeMap<String, Running>>>,
    /// Held while replays begin: what is written down of one must not be taken for that of another run.
    beginning: tokio::sync::Mutex<()>,
    tasks: TaskTracker,
    /// The deliveries stop.
    stop: CancellationToken,
}

/// The cursor's name.
fn name_of(id: &str, processor: &str) -> Arc<str> {
    format!("{REPLAY}{id}/{processor}").into()
}

impl Replays {
    /// Of an open journal. They go on in `tasks` until `stop`.
    pub(super) fn new(
        journal: Arc<dyn Journal>,
        deliveries: Deliveries,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let kept = Kept::new(journal.folder());
        Self { journal, deliveries, kept, running: Arc::default(), beginning: Default::default(), tasks, stop }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with those that were under way when the router ended, and forgets what is left of others.
    pub(super) async fn go_on(&self) {
        let _beginning = self.beginning.lock().await;
        for (id, part) in self.kept.all().await {
            if self.running().contains_key(&id) {
                // Somebody was quick.
                continue;
            }
            match self.deliveries.get(&part.processor) {
                Some((processor, options)) => {
                    info!(replay = id, processor = part.processor, "a replay goes on");
                    self.start(id, part, processor, &options);
                }
                None => {
                    warn!(
                        replay = id,
                        processor = part.processor,
                        "a replay ends, since its processor is not configured any more"
                    );
                    drop(self.kept.remove(&id).await);
                }
            }
        }
        let configured = |name: &str| self.deliveries.get(name).is_some();
        let known: Vec<_> = self.running().iter().map(|(id, of)| name_of(id, &of.part.processor)).collect();
        for (name, _) in self.journal.places() {
            if name.starts_with(REPLAY) && !known.contains(&name) && !configured(&name) {
                // It had ended, or was never told of.
                if let Err(error) = self.journal.forget(&name).await {
                    warn!(%error, place = %name, "what is left of a replay cannot be removed: the next start tries it again");
                }
            }
        }
    }

    /// Begins a replay.
    pub(super) async fn begin(&self, part: Part) -> Result<Replay, Refused> {
        let (processor, options) = self.processor(&part)?;
        Partial::new(Arc::clone(&processor), &part).map_err(Refused::Wrong)?;
        let _beginning = self.beginning.lock().await;
        if self.running().len() >= MOST {
            return Err(Refused::NotNow(format!("{MOST} replays are under way: wait for one, or cancel one")));
        }
        let id = new_id();
        self.kept.add(&id, &part).await.map_err(Refused::NotNow)?;
        // Durable before it is answered; the delivery finds it there.
        let begin = Begin::Behind(Position(part.after));
        if let Err(error) = self.journal.cursor(&name_of(&id, &part.processor), begin).await {
            drop(self.kept.remove(&id).await);
            return Err(Refused::NotNow(error.to_string()));
        }
        info!(
            replay = id,
            processor = part.processor,
            target = part.target,
            after = part.after,
            to = part.to,
            "a replay begins"
        );
        let done = part.after;
        self.start(id.clone(), part.clone(), processor, &options);
        Ok(Replay { id, part, done, delivered: 0, dead_letters: 0, let_go: false })
    }

    fn processor(&self, part: &Part) -> Result<(Arc<dyn Processor>, Options), Refused> {
        self.deliveries.get(&part.processor).ok_or_else(|| {
            let names = self.deliveries.names().join(", ");
            Refused::Wrong(format!("there is no processor {}; there is {names}", part.processor))
        })
    }

    fn start(&self, id: String, part: Part, processor: Arc<dyn Processor>, options: &Options) {
        let name = name_of(&id, &part.processor);
        // Counted by itself, and forgotten with it.
        let status = Telemetry::new().processor(&name, "", "");
        // What is new has the greater share.
        let options = Options { concurrency: (options.concurrency / 4).max(1), ..options.clone() };
        let settler = Arc::default();
        let ended = CancellationToken::new();
        let running = Running {
            part: part.clone(),
            status: Arc::clone(&status),
            settler: Arc::clone(&settler),
            ended: ended.clone(),
        };
        self.running().insert(id.clone(), running);
        let (journal, all, kept) = (Arc::clone(&self.journal), Arc::clone(&self.running), self.kept.clone());
        let stopped = self.stop.clone();
        self.tasks.spawn(async move {
            let stop = stopped.child_token();
            let of: Arc<str> = part.processor.as_str().into();
            let open = || async {
                let partial = Partial::new(Arc::clone(&processor), &part).map_err(|why| {
                    // It was understood when it began.
                    JournalError::Damaged(why)
                })?;
                let inner = journal.cursor(&name, Begin::Behind(Position(part.after))).await?;
                let cursor = PartialCursor::new(inner, Position(part.to), ended.clone());
                let (delivery, errands) = Delivery::new(
                    Arc::new(partial),
                    Arc::clone(&status),
                    Arc::new(cursor),
                    journal.dead_letters()?,
                    options.clone(),
                );
                *settler.lock().unwrap_or_else(PoisonError::into_inner) = Some(errands);
                Ok(delivery.on_behalf_of(Arc::clone(&of)))
            };
            tokio::select! {
                () = deliver(&name, open, &stop) => {}
                () = async {
                    ended.cancelled().await;
                    stop.cancel();
                    std::future::pending::<()>().await;
                } => {}
            }
            if ended.is_cancelled() {
                finish(&*journal, &kept, &id, &name, &stopped).await;
                let (delivered, dead_letters) = counts(&status);
                info!(replay = id, processor = part.processor, delivered, dead_letters, "a replay has ended");
            }
            all.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        });
    }

    /// What a replay would send, of the events behind where it begins; looks at some of them.
    pub(super) async fn count(&self, part: &Part) -> Result<Counted, Refused> {
        let (processor, options) = self.processor(part)?;
        let partial = Partial::new(processor, part).map_err(Refused::Wrong)?;
        let broken = |error: JournalError| Refused::NotNow(error.to_string());
        let history = self.journal.history().map_err(broken)?;
        let not_ready = || Refused::NotNow(format!("{} has not read its subscriptions yet", part.processor));
        tokio::time::timeout(PATIENCE, partial.ready()).await.map_err(|_| not_ready())?;
        let routes = partial.routes();
        let mut counted = Counted { after: part.after, next: part.after, to: part.to, ..Counted::default() };
        for _ in 0..CHUNKS {
            let read = history.read(Position(counted.next), CHUNK).await.map_err(broken)?;
            let within = read.iter().filter(|entry| entry.position.0 <= part.to);
            for entry in within {
                if excludes(&options, &entry.event) {
                    continue;
                }
                let targets = routes.route(&entry.event);
                counted.events += u64::from(!targets.is_empty());
                for target in targets.iter() {
                    *counted.targets.entry(target.to_string()).or_default() += 1;
                }
            }
            counted.next = read.last().map_or(part.to, |last| last.position.0.min(part.to));
            if counted.next == part.to {
                break;
            }
        }
        Ok(counted)
    }

    /// Those that are under way.
    pub(super) fn all(&self) -> Vec<Replay> {
        let places: BTreeMap<_, _> = self.journal.places().into_iter().collect();
        let replay = |(id, running): (&String, &Running)| {
            let part = running.part.clone();
            let place = places.get(&name_of(id, &part.processor));
            let done = place.map_or(part.after, |place| place.settled_through().0);
            let (delivered, dead_letters) = counts(&running.status);
            Replay { id: id.clone(), part, done, delivered, dead_letters, let_go: false }
        };
        self.running().iter().map(replay).collect()
    }

    /// Ends a replay. Whether there was one.
    pub(super) fn cancel(&self, id: &str) -> bool {
        self.running().get(id).map(|running| running.ended.cancel()).is_some()
    }

    /// Where what targets of this processor say later goes, besides to its delivery.
    pub(super) fn settlers(&self, processor: &str) -> Vec<Settler> {
        let running = self.running();
        let of = running.values().filter(|running| running.part.processor == processor);
        of.filter_map(|running| running.settler.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    /// Where each delivers, by its cursor's name.
    pub(super) fn deliveries(&self) -> Vec<(Arc<str>, Settler)> {
        let running = self.running();
        let settler = |(id, running): (&String, &Running)| {
            let settler = running.settler.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
            Some((name_of(id, &running.part.processor), settler))
        };
        running.iter().filter_map(settler).collect()
    }
}

/// Forgets a replay that has ended: what says that it is to be done first, so that nothing begins it anew.
async fn finish(journal: &dyn Journal, kept: &Kept, id: &str, name: &str, stop: &CancellationToken) {
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
    loop {
        let why = match kept.remove(id).await {
            Ok(()) => match journal.forget(name).await {
                Ok(()) => return,
                Err(error) => error.to_string(),
            },
            Err(why) => why,
        };
        warn!(replay = id, why, "what is left of a replay cannot be removed yet");
        if stop.run_until_cancelled(tokio::time::sleep(backoff.wait())).await.is_none() {
            return;
        }
    }
}

fn counts(status: &ProcessorStatus) -> (u64, u64) {
    status
        .targets()
        .iter()
        .map(|target| target.counts())
        .fold((0, 0), |(delivered, dead), [_, well, failed, ..]| (delivered + well, dead + failed))
}
