//! `check` over every folder of `tests/rules`, and its command line.

use std::{fs, path::PathBuf};

use clap::CommandFactory;
use proptest::prelude::*;

use super::*;

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/rules").join(name)
}

fn args(name: &str, output: Output) -> Args {
    let folder = folder(name);
    let requests = fs::read_to_string(folder.join("requests.txt")).expect("requests");
    Args {
        config: folder.join("config.yaml"),
        series: Some(folder.join("series.json")),
        requests: requests.lines().map(str::to_owned).collect(),
        output,
    }
}

fn printed(args: &Args) -> (String, ExitCode) {
    let mut out = Vec::new();
    let code = run(args, &mut out);
    (String::from_utf8(out).expect("UTF-8"), code)
}

#[test]
fn every_configuration_means_what_it_must() {
    for (name, code) in [
        ("chart-defaults", 0),
        ("vllm", 0),
        ("dcgm", 0),
        ("external", 0),
        ("usage", 0),
        ("mistakes", 2),
        ("kinds", 0),
    ] {
        let (text, got) = printed(&args(name, Output::Json));
        // The lists of queries are short: one line each is easier to read.
        insta::assert_snapshot!(name, text);
        assert_eq!(format!("{got:?}"), format!("{:?}", ExitCode::from(code)), "{name}");
    }
}

#[test]
fn the_table_is_for_people() {
    insta::assert_snapshot!("table", printed(&args("mistakes", Output::Table)).0);
    insta::assert_snapshot!("table-vllm", printed(&args("vllm", Output::Table)).0);
}

#[test]
fn files_that_cannot_be_read_end_with_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        path
    };
    let good = write("good.yaml", "rules: []\n");
    let empty = write("empty.json", "{}");
    let refused = format!("{:?}", ExitCode::from(2));
    for (config, series, fails) in [
        (good.clone(), Some(empty.clone()), false),
        (good.clone(), None, false),
        (write("bad.yaml", "rules: [\n"), None, true),
        (folder.path().join("gone.yaml"), None, true),
        (good.clone(), Some(write("bad.json", "{\"data\": {}}")), true),
        (good.clone(), Some(folder.path().join("gone.json")), true),
    ] {
        let args = Args { config, series, requests: Vec::new(), output: Output::Json };
        let (text, code) = printed(&args);
        assert_eq!(format!("{code:?}") == refused, fails, "{args:?}: {text}");
    }
}

#[test]
fn a_file_that_is_no_yaml_is_one_error() {
    let report = check("rules: [", &Input::default(), &["/apis".to_owned()]);
    assert_eq!(report.errors.len(), 1);
    assert!(report.errors[0].message.starts_with("not a YAML file: line "), "{:?}", report.errors);
    let report = check("- a\n", &Input::default(), &[]);
    assert_eq!(report.errors.len(), 1);
}

proptest! {
    #[test]
    fn never_panics(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "seriesQuery", "metricsQuery", "name", "resources", "overrides", "template", "matches", "as", "is", "query",
                ": ", "\n", "\n  ", "- ", "{", "}", "[", "]", ",", "'", "\"", "<<", ">>", ".Series", ".LabelMatchers",
                ".GroupBy", "sum(", ")", " by (", "x", "pod", "namespace", "<<.Resource>>", "$1", "(.*)", "=~", "!=", "|", "#",
            ]),
            0..40,
        ),
        tail in "[a-z*/%2Ax?=&,!()<]{0,30}",
    ) {
        let input = Input::parse(r#"{"data": [{"__name__": "x", "pod": "p", "namespace": "a"}]}"#).expect("parses");
        let good = "- {seriesQuery: x, metricsQuery: 'x{<<.LabelMatchers>>}', resources: {template: <<.Resource>>}}";
        let config = format!("rules:\n{good}\n- {}\n", words.concat());
        let paths = ["custom.metrics.k8s.io/v1beta1", "external.metrics.k8s.io/v1beta1", "metrics.k8s.io/v1beta1"]
            .map(|group| format!("/apis/{group}/namespaces/{tail}"));
        let report = check(&config, &input, &paths);
        prop_assert!(!report.errors.is_empty() || !report.exposed.is_empty());
    }
}

#[test]
fn the_command_line_is_sound() {
    Args::command().debug_assert();
    let args =
        Args::parse_from(["check", "--config", "c", "--request", "/a", "--request", "/b", "-o", "json"]);
    assert_eq!((args.requests.len(), args.output), (2, Output::Json));
}
