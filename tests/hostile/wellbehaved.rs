//! A client that does nothing wrong while others do, and what must be left of them in the end.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use understudy_tests::{Http, Process, eventually};

/// A client that writes and reads all the time, and gets what it asks for.
pub struct WellBehaved {
    stop: CancellationToken,
    task: JoinHandle<Result<u32, String>>,
}

impl WellBehaved {
    /// Begins to write to `index` through `gateway`.
    pub async fn start(gateway: &Process, index: &str) -> Self {
        let (http, index, stop) = (Http::new(gateway.address()), index.to_owned(), CancellationToken::new());
        // A mapping that must grow waits for the master, which has other things to do here.
        http.put(&format!("/{index}"), "{\"mappings\":{\"dynamic\":false}}").await.expect(200);
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut done = 0;
            while !stopped.is_cancelled() {
                let path = format!("/{index}/_doc/well-{}", done % 20);
                for (method, body) in [("PUT", Some("{\"n\":1}")), ("GET", None)] {
                    let mut call = http.request(method, &path).within(Duration::from_secs(10));
                    if let Some(body) = body {
                        call = call.body(body);
                    }
                    let reply = call.send().await?;
                    if !(200..300).contains(&reply.status) {
                        return Err(reply.to_string());
                    }
                }
                done += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(done)
        });
        Self { stop, task }
    }

    /// Ends it: every one of its requests must have been answered as if it were alone.
    pub async fn end(self) {
        self.stop.cancel();
        let done =
            self.task.await.expect("it does not panic").unwrap_or_else(|error| panic!("others were hurt: {error}"));
        assert!(done > 0, "it came to do nothing");
    }
}

/// When all clients are gone, nothing is left of them.
pub async fn nothing_leaks(gateway: &Process) {
    let clean = async || {
        let metrics = gateway.metrics().await;
        let left: Vec<String> =
            ["understudy_connections", "understudy_requests_in_flight", "understudy_bytes_in_flight"]
                .into_iter()
                .map(|name| (name, metrics.sum(name, &[])))
                .filter(|(_, value)| *value != 0.0)
                .map(|(name, value)| format!("{name} {value}"))
                .collect();
        if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
    };
    eventually(Duration::from_secs(20), "nothing is left of its clients", clean).await;
}
