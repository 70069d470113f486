//! A primary of three nodes, whose shards fail over.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex as Held, Weak},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

use super::signal_part;
use crate::{Http, Stack, eventually, process_lives};

/// A cluster of three nodes, numbered from 1, beside the stack that tests share.
///
/// It stands alone: a test points its stage at one of the nodes, and compares with it. One test of a binary holds it at a
/// time, as with [`Servers`](crate::Servers): take it first. It is started for the first test that wants it, handed from
/// one to the next with all nodes running, and stopped with the last; its logs stay.
pub struct Nodes {
    cluster: Arc<Cluster>,
    /// Those that cannot answer.
    away: Held<BTreeSet<usize>>,
    _alone: MutexGuard<'static, ()>,
}

/// The processes.
struct Cluster {
    stack: Stack,
}

static ALONE: Mutex<()> = Mutex::const_new(());
static RUNNING: Mutex<Weak<Cluster>> = Mutex::const_new(Weak::new());
/// Nobody starts a cluster while another one stops.
static IN_TRANSITION: Held<()> = Held::new(());

const PARTS: [&str; 3] = ["primary", "primary-2", "primary-3"];
/// Within this the others notice that a node is gone or stands still, and put copies in the place of its shards.
const FAIL_OVER: Duration = Duration::from_secs(60);

impl Nodes {
    /// Starts the cluster where it does not run yet, and waits until no other test of this binary holds it.
    ///
    /// # Panics
    /// When there is no stack beside which it could stand, or when it does not start.
    pub async fn take() -> Self {
        let mut running = RUNNING.lock().await;
        let cluster = match running.upgrade() {
            Some(cluster) => cluster,
            None => {
                let start = tokio::task::spawn_blocking(Cluster::start);
                Arc::new(start.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())))
            }
        };
        *running = Arc::downgrade(&cluster);
        drop(running);
        Self { cluster, away: Held::default(), _alone: ALONE.lock().await }
    }

    /// The addresses of a node.
    ///
    /// # Panics
    /// When there is no such node.
    #[must_use]
    pub fn address(&self, node: usize) -> String {
        self.cluster.stack.address(part(node))
    }

    /// The addresses of all nodes.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        (1..=PARTS.len()).map(|node| self.address(node)).collect()
    }

    /// A node.
    ///
    /// # Panics
    /// When there is no such node.
    #[must_use]
    pub fn http(&self, node: usize) -> Http {
        Http::new(&self.address(node))
    }

    /// The nodes but these.
    #[must_use]
    pub fn others(&self, than: &[usize]) -> Vec<usize> {
        (1..=PARTS.len()).filter(|node| !than.contains(node)).collect()
    }

    /// `kill -9`; its process is gone when this returns.
    ///
    /// # Panics
    /// When it did not run.
    pub async fn kill(&self, node: usize) {
        let pid = self.pid(node);
        self.leaves(node);
        signal_part("KILL", pid);
        eventually(Duration::from_secs(10), "the node is gone", async || !process_lives(pid)).await;
    }

    /// Ends it orderly (SIGTERM), as for an upgrade.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn stop(&self, node: usize) {
        self.leaves(node);
        if let Err(error) = self.cluster.stack.run_script("stop", &[part(node)]).await {
            panic!("{error:#}");
        }
    }

    /// Stops its process without ending it (SIGSTOP): connections stand and it does not answer.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self, node: usize) {
        let pid = self.pid(node);
        self.leaves(node);
        signal_part("STOP", pid);
    }

    /// Lets it go on (SIGCONT), with all that it believed.
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&self, node: usize) {
        signal_part("CONT", self.pid(node));
        self.away.lock().expect("no test panics here").remove(&node);
    }

    /// Starts it after [`Nodes::kill`] or [`Nodes::stop`]; it is in one cluster with all others that run when this returns.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&self, node: usize) {
        if let Err(error) = self.cluster.stack.run_script("start", &[part(node)]).await {
            panic!("{error:#}");
        }
        self.away.lock().expect("no test panics here").remove(&node);
    }

    /// Creates an index with one replica, and waits until both copies of every shard are there. A replica whose node is
    /// gone is made anew on another node at once, not after a minute.
    ///
    /// # Panics
    /// When it cannot be created.
    pub async fn create_index(&self, index: &str, shards: usize) {
        let settings = json!({
            "number_of_shards": shards,
            "number_of_replicas": 1,
            "index.unassigned.node_left.delayed_timeout": "0",
        });
        let any = self.any();
        any.put(&format!("/{index}"), json!({"settings": settings}).to_string()).await.expect(200);
        self.wait_green(index).await;
    }

    /// Waits until every shard of an index has all its copies.
    ///
    /// # Panics
    /// When one does not get them.
    pub async fn wait_green(&self, index: &str) {
        let path = format!("/_cluster/health/{index}?wait_for_status=green&timeout=1s");
        let green = async || {
            let reply = self.any().request("GET", &path).within(Duration::from_secs(5)).send().await?;
            ok(reply.status == 200, &reply)
        };
        eventually(FAIL_OVER, "every shard has all its copies", green).await;
    }

    /// The node that has the primary copy of a shard now.
    ///
    /// # Panics
    /// When no node has it within a minute.
    pub async fn primary_of(&self, index: &str, shard: usize) -> usize {
        let what = format!("{index} has a primary of shard {shard}");
        eventually(FAIL_OVER, &what, async || self.find_primary(index, shard).await).await
    }

    /// Waits until another node than this one has the primary copy of a shard, by the account of those that run, and
    /// answers which.
    ///
    /// # Panics
    /// When it stays.
    pub async fn wait_failed_over(&self, index: &str, shard: usize, from: usize) -> usize {
        let moved = async || match self.find_primary(index, shard).await? {
            node if node == from => Err(format!("it is still on node {from}")),
            node => Ok(node),
        };
        eventually(FAIL_OVER, &format!("shard {shard} of {index} has failed over"), moved).await
    }

    async fn find_primary(&self, index: &str, shard: usize) -> Result<usize, String> {
        let path = format!("/_cat/shards/{index}?format=json&h=shard,prirep,state,node");
        let reply = self.any().request("GET", &path).within(Duration::from_secs(5)).send().await?;
        ok(reply.status == 200, &reply)?;
        let shards = reply.json();
        let primary = shards.as_array().into_iter().flatten().find(|copy| {
            copy["prirep"] == "p" && copy["shard"] == json!(shard.to_string()) && copy["state"] != "UNASSIGNED"
        });
        // Where it moves, the node that has it stands first.
        let node = primary.and_then(|copy| copy["node"].as_str()).and_then(|node| node.split(' ').next());
        node.and_then(|name| name.strip_prefix("primary-")?.parse().ok()).ok_or_else(|| Value::to_string(&shards))
    }

    /// A node that can answer.
    fn any(&self) -> Http {
        let away = self.away.lock().expect("no test panics here").clone();
        let node = (1..=PARTS.len()).find(|node| !away.contains(node));
        self.http(node.expect("a node is left"))
    }

    fn leaves(&self, node: usize) {
        self.away.lock().expect("no test panics here").insert(node);
    }

    fn pid(&self, node: usize) -> u32 {
        self.process(node).unwrap_or_else(|| panic!("node {node} does not run"))
    }

    fn process(&self, node: usize) -> Option<u32> {
        let part = self.cluster.stack.part(part(node)).ok()?;
        part.pid.filter(|pid| process_lives(*pid))
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        // Nobody waits for it: it ends with us.
        if Arc::strong_count(&self.cluster) == 1 {
            return;
        }
        for node in self.away.get_mut().map(std::mem::take).unwrap_or_default() {
            if let Some(pid) = self.process(node) {
                signal_part("CONT", pid);
            }
        }
        if let Err(said) = self.cluster.run("up") {
            eprintln!("the three nodes could not be started again: {said}");
        }
    }
}

impl Cluster {
    /// In a run directory beside that of the stack, so that what a killed test left is found and ended.
    fn start() -> Self {
        let shared = Stack::of_tests();
        let name = shared.run().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let run = shared.run().with_file_name(format!("{name}-nodes"));
        let stack = Stack::at(run).with("PORTS", "free").with("PRIMARY_NODES", "3");
        let cluster = Self { stack };
        let _transition = IN_TRANSITION.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for verb in ["down", "wipe", "up"] {
            if let Err(said) = cluster.run(verb) {
                panic!("stack {verb} of three nodes: {said}");
            }
        }
        cluster
    }

    /// Runs the script for all nodes; an error has what it said.
    fn run(&self, verb: &str) -> Result<(), String> {
        let parts: &[&str] = if matches!(verb, "down" | "wipe") { &[] } else { &PARTS };
        let output = self.stack.script(verb, parts).output().map_err(|error| error.to_string())?;
        let said = [output.stdout, output.stderr].concat();
        ok(output.status.success(), &String::from_utf8_lossy(&said))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _transition = IN_TRANSITION.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(said) = self.run("down") {
            eprintln!("the three nodes could not be stopped: {said}");
        }
    }
}

fn part(node: usize) -> &'static str {
    PARTS.get(node.wrapping_sub(1)).unwrap_or_else(|| panic!("there is no node {node}"))
}

fn ok(holds: bool, otherwise: &impl ToString) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_string()) }
}
