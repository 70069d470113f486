//! Applications that write all kinds of things to the same few documents, over both gateways at once.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::Instant};
use understudy_tests::{Http, Process, Stage};

use crate::{
    dice::Dice,
    kinds::{self, Kind},
    ledger::{Answered, Entry, Ledger, Outcome, Sent, now},
    operation::Request,
    outcome,
    world::World,
};

/// Writers at work. They end by themselves, each with the answer to its last request.
pub struct Writers(JoinSet<()>);

/// One of them.
pub struct Writer {
    name: String,
    dice: Dice,
    world: Arc<World>,
    gateways: Vec<(String, Http)>,
    ledger: Ledger,
    sent: u64,
}

/// Longer than a healthy gateway takes for the worst of its answers: intent, primary and publish time out.
const PATIENCE: Duration = Duration::from_secs(13);
/// Some clients are less patient; what they leave goes on without them.
const IMPATIENCE: Duration = Duration::from_secs(3);
/// How much of an answer the ledger keeps.
const KEPT: usize = 2_000;

impl Writers {
    /// Lets so many write until the end.
    pub fn start(count: u64, seed: u64, end: Instant, kinds: &[&'static Kind], make: impl Fn(&str) -> Writer) -> Self {
        let mut tasks = JoinSet::new();
        for number in 1..=count {
            let mut writer = make(&number.to_string());
            writer.dice = Dice::of(seed, &format!("writer {number}"));
            let kinds = kinds.to_vec();
            tasks.spawn(async move {
                while Instant::now() < end {
                    writer.write_something(&kinds).await;
                    // Applications pause, and a machine has other things to do.
                    let pause = Duration::from_millis(writer.dice.between(10, 120));
                    tokio::time::sleep(pause).await;
                }
            });
        }
        Self(tasks)
    }

    /// Waits until all have ended.
    ///
    /// # Panics
    /// When one panicked.
    pub async fn ended(mut self) {
        while let Some(ended) = self.0.join_next().await {
            ended.expect("a writer ends well");
        }
    }
}

impl Writer {
    /// A writer with a ledger of its own.
    ///
    /// # Panics
    /// When the ledger cannot be begun.
    pub fn new(name: &str, folder: &Path, world: &Arc<World>, stage: &Stage, gateways: &[Process]) -> Self {
        let ledger = Ledger::begin(folder, name).unwrap_or_else(|error| panic!("{error:#}"));
        let gateways = gateways.iter().map(|gateway| (gateway.name().to_owned(), stage.through(gateway))).collect();
        Self { name: name.to_owned(), dice: Dice::of(0, name), world: world.clone(), gateways, ledger, sent: 0 }
    }

    async fn write_something(&mut self, kinds: &[&'static Kind]) {
        let kind = *self.dice.weighted(kinds, |kind| kind.weight);
        let gateway = usize::try_from(self.dice.below(self.gateways.len() as u64)).expect("it is small");
        let patience = if self.dice.percent(5) { IMPATIENCE } else { PATIENCE };
        self.write(kind, kinds, gateway, patience).await;
    }

    /// Sends one request of a kind through one gateway, with its lines in the ledger; answers what became of it.
    pub async fn write(
        &mut self,
        kind: &'static Kind,
        kinds: &[&'static Kind],
        gateway: usize,
        patience: Duration,
    ) -> Vec<Outcome> {
        self.sent += 1;
        let write = format!("{}-{}", self.name, self.sent);
        let request = kinds::make(kind, kinds, &mut self.dice, &self.world, &write);
        let (sent, http) = (self.note(&write, kind, gateway, request), &self.gateways[gateway].1);
        let mut call = http.request(&sent.method, &sent.path).within(patience);
        if let Some(body) = &sent.body {
            call = call.body(body.clone());
        }
        let bulk = sent.path == "/_bulk";
        let reply = call.send().await;
        let at = now();
        let answer = reply.as_ref().map(|reply| (reply.status, &*reply.body)).map_err(String::as_str);
        let outcomes = outcome::read(answer, bulk, sent.items.len());
        let (status, text) = match &reply {
            Ok(reply) => (Some(reply.status), reply.text()),
            Err(error) => (None, error.clone()),
        };
        let reply = text.chars().take(KEPT).collect();
        self.ledger.note(&Entry::Answered(Answered { write, at, status, reply, outcomes: outcomes.clone() }));
        for (item, outcome) in sent.items.iter().zip(&outcomes) {
            if let Some(written) = outcome.written() {
                self.world.note(item, written);
            }
        }
        outcomes
    }

    /// Sends a document through a gateway that is frozen when the primary has it and nothing of it is published; nobody hears
    /// what becomes of it.
    pub async fn write_frozen(&mut self, kind: &'static Kind, gateway: usize, stage: &Stage, process: &Process) {
        self.sent += 1;
        let write = format!("{}-{}", self.name, self.sent);
        let request = kinds::make(kind, &[kind], &mut self.dice, &self.world, &write);
        let sent = self.note(&write, kind, gateway, request);
        stage.freeze_after_the_answer(process, &sent.path, &sent.body.unwrap_or_default()).await;
    }

    /// A line in the ledger, before anything is sent.
    fn note(&mut self, write: &str, kind: &Kind, gateway: usize, request: Request) -> Sent {
        let Request { method, path, body, items } = request;
        let (gateway, kind) = (self.gateways[gateway].0.clone(), kind.name.to_owned());
        let method = method.to_owned();
        let sent = Sent { write: write.to_owned(), at: now(), gateway, kind, method, path, body, items };
        self.ledger.note(&Entry::Sent(sent.clone()));
        sent
    }
}
