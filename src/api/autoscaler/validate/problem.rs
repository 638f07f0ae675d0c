//! [`InputError`]: everything that is wrong with a policy or a document, each with its field, its value and the fix.

use std::{fmt, time::Duration};

use crate::{policy::RolePolicy, units::GatewayDuration};

/// The longest name of a role, group, schedule or signal.
const MAX_NAME: usize = 63;

/// Everything that is wrong with a policy, or with a snapshot document and the policy in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl std::error::Error for InputError {}

impl fmt::Display for InputError {
    /// Writes one problem per line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// One breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field, such as `spec.roles[0].minReplicas`.
    pub field: String,
    /// The value, what is wrong with it, and the fix.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Collects problems; what is asked for goes on with a harmless value, so that all of them are found in one pass.
#[derive(Debug, Default)]
pub(super) struct Problems {
    list: Vec<Problem>,
    advice: Vec<Problem>,
}

impl Problems {
    /// Adds `field: value breach; fix`.
    pub fn add(
        &mut self,
        field: impl Into<String>,
        value: impl fmt::Display,
        breach: impl fmt::Display,
        fix: impl fmt::Display,
    ) {
        self.list.push(Problem { field: field.into(), message: format!("{value} {breach}; {fix}") });
    }

    /// Adds that a name is none of a policy's roles.
    pub fn no_role(&mut self, field: impl Into<String>, name: &str, roles: &[RolePolicy]) {
        let known: Vec<_> =
            roles.iter().map(|role| role.name.as_str()).filter(|name| !name.is_empty()).collect();
        let fix = if known.is_empty() {
            "name a role of the policy".to_owned()
        } else {
            format!("write one of {}", known.join(", "))
        };
        self.add(field, shown(name), "is no role of this policy", fix);
    }

    /// Adds a problem that a cluster refuses and a replay can do without.
    pub fn advise(
        &mut self,
        field: impl Into<String>,
        value: impl fmt::Display,
        breach: impl fmt::Display,
        fix: impl fmt::Display,
    ) {
        self.advice.push(Problem { field: field.into(), message: format!("{value} {breach}; {fix}") });
    }

    /// Adds a problem that is told elsewhere.
    pub fn told(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.list.push(Problem { field: field.into(), message: message.into() });
    }

    /// Adds a problem of a field that is not there.
    pub fn missing(&mut self, field: impl Into<String>, fix: impl fmt::Display) {
        self.list.push(Problem { field: field.into(), message: format!("missing; {fix}") });
    }

    /// Checks the name of a role, group, schedule or signal.
    pub fn name(&mut self, field: impl Into<String>, name: &str) {
        if name.is_empty() {
            self.missing(field, "write a name");
        } else if name.len() > MAX_NAME {
            self.add(field, shown(name), "is too long", format_args!("use at most {MAX_NAME} characters"));
        }
    }

    /// Checks that a name can stand in the path of a request.
    pub fn path_segment(&mut self, field: impl Into<String>, name: &str) {
        if name.is_empty() {
            self.missing(field, "write a name");
        } else if name == "." || name == ".." || name.contains(['/', '%']) {
            self.add(field, shown(name), "cannot stand in a path", "write a name without \"/\" and \"%\"");
        }
    }

    /// Checks that a duration is above zero.
    pub fn positive(&mut self, field: impl Into<String>, duration: GatewayDuration) -> Duration {
        if duration.get().is_zero() {
            self.add(field, duration, "is not above zero", "write a duration such as \"1m\"");
        }
        duration.get()
    }

    /// Returns `value` with the advice, or what was collected.
    pub fn into_result<T>(self, value: T) -> Result<(T, Vec<Problem>), InputError> {
        if self.list.is_empty() {
            return Ok((value, self.advice));
        }
        let mut problems = self.list;
        problems.extend(self.advice);
        Err(InputError { problems })
    }
}

/// Returns a text as it is shown in messages: quoted, and cut when long.
pub(super) fn shown(text: &str) -> String {
    if text.chars().count() > 64 {
        let cut: String = text.chars().take(61).collect();
        format!("{cut:?}…")
    } else {
        format!("{text:?}")
    }
}
