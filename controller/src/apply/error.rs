//! [`ApplyError`]: why a count could not be written, and what to do about it.

use std::sync::Arc;

use crate::retry::Retry;

/// Why the replicas of a role could not be written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApplyError {
    /// The object is not as it was when the decision was made.
    #[error("the group changed while its replicas were decided")]
    Moved(#[source] Arc<kube::Error>),
    /// The API server did not let us.
    #[error("the API server refused to set the replicas")]
    Refused(#[source] Arc<kube::Error>),
    /// We may not patch the group, and the role has no scaling adapter.
    #[error(
        "the controller may not patch this RoleBasedGroup; give the role scalingAdapter: {{enable: true}}, or let it \
         (controller.directWrites of the chart)"
    )]
    NeedsScalingAdapter(#[source] Arc<kube::Error>),
    /// The API server or the way to it failed; the write may or may not have happened.
    #[error("the API server could not be asked to set the replicas")]
    Unreachable(#[source] Arc<kube::Error>),
    /// No answer within the time given; the write may or may not have happened.
    #[error("the API server did not answer within {0:?}")]
    Timeout(std::time::Duration),
    /// A role is raised only after every lowering of its group was acknowledged.
    #[error("another role of the group could not be lowered first")]
    Postponed,
}

impl ApplyError {
    /// Sorts an error of the client.
    pub fn from_kube(error: kube::Error) -> Self {
        let code = if let kube::Error::Api(status) = &error { Some(status.code) } else { None };
        let error = Arc::new(error);
        match code {
            Some(409 | 422) => Self::Moved(error),
            Some(429 | 500..) | None => Self::Unreachable(error),
            Some(_) => Self::Refused(error),
        }
    }

    /// Sorts an error of a patch of the group: who may not do that may still write scaling adapters.
    #[must_use]
    pub fn of_group_patch(self) -> Self {
        match self {
            Self::Refused(error) if matches!(&*error, kube::Error::Api(status) if lacks_the_right(status)) => {
                Self::NeedsScalingAdapter(error)
            }
            other => other,
        }
    }

    /// Returns the kind of error as a metric label.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Moved(_) => "conflict",
            Self::Refused(_) | Self::NeedsScalingAdapter(_) => "refused",
            Self::Unreachable(_) => "unreachable",
            Self::Timeout(_) => "timeout",
            Self::Postponed => "postponed",
        }
    }

    /// Returns when it is worth trying again. The number is always decided anew.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Moved(_) | Self::Postponed => Retry::WhenItMoves,
            Self::Refused(_) | Self::NeedsScalingAdapter(_) | Self::Unreachable(_) | Self::Timeout(_) => {
                Retry::NextTick
            }
        }
    }
}

/// Whether a refusal is one of authorization: admission webhooks and policies may answer 403 too, and say that they denied.
fn lacks_the_right(status: &kube::core::Status) -> bool {
    let denied = ["denied request", "denied the request"];
    status.code == 403 && !denied.iter().any(|words| status.message.contains(words))
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn answers_of_the_api_server_are_sorted() {
        struct Case {
            code: u16,
            want: (&'static str, Retry),
        }
        let cases = [
            Case { code: 409, want: ("conflict", Retry::WhenItMoves) },
            Case { code: 422, want: ("conflict", Retry::WhenItMoves) },
            Case { code: 403, want: ("refused", Retry::NextTick) },
            Case { code: 404, want: ("refused", Retry::NextTick) },
            Case { code: 429, want: ("unreachable", Retry::NextTick) },
            Case { code: 503, want: ("unreachable", Retry::NextTick) },
        ];
        for Case { code, want } in cases {
            let status = Status::failure("told", "Reason").with_code(code).boxed();
            let error = ApplyError::from_kube(kube::Error::Api(status));
            assert_eq!((error.class(), error.retry()), want, "{code}");
            let is_told = matches!(error.of_group_patch(), ApplyError::NeedsScalingAdapter(_));
            assert_eq!(is_told, code == 403, "{code}");
        }
    }

    #[test]
    fn what_admission_denies_needs_no_scaling_adapter() {
        for message in [
            "admission webhook \"w\" denied the request: no",
            "policy 'p' with binding 'p' denied request: no",
        ] {
            let status = Status::failure(message, "Forbidden").with_code(403).boxed();
            let error = ApplyError::from_kube(kube::Error::Api(status)).of_group_patch();
            assert!(matches!(error, ApplyError::Refused(_)), "{message}");
        }
    }
}
