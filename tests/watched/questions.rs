//! Everything that rules, dashboard and runbooks ask, and whether it is answered.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    dashboard::{Dashboard, Question},
    expression::{answered, legend_labels, selectors},
    files,
    prometheus::{Prometheus, Sample},
};

/// What gives nothing while all is well, and why that cannot be otherwise.
const NOTHING_WHEN_WELL: [(&str, &str); 2] = [
    ("UnderstudyNoGateway", "absent() gives something only where there is nothing"),
    ("ALERTS{alertname=~\"Understudy.+\", alertstate=\"firing\"}", "no alert fires"),
];

/// What is asked by whom.
pub struct Questions {
    /// Expressions that must give series, by who asks them.
    asked: Vec<Question>,
    /// Metrics and labels that the dashboard's variables list.
    variables: Vec<(String, String)>,
}

impl Questions {
    /// Of the rules that Prometheus has read, of the dashboard, and of the runbooks.
    pub async fn all(prometheus: &Prometheus) -> Self {
        let dashboard = Dashboard::read(&files::read("deploy/grafana/understudy.json"));
        let mut asked = dashboard.questions();
        let of_dashboard = asked.len();
        for rule in prometheus.rules().await {
            let text = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
            let is_alert = rule["type"] == "alerting";
            let expression = if is_alert { answered(&text("query")) } else { text("query") };
            asked.push(Question { panel: text("name"), expression, legend: String::new() });
        }
        for (page, text) in files::pages() {
            asked.extend(files::queries(&text).into_iter().map(|query| Question {
                panel: page.clone(),
                expression: answered(query),
                legend: String::new(),
            }));
        }
        assert!(of_dashboard > 60 && asked.len() > of_dashboard + 100, "{} are asked", asked.len());
        Self { asked, variables: dashboard.variables() }
    }

    /// What is asked with this name, by another one.
    pub fn renamed(&self, from: &str, to: &str) -> Self {
        let one =
            |question: &Question| Question { expression: question.expression.replace(from, to), ..question.clone() };
        let concerned = self.asked.iter().filter(|question| question.expression.contains(from));
        Self { asked: concerned.map(one).collect(), variables: Vec::new() }
    }

    /// Names of ours that are asked for, without what Prometheus records.
    pub fn metrics(&self) -> BTreeSet<String> {
        let all = self.asked.iter().flat_map(|question| selectors(&question.expression));
        let names = all.map(|selector| selector.split('{').next().unwrap_or_default().to_owned());
        names.filter(|name| name.starts_with("understudy_")).collect()
    }

    /// Every question that is not answered, and how.
    pub async fn unanswered(&self, prometheus: &Prometheus) -> BTreeMap<String, &'static str> {
        let mut faults = BTreeMap::new();
        let may_be_empty = |what: &str| NOTHING_WHEN_WELL.iter().any(|(name, _)| *name == what);
        let mut choices = BTreeSet::new();
        for question in &self.asked {
            choices.extend(selectors(&question.expression));
            let samples = prometheus.query(&question.expression).await;
            let who = format!("{}: {}", question.panel, question.expression);
            if samples.is_empty() && !may_be_empty(&question.panel) && !may_be_empty(&question.expression) {
                faults.insert(who, "gives nothing");
            } else if !is_told_apart(question, &samples) {
                faults.insert(who, "has a legend with labels that its series do not have");
            }
        }
        for choice in choices {
            if !may_be_empty(&choice) && prometheus.query(&choice).await.is_empty() {
                faults.insert(choice, "is nowhere");
            }
        }
        for (metric, label) in &self.variables {
            if prometheus.label_values(metric, label).await.iter().all(Value::is_null) {
                faults.insert(format!("label_values({metric}, {label})"), "lists nothing");
            }
        }
        faults
    }
}

/// Whether every series has the labels that the legend names, and no two of them have one legend.
fn is_told_apart(question: &Question, samples: &[Sample]) -> bool {
    // 0 in the place of nothing has no labels.
    if question.legend.is_empty() || question.expression.contains("vector(0)") {
        return true;
    }
    let labels = legend_labels(&question.legend);
    let named = |sample: &Sample| labels.iter().map(|label| sample.label(label).to_owned()).collect::<Vec<_>>();
    let names: BTreeSet<Vec<String>> = samples.iter().map(named).collect();
    names.len() == samples.len() && names.iter().flatten().all(|name| !name.is_empty())
}
