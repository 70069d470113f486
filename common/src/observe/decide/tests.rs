use std::collections::BTreeMap;

use super::*;
use crate::{observe::PrimaryCopy, shard::ShardLayout, state::IndexState};

fn index(uuid: &str, term: u64, allocation: &str) -> IndexSight {
    IndexSight {
        state: Arc::new(IndexState {
            uuid: uuid.into(),
            metadata_version: 1,
            mapping_version: 1,
            settings_version: 1,
            aliases_version: 1,
            shards: ShardLayout { number: 1, routing: 1024, partition: 1 },
            has_pipeline: false,
            terms: BTreeMap::from([(0, term)]),
        }),
        single_copies: false,
        primaries: BTreeMap::from([(0, PrimaryCopy { node: "n".into(), allocation: allocation.into() })]),
    }
}

fn key() -> DocumentKey {
    DocumentKey { index: "i".into(), id: "1".into(), routing: Some("asked".into()) }
}

fn found() -> Looked {
    Looked::Found { source: Bytes::from_static(b"{\"a\":1}"), seq_no: 7, routing: Some("own".into()) }
}

struct Case {
    epoch: u64,
    before: Option<IndexSight>,
    max_seq_no: Option<i64>,
    looked: Looked,
    after: Option<IndexSight>,
    rested: bool,
}

impl Default for Case {
    fn default() -> Self {
        let index = index("u", 3, "a");
        Self {
            epoch: 1,
            before: Some(index.clone()),
            max_seq_no: Some(9),
            looked: found(),
            after: Some(index),
            rested: true,
        }
    }
}

impl Case {
    fn decide(self) -> Observed {
        decide(Question {
            epoch: self.epoch,
            key: &key(),
            before: self.before.as_ref(),
            max_seq_no: self.max_seq_no,
            looked: self.looked,
            after: self.after.as_ref(),
            rested: self.rested,
            largest_source: 100,
        })
    }

    fn effect(self) -> Effect {
        match self.decide() {
            Observed::Effect(effect) => effect,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn unknown(self) {
        let decided = self.decide();
        assert!(matches!(decided, Observed::Unknown(_)), "{decided:?}");
    }
}

#[test]
fn a_document_carries_the_current_term_and_its_own_seq_no_and_routing() {
    let effect = Case::default().effect();
    assert_eq!(effect.version, PackedVersion::pack(1, 3, 7).unwrap());
    assert!(effect.observed);
    assert_eq!(effect.key.routing.as_deref(), Some("own"));
    assert_eq!(effect.version_type(), "external_gte");
}

#[test]
fn an_absent_document_is_a_delete_with_the_greatest_seq_no_from_before_the_look() {
    let effect = Case { looked: Looked::Missing, ..Case::default() }.effect();
    assert_eq!((effect.version, effect.state), (PackedVersion::pack(1, 3, 9).unwrap(), DocumentState::Deleted));
    assert_eq!(effect.key.routing.as_deref(), Some("asked"));
    Case { looked: Looked::Missing, max_seq_no: None, ..Case::default() }.unknown();
}

#[test]
fn absent_in_an_empty_shard_is_nothing_in_the_first_term_and_else_a_delete_below_all_that_it_will_write() {
    let empty = |epoch, term| {
        let index = Some(index("u", term, "a"));
        Case {
            epoch,
            before: index.clone(),
            after: index,
            looked: Looked::Missing,
            max_seq_no: Some(-1),
            ..Case::default()
        }
    };
    assert_eq!(empty(1, 1).decide(), Observed::Nothing);
    let v = |epoch, term, seq_no| PackedVersion::pack(epoch, term, seq_no).unwrap();
    // What a copy before this one wrote, and what this one will write.
    for (epoch, term, former, first) in [(1, 3, v(1, 2, 1 << 39), v(1, 3, 0)), (2, 1, v(1, 9, 9), v(2, 1, 0))] {
        let effect = empty(epoch, term).effect();
        assert_eq!(effect.state, DocumentState::Deleted);
        assert!(former < effect.version && effect.version < first, "{}", effect.version);
    }
}

#[test]
fn a_term_that_changes_during_the_look_tells_nothing() {
    Case { after: Some(index("u", 4, "a")), ..Case::default() }.unknown();
}

#[test]
fn another_primary_copy_after_the_look_tells_nothing() {
    Case { after: Some(index("u", 3, "b")), ..Case::default() }.unknown();
    let gone = IndexSight { primaries: BTreeMap::new(), ..index("u", 3, "a") };
    Case { before: Some(gone.clone()), after: Some(gone), ..Case::default() }.unknown();
}

#[test]
fn a_demoted_primary_may_answer_until_its_term_has_rested() {
    Case { rested: false, ..Case::default() }.unknown();
    Case { rested: false, looked: Looked::Missing, ..Case::default() }.unknown();
}

#[test]
fn an_index_that_came_went_or_was_made_anew_tells_nothing() {
    Case { after: Some(index("v", 3, "a")), ..Case::default() }.unknown();
    Case { after: None, ..Case::default() }.unknown();
    Case { before: None, ..Case::default() }.unknown();
    assert_eq!(Case { before: None, after: None, ..Case::default() }.decide(), Observed::Nothing);
}

#[test]
fn a_failed_look_is_unknown_and_never_absent() {
    Case { looked: Looked::Failed("shard failed".into()), ..Case::default() }.unknown();
}

#[test]
fn a_source_that_is_too_large_becomes_a_reference() {
    let source = Bytes::from(vec![b' '; 101]);
    let effect = Case { looked: Looked::Found { source, seq_no: 7, routing: None }, ..Case::default() }.effect();
    assert_eq!(effect.state, DocumentState::Reference);
}

#[test]
fn a_version_that_does_not_fit_is_unknown() {
    Case { epoch: 1 << 10, ..Case::default() }.unknown();
}
