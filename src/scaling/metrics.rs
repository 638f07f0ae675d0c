//! Stage `metrics`: the HPA's formula per metric; the largest answer wins.

use super::draft::RoleDraft;

/// Runs the stage on one role.
pub(crate) const fn apply(_draft: &mut RoleDraft<'_>) {}
