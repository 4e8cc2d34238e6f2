//! What the journal in a folder costs: how many events a second are durable, against what its disk can do; how much
//! processor time an event takes until two processors have read it; how long it takes to open again; how much room an
//! event takes. Run by `make bench`. SQLite does the same work in turn, as durable, beside it.
//!
//! `JOURNAL_ONLY=append,read` runs single parts (of `append`, `read`, `reopen`; `once` is the journal alone, to profile
//! it), and `JOURNAL_ROUNDS` is how often contenders take turns (default 9).

mod support;

#[path = "support/sqlite.rs"]
mod sqlite;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, thread};

use rustix::time::{ClockId, clock_gettime};
use sqlite::{Newest, Sqlite, Tail};
use support::{Folder, Process, Result, aim, median, page};
use tokio::runtime::Runtime;
use uuid::Uuid;
use vmware_event_router::attempt::{BatchLimits, Position};
use vmware_event_router::event::{Attributes, Event, PageBuilder, event_id};
use vmware_event_router::journal::embedded::{EmbeddedJournal, Settings};
use vmware_event_router::journal::{Batch, Begin, CheckpointDelta, Cursor, CursorState, Journal as _};
use vmware_event_router::vim25::{Decoder, Shape};

/// Of what the disk can write and sync, at least.
const APPEND_AIM: f64 = 0.9;
/// Processor time of an event that is appended and read twice, in microseconds, less than.
const READ_AIM: f64 = 1.2;
/// Until a journal with a million events gives the first, less than.
const REOPEN_AIM: Duration = Duration::from_millis(20);
/// Bytes on the disk for each of the events' own, less than.
const ROOM_AIM: f64 = 1.1;

const BATCHES: [usize; 4] = [1, 10, 100, 1000];
/// What the journal may hold where what is durable is counted. All that it writes then lies where something was before:
/// a virtual disk may be much slower where nothing was.
const SHORT: u64 = 256 << 20;
/// How long one contender's turn is there.
const TURN: Duration = Duration::from_millis(250);
/// Events of a turn where processor time is.
const READ: usize = 100_000;
const UNDELIVERED: usize = 1_000_000;
/// What delivery reads at once.
const CHUNK: BatchLimits = BatchLimits { events: 512, bytes: 1024 * 1024 };
/// Its processors.
const PROCESSORS: [&str; 2] = ["one", "other"];

/// Events that come one after the other, with keys and times as a vCenter gives them: about 200 a second. There are few,
/// and they begin anew when all have come: a stream, too, hands over what it has made a moment ago, so that the
/// processor's caches still have it.
struct Source {
    events: Vec<Event>,
    next: usize,
}

impl Source {
    fn new() -> Result<Self> {
        let (mut decoder, instance) = (Decoder::new(Shape::V6_7), Uuid::from_u128(1));
        let mut builder = PageBuilder::new("vc".into(), "https://vcenter.example.com/sdk", &[]);
        let mut random = fastrand::Rng::with_seed(7);
        let (mut events, mut key, mut created) = (Vec::new(), 0, 1_795_000_000_000_000);
        for _ in 0..2 {
            decoder.page(page::page().as_bytes(), |event| {
                key += 1;
                created += random.i64(0..10_000);
                let id = event_id(instance, key, created).to_string();
                let kind = format!("com.vmware.event.router/{}", event.kind.suffix());
                builder.push(
                    &Attributes {
                        id: &id,
                        kind: &kind,
                        subject: event.subject,
                        time: event.created.map_or("", |created| created.text),
                        entity: event.entity.unwrap_or_default(),
                        key: Some(key),
                        created: Some(created),
                    },
                    event.data,
                );
            })?;
            events.append(&mut builder.finish());
        }
        Ok(Self { events, next: 0 })
    }

    fn batch(&mut self, count: usize) -> &[Event] {
        let from = if self.next + count > self.events.len() { 0 } else { self.next };
        self.next = from + count;
        &self.events[from..self.next]
    }

    /// So many bytes of them.
    fn some(&self, bytes: usize) -> Vec<u8> {
        self.events.iter().cycle().flat_map(|event| event.json()).take(bytes).collect()
    }

    /// How long their JSON is on average: what is delivered.
    fn bytes(&self) -> f64 {
        self.events.iter().map(|event| event.json().len()).sum::<usize>() as f64 / self.events.len() as f64
    }
}

/// The disk alone: what is written and synced, in files as large and as many as the journal's, so that both use it alike.
struct Disk {
    folder: PathBuf,
    file: File,
    number: u64,
    at: u64,
    /// As much as the journal writes.
    bytes: Vec<u8>,
}

impl Disk {
    fn new(folder: PathBuf) -> Result<Self> {
        fs::create_dir(&folder)?;
        Ok(Self { file: File::create(folder.join("0"))?, folder, number: 0, at: 0, bytes: Vec::new() })
    }

    fn append(&mut self) -> Result<()> {
        let segment = Settings::default().segment_bytes;
        if self.at >= segment {
            (self.number, self.at) = (self.number + 1, 0);
            self.file = File::create(self.folder.join(self.number.to_string()))?;
            if let Some(oldest) = self.number.checked_sub(SHORT / segment) {
                fs::remove_file(self.folder.join(oldest.to_string()))?;
            }
        }
        self.file.write_all_at(&self.bytes, self.at)?;
        self.file.sync_data()?;
        self.at += self.bytes.len() as u64;
        Ok(())
    }
}

/// The journal, and those who ask it.
struct Ours {
    runtime: Runtime,
    journal: EmbeddedJournal,
}

impl Ours {
    fn open(folder: &Path) -> Result<Self> {
        Self::with(folder, Settings::default())
    }

    fn with(folder: &Path, settings: Settings) -> Result<Self> {
        // As the router's is.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let journal = EmbeddedJournal::new(folder, settings, PROCESSORS.map(Into::into).into());
        runtime.block_on(journal.open())?;
        Ok(Self { runtime, journal })
    }

    async fn append(journal: &EmbeddedJournal, events: &[Event]) -> Result<Position> {
        let last = events.last().and_then(|event| event.key().zip(event.created()));
        let newest = last.map(|(_, created)| created).unwrap_or_default();
        let checkpoint = CheckpointDelta {
            instance: Uuid::from_u128(1),
            filter: 7,
            resume: newest - 60_000_000,
            newest,
            last,
            horizon: 0,
        };
        let stream = Arc::clone(events.first().ok_or("no events")?.stream());
        let mut batch = Batch { stream, events: events.to_vec(), checkpoint: Some(checkpoint) };
        Ok(journal.append(&mut batch).await?)
    }

    fn close(self) -> Result<()> {
        Ok(self.runtime.block_on(self.journal.close())?)
    }
}

/// Reads as events come, up to a place. How many bytes that were.
async fn follow(cursor: Arc<dyn Cursor>, to: Position) -> Result<u64> {
    let (mut place, mut bytes) = (cursor.state().front, 0);
    while place < to {
        cursor.readable(place).await?;
        for entry in cursor.read(place, CHUNK).await? {
            if entry.position <= place {
                return Err("what was read comes again".into());
            }
            place = entry.position;
            bytes += entry.event.json().len() as u64;
        }
        cursor.commit(CursorState { front: place, lanes: Vec::new() }).await?;
    }
    Ok(bytes)
}

/// The median of a contender, and of its ratio to another one: a round's contenders share what else the machine does.
fn against(ours: &[f64], theirs: &[f64]) -> (f64, f64) {
    (median(ours.to_vec()), median(ours.iter().zip(theirs).map(|(a, b)| a / b).collect()))
}

/// Lets contenders take turns, each time another one first. What each came to in each round.
fn rounds<const N: usize>(count: usize, mut turn: impl FnMut(usize) -> Result<f64>) -> Result<[Vec<f64>; N]> {
    let mut all = [const { Vec::new() }; N];
    for round in 0..count {
        for at in 0..N {
            let contender = (round + at) % N;
            all[contender].push(turn(contender)?);
        }
    }
    Ok(all)
}

/// How many events a second, where `append` makes so many durable.
fn rate(count: usize, mut append: impl FnMut() -> Result<()>) -> Result<f64> {
    let (started, mut events) = (Instant::now(), 0);
    while started.elapsed() < TURN {
        append()?;
        events += count;
    }
    Ok(events as f64 / started.elapsed().as_secs_f64())
}

fn appends(source: &mut Source, count: usize) -> Result<()> {
    let folder = Folder::on_disk("journal-append")?;
    let [journal, database] = ["journal", "sqlite"].map(|name| folder.0.join(name));
    fs::create_dir(&database)?;
    let ours = Ours::with(&journal, Settings { max_bytes: SHORT, ..Settings::default() })?;
    let mut sqlite = Sqlite::open(&database)?;
    let mut disk = Disk::new(folder.0.join("disk"))?;
    // Until all have been everywhere, and the checkpoint remembers as much as it ever does.
    disk.bytes = source.some(1 << 20);
    for _ in 0..(3 * SHORT) >> 20 {
        ours.runtime.block_on(Ours::append(&ours.journal, source.batch(1000)))?;
        sqlite.append(source.batch(1000))?;
        disk.append()?;
    }
    for batch in BATCHES {
        sqlite.clear()?;
        let (before, warm) = (io("wchar")?, 20);
        for _ in 0..warm {
            ours.runtime.block_on(Ours::append(&ours.journal, source.batch(batch)))?;
        }
        disk.bytes = source.some(usize::try_from((io("wchar")? - before) / warm)?);
        let [alone, us, they] = rounds(count, |contender| match contender {
            0 => rate(batch, || disk.append()),
            1 => rate(batch, || ours.runtime.block_on(Ours::append(&ours.journal, source.batch(batch))).map(drop)),
            _ => rate(batch, || sqlite.append(source.batch(batch)).map(drop)),
        })?;
        let ((us, ratio), (they, their_ratio)) = (against(&us, &alone), against(&they, &alone));
        println!(
            "journal: durable, {batch:>4} at once: {us:>7.0} events/s, {:.0} % of the disk's {:.0}; SQLite {they:.0}, \
             {:.0} %{}",
            100.0 * ratio,
            median(alone),
            100.0 * their_ratio,
            aim(ratio >= APPEND_AIM, "90 % or more")
        );
    }
    ours.close()
}

/// Appends so many events, and lets both processors read them.
fn read_ours(ours: &Ours, source: &mut Source, count: usize) -> Result<()> {
    let Ours { runtime, journal } = ours;
    let mut bytes = 0;
    let read = runtime.block_on(async {
        let to = Position(journal.stats().newest.0 + count as u64);
        let mut tails = Vec::new();
        for processor in PROCESSORS {
            tails.push(follow(journal.cursor(processor, Begin::End).await?, to));
        }
        let append = async {
            for _ in 0..count / 1000 {
                let events = source.batch(1000);
                bytes += events.iter().map(|event| event.json().len() as u64).sum::<u64>();
                // As streams do.
                journal.pace().await;
                Ours::append(journal, events).await?;
            }
            Ok(())
        };
        let tails = futures_util::future::try_join_all(tails);
        futures_util::future::try_join(append, tails).await.map(|(_, read)| read)
    })?;
    if read.iter().any(|read| *read != bytes) { Err("not all was read".into()) } else { Ok(()) }
}

/// The same with SQLite.
fn read_theirs(folder: &Path, sqlite: &mut Sqlite, source: &mut Source, count: usize) -> Result<()> {
    let (newest, to) = (Newest::default(), sqlite.position() + i64::try_from(count)?);
    newest.set(sqlite.position());
    let newest = &newest;
    thread::scope(|scope| {
        let tails = PROCESSORS.map(|processor| {
            let folder = folder.to_owned();
            scope.spawn(move || {
                let follow = || Tail::open(&folder, processor)?.follow(newest, to, CHUNK.events);
                follow().map_err(|error| error.to_string())
            })
        });
        let mut bytes = 0;
        for _ in 0..count / 1000 {
            let events = source.batch(1000);
            bytes += events.iter().map(|event| event.json().len() as u64).sum::<u64>();
            // After a failure nobody shall wait.
            newest.set(sqlite.append(events).inspect_err(|_| newest.set(i64::MAX))?);
        }
        for tail in tails {
            if tail.join().map_err(|_| "a reader panicked")?? != bytes {
                return Err("not all was read".into());
            }
        }
        Ok(())
    })
}

/// Processor time of all threads of this process, in seconds.
fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Bytes that this process has written so far: `wchar`, of all that it asked for; `write_bytes`, what went to disks.
fn io(what: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/self/io")?;
    let said = text.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(": "));
    Ok(said.ok_or(format!("no {what}"))?.parse()?)
}

fn reads(source: &mut Source, count: usize) -> Result<()> {
    let folder = Folder::on_disk("journal-read")?;
    let [journal, database] = ["journal", "sqlite"].map(|name| folder.0.join(name));
    fs::create_dir(&database)?;
    let ours = Ours::open(&journal)?;
    let mut sqlite = Sqlite::open(&database)?;
    // A checkpoint remembers as much as it ever does.
    read_ours(&ours, source, 2 * READ)?;
    let mut amplified = [0.0; 2];
    let [us, they] = rounds(count, |contender| {
        let (before, bytes) = (cpu(), io("write_bytes")?);
        match contender {
            0 => read_ours(&ours, source, READ)?,
            _ => read_theirs(&database, &mut sqlite, source, READ)?,
        }
        amplified[contender] += (io("write_bytes")? - bytes) as f64 / (READ as f64 * source.bytes() * count as f64);
        Ok((cpu() - before) * 1e6 / READ as f64)
    })?;
    let (theirs, ratio) = against(&they, &us);
    let us = median(us);
    println!(
        "journal: processor time of an event that is appended and read twice: {us:.2} µs; SQLite {theirs:.2}, {ratio:.1} \
         times as much{}",
        aim(us < READ_AIM, "under 1.2 µs")
    );
    println!("journal: written for each byte of an event: {:.2} bytes; SQLite {:.2}", amplified[0], amplified[1]);
    ours.close()
}

/// Bytes that a folder takes on the disk.
fn room(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { room(&entry.path())? } else { 512 * metadata.blocks() };
    }
    Ok(bytes)
}

/// Enough for what is undelivered.
fn large() -> Settings {
    Settings { max_bytes: 16 << 30, ..Settings::default() }
}

/// Opens the journal and gives the first event.
fn reopen_ours(folder: &Path) -> Result<Duration> {
    let started = Instant::now();
    let ours = Ours::with(folder, large())?;
    let first = ours.runtime.block_on(async {
        let cursor = ours.journal.cursor(PROCESSORS[0], Begin::End).await?;
        cursor.read(cursor.state().front, BatchLimits { events: 1, ..CHUNK }).await
    })?;
    let took = started.elapsed();
    let stats = ours.journal.stats();
    if first.len() != 1 || stats.undelivered != UNDELIVERED as u64 {
        return Err(format!("not all is there: {stats:?}").into());
    }
    ours.close()?;
    Ok(took)
}

fn reopen_theirs(folder: &Path) -> Result<Duration> {
    let started = Instant::now();
    let sqlite = Sqlite::open(folder)?;
    let mut tail = Tail::open(folder, PROCESSORS[0])?;
    let first = tail.read(1)?;
    let took = started.elapsed();
    if first == 0 || sqlite.position() != i64::try_from(UNDELIVERED)? {
        return Err("not all is there".into());
    }
    Ok(took)
}

/// Appends events that nobody reads, says so, and waits for its end.
fn fill(what: &str, folder: &Path) -> Result<()> {
    let mut source = Source::new()?;
    let (ours, mut sqlite);
    match what {
        "journal" => {
            ours = Ours::with(folder, large())?;
            ours.runtime.block_on(async {
                for processor in PROCESSORS {
                    ours.journal.cursor(processor, Begin::End).await?;
                }
                for _ in 0..UNDELIVERED / 1000 {
                    Ours::append(&ours.journal, source.batch(1000)).await?;
                }
                Result::Ok(())
            })?;
        }
        _ => {
            sqlite = Sqlite::open(folder)?;
            for processor in PROCESSORS {
                Tail::open(folder, processor)?;
            }
            for _ in 0..UNDELIVERED / 1000 {
                sqlite.append(source.batch(1000))?;
            }
        }
    }
    println!("filled");
    // Should the bench end before it ends this, it ends too.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn reopens(source: &Source, count: usize) -> Result<()> {
    let folder = Folder::on_disk("journal-reopen")?;
    let folders = ["journal", "sqlite"].map(|name| (name, folder.0.join(name)));
    for (what, folder) in &folders {
        fs::create_dir(folder)?;
        let mut process = Process::start(
            "who fills it",
            Command::new(env::current_exe()?)
                .args(["fill", what])
                .arg(folder)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
        )?;
        process.lines_to("filled")?;
        process.crash()?;
    }
    let [ours, theirs] = &folders;
    let rooms = [room(&ours.1)?, room(&theirs.1)?].map(|bytes| bytes as f64 / (UNDELIVERED as f64 * source.bytes()));
    let [us, they] = rounds(count, |contender| {
        let took = if contender == 0 { reopen_ours(&ours.1)? } else { reopen_theirs(&theirs.1)? };
        Ok(took.as_secs_f64())
    })?;
    let killed = us[0];
    let (us, they) = (median(us), median(they));
    println!(
        "journal: from opening to the first of {UNDELIVERED} undelivered events: {:.1} ms, after the kill {:.1} ms; SQLite \
         {:.1} ms{}",
        1e3 * us,
        1e3 * killed,
        1e3 * they,
        aim(us < REOPEN_AIM.as_secs_f64(), "under 20 ms")
    );
    println!(
        "journal: on the disk for each byte of an event: {:.3} bytes; SQLite {:.3}{}",
        rooms[0],
        rooms[1],
        aim(rooms[0] < ROOM_AIM, "under 1.1")
    );
    Ok(())
}

fn measure() -> Result<()> {
    let mut source = Source::new()?;
    let rounds = env::var("JOURNAL_ROUNDS").map_or(Ok(9), |text| text.parse())?;
    let only = env::var("JOURNAL_ONLY").unwrap_or_default();
    let wanted = |part: &str| only.is_empty() || only.split(',').any(|one| one == part);
    println!("journal: events of {:.0} bytes, medians of {rounds} rounds", source.bytes());
    if only == "once" {
        let folder = Folder::on_disk("journal-once")?;
        let ours = Ours::open(&folder.0)?;
        let before = cpu();
        read_ours(&ours, &mut source, rounds * READ)?;
        let each = (cpu() - before) * 1e6 / (rounds * READ) as f64;
        println!("journal: processor time of an event that is appended and read twice: {each:.2} µs");
        return ours.close();
    }
    if wanted("append") {
        appends(&mut source, rounds)?;
    }
    if wanted("read") {
        reads(&mut source, rounds)?;
    }
    if wanted("reopen") {
        reopens(&source, rounds)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match &arguments[..] {
        [fills, what, folder] if fills == "fill" => fill(what, Path::new(folder)),
        _ => measure(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("journal: {error}");
            ExitCode::FAILURE
        }
    }
}
