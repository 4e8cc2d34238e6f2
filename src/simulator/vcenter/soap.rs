//! Requests read, answers and faults written, as a real vCenter does.

use std::borrow::Cow;

use crate::vim25::soap::Ref;

/// An element of a request. Prefixes are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) name: String,
    /// `xsi:type`, without its prefix.
    pub(super) kind: Option<String>,
    /// The attribute `type` of a reference.
    pub(super) of: Option<String>,
    /// The text of an element without children.
    pub(super) text: String,
    pub(super) children: Vec<Node>,
}

impl Node {
    /// The first child of that name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Every child of that name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// As a reference to a managed object.
    pub(super) fn reference(&self) -> Ref {
        Ref::new(self.of.as_deref().unwrap_or_default(), self.text.trim())
    }
}

/// A fault that a call is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Its type, such as `NotAuthenticated`.
    pub(super) kind: Cow<'static, str>,
    pub(super) message: Cow<'static, str>,
    /// The fault's own elements.
    pub(super) fields: String,
}

impl Fault {
    pub(super) fn new(kind: &'static str, message: &'static str) -> Self {
        Self { kind: kind.into(), message: message.into(), fields: String::new() }
    }
}
