//! Errors in words: what failed, and why.

use std::error::Error;

/// Returns an error and its causes in one line, outermost first; what an outer one already tells is not told again.
pub fn chain(error: &dyn Error) -> String {
    let mut text = told(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = told(error);
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

fn told(error: &dyn Error) -> String {
    let text = error.to_string();
    missing_right(&text).unwrap_or(text)
}

/// Returns which right somebody lacks, if that is what the API server says: its own words name the account twice before they come
/// to the verb, and a status has room for 256 bytes.
///
/// `None` when the text is about something else.
pub fn missing_right(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("is forbidden: User \"")?;
    let (user, rest) = rest.split_once("\" cannot ")?;
    let (verb, rest) = rest.split_once(" resource \"")?;
    let (resource, rest) = rest.split_once("\" in API group \"")?;
    let (group, rest) = rest.split_once('"')?;
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let namespace = rest.strip_prefix(" in the namespace \"").and_then(|rest| rest.split_once('"'));
    let dot = if group.is_empty() { "" } else { "." };
    let slash = if subresource.is_empty() { "" } else { "/" };
    let place = namespace.map_or_else(
        || "at the cluster scope".to_owned(),
        |(namespace, _)| format!("in namespace {namespace}"),
    );
    let who = match user.strip_prefix("system:serviceaccount:").and_then(|account| account.split_once(':')) {
        Some((namespace, name)) => format!("service account {namespace}/{name}"),
        None => user.to_owned(),
    };
    Some(format!(
        "forbidden: may not {verb} {resource}{dot}{group}{slash}{subresource} {place}; grant it to {who}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("not written")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("ApiError: {0} (Status {{ {0} }})")]
    struct Inner(&'static str);

    #[test]
    fn a_missing_right_is_told_by_verb_and_resource() {
        struct Case {
            text: &'static str,
            want: Option<&'static str>,
        }
        let cases = [
            Case {
                text: r#"rolebasedgroupscalingadapters.workloads.x-k8s.io "a-decode" is forbidden: User "system:serviceaccount:rbg:ctl" cannot update resource "rolebasedgroupscalingadapters/scale" in API group "workloads.x-k8s.io" in the namespace "serving""#,
                want: Some(
                    "forbidden: may not update rolebasedgroupscalingadapters.workloads.x-k8s.io/scale in namespace serving; grant it to service account rbg/ctl",
                ),
            },
            Case {
                text: r#"nodes is forbidden: User "jane" cannot list resource "nodes" in API group "" at the cluster scope: RBAC: clusterrole.rbac.authorization.k8s.io "x" not found"#,
                want: Some("forbidden: may not list nodes at the cluster scope; grant it to jane"),
            },
            Case {
                text: r#"groups "a" is forbidden: ValidatingAdmissionPolicy 'p' denied request: no"#,
                want: None,
            },
            Case { text: r#"forbidden: User "jane" cannot get path "/apis""#, want: None },
            Case { text: "", want: None },
        ];
        for Case { text, want } in cases {
            assert_eq!(missing_right(text).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn a_cause_is_told_once_and_short() {
        let error = Outer(Inner(
            r#"pods is forbidden: User "u" cannot watch resource "pods" in API group "" in the namespace "n""#,
        ));
        assert_eq!(chain(&error), "not written: forbidden: may not watch pods in namespace n; grant it to u");
        assert_eq!(chain(&Outer(Inner("down"))), "not written: ApiError: down (Status { down })");
    }
}
