//! An HTTP server that misbehaves as a test says, in place of a cluster or in front of one.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::Http;

/// A fake server. It ends when it goes out of scope.
pub struct Fake {
    address: String,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    seen: Mutex<Vec<FakeRequest>>,
    remembers: AtomicBool,
    script: Mutex<Script>,
    behind: Option<Http>,
}

type Script = Box<dyn FnMut(&FakeRequest) -> FakeAnswer + Send>;

/// A request that the fake got.
#[derive(Clone, Debug)]
pub struct FakeRequest {
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers; names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Bytes,
}

/// What it shall answer.
#[derive(Clone, Debug)]
pub struct FakeAnswer {
    content: Content,
    pause: Duration,
    ending: Ending,
}

#[derive(Clone, Debug)]
enum Content {
    /// As the cluster behind says.
    Real,
    Given {
        status: u16,
        content_type: String,
        body: Bytes,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Whole,
    Truncated,
    Reset,
    Silent,
}

/// The largest body that is read.
const MAX_BODY: usize = 128 << 20;

impl FakeRequest {
    /// A header's text, empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(has, _)| has == name).map_or("", |(_, value)| value)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl FakeAnswer {
    /// What the cluster behind the fake answers.
    #[must_use]
    pub fn real() -> Self {
        Self { content: Content::Real, pause: Duration::ZERO, ending: Ending::Whole }
    }

    /// JSON with a status.
    #[must_use]
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self::given(status, "application/json; charset=UTF-8", body.into())
    }

    /// A page as some proxy shows.
    #[must_use]
    pub fn html(status: u16) -> Self {
        let body = format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\n");
        Self::given(status, "text/html", body.into())
    }

    fn given(status: u16, content_type: &str, body: Bytes) -> Self {
        let content = Content::Given { status, content_type: content_type.to_owned(), body };
        Self { content, pause: Duration::ZERO, ending: Ending::Whole }
    }

    /// Waits before it answers. A real answer was fetched before: the cluster has done what was asked.
    #[must_use]
    pub fn after(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Breaks off in the middle of the body. The cluster behind has done what was asked.
    #[must_use]
    pub fn truncated(mut self) -> Self {
        self.ending = Ending::Truncated;
        self
    }

    /// Resets the connection instead of an answer. The cluster behind has done what was asked.
    #[must_use]
    pub fn reset(mut self) -> Self {
        self.ending = Ending::Reset;
        self
    }

    /// Never answers, and keeps the connection open. The cluster behind has done what was asked.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.ending = Ending::Silent;
        self
    }
}

impl Fake {
    /// A fake alone: every answer is the script's.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(script: impl FnMut(&FakeRequest) -> FakeAnswer + Send + 'static) -> Self {
        Self::serve(None, Box::new(script)).await
    }

    /// A fake in front of a cluster, for scripts that say [`FakeAnswer::real`] to most.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn before(cluster: Http, script: impl FnMut(&FakeRequest) -> FakeAnswer + Send + 'static) -> Self {
        Self::serve(Some(cluster), Box::new(script)).await
    }

    async fn serve(behind: Option<Http>, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("it is bound"));
        let shared =
            Arc::new(Shared { seen: Mutex::default(), remembers: true.into(), script: Mutex::new(script), behind });
        let serving = tokio::spawn({
            let shared = shared.clone();
            async move {
                // Connections end with the fake.
                let mut connections = tokio::task::JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    while connections.try_join_next().is_some() {}
                    let shared = shared.clone();
                    connections.spawn(async move { converse(stream, &shared).await });
                }
            }
        });
        Self { address, shared, serving }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Everything that it was asked so far.
    ///
    /// # Panics
    /// When a script panicked.
    #[must_use]
    pub fn requests(&self) -> Vec<FakeRequest> {
        self.shared.seen.lock().expect("no script panicked").clone()
    }

    /// Keeps nothing of what it is asked: for long runs.
    #[must_use]
    pub fn without_memory(self) -> Self {
        self.shared.remembers.store(false, Ordering::Relaxed);
        self
    }

    /// Replaces the script.
    ///
    /// # Panics
    /// When a script panicked.
    pub fn now(&self, script: impl FnMut(&FakeRequest) -> FakeAnswer + Send + 'static) {
        *self.shared.script.lock().expect("no script panicked") = Box::new(script);
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Serves one connection, request by request.
async fn converse(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream).await? {
        if shared.remembers.load(Ordering::Relaxed) {
            shared.seen.lock().expect("no test panics here").push(request.clone());
        }
        let answer = (shared.script.lock().expect("no script panicked"))(&request);
        let (status, content_type, body) = match answer.content {
            Content::Given { status, content_type, body } => (status, content_type, body),
            Content::Real => ask_behind(shared, &request).await,
        };
        tokio::time::sleep(answer.pause).await;
        match answer.ending {
            Ending::Silent => std::future::pending().await,
            Ending::Reset => return stream.get_ref().set_zero_linger(),
            Ending::Whole | Ending::Truncated => {}
        }
        let head = format!(
            "HTTP/1.1 {status} Fake\r\nContent-Type: {content_type}\r\nX-elastic-product: Elasticsearch\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        if answer.ending == Ending::Truncated {
            stream.write_all(&body[..body.len() / 2]).await?;
            return stream.shutdown().await;
        }
        if request.method != "HEAD" {
            stream.write_all(&body).await?;
        }
        stream.flush().await?;
    }
    Ok(())
}

async fn ask_behind(shared: &Shared, request: &FakeRequest) -> (u16, String, Bytes) {
    let bad_gateway = |reason: String| (502, "text/plain".to_owned(), Bytes::from(reason));
    let Some(cluster) = &shared.behind else {
        return bad_gateway("no cluster stands behind this fake".to_owned());
    };
    let mut call = cluster.request(&request.method, &request.path);
    for (name, value) in &request.headers {
        if !["host", "content-length", "transfer-encoding", "connection", "expect"].contains(&name.as_str()) {
            call = call.header(name, value);
        }
    }
    if !request.body.is_empty() {
        call = call.body(request.body.clone());
    }
    match call.send().await {
        Ok(reply) => (reply.status, reply.header("content-type").to_owned(), reply.body),
        Err(error) => bad_gateway(error),
    }
}

/// `None` at the end of the connection.
async fn read_request(stream: &mut BufReader<TcpStream>) -> io::Result<Option<FakeRequest>> {
    let mut first = String::new();
    if stream.read_line(&mut first).await? == 0 {
        return Ok(None);
    }
    let mut words = first.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = FakeRequest { method: method.to_owned(), path: path.to_owned(), headers, body: Bytes::new() };
    request.body = if request.header("transfer-encoding").eq_ignore_ascii_case("chunked") {
        read_chunks(stream).await?
    } else {
        let length: usize = request.header("content-length").parse().unwrap_or(0);
        read_exactly(stream, length).await?.into()
    };
    Ok(Some(request))
}

async fn read_chunks(stream: &mut BufReader<TcpStream>) -> io::Result<Bytes> {
    let mut body = Vec::new();
    loop {
        let mut size = String::new();
        stream.read_line(&mut size).await?;
        let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        let chunk = read_exactly(stream, size).await?;
        // The line break behind a chunk; behind the last one it ends the body.
        stream.read_line(&mut String::new()).await?;
        if size == 0 {
            return Ok(body.into());
        }
        body.extend(chunk);
        if body.len() > MAX_BODY {
            return Err(io::Error::other("the body is too large"));
        }
    }
}

async fn read_exactly(stream: &mut BufReader<TcpStream>, length: usize) -> io::Result<Vec<u8>> {
    if length > MAX_BODY {
        return Err(io::Error::other("the body is too large"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RawConnection;

    #[tokio::test]
    async fn answers_as_its_script_says() {
        let fake = Fake::start(|request| match request.path.as_str() {
            "/half" => FakeAnswer::json(200, r#"{"errors": false, "items": []}"#).truncated(),
            "/reset" => FakeAnswer::json(200, "{}").reset(),
            "/silent" => FakeAnswer::json(200, "{}").silent(),
            "/page" => FakeAnswer::html(502),
            _ => FakeAnswer::json(201, request.body.clone()),
        })
        .await;
        let http = Http::new(fake.address());
        assert_eq!(http.post("/echo", "some text").await.expect(201).text(), "some text");
        assert!(http.get("/page").await.expect(502).text().contains("<html>"));
        assert!(http.request("GET", "/half").send().await.unwrap_err().contains("broke off"));
        assert!(http.request("GET", "/reset").send().await.is_err());
        let silent = http.request("GET", "/silent").within(Duration::from_millis(100)).send().await;
        assert!(silent.unwrap_err().contains("no answer within"));
        assert_eq!(fake.requests().len(), 5);
        fake.now(|_| FakeAnswer::json(418, "{}"));
        http.get("/page").await.expect(418);
    }

    #[tokio::test]
    async fn reads_chunks_and_stands_before_a_cluster() {
        let cluster =
            Fake::start(|request| FakeAnswer::json(200, format!("{} {}", request.path, request.text()))).await;
        let fake = Fake::before(Http::new(cluster.address()), |_| FakeAnswer::real()).await;
        let mut connection = RawConnection::open(fake.address()).await;
        let request =
            "POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        connection.send(request).await.unwrap();
        let read = connection.read_until(Duration::from_secs(5), |read| read.ends_with(b"abcde")).await;
        assert!(String::from_utf8_lossy(&read).ends_with("/x abcde"));
        assert_eq!(cluster.requests()[0].text(), "abcde");
    }
}
