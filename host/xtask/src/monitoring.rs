//! What is written by hand in `deploy/monitoring` and `docs/runbooks` holds together, and asks for what there is.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

const RULES: &str = "deploy/monitoring/rules.yaml";
const TESTS: &str = "deploy/monitoring/tests";
const DASHBOARDS: &str = "deploy/monitoring/dashboards";
const RUNBOOKS: &str = "docs/runbooks";
const INDEX: &str = "README.md";
/// Where names of metrics stand in quotes, beside the files of `host/metrics`.
const EXPORTERS: [&str; 3] = [
    "host/agent/src/control/metrics.rs",
    "host/operator/src/metrics.rs",
    "host/operator/src/metrics/objects.rs",
];
/// How the rules become a file for a Prometheus without prometheus-operator, as the docs say.
const CUT: &str = "sed '1,/^spec:/d; s/^  //' deploy/monitoring/rules.yaml";

fn read(path: &str) -> String {
    let path = crate::root().unwrap().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(crate::root().unwrap().join(folder)).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn rules() -> Vec<Value> {
    let object = yaml(&read(RULES));
    let groups = list(&object["spec"]["groups"]).iter();
    groups
        .flat_map(|group| list(&group["rules"]).clone())
        .collect()
}

fn dashboards() -> Vec<(String, Value)> {
    let read_one = |name: String| {
        let board = serde_json::from_str(&read(&format!("{DASHBOARDS}/{name}"))).unwrap();
        (name, board)
    };
    files(DASHBOARDS).into_iter().map(read_one).collect()
}

/// What panels and variables of a dashboard ask for.
fn queries(board: &Value) -> Vec<String> {
    let variables = list(&board["templating"]["list"]).iter();
    let asked = variables.filter_map(|variable| variable["definition"].as_str());
    let panels = list(&board["panels"]).iter();
    let targets = panels.flat_map(|panel| list(&panel["targets"]));
    asked
        .chain(targets.map(|target| text(&target["expr"])))
        .map(str::to_owned)
        .collect()
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_metric(word: &str) -> bool {
    ["hera_", "redis_"]
        .iter()
        .any(|start| word.len() > start.len() && word.starts_with(start))
}

/// The metrics that a query names; what it compares labels with is in quotes.
fn metrics(query: &str) -> BTreeSet<String> {
    let outside = query.split('"').step_by(2);
    let words = outside.flat_map(|part| part.split(|c| !is_of_name(c)));
    words
        .filter(|word| is_metric(word))
        .map(str::to_owned)
        .collect()
}

/// The metrics that agents and the operator export, by the code that makes them.
fn exported() -> BTreeSet<String> {
    let mut sources: Vec<String> = EXPORTERS.map(read).into();
    let exporter = files("host/metrics/src").into_iter();
    sources.extend(
        exporter
            .filter(|name| name != "tests.rs")
            .map(|name| read(&format!("host/metrics/src/{name}"))),
    );
    let quoted = sources.iter().flat_map(|source| source.split('"'));
    let mut names: BTreeSet<String> = quoted
        .filter(|word| is_metric(word) && word.chars().all(is_of_name))
        .map(str::to_owned)
        .collect();
    // Fields of CLUSTER INFO are metrics under their own names.
    let cluster = read("host/metrics/src/cluster.rs");
    let fields = cluster
        .split('"')
        .filter(|word| word.starts_with("cluster_") && word.chars().all(is_of_name));
    names.extend(fields.map(|field| format!("redis_{field}")));
    names
}

fn assert_exported(asked: &str, known: &BTreeSet<String>, place: &str) {
    for name in metrics(asked) {
        let parts = ["", "_bucket", "_sum", "_count"].into_iter();
        let mut bases = parts.filter_map(|part| name.strip_suffix(part));
        assert!(
            bases.any(|base| known.contains(base)),
            "{place} asks for {name}, which nobody exports"
        );
    }
}

#[test]
fn every_alert_has_a_page_and_every_page_an_alert() {
    let index = read(&format!("{RUNBOOKS}/{INDEX}"));
    let mut pages = BTreeSet::from([INDEX.to_owned()]);
    for rule in rules() {
        let alert = text(&rule["alert"]);
        let page = format!("{alert}.md");
        let repository = env!("CARGO_PKG_REPOSITORY");
        let url = format!("{repository}/blob/main/{RUNBOOKS}/{page}");
        assert_eq!(rule["annotations"]["runbook_url"], url, "{alert}");
        let words = read(&format!("{RUNBOOKS}/{page}"));
        let severity = text(&rule["labels"]["severity"]);
        assert!(words.starts_with(&format!("# {alert}\n")), "{page}");
        assert!(words.contains(&format!("Severity: {severity}.")), "{page}");
        let row = format!("| [{alert}]({page}) | {severity} |");
        assert!(index.contains(&row), "the index has no {row}");
        assert!(pages.insert(page), "{alert} is there twice");
    }
    assert_eq!(pages, files(RUNBOOKS));
}

#[test]
fn alerts_ask_for_what_is_exported_and_tell_what_they_know() {
    let known = exported();
    assert!(known.len() > 100, "{} metrics", known.len());
    for rule in rules() {
        let (alert, asked) = (text(&rule["alert"]), text(&rule["expr"]));
        assert_exported(asked, &known, alert);
        let own: BTreeSet<&str> = asked.split(|c| !is_of_name(c)).collect();
        for annotation in ["summary", "description"] {
            let words = text(&rule["annotations"][annotation]);
            for label in words.split("$labels.").skip(1) {
                let label = label.split(|c| !is_of_name(c)).next().unwrap();
                assert!(own.contains(label), "{alert} knows no label {label}");
            }
        }
    }
}

#[test]
fn every_panel_has_a_query_for_what_is_exported() {
    let known = exported();
    let mut uids = BTreeSet::new();
    for (name, board) in dashboards() {
        assert!(uids.insert(text(&board["uid"]).to_owned()), "{name}");
        let variables = list(&board["templating"]["list"]).iter();
        let variables: BTreeSet<&str> = variables.map(|one| text(&one["name"])).collect();
        assert!(variables.contains("datasource"), "{name}");
        let mut ids = BTreeSet::new();
        for panel in list(&board["panels"]) {
            let title = format!("{name}, {}", text(&panel["title"]));
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            assert!(!list(&panel["targets"]).is_empty(), "{title}");
            for target in list(&panel["targets"]) {
                let asked = text(&target["expr"]);
                assert!(!metrics(asked).is_empty(), "{title}: {asked}");
            }
        }
        for asked in queries(&board) {
            assert_exported(&asked, &known, &name);
            for variable in asked.split('$').skip(1) {
                let variable = variable.split(|c| !is_of_name(c)).next().unwrap();
                let is_known = variable == "__rate_interval" || variables.contains(variable);
                assert!(is_known, "{name} has no variable {variable}: {asked}");
            }
        }
    }
    assert_eq!(uids.len(), 2);
}

#[test]
fn every_alert_is_tested_firing_and_not_firing() {
    let mut tested = BTreeSet::new();
    for name in files(TESTS) {
        let cases = yaml(&read(&format!("{TESTS}/{name}")));
        for case in list(&cases["tests"]) {
            for check in list(&case["promql_expr_test"]) {
                let alert = text(&check["expr"]).split('"').nth(1).unwrap().to_owned();
                tested.insert((alert, !list(&check["exp_samples"]).is_empty()));
            }
        }
    }
    let alerts = rules();
    let alerts = alerts.iter().map(|rule| text(&rule["alert"]).to_owned());
    let both = alerts.flat_map(|alert| [(alert.clone(), true), (alert, false)]);
    assert_eq!(tested, both.collect::<BTreeSet<_>>());
}

#[test]
fn the_rules_can_be_cut_out_as_the_docs_say() {
    let all = read(RULES);
    let (_, spec) = all.split_once("\nspec:\n").unwrap();
    let cut: Vec<&str> = spec
        .lines()
        .map(|line| line.strip_prefix("  ").unwrap_or(line))
        .collect();
    assert_eq!(yaml(&cut.join("\n")), yaml(&all)["spec"]);
    for place in ["docs/metrics.md", RULES] {
        assert!(read(place).contains(CUT), "{place}");
    }
    assert!(read("tests/promtool").contains(CUT));
}
