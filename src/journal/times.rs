//! Times in the order in which events were journaled, in half the room where they lie close together.

/// Times in microseconds. As long as all lie within half an hour of the first, each takes 4 bytes, and otherwise 8: at
/// the rates at which many are kept, they do.
#[derive(Clone)]
pub(super) enum Times {
    /// What each adds to the first.
    Near(i64, Vec<i32>),
    Far(Vec<i64>),
}

impl Default for Times {
    fn default() -> Self {
        Self::Near(0, Vec::new())
    }
}

fn offset(base: i64, time: i64) -> Option<i32> {
    i32::try_from(time.checked_sub(base)?).ok()
}

impl Times {
    /// None, with room for so many.
    pub(super) fn with_room(count: usize) -> Self {
        Self::Near(0, Vec::with_capacity(count))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Near(_, offsets) => offsets.len(),
            Self::Far(times) => times.len(),
        }
    }

    /// The time at that place, which must be one.
    pub(super) fn at(&self, at: usize) -> i64 {
        match self {
            Self::Near(base, offsets) => base + i64::from(offsets[at]),
            Self::Far(times) => times[at],
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = i64> {
        (0..self.len()).map(|at| self.at(at))
    }

    pub(super) fn push(&mut self, time: i64) {
        match self {
            Self::Near(base, offsets) => {
                if offsets.is_empty() {
                    *base = time;
                }
                match offset(*base, time) {
                    Some(offset) => offsets.push(offset),
                    None => *self = Self::Far(self.iter().chain([time]).collect()),
                }
            }
            Self::Far(times) => times.push(time),
        }
    }
}

impl PartialEq for Times {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_times_come_back_as_they_were() {
        let near = [5, 0, -1_000_000_000, 2_000_000_000];
        let far = [i64::MAX, i64::MIN, 0, 2_147_483_652, 2_147_483_653, -2_147_483_643, -2_147_483_644];
        for first in [0, i64::MAX, i64::MIN, 1_700_000_000_000_000] {
            for then in [&near[..], &far] {
                let mut times = Times::with_room(2);
                let mut all = vec![first];
                times.push(first);
                for time in then {
                    times.push(first.wrapping_add(*time));
                    all.push(first.wrapping_add(*time));
                    assert!(times.iter().eq(all.iter().copied()) && times.len() == all.len());
                }
                assert!(times == Times::Far(all));
            }
        }
    }

    #[test]
    fn what_lies_close_together_takes_half_the_room() {
        let mut times = Times::default();
        for time in 0..1000 {
            times.push(1_700_000_000_000_000 + time * 2_000_000);
        }
        assert!(matches!(times, Times::Near(..)));
        times.push(1_700_000_000_000_000 + 36 * 60 * 1_000_000);
        assert!(matches!(times, Times::Far(..)) && times.len() == 1001);
    }
}
