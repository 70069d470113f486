//! What a stage leaves behind, and who takes it away.
//!
//! A server that has to recover from `kill -9` is the slower the more topics and indices it has, so none is kept
//! without need.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use rdkafka::admin::{AdminClient, AdminOptions};

use super::Stage;

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the stage {} stays for a look, and so does {}", self.prefix, self.folder.display());
            return;
        }
        let own = ["primary", "backup"].iter().filter_map(|part| Some(self.stack.part(part).ok()?.address));
        for address in own.chain(self.clusters.values().cloned()) {
            delete_indices(&address, &self.prefix);
        }
        self.delete_topics();
        // It may hold what a test put there, and nobody needs it any more.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Stage {
    fn delete_topics(&self) {
        let mut topics: Vec<String> = ["intents", "schema", "control"].iter().map(|topic| self.topic(topic)).collect();
        let of_targets = self.targets().flat_map(|target| [format!("target.{target}"), format!("dead.{target}")]);
        topics.extend(of_targets.map(|topic| self.topic(&topic)));
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(3)));
        let delete = || {
            let admin: AdminClient<_> = self.kafka.options("harness").create().ok()?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(admin.delete_topics(&names, &options)).ok()
        };
        // On a thread of its own, because the stage ends within a runtime. Topics may be missing, and nobody minds.
        std::thread::scope(|scope| {
            let _ = scope.spawn(delete).join();
        });
    }
}

/// By name: Elasticsearch 8 refuses to delete by a pattern.
fn delete_indices(address: &str, prefix: &str) {
    let listed = ask(address, "GET", &format!("/_cat/indices/{prefix}-*?h=index&expand_wildcards=all"));
    let names: Vec<&str> = listed.split_whitespace().filter(|word| word.starts_with(prefix)).collect();
    if !names.is_empty() {
        ask(address, "DELETE", &format!("/{}", names.join(",")));
    }
}

/// A request without a runtime, for there may be none where a stage ends. What went wrong does not matter.
fn ask(address: &str, method: &str, path: &str) -> String {
    let exchange = || -> std::io::Result<String> {
        let host = address.trim_start_matches("http://");
        let address = host.parse().map_err(std::io::Error::other)?;
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(1 << 20).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    exchange().unwrap_or_default()
}
