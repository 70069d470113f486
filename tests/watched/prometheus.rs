//! Debian's Prometheus, as a process of this test.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use understudy_tests::{Http, Process, Stage, eventually, free_address, repository};

use crate::{files, instance};

/// How often this one scrapes and judges: tests do not wait for a quarter of a minute.
const EVERY: &str = "1s";

/// A Prometheus that watches a stage by `deploy/prometheus`. Killed at its end.
pub struct Prometheus {
    http: Http,
    child: Child,
    log: PathBuf,
}

/// A series, and its value now.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Labels, and the name as `__name__`.
    pub labels: Value,
    /// Its value; `NaN` is one.
    pub value: f64,
}

impl Sample {
    /// A label's value, empty where it has none.
    pub fn label(&self, name: &str) -> &str {
        self.labels[name].as_str().unwrap_or_default()
    }
}

/// A program of Debian's package.
pub fn command(name: &str) -> Command {
    let mut command = Command::new(name);
    command.stdin(Stdio::null());
    command
}

impl Prometheus {
    /// Starts one that scrapes these processes.
    pub async fn watch(stage: &Stage, gateways: &[&Process], consumers: &[&Process]) -> Self {
        let folder = stage.folder().join("prometheus");
        let config = configure(&folder, gateways, consumers);
        let (address, log) = (free_address(), folder.join("prometheus.log"));
        let said = File::create(&log).expect("a log");
        let child = command("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=info")
            .stdout(said.try_clone().expect("a log"))
            .stderr(said)
            .spawn()
            .unwrap_or_else(|error| panic!("prometheus: {error}; deploy/local/prerequisites.sh watch installs it"));
        let prometheus = Self { http: Http::new(&format!("http://{address}")), child, log };
        let all = gateways.len() + consumers.len();
        eventually(Duration::from_secs(30), "Prometheus scrapes all of them", async || {
            let up = prometheus.try_query("sum(up) == count(up)").await?;
            let up = up.first().map_or(0.0, |sample| sample.value);
            if up == all as f64 { Ok(()) } else { Err(format!("{up} of {all} are up")) }
        })
        .await;
        prometheus
    }

    /// What an expression gives now.
    pub async fn query(&self, expression: &str) -> Vec<Sample> {
        self.try_query(expression).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The only value of an expression, `None` where it gives nothing.
    pub async fn value(&self, expression: &str) -> Option<f64> {
        let samples = self.query(expression).await;
        assert!(samples.len() < 2, "{expression} gives several series: {samples:?}");
        samples.first().map(|sample| sample.value)
    }

    async fn try_query(&self, expression: &str) -> Result<Vec<Sample>, String> {
        let answer = self.ask(&format!("/api/v1/query?query={}", encoded(expression))).await?;
        let number = |value: &Value| value[1].as_str().and_then(|text| text.parse().ok()).ok_or("no number");
        if answer["resultType"] == "scalar" {
            return Ok(vec![Sample { labels: json!({}), value: number(&answer["result"])? }]);
        }
        let series = answer["result"].as_array().ok_or("no series")?.iter();
        let sample = |one: &Value| Ok(Sample { labels: one["metric"].clone(), value: number(&one["value"])? });
        series.map(sample).collect()
    }

    /// Every rule as it has read them, with its group's name.
    pub async fn rules(&self) -> Vec<Value> {
        let answer = self.ask("/api/v1/rules").await.unwrap_or_else(|error| panic!("{error}"));
        let groups = answer["groups"].as_array().expect("groups");
        groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")).cloned().collect()
    }

    /// Values of a label on series of a metric.
    pub async fn label_values(&self, metric: &str, label: &str) -> Vec<Value> {
        let path = format!("/api/v1/label/{label}/values?match[]={}", encoded(metric));
        let answer = self.ask(&path.replace('[', "%5B").replace(']', "%5D")).await;
        answer.unwrap_or_else(|error| panic!("{error}")).as_array().expect("values").clone()
    }

    /// Waits until an expression gives one value for which this holds.
    pub async fn becomes(&self, within: Duration, expression: &str, holds: impl Fn(f64) -> bool) {
        let what = format!("{expression} is as it should be");
        eventually(within, &what, async || match self.value(expression).await {
            Some(value) if holds(value) => Ok(()),
            other => Err(format!("it is {other:?}")),
        })
        .await;
    }

    /// Waits until an alert is pending or fires; how long it must be pending is tested by `promtool`.
    pub async fn alerts(&self, within: Duration, alert: &str) {
        let expression = format!("count(ALERTS{{alertname=\"{alert}\"}})");
        self.becomes(within, &expression, |alerts| alerts > 0.0).await;
    }

    async fn ask(&self, path: &str) -> Result<Value, String> {
        let reply = self.http.request("GET", path).within(Duration::from_secs(30)).send().await?;
        if reply.status != 200 {
            return Err(format!("{reply}"));
        }
        Ok(reply.json()["data"].clone())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- prometheus:\n{}\n---", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
    }
}

/// The files that operators get, word for word but for the pace, with targets of this stage.
fn configure(folder: &Path, gateways: &[&Process], consumers: &[&Process]) -> PathBuf {
    std::fs::create_dir_all(folder.join("targets")).expect("a folder");
    let mut config = files::read("deploy/prometheus/prometheus.yml");
    for key in ["scrape_interval", "evaluation_interval"] {
        let usual = format!("{key}: 15s");
        assert!(config.contains(&usual), "{usual} is not in prometheus.yml");
        config = config.replace(&usual, &format!("{key}: {EVERY}"));
    }
    // Nobody is asked for the names of compose's services.
    let found_by_name = config.matches("dns_sd_configs:").count();
    assert_eq!(found_by_name, 2, "gateways and consumers of compose");
    let config = without_names(&config);
    let path = folder.join("prometheus.yml");
    std::fs::write(&path, config).expect("a file");
    std::fs::copy(repository().join("deploy/prometheus/rules.yml"), folder.join("rules.yml")).expect("a copy");
    for (kind, processes) in [("gateways", gateways), ("consumers", consumers)] {
        let targets: Vec<String> = processes.iter().map(|process| instance(process)).collect();
        // JSON is YAML.
        let targets = json!([{"targets": targets}]).to_string();
        std::fs::write(folder.join(format!("targets/stage-{kind}.yml")), targets).expect("a file");
    }
    path
}

/// Without the lines of `dns_sd_configs`.
fn without_names(config: &str) -> String {
    let mut inside = false;
    let kept = config.lines().filter(|line| {
        let depth = line.len() - line.trim_start().len();
        inside = if line.trim() == "dns_sd_configs:" { true } else { inside && depth > 4 };
        !inside
    });
    kept.map(|line| format!("{line}\n")).collect()
}

fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}
