//! The judge on ledgers and states made by hand: each kind of violation is found, and what is legal passes.

use super::{Rule, Violation, judge};
use crate::{
    history::Histories,
    ledger::{Answered, Entry, Item, Leaves, Outcome, Sent, Written},
    seen::{Document, Letter, Published, Seen},
};

/// A case: writes, and what they left.
#[derive(Default)]
struct Case {
    entries: Vec<Entry>,
    seen: Seen,
    clock: i64,
}

const ID: &str = "a";

fn version(seq_no: u64) -> u64 {
    (1 << 53) + (1 << 40) + seq_no
}

fn written(result: &str, seq_no: u64) -> Written {
    Written { index: "i".into(), id: ID.into(), result: result.into(), term: 1, seq_no }
}

fn acknowledged(result: &str, seq_no: u64) -> Outcome {
    Outcome::Acknowledged(written(result, seq_no))
}

fn unknown() -> Outcome {
    Outcome::Unknown("500".into())
}

fn refused() -> Outcome {
    Outcome::Refused("503".into())
}

fn source(w: &str) -> String {
    format!(r#"{{"w":"{w}"}}"#)
}

impl Case {
    /// A write of document `a`; what was acknowledged is in the log in time.
    fn write(mut self, w: &str, leaves: Leaves, outcome: Outcome) -> Self {
        let published = matches!(outcome, Outcome::Acknowledged(_));
        let (sent, answered) = (self.clock, self.clock + 100);
        self.clock += 1_000;
        let item = Item {
            w: w.into(),
            kind: "index".into(),
            index: "i".into(),
            id: Some(ID.into()),
            routing: None,
            leaves,
            stored: (leaves == Leaves::Document).then(|| source(w)),
        };
        if let (true, Some(told)) = (published, outcome.written()) {
            let source = (leaves == Leaves::Document).then(|| source(w));
            self = self.publish(source, told.seq_no, answered - 10);
        }
        self.entries.push(Entry::Sent(Sent {
            write: w.into(),
            at: sent,
            gateway: "gateway-1".into(),
            kind: "index".into(),
            method: "PUT".into(),
            path: "/i/_doc/a".into(),
            body: item.stored.clone(),
            items: vec![item],
        }));
        let outcomes = vec![outcome];
        let reply = String::new();
        self.entries.push(Entry::Answered(Answered { write: w.into(), at: answered, status: None, reply, outcomes }));
        self
    }

    fn put(self, w: &str, outcome: Outcome) -> Self {
        self.write(w, Leaves::Document, outcome)
    }

    fn delete(self, w: &str, outcome: Outcome) -> Self {
        self.write(w, Leaves::Nothing, outcome)
    }

    fn publish(mut self, source: Option<String>, seq_no: u64, appended: i64) -> Self {
        self.seen.log.push(Published {
            partition: 0,
            offset: self.seen.log.len() as i64,
            appended,
            ticket: appended - 5,
            request: "q".into(),
            gateway: "gateway-1".into(),
            index: "i".into(),
            id: ID.into(),
            routing: None,
            packed: version(seq_no),
            version: version(seq_no),
            observed: false,
            source,
            reference: false,
            void: false,
        });
        self
    }

    fn document(w: &str, id: &str, seq_no: u64) -> Document {
        let (index, source) = ("i".into(), source(w));
        Document { index, id: id.into(), routing: None, source, version: 1, term: 1, seq_no }
    }

    /// What both sides have.
    fn both(self, w: &str, seq_no: u64) -> Self {
        self.primary(w, ID, seq_no).backup(w, ID, seq_no)
    }

    fn primary(mut self, w: &str, id: &str, seq_no: u64) -> Self {
        self.seen.primary.documents.push(Self::document(w, id, seq_no));
        self
    }

    fn backup(mut self, w: &str, id: &str, seq_no: u64) -> Self {
        // A target has sequence numbers of its own, and versions of the log.
        let of_it = self.seen.log.iter().filter(|effect| effect.id == id && !effect.void);
        let version = of_it.map(|effect| effect.packed).max().unwrap_or(version(seq_no));
        self.seen.backup.documents.push(Document { version, ..Self::document(w, id, seq_no + 40) });
        self
    }

    fn judged(&self) -> Vec<Violation> {
        judge(&Histories::of(&self.entries, &self.seen.shards), &self.seen, true)
    }

    #[track_caller]
    fn passes(&self) {
        assert_eq!(self.judged(), []);
    }

    /// Exactly these rules are broken.
    #[track_caller]
    fn breaks(&self, rules: &[Rule]) {
        let mut broken: Vec<Rule> = self.judged().iter().map(|violation| violation.rule).collect();
        broken.sort_unstable();
        broken.dedup();
        assert_eq!(broken, rules, "{:#?}", self.judged());
    }
}

fn case() -> Case {
    Case::default()
}

#[test]
fn the_last_of_acknowledged_writes_stands() {
    case().put("1", acknowledged("created", 0)).put("2", acknowledged("updated", 1)).both("2", 1).passes();
    case().put("1", acknowledged("created", 0)).delete("2", acknowledged("deleted", 1)).passes();
    // Told in another order than the primary's: the greater place counts.
    case().put("2", acknowledged("updated", 1)).put("1", acknowledged("created", 0)).both("2", 1).passes();
    // A delete of what was not there is one, too.
    case().delete("1", acknowledged("not_found", 0)).passes();
}

#[test]
fn an_acknowledged_write_that_is_gone_is_lost() {
    case().put("1", acknowledged("created", 0)).breaks(&[Rule::Lost]);
    let two = || case().put("1", acknowledged("created", 0)).put("2", acknowledged("updated", 1));
    two().both("1", 0).breaks(&[Rule::Lost]);
    case()
        .put("1", acknowledged("created", 0))
        .delete("2", acknowledged("deleted", 1))
        .both("1", 0)
        .breaks(&[Rule::Lost]);
    // A write that was told to be on the primary is there, acknowledged or not.
    case().put("1", Outcome::Pending(written("created", 0))).breaks(&[Rule::Lost]);
}

#[test]
fn what_is_unknown_may_be_there_or_not() {
    let first = || case().put("1", acknowledged("created", 0));
    first().put("2", unknown()).both("1", 0).passes();
    first().put("2", unknown()).both("2", 1).passes();
    first().delete("2", unknown()).both("1", 0).passes();
    first().delete("2", unknown()).passes();
    case().put("1", unknown()).passes();
    // But an unknown put deletes nothing, and nothing takes a place that was acknowledged.
    first().put("2", unknown()).breaks(&[Rule::Lost]);
    first().put("2", unknown()).both("2", 0).breaks(&[Rule::Lost]);
    // And what is there later than the unknown cannot be older than what was acknowledged.
    case().put("1", unknown()).put("2", acknowledged("updated", 4)).both("1", 3).breaks(&[Rule::Lost]);
}

#[test]
fn a_write_without_an_answer_is_unknown() {
    let mut case = case().put("1", acknowledged("created", 0)).put("2", refused());
    case.entries.pop();
    case.both("2", 1).passes();
}

#[test]
fn a_refused_write_left_nothing() {
    case().put("1", acknowledged("created", 0)).put("2", refused()).both("1", 0).passes();
    case().put("1", acknowledged("created", 0)).put("2", refused()).both("2", 1).breaks(&[Rule::RefusedYetThere]);
    // A refused delete excuses nothing.
    case().put("1", acknowledged("created", 0)).delete("2", refused()).breaks(&[Rule::Lost]);
}

#[test]
fn both_sides_must_be_equal() {
    let two = || case().put("1", acknowledged("created", 0)).put("2", acknowledged("updated", 1));
    two().primary("2", ID, 1).breaks(&[Rule::Different]);
    two().primary("2", ID, 1).backup("1", ID, 0).breaks(&[Rule::Different]);
    let deleted = || case().put("1", acknowledged("created", 0)).delete("2", acknowledged("deleted", 1));
    deleted().backup("1", ID, 0).breaks(&[Rule::Different]);
    let mut routed = two().both("2", 1);
    routed.seen.backup.documents[0].routing = Some("r".into());
    routed.breaks(&[Rule::Different, Rule::Changed]);
    let mut typed = two().both("2", 1);
    for (side, kind) in [(&mut typed.seen.primary, "long"), (&mut typed.seen.backup, "float")] {
        side.fields.entry("i".into()).or_default().insert("n".into(), kind.into());
    }
    typed.breaks(&[Rule::OtherField]);
}

#[test]
fn bytes_are_kept_and_only_line_breaks_become_spaces() {
    let mut pretty = case().put("1", acknowledged("created", 0)).both("1", 0);
    let (lines, line) = ("{\"w\":\"1\",\r\n \"n\":1.10}", "{\"w\":\"1\",   \"n\":1.10}");
    if let Entry::Sent(sent) = &mut pretty.entries[0] {
        sent.items[0].stored = Some(lines.into());
    }
    pretty.seen.primary.documents[0].source = lines.into();
    pretty.seen.backup.documents[0].source = line.into();
    pretty.seen.log[0].source = Some(line.into());
    pretty.passes();
    pretty.seen.backup.documents[0].source = line.replace("1.10", "1.1");
    pretty.breaks(&[Rule::Different, Rule::Changed]);
    // Equal on both sides, and not what was sent.
    pretty.seen.primary.documents[0].source = line.replace("1.10", "1.1");
    pretty.breaks(&[Rule::Changed]);
}

#[test]
fn what_nobody_wrote_is_found_on_both_sides_and_in_the_log() {
    let first = || case().put("1", acknowledged("created", 0)).both("1", 0);
    first().backup("x", "b", 9).breaks(&[Rule::Different, Rule::Unwritten]);
    first().primary("x", "b", 9).backup("x", "b", 9).breaks(&[Rule::Unwritten]);
    // Written, and to another document; then it stands twice, too.
    first().primary("1", "b", 9).backup("1", "b", 9).breaks(&[Rule::Unwritten, Rule::Doubled]);
    first().publish(Some(source("x")), 9, 5_000).breaks(&[Rule::LogUnwritten, Rule::OtherVersion]);
    first().put("2", refused()).publish(Some(source("2")), 9, 5_000).breaks(&[Rule::LogUnwritten, Rule::OtherVersion]);
    let mut void = first().publish(Some(source("x")), 9, 5_000);
    void.seen.log[1].void = true;
    void.passes();
    let mut foreign = first();
    foreign.seen.unreadable.push("partition 0, offset 3".into());
    foreign.breaks(&[Rule::LogUnwritten]);
}

#[test]
fn a_write_is_carried_out_once() {
    case().put("1", acknowledged("created", 0)).both("1", 3).breaks(&[Rule::Twice]);
}

#[test]
fn of_an_unknown_write_without_id_one_document_may_be_there() {
    let mut auto = case().put("1", unknown());
    let Entry::Sent(sent) = &mut auto.entries[0] else { unreachable!("it was sent first") };
    sent.items[0].id = None;
    auto.passes();
    let auto = auto.primary("1", "x1", 0).backup("1", "x1", 0);
    auto.passes();
    auto.primary("1", "x2", 1).backup("1", "x2", 1).breaks(&[Rule::Doubled]);
}

#[test]
fn an_update_that_changed_nothing_acknowledges_what_it_found() {
    let noop = |seq_no| acknowledged("noop", seq_no);
    let first = || case().put("1", acknowledged("created", 0));
    first().write("2", Leaves::Unchanged, noop(0)).both("1", 0).passes();
    first().put("2", unknown()).write("3", Leaves::Unchanged, noop(1)).both("2", 1).publish(None, 1, 2_050).passes();
    first().put("2", unknown()).write("3", Leaves::Unchanged, noop(1)).both("1", 0).breaks(&[Rule::Lost]);
    first().write("2", Leaves::Unchanged, noop(0)).both("2", 0).breaks(&[Rule::Lost, Rule::Unwritten]);
}

#[test]
fn an_acknowledgement_comes_after_the_log() {
    let first = || case().put("1", acknowledged("created", 3)).both("1", 3);
    let mut late = first();
    late.seen.log[0].appended = 2_000;
    late.breaks(&[Rule::NotInLog]);
    // A newer effect of the document serves as well, as an observation is one.
    let mut newer = first();
    newer.seen.log[0].packed = version(4);
    newer.passes();
    newer.seen.log[0].packed = version(2);
    newer.breaks(&[Rule::NotInLog]);
    let mut void = first();
    void.seen.log[0].void = true;
    void.breaks(&[Rule::NotInLog]);
}

#[test]
fn under_two_routings_an_id_is_two_documents_where_the_shards_differ() {
    let routed = |shards: [u32; 2]| {
        let mut case = case().put("1", acknowledged("created", 0)).put("2", acknowledged("created", 0));
        for (place, routing) in ["r1", "r2"].into_iter().enumerate() {
            let Entry::Sent(sent) = &mut case.entries[2 * place] else { unreachable!("sent, answered, sent") };
            sent.items[0].routing = Some(routing.into());
            case.seen.log[place].routing = Some(routing.into());
            case.seen.shards.0.entry("i".into()).or_default().insert(routing.into(), shards[place]);
        }
        case
    };
    let there = |case: Case| {
        let mut case = case.both("1", 0).both("2", 0);
        for side in [&mut case.seen.primary, &mut case.seen.backup] {
            for (document, routing) in side.documents.iter_mut().zip(["r1", "r2"]) {
                document.routing = Some(routing.into());
            }
        }
        case
    };
    there(routed([0, 1])).passes();
    there(routed([1, 1])).breaks(&[Rule::Doubled]);
    // In one shard the later replaced the earlier, also under another routing.
    let mut one = there(routed([1, 1]));
    for side in [&mut one.seen.primary, &mut one.seen.backup] {
        side.documents.remove(0);
    }
    one.passes();
}

#[test]
fn offsets_and_intents_must_be_at_rest() {
    let mut rest = case();
    rest.seen.offsets.insert(0, (7, 7));
    rest.passes();
    rest.seen.offsets.insert(0, (6, 7));
    rest.breaks(&[Rule::Offsets]);
    rest.seen.offsets.insert(0, (8, 7));
    rest.breaks(&[Rule::Offsets]);
    rest.seen.offsets.clear();
    rest.seen.open.insert("q".into(), vec![ID.into()]);
    rest.breaks(&[Rule::Unsettled]);
}

#[test]
fn without_a_reconciler_documents_in_doubt_may_differ_and_others_may_not() {
    let mut doubt =
        case().put("1", acknowledged("created", 0)).put("2", unknown()).primary("2", ID, 1).backup("1", ID, 0);
    doubt.seen.open.insert("q".into(), vec![ID.into()]);
    let judged = |case: &Case| judge(&Histories::of(&case.entries, &case.seen.shards), &case.seen, false);
    assert_eq!(judged(&doubt), []);
    doubt.breaks(&[Rule::Different, Rule::Unsettled]);
    doubt.seen.open.insert("q".into(), vec!["another".into()]);
    assert_eq!(judged(&doubt).len(), 1);
}

#[test]
fn the_backup_has_the_versions_of_the_log_where_clients_give_none() {
    let two = || case().put("1", acknowledged("created", 0)).put("2", acknowledged("updated", 1)).both("2", 1);
    two().passes();
    let mut other = two();
    other.seen.backup.documents[0].version = 2;
    other.breaks(&[Rule::OtherVersion]);
    // Clients' own versions order for themselves.
    other.seen.log[0].version = 7;
    other.passes();
}

#[test]
fn a_dead_letter_explains_the_state_that_it_holds_and_nothing_else() {
    // Of two writes the backup has the first; the second is a dead letter.
    let refused = |source: &str, error: &str| {
        let mut case = case().put("1", acknowledged("created", 0)).put("2", acknowledged("updated", 1)).both("1", 0);
        case.entries.iter_mut().for_each(|entry| {
            let Entry::Sent(sent) = entry else { return };
            sent.items.iter_mut().filter(|item| item.w == "2").for_each(|item| item.stored = Some(source.to_owned()));
        });
        let there = &mut case.seen.primary.documents[0];
        (there.source, there.seq_no) = (source.to_owned(), 1);
        case.seen.backup.documents[0].version = version(0);
        case.seen.log[1].source = Some(source.to_owned());
        let (effect, error) = (Some(case.seen.log[1].clone()), error.to_owned());
        case.seen.dead.push(Letter { effect, status: "400".to_owned(), error, shown: "a letter".to_owned() });
        case
    };
    let (misfit, kind) = (r#"{"w":"2","o":{"x":"text"}}"#, "mapper_parsing_exception");
    let explained = || refused(misfit, kind);
    explained().passes();
    let differs = [Rule::Different, Rule::OtherVersion];
    let unexplained = [Rule::Different, Rule::OtherVersion, Rule::DeadLetter];
    refused(r#"{"w":"2","o":{"x":7}}"#, kind).breaks(&unexplained);
    refused(misfit, "version_conflict_engine_exception").breaks(&unexplained);
    let mut unreadable = explained();
    unreadable.seen.dead[0].effect = None;
    unreadable.breaks(&unexplained);
    let mut dropped = explained();
    dropped.seen.dead.clear();
    dropped.breaks(&differs);
    // A letter of another document, or of another state of this one.
    let mut other = explained();
    other.seen.dead[0].effect.as_mut().unwrap().id = "b".into();
    other.breaks(&differs);
    let mut older = explained();
    older.seen.dead[0].effect.as_mut().unwrap().packed = version(0);
    older.breaks(&differs);
    // The backup has what it had before it refused, and neither something else nor nothing.
    let mut invented = explained();
    invented.seen.backup.documents[0].version = version(0) - 1;
    invented.breaks(&differs);
    let mut lost = explained();
    lost.seen.backup.documents.clear();
    lost.breaks(&[Rule::Different]);
    // Nothing is left of it once it was brought.
    let mut brought = explained();
    brought.seen.backup.documents[0].source = misfit.to_owned();
    brought.seen.backup.documents[0].version = version(1);
    brought.passes();
}
