//! Bodies that were made, so that what is told again is not made again.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::simulator::body::Body;

/// Bodies in one generation; two are kept.
const GENERATION: usize = 16_384;

/// A cache of bodies by what they tell. What was not told for a whole generation is forgotten.
#[derive(Debug)]
pub(super) struct Bodies<K> {
    young: HashMap<K, Arc<Body>>,
    old: HashMap<K, Arc<Body>>,
}

impl<K: Copy + Eq + Hash> Bodies<K> {
    pub(super) fn new() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }

    pub(super) fn get(&mut self, told: K, make: impl FnOnce() -> Body) -> Arc<Body> {
        if let Some(found) = self.young.get(&told) {
            return Arc::clone(found);
        }
        let body = self.old.remove(&told).unwrap_or_else(|| Arc::new(make()));
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(told, Arc::clone(&body));
        body
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_again_is_shared_and_the_rest_forgotten() {
        let mut bodies = Bodies::new();
        let first = bodies.get(0, Body::default);
        for at in 1..3 * GENERATION {
            bodies.get(at, Body::default);
            // Asked for now and then, so it stays.
            if at.is_multiple_of(1000) {
                assert!(Arc::ptr_eq(&first, &bodies.get(0, || panic!("it is there"))));
            }
        }
        assert!(bodies.len() <= 2 * GENERATION, "{}", bodies.len());
    }
}
