//! Stage `zero`: sleeping at zero, and waking.

use super::draft::GroupDraft;

/// Runs the stage on one group.
pub(crate) const fn apply(_group: &mut GroupDraft<'_>) {}
