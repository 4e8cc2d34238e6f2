//! What an event says, apart from its key, its chain and its time.

/// An event without its key, chain and time. Many events share one: a machine that is powered on every hour says the
/// same each time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// The class, as `xsi:type` names it.
    pub class: Box<str>,
    /// What an `EventEx` or `ExtendedEvent` calls itself.
    pub type_id: Option<Box<str>>,
    /// Who did it.
    pub user: Box<str>,
    /// The objects that it is about, by their values (`vm-12`): what a filter by entity looks for.
    pub about: Vec<Box<str>>,
    /// What stands in place of its time, if that is to be none.
    pub time: Option<Box<str>>,
    /// The event's elements from `userName` on, in their declared order, as they go over the wire. Prefixes are `xsi`
    /// and `xsd`.
    pub xml: Box<str>,
}
