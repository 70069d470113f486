//! The dashboard's JSON: what Grafana would make of it, as far as can be told without Grafana, which Debian does not have.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// Kinds of panels that it may have.
const KINDS: [&str; 4] = ["row", "timeseries", "stat", "state-timeline"];
/// Units that it may have, by Grafana's ids; `none` alone says that a number is no quantity.
const UNITS: [&str; 9] = ["none", "short", "s", "bytes", "percentunit", "reqps", "ops", "cps", "percent"];
/// Columns of a dashboard.
const COLUMNS: u64 = 24;

/// A dashboard.
pub struct Dashboard(Value);

/// What a panel asks.
#[derive(Clone, Debug)]
pub struct Question {
    /// Title of the panel.
    pub panel: String,
    /// The expression, as Prometheus would get it.
    pub expression: String,
    /// What its series are called.
    pub legend: String,
}

impl Dashboard {
    /// Reads it.
    pub fn read(json: &str) -> Self {
        Self(serde_json::from_str(json).unwrap_or_else(|error| panic!("the dashboard is no JSON: {error}")))
    }

    fn panels(&self) -> impl Iterator<Item = &Value> {
        self.0["panels"].as_array().into_iter().flatten()
    }

    /// Titles of its rows.
    pub fn rows(&self) -> Vec<&str> {
        let rows = self.panels().filter(|panel| panel["type"] == "row");
        rows.map(|panel| panel["title"].as_str().unwrap_or_default()).collect()
    }

    /// Everything that it asks, with Grafana's variables filled in.
    pub fn questions(&self) -> Vec<Question> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of_panel = |panel: &Value| -> Vec<Question> {
            let targets = panel["targets"].as_array().into_iter().flatten();
            let question = |target: &Value| Question {
                panel: text(&panel["title"]),
                expression: filled(&text(&target["expr"])),
                legend: text(&target["legendFormat"]),
            };
            targets.map(question).collect()
        };
        self.panels().flat_map(of_panel).collect()
    }

    /// Metric and label of each variable that asks Prometheus for its values.
    pub fn variables(&self) -> Vec<(String, String)> {
        let variables = self.0["templating"]["list"].as_array().into_iter().flatten();
        let asked = variables.filter_map(|variable| variable["query"]["query"].as_str());
        let parts = |query: &str| {
            let inside = query.strip_prefix("label_values(")?.strip_suffix(')')?;
            inside.split_once(", ").map(|(metric, label)| (metric.to_owned(), label.to_owned()))
        };
        asked.map(|query| parts(query).unwrap_or_else(|| panic!("a variable asks {query}"))).collect()
    }

    /// Everything that is wrong with it.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let root = &self.0;
        let mut wants = |holds: bool, what: String| {
            if !holds {
                faults.push(what);
            }
        };
        wants(root["uid"] == "understudy", "it has no uid that stays".to_owned());
        wants(root["id"].is_null(), "it has an id of somebody's database".to_owned());
        wants(root["schemaVersion"].as_u64() >= Some(36), "its schema is of before Grafana 9".to_owned());
        let variables = root["templating"]["list"].as_array().into_iter().flatten();
        let names: BTreeSet<&str> = variables.clone().filter_map(|variable| variable["name"].as_str()).collect();
        let sources =
            variables.filter(|variable| variable["type"] == "datasource" && variable["query"] == "prometheus");
        wants(
            sources.filter(|variable| variable["name"] == "datasource").count() == 1,
            "no variable datasource".into(),
        );
        let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for panel in self.panels() {
            let title = panel["title"].as_str().unwrap_or_default();
            let mut wants = |holds: bool, what: &str| wants(holds, format!("{title:?} {what}"));
            let kind = panel["type"].as_str().unwrap_or_default();
            wants(!title.is_empty(), "has no title");
            wants(KINDS.contains(&kind), "is of no known kind");
            wants(panel["id"].as_u64().is_some_and(|id| ids.insert(id)), "has no id of its own");
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap_or(u64::MAX / 2));
            wants(w >= 1 && h >= 1 && x + w <= COLUMNS && y < 1_000 && h < 100, "is out of the grid");
            let mut cells =
                (x..x.saturating_add(w).min(COLUMNS)).flat_map(|x| (y..y + h.min(100)).map(move |y| (x, y)));
            wants(cells.all(|cell| taken.insert(cell)), "lies on another one");
            if kind == "row" {
                continue;
            }
            let said = panel["description"].as_str().unwrap_or_default();
            wants(said.len() > 8 && said.ends_with(['.', ')']), "has no description");
            let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap_or_default();
            wants(UNITS.contains(&unit), "has no unit");
            let targets: Vec<&Value> = panel["targets"].as_array().into_iter().flatten().collect();
            wants(!targets.is_empty(), "asks nothing");
            let references: BTreeSet<Option<&str>> = targets.iter().map(|target| target["refId"].as_str()).collect();
            wants(references.len() == targets.len() && !references.contains(&None), "has questions of one name");
            for of in std::iter::once(panel).chain(targets.iter().copied()) {
                wants(of["datasource"] == json!({"type": "prometheus", "uid": "${datasource}"}), "asks somebody else");
            }
            for target in targets {
                let expression = target["expr"].as_str().unwrap_or_default();
                wants(!expression.is_empty(), "asks an empty question");
                wants(target["legendFormat"].as_str().is_some_and(|legend| !legend.is_empty()), "has no legend");
                wants(!filled(expression).contains('$'), "has a variable that nobody fills");
                wants(!expression.contains("$target") || names.contains("target"), "has no variable target");
                let is_rate = ["rate(", "deriv(", "increase("].iter().any(|name| expression.contains(name));
                wants(
                    is_rate == expression.contains("$__rate_interval"),
                    "has a rate over a span that is not Grafana's",
                );
            }
        }
        faults
    }
}

fn filled(expression: &str) -> String {
    expression.replace("$__rate_interval", "10s").replace("$target", ".+")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    /// The real one with something spoilt: each is found.
    #[test]
    fn what_is_wrong_is_found() {
        let whole = files::read("deploy/grafana/understudy.json");
        let mut spoilt = Vec::new();
        let mut spoil = |path: &str, value: Value, fault: &'static str| {
            let mut json: Value = serde_json::from_str(&whole).expect("JSON");
            *json.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value;
            spoilt.push((json, fault));
        };
        spoil("/panels/2/id", json!(2), "id of its own");
        spoil("/panels/2/description", json!(""), "no description");
        spoil("/panels/2/fieldConfig/defaults/unit", json!("furlongs"), "no unit");
        spoil("/panels/2/gridPos/x", json!(0), "lies on another");
        spoil("/panels/2/gridPos/w", json!(25), "out of the grid");
        spoil("/panels/2/targets/0/datasource/uid", json!("prometheus"), "asks somebody else");
        spoil("/panels/2/targets/0/legendFormat", json!(""), "no legend");
        spoil("/panels/2/targets/0/expr", json!("x{y=\"$z\"}"), "nobody fills");
        spoil("/panels/2/targets/0/expr", json!("rate(x[5m])"), "not Grafana's");
        spoil("/panels/2/targets", json!([]), "asks nothing");
        spoil("/uid", json!(""), "no uid");
        spoil("/templating/list", json!([]), "no variable datasource");
        for (json, fault) in spoilt {
            let found = Dashboard(json).faults();
            assert!(found.iter().any(|found| found.contains(fault)), "{fault} is not in {found:?}");
        }
    }

    #[test]
    fn rows_follow_one_another() {
        let rows = Dashboard::read(&files::read("deploy/grafana/understudy.json"));
        let expected = [
            "Is the standby ready, and how many seconds behind?",
            "Writes",
            "Lag by partition",
            "Outcomes",
            "Targets",
            "Kafka",
            "Gateways",
            "Resources",
        ];
        assert_eq!(rows.rows(), expected);
    }
}
