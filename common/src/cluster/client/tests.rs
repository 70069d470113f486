use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    cluster::full,
    tls::{Material, ServerFiles, tests::Folder},
};

/// What a fake node does with each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Refuses,
    BreaksOff,
    BreaksItsAnswer,
    Answers(u16),
    Silent,
}

const ALL: [Manner; 4] = [Manner::Refuses, Manner::BreaksOff, Manner::BreaksItsAnswer, Manner::Answers(503)];
const LONG: Duration = Duration::from_secs(20);

/// Fake nodes, which count the requests that reached them.
struct Fakes {
    got: Vec<Arc<AtomicUsize>>,
    urls: Vec<String>,
    _serving: JoinSet<()>,
}

impl Fakes {
    async fn start(manners: &[Manner]) -> Self {
        let mut fakes = Self { got: Vec::new(), urls: Vec::new(), _serving: JoinSet::new() };
        for manner in manners {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let got = Arc::<AtomicUsize>::default();
            fakes.urls.push(format!("http://{}", listener.local_addr().unwrap()));
            fakes.got.push(got.clone());
            if *manner != Manner::Refuses {
                fakes._serving.spawn(serve(listener, *manner, got));
            }
        }
        fakes
    }

    fn client(&self) -> ClusterClient {
        client(self.urls.clone(), None)
    }

    fn got(&self) -> Vec<usize> {
        self.got.iter().map(|got| got.load(Ordering::SeqCst)).collect()
    }
}

async fn serve(listener: TcpListener, manner: Manner, got: Arc<AtomicUsize>) {
    let mut open = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let got = got.clone();
        open.spawn(async move {
            let mut read = Vec::new();
            while stream.read_buf(&mut read).await.is_ok_and(|bytes| bytes > 0) {
                if !read.ends_with(b"{}") && !read.starts_with(b"HEAD") {
                    continue;
                }
                read.clear();
                got.fetch_add(1, Ordering::SeqCst);
                let answer = match manner {
                    Manner::Refuses | Manner::BreaksOff => return,
                    Manner::BreaksItsAnswer => "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{".to_owned(),
                    Manner::Answers(status) => format!("HTTP/1.1 {status} -\r\ncontent-length: 2\r\n\r\n{{}}"),
                    Manner::Silent => continue,
                };
                stream.write_all(answer.as_bytes()).await.unwrap();
                if manner == Manner::BreaksItsAnswer {
                    return;
                }
            }
        });
    }
}

fn client(urls: Vec<String>, tls: Option<Reloading<ClientFiles>>) -> ClusterClient {
    let config =
        ClusterConfig { urls, tls, credentials: None, index_settings: BTreeMap::new(), allow_untested_version: false };
    ClusterClient::new("c", &config)
}

fn request<B>(body: B) -> Request<B> {
    Request::builder().method(Method::POST).uri("/i/_bulk?x").body(body).unwrap()
}

/// Every three nodes of these manners, and three calls, so that some meet nodes that are out.
#[tokio::test]
async fn a_write_is_never_sent_twice_and_a_question_finds_whoever_answers() {
    for (one, two, three) in
        ALL.iter().flat_map(|a| ALL.iter().flat_map(move |b| ALL.iter().map(move |c| (*a, *b, *c))))
    {
        let manners = [one, two, three];
        let fakes = Fakes::start(&manners).await;
        let (writer, reader) = (fakes.client(), fakes.client());
        for _ in 0..3 {
            let before: usize = fakes.got().iter().sum();
            let answer = writer.exchange(request(full("{}")), LONG).await;
            let sent = fakes.got().iter().sum::<usize>() - before;
            match &answer {
                Err(CallError::NotSent { .. }) => assert_eq!(sent, 0, "{manners:?}"),
                _ => assert_eq!(sent, 1, "{manners:?}: {answer:?}"),
            }
            let all_refuse = manners.iter().all(|manner| *manner == Manner::Refuses);
            assert_eq!(matches!(answer, Err(CallError::NotSent { .. })), all_refuse, "{manners:?}: {answer:?}");

            let before = fakes.got();
            let answer = reader.exchange_safe(request("{}".into()), LONG).await;
            let most = fakes.got().iter().zip(before).map(|(after, before)| after - before).max();
            assert!(most <= Some(1), "{manners:?}: a node was asked twice");
            assert_eq!(answer.is_ok(), manners.contains(&Manner::Answers(503)), "{manners:?}: {answer:?}");
            if let Err(error) = answer {
                assert_eq!(matches!(error, CallError::NotSent { .. }), all_refuse, "{manners:?}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn a_node_that_answers_with_an_error_is_not_out() {
    for status in [401, 403, 429, 500, 502, 503] {
        let fakes = Fakes::start(&[Manner::Answers(status), Manner::Answers(200)]).await;
        let client = fakes.client();
        for _ in 0..5 {
            assert_eq!(client.exchange_safe(request("{}".into()), LONG).await.unwrap().status.as_u16(), status);
        }
        assert_eq!(fakes.got(), [5, 0]);
    }
}

#[tokio::test]
async fn calls_are_counted_until_the_end_of_their_answers() {
    let fakes = Fakes::start(&[Manner::Answers(200), Manner::Answers(201)]).await;
    let client = fakes.client();
    let held = client.send(request(full("{}"))).await.unwrap();
    assert_eq!(client.send(request(full("{}"))).await.unwrap().status(), 201, "the first one is busy");
    drop(held);
    assert_eq!(client.send(request(full("{}"))).await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_said_so_and_asked_for_once() {
    let fakes = Fakes::start(&[Manner::Answers(200), Manner::Answers(200)]).await;
    let answer = fakes.client().ask(Method::POST, "/_mget", Some("{}".into()), LONG, 1).await;
    assert!(matches!(answer, Err(CallError::TooLarge { limit: 1, .. })), "{answer:?}");
    assert_eq!(fakes.got(), [1, 0]);
}

/// A node that stands still keeps its connections: only who asks finds out.
#[tokio::test]
async fn a_question_leaves_a_node_that_is_silent() {
    let fakes = Fakes::start(&[Manner::Silent, Manner::Answers(200)]).await;
    let client = fakes.client();
    let watching = tokio::spawn(client.watch());
    assert_eq!(client.exchange_safe(request("{}".into()), LONG).await.unwrap().status, 200);
    let asked = fakes.got()[0];
    assert_eq!(client.exchange(request(full("{}")), LONG).await.unwrap().status, 200);
    assert_eq!(fakes.got()[1], 2, "the next one goes to the other at once; {asked} were sent to the silent one");
    drop(client);
    tokio::time::timeout(LONG, watching).await.expect("it ends with its client").unwrap();
}

/// A node that asks for certificates; answers each connection once.
async fn serve_tls(files: ServerFiles) -> String {
    let acceptor = TlsAcceptor::from(Arc::new(files.build().unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut read = [0; 4096];
            if stream.read(&mut read).await.is_ok_and(|bytes| bytes > 0) {
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    format!("https://localhost:{}", address.port())
}

#[tokio::test]
async fn certificates_are_checked_shown_and_read_anew() {
    let folder = Folder::new("cluster-tls");
    let ((ca, node), (other_ca, ours)) = (folder.identity("node"), folder.identity("ours"));
    let trusted = folder.0.join("trusted.pem");
    fs::copy(&other_ca, &trusted).unwrap();
    let url = serve_tls(ServerFiles { identity: node, client_ca_file: Some(other_ca) }).await;
    let tls = Reloading::new(ClientFiles { ca_file: Some(trusted.clone()), identity: Some(ours) }).unwrap();
    let client = client(vec![url], Some(tls.clone()));

    let refused = client.call(Method::GET, "/", None, LONG).await.unwrap_err();
    assert!(matches!(refused, CallError::NotSent { .. }), "{refused}");
    assert!(refused.to_string().contains("certificate"), "{refused}");

    fs::copy(&ca, &trusted).unwrap();
    let later = std::time::SystemTime::now() + Duration::from_secs(5);
    fs::File::options().write(true).open(&trusted).unwrap().set_modified(later).unwrap();
    assert_eq!(tls.reload(), Ok(true));
    // The node asks for our certificate, and would have broken off without it.
    assert_eq!(client.call(Method::GET, "/", None, LONG).await.unwrap().status, 200);
}
