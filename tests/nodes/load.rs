//! Writers and readers at work while nodes are restarted, and what became of every call.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use understudy_tests::{Http, eventually};

/// What became of the calls.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// Marks that were acknowledged: documents without an id of the client's.
    pub marks: Vec<String>,
    /// Marks whose outcome nobody knows.
    pub doubtful_marks: Vec<String>,
    /// By writer, how many additions to its counter were acknowledged, and of how many nobody knows.
    pub additions: [(u64, u64); WRITERS],
    /// Writes that were refused before anything was written.
    pub refused: usize,
    /// Reads that were answered.
    pub reads: usize,
    /// Reads that were not, with what came instead.
    pub failed_reads: Vec<String>,
}

/// Writers and readers, until they are ended.
pub struct Load {
    done: Arc<Mutex<Done>>,
    end: CancellationToken,
    tasks: JoinSet<()>,
}

pub const WRITERS: usize = 3;
const READERS: usize = 3;
/// Longer than a gateway takes for any answer.
const PATIENCE: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(90);

enum Outcome {
    Acknowledged,
    Refused,
    Unknown,
}

impl Load {
    /// Starts them. The index has a document `seed`.
    pub fn start(through: &Http, index: &str) -> Self {
        let (done, end) = (Arc::<Mutex<Done>>::default(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        for task in 0..WRITERS + READERS {
            let (through, index, done, end) = (through.clone(), index.to_owned(), done.clone(), end.clone());
            tasks.spawn(async move {
                for round in 0.. {
                    if end.is_cancelled() {
                        return;
                    }
                    match task.checked_sub(WRITERS) {
                        None => write(&through, &index, task, round, &done).await,
                        Some(reader) => read(&through, &index, reader + round, &done).await,
                    }
                }
            });
        }
        Self { done, end, tasks }
    }

    /// Waits until so many more marks are acknowledged, and as many reads are answered.
    pub async fn more(&self, calls: usize) {
        let goal = self.done();
        eventually(SOON, "calls are answered", async || {
            let done = self.done();
            let met = done.marks.len() >= goal.marks.len() + calls && done.reads >= goal.reads + calls;
            if met { Ok(()) } else { Err(format!("{} marks, {} reads", done.marks.len(), done.reads)) }
        })
        .await;
    }

    /// Waits for the last answers.
    pub async fn end(mut self) -> Done {
        self.end.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("nobody panics");
        }
        self.done()
    }

    fn done(&self) -> Done {
        self.done.lock().expect("nobody panics").clone()
    }
}

async fn write(through: &Http, index: &str, writer: usize, round: usize, done: &Mutex<Done>) {
    let mark = format!("{writer}-{round}");
    let document = json!({"mark": mark}).to_string();
    let marked = post(through, &format!("/{index}/_doc"), document).await;
    let add = json!({
        "script": {"source": "ctx._source.count += 1", "lang": "painless"},
        "upsert": {"count": 1},
    });
    let added = post(through, &format!("/{index}/_update/counter-{writer}"), add.to_string()).await;
    let mut done = done.lock().expect("nobody panics");
    match marked {
        Outcome::Acknowledged => done.marks.push(mark),
        Outcome::Refused => done.refused += 1,
        Outcome::Unknown => done.doubtful_marks.push(mark),
    }
    match added {
        Outcome::Acknowledged => done.additions[writer].0 += 1,
        Outcome::Refused => done.refused += 1,
        Outcome::Unknown => done.additions[writer].1 += 1,
    }
}

/// One write, which is never repeated.
async fn post(through: &Http, path: &str, body: String) -> Outcome {
    match through.request("POST", path).body(body).within(PATIENCE).send().await {
        Ok(reply) if matches!(reply.status, 200 | 201) => Outcome::Acknowledged,
        // Of the gateway's own: nothing was written.
        Ok(reply)
            if ["primary_unavailable_exception", "replication_unavailable_exception"]
                .contains(&&*reply.error_type()) =>
        {
            Outcome::Refused
        }
        Ok(reply) => {
            eprintln!("in doubt: {reply}");
            Outcome::Unknown
        }
        Err(error) => {
            eprintln!("in doubt: {error}");
            Outcome::Unknown
        }
    }
}

async fn read(through: &Http, index: &str, kind: usize, done: &Mutex<Done>) {
    let (method, path, body) = match kind % 5 {
        0 => ("GET", format!("/{index}/_doc/seed"), None),
        1 => ("POST", format!("/{index}/_search"), Some(json!({"query": {"match_all": {}}, "size": 3}))),
        2 => ("POST", "/_mget".to_owned(), Some(json!({"docs": [{"_index": index, "_id": "seed"}]}))),
        3 => ("GET", format!("/{index}/_count"), None),
        _ => ("HEAD", format!("/{index}/_doc/seed"), None),
    };
    let mut call = through.request(method, &path).within(PATIENCE);
    if let Some(body) = body {
        call = call.body(body.to_string());
    }
    let reply = call.send().await;
    let mut done = done.lock().expect("nobody panics");
    match reply {
        Ok(reply) if reply.status == 200 => done.reads += 1,
        Ok(reply) => done.failed_reads.push(reply.to_string()),
        Err(error) => done.failed_reads.push(error),
    }
}
