//! The durable journal against a model of what it promises, on a disk that fails, and loses what was not synced.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use proptest::prelude::*;
use uuid::Uuid;

use super::embedded::{EmbeddedJournal, Settings, Simulated};
use super::{
    Batch, Begin, Checkpoint, CheckpointDelta, Cursor, CursorState, DeadLetter, End, Entry, Journal, JournalError,
    LetterId, LettersPlace, Settlement,
};
use crate::attempt::{BatchLimits, Position, Reason, Target};
use crate::event::{Attributes, Event, PageBuilder};

const PROCESSORS: [&str; 2] = ["one", "other"];
const REPLAY: &str = "replay/1/one";
const STREAMS: [&str; 2] = ["vc", "hook"];

fn settings() -> Settings {
    Settings { max_bytes: 60_000, max_age: Duration::from_secs(86_400), synced: true, segment_bytes: 1500 }
}

/// A batch: its stream, the sizes of its events, and whether a checkpoint comes with it.
type Draft = (usize, Vec<usize>, bool);

#[derive(Clone, Debug)]
enum Step {
    /// Batches that are appended at the same time.
    Append(Vec<Draft>),
    /// A processor has delivered so many of ten of what lies before it; a target of it is a little behind.
    Commit(usize, u64, bool),
    /// So many letters are set aside, and every third is discarded.
    Letters(u64),
    /// A replay begins so many tenths of the way; or it moves on by as much, if there is one.
    Replay(u64),
    /// It is forgotten.
    Forget,
    /// The disk fails from the operation on that comes after so many, until it is mended.
    Fail(u32),
    Mend,
    /// The journal is closed and opened again.
    Close,
    /// The process is killed and begins again.
    Kill,
    /// The power fails; of what was not synced, every so many pieces are there.
    PowerLoss(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let sizes =
        prop_oneof![4 => prop::collection::vec(0..200_usize, 0..4), 1 => prop::collection::vec(2000..9000_usize, 1..3)];
    let draft = (0..2_usize, sizes, any::<bool>());
    let step = prop_oneof![
        8 => prop::collection::vec(draft, 1..4).prop_map(Step::Append),
        4 => (0..2_usize, 0..=10_u64, any::<bool>()).prop_map(|(who, tenths, lane)| Step::Commit(who, tenths, lane)),
        2 => (1..6_u64).prop_map(Step::Letters),
        2 => (0..=10_u64).prop_map(Step::Replay),
        1 => Just(Step::Forget),
        2 => (0..8_u32).prop_map(Step::Fail),
        2 => Just(Step::Mend),
        1 => Just(Step::Close),
        2 => Just(Step::Kill),
        2 => any::<u64>().prop_map(Step::PowerLoss),
    ];
    prop::collection::vec(step, 1..30)
}

/// A processor's cursor, and what is known of it.
struct Reading {
    cursor: Arc<dyn Cursor>,
    /// The places that it had since one was surely durable, that first.
    places: Vec<CursorState>,
    recorded: BTreeSet<(Position, Target)>,
}

/// A replay's place, which comes and goes.
#[derive(Default)]
struct Replaying {
    cursor: Option<Arc<dyn Cursor>>,
    /// It may be there after a crash, and it may not.
    doubtful: bool,
    /// The fronts that it had since one was surely durable, that first.
    fronts: Vec<Position>,
    /// What it has said was settled, since it began.
    recorded: BTreeSet<(Position, Target)>,
}

struct Model {
    replay: Replaying,
    disk: Simulated,
    fails: bool,
    /// The disk has failed since all was surely durable: what was written then may be cached and no more.
    troubled: bool,
    journal: EmbeddedJournal,
    readings: Vec<Reading>,
    /// What was acknowledged: position and key.
    acknowledged: Vec<(u64, i32)>,
    checkpoints: BTreeMap<&'static str, Checkpoint>,
    /// Batches of which nobody knows, in order: some that follow each other may be there after a crash.
    doubtful: Vec<Batch>,
    /// The letters that must be there, and those that may.
    letters: BTreeSet<LetterId>,
    perhaps: BTreeSet<LetterId>,
    letter: u64,
    /// No position was ever higher.
    highest: u64,
    key: i32,
}

fn apply(checkpoints: &mut BTreeMap<&'static str, Checkpoint>, batch: &Batch) {
    let stream = *STREAMS.iter().find(|name| ***name == *batch.stream).unwrap();
    if let Some(delta) = &batch.checkpoint {
        checkpoints.entry(stream).or_insert_with(|| Checkpoint::bare(delta)).apply(delta, &batch.events);
    }
}

fn keys(events: &[Event]) -> Vec<i32> {
    events.iter().map(|event| event.key().unwrap()).collect()
}

impl Model {
    async fn new() -> Self {
        let disk = Simulated::default();
        let journal = open(&disk).unwrap();
        let mut readings = Vec::new();
        for processor in PROCESSORS {
            let cursor = journal.cursor(processor, Begin::End).await.unwrap();
            readings.push(Reading { places: vec![cursor.state()], cursor, recorded: BTreeSet::new() });
        }
        Self {
            replay: Replaying::default(),
            disk,
            fails: false,
            troubled: false,
            journal,
            readings,
            acknowledged: Vec::new(),
            checkpoints: BTreeMap::new(),
            doubtful: Vec::new(),
            letters: BTreeSet::new(),
            perhaps: BTreeSet::new(),
            letter: 0,
            highest: 0,
            key: 0,
        }
    }

    fn batch(&mut self, (stream, sizes, checkpoint): Draft) -> Batch {
        let mut page = PageBuilder::new(STREAMS[stream].into(), "s", &[]);
        for size in sizes {
            self.key += 1;
            let created = Some(i64::from(self.key) * 1_000_000);
            page.push(
                &Attributes { key: Some(self.key), created, ..Attributes::default() },
                format!("\"{}\"", "x".repeat(size)).as_bytes(),
            );
        }
        let resume = i64::from(self.key) * 1_000_000 + i64::from(checkpoint);
        let delta =
            CheckpointDelta { instance: Uuid::from_u128(1), filter: 0, resume, newest: resume, last: None, horizon: 0 };
        Batch { stream: STREAMS[stream].into(), events: page.finish(), checkpoint: checkpoint.then_some(delta) }
    }

    async fn append(&mut self, drafts: Vec<Draft>) {
        let batches: Vec<_> = drafts.into_iter().map(|draft| self.batch(draft)).collect();
        let mut given = batches.clone();
        let all: usize = batches.iter().flat_map(|batch| &batch.events).map(Event::size).sum();
        let results = join_all(given.iter_mut().map(|batch| self.journal.append(batch))).await;
        let mut appended = Vec::new();
        for (result, batch) in results.into_iter().zip(batches) {
            match result {
                Ok(last) => {
                    // What comes later says that what was refused before is not there.
                    self.doubtful.clear();
                    appended.push((last, batch));
                }
                Err(JournalError::Full { .. }) => {
                    let used = self.journal.stats().pinned_bytes;
                    assert!(used + all as u64 > settings().max_bytes / 10 * 9, "{used} and {all}");
                }
                Err(error) => {
                    assert!(self.fails, "{error}");
                    self.doubtful.push(batch);
                }
            }
        }
        // They come one behind the other, in whatever order.
        appended.sort_by_key(|(last, batch)| (*last, batch.events.is_empty()));
        for (last, batch) in appended {
            let count = batch.events.len() as u64;
            let first = last.0 + 1 - count;
            assert!(count == 0 || first > self.highest, "{first} was given before {}", self.highest);
            self.acknowledged.extend((first..).zip(keys(&batch.events)));
            if count > 0 {
                self.highest = last.0;
            }
            apply(&mut self.checkpoints, &batch);
        }
        self.check().await;
    }

    /// Every processor reads what was acknowledged behind what it has settled, and nothing else.
    async fn check(&self) {
        for Reading { cursor, .. } in &self.readings {
            let from = cursor.state().settled_through();
            let want: Vec<_> = self.acknowledged.iter().filter(|(position, _)| *position > from.0).copied().collect();
            assert_eq!(read_all(&**cursor, from).await, want);
            assert_eq!(cursor.waiting(from), want.len() as u64);
        }
        if let Some(cursor) = &self.replay.cursor {
            let from = cursor.state().front;
            let want: Vec<_> = self.acknowledged.iter().filter(|(position, _)| *position > from.0).copied().collect();
            assert_eq!(read_all(&**cursor, from).await, want);
        }
        for stream in STREAMS {
            let kept = self.journal.checkpoint(stream).await.unwrap();
            assert_eq!(kept, self.checkpoints.get(stream).cloned());
        }
    }

    async fn replay(&mut self, tenths: u64) {
        let replay = &mut self.replay;
        match &replay.cursor {
            Some(cursor) => {
                let front = cursor.state().front.0;
                let front = Position(front + self.highest.saturating_sub(front) * tenths / 10);
                // Some above it are settled, too.
                let settled = (front.0 + 1..=self.highest).step_by(2).map(|position| {
                    let target = Target::new("again");
                    replay.recorded.insert((Position(position), target.clone()));
                    let (position, target) = (Position(position), Some(target));
                    Settlement { position, target, end: End::Delivered, attempts: 1, status: None }
                });
                cursor.record(&mut settled.collect());
                cursor.commit(CursorState { front, lanes: Vec::new() }).await.unwrap();
                replay.fronts.push(front);
            }
            None => {
                let (before, newest) = self.journal.history().unwrap().span();
                let behind = Position(before.0 + (newest.0 - before.0) * tenths / 10);
                match self.journal.cursor(REPLAY, Begin::Behind(behind)).await {
                    Ok(cursor) => {
                        assert_eq!(cursor.state(), CursorState { front: behind, lanes: Vec::new() });
                        assert_eq!(cursor.settled(), Vec::new(), "another one of its name said so");
                        *replay = Replaying { cursor: Some(cursor), fronts: vec![behind], ..Replaying::default() };
                    }
                    Err(error) => {
                        assert!(self.fails, "{error}");
                        replay.doubtful = true;
                        replay.fronts.push(behind);
                    }
                }
            }
        }
        self.check().await;
    }

    async fn forget(&mut self) {
        let before = self.journal.stats().pinned_bytes;
        let forgotten = self.journal.forget(REPLAY).await;
        assert!(self.journal.stats().pinned_bytes <= before);
        assert!(self.journal.places().iter().all(|(name, _)| **name != *REPLAY));
        if let Some(cursor) = self.replay.cursor.take() {
            // Whoever still has it brings it back by nothing.
            assert!(cursor.commit(cursor.state()).await.is_err());
        }
        match forgotten {
            Ok(()) => self.replay = Replaying::default(),
            Err(error) => {
                assert!(self.fails, "{error}");
                self.replay.doubtful = true;
            }
        }
        self.check().await;
    }

    /// Whether the replay is there as it must be.
    async fn reopen_replay(&mut self, sure: bool) {
        let found = self.journal.places().into_iter().find(|(name, _)| **name == *REPLAY).map(|(_, state)| state.front);
        let Replaying { cursor, doubtful, fronts, recorded } = std::mem::take(&mut self.replay);
        match found {
            Some(front) => {
                assert!(cursor.is_some() || doubtful, "it was forgotten");
                assert!(fronts.contains(&front), "{front} is none of {fronts:?}");
                assert!(!sure || doubtful || fronts.last() == Some(&front), "{front} is not the last of {fronts:?}");
                let cursor = self.journal.cursor(REPLAY, Begin::End).await.unwrap();
                assert_eq!(cursor.state().front, front);
                assert!(cursor.settled().iter().all(|settled| recorded.contains(settled)), "it never said so");
                self.replay = Replaying { cursor: Some(cursor), doubtful: false, fronts: vec![front], recorded };
            }
            None => assert!(cursor.is_none() || doubtful, "it is lost"),
        }
    }

    async fn commit(&mut self, who: usize, tenths: u64, behind: bool) {
        let reading = &mut self.readings[who];
        let before = reading.cursor.state();
        let front = Position(before.front.0 + (self.highest.saturating_sub(before.front.0)) * tenths / 10);
        let lane = Position(before.settled_through().0.midpoint(front.0));
        let (lag, well) = (Target::new("lag"), Target::new("well"));
        let state = CursorState { front, lanes: behind.then(|| (lag.clone(), lane)).into_iter().collect() };
        let settled = |position, target: &Target| Settlement {
            position,
            target: Some(target.clone()),
            end: End::Delivered,
            attempts: 1,
            status: None,
        };
        // Something beyond the front is delivered, too, and by the one that is behind.
        let mut beyond = vec![settled(Position(front.0 + 1), &well), settled(Position(lane.0 + 1), &lag)];
        beyond.retain(|settled| settled.position.0 <= self.highest);
        reading.recorded.extend(beyond.iter().map(|settled| (settled.position, settled.target.clone().unwrap())));
        reading.cursor.record(&mut beyond);
        reading.cursor.commit(state.clone()).await.unwrap();
        reading.places.push(state);
        self.check().await;
    }

    async fn set_aside(&mut self, count: u64) {
        let kept = self.journal.dead_letters().unwrap();
        for _ in 0..count {
            self.letter += 1;
            let event = self.batch((0, vec![self.letter as usize % 7 * 100], false)).events.remove(0);
            let letter = DeadLetter {
                processor: "one".into(),
                target: Target::new("f"),
                entry: Entry { position: Position(self.letter), event },
                attempts: 1,
                why: Reason { status: None, text: "it fails".to_owned() },
                since: SystemTime::now(),
            };
            let id = letter.id();
            match kept.keep(letter).await {
                Ok(()) => drop(self.letters.insert(id)),
                Err(error) => {
                    assert!(self.fails || matches!(error, JournalError::NoRoomForLetters { .. }), "{error}");
                    self.perhaps.insert(id);
                }
            }
        }
        let gone: Vec<_> = self.letters.iter().filter(|id| id.position.0 % 3 > 0).cloned().collect();
        match kept.discard(gone.clone()).await {
            Ok(count) => assert_eq!(count, gone.len()),
            Err(error) => {
                assert!(self.fails, "{error}");
                self.perhaps.extend(gone.iter().cloned());
            }
        }
        self.letters.retain(|id| !gone.contains(id));
        self.look_at_letters().await;
    }

    async fn look_at_letters(&self) {
        let kept = self.journal.dead_letters().unwrap();
        let ids: BTreeSet<_> = kept.ids().into_iter().collect();
        let may: BTreeSet<_> = self.letters.union(&self.perhaps).cloned().collect();
        assert!(ids.is_superset(&self.letters) && ids.is_subset(&may), "{ids:?}");
        let mut place = LettersPlace::default();
        let mut read = BTreeSet::new();
        loop {
            let (page, next) = kept.read(place).await.unwrap();
            if page.is_empty() {
                break;
            }
            read.extend(page.iter().map(DeadLetter::id));
            place = next;
        }
        assert_eq!(read, ids);
    }

    /// Begins again with what is on the disk. `sure` says that nothing can have been lost.
    async fn reopen(&mut self, disk: Simulated, sure: bool) {
        self.journal = open(&disk).unwrap_or_else(|error| panic!("{error}"));
        self.disk = disk;
        self.fails = false;
        self.reopen_replay(sure).await;
        let mut lowest = Position(u64::MAX);
        for (reading, processor) in self.readings.iter_mut().zip(PROCESSORS) {
            reading.cursor = self.journal.cursor(processor, Begin::End).await.unwrap();
            let state = reading.cursor.state();
            if sure {
                assert_eq!(Some(&state), reading.places.last());
            }
            assert!(reading.places.contains(&state), "{state:?} is none of {:?}", reading.places);
            let through = |target: &Target| {
                let lane = state.lanes.iter().find(|(lane, _)| lane == target);
                lane.map_or(state.front, |(_, through)| *through)
            };
            let settled: BTreeSet<_> = reading.cursor.settled().into_iter().collect();
            let above: BTreeSet<_> =
                reading.recorded.iter().filter(|(at, target)| *at > through(target)).cloned().collect();
            assert!(settled.is_subset(&above), "{settled:?} {above:?}");
            assert!(!sure || settled == above, "{settled:?} {above:?}");
            lowest = lowest.min(state.settled_through());
            reading.places = vec![state];
            reading.recorded = settled;
        }
        let seen = read_all(&*self.readings[0].cursor, lowest).await;
        let known: Vec<_> = self.acknowledged.iter().filter(|(position, _)| *position > lowest.0).copied().collect();
        assert_eq!(seen.get(..known.len()), Some(&known[..]), "what was acknowledged is there");
        let news: Vec<i32> = seen[known.len()..].iter().map(|(_, key)| *key).collect();
        let mut found = BTreeMap::new();
        for stream in STREAMS {
            found.extend(self.journal.checkpoint(stream).await.unwrap().map(|kept| (stream, kept)));
        }
        let runs = (0..=self.doubtful.len()).flat_map(|from| (from..=self.doubtful.len()).map(move |to| (from, to)));
        let explains = |(from, to): (usize, usize)| {
            let run = &self.doubtful[from..to];
            let mut checkpoints = self.checkpoints.clone();
            run.iter().for_each(|batch| apply(&mut checkpoints, batch));
            run.iter().flat_map(|batch| keys(&batch.events)).eq(news.iter().copied()) && checkpoints == found
        };
        assert!(runs.into_iter().any(explains), "{news:?} and {found:?} are none of {:?}", self.doubtful);
        assert!(!sure || news.is_empty() || !self.doubtful.is_empty());
        self.acknowledged.extend_from_slice(&seen[known.len()..]);
        self.highest = self.highest.max(seen.last().map_or(0, |(position, _)| *position));
        self.checkpoints = found;
        self.doubtful.clear();
        self.check().await;
        self.look_at_letters().await;
        self.letters = self.journal.dead_letters().unwrap().ids().into_iter().collect();
        self.perhaps.clear();
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Append(drafts) => self.append(drafts).await,
            Step::Letters(count) => self.set_aside(count).await,
            Step::Replay(tenths) => self.replay(tenths).await,
            Step::Forget => self.forget().await,
            Step::Commit(who, tenths, behind) => self.commit(who, tenths, behind).await,
            Step::Fail(operations) => {
                (self.fails, self.troubled) = (true, true);
                self.disk.fail_in(Some(operations));
            }
            // The log goes on elsewhere, and what was refused may still be there after a crash.
            Step::Mend => self.disk.fail_in(None),
            Step::Close => {
                let closed = self.journal.close().await;
                assert!(closed.is_ok() || self.fails);
                let sure = closed.is_ok() && !self.fails;
                // What is closed well may lose its power then, and all that is not durable with it.
                let durable = sure && !self.troubled;
                let disk = if durable { self.disk.after_power_loss(|| false) } else { self.disk.after_kill() };
                self.reopen(disk, sure).await;
            }
            Step::Kill => self.reopen(self.disk.after_kill(), false).await,
            Step::PowerLoss(seed) => {
                let mut random = fastrand::Rng::with_seed(seed);
                self.troubled = false;
                self.reopen(self.disk.after_power_loss(|| random.bool()), false).await;
            }
        }
    }
}

fn open(disk: &Simulated) -> Result<EmbeddedJournal, JournalError> {
    EmbeddedJournal::simulated(disk, settings(), PROCESSORS.iter().map(|name| Arc::from(*name)).collect())
}

async fn read_all(cursor: &dyn Cursor, from: Position) -> Vec<(u64, i32)> {
    let mut all = Vec::new();
    let mut after = from;
    loop {
        let read = cursor.read(after, BatchLimits { events: 5, bytes: 10_000 }).await.unwrap();
        let Some(last) = read.last() else { return all };
        after = last.position;
        all.extend(read.iter().map(|entry| (entry.position.0, entry.event.key().unwrap())));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn a_durable_journal_keeps_what_it_promises(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut model = Model::new().await;
            for step in steps {
                model.step(step).await;
            }
        });
    }
}
