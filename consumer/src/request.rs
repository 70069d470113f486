//! Effects to the body of a `_bulk`.

use std::time::Duration;

use bytes::Bytes;
use understudy_common::{
    effect::{DocumentState, Effect},
    planted, record,
};

/// Bytes that an action line takes beside names, about.
const ACTION_LINE: usize = 120;

/// The path of a bulk, with the answer reduced to what verdicts need. The target gives up before its answer would no
/// longer be waited for, and before anybody believes that none of it lingers there.
#[must_use]
pub fn path(target_timeout: Duration, linger: Duration) -> String {
    const KEPT: &str =
        "items.*._index,items.*._id,items.*.status,items.*.result,items.*._seq_no,items.*.error,error,status";
    let wait = (target_timeout * 2 / 3).min(linger / 2).as_millis().max(1);
    format!("/_bulk?timeout={wait}ms&filter_path={KEPT}")
}

/// Bytes that an effect takes in a body, about.
#[must_use]
pub fn effect_len(effect: &Effect) -> usize {
    let key = &effect.key;
    ACTION_LINE + key.index.len() + key.id.len() + key.routing.as_deref().map_or(0, str::len) + effect.source_len()
}

/// The body of a bulk with these effects; `None` when one of them is a reference, which says nothing that a target could
/// be told.
#[must_use]
pub fn body<'a>(mut effects: impl Iterator<Item = &'a Effect> + Clone) -> Option<Bytes> {
    let all = effects.clone();
    let told = effects.all(|effect| effect.state != DocumentState::Reference);
    told.then(|| planted::versioned(record::bulk_body(all)).into())
}

#[cfg(test)]
mod tests {
    use understudy_common::{bulk, document::DocumentKey, version::PackedVersion};

    use super::*;

    #[test]
    fn a_body_says_what_the_effects_are() {
        let key = |routing: Option<&str>| DocumentKey {
            index: "i".into(),
            id: "a\"\u{1}b".into(),
            routing: routing.map(Into::into),
        };
        let version = PackedVersion::pack(1, 1, 7).unwrap();
        let effects = [
            Effect::claimed(key(Some("r")), version, DocumentState::Put(Bytes::from_static(b"{\"a\": 1.10}"))),
            Effect::claimed(key(None), version, DocumentState::Deleted),
        ];
        let body = body(effects.iter()).unwrap();
        let operations = bulk::parse(&body).unwrap();
        assert_eq!(operations.len(), 2);
        assert_eq!(operations[0].source.as_deref(), Some(&b"{\"a\": 1.10}"[..]));
        assert_eq!(operations[0].fields.routing.as_deref(), Some("r"));
        for operation in &operations {
            assert_eq!(operation.fields.id.as_deref(), Some("a\"\u{1}b"));
            assert_eq!(operation.fields.version, Some(version.raw()));
            assert_eq!(operation.fields.version_type.as_deref(), Some("external"));
        }
        assert!(body.len() <= effects.iter().map(effect_len).sum::<usize>());
    }

    #[test]
    fn a_reference_is_never_sent() {
        let key = DocumentKey { index: "i".into(), id: "1".into(), routing: None };
        let version = PackedVersion::pack(1, 1, 7).unwrap();
        let effects = [Effect::claimed(key, version, DocumentState::Reference)];
        assert_eq!(body(effects.iter()), None);
    }
}
