//! Stage `gang`: whole gangs only.

use super::draft::RoleDraft;

/// Runs the stage on one role.
pub(crate) const fn apply(_draft: &mut RoleDraft<'_>) {}
