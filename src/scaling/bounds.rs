//! Stage `bounds`: the effective bounds, and counts outside of them.

use super::draft::RoleDraft;

/// Runs the stage on one role.
pub(crate) const fn apply(_draft: &mut RoleDraft<'_>) {}
