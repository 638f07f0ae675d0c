//! [`NamespacedName`]: an object of a namespace, as flags name it.

use std::{fmt, str::FromStr};

/// A namespace and a name, `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespacedName {
    /// The namespace.
    pub namespace: String,
    /// The name in it.
    pub name: String,
}

impl FromStr for NamespacedName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err(format!("{text:?} is not NAMESPACE/NAME")),
        }
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parts_are_needed() {
        let name: NamespacedName = "monitoring/adapter-tls".parse().expect("sound");
        assert_eq!((name.namespace.as_str(), name.name.as_str()), ("monitoring", "adapter-tls"));
        assert_eq!(name.to_string(), "monitoring/adapter-tls");
        for wrong in ["", "adapter", "/adapter", "monitoring/", "a/b/c"] {
            assert!(wrong.parse::<NamespacedName>().is_err(), "{wrong:?}");
        }
    }
}
