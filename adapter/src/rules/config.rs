//! [`RuleSet`]: a configuration file, every rule of it decoded and checked on its own.

use std::{collections::BTreeSet, sync::Arc};

use crate::rules::{
    decode::{Fields, Problems},
    discovery::{BoundRule, DiscoveryRule},
    id::{Finding, RuleId},
    plain::PlainRule,
    resources::ResourceMap,
    usage::{BoundUsage, UsageRules},
    yaml::{self, Kind, Node, YamlError},
};

const KEYS: [&str; 3] = ["rules", "externalRules", "resourceRules"];

/// The rules of a file that are sound, and what is wrong with the others.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    /// `rules`
    pub custom: Vec<DiscoveryRule>,
    /// The entries of `rules` that have the plain form.
    pub plain: Vec<PlainRule>,
    /// `externalRules`
    pub external: Vec<DiscoveryRule>,
    /// `resourceRules`
    pub usage: Option<UsageRules>,
    /// Which APIs the file asks for, even if none of their rules is sound.
    pub asks: Asks,
    /// What is wrong, in the order of the file.
    pub errors: Vec<Finding>,
}

/// Which APIs a configuration asks for: one with no rules of a kind does not serve that API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asks {
    /// custom.metrics.k8s.io
    pub custom: bool,
    /// external.metrics.k8s.io
    pub external: bool,
    /// metrics.k8s.io
    pub usage: bool,
}

/// A rule set whose kinds of objects were looked up in a cluster.
#[derive(Clone, Debug, Default)]
pub struct BoundRules {
    /// `rules`
    pub custom: Vec<BoundRule>,
    /// The entries of `rules` that have the plain form.
    pub plain: Vec<PlainRule>,
    /// `externalRules`
    pub external: Vec<BoundRule>,
    /// `resourceRules`
    pub usage: Option<BoundUsage>,
    /// Which APIs the file asks for.
    pub asks: Asks,
    /// What is wrong, in the order of the file: also kinds that the cluster does not know.
    pub errors: Vec<Finding>,
}

/// Why a file holds no rules at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It is not YAML.
    #[error("not a YAML file: {0}")]
    Yaml(#[from] YamlError),
    /// It is something else than a mapping.
    #[error("expected a mapping with rules, externalRules or resourceRules, found {0}")]
    NoMapping(&'static str),
}

impl RuleSet {
    /// Reads a configuration file. A bad rule is left out and told of in `errors`; the others go on.
    pub fn load(text: &str) -> Result<Self, ConfigError> {
        let document = yaml::parse(text)?;
        if !document.is_null() && !matches!(document.kind, Kind::Map(_)) {
            return Err(ConfigError::NoMapping(document.kind_name()));
        }
        let mut set = Self::default();
        let problems = Problems::default();
        let fields = Fields::of(&document, "", &KEYS, &problems);
        let rules = fields.list("rules");
        for (place, node) in rules.iter().enumerate() {
            set.add_custom(node, &RuleId::Custom(place));
        }
        let external = fields.list("externalRules");
        for (place, node) in external.iter().enumerate() {
            let id = RuleId::External(place);
            match DiscoveryRule::decode(node, id.clone()) {
                Ok(rule) => set.external.push(rule),
                Err(message) => set.errors.push(Finding::new(&id, message)),
            }
        }
        let usage = fields.get("resourceRules");
        match usage.map(UsageRules::decode) {
            None => {}
            Some(Ok(usage)) => set.usage = Some(usage),
            Some(Err(message)) => set.errors.push(Finding::new(&RuleId::Usage, message)),
        }
        set.asks = Asks { custom: !rules.is_empty(), external: !external.is_empty(), usage: usage.is_some() };
        for problem in problems.into_inner() {
            let (key, message) = problem.split_once(": ").unwrap_or(("", problem.as_str()));
            set.errors.push(Finding::new(&RuleId::Key(key.to_owned()), message));
        }
        set.errors.sort();
        Ok(set)
    }

    fn add_custom(&mut self, node: &Node, id: &RuleId) {
        let failed = if PlainRule::is_plain(node) {
            PlainRule::decode(node, id.clone()).map(|rule| self.plain.push(rule)).err()
        } else {
            DiscoveryRule::decode(node, id.clone()).map(|rule| self.custom.push(rule)).err()
        };
        self.errors.extend(failed.map(|message| Finding::new(id, message)));
    }

    /// Looks the kinds of all rules up; a rule that names an unknown kind is left out and told of.
    pub fn bind(&self, map: &Arc<ResourceMap>) -> BoundRules {
        let mut errors = self.errors.clone();
        let mut bind = |rules: &[DiscoveryRule]| {
            let mut bound = Vec::new();
            for rule in rules {
                match rule.clone().bind(map) {
                    Ok(rule) => bound.push(rule),
                    Err(message) => errors.push(Finding::new(&rule.id, message)),
                }
            }
            bound
        };
        let (custom, external) = (bind(&self.custom), bind(&self.external));
        let usage = match self.usage.clone().map(|usage| usage.bind(map)) {
            Some(Err(message)) => {
                errors.push(Finding::new(&RuleId::Usage, message));
                None
            }
            Some(Ok(usage)) => Some(usage),
            None => None,
        };
        errors.sort();
        BoundRules { custom, plain: self.plain.clone(), external, usage, asks: self.asks, errors }
    }
}

impl BoundRules {
    /// Returns every distinct `seriesQuery`, each of which is asked for once per relist.
    pub fn series_queries(&self) -> BTreeSet<&str> {
        self.custom.iter().chain(&self.external).map(|rule| rule.rule.series.text()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "{seriesQuery: x, metricsQuery: y, resources: {template: '<<.Resource>>'}}";

    fn errors(text: &str) -> Vec<String> {
        let set = RuleSet::load(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        set.bind(&Arc::new(ResourceMap::built_in())).errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_bad_rule_is_refused_alone() {
        let text = format!(
            "rules:\n- {GOOD}\n- {{seriesQuery: x}}\n- {GOOD}\n- {{name: n, query: q}}\nexternalRules: [{GOOD}, 3]\nresourceRules: {{}}\n"
        );
        let set = RuleSet::load(&text).expect("loads");
        let ids: Vec<_> = set.custom.iter().map(|rule| rule.id.to_string()).collect();
        assert_eq!(ids, ["rules[0]", "rules[2]"]);
        assert_eq!((set.plain.len(), set.external.len(), set.usage.is_some()), (1, 1, true));
        assert_eq!(
            errors(&text),
            [
                "rules[1]: metricsQuery: is required",
                "externalRules[1]: expected a mapping, found a scalar (line 6)",
            ]
        );
        assert_eq!(set.asks, Asks { custom: true, external: true, usage: true });
        let bound = set.bind(&Arc::new(ResourceMap::built_in()));
        assert_eq!(bound.series_queries().into_iter().collect::<Vec<_>>(), ["x"]);
    }

    #[test]
    fn kinds_that_the_cluster_lacks_are_told_in_the_order_of_the_file() {
        let unknown = "{seriesQuery: x, metricsQuery: y, resources: {overrides: {a: {resource: brand}}}}";
        assert_eq!(
            errors(&format!(
                "rules: [{unknown}, {{}}]\nresourceRules: {{cpu: {{resources: {{overrides: {{a: {{resource: b}}}}}}}}}}"
            )),
            [
                "rules[0]: resources.overrides.a: no kind of object is called brand",
                "rules[1]: seriesQuery: is required; metricsQuery: is required",
                "resourceRules: cpu.resources.overrides.a: no kind of object is called b",
            ]
        );
    }

    #[test]
    fn mistakes_of_the_file_itself() {
        assert_eq!(errors("rulez: []\nrules: []\n").len(), 1);
        assert_eq!(errors("rules: {}\n"), ["rules: expected a list, found a mapping (line 1)"],);
        assert_eq!(errors(&format!("rules: []\nrules: [{GOOD}]")), ["rules: duplicate field (line 2)"]);
        for text in ["", "---\n", "rules:\n", "rules: []\nexternalRules: ~\n", "{}"] {
            assert_eq!(errors(text), [""; 0], "{text:?}");
            assert_eq!(RuleSet::load(text).expect(text).asks, Asks::default(), "{text:?}");
        }
        for text in ["[]", "text", "a: [", "rules: \"x"] {
            assert!(RuleSet::load(text).is_err(), "{text:?} must be refused");
        }
    }

    proptest! {
        #[test]
        fn never_panics(rule in "[a-zA-Z:{}\\[\\]<>.|$\"', ]{0,60}") {
            if let Ok(set) = RuleSet::load(&format!("rules:\n- {rule}\n")) {
                set.bind(&Arc::new(ResourceMap::built_in()));
            }
        }
    }
}
