//! A null cluster: it takes every bulk at once and keeps nothing. What else it is asked, the real cluster behind it is asked
//! once. So what a gateway or a consumer itself needs can be measured: nobody else takes time.

use std::{
    collections::HashMap,
    fmt::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, body::Incoming, header, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, task::JoinHandle};
use understudy_tests::Http;

/// The server. It ends when it goes out of scope.
pub struct NullCluster {
    address: String,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    behind: Http,
    known: Mutex<HashMap<String, Answer>>,
    seq_no: AtomicU64,
    documents: AtomicU64,
}

#[derive(Clone)]
struct Answer {
    status: u16,
    content_type: String,
    body: Bytes,
}

impl NullCluster {
    /// In front of a real one.
    pub async fn before(behind: Http) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("it is bound"));
        let shared = Arc::new(Shared {
            behind,
            known: Mutex::default(),
            seq_no: AtomicU64::new(0),
            documents: AtomicU64::new(0),
        });
        let serving = tokio::spawn(serve(listener, shared.clone()));
        Self { address, shared, serving }
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// How many documents it took.
    pub fn documents(&self) -> u64 {
        self.shared.documents.load(Ordering::Relaxed)
    }
}

impl Drop for NullCluster {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(shared.clone(), request));
            // Whoever measures sees what was not answered.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let answer = match head.uri.path().strip_suffix("/_bulk") {
        Some(index) => shared.bulk(index.trim_start_matches('/'), &body),
        None => shared.ask(&head.method, &path, body).await,
    };
    let response = Response::builder()
        .status(answer.status)
        .header(header::CONTENT_TYPE, answer.content_type)
        .body(Full::new(answer.body))
        .expect("a response");
    Ok(response)
}

impl Shared {
    async fn ask(&self, method: &Method, path: &str, body: Bytes) -> Answer {
        let asks = method == Method::GET || method == Method::HEAD;
        let key = format!("{method} {path}");
        if asks && let Some(answer) = self.known.lock().expect("nobody panics").get(&key) {
            return answer.clone();
        }
        let mut call = self.behind.request(method.as_str(), path);
        if !body.is_empty() {
            call = call.body(body);
        }
        let reply = call.send().await;
        let answer = match reply {
            Ok(reply) => Answer {
                status: reply.status,
                content_type: reply.header("content-type").to_owned(),
                body: reply.body.clone(),
            },
            Err(error) => Answer { status: 502, content_type: "text/plain".to_owned(), body: error.into() },
        };
        let mut known = self.known.lock().expect("nobody panics");
        if asks {
            known.insert(key, answer.clone());
        } else {
            // It may have changed everything.
            known.clear();
        }
        answer
    }

    /// Every item is done: `create`, or `delete` of what was there.
    fn bulk(&self, index: &str, body: &[u8]) -> Answer {
        let mut text = String::with_capacity(body.len() / 8 + 64);
        text.push_str("{\"took\":1,\"errors\":false,\"items\":[");
        let mut count = 0;
        let mut lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        while let Some(action) = lines.next() {
            let deletes = action.starts_with(b"{\"delete\"");
            if !deletes {
                lines.next();
            }
            let id = text_of(action, b"\"_id\":\"").unwrap_or("");
            let index = text_of(action, b"\"_index\":\"").unwrap_or(index);
            let (word, result, status) = if deletes { ("delete", "deleted", 200) } else { ("index", "created", 201) };
            let comma = if count > 0 { "," } else { "" };
            let seq_no = self.seq_no.fetch_add(1, Ordering::Relaxed);
            let _ = write!(
                text,
                "{comma}{{\"{word}\":{{\"_index\":\"{index}\",\"_type\":\"_doc\",\"_id\":\"{id}\",\"_version\":1,\"result\":\"{result}\",\"_shards\":{{\"total\":1,\"successful\":1,\"failed\":0}},\"_seq_no\":{seq_no},\"_primary_term\":1,\"status\":{status}}}}}"
            );
            count += 1;
        }
        text.push_str("]}");
        self.documents.fetch_add(count, Ordering::Relaxed);
        Answer { status: 200, content_type: "application/json; charset=UTF-8".to_owned(), body: text.into() }
    }
}

/// The text behind a name, up to its quote: ids of a benchmark need no escapes.
fn text_of<'a>(action: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let at = action.windows(name.len()).position(|window| window == name)? + name.len();
    let end = action[at..].iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&action[at..at + end]).ok()
}
