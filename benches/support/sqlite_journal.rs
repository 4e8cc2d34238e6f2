//! The router with its journal in SQLite: all that lasts is written to a database, and read from memory, as the journal in
//! a folder does it for who keeps up.

#![allow(unreachable_pub, clippy::expect_used)]

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use vmware_event_router::attempt::{BatchLimits, Position, Target};
use vmware_event_router::journal::{
    self, Batch, Begin, Checkpoint, Configured, Cursor, CursorState, DeadLetters, Entry, History, Journal,
    JournalError, JournalStats, Settlement,
};
use vmware_event_router::router::{Router, RouterConfig};

use super::sqlite::{Outcomes, Sqlite};
use super::support::Result;

/// How long what comes is collected after a write, as the journal in a folder does it.
const PAUSE: Duration = Duration::from_millis(1);
const COMMIT: Duration = Duration::from_secs(1);

/// Runs the router of a configuration with its journal in that folder, until it is killed.
pub fn run(config: &Path, folder: &Path) -> Result<()> {
    let config = RouterConfig::load(config).map_err(|problems| problems.to_string())?;
    // As the router itself does.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let journal = SqliteJournal::open(folder)?;
    Ok(runtime.block_on(Router::new(config).keeping(Arc::new(journal)).run(CancellationToken::new()))?)
}

struct SqliteJournal {
    memory: Arc<dyn Journal>,
    events: Arc<Mutex<Sqlite>>,
    notes: Sender<Note>,
}

enum Note {
    Ended(Vec<Settlement>),
    Moved(Position),
}

impl SqliteJournal {
    fn open(folder: &Path) -> Result<Self> {
        let memory = journal::build(journal::config::Config::memory(), Configured::default());
        let events = Arc::new(Mutex::new(Sqlite::open(folder)?));
        let outcomes = Outcomes::open(folder)?;
        let (notes, told) = channel();
        thread::spawn(move || keep(outcomes, &told));
        Ok(Self { memory, events, notes })
    }
}

/// Writes down how events ended as they do, and once a second how far the processor is.
fn keep(mut outcomes: Outcomes, told: &Receiver<Note>) {
    let mut commit_at = Instant::now() + COMMIT;
    while let Ok(first) = told.recv() {
        let (mut ended, mut place) = (Vec::new(), None);
        for note in std::iter::once(first).chain(told.try_iter()) {
            match note {
                Note::Ended(mut all) => ended.append(&mut all),
                Note::Moved(front) => place = Some(front),
            }
        }
        outcomes.add(&ended).expect("the database can be written");
        if let Some(front) = place.filter(|_| Instant::now() >= commit_at) {
            outcomes.commit(front).expect("the database can be written");
            commit_at = Instant::now() + COMMIT;
        }
        thread::sleep(PAUSE);
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    fn max_batch(&self) -> BatchLimits {
        self.memory.max_batch()
    }

    async fn append(&self, batch: &mut Batch) -> std::result::Result<Position, JournalError> {
        let (events, rows) = (Arc::clone(&self.events), batch.events.clone());
        if !rows.is_empty() {
            let written = tokio::task::spawn_blocking(move || {
                events.lock().unwrap_or_else(PoisonError::into_inner).append(&rows).map_err(|error| error.to_string())
            });
            let written = written.await.unwrap_or_else(|error| Err(error.to_string()));
            written.map_err(|why| JournalError::Io { what: "write the database".to_owned(), why })?;
        }
        self.memory.append(batch).await
    }

    fn check_space(&self) -> std::result::Result<(), JournalError> {
        self.memory.check_space()
    }

    async fn space(&self) {
        self.memory.space().await;
    }

    async fn pace(&self) {
        self.memory.pace().await;
    }

    async fn checkpoint(&self, stream: &str) -> std::result::Result<Option<Checkpoint>, JournalError> {
        self.memory.checkpoint(stream).await
    }

    async fn cursor(&self, processor: &str, begin: Begin) -> std::result::Result<Arc<dyn Cursor>, JournalError> {
        let memory = self.memory.cursor(processor, begin).await?;
        Ok(Arc::new(SqliteCursor { memory, notes: self.notes.clone() }))
    }

    async fn forget(&self, processor: &str) -> std::result::Result<(), JournalError> {
        self.memory.forget(processor).await
    }

    fn dead_letters(&self) -> std::result::Result<Arc<dyn DeadLetters>, JournalError> {
        self.memory.dead_letters()
    }

    fn history(&self) -> std::result::Result<Arc<dyn History>, JournalError> {
        self.memory.history()
    }

    fn places(&self) -> Vec<(Arc<str>, CursorState)> {
        self.memory.places()
    }

    fn signing_key(&self) -> [u8; 32] {
        self.memory.signing_key()
    }

    fn stats(&self) -> JournalStats {
        self.memory.stats()
    }

    async fn close(&self) -> std::result::Result<(), JournalError> {
        self.memory.close().await
    }
}

struct SqliteCursor {
    memory: Arc<dyn Cursor>,
    notes: Sender<Note>,
}

#[async_trait]
impl Cursor for SqliteCursor {
    fn state(&self) -> CursorState {
        self.memory.state()
    }

    fn settled(&self) -> Vec<(Position, Target)> {
        self.memory.settled()
    }

    async fn read(&self, after: Position, limits: BatchLimits) -> std::result::Result<Vec<Entry>, JournalError> {
        self.memory.read(after, limits).await
    }

    async fn readable(&self, after: Position) -> std::result::Result<(), JournalError> {
        self.memory.readable(after).await
    }

    fn newest(&self) -> Position {
        self.memory.newest()
    }

    fn waiting(&self, after: Position) -> u64 {
        self.memory.waiting(after)
    }

    fn reach(&self, bytes: u64) {
        self.memory.reach(bytes);
    }

    async fn commit(&self, state: CursorState) -> std::result::Result<(), JournalError> {
        drop(self.notes.send(Note::Moved(state.front)));
        self.memory.commit(state).await
    }

    fn record(&self, settlements: &mut Vec<Settlement>) {
        drop(self.notes.send(Note::Ended(settlements.clone())));
        self.memory.record(settlements);
    }
}
