//! Writers at work while something dies, and what became of their writes.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use understudy_tests::{Http, Reply, eventually};

/// Tasks that send bulks of `index` and `delete` on the same few documents until they are ended.
pub struct Writers {
    written: Arc<Mutex<Written>>,
    end: CancellationToken,
    tasks: JoinSet<()>,
}

/// What became of the writes.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Writes of documents that were acknowledged.
    pub acknowledged: usize,
    /// Requests that were refused as a whole.
    pub refused: usize,
    /// Requests that left a document in doubt.
    pub doubtful: usize,
    /// Documents that were in doubt at some time.
    pub in_doubt: BTreeSet<String>,
}

const WRITERS: usize = 3;
const DOCUMENTS: usize = 200;
const BULK: usize = 10;
/// Longer than a gateway takes for any answer.
const PATIENCE: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(60);

impl Writers {
    /// Starts them.
    pub fn start(through: &Http, index: &str) -> Self {
        let (written, end) = (Arc::<Mutex<Written>>::default(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        for writer in 0..WRITERS {
            let (through, index) = (through.clone(), index.to_owned());
            let (written, end) = (written.clone(), end.clone());
            tasks.spawn(async move {
                for round in (writer..).step_by(WRITERS) {
                    if end.is_cancelled() {
                        return;
                    }
                    write(&through, &index, round, &written).await;
                }
            });
        }
        Self { written, end, tasks }
    }

    /// What became of the writes so far.
    pub fn written(&self) -> Written {
        self.written.lock().expect("no writer panics").clone()
    }

    /// Waits until this many more writes are acknowledged.
    pub async fn more(&self, acknowledged: usize) {
        let goal = self.written().acknowledged + acknowledged;
        eventually(SOON, "more writes are acknowledged", async || {
            let written = self.written();
            if written.acknowledged >= goal { Ok(()) } else { Err(format!("{written:?}")) }
        })
        .await;
    }

    /// Waits for the last answers.
    pub async fn end(mut self) -> Written {
        self.end.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no writer panics");
        }
        self.written()
    }
}

/// One bulk. Which documents meet in it changes from round to round.
async fn write(through: &Http, index: &str, round: usize, written: &Mutex<Written>) {
    let ids: Vec<String> = (0..BULK).map(|place| ((round * 7 + place * 13) % DOCUMENTS).to_string()).collect();
    let mut body = String::new();
    for (place, id) in ids.iter().enumerate() {
        if (round + place) % 4 == 3 {
            body.push_str(&format!("{{\"delete\":{{\"_id\":\"{id}\"}}}}\n"));
        } else {
            body.push_str(&format!("{{\"index\":{{\"_id\":\"{id}\"}}}}\n{}\n", json!({"round": round})));
        }
    }
    let reply = through.request("POST", &format!("/{index}/_bulk")).body(body).within(PATIENCE).send().await;
    let mut written = written.lock().expect("no writer panics");
    match reply {
        Ok(reply) if reply.status == 200 => {
            let doubted = doubted(&reply, &ids);
            written.acknowledged += ids.len() - doubted.len();
            written.doubtful += usize::from(!doubted.is_empty());
            written.in_doubt.extend(doubted);
        }
        // Refused before anything was written.
        Ok(reply) if [429, 503].contains(&reply.status) => written.refused += 1,
        _ => {
            written.doubtful += 1;
            written.in_doubt.extend(ids);
        }
    }
}

/// The documents of a bulk whose items were answered with an error: a copy may have them.
fn doubted(reply: &Reply, ids: &[String]) -> Vec<String> {
    let answer = reply.json();
    let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert_eq!(items.len(), ids.len(), "{reply}");
    let status = |item: &Value| {
        let result = item.as_object().and_then(|item| item.values().next());
        result.and_then(|result| result["status"].as_u64()).unwrap_or_default()
    };
    let done = |item: &Value| matches!(status(item), 200 | 201 | 404);
    items.iter().zip(ids).filter(|(item, _)| !done(item)).map(|(_, id)| id.clone()).collect()
}
