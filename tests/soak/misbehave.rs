//! Clients that misbehave, a few at a time.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use understudy_tests::RawConnection;

/// How many misbehave at once.
const AT_ONCE: usize = 40;
/// How often another one comes.
const EVERY: Duration = Duration::from_millis(40);
/// How long those that hold on to a connection do so.
const HOLDS: Duration = Duration::from_secs(3);

/// What they do.
#[derive(Clone, Copy, Debug)]
enum Manner {
    SaysNothing,
    HalfAHead,
    HalfABody,
    Garbage,
    LargeHead,
    TwoLengths,
    PipelinesAndLeaves,
    ReadsNothing,
    WaitsForContinue,
    LeavesBeforeTheAnswer,
    EndsItsSide,
}

const MANNERS: [Manner; 11] = [
    Manner::SaysNothing,
    Manner::HalfAHead,
    Manner::HalfABody,
    Manner::Garbage,
    Manner::LargeHead,
    Manner::TwoLengths,
    Manner::PipelinesAndLeaves,
    Manner::ReadsNothing,
    Manner::WaitsForContinue,
    Manner::LeavesBeforeTheAnswer,
    Manner::EndsItsSide,
];

/// Misbehaves until `stop`; answers how many connections did.
pub async fn misbehave(address: String, index: String, stop: CancellationToken) -> u64 {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut pace = tokio::time::interval(EVERY);
    let mut tasks = JoinSet::new();
    let mut count = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = pace.tick() => {}
        }
        while tasks.try_join_next().is_some() {}
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (address, index, manner) = (address.clone(), index.clone(), MANNERS[count as usize % MANNERS.len()]);
        count += 1;
        tasks.spawn(async move {
            one(&address, &index, manner).await;
            drop(place);
        });
    }
    tasks.join_all().await;
    count
}

/// What the gateway says to it is not looked at: whether others suffer is.
async fn one(address: &str, index: &str, manner: Manner) {
    let mut connection = RawConnection::open(address).await;
    let hold = async |connection: &mut RawConnection| {
        connection.read_until(HOLDS, |_| false).await;
    };
    let body = "{\"index\":{\"_id\":\"misbehaves\"}}\n{\"n\":1}\n";
    let head = |path: &str, length: usize, more: &str| {
        format!(
            "POST /{index}/{path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ncontent-length: {length}\r\n{more}\r\n"
        )
    };
    // A gateway may close in the middle of anything.
    let _ = match manner {
        Manner::SaysNothing => {
            hold(&mut connection).await;
            Ok(())
        }
        Manner::HalfAHead => {
            let sent = connection.send("POST /_bulk HTTP/1.1\r\nhost: ").await;
            hold(&mut connection).await;
            sent
        }
        Manner::HalfABody => {
            let sent = connection.send(head("_bulk", 1_000_000, "") + body).await;
            hold(&mut connection).await;
            connection.reset();
            sent
        }
        Manner::Garbage => connection.send([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0xff, b'\n', b'\r']).await,
        Manner::LargeHead => {
            let sent =
                connection.send(format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(1 << 20))).await;
            connection.read_head(HOLDS).await;
            sent
        }
        Manner::TwoLengths => {
            let sent = connection.send(head("_bulk", body.len(), "content-length: 7\r\n") + body).await;
            connection.read_head(HOLDS).await;
            sent
        }
        Manner::PipelinesAndLeaves => {
            let sent = connection.send(format!("GET /{index}/_count HTTP/1.1\r\nhost: x\r\n\r\n").repeat(5)).await;
            connection.read_head(HOLDS).await;
            sent
        }
        Manner::ReadsNothing => {
            let search = format!("GET /{index}/_search?size=5000 HTTP/1.1\r\nhost: x\r\n\r\n");
            let sent = connection.send(search).await;
            tokio::time::sleep(HOLDS).await;
            sent
        }
        Manner::WaitsForContinue => {
            let sent = connection.send(head("_bulk", body.len(), "expect: 100-continue\r\n")).await;
            connection.read_head(HOLDS).await;
            sent
        }
        Manner::LeavesBeforeTheAnswer => {
            let sent = connection.send(head("_bulk", body.len(), "") + body).await;
            connection.reset();
            sent
        }
        Manner::EndsItsSide => {
            let sent = connection.send(head("_bulk", body.len(), "") + body).await;
            let _ = connection.end().await;
            hold(&mut connection).await;
            sent
        }
    };
}
