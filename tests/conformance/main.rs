//! Is a gateway what it stands before? The same requests to Elasticsearch and to the gateway; replies byte for byte.
//!
//! ```text
//! requests/*.http ─► request ─► sides ─► compare ─► table
//! ```
//!
//! ```sh
//! tests/run --test conformance        # a short form
//! make conformance                    # CONFORMANCE=full: more connections, and the official clients
//! ```

mod clients;
mod compare;
mod connections;
mod request;
mod scroll;
mod sides;
mod table;

use understudy_tests::Stage;

use crate::{
    compare::{Verdict, compare, compare_known},
    request::How,
    sides::Sides,
    table::Table,
};

/// Each area has indices of its own; the flag says whether they are there from the beginning.
const AREAS: [(&str, bool, &str); 7] = [
    ("documents", true, include_str!("requests/documents.http")),
    ("updates", true, include_str!("requests/updates.http")),
    ("bulks", true, include_str!("requests/bulks.http")),
    ("new indices", false, include_str!("requests/new.http")),
    ("reads", true, include_str!("requests/reads.http")),
    ("formats", true, include_str!("requests/formats.http")),
    ("administration", true, include_str!("requests/administration.http")),
];

fn full() -> bool {
    std::env::var("CONFORMANCE").is_ok_and(|form| form == "full")
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_through_the_gateway_are_those_of_elasticsearch() {
    let stage = Stage::new("conformance").set("log.level", "info");
    let (gateway, _consumer) = (stage.gateway().await, stage.consumer().await);
    pipelines(&stage).await;
    let mut table = Table::default();
    for (area, made, text) in AREAS {
        let sides = Sides::new(&stage, &gateway, &area.replace(' ', "-"));
        if made {
            sides.create().await;
        }
        // From the first surprise on the histories of both sides may differ, and with them numbers.
        let mut alike = true;
        for request in request::requests(text) {
            let known = request.known.as_ref();
            let verdict = if known.is_some_and(|known| known.how == How::Alone) {
                compare_known(&sides, &request, None, &sides.ask_gateway(&request).await)
            } else {
                let (wanted, got) = sides.ask(&request).await;
                match known {
                    Some(_) => compare_known(&sides, &request, Some(&wanted), &got),
                    None => compare(&sides, &request, &wanted, &got, alike),
                }
            };
            alike &= !matches!(verdict, Verdict::Unexpected(_));
            table.add(area, &format!("{} {}", request.method, request.path), known, verdict);
        }
    }
    scroll::compare(&stage, &gateway, &mut table).await;
    connections::compare(&stage, &gateway, &mut table).await;
    clients::compare(&stage, &gateway, &mut table).await;
    stage.wait_settled().await;
    println!("{table}");
    assert_eq!(table.unexpected(), 0, "replies differ: see above");
}

/// A pipeline that changes documents, and one that refuses them.
async fn pipelines(stage: &Stage) {
    let set = r#"{"processors":[{"set":{"field":"k","value":"set"}}]}"#;
    let fail = r#"{"processors":[{"fail":{"message":"no"}}]}"#;
    for (name, body) in [("conformance-set", set), ("conformance-fail", fail)] {
        stage.primary().put(&format!("/_ingest/pipeline/{name}"), body).await.expect(200);
    }
}
