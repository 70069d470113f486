//! The files themselves: rules are valid and do what their cases say; every alert has a page; the dashboard is well made.

use std::{collections::BTreeSet, path::Path};

use understudy_tests::repository;

use crate::{dashboard::Dashboard, prometheus::command};

/// What pages are expected under, and what every one of them says.
const PAGES: &str = "https://understudy.example/runbooks/";
const HEADINGS: [&str; 4] = ["## What it means", "## What to look at", "## What to do", "## Healthy again"];

/// A file of the repository.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn promtool(arguments: &[&str]) {
    let mut tool = command("promtool");
    let output = tool.args(arguments).current_dir(repository().join("deploy/prometheus")).output();
    let output = output.unwrap_or_else(|error| panic!("promtool: {error}; deploy/local/prerequisites.sh watch"));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
}

#[test]
fn promtool_finds_no_fault() {
    promtool(&["check", "config", "prometheus.yml"]);
    promtool(&["test", "rules", "rules_test.yml"]);
}

/// An alert as it stands in `rules.yml`.
struct Alert {
    name: String,
    /// Its lines.
    text: String,
}

fn alerts(rules: &str) -> Vec<Alert> {
    let blocks = rules.split("- alert: ").skip(1);
    let alert = |block: &str| {
        let (name, text) = block.split_once('\n').expect("a name");
        // Until the next group.
        let text = text.split("\n  - name: ").next().unwrap_or(text);
        Alert { name: name.trim().to_owned(), text: text.to_owned() }
    };
    blocks.map(alert).collect()
}

/// Alerts that fire in a case of `rules_test.yml`, and those that do not in another.
fn cases(tests: &str) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let (mut fire, mut rest) = (BTreeSet::new(), BTreeSet::new());
    for check in tests.split("alertname: ").skip(1) {
        let (name, expected) = check.split_once('\n').expect("what is expected");
        let expected = expected.trim_start();
        assert!(expected.starts_with("exp_alerts:"), "{name}: exp_alerts stands behind the name: {expected:.80}");
        let quiet = expected.starts_with("exp_alerts: []");
        assert!(quiet || expected.contains("exp_labels"), "{name}: {expected:.80}");
        if quiet {
            rest.insert(name.trim())
        } else {
            fire.insert(name.trim())
        };
    }
    (fire, rest)
}

/// What is missing of alerts, by their rules, cases and pages.
fn faults_of_alerts(rules: &str, tests: &str, page: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let (fire, rest) = cases(tests);
    let all = alerts(rules);
    let mut faults = Vec::new();
    for Alert { name, text } in &all {
        let mut wants = |holds: bool, what: &str| {
            if !holds {
                faults.push(format!("{name} {what}"));
            }
        };
        wants(name.starts_with("Understudy"), "does not say whose it is");
        wants(text.contains("        summary: \""), "has no summary");
        wants(text.contains(&format!("        runbook_url: {PAGES}{name}.md\n")), "does not name its page");
        wants(
            ["critical", "warning"].iter().any(|severity| text.contains(&format!("severity: {severity}\n"))),
            "is neither critical nor a warning",
        );
        wants(fire.contains(name.as_str()), "fires in no case");
        wants(rest.contains(name.as_str()), "is quiet in no case");
        let page = page(name).unwrap_or_default();
        wants(page.starts_with(&format!("# {name}\n")), "has no page with its name");
        for heading in HEADINGS {
            wants(page.contains(&format!("\n{heading}\n")), &format!("lacks \"{heading}\" on its page"));
        }
        wants(page.contains("understudy status --config"), "does not say on its page how to see the whole picture");
    }
    let known: BTreeSet<&str> = all.iter().map(|alert| alert.name.as_str()).collect();
    faults.extend(fire.union(&rest).filter(|name| !known.contains(*name)).map(|name| format!("{name} is no alert")));
    faults
}

/// The pages, by their names.
pub fn pages() -> Vec<(String, String)> {
    let folder = std::fs::read_dir(repository().join("deploy/runbooks")).expect("pages");
    let names = folder.map(|file| file.expect("a page").file_name().to_string_lossy().into_owned());
    names.map(|name| (name.clone(), read(&format!("deploy/runbooks/{name}")))).collect()
}

/// What a page has its reader ask of Prometheus.
pub fn queries(page: &str) -> Vec<&str> {
    let queries = page.split("promtool query instant \"$PROM\" '").skip(1);
    queries.map(|rest| rest.split('\'').next().unwrap_or_default()).collect()
}

/// Every name of a metric that is in a file stands in the README's tables.
#[test]
fn all_metrics_are_in_the_manual() {
    let manual = read("README.md");
    let mut texts = pages();
    texts.extend(
        ["deploy/prometheus/rules.yml", "deploy/prometheus/rules_test.yml", "deploy/grafana/understudy.json"]
            .map(|path| (path.to_owned(), read(path))),
    );
    let mut seen = BTreeSet::new();
    for (file, text) in &texts {
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':') {
            if word.starts_with("understudy_") && word != "understudy_" {
                let name = word.strip_suffix("_bucket").or(word.strip_suffix("_count")).unwrap_or(word);
                assert!(manual.contains(&format!("| `{name}` |")), "{name} of {file} is not in the README");
                seen.insert(name);
            }
        }
    }
    assert!(seen.len() > 50, "{seen:?}");
}

fn page(name: &str) -> Option<String> {
    std::fs::read_to_string(repository().join("deploy/runbooks").join(format!("{name}.md"))).ok()
}

#[test]
fn every_alert_has_cases_and_a_page() {
    let (rules, tests) = (read("deploy/prometheus/rules.yml"), read("deploy/prometheus/rules_test.yml"));
    let faults = faults_of_alerts(&rules, &tests, page);
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(alerts(&rules).len() > 20, "they are read");
    let known: BTreeSet<String> = alerts(&rules).into_iter().map(|alert| format!("{}.md", alert.name)).collect();
    for (name, _) in pages() {
        assert!(name == "README.md" || known.contains(&name), "{name} is the page of no alert");
    }
}

#[test]
fn what_an_alert_lacks_is_found() {
    let rules = "- alert: UnderstudyX\n  labels:\n    severity: warning\n        summary: \"x\"\n        \
                 runbook_url: https://understudy.example/runbooks/UnderstudyX.md\n";
    let tests =
        "alertname: UnderstudyX\n   exp_alerts: []\nalertname: UnderstudyX\n   exp_alerts:\n   - exp_labels: {}\n";
    let whole =
        format!("# UnderstudyX\n{}\n`understudy status --config …`", HEADINGS.map(|h| format!("\n{h}\n")).concat());
    let found = |rules: &str, tests: &str, page: &str| faults_of_alerts(rules, tests, |_| Some(page.to_owned()));
    assert!(found(rules, tests, &whole).is_empty(), "{:?}", found(rules, tests, &whole));
    for (rules, tests, page, fault) in [
        (rules.replace("summary", "text"), tests.to_owned(), whole.clone(), "no summary"),
        (rules.replace("X.md", "Y.md"), tests.to_owned(), whole.clone(), "does not name its page"),
        (rules.replace("warning", "high"), tests.to_owned(), whole.clone(), "neither critical"),
        (rules.to_owned(), tests.replacen(" []", "\n - exp_labels", 1), whole.clone(), "quiet in no case"),
        (rules.to_owned(), tests.split_at(45).0.to_owned(), whole.clone(), "fires in no case"),
        (rules.to_owned(), tests.to_owned(), whole.replace("## What to do\n", ""), "lacks \"## What to do\""),
        (rules.to_owned(), tests.to_owned(), String::new(), "no page"),
        (rules.replace("UnderstudyX", "UnderstudyZ"), tests.to_owned(), whole.clone(), "UnderstudyX is no alert"),
    ] {
        let found = found(&rules, &tests, &page);
        assert!(found.iter().any(|found| found.contains(fault)), "{fault} is not in {found:?}");
    }
}

#[test]
fn the_dashboard_is_well_made() {
    let dashboard = Dashboard::read(&read("deploy/grafana/understudy.json"));
    let faults = dashboard.faults();
    assert!(faults.is_empty(), "{faults:#?}");
}

/// What provisioning names is there under the name that it gives.
#[test]
fn the_dashboard_is_provisioned() {
    let sources = read("deploy/grafana/provisioning/datasources/prometheus.yml");
    assert!(sources.contains("type: prometheus\n") && sources.contains("isDefault: true\n"), "{sources}");
    let scrape = read("deploy/prometheus/prometheus.yml");
    let pace = scrape.split("scrape_interval: ").nth(1).and_then(|rest| rest.lines().next()).expect("a pace");
    assert!(sources.contains(&format!("timeInterval: {pace}\n")), "rates span four scrapes of {pace}: {sources}");
    let dashboards = read("deploy/grafana/provisioning/dashboards/understudy.yml");
    assert!(dashboards.contains("type: file\n") && dashboards.contains("path: /var/lib/grafana/dashboards\n"));
    assert!(repository().join(Path::new("deploy/grafana/understudy.json")).is_file());
}
