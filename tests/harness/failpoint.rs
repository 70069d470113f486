//! Stopping a write between the primary's answer and the publish. Only builds with the feature `failpoints` can.

use std::time::Duration;

use crate::{Process, Stage, eventually};

impl Stage {
    /// Sends a write to a gateway, and stops that gateway (SIGSTOP) when the primary has answered and nothing is published
    /// yet. No other write may be under way. The write's own answer is not waited for.
    ///
    /// # Panics
    /// When the write does not come so far.
    pub async fn freeze_after_the_answer(&self, gateway: &Process, path: &str, body: &str) {
        let (wanted, held) = (self.folder().join("answered"), self.folder().join("answered.held"));
        std::fs::write(&wanted, "").expect("the stage's folder can be written");
        let call = self.through(gateway).request("PUT", path).body(body.to_owned());
        // Its answer comes after all patience, or never.
        tokio::spawn(async move { call.send().await });
        eventually(Duration::from_secs(10), "the write is held", async || held.exists()).await;
        gateway.freeze();
        std::fs::remove_file(&wanted).expect("it was made");
        std::fs::remove_file(&held).expect("it was made");
    }
}
