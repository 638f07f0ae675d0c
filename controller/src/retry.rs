//! [`Retry`]: when something that failed is worth trying again.

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// At the next tick of the sync period.
    NextTick,
    /// As soon as the caches show that the object is no longer what it was.
    WhenItMoves,
    /// Not before somebody edits the object.
    WhenEdited,
}
