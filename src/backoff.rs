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
    pub fn next(&mut self) -> Duration {
        let floor = self.first / 2;
        let wait = floor + self.bound.saturating_sub(floor).mul_f64(fastrand::f64());
        self.bound = (self.bound * 2).min(self.most);
        wait.min(self.most)
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
    fn waits_grow_to_the_bound_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        for _ in 0..50 {
            let first = backoff.next();
            assert!(first >= Duration::from_millis(50) && first <= Duration::from_millis(100), "{first:?}");
            let mut longest = first;
            for _ in 0..100 {
                longest = longest.max(backoff.next());
            }
            assert!(longest > Duration::from_secs(5) && longest <= Duration::from_secs(10), "{longest:?}");
            backoff.reset();
        }
    }
}
