//! The data centre that the simulated vCenter manages, and what happens in it.

use std::sync::Arc;

use super::Body;

/// How large the data centre is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Virtual machines; hosts, clusters and datastores follow from that.
    pub machines: u32,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) struct Happening {
    pub(crate) body: Arc<Body>,
    /// It belongs to the chain of the one before.
    pub(crate) chained: bool,
}

/// A data centre with machines that live.
pub(crate) struct World {}

impl World {
    /// The data centre of this seed and size: the same for the same.
    pub(crate) fn new(seed: u64, size: Size) -> Self {
        let _ = (seed, size);
        Self {}
    }

    /// What happens next.
    pub(crate) fn next(&mut self) -> Happening {
        let body = Body {
            class: "GeneralUserEvent".into(),
            xml: "<userName>nobody</userName><message>something</message>".into(),
            ..Body::default()
        };
        Happening { body: Arc::new(body), chained: false }
    }
}
