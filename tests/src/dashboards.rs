//! The committed dashboards and rules, taken apart for tests: [`Dashboard`], [`Panel`], [`Expression`], and how Grafana fills them in.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// What `$__rate_interval` becomes.
pub const RATE_INTERVAL: &str = "15s";

/// One committed dashboard.
#[derive(Debug, Clone)]
pub struct Dashboard {
    /// The file's name without its ending.
    pub name: String,
    /// The document.
    pub json: Value,
}

/// One panel, also of a collapsed row.
#[derive(Debug, Clone, Copy)]
pub struct Panel<'a> {
    /// The panel's document.
    pub json: &'a Value,
}

/// One query of a dashboard or of a rule file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// Where it stands, such as `role / Replicas / A`.
    pub place: String,
    /// What Grafana is told to ask.
    pub text: String,
    /// Whether the value of one moment is asked for.
    pub instant: bool,
}

/// Returns the folder `dashboards`.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards")
}

/// Returns every committed dashboard, by name.
pub fn all() -> Result<Vec<Dashboard>> {
    let mut dashboards = Vec::new();
    for file in fs::read_dir(folder())? {
        let file = file?.path();
        if file.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let text = fs::read_to_string(&file)?;
        let json = serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        dashboards.push(Dashboard { name, json });
    }
    dashboards.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(dashboards)
}

/// Returns the rule files, by name.
pub fn rule_files() -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for file in fs::read_dir(folder().join("rules"))? {
        files.push(file?.path());
    }
    files.sort();
    Ok(files)
}

/// Returns the rules of all rule files, as they are written.
pub fn rules() -> Result<Vec<Value>> {
    let mut rules = Vec::new();
    for file in rule_files()? {
        let document: Value = serde_saphyr::from_str(&fs::read_to_string(&file)?)
            .with_context(|| format!("{} is no YAML", file.display()))?;
        let groups = document["groups"].as_array().context("no groups")?;
        rules
            .extend(groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten()).cloned());
    }
    Ok(rules)
}

impl Dashboard {
    /// Returns all panels, rows and what they hold included.
    pub fn panels(&self) -> Vec<Panel<'_>> {
        let mut panels = Vec::new();
        for json in list(&self.json["panels"]) {
            panels.push(Panel { json });
            panels.extend(list(&json["panels"]).map(|json| Panel { json }));
        }
        panels
    }

    /// Returns the variables.
    pub fn variables(&self) -> impl Iterator<Item = &Value> {
        list(&self.json["templating"]["list"])
    }

    /// Returns the annotations but Grafana's own.
    pub fn annotations(&self) -> impl Iterator<Item = &Value> {
        list(&self.json["annotations"]["list"]).filter(|annotation| annotation["builtIn"] != 1)
    }

    /// Returns the queries of panels and annotations, and those that fill variables.
    pub fn expressions(&self) -> Vec<Expression> {
        let mut found = Vec::new();
        for panel in self.panels() {
            for target in list(&panel.json["targets"]) {
                found.push(Expression {
                    place: format!("{} / {} / {}", self.name, panel.title(), text(&target["refId"])),
                    text: text(&target["expr"]),
                    instant: target["instant"] == true,
                });
            }
        }
        for annotation in self.annotations() {
            let place = format!("{} / annotation {}", self.name, text(&annotation["name"]));
            found.push(Expression { place, text: text(&annotation["expr"]), instant: false });
        }
        for variable in self.variables() {
            let query = text(&variable["query"]["query"]);
            let Some(inside) = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'))
            else {
                continue;
            };
            let series = inside.rsplit_once(", ").map_or(inside, |(series, _)| series);
            let place = format!("{} / variable {}", self.name, text(&variable["name"]));
            found.push(Expression { place, text: series.to_owned(), instant: true });
        }
        found
    }
}

impl Panel<'_> {
    /// Returns the title.
    pub fn title(&self) -> String {
        text(&self.json["title"])
    }

    /// Returns whether it is a row.
    pub fn is_row(&self) -> bool {
        self.json["type"] == "row"
    }
}

impl Expression {
    /// Returns the query as Grafana sends it with these values for variables; others match everything.
    pub fn filled_in(&self, variables: &[(&str, &str)]) -> String {
        let mut query = self.text.replace("$__rate_interval", RATE_INTERVAL).replace("$__range", "1h");
        for (name, value) in variables {
            query = query.replace(&format!("\"${name}\""), &format!("\"{value}\""));
        }
        for name in ["namespace", "group", "role", "metric"] {
            query = query.replace(&format!("\"${name}\""), "\".+\"");
        }
        query.replace("\"$cluster\"", "\".*\"")
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
