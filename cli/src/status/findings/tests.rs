use std::collections::BTreeMap;

use super::*;
use crate::status::picture::{
    ClusterSeen, ClusterState, IntentsSeen, KafkaSeen, LagSeen, PlacementSeen, ProcessSeen, ProcessState, TargetSeen,
};

pub fn rules() -> Rules {
    Rules { max_lag: Duration::from_secs(30), settled_after: Duration::from_secs(120), config: "f".to_owned() }
}

fn cluster(name: &str) -> ClusterSeen {
    ClusterSeen {
        cluster: name.to_owned(),
        urls: vec![format!("http://{name}:9200")],
        service_account: Some("understudy".to_owned()),
        seen: Part::Known(ClusterState {
            cluster_uuid: Some(format!("uuid of {name}")),
            health: Some("green".to_owned()),
            nodes: Some(1),
            unassigned_shards: Some(0),
            versions: vec!["Elasticsearch 7.10.2".to_owned()],
            denied: None,
        }),
        refused_version: None,
        untested_version: None,
    }
}

fn target(name: &str) -> TargetSeen {
    TargetSeen {
        target: name.to_owned(),
        lag: Part::Known(LagSeen { records: 2, seconds: 0.4, ..LagSeen::default() }),
        consumers: Part::Known(vec!["consumer-1".to_owned()]),
        dead_letters: Part::Known(0),
        headroom_seconds: Part::Known(Some(604_799.6)),
        retention_seconds: Some(604_800.0),
    }
}

/// A picture in which all is well: a primary `a`, standbys `b` and `c`, a gateway, and a consumer of `b`.
pub fn all_well() -> Picture {
    let recorded = ["a", "b", "c"].map(|name| (name.to_owned(), format!("uuid of {name}")));
    let state = |kind| ProcessState { kind, ..ProcessState::default() };
    Picture {
        kafka: Part::Known(KafkaSeen { begun: true, recorded_clusters: recorded.into() }),
        brokers: vec!["k:9092".to_owned()],
        placements: vec![PlacementSeen {
            placement: "everything".to_owned(),
            primary: "a".to_owned(),
            epoch: Some(1),
            targets: vec![target("b"), target("c")],
        }],
        clusters: ["a", "b", "c"].map(cluster).into(),
        intents: Part::Known(IntentsSeen { open: Some(3), oldest_seconds: 1.5 }),
        processes: vec![
            ProcessSeen {
                address: "g:1".to_owned(),
                seen: Part::Known(ProcessState {
                    takes_writes: Some(true),
                    requests_in_flight: Some(4),
                    ..state("gateway")
                }),
            },
            ProcessSeen {
                address: "c:1".to_owned(),
                seen: Part::Known(ProcessState {
                    target: Some("b".to_owned()),
                    partitions: Some(12),
                    target_up: Some(true),
                    indices_waiting: Some(0),
                    ..state("consumer")
                }),
            },
        ],
    }
}

fn of_target(picture: &mut Picture) -> &mut TargetSeen {
    &mut picture.placements[0].targets[0]
}

fn state<'a>(picture: &'a mut Picture, name: &str) -> &'a mut ClusterState {
    let cluster = picture.clusters.iter_mut().find(|cluster| cluster.cluster == name).unwrap();
    let Part::Known(state) = &mut cluster.seen else { panic!("{name}") };
    state
}

fn process(picture: &mut Picture, place: usize) -> &mut ProcessState {
    let Part::Known(state) = &mut picture.processes[place].seen else { panic!("{place}") };
    state
}

/// Changes what is well, and says what is found, and what that means for `b` and for `c`.
fn changed(change: impl FnOnce(&mut Picture)) -> (Vec<&'static str>, Outcome, Outcome) {
    let mut picture = all_well();
    change(&mut picture);
    let found = findings(&picture, &rules());
    for finding in &found {
        assert!(finding.text.len() > 10 && finding.advice.len() > 5, "{finding:?}");
    }
    (found.iter().map(|finding| finding.code).collect(), outcome(&found, "b"), outcome(&found, "c"))
}

use Outcome::{NotReady, Ready, Unknown};

#[test]
fn nothing_is_found_where_all_is_well() {
    assert_eq!(changed(|_| ()), (vec![], Ready, Ready));
}

#[test]
fn what_concerns_all_standbys() {
    type Change = fn(&mut Picture);
    let cases: [(&str, Outcome, Change); 6] = [
        ("kafka_unreachable", Unknown, |picture| {
            picture.kafka = Part::unknown("away");
            picture.intents = Part::unknown("away");
            for target in &mut picture.placements[0].targets {
                target.lag = Part::unknown("away");
                target.consumers = Part::unknown("away");
                target.dead_letters = Part::unknown("away");
            }
        }),
        ("not_begun", NotReady, |picture| {
            picture.kafka = Part::Known(KafkaSeen::default());
            picture.intents = Part::unknown("there is no topic");
        }),
        ("no_roles", NotReady, |picture| picture.placements[0].epoch = None),
        ("intents_unknown", Ready, |picture| picture.intents = Part::unknown("late")),
        ("intents_old", Ready, |picture| {
            picture.intents = Part::Known(IntentsSeen { open: Some(1), oldest_seconds: 121.0 });
        }),
        ("intents_old", Ready, |picture| {
            picture.intents = Part::Known(IntentsSeen { open: None, oldest_seconds: 121.0 });
        }),
    ];
    for (code, wanted, change) in cases {
        assert_eq!(changed(change), (vec![code], wanted, wanted), "{code}");
    }
}

#[test]
fn what_concerns_one_standby_leaves_the_others_ready() {
    type Change = fn(&mut Picture);
    let cases: [(&str, Outcome, Change); 22] = [
        ("target_down", NotReady, |picture| picture.clusters[1].seen = Part::unknown("connection refused")),
        ("target_is_another", NotReady, |picture| state(picture, "b").cluster_uuid = Some("x".to_owned())),
        ("target_denies", Unknown, |picture| {
            *state(picture, "b") = ClusterState { denied: Some("401".to_owned()), ..ClusterState::default() };
        }),
        ("target_version", NotReady, |picture| {
            picture.clusters[1].refused_version = Some("Elasticsearch 5.0".to_owned())
        }),
        ("target_untested", Ready, |picture| {
            picture.clusters[1].untested_version = Some("Elasticsearch 9.0".to_owned())
        }),
        ("target_red", NotReady, |picture| state(picture, "b").health = Some("red".to_owned())),
        ("target_is_primary", NotReady, |picture| {
            picture.placements[0].primary = "b".to_owned();
            picture.clusters.remove(0);
        }),
        ("lag_unknown", Unknown, |picture| of_target(picture).lag = Part::unknown("late")),
        ("behind", NotReady, |picture| {
            of_target(picture).lag = Part::Known(LagSeen { records: 9, seconds: 30.1, ..LagSeen::default() });
        }),
        ("gap", NotReady, |picture| {
            of_target(picture).lag = Part::Known(LagSeen { gaps: vec![1, 2], ..LagSeen::default() });
        }),
        ("topic_anew", NotReady, |picture| {
            of_target(picture).lag = Part::Known(LagSeen { anew: vec![1], ..LagSeen::default() });
        }),
        ("no_consumer", NotReady, |picture| of_target(picture).consumers = Part::Known(vec![])),
        ("consumers_unknown", Ready, |picture| of_target(picture).consumers = Part::unknown("late")),
        ("dead_letters", NotReady, |picture| of_target(picture).dead_letters = Part::Known(1)),
        ("dead_letters_unknown", Unknown, |picture| of_target(picture).dead_letters = Part::unknown("late")),
        ("retention_short", Ready, |picture| of_target(picture).headroom_seconds = Part::Known(Some(3_600.0))),
        ("retention_short", Ready, |picture| of_target(picture).headroom_seconds = Part::Known(Some(-1.0))),
        ("stopped", NotReady, |picture| process(picture, 1).stopped = BTreeMap::from([("gap".to_owned(), 1)])),
        ("stopped", NotReady, |picture| process(picture, 1).stopped = BTreeMap::from([("incarnation".to_owned(), 2)])),
        ("stopped", NotReady, |picture| process(picture, 1).stopped = BTreeMap::from([("newer".to_owned(), 2)])),
        ("index_waits", NotReady, |picture| process(picture, 1).indices_waiting = Some(1)),
        ("target_is_primary", NotReady, |picture| process(picture, 1).target_is_primary = true),
    ];
    for (code, wanted, change) in cases {
        assert_eq!(changed(change), (vec![code], wanted, Ready), "{code}");
    }
}

#[test]
fn what_is_wrong_with_primary_and_processes_leaves_standbys_ready() {
    type Change = fn(&mut Picture);
    let cases: [(&str, Change); 9] = [
        ("primary_down", |picture| picture.clusters[0].seen = Part::unknown("connection refused")),
        ("primary_is_another", |picture| state(picture, "a").cluster_uuid = Some("x".to_owned())),
        ("primary_denies", |picture| {
            *state(picture, "a") = ClusterState { denied: Some("403".to_owned()), ..ClusterState::default() };
        }),
        ("primary_version", |picture| picture.clusters[0].refused_version = Some("Elasticsearch 5.0".to_owned())),
        ("primary_red", |picture| state(picture, "a").health = Some("red".to_owned())),
        ("process_unreachable", |picture| picture.processes[0].seen = Part::unknown("connection refused")),
        ("process_not_ready", |picture| process(picture, 0).not_ready = Some("draining".to_owned())),
        ("gateway_closed", |picture| process(picture, 0).takes_writes = Some(false)),
        ("intents_set_aside", |picture| process(picture, 1).unreadable_intents = 1),
    ];
    for (code, change) in cases {
        assert_eq!(changed(change), (vec![code], Ready, Ready), "{code}");
    }
}

#[test]
fn the_worst_comes_first_and_one_cause_is_said_once() {
    let (codes, ..) = changed(|picture| {
        picture.clusters[0].seen = Part::unknown("refused");
        picture.clusters[1].seen = Part::unknown("refused");
        of_target(picture).lag = Part::Known(LagSeen { records: 9, seconds: 99.0, ..LagSeen::default() });
        picture.placements[0].targets[1].lag = Part::unknown("late");
    });
    assert_eq!(codes, ["target_down", "behind", "lag_unknown", "primary_down"]);
    // Gateways are closed while Kafka is away: that is no news.
    let (codes, ..) = changed(|picture| {
        picture.kafka = Part::unknown("away");
        process(picture, 0).takes_writes = Some(false);
    });
    assert_eq!(codes, ["kafka_unreachable"]);
}

#[test]
fn advice_about_lag_names_its_cause() {
    let advice = |change: fn(&mut Picture)| {
        let mut picture = all_well();
        of_target(&mut picture).lag = Part::Known(LagSeen { records: 9, seconds: 99.0, ..LagSeen::default() });
        change(&mut picture);
        let found = findings(&picture, &rules());
        found.into_iter().find(|finding| finding.code == "behind").unwrap().advice
    };
    assert!(advice(|_| ()).contains("wait while it catches up"));
    assert!(advice(|picture| picture.clusters[1].seen = Part::unknown("x")).contains("when it is back"));
    assert!(advice(|picture| of_target(picture).consumers = Part::Known(vec![])).contains("a consumer must run"));
    assert!(advice(|picture| process(picture, 1).blocked = Some(1)).contains("refuses writes for now"));
    assert!(advice(|picture| process(picture, 1).unsettled = Some(1)).contains("protocol.linger"));
}
