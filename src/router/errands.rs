//! What commands ask of the deliveries.

use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::Settlers;
use super::replay::Replays;
use crate::admin::api::explain::{self, State};
use crate::admin::api::replay::{Counted, Part, Refused, Replay};
use crate::admin::api::{Errands, Retried};
use crate::delivery::{Owed, Question, Resent, Retry, Standing};
use crate::journal::{DeadLetter, Entry};

/// How long a delivery may take to say where an event stands.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the deliveries.
pub(super) struct Sent {
    pub(super) settlers: Settlers,
    /// None until the journal is open.
    pub(super) replays: Arc<OnceLock<Arc<Replays>>>,
}

impl Sent {
    fn replays(&self) -> Result<&Arc<Replays>, Refused> {
        self.replays.get().ok_or_else(|| Refused::NotNow("the router is starting: come again".to_owned()))
    }
}

#[async_trait]
impl Errands for Sent {
    async fn retry(&self, letter: DeadLetter) -> (Retried, Option<String>) {
        let settler = self.settlers.lock().unwrap_or_else(PoisonError::into_inner).get(&letter.processor).cloned();
        let Some(settler) = settler else { return (Retried::NoTarget, None) };
        let (told, what) = oneshot::channel();
        settler.retry(Retry { letter, told }).await;
        match what.await {
            Ok(Resent::Delivered) => (Retried::Delivered, None),
            Ok(Resent::Kept(why)) => (Retried::Kept, Some(why.text)),
            Ok(Resent::NoTarget) => (Retried::NoTarget, None),
            Ok(Resent::TooMany) => (Retried::TooMany, None),
            Err(_) => (Retried::Kept, Some("the router is ending, or too busy".to_owned())),
        }
    }

    async fn replay(&self, wanted: Part) -> Result<Replay, Refused> {
        let replays = Arc::clone(self.replays()?);
        // Whoever asked may go away: it is not half begun then.
        let begun = tokio::spawn(async move { replays.begin(wanted).await }).await;
        begun.unwrap_or_else(|_| Err(Refused::NotNow("the router is ending".to_owned())))
    }

    async fn would_replay(&self, wanted: &Part) -> Result<Counted, Refused> {
        self.replays()?.count(wanted).await
    }

    fn replays(&self) -> Vec<Replay> {
        self.replays.get().map(|replays| replays.all()).unwrap_or_default()
    }

    async fn cancel_replay(&self, id: &str) -> bool {
        self.replays.get().is_some_and(|replays| replays.cancel(id))
    }

    async fn standing(&self, entry: &Entry) -> Vec<(Arc<str>, explain::Standing)> {
        let settlers = self.settlers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let replays = self.replays.get().map(|replays| replays.deliveries()).unwrap_or_default();
        let asked = settlers.into_iter().chain(replays).map(|(name, settler)| async move {
            let (told, standing) = oneshot::channel();
            let asked = async {
                settler.explain(Question { entry: entry.clone(), told }).await;
                standing.await.ok()
            };
            let Standing { routed, excluded, owed } = tokio::time::timeout(PATIENCE, asked).await.ok()??;
            Some((name, explain::Standing { routed, excluded, owed: owed.into_iter().map(target).collect() }))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

fn target(Owed { target, waits, attempts, last }: Owed) -> explain::Target {
    let (status, last) = last.map_or((None, None), |last| (last.status, Some(last.text)));
    let reason = match last {
        Some(last) => format!("{waits}; last: {last}"),
        None => waits.to_string(),
    };
    explain::Target {
        target: target.to_string(),
        state: State::Owed,
        attempts,
        status,
        reason: Some(reason),
        at: None,
        letter: None,
    }
}
