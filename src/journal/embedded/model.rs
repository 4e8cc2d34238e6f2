//! The log against a model of what it promises, on a disk that fails, loses and damages.

use std::sync::Arc;

use proptest::prelude::*;

use super::disk::simulated::Simulated;
use super::frame::{Before, HEADER, Head, Header, LAST};
use super::log::{Durability, Frames, Log, LogError, Notice, Options, Reader, Visit, segment_name};
use crate::attempt::Position;

const OPTIONS: Options = Options { log: 1, segment_bytes: 600, durability: Durability::Each, recycle: true };

/// A record: its position, and what it holds.
type Record = (u64, Vec<u8>);

/// Batches of frames of records, appended together.
type Group = Vec<Vec<Vec<Vec<u8>>>>;

/// What happens to a log.
#[derive(Clone, Debug)]
enum Step {
    /// A group of batches, each of frames, each of records of so many bytes.
    Append(Vec<Vec<Vec<u8>>>),
    /// The disk fails from the operation on that comes after so many, until it is mended.
    Fail(u32),
    Mend,
    /// The process is killed and begins again.
    Kill,
    /// The power fails; of what was not synced, every so many pieces are there.
    PowerLoss(u64),
    /// The oldest so many of ten are done with.
    Trim(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let records = prop::collection::vec(0..120_u8, 1..4);
    let batch = prop::collection::vec(records, 1..3);
    let step = prop_oneof![
        8 => prop::collection::vec(batch, 1..4).prop_map(Step::Append),
        2 => (0..6_u32).prop_map(Step::Fail),
        2 => Just(Step::Mend),
        2 => Just(Step::Kill),
        2 => any::<u64>().prop_map(Step::PowerLoss),
        1 => (0..10_u64).prop_map(Step::Trim),
    ];
    prop::collection::vec(step, 1..40)
}

fn write(frames: &mut Frames, records: &[Vec<u8>], last: bool) {
    frames.push(1, records.len() as u16, last, |out| {
        for record in records {
            out.push(record.len() as u8);
            out.extend_from_slice(record);
        }
    });
}

fn parse(first: Position, payload: &[u8]) -> Vec<Record> {
    let mut rest = payload;
    let mut records = Vec::new();
    for position in first.0.. {
        let Some((length, behind)) = rest.split_first() else { return records };
        let (record, behind) = behind.split_at(usize::from(*length));
        records.push((position, record.to_vec()));
        rest = behind;
    }
    records
}

fn read_all(reader: &mut Reader, after: u64) -> Result<Vec<Record>, LogError> {
    let mut all = Vec::new();
    reader.read(Position(after), &mut |head, payload| {
        all.extend(parse(head.first, payload).into_iter().filter(|(position, _)| *position > after));
        true
    })?;
    Ok(all)
}

/// A log, and what it must hold.
struct Model {
    disk: Simulated,
    log: Log,
    reader: Reader,
    /// What was acknowledged and not let go.
    acknowledged: Vec<Record>,
    /// Batches of which nobody knows: each group was refused, and may be there after a crash, up to any batch.
    doubtful: Vec<Group>,
    /// No position was ever higher.
    highest: u64,
    trimmed: u64,
    number: u8,
}

fn open(disk: &Simulated, floor: u64) -> Result<(Log, Vec<Notice>), LogError> {
    Log::open(Arc::new(disk.clone()), OPTIONS, Position(floor), &mut |_| {})
}

impl Model {
    fn new() -> Self {
        let disk = Simulated::default();
        let (log, _) = open(&disk, 0).unwrap();
        let reader = log.reader();
        Self { disk, log, reader, acknowledged: Vec::new(), doubtful: Vec::new(), highest: 0, trimmed: 0, number: 0 }
    }

    fn append(&mut self, mut group: Vec<Vec<Vec<u8>>>) {
        // What a record holds tells which one it is.
        let batches: Group = group
            .iter_mut()
            .map(|batch| {
                let frame = |lengths: &mut Vec<u8>| {
                    let record = |length: &u8| {
                        self.number = self.number.wrapping_add(1);
                        vec![self.number; usize::from(*length)]
                    };
                    lengths.iter().map(record).collect()
                };
                batch.iter_mut().map(frame).collect()
            })
            .collect();
        let mut given = Vec::new();
        let result = self.log.append(5, &mut |_| {}, &mut |frames| {
            given.clear();
            for batch in &batches {
                for (at, records) in batch.iter().enumerate() {
                    let first = frames.next().0;
                    given.extend((first..).zip(records.iter().cloned()));
                    write(frames, records, at + 1 == batch.len());
                }
            }
        });
        match result {
            Ok(()) => {
                assert!(given[0].0 > self.highest, "{} was given before", given[0].0);
                self.highest = given.last().unwrap().0;
                self.acknowledged.append(&mut given);
                self.doubtful.clear();
            }
            Err(_) => self.doubtful.push(batches),
        }
        self.check();
    }

    /// Readers see what was acknowledged, from wherever they begin, and nothing else.
    fn check(&mut self) {
        for after in [self.trimmed, self.trimmed + 1, self.highest / 2 + self.trimmed / 2, self.highest] {
            let want: Vec<_> = self.acknowledged.iter().filter(|(position, _)| *position > after).cloned().collect();
            let seen = read_all(&mut self.reader, after).unwrap();
            assert!(seen.iter().filter(|(position, _)| *position > self.trimmed).eq(&want), "{seen:?} {want:?}");
        }
    }

    fn reopen(&mut self, disk: Simulated) {
        let floor = self.highest.min(self.trimmed);
        let (log, _) = open(&disk, floor).unwrap_or_else(|error| panic!("{error}"));
        (self.disk, self.log) = (disk, log);
        self.reader = self.log.reader();
        let seen = read_all(&mut self.reader, self.trimmed).unwrap();
        let (known, news) = seen.split_at(self.acknowledged.len().min(seen.len()));
        assert_eq!(known, self.acknowledged, "what was acknowledged is there");
        if !news.is_empty() {
            let news: Vec<_> = news.iter().map(|(_, record)| record.clone()).collect();
            let whole = self
                .doubtful
                .iter()
                .any(|group| (1..=group.len()).any(|batches| group[..batches].iter().flatten().flatten().eq(&news)));
            assert!(whole, "{news:?} is none of {:?}", self.doubtful);
        }
        self.acknowledged = seen;
        self.highest = self.highest.max(self.acknowledged.last().map_or(0, |(position, _)| *position));
        self.doubtful.clear();
        assert!(self.log.next().0 > self.highest);
        self.check();
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append(group) => self.append(group),
            Step::Fail(operations) => self.disk.fail_in(Some(operations)),
            Step::Mend => self.disk.fail_in(None),
            Step::Kill => self.reopen(self.disk.after_kill()),
            Step::PowerLoss(seed) => {
                let mut random = fastrand::Rng::with_seed(seed);
                self.reopen(self.disk.after_power_loss(|| random.bool()));
            }
            Step::Trim(tenths) => {
                let settled = self.trimmed + (self.highest - self.trimmed) * tenths / 10;
                while let Ok(Some(_)) = self.log.trim(Position(settled), |_| false) {}
                self.trimmed = settled;
                self.acknowledged.retain(|(position, _)| *position > settled);
                self.check();
            }
        }
    }
}

#[test]
fn what_a_file_was_before_is_none_of_its_own() {
    // All frames are of one size, so that old ones begin where new ones end.
    let one = || vec![vec![vec![20; 1]]];
    let mut model = Model::new();
    let names = |disk: &Simulated| super::disk::Disk::names(disk).unwrap();
    while !names(&model.disk).iter().any(|name| name == "spare") {
        model.append(one());
        model.step(Step::Trim(10));
    }
    // Now it is written over: new frames are before old ones when the process is killed.
    while names(&model.disk).iter().any(|name| name == "spare") {
        model.append(one());
    }
    model.append(one());
    let mut highest = 0;
    let disk = model.disk.after_kill();
    Log::open(Arc::new(disk), OPTIONS, Position(0), &mut |visit| {
        if let Visit::Frame(head, _) = visit
            && head.count > 0
        {
            // It could end what was broken off, or bring a checkpoint back.
            assert!(head.first.0 > highest, "{} is older than {highest}", head.first);
            highest = head.first.0;
        }
    })
    .unwrap();
    assert_eq!(highest, model.highest);
    model.step(Step::Kill);
}

#[test]
fn a_file_that_was_begun_in_vain_is_no_damage_when_the_one_before_is_let_go() {
    let disk = Simulated::default();
    let before = Some(Before { base: Position(1), end: 500, last: Position(4) });
    // An append to the second failed, and so did letting go of it.
    for (base, count) in [(5, 1), (6, 0)] {
        let header = Header { log: 1, salt: base, base: Position(base), created: 0, before };
        let mut bytes = header.encode().to_vec();
        let head = Head { kind: 0, flags: LAST, count, first: Position(base), synced: HEADER as u32, time: 0 };
        head.encode(base, &mut bytes, |_| {}).unwrap();
        super::disk::Disk::create(&disk, &segment_name(Position(base))).unwrap().write_at(&bytes, 0).unwrap();
    }
    let (mut log, notices) = open(&disk, 0).unwrap();
    assert_eq!((notices, super::disk::Disk::names(&disk).unwrap()), (Vec::new(), vec![segment_name(Position(6))]));
    log.append(5, &mut |_| {}, &mut |frames| write(frames, &[vec![1]], true)).unwrap();
    assert_eq!(read_all(&mut log.reader(), 0).unwrap().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_log_keeps_what_it_promises(steps in steps()) {
        let mut model = Model::new();
        steps.into_iter().for_each(|step| model.step(step));
    }

    #[test]
    fn a_bit_that_turns_over_is_noticed(groups in prop::collection::vec(1..6_u8, 2..8), file: prop::sample::Index, bit: prop::sample::Index) {
        let mut model = Model::new();
        let mut last = 0;
        for batches in groups {
            last = model.highest;
            model.append(vec![vec![vec![40; 2]]; usize::from(batches)]);
        }
        let disk = model.disk.after_power_loss(|| true);
        let names = super::disk::Disk::names(&disk).unwrap();
        let name = file.get(&names);
        disk.flip(name, bit.index(disk.content(name).len() * 8));
        // What was appended last, nothing later testifies to.
        let surely = model.acknowledged.iter().filter(|(position, _)| *position <= last).count();
        if let Ok((log, _)) = open(&disk, 0)
            && let Ok(seen) = read_all(&mut log.reader(), 0)
        {
            prop_assert!(seen.len() >= surely, "{} of {surely} are there, and nobody says so", seen.len());
            prop_assert_eq!(&seen[..], &model.acknowledged[..seen.len()]);
        }
    }

    #[test]
    fn no_file_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200), cut: prop::sample::Index) {
        let mut model = Model::new();
        model.append(vec![vec![vec![9; 3]]]);
        let disk = Simulated::default();
        let good = model.disk.content(&super::disk::Disk::names(&model.disk).unwrap()[0]);
        let file = super::disk::Disk::create(&disk, "00000000000000000001.log").unwrap();
        let cut = cut.index(good.len());
        file.write_at(&[&good[..cut], &bytes[..]].concat(), 0).unwrap();
        let opened = Log::open(Arc::new(disk.clone()), OPTIONS, Position(0), &mut |visit| {
            if let Visit::Frame(head, payload) = visit {
                assert!(head.kind == 0 || parse(head.first, payload).len() == 3);
            }
        });
        if cut < HEADER && cut + bytes.len() > HEADER {
            prop_assert!(opened.is_err() || bytes.starts_with(&good[cut..HEADER]));
        }
    }
}
