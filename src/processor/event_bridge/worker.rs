//! A thread that makes the requests.
//!
//! What AWS's library does to send a request takes more of a processor than all that the router does with its events
//! before. All of that is one thread's work, so this is another's.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

/// The thread, once there has been something to do.
#[derive(Default)]
pub(super) struct Worker(OnceLock<Option<Running>>);

/// It ends with this.
struct Running {
    handle: Handle,
    _ends: DropGuard,
}

impl Running {
    /// None where the system has no thread to give.
    fn start() -> Option<Self> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build().ok()?;
        let handle = runtime.handle().clone();
        let ended = CancellationToken::new();
        let ends = ended.clone().drop_guard();
        let thread = std::thread::Builder::new().name("event-bridge".to_owned());
        thread.spawn(move || runtime.block_on(ended.cancelled())).ok()?;
        Some(Self { handle, _ends: ends })
    }
}

impl Worker {
    /// Whoever asks does the work.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self(OnceLock::from(None))
    }

    /// Does some work there, or here where there is no thread. None if it has come to nothing.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        match self.0.get_or_init(Running::start) {
            // Whoever gives up waiting gives up the work.
            Some(running) => AbortOnDropHandle::new(running.handle.spawn(work)).await.ok(),
            None => Some(work.await),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_by_a_thread_that_ends_with_its_worker() {
        let worker = Worker::default();
        let name = || std::thread::current().name().map(str::to_owned);
        assert_eq!(worker.run(async move { name() }).await, Some(Some("event-bridge".to_owned())));
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let handle = worker.0.get().and_then(|running| Some(running.as_ref()?.handle.clone())).unwrap();
        handle.spawn(async move {
            std::future::pending::<()>().await;
            drop(sender);
        });
        drop(worker);
        assert!(receiver.await.is_err(), "what it had to do goes with it");
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_given_up() {
        let worker = Worker::default();
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let work = worker.run(async move {
            std::future::pending::<()>().await;
            drop(sender);
        });
        tokio::select! {
            biased;
            _ = work => panic!("it does not end"),
            () = tokio::task::yield_now() => {}
        }
        assert!(receiver.await.is_err());
    }
}
