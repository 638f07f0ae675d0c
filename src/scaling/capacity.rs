//! Stage `capacity`: room in the cluster: backoff, fit and rollback.

use super::draft::GroupDraft;

/// Runs the stage on one group.
pub(crate) const fn apply(_group: &mut GroupDraft<'_>) {}
