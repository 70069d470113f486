use bytes::Bytes;
use hyper::StatusCode;
use understudy_common::{
    shard::ShardLayout,
    state::{AliasState, AliasWrite, StateId},
};

use super::*;

const SHARDS: ShardLayout = ShardLayout { number: 1, routing: 1024, partition: 1 };

fn item(id: &str, action: Action) -> PlannedItem {
    PlannedItem {
        key: DocumentKey { index: "i".into(), id: id.into(), routing: None },
        action,
        source: matches!(action, Action::Index | Action::Create).then(|| Bytes::from("{}")),
        client_version: None,
        pipeline: false,
        line: None,
    }
}

fn state(uuid: &str, settings_version: u64, mapping_version: u64, has_pipeline: bool) -> Arc<IndexState> {
    Arc::new(IndexState {
        uuid: uuid.into(),
        metadata_version: 1,
        mapping_version,
        settings_version,
        aliases_version: 1,
        shards: SHARDS,
        has_pipeline,
        terms: BTreeMap::from([(0, 1)]),
    })
}

fn index(uuid: &str, settings_version: u64, mapping_version: u64, has_pipeline: bool) -> IndexLookup {
    IndexLookup::Concrete(state(uuid, settings_version, mapping_version, has_pipeline))
}

fn alias(write: Option<(&str, Option<&str>)>) -> IndexLookup {
    let write = write.map(|(index, routing)| AliasWrite {
        index: index.into(),
        routing: routing.map(Into::into),
        state: state("u", 1, 1, false),
    });
    IndexLookup::Alias(Arc::new(AliasState { write }))
}

fn sight(version: u64, lookup: IndexLookup) -> Sight {
    let state = StateId { cluster_uuid: "c".into(), version, state_uuid: format!("s{version}").into() };
    Sight { state, indices: BTreeMap::from([("i".into(), lookup)]) }
}

fn done<'a>(id: &'a str, result: &'a str, seq_no: u64) -> Outcome<'a> {
    done_at("i", id, result, seq_no, None)
}

fn done_at<'a>(index: &'a str, id: &'a str, result: &'a str, seq_no: u64, source: Option<&str>) -> Outcome<'a> {
    Outcome::Done(Done {
        index: index.into(),
        id: id.into(),
        result: result.into(),
        seq_no,
        primary_term: 1,
        source: source.map(|source| Bytes::copy_from_slice(source.as_bytes())),
    })
}

fn items_answer(outcomes: Vec<Outcome<'_>>) -> Answer<'_> {
    Answer::Items { outcomes, pipeline_ran: false }
}

fn decide_item(item: PlannedItem, outcome: Outcome<'_>, before: &Sight, after: Option<&Sight>) -> Decision {
    decide(1, &[item], before, items_answer(vec![outcome]), after, false)
}

fn decide_one(action: Action, outcome: Outcome<'_>, before: &Sight, after: Option<&Sight>) -> Decision {
    decide_item(item("1", action), outcome, before, after)
}

#[track_caller]
fn observed(decision: &Decision) -> &Doubtful {
    assert!(decision.effects.is_empty() && decision.unknown.is_none(), "{decision:?}");
    decision.observe.last().unwrap_or_else(|| panic!("{decision:?}"))
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
    let decision = decide(1, &items, &before, items_answer(outcomes), Some(&before), false);
    assert!(decision.observe.is_empty() && decision.unknown.is_none());
    assert_eq!(decision.effects.len(), 2);
    assert_eq!(decision.effects[0].version, PackedVersion::pack(1, 1, 5).unwrap());
    assert_eq!(decision.effects[1].state, DocumentState::Deleted);
    assert_eq!(decision.indices["i"].mapping, 7);
}

#[test]
fn updates_are_what_the_answer_says_and_a_noop_is_an_effect() {
    let before = sight(1, index("u", 3, 7, true));
    for (result, state) in [
        ("created", DocumentState::Put("{\"a\":1}".into())),
        ("updated", DocumentState::Put("{\"a\":1}".into())),
        ("noop", DocumentState::Put("{\"a\":1}".into())),
        ("deleted", DocumentState::Deleted),
    ] {
        let decision =
            decide_one(Action::Update, done_at("i", "1", result, 5, Some("{\"a\":1}")), &before, Some(&before));
        assert_eq!(decision.effects[0].state, state, "{result}: pipelines of the index do not matter");
        assert_eq!(decision.unrouted.is_empty(), matches!(result, "created" | "deleted"), "{result}");
    }
    let decision = decide_one(Action::Update, done("1", "updated", 5), &before, Some(&before));
    assert_eq!(observed(&decision).written, Some(Written::Put(5)), "an update without its source");
    let decision = decide_one(Action::Update, Outcome::NothingThere, &before, Some(&before));
    observed(&decision);
}

#[test]
fn a_clients_version_stands_in_its_effect() {
    let before = sight(1, index("u", 3, 7, false));
    let item = PlannedItem { client_version: Some(12), ..item("1", Action::Delete) };
    let decision = decide_item(item, done("1", "deleted", 5), &before, Some(&before));
    assert_eq!(decision.effects[0].client_version, Some(12));
    assert_eq!(decision.effects[0].version, PackedVersion::pack(1, 1, 5).unwrap());
}

#[test]
fn a_new_mapping_is_needed_by_the_effects_and_does_not_harm() {
    let (before, after) = (sight(1, index("u", 3, 7, false)), sight(2, index("u", 3, 8, false)));
    let decision = decide_one(Action::Index, done("1", "created", 5), &before, Some(&after));
    assert!(decision.observe.is_empty());
    assert_eq!(decision.indices["i"].mapping, 8);
}

#[test]
fn what_changed_during_the_write_is_observed() {
    let before = sight(1, index("u", 3, 7, false));
    for (what, after) in [
        ("made anew", sight(2, index("v", 1, 1, false))),
        ("settings", sight(2, index("u", 4, 7, false))),
        ("gone", sight(2, IndexLookup::Absent)),
        ("an alias now", sight(2, alias(Some(("i", None))))),
    ] {
        let decision = decide_one(Action::Index, done("1", "created", 5), &before, Some(&after));
        assert_eq!(&*observed(&decision).key.id, "1", "{what}");
        let decision = decide_one(Action::Delete, done("1", "deleted", 5), &before, Some(&after));
        observed(&decision);
    }
    let decision = decide_one(Action::Index, done("1", "created", 5), &before, None);
    observed(&decision);
    let elsewhere = done_at("other", "1", "created", 5, None);
    let decision = decide_one(Action::Index, elsewhere, &before, Some(&before));
    assert_eq!(&*observed(&decision).key.index, "other");
}

#[test]
fn an_index_that_the_write_created_is_trusted_while_it_is_as_it_was_created() {
    let before = sight(1, IndexLookup::Absent);
    let decide = |after| decide_one(Action::Index, done("1", "created", 0), &before, Some(&sight(2, after)));
    assert_eq!(decide(index("u", 1, 2, false)).effects.len(), 1);
    observed(&decide(index("u", 2, 2, false)));
    observed(&decide(index("u", 1, 2, true)));
}

#[test]
fn a_pipeline_that_ran_is_observed_also_one_that_came_and_went() {
    let plain = sight(1, index("u", 3, 7, false));
    let answer = |outcomes| Answer::Items { outcomes, pipeline_ran: true };
    let items = [item("1", Action::Index), item("2", Action::Delete)];
    let outcomes = vec![done("1", "created", 5), done("2", "deleted", 6)];
    let decision = decide(1, &items, &plain, answer(outcomes), Some(&plain), false);
    assert_eq!(decision.effects.len(), 1, "a delete runs no pipeline");
    assert_eq!(decision.observe[0].written, Some(Written::Put(5)), "it may have changed the routing");
    let named = PlannedItem { pipeline: true, ..item("1", Action::Create) };
    observed(&decide_item(named, done("1", "created", 5), &plain, Some(&plain)));
    let default = sight(1, index("u", 3, 7, true));
    observed(&decide_one(Action::Index, done("1", "created", 5), &default, Some(&default)));
    assert_eq!(decide_one(Action::Delete, done("1", "deleted", 5), &default, Some(&default)).effects.len(), 1);
}

#[test]
fn conflicts_and_refusals_by_state_are_believed_only_while_the_state_rests() {
    let (before, after) = (sight(1, index("u", 3, 7, false)), sight(2, index("u", 3, 7, false)));
    for outcome in [Outcome::Conflict, Outcome::Refused { status: 403, by_state: true }] {
        assert_eq!(decide_one(Action::Index, outcome.clone(), &before, Some(&before)), Decision::default());
        observed(&decide_one(Action::Index, outcome.clone(), &before, Some(&after)));
        observed(&decide_one(Action::Index, outcome, &before, None));
    }
    // A second try may be refused for other reasons than the first one would have been.
    let refused = || Outcome::Refused { status: 429, by_state: false };
    assert_eq!(decide_one(Action::Index, refused(), &before, Some(&before)), Decision::default());
    observed(&decide_one(Action::Index, refused(), &before, Some(&after)));
    // Nothing moved, and the answer took as long as a node waits for a shard before it tries again.
    let slow =
        decide(1, &[item("1", Action::Create)], &before, items_answer(vec![Outcome::Conflict]), Some(&before), true);
    observed(&slow);
}

#[test]
fn an_unknown_item_leaves_the_rest_published() {
    let before = sight(1, index("u", 3, 7, false));
    let items = [item("1", Action::Index), item("2", Action::Index)];
    let outcomes = vec![done("1", "created", 5), Outcome::Unknown("503".into())];
    let decision = decide(1, &items, &before, items_answer(outcomes), Some(&before), false);
    assert_eq!(decision.effects.len(), 1);
    assert_eq!(decision.unknown.as_deref(), Some("503"));
    let whole = decide(1, &items, &before, Answer::Unknown("cut".into()), Some(&before), false);
    assert!(whole.effects.is_empty() && whole.unknown.is_some());
    assert_eq!(decide(1, &items, &before, Answer::Refused(StatusCode::BAD_REQUEST), None, false), Decision::default());
}

#[test]
fn a_write_through_an_alias_is_one_to_the_index_behind_it() {
    let before = sight(1, alias(Some(("real", Some("r")))));
    let written = done_at("real", "1", "created", 5, None);
    let decision = decide_one(Action::Index, written.clone(), &before, Some(&before));
    let key = DocumentKey { index: "real".into(), id: "1".into(), routing: Some("r".into()) };
    assert_eq!(decision.effects[0].key, key);
    assert!(decision.indices.contains_key("real"));
    // It turned to another index, and the coordinating node knew before the master showed it.
    let decision = decide_one(Action::Index, done_at("next", "1", "created", 5, None), &before, Some(&before));
    assert_eq!(&*observed(&decision).key.index, "next");
    let after = sight(2, alias(Some(("next", None))));
    observed(&decide_one(Action::Index, written, &before, Some(&after)));
    let decision = decide_one(Action::Index, Outcome::Conflict, &before, Some(&after));
    let looked: Vec<&str> = decision.observe.iter().map(|doubt| &*doubt.key.index).collect();
    assert_eq!(looked, ["next", "real"], "it may have reached either");
    // The primary refuses it.
    let refused = sight(1, alias(None));
    let outcome = Outcome::Refused { status: 400, by_state: false };
    assert_eq!(decide_one(Action::Index, outcome, &refused, Some(&refused)), Decision::default());
}

#[test]
fn data_streams_are_refused_before_anything_is_written_and_nothing_else() {
    let items = [item("1", Action::Index)];
    assert_eq!(check_before(&items, &sight(1, IndexLookup::Other)).unwrap_err().status.as_u16(), 501);
    for lookup in [index("u", 1, 1, true), alias(None), IndexLookup::Absent] {
        check_before(&items, &sight(1, lookup)).unwrap();
    }
}

#[test]
fn what_could_lead_into_the_placement_is_refused_outside_of_it() {
    let items = [item("1", Action::Index)];
    for lookup in [index("u", 1, 1, true), alias(None), IndexLookup::Other] {
        assert_eq!(check_unplaced(&items, &sight(1, lookup)).unwrap_err().status.as_u16(), 501);
    }
    let named = [PlannedItem { pipeline: true, ..item("1", Action::Index) }];
    assert!(check_unplaced(&named, &sight(1, IndexLookup::Absent)).is_err());
    check_unplaced(&items, &sight(1, index("u", 1, 1, false))).unwrap();
}
