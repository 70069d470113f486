//! Whether a cluster is up: what probes see, and how many of them it takes. Decided without clock or I/O.
//!
//! Down is a cluster of which no address answers, that has no elected master, or behind whose name another cluster stands.
//! One that answers 401, 403 or 429 is not down, and neither is one with red indices.

use hyper::StatusCode;
use serde_json::Value;
use understudy_common::control::check_cluster;

/// What is asked: small, without waiting, and answered by any node from what it knows itself.
pub const PROBE: &str =
    "/_cluster/state/version,master_node,blocks?local=true&filter_path=cluster_uuid,master_node,blocks.global";
/// So many probes in a row must fail before a cluster counts as down.
pub const FAILURES: u32 = 3;
/// So many probes in a row must succeed before it counts as up again.
pub const SUCCESSES: u32 = 2;

/// What a probe says of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It has a master; its `cluster_uuid`.
    Well(String),
    /// It answers, and says neither who it is nor that anything is wrong: the service account may not ask.
    Answers,
    /// It answers that it has too much to do.
    Busy,
    /// It does not answer, or has no master; why.
    Down(String),
}

/// What counts of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is well.
    Good,
    /// It answers; which cluster it is it does not say.
    Answers,
    /// It is not well.
    Bad(String),
    /// It is another cluster, which needs no second look.
    Stranger(String),
    /// Nothing.
    Unsure,
}

/// Reads the answer to [`PROBE`].
///
/// Without a master Elasticsearch names none and sets the global block 2 (`NoMasterBlockService`), before it has recovered
/// its state the block 1 (`GatewayService`); asked without `local` it would answer 503 after `master_timeout`.
#[must_use]
pub fn read_probe(status: StatusCode, body: &[u8]) -> Seen {
    const NOBODY_BEHIND: [StatusCode; 3] =
        [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Seen::Busy;
    }
    let answer: Option<Value> = serde_json::from_slice(body).ok();
    if NOBODY_BEHIND.contains(&status) {
        let kind = answer.as_ref().and_then(|answer| answer["error"]["type"].as_str()).unwrap_or_default();
        return Seen::Down(format!("it answers {} {kind}", status.as_u16()).trim_end().to_owned());
    }
    let Some(answer) = answer.filter(|answer| status.is_success() && answer.is_object()) else { return Seen::Answers };
    let blocked = |id: &str| answer["blocks"]["global"].get(id).is_some();
    if blocked("2") || answer.get("master_node").is_some_and(Value::is_null) {
        return Seen::Down("it has no elected master".to_owned());
    }
    match answer["cluster_uuid"].as_str() {
        // What a cluster says before it was formed (`Metadata.UNKNOWN_CLUSTER_UUID`).
        Some("_na_") => Seen::Down("it was not formed yet".to_owned()),
        _ if blocked("1") => Seen::Down("it has not recovered its state yet".to_owned()),
        Some(uuid) => Seen::Well(uuid.to_owned()),
        None => Seen::Answers,
    }
}

/// What its nodes say of a cluster together: it is as well as the best of them.
#[must_use]
pub fn of_nodes(nodes: impl IntoIterator<Item = Seen>) -> Seen {
    let rank = |seen: &Seen| match seen {
        Seen::Well(_) => 0,
        Seen::Answers => 1,
        Seen::Busy => 2,
        Seen::Down(_) => 3,
    };
    nodes.into_iter().min_by_key(rank).unwrap_or_else(|| Seen::Down("it has no nodes".to_owned()))
}

/// What a probe of the primary counts for; `recorded`: which cluster it was when replication began.
#[must_use]
pub fn look_at_primary(name: &str, seen: Seen, recorded: Option<&str>) -> Look {
    match (seen, recorded) {
        (Seen::Down(reason), _) => Look::Bad(reason),
        (Seen::Well(uuid), Some(recorded)) => {
            check_cluster(name, recorded, &uuid).map_or_else(Look::Stranger, |()| Look::Good)
        }
        (Seen::Well(_), None) => Look::Good,
        (Seen::Answers | Seen::Busy, _) => Look::Answers,
    }
}

/// What a probe of a target counts for: it must be known to be the cluster that was recorded.
#[must_use]
pub fn look_at_target(name: &str, seen: Seen, recorded: Option<&str>) -> Look {
    match (seen, recorded) {
        (Seen::Down(reason), _) => Look::Bad(reason),
        (Seen::Well(uuid), Some(recorded)) => {
            check_cluster(name, recorded, &uuid).map_or_else(Look::Stranger, |()| Look::Good)
        }
        (Seen::Well(_), None) => Look::Bad("which cluster it should be is not recorded in Kafka yet".to_owned()),
        // The service account writes there. Who does not know it may be anybody.
        (Seen::Answers, _) => Look::Bad("it does not say which cluster it is".to_owned()),
        (Seen::Busy, _) => Look::Unsure,
    }
}

/// Whether a cluster is up, after all looks until now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    reason: Option<String>,
    /// Looks in a row that speak against what it counts as.
    against: u32,
    /// Another cluster was seen: only the right one ends that.
    stranger: bool,
}

impl Health {
    /// It counts as up until looks say something else.
    #[must_use]
    pub fn up() -> Self {
        Self { reason: None, against: 0, stranger: false }
    }

    /// It counts as down until looks say something else.
    #[must_use]
    pub fn down(reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), against: 0, stranger: false }
    }

    /// Why it counts as down; `None` when it is up.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Whether the next look is wanted soon.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.against > 0
    }

    /// Learns a look; `true` when it counts as something else now.
    pub fn learn(&mut self, look: Look) -> bool {
        let was_up = self.reason.is_none();
        match look {
            Look::Unsure => {}
            Look::Answers if self.stranger => {}
            Look::Stranger(reason) => *self = Self { stranger: true, ..Self::down(&reason) },
            Look::Good | Look::Answers if was_up => self.against = 0,
            Look::Good | Look::Answers => {
                self.against += 1;
                if self.against >= SUCCESSES {
                    *self = Self::up();
                }
            }
            Look::Bad(reason) if was_up => {
                self.against += 1;
                if self.against >= FAILURES {
                    *self = Self::down(&reason);
                }
            }
            Look::Bad(reason) => *self = Self { stranger: self.stranger, ..Self::down(&reason) },
        }
        was_up != self.reason.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> Seen {
        read_probe(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    fn bad() -> Look {
        Look::Bad("gone".to_owned())
    }

    #[test]
    fn without_a_master_it_is_down_and_with_a_refusal_it_is_not() {
        assert_eq!(read(200, r#"{"cluster_uuid":"u","master_node":"n"}"#), Seen::Well("u".into()));
        assert_eq!(read(200, r#"{"cluster_uuid":"u"}"#), Seen::Well("u".into()));
        for (status, body, why) in [
            (200, r#"{"cluster_uuid":"u","master_node":null}"#, "no elected master"),
            (200, r#"{"cluster_uuid":"u","blocks":{"global":{"2":{"retryable":true}}}}"#, "no elected master"),
            (200, r#"{"cluster_uuid":"u","master_node":"n","blocks":{"global":{"1":{}}}}"#, "recovered"),
            (200, r#"{"cluster_uuid":"_na_","master_node":"n"}"#, "not formed"),
            (503, r#"{"error":{"type":"master_not_discovered_exception"},"status":503}"#, "503 master_not_discovered"),
            (502, "<html>", "502"),
            (504, "", "504"),
        ] {
            match read(status, body) {
                Seen::Down(reason) => assert!(reason.contains(why), "{body}: {reason}"),
                other => panic!("{status} {body}: {other:?}"),
            }
        }
        // A block of another kind, such as read-only, takes nothing from reads.
        let blocked = r#"{"cluster_uuid":"u","master_node":"n","blocks":{"global":{"6":{}}}}"#;
        assert_eq!(read(200, blocked), Seen::Well("u".into()));
        assert_eq!(read(429, "{}"), Seen::Busy);
        for (status, body) in [(401, "{}"), (403, "{}"), (500, "{}"), (404, ""), (200, "<html>"), (200, "[]")] {
            assert_eq!(read(status, body), Seen::Answers, "{status} {body}");
        }
    }

    #[test]
    fn one_node_that_is_well_is_enough() {
        let lost = || Seen::Down("it has no elected master".to_owned());
        assert_eq!(of_nodes([lost(), Seen::Well("u".into()), Seen::Answers]), Seen::Well("u".into()));
        assert_eq!(of_nodes([lost(), Seen::Busy]), Seen::Busy);
        assert_eq!(of_nodes([lost(), lost()]), lost());
    }

    #[test]
    fn another_cluster_never_serves() {
        let well = || Seen::Well("u".to_owned());
        assert_eq!(look_at_primary("p", well(), None), Look::Good);
        assert_eq!(look_at_primary("p", well(), Some("u")), Look::Good);
        assert!(matches!(look_at_primary("p", well(), Some("v")), Look::Stranger(_)));
        assert_eq!(look_at_primary("p", Seen::Answers, Some("v")), Look::Answers, "401 is not down");
        assert_eq!(look_at_primary("p", Seen::Busy, Some("v")), Look::Answers);
        assert_eq!(look_at_target("t", well(), Some("u")), Look::Good);
        assert!(matches!(look_at_target("t", well(), Some("v")), Look::Stranger(_)));
        assert!(matches!(look_at_target("t", well(), None), Look::Bad(_)), "nobody knows who it is");
        assert!(matches!(look_at_target("t", Seen::Answers, Some("u")), Look::Bad(_)), "it may be anybody");
        assert_eq!(look_at_target("t", Seen::Busy, Some("u")), Look::Unsure);
        let mut health = Health::up();
        assert!(health.learn(Look::Stranger("other".into())), "at once");
        assert_eq!(health.reason(), Some("other"));
        for _ in 0..5 {
            assert!(!health.learn(Look::Answers), "who answers anything may be the stranger");
        }
        assert!(!health.learn(Look::Good) && health.learn(Look::Good));
        health.learn(Look::Stranger("other".into()));
        health.learn(bad());
        assert!(!health.learn(Look::Answers) && !health.learn(Look::Answers), "also after it was away");
        let mut health = Health::down("gone");
        assert!(!health.learn(Look::Answers) && health.learn(Look::Answers), "401 is not down");
    }

    #[test]
    fn it_takes_several_looks_in_a_row() {
        let mut health = Health::up();
        for _ in 0..10 {
            assert!(!health.learn(bad()) && !health.learn(bad()));
            assert!(health.is_in_doubt() && health.reason().is_none());
            assert!(!health.learn(Look::Good) && !health.is_in_doubt(), "no flapping");
        }
        assert!(!health.learn(bad()) && !health.learn(Look::Unsure) && !health.learn(bad()) && health.learn(bad()));
        assert_eq!(health.reason(), Some("gone"));
        for _ in 0..10 {
            assert!(!health.learn(Look::Good) && health.is_in_doubt());
            assert!(!health.learn(bad()) && !health.is_in_doubt(), "no flapping");
        }
        assert!(!health.learn(Look::Good) && health.learn(Look::Good));
        assert_eq!(health.reason(), None);
    }

    #[test]
    fn a_target_that_nobody_has_seen_does_not_serve() {
        let mut health = Health::down("not probed yet");
        assert!(!health.learn(Look::Unsure) && health.reason().is_some());
        assert!(!health.learn(Look::Good) && health.learn(Look::Good));
    }
}
