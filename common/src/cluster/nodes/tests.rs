use proptest::prelude::*;

use super::*;

fn three() -> (Nodes, Instant) {
    let now = Instant::now();
    (Nodes::new(3, now), now)
}

/// Puts a node out.
fn put_out(nodes: &mut Nodes, node: usize, now: Instant) {
    assert_eq!([nodes.failed(node, now), nodes.failed(node, now)], [Change::None, Change::Out]);
}

#[test]
fn the_least_busy_node_is_first_and_the_first_of_equals() {
    let (mut nodes, now) = three();
    let begun: Vec<_> = (0..4).map(|_| nodes.begin(&[], now)).collect();
    assert_eq!(begun, [Some(0), Some(1), Some(2), Some(0)]);
    nodes.end(1);
    assert_eq!(nodes.begin(&[], now), Some(1));
    assert_eq!(nodes.begin(&[1, 2], now), Some(0));
    assert_eq!(nodes.begin(&[0, 1, 2], now), None);
}

#[test]
fn one_failure_alone_puts_nobody_out() {
    let (mut nodes, now) = three();
    for _ in 0..5 {
        assert_eq!(nodes.failed(0, now), Change::None);
        assert_eq!(nodes.answered(0, now), Change::None);
    }
    assert_eq!(nodes.begin(&[], now), Some(0));
}

#[test]
fn a_node_that_is_out_gets_calls_only_when_no_other_is_left() {
    let (mut nodes, now) = three();
    nodes.set_watched(true);
    put_out(&mut nodes, 0, now);
    assert_eq!(nodes.failed(0, now), Change::None, "it is told once");
    assert_eq!(nodes.begin(&[], now), Some(1));
    assert_eq!(nodes.begin(&[], now), Some(2));
    assert_eq!(nodes.begin(&[1, 2], now), Some(0));
}

#[test]
fn a_node_is_back_after_two_answers_in_a_row() {
    let (mut nodes, now) = three();
    nodes.set_watched(true);
    put_out(&mut nodes, 0, now);
    assert_eq!(nodes.answered(0, now), Change::None);
    assert_eq!(nodes.failed(0, now), Change::None);
    assert_eq!(nodes.answered(0, now), Change::None);
    assert_eq!(nodes.answered(0, now), Change::Back);
    assert_eq!(nodes.begin(&[], now), Some(0));
}

#[test]
fn where_nobody_watches_a_node_is_tried_again_after_its_rest() {
    let (mut nodes, now) = three();
    put_out(&mut nodes, 0, now);
    let rested = now + REST;
    assert_eq!(nodes.begin(&[], now), Some(1));
    assert_eq!(nodes.begin(&[], rested), Some(0));
    assert_eq!(nodes.failed(0, rested), Change::None);
    nodes.end(0);
    nodes.end(1);
    assert_eq!(nodes.begin(&[], rested), Some(1), "it rests again");
    assert_eq!(nodes.answered(0, rested + REST), Change::Back);
    put_out(&mut nodes, 0, now);
    nodes.set_watched(true);
    nodes.end(1);
    assert_eq!(nodes.begin(&[], rested), Some(1), "who is watched is waited for");
}

#[test]
fn those_that_are_out_or_keep_calls_waiting_are_asked() {
    let (mut nodes, now) = three();
    assert!(nodes.in_question(now + 2 * SILENT).is_empty(), "nobody waits");
    put_out(&mut nodes, 2, now);
    let begun = now + SILENT;
    assert_eq!(nodes.begin(&[], begun), Some(0));
    assert_eq!(nodes.in_question(begun), [2]);
    assert_eq!(nodes.in_question(begun + SILENT), [0, 2]);
    nodes.answered(0, begun + SILENT);
    assert_eq!(nodes.in_question(begun + SILENT), [2]);
    let mut alone = Nodes::new(1, now);
    put_out(&mut alone, 0, now);
    assert!(alone.in_question(now).is_empty());
}

#[test]
fn a_node_is_left_only_for_one_that_is_better() {
    let (mut nodes, now) = three();
    nodes.set_watched(true);
    assert!(!nodes.should_leave(0, &[0], now));
    put_out(&mut nodes, 0, now);
    assert!(nodes.should_leave(0, &[0], now));
    put_out(&mut nodes, 1, now);
    assert!(!nodes.should_leave(0, &[0, 2], now), "the one that is well was tried");
    put_out(&mut nodes, 2, now);
    assert!(!nodes.should_leave(0, &[0], now));
}

proptest! {
    /// Whatever happened before, a call meets every node once, and those that are well before the others.
    #[test]
    fn every_node_is_tried_once_and_the_well_ones_first(
        events in prop::collection::vec((0..4usize, 0..3u8), 0..40), watched: bool,
    ) {
        let now = Instant::now();
        let mut nodes = Nodes::new(4, now);
        nodes.set_watched(watched);
        for (node, event) in events {
            match event {
                0 => { nodes.answered(node, now); }
                1 => { nodes.failed(node, now); }
                _ => { nodes.begin(&[], now); }
            }
        }
        let mut tried = Vec::new();
        while let Some(node) = nodes.begin(&tried, now) {
            tried.push(node);
        }
        let well: Vec<bool> = tried.iter().map(|node| nodes.is_well(*node, now)).collect();
        tried.sort_unstable();
        prop_assert_eq!(tried, [0, 1, 2, 3]);
        prop_assert!(well.is_sorted_by(|one, next| one >= next));
    }
}
