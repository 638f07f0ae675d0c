//! Stage `limit`: rate policies, then the bounds.

use super::draft::RoleDraft;

/// Runs the stage on one role.
pub(crate) const fn apply(_draft: &mut RoleDraft<'_>) {}
