//! SQLite in the journal's place: the same events, checkpoints and places, as durable.

// Each bench uses a part of it.
#![allow(dead_code, unreachable_pub, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use vmware_event_router::attempt::Position;
use vmware_event_router::event::Event;
use vmware_event_router::journal::Settlement;

use super::support::{PATIENCE, Result};

/// How often a reader's place is written.
const COMMIT: Duration = Duration::from_secs(1);

/// The file that it is in, of a folder.
fn file(folder: &Path) -> PathBuf {
    folder.join("journal.db")
}

fn connect(folder: &Path) -> Result<Connection> {
    let connection = Connection::open(file(folder))?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// The hand that appends.
pub struct Sqlite {
    connection: Connection,
    position: i64,
}

impl Sqlite {
    pub fn open(folder: &Path) -> Result<Self> {
        let connection = connect(folder)?;
        // What SQLite needs beside an event, to find what a checkpoint remembers, is its key and its time.
        connection.execute_batch(
            "create table if not exists events (position integer primary key, stream text not null, key integer,
                 created integer, body blob not null);
             create table if not exists checkpoints (stream text primary key, resume integer not null,
                 newest integer not null, horizon integer not null, key integer, created integer);
             create table if not exists places (processor text primary key, front integer not null);",
        )?;
        let position = connection.query_row("select coalesce(max(position), 0) from events", [], |row| row.get(0))?;
        Ok(Self { connection, position })
    }

    /// Events and checkpoint, durable together.
    pub fn append(&mut self, events: &[Event]) -> Result<i64> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare_cached("insert into events values (?1, ?2, ?3, ?4, ?5)")?;
            for event in events {
                self.position += 1;
                let (key, created) = (event.key(), event.created());
                insert.execute(params![self.position, &**event.stream(), key, created, &event.json()[..]])?;
            }
            let last = events.last().ok_or("no events")?;
            let mut update = transaction.prepare_cached(
                "insert into checkpoints values (?1, ?2, ?2, 0, ?3, ?2) on conflict (stream)
                 do update set resume = ?2, newest = ?2, key = ?3, created = ?2",
            )?;
            update.execute(params![&**last.stream(), last.created(), last.key()])?;
        }
        transaction.commit()?;
        Ok(self.position)
    }

    /// Lets go of all events. Their room is used again, so that it writes where something was before.
    pub fn clear(&mut self) -> Result<()> {
        self.connection.execute("delete from events", [])?;
        Ok(())
    }

    /// Where it is.
    pub fn position(&self) -> i64 {
        self.position
    }
}

/// The newest place, for those who wait for it.
#[derive(Default)]
pub struct Newest {
    position: Mutex<i64>,
    news: Condvar,
}

impl Newest {
    pub fn set(&self, position: i64) {
        *self.position.lock().expect("nobody panics") = position;
        self.news.notify_all();
    }

    fn wait(&self, after: i64) {
        let seen = self.position.lock().expect("nobody panics");
        drop(self.news.wait_while(seen, |position| *position <= after).expect("nobody panics"));
    }
}

/// A processor that reads.
pub struct Tail {
    connection: Connection,
    processor: &'static str,
    place: i64,
}

impl Tail {
    pub fn open(folder: &Path, processor: &'static str) -> Result<Self> {
        let connection = connect(folder)?;
        let place: Option<i64> = connection
            .query_row("select front from places where processor = ?1", [processor], |row| row.get(0))
            .optional()?;
        let tail = Self { connection, processor, place: place.unwrap_or_default() };
        if place.is_none() {
            tail.commit()?;
        }
        Ok(tail)
    }

    fn commit(&self) -> Result<()> {
        let mut place = self.connection.prepare_cached("insert or replace into places values (?1, ?2)")?;
        place.execute(params![self.processor, self.place])?;
        Ok(())
    }

    /// Reads so many events at most. How many bytes they had.
    pub fn read(&mut self, most: usize) -> Result<u64> {
        let mut select = self
            .connection
            .prepare_cached("select position, body from events where position > ?1 order by position limit ?2")?;
        let mut rows = select.query(params![self.place, i64::try_from(most)?])?;
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            self.place = row.get(0)?;
            // Only looked at: what a router would copy is not held against it.
            bytes += row.get_ref(1)?.as_blob()?.len() as u64;
        }
        Ok(bytes)
    }

    /// Reads as events come, up to a place, and writes down from time to time how far it is. How many bytes that were.
    pub fn follow(&mut self, newest: &Newest, to: i64, most: usize) -> Result<u64> {
        let (mut bytes, mut commit_at) = (0, Instant::now() + COMMIT);
        while self.place < to {
            newest.wait(self.place);
            let read = self.read(most)?;
            if read == 0 {
                return Err("what was told of is not there".into());
            }
            bytes += read;
            if Instant::now() >= commit_at {
                self.commit()?;
                commit_at = Instant::now() + COMMIT;
            }
        }
        self.commit()?;
        Ok(bytes)
    }
}

/// How events ended, written down without a sync; and the processor's place.
pub struct Outcomes {
    connection: Connection,
    places: Connection,
}

impl Outcomes {
    /// In the folder of a [`Sqlite`].
    pub fn open(folder: &Path) -> Result<Self> {
        let connection = Connection::open(folder.join("outcomes.db"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.execute_batch(
            "create table if not exists outcomes (position integer not null, target text, attempts integer not null,
                 status integer)",
        )?;
        Ok(Self { connection, places: connect(folder)? })
    }

    pub fn add(&mut self, ended: &[Settlement]) -> Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare_cached("insert into outcomes values (?1, ?2, ?3, ?4)")?;
            for Settlement { position, target, attempts, status, .. } in ended {
                let target = target.as_ref().map(|target| target.as_str());
                insert.execute(params![i64::try_from(position.0)?, target, attempts, status])?;
            }
        }
        Ok(transaction.commit()?)
    }

    pub fn commit(&self, front: Position) -> Result<()> {
        let mut place = self.places.prepare_cached("insert or replace into places values ('p', ?1)")?;
        place.execute([i64::try_from(front.0)?])?;
        Ok(())
    }
}
