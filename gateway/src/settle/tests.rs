use understudy_common::{
    shard::ShardLayout,
    state::{AliasState, AliasWrite, StateId},
};

use super::*;

fn index(uuid: &str, settings: u64, mapping: u64, term: u64) -> Arc<IndexState> {
    Arc::new(IndexState {
        uuid: uuid.into(),
        metadata_version: 1,
        mapping_version: mapping,
        settings_version: settings,
        aliases_version: 1,
        shards: ShardLayout { number: 1, routing: 1024, partition: 1 },
        has_pipeline: false,
        terms: BTreeMap::from([(0, term)]),
    })
}

fn sight(version: u64, lookup: IndexLookup) -> Sight {
    let state = StateId { cluster_uuid: "c".into(), version, state_uuid: "s".into() };
    Sight { state, indices: BTreeMap::from([("i".into(), lookup)]) }
}

fn holds(before: IndexLookup, now: IndexLookup, mapping: Option<u64>) -> bool {
    let mappings = mapping.map(|mapping| ("i".into(), mapping)).into_iter().collect();
    still_holds(&sight(1, before), &mappings, &sight(2, now)).is_ok()
}

#[test]
fn an_intent_is_settled_only_while_everything_that_was_trusted_holds() {
    let before = || IndexLookup::Concrete(index("u", 3, 7, 1));
    let now = |uuid, settings, mapping, term| IndexLookup::Concrete(index(uuid, settings, mapping, term));
    assert!(holds(before(), now("u", 3, 7, 1), Some(7)));
    assert!(!holds(before(), now("v", 3, 7, 1), Some(7)), "made anew");
    assert!(!holds(before(), now("u", 4, 7, 1), Some(7)), "settings: a pipeline may have come and gone");
    assert!(!holds(before(), now("u", 3, 7, 2), Some(7)), "a shard failed over: the write may be undone");
    assert!(!holds(before(), now("u", 3, 8, 1), Some(7)), "a newer mapping than the effects named");
    assert!(holds(before(), now("u", 3, 8, 1), None), "no effect named one");
    assert!(!holds(before(), IndexLookup::Absent, Some(7)));
    assert!(!holds(IndexLookup::Absent, now("u", 1, 1, 1), None), "refused, and there is an index now");
    assert!(holds(IndexLookup::Absent, IndexLookup::Absent, None));
}

#[test]
fn an_alias_must_lead_where_it_led() {
    let alias = |index_name: &str, routing: Option<&str>, term| {
        let write =
            AliasWrite { index: index_name.into(), routing: routing.map(Into::into), state: index("u", 3, 7, term) };
        IndexLookup::Alias(Arc::new(AliasState { write: Some(write) }))
    };
    assert!(holds(alias("a", None, 1), alias("a", None, 1), None));
    assert!(!holds(alias("a", None, 1), alias("b", None, 1), None));
    assert!(!holds(alias("a", None, 1), alias("a", Some("r"), 1), None));
    assert!(!holds(alias("a", None, 1), alias("a", None, 2), None));
}

#[test]
fn another_cluster_settles_nothing() {
    let (seen, mut now) = (sight(1, IndexLookup::Absent), sight(1, IndexLookup::Absent));
    now.state.cluster_uuid = "d".into();
    assert!(still_holds(&seen, &BTreeMap::new(), &now).is_err());
}

#[test]
fn what_waits_is_bounded() {
    let (settling, _waiting) = Settling::new();
    let done = |bytes: usize| Done {
        ticket: Ticket { request: "r".into(), at_ms: 0, begun: std::time::Instant::now(), open: None },
        intent: vec![0; bytes].into(),
        answered: Instant::now(),
        seen: sight(1, IndexLookup::Absent),
        mappings: BTreeMap::new(),
    };
    assert!(settling.put(done(BYTES - 10)).is_ok());
    assert!(settling.put(done(11)).is_err());
    assert!(settling.put(done(10)).is_ok());
}
