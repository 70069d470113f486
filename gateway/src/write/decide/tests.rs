use bytes::Bytes;
use hyper::StatusCode;
use understudy_common::{document::DocumentKey, shard::ShardLayout};

use super::*;
use understudy_common::state::StateId;

const SHARDS: ShardLayout = ShardLayout { number: 1, routing: 1024, partition: 1 };

fn item(id: &str, action: Action) -> PlannedItem {
    PlannedItem {
        key: DocumentKey { index: "i".into(), id: id.into(), routing: None },
        action,
        source: (action != Action::Delete).then(|| Bytes::from("{}")),
        client_version: None,
        pipeline: false,
        line: None,
    }
}

fn index(uuid: &str, settings_version: u64, mapping_version: u64, has_pipeline: bool) -> IndexLookup {
    IndexLookup::Concrete(Arc::new(IndexState {
        uuid: uuid.into(),
        metadata_version: 1,
        mapping_version,
        settings_version,
        aliases_version: 1,
        shards: SHARDS,
        has_pipeline,
        terms: BTreeMap::from([(0, 1)]),
    }))
}

fn sight(version: u64, lookup: IndexLookup) -> Sight {
    let state = StateId { cluster_uuid: "c".into(), version, state_uuid: format!("s{version}").into() };
    Sight { state, indices: BTreeMap::from([("i".into(), lookup)]) }
}

fn done(id: &str, result: &str, seq_no: u64) -> Outcome {
    Outcome::Done(Done {
        index: "i".into(),
        id: id.into(),
        result: result.into(),
        seq_no,
        primary_term: 1,
        source: None,
    })
}

fn items_answer(outcomes: Vec<Outcome>) -> Answer {
    Answer::Items { outcomes, pipeline_ran: false }
}

fn decide_one(action: Action, outcome: Outcome, before: &Sight, after: Option<&Sight>) -> Decision {
    decide(1, &[item("1", action)], before, items_answer(vec![outcome]), after)
}

#[test]
fn an_unmoved_state_lets_effects_through() {
    let before = sight(1, index("u", 3, 7, false));
    let items =
        [item("1", Action::Index), item("2", Action::Delete), item("3", Action::Create), item("4", Action::Index)];
    let outcomes = vec![
        done("1", "updated", 5),
        done("2", "not_found", 6),
        Outcome::Conflict,
        Outcome::Refused { status: 400, by_state: false },
    ];
    let decision = decide(1, &items, &before, items_answer(outcomes), Some(&before));
    assert_eq!(decision.doubt, None);
    assert_eq!(decision.effects.len(), 2);
    assert_eq!(decision.effects[0].version, PackedVersion::pack(1, 1, 5).unwrap());
    assert_eq!(decision.effects[1].state, DocumentState::Deleted);
    assert_eq!(decision.indices["i"], IndexNeed { uuid: "u".into(), mapping: 7, shards: SHARDS });
}

#[test]
fn a_changed_mapping_alone_is_needed_and_trusted() {
    let (before, after) = (sight(1, index("u", 3, 7, false)), sight(2, index("u", 3, 8, false)));
    let decision = decide_one(Action::Index, done("1", "created", 5), &before, Some(&after));
    assert_eq!((decision.doubt, decision.indices["i"].mapping), (None, 8));
}

#[test]
fn an_index_that_changed_in_the_middle_is_not_trusted() {
    let before = sight(1, index("u", 3, 7, false));
    for after in [
        index("other", 3, 7, false),
        index("u", 4, 7, false),
        index("u", 3, 7, true),
        IndexLookup::Absent,
        IndexLookup::Other,
    ] {
        let decision = decide_one(Action::Index, done("1", "created", 5), &before, Some(&sight(2, after.clone())));
        assert!(matches!(decision.doubt, Some(Doubt::Untrusted(_))) && decision.effects.is_empty(), "{after:?}");
    }
}

#[test]
fn an_index_that_the_write_created_is_trusted_while_its_settings_are_the_first() {
    let before = sight(1, IndexLookup::Absent);
    let created = |settings, pipeline| {
        let after = sight(2, index("new", settings, 2, pipeline));
        decide_one(Action::Index, done("1", "created", 0), &before, Some(&after))
    };
    assert_eq!(created(1, false).indices["i"], IndexNeed { uuid: "new".into(), mapping: 2, shards: SHARDS });
    assert!(created(2, false).doubt.is_some());
    assert!(created(1, true).doubt.is_some());
    // Nothing moved, and yet it was written: that cannot be.
    assert!(decide_one(Action::Index, done("1", "created", 0), &before, Some(&before)).doubt.is_some());
}

#[test]
fn a_look_that_failed_lets_nothing_through() {
    let before = sight(1, index("u", 3, 7, false));
    let decision = decide_one(Action::Index, done("1", "created", 5), &before, None);
    assert!(decision.effects.is_empty() && decision.doubt.is_some());
}

#[test]
fn a_conflict_is_believed_only_while_the_state_rests() {
    let (before, after) = (sight(1, index("u", 3, 7, false)), sight(2, index("u", 3, 7, false)));
    assert_eq!(decide_one(Action::Create, Outcome::Conflict, &before, Some(&before)).doubt, None);
    for after in [Some(&after), None] {
        let decision = decide_one(Action::Create, Outcome::Conflict, &before, after);
        assert!(matches!(decision.doubt, Some(Doubt::Unknown(_))));
    }
}

#[test]
fn a_refusal_by_the_state_of_an_index_is_believed_only_while_the_state_rests() {
    let (before, after) = (sight(1, index("u", 3, 7, false)), sight(2, index("u", 3, 7, false)));
    let refused = |by_state| Outcome::Refused { status: 403, by_state };
    assert_eq!(decide_one(Action::Index, refused(true), &before, Some(&before)).doubt, None);
    assert_eq!(decide_one(Action::Index, refused(false), &before, Some(&after)).doubt, None);
    assert!(decide_one(Action::Index, refused(true), &before, Some(&after)).doubt.is_some());
}

#[test]
fn another_cluster_is_not_trusted() {
    let before = sight(1, IndexLookup::Absent);
    let mut after = sight(2, index("new", 1, 2, false));
    after.state.cluster_uuid = "another".into();
    assert!(decide_one(Action::Index, done("1", "created", 0), &before, Some(&after)).doubt.is_some());
}

#[test]
fn what_is_sure_is_published_beside_what_is_not() {
    let before = sight(1, index("u", 3, 7, false));
    let items = [item("1", Action::Index), item("2", Action::Index), item("3", Action::Index)];
    let outcomes = vec![done("1", "created", 5), Outcome::Unknown("503".into()), done("3", "created", 1 << 40)];
    let decision = decide(1, &items, &before, items_answer(outcomes), Some(&before));
    assert_eq!(decision.effects.len(), 1);
    // Of two doubts the graver is told: an overflow is untrusted, an unknown item is unknown.
    assert!(matches!(decision.doubt, Some(Doubt::Unknown(_))));
}

#[test]
fn a_pipeline_that_ran_and_an_answer_for_another_document_are_not_trusted() {
    let before = sight(1, index("u", 3, 7, false));
    let ran = Answer::Items { outcomes: vec![done("1", "created", 5), done("2", "deleted", 6)], pipeline_ran: true };
    let decision = decide(1, &[item("1", Action::Index), item("2", Action::Delete)], &before, ran, Some(&before));
    assert!(decision.doubt.is_some());
    assert_eq!(decision.effects.len(), 1, "a delete runs no pipeline");
    let Outcome::Done(other) = done("2", "created", 5) else { unreachable!() };
    assert!(decide_one(Action::Index, Outcome::Done(other.clone()), &before, Some(&before)).doubt.is_some());
    let elsewhere = Outcome::Done(Done { id: "1".into(), index: "i-000001".into(), ..other });
    assert!(decide_one(Action::Index, elsewhere, &before, Some(&before)).doubt.is_some());
    let noop = done("1", "noop", 5);
    assert!(decide_one(Action::Index, noop, &before, Some(&before)).doubt.is_some());
}

#[test]
fn refused_as_a_whole_is_settled_and_unknown_is_not() {
    let before = sight(1, index("u", 3, 7, false));
    let items = [item("1", Action::Index)];
    assert_eq!(decide(1, &items, &before, Answer::Refused(StatusCode::BAD_REQUEST), None), Decision::default());
    assert!(decide(1, &items, &before, Answer::Unknown("x".into()), Some(&before)).doubt.is_some());
}

#[test]
fn known_obstacles_refuse_before_anything_is_written() {
    for (lookup, refused) in [
        (IndexLookup::Other, true),
        (index("u", 1, 1, true), true),
        (index("u", 1, 1, false), false),
        (IndexLookup::Absent, false),
    ] {
        let answer = check_before(&[item("1", Action::Index)], &sight(1, lookup.clone()));
        assert_eq!(answer.is_err(), refused, "{lookup:?}");
        if let Err(refusal) = answer {
            assert_eq!(refusal.status, StatusCode::NOT_IMPLEMENTED);
        }
    }
}
