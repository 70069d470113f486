//! Scrolls: each side has a cursor of its own.

use serde_json::json;
use understudy_tests::{Http, Process, Reply, Stage};

use crate::{
    compare::{Verdict, seen},
    sides::Sides,
    table::Table,
};

const AREA: &str = "scrolls";

/// All pages of a scroll on both sides, in both ways of asking for the next, and its end.
pub async fn compare(stage: &Stage, gateway: &Process, table: &mut Table) {
    let sides = Sides::new(stage, gateway, "scrolls");
    for index in [&sides.ours, &sides.theirs] {
        let lines: String = (0..25).map(|n| format!("{{\"index\":{{\"_id\":\"{n}\"}}}}\n{{\"n\":{n}}}\n")).collect();
        sides.direct.post(&format!("/{index}/_bulk?refresh=true"), lines).await.expect(200);
    }
    for by_url in [false, true] {
        let theirs = pages(&sides.direct, &sides.theirs, by_url).await;
        let ours = pages(&sides.through, &sides.ours, by_url).await;
        table.add(
            AREA,
            "pages",
            None,
            if theirs.len() == ours.len() {
                Verdict::Same
            } else {
                Verdict::Unexpected(format!("{} pages directly, {} through the gateway", theirs.len(), ours.len()))
            },
        );
        for (number, (wanted, got)) in theirs.iter().zip(&ours).enumerate() {
            let (wanted, got) = (seen(wanted, &sides.theirs), seen(got, &sides.ours));
            let verdict = if wanted == got {
                Verdict::Same
            } else {
                Verdict::Unexpected(format!("page {number}\n  Elasticsearch\n{wanted}\n  gateway\n{got}"))
            };
            table.add(AREA, "page", None, verdict);
        }
    }
}

async fn pages(http: &Http, index: &str, by_url: bool) -> Vec<Reply> {
    let mut replies = vec![http.post(&format!("/{index}/_search?scroll=1m&size=10"), r#"{"sort":["n"]}"#).await];
    loop {
        let last = replies.last().expect("one at least").json();
        let Some(cursor) = last["_scroll_id"].as_str() else { return replies };
        if last["hits"]["hits"].as_array().is_none_or(Vec::is_empty) {
            let ended = http.request("DELETE", "/_search/scroll").body(json!({"scroll_id": [cursor]}).to_string());
            let ended = ended.reply().await;
            let gone = http.post("/_search/scroll", json!({"scroll": "1m", "scroll_id": cursor}).to_string()).await;
            // The reply of a cursor that is gone names its number.
            assert_eq!(gone.status, 404, "{gone}");
            replies.push(ended);
            return replies;
        }
        replies.push(if by_url {
            http.get(&format!("/_search/scroll?scroll=1m&scroll_id={cursor}")).await
        } else {
            http.post("/_search/scroll", json!({"scroll": "1m", "scroll_id": cursor}).to_string()).await
        });
    }
}
