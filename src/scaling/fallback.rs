//! Stage `fallback`: what holds when no metric answers.

use super::draft::RoleDraft;

/// Runs the stage on one role.
pub(crate) const fn apply(_draft: &mut RoleDraft<'_>) {}
