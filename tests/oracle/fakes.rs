//! Fakes in front of both clusters, for what real servers do not do on request: rejections, answers that are cut or never come,
//! connections that are reset after the write was done, blocks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use understudy_tests::{Fake, FakeAnswer, FakeRequest, Stage};

use crate::dice::Dice;

/// Both of them. As long as they are `off`, they pass everything on.
pub struct Fakes {
    primary: Fake,
    backup: Fake,
    on: Arc<AtomicBool>,
}

/// How long a block of the backup lasts.
const BLOCKED: Duration = Duration::from_millis(2_500);

impl Fakes {
    /// In front of the clusters of a stage.
    pub async fn before(stage: &Stage, seed: u64) -> Self {
        let on = Arc::new(AtomicBool::new(true));
        let (mut dice, works) = (Dice::of(seed, "fake primary"), on.clone());
        let primary = move |request: &FakeRequest| {
            if works.load(Ordering::Relaxed) { of_primary(&mut dice, request) } else { FakeAnswer::real() }
        };
        let (mut dice, works, mut blocked) = (Dice::of(seed, "fake backup"), on.clone(), None);
        let backup = move |request: &FakeRequest| {
            if works.load(Ordering::Relaxed) { of_backup(&mut dice, &mut blocked, request) } else { FakeAnswer::real() }
        };
        Self {
            primary: Fake::before(stage.primary(), primary).await.without_memory(),
            backup: Fake::before(stage.backup(), backup).await.without_memory(),
            on,
        }
    }

    /// Has gateways and consumers speak to them. Whoever judges speaks to the clusters themselves.
    pub fn stand_before(&self, stage: Stage) -> Stage {
        stage
            .set("clusters.primary.urls", vec![self.primary.address().to_owned()])
            .set("clusters.backup.urls", vec![self.backup.address().to_owned()])
    }

    /// The addresses of the fakes before the primary and before the backup.
    pub fn addresses(&self) -> (String, String) {
        (self.primary.address().to_owned(), self.backup.address().to_owned())
    }

    /// From now on everything is passed on.
    pub fn off(&self) {
        self.on.store(false, Ordering::Relaxed);
    }
}

fn of_primary(dice: &mut Dice, request: &FakeRequest) -> FakeAnswer {
    let roll = dice.below(1_000);
    if !is_write(request) {
        // The look before and after a write, health, versions.
        return match roll {
            0..=2 => error(503, "cluster_block_exception"),
            3..=4 => FakeAnswer::real().truncated(),
            5 => FakeAnswer::real().reset(),
            _ => FakeAnswer::real(),
        };
    }
    match roll {
        0..=9 => error(429, "es_rejected_execution_exception"),
        10..=14 => FakeAnswer::html(503),
        15..=22 => FakeAnswer::real().truncated(),
        23..=30 => FakeAnswer::real().reset(),
        31..=33 => FakeAnswer::real().silent(),
        34..=60 => FakeAnswer::real().after(Duration::from_millis(dice.between(5, 900))),
        _ => FakeAnswer::real(),
    }
}

fn of_backup(dice: &mut Dice, blocked: &mut Option<Instant>, request: &FakeRequest) -> FakeAnswer {
    if !request.path.starts_with("/_bulk") {
        return FakeAnswer::real();
    }
    if blocked.is_some_and(|until| Instant::now() < until) {
        return each_item(request, 403, "cluster_block_exception");
    }
    match dice.below(1_000) {
        0..=14 => error(429, "es_rejected_execution_exception"),
        15..=29 => each_item(request, 429, "es_rejected_execution_exception"),
        30..=39 => each_item(request, 503, "unavailable_shards_exception"),
        40..=49 => FakeAnswer::real().truncated(),
        50..=59 => FakeAnswer::real().reset(),
        60..=63 => FakeAnswer::real().silent(),
        64..=66 => {
            *blocked = Some(Instant::now() + BLOCKED);
            each_item(request, 403, "cluster_block_exception")
        }
        67..=90 => FakeAnswer::real().after(Duration::from_millis(dice.between(5, 900))),
        _ => FakeAnswer::real(),
    }
}

fn is_write(request: &FakeRequest) -> bool {
    const WRITES: [&str; 4] = ["/_doc", "/_create", "/_update", "/_bulk"];
    request.method != "GET" && WRITES.iter().any(|part| request.path.contains(part))
}

fn error(status: u16, kind: &str) -> FakeAnswer {
    let cause = json!({"type": kind, "reason": "says a fake"});
    FakeAnswer::json(status, json!({"error": cause, "status": status}).to_string())
}

/// Every item of a bulk is refused, none was carried out.
fn each_item(request: &FakeRequest, status: u16, kind: &str) -> FakeAnswer {
    let body = request.text();
    let mut lines = body.lines();
    let mut items = Vec::new();
    while let Some(line) = lines.next() {
        let Ok(Value::Object(action)) = serde_json::from_str(line) else { continue };
        let Some((name, fields)) = action.into_iter().next() else { continue };
        if name != "delete" {
            lines.next();
        }
        let cause = json!({"type": kind, "reason": "says a fake"});
        let item = json!({"_index": fields["_index"], "_id": fields["_id"], "status": status, "error": cause});
        items.push(json!({ name: item }));
    }
    FakeAnswer::json(200, json!({"took": 1, "errors": true, "items": items}).to_string())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn writes_are_known_and_each_item_is_answered() {
        let request = |method: &str, path: &str, body: &'static str| FakeRequest {
            method: method.into(),
            path: path.into(),
            headers: Vec::new(),
            body: Bytes::from_static(body.as_bytes()),
        };
        assert!(is_write(&request("PUT", "/i/_doc/1", "{}")) && is_write(&request("POST", "/_bulk?x", "")));
        assert!(!is_write(&request("GET", "/i/_doc/1", "")) && !is_write(&request("GET", "/_cluster/state", "")));
        let body = "{\"index\":{\"_index\":\"i\",\"_id\":\"1\"}}\n{\"delete\":{}}\n{\"delete\":{\"_index\":\"i\",\"_id\":\"2\"}}\n";
        let answer = format!("{:?}", each_item(&request("POST", "/_bulk", body), 429, "full"));
        assert_eq!(answer.matches("429").count(), 2, "{answer}");
    }
}
