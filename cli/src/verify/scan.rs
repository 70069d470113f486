//! Every document of an index, page by page: a scroll in the order of the disk, which every version since 6 has.
//!
//! Pages hold ids alone. A scroll cannot change the size of its pages, so pages with sources would be unbounded as soon
//! as large documents follow small ones.

use std::sync::Arc;

use hyper::Method;
use serde::Deserialize;
use understudy_common::cluster::path_part;

use super::{
    compare::DocumentKey,
    side::{Failure, Side, excerpt},
};

/// Ids in a page.
const PAGE: usize = 1000;

/// A scroll that is open.
pub struct Scan<'a> {
    side: &'a Side,
    index: Arc<str>,
    keep_alive: String,
    id: String,
}

/// Documents of an index.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// Their names; empty at the end.
    pub keys: Vec<DocumentKey>,
    /// How many the whole scan will find.
    pub total: u64,
}

/// How many shards answered.
#[derive(Deserialize)]
pub struct Shards {
    failed: u32,
    #[serde(default)]
    failures: Vec<serde_json::Value>,
}

impl Shards {
    /// An answer without some shards is no answer.
    pub fn check(&self) -> Result<(), String> {
        match (self.failed, self.failures.first()) {
            (0, _) => Ok(()),
            (failed, None) => Err(format!("{failed} shards failed")),
            (failed, Some(first)) => Err(format!("{failed} shards failed: {}", excerpt(first.to_string().as_bytes()))),
        }
    }
}

impl<'a> Scan<'a> {
    /// Opens a scroll over an index that is kept for `keep_seconds` between two pages.
    pub async fn open(side: &'a Side, index: &Arc<str>, keep_seconds: u64) -> Result<(Self, Page), Failure> {
        let path = format!(
            "/{}/_search?scroll={keep_seconds}s&allow_partial_search_results=false&rest_total_hits_as_int=true",
            path_part(index)
        );
        let body = format!(r#"{{"size":{PAGE},"sort":["_doc"],"_source":false}}"#);
        let mut scan = Self { side, index: index.clone(), keep_alive: format!("{keep_seconds}s"), id: String::new() };
        let page = scan.page(&path, body).await?;
        Ok((scan, page))
    }

    /// The next page.
    pub async fn next(&mut self) -> Result<Page, Failure> {
        let body = serde_json::json!({ "scroll": self.keep_alive, "scroll_id": self.id }).to_string();
        self.page("/_search/scroll?rest_total_hits_as_int=true", body).await
    }

    async fn page(&mut self, path: &str, body: String) -> Result<Page, Failure> {
        let answer = self.side.call_index(&self.index, Method::POST, path, Some(body.into())).await?;
        let (id, page) = read_page(&answer.body, &self.index)
            .map_err(|error| self.side.index_failure(&self.index, format!("scan: {error}")))?;
        self.id.clone_from(&id);
        self.side.note_scroll(Some(id));
        page.map_err(|error| self.side.index_failure(&self.index, format!("scan: {error}")))
    }
}

/// The scroll's id, which must be closed even when the page is no good, and the page.
fn read_page(body: &[u8], index: &Arc<str>) -> Result<(String, Result<Page, String>), String> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "_scroll_id")]
        scroll_id: String,
        timed_out: bool,
        #[serde(rename = "_shards")]
        shards: Shards,
        hits: Hits,
    }
    #[derive(Deserialize)]
    struct Hits {
        total: u64,
        hits: Vec<Hit>,
    }
    #[derive(Deserialize)]
    struct Hit {
        #[serde(rename = "_id")]
        id: String,
        #[serde(rename = "_routing")]
        routing: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|error| format!("{error} in {}", excerpt(body)))?;
    let page = if answer.timed_out {
        Err("the server ran out of time".to_owned())
    } else {
        answer.shards.check().map(|()| Page {
            keys: answer
                .hits
                .hits
                .into_iter()
                .map(|hit| DocumentKey { index: index.clone(), id: hit.id, routing: hit.routing })
                .collect(),
            total: answer.hits.total,
        })
    };
    Ok((answer.scroll_id, page))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(timed_out: bool, failed: u32) -> Result<Page, String> {
        let body = format!(
            r#"{{"_scroll_id":"s","timed_out":{timed_out},"_shards":{{"total":2,"failed":{failed}}},
               "hits":{{"total":7,"hits":[{{"_index":"i","_id":"1"}},{{"_id":"1","_routing":"r"}}]}}}}"#
        );
        let (id, page) = read_page(body.as_bytes(), &Arc::from("i")).unwrap();
        assert_eq!(id, "s");
        page
    }

    #[test]
    fn a_page_without_some_shards_is_none() {
        let page = read(false, 0).unwrap();
        assert_eq!((page.total, page.keys.len()), (7, 2));
        assert_eq!(page.keys[1].routing.as_deref(), Some("r"));
        assert_eq!(read(false, 1), Err("1 shards failed".to_owned()));
        assert!(read(true, 0).is_err());
        assert!(read_page(b"<html>", &Arc::from("i")).unwrap_err().contains("<html>"));
    }
}
