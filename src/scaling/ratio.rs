//! Stage `ratio`: proportions between roles.

mod balance;

use super::draft::GroupDraft;

/// Runs the stage on one group.
pub(crate) const fn apply(_group: &mut GroupDraft<'_>) {}
