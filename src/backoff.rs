//! Waiting between tries: exponential, with full jitter, bounded.

use std::time::Duration;

/// The waits of one run of failures. Each is a random share of a bound that doubles.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    bound: Duration,
}

impl Backoff {
    /// The first wait lies between half of `first` and `first`; no wait exceeds `most`.
    #[must_use]
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, bound: first }
    }

    /// The next wait: between half of the first bound and the present bound, which then doubles.
    pub fn wait(&mut self) -> Duration {
        let floor = self.first / 2;
        let wait = floor + self.bound.saturating_sub(floor).mul_f64(fastrand::f64());
        self.bound = (self.bound * 2).min(self.most);
        wait.min(self.most)
    }

    /// The wait before try `n + 1`, where `n` tries have failed; for whoever counts tries anyway.
    #[must_use]
    pub fn nth(first: Duration, most: Duration, n: u32) -> Duration {
        let bound = first.saturating_mul(1_u32.checked_shl(n.saturating_sub(1)).unwrap_or(u32::MAX)).min(most);
        Self { first, most, bound }.wait()
    }

    /// Begins anew after a success.
    pub const fn reset(&mut self) {
        self.bound = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_wait_is_bounded_like_a_run_of_n() {
        for n in [1, 2, 5, 31, 32, 33, u32::MAX] {
            let wait = Backoff::nth(Duration::from_millis(100), Duration::from_secs(10), n);
            let bound = 100_u64.saturating_mul(1_u64 << (n.min(40) - 1)).min(10_000);
            assert!(wait >= Duration::from_millis(50) && wait <= Duration::from_millis(bound), "{n}: {wait:?}");
        }
    }

    #[test]
    fn waits_grow_to_the_bound_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        for _ in 0..50 {
            let first = backoff.wait();
            assert!(first >= Duration::from_millis(50) && first <= Duration::from_millis(100), "{first:?}");
            let mut longest = first;
            for _ in 0..100 {
                longest = longest.max(backoff.wait());
            }
            assert!(longest > Duration::from_secs(5) && longest <= Duration::from_secs(10), "{longest:?}");
            backoff.reset();
        }
    }
}
