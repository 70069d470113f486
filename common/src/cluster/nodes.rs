//! Which node of a cluster serves a call, and which are out. Decides only: no clock, no I/O.

use std::time::{Duration, Instant};

/// Failures in a row after which a node is out. One alone may be a connection that was closed for being idle.
const OUT_AFTER: u32 = 2;
/// Answers in a row after which it is back. A node that just started, or went on after it stood still, may answer once
/// and then find that it has to leave.
const BACK_AFTER: u32 = 2;
/// Where nobody watches, a node that is out is tried again after this.
const REST: Duration = Duration::from_secs(10);
/// A node with calls under way that gave no answer for so long is asked whether it is there.
const SILENT: Duration = Duration::from_secs(1);

/// What an event changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// The node is out from now on.
    Out,
    /// It was out and is no more.
    Back,
}

/// The nodes of a cluster, by their place in its list of addresses.
#[derive(Clone, Debug)]
pub(super) struct Nodes {
    nodes: Vec<Node>,
    /// Somebody asks those that are out, so that no call has to try them.
    watched: bool,
}

#[derive(Clone, Debug)]
struct Node {
    /// Calls under way, until the end of their answers.
    busy: usize,
    /// In a row.
    failures: u32,
    /// In a row, while it is out.
    answers: u32,
    /// Since when it is out.
    out: Option<Instant>,
    /// Of its last answer, or of the first call that waits for one.
    heard: Instant,
}

impl Nodes {
    /// So many nodes, all well.
    pub(super) fn new(count: usize, now: Instant) -> Self {
        let node = Node { busy: 0, failures: 0, answers: 0, out: None, heard: now };
        Self { nodes: vec![node; count], watched: false }
    }

    /// Whether somebody asks the nodes that are out.
    pub(super) fn set_watched(&mut self, watched: bool) {
        self.watched = watched;
    }

    /// A call begins: the least busy node that is well, the first of several; of those that are out one only where no other
    /// is left, for nobody knows better before he tries.
    pub(super) fn begin(&mut self, tried: &[usize], now: Instant) -> Option<usize> {
        let left = (0..self.nodes.len()).filter(|node| !tried.contains(node));
        let node = left.min_by_key(|node| (!self.is_well(*node, now), self.nodes[*node].busy))?;
        let begun = &mut self.nodes[node];
        if begun.busy == 0 {
            begun.heard = now;
        }
        begun.busy += 1;
        Some(node)
    }

    /// A call has ended, one way or the other.
    pub(super) fn end(&mut self, node: usize) {
        self.nodes[node].busy -= 1;
    }

    /// A node answered, with whatever status.
    pub(super) fn answered(&mut self, node: usize, now: Instant) -> Change {
        let rested = self.has_rested(node, now);
        let node = &mut self.nodes[node];
        node.heard = now;
        node.failures = 0;
        if node.out.is_none() {
            return Change::None;
        }
        node.answers += 1;
        if node.answers < BACK_AFTER && !rested {
            return Change::None;
        }
        node.out = None;
        Change::Back
    }

    /// A node could not be reached, or a connection to it broke.
    pub(super) fn failed(&mut self, node: usize, now: Instant) -> Change {
        let node = &mut self.nodes[node];
        node.failures = node.failures.saturating_add(1);
        node.answers = 0;
        if node.failures < OUT_AFTER && node.out.is_none() {
            return Change::None;
        }
        // Its rest begins anew.
        if node.out.replace(now).is_some() { Change::None } else { Change::Out }
    }

    /// The nodes to be asked whether they are there: those that are out, and those that keep calls waiting. A node alone is
    /// not asked: calls go to it anyway.
    pub(super) fn in_question(&self, now: Instant) -> Vec<usize> {
        if self.nodes.len() == 1 {
            return Vec::new();
        }
        let silent = |node: &Node| node.busy > 0 && now.duration_since(node.heard) >= SILENT;
        let asked = |node: &usize| self.nodes[*node].out.is_some() || silent(&self.nodes[*node]);
        (0..self.nodes.len()).filter(asked).collect()
    }

    /// Whether a call that may be repeated should wait for this node no longer: it is out, and another one that was not
    /// tried is well.
    pub(super) fn should_leave(&self, node: usize, tried: &[usize], now: Instant) -> bool {
        !self.is_well(node, now)
            && (0..self.nodes.len()).any(|other| !tried.contains(&other) && self.is_well(other, now))
    }

    fn is_well(&self, node: usize, now: Instant) -> bool {
        self.nodes[node].out.is_none() || self.has_rested(node, now)
    }

    fn has_rested(&self, node: usize, now: Instant) -> bool {
        !self.watched && self.nodes[node].out.is_some_and(|since| now.duration_since(since) >= REST)
    }
}

#[cfg(test)]
mod tests;
