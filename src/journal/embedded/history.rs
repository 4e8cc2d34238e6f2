//! What the log of events and that of outcomes still have.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use memchr::memmem;
use tokio::sync::oneshot;

use super::cursor;
use super::engine::blocking;
use super::keeper::Note;
use super::log::Reader;
use super::parts::Disks;
use super::state::{Shared, micros};
use super::{batch, outcomes, writer};
use crate::attempt::{BatchLimits, Position};
use crate::journal::history::{Ended, Found, History};
use crate::journal::{Entry, JournalError};

pub(super) struct EmbeddedHistory {
    pub(super) shared: Arc<Shared>,
    pub(super) disks: Disks,
    pub(super) notes: Sender<Note>,
}

impl EmbeddedHistory {
    fn events(&self) -> Reader {
        Reader::new(Arc::clone(&self.disks.events), self.shared.events.clone())
    }
}

fn time(micros: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[async_trait]
impl History for EmbeddedHistory {
    fn span(&self) -> (Position, Position) {
        let newest = *self.shared.newest.borrow();
        (self.shared.events.before_first().unwrap_or(newest).min(newest), newest)
    }

    async fn read(&self, after: Position, limits: BatchLimits) -> Result<Vec<Entry>, JournalError> {
        // What was let go may be at hand still.
        let after = after.max(self.span().0);
        let at_hand = self.shared.lock().tail.read(after, limits);
        if let Some(entries) = at_hand {
            return Ok(entries);
        }
        cursor::read(self.events(), after, limits).await?.1
    }

    async fn readable(&self, after: Position) -> Result<(), JournalError> {
        let mut newest = self.shared.newest.subscribe();
        newest.wait_for(|newest| *newest > after).await.map(drop).map_err(|_| JournalError::Closed)
    }

    async fn before(&self, time: SystemTime) -> Result<Position, JournalError> {
        let mut reader = self.events();
        blocking(move || reader.before(micros(time)).map_err(|error| writer::told(&error))).await
    }

    async fn find(&self, id: &str) -> Result<Option<Found>, JournalError> {
        let (mut reader, newest, bases) = (self.events(), self.span().1, self.shared.events.bases());
        let id = id.to_owned();
        blocking(move || {
            let finder = memmem::Finder::new(&id);
            // What is asked for is new, most often.
            let mut behind = Position(newest.0 + 1);
            for base in bases.into_iter().rev() {
                let mut found = None;
                let read = reader.read(Position(base.0.saturating_sub(1)), &mut |head, payload| {
                    if head.first >= behind {
                        return false;
                    }
                    if finder.find(payload).is_some()
                        && let Some(part) = batch::read(payload, head.count, |stream| stream.into())
                    {
                        let entries = (head.first.0..).map(Position).zip(part.events);
                        let named = entries.filter(|(position, event)| event.id() == id && *position <= newest).last();
                        if let Some((position, event)) = named {
                            found = Some(Found { entry: Entry { position, event }, journaled: time(head.time) });
                        }
                    }
                    true
                });
                read.map_err(|error| writer::told(&error))?;
                if found.is_some() {
                    return Ok(found);
                }
                behind = base;
            }
            Ok(None)
        })
        .await
    }

    async fn ended(&self, event: &Found) -> Result<Vec<Ended>, JournalError> {
        // What was said of it is written down, or is about to be.
        let (answer, answered) = oneshot::channel();
        self.notes.send(Note::Flush(answer)).map_err(|_| JournalError::Closed)?;
        answered.await.map_err(|_| JournalError::Closed)?;
        let mut reader = Reader::lenient(Arc::clone(&self.disks.outcomes), self.shared.outcomes.clone());
        let (position, from) = (event.entry.position, micros(event.journaled));
        blocking(move || {
            let mut ended = Vec::new();
            let read = reader.before(from).and_then(|before| {
                reader.read(before, &mut |head, payload| {
                    if let Some((processor, settlements)) = outcomes::read(payload, head.count) {
                        if settlements.contains(&outcomes::BEGINS) {
                            // One of its name was forgotten, and this one may owe what that one delivered.
                            ended.retain(|before: &Ended| *before.processor != *processor);
                        }
                        let of_it = settlements.into_iter().filter(|settlement| settlement.position == position);
                        ended.extend(of_it.map(|settlement| Ended {
                            processor: processor.into(),
                            settlement,
                            at: time(head.time),
                        }));
                    }
                    true
                })
            });
            read.map_err(|error| writer::told(&error))?;
            Ok(ended)
        })
        .await
    }
}
