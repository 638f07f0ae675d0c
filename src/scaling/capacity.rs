//! Stage `capacity`: room in the cluster: backoff, fit and rollback.

use super::{draft::GroupDraft, ratio};

/// Runs the stage on one group.
pub(crate) fn apply(group: &mut GroupDraft<'_>) {
    ratio::refit(group);
    ratio::judge(group);
}
