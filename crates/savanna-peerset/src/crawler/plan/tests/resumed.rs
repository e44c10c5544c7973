use super::*;
use crate::crawler::Changes;

#[test]
fn a_second_census_says_what_changed() {
    let mut first = plan(None);
    let now = at(SECOND);
    first.introduce((0..4).map(address), now);
    dials(&mut first, now);
    for number in 0..3 {
        meet(&mut first, address(number), [], now);
    }
    first.handle_failure(address(3), Ending::ConnectionRefused, now);
    assert_eq!(first.census(now).changes, None);
    let saved = first.saved(now);
    assert!(saved.is_complete);

    let mut second = plan(None);
    second.resume(saved, now);
    assert_eq!(dials(&mut second, now).len(), 4);
    meet(&mut second, address(0), [], now);
    second.handle_introduction(address(1), introduction(170_200), now);
    second.handle_talk(address(1), Talk::without_answers(Ending::Complete), now);
    second.handle_failure(address(2), Ending::ConnectionRefused, now);
    meet(&mut second, address(3), [], now);
    let changes = second.census(now).changes.unwrap();
    assert_eq!((&changes.new, &changes.gone), (&vec![address(3)], &vec![address(2)]));
    assert_eq!(changes.changed.len(), 1);
    assert_eq!(changes.changed[0].after.version, ProtocolVersion(170_200));
}

#[test]
fn an_interrupted_crawl_goes_on_where_it_was() {
    let mut first = plan(Some(10 * SECOND));
    first.introduce((0..4).map(address), at(SECOND));
    let dialled = dials(&mut first, at(SECOND));
    meet(&mut first, dialled[0], [], at(SECOND));
    let end = at(10 * SECOND);
    assert!(!first.is_done(at(2 * SECOND)) && first.is_done(end));
    let saved = first.saved(end);
    assert!(!saved.is_complete);

    let mut soon = plan(None);
    soon.resume(saved.clone(), at(20 * SECOND));
    soon.introduce((0..4).map(address), at(20 * SECOND));
    assert_eq!(dials(&mut soon, at(20 * SECOND)).len(), 3);
    assert_eq!(soon.census(at(20 * SECOND)).changes, None);

    let mut late = plan(None);
    late.resume(saved, at(20 * MEET_AGAIN));
    assert_eq!(dials(&mut late, at(20 * MEET_AGAIN)).len(), 4);
}

/// Saves a crawl, and begins another so long after.
fn next(plan: &Plan, until: Option<Duration>, now: Now, after: Duration) -> (Plan, Now) {
    let later = at(now.monotonic + after);
    let mut next = super::plan(until);
    next.resume(plan.saved(now), later);
    (next, later)
}

#[test]
fn a_census_is_complete_when_nobody_is_left_to_be_asked_first() {
    let until = 2 * MEET_AGAIN;
    let mut plan = plan(Some(until));
    plan.introduce([address(0)], at(SECOND));
    dials(&mut plan, at(SECOND));
    meet(&mut plan, address(0), [address(1)], at(SECOND));
    assert_eq!(dials(&mut plan, at(SECOND)), [address(1)]);
    plan.handle_introduction(address(1), introduction(170_190), at(SECOND));
    // The first conversation with one is going on.
    assert!(!plan.is_complete());
    plan.handle_talk(address(1), Talk::without_answers(Ending::Complete), at(SECOND));
    assert!(plan.is_complete());
    assert_eq!(dials(&mut plan, at(SECOND + MEET_AGAIN)).len(), 2);
    plan.handle_introduction(address(0), introduction(170_190), at(SECOND + MEET_AGAIN));
    assert!(!plan.is_exhausted());
    assert!(plan.is_complete() && plan.saved(at(until)).is_complete && plan.census(at(until)).is_complete);
}

#[test]
fn a_conversation_that_was_cut_off_is_had_again() {
    let mut first = plan(Some(10 * SECOND));
    first.introduce([address(0), address(1)], at(SECOND));
    let dialled = dials(&mut first, at(SECOND));
    meet(&mut first, dialled[0], [], at(SECOND));
    first.handle_introduction(dialled[1], introduction(170_190), at(SECOND));
    let (mut second, now) = next(&first, None, at(10 * SECOND), SECOND);
    assert_eq!((second.known(), second.progress().summary.reached), (2, 2));
    assert_eq!(dials(&mut second, now), [dialled[1]]);
}

#[test]
fn crawls_that_never_end_by_themselves_are_compared_too() {
    let mut first = plan(Some(10 * SECOND));
    first.introduce((0..4).map(address), at(SECOND));
    dials(&mut first, at(SECOND));
    for number in 0..3 {
        meet(&mut first, address(number), [], at(SECOND));
    }
    let (mut second, now) = next(&first, Some(2 * MEET_AGAIN), at(10 * SECOND), 2 * MEET_AGAIN - 20 * SECOND);
    dials(&mut second, now);
    second.handle_failure(address(0), Ending::ConnectionRefused, now);
    second.handle_introduction(address(1), introduction(170_200), now);
    let changes = second.census(now).changes.unwrap();
    assert_eq!((changes.gone.as_slice(), changes.changed.len()), (&[address(0)][..], 1));
    // The third crawl knows what the first had heard from those that the second did not reach.
    let (third, now) = next(&second, None, now, 2 * MEET_AGAIN);
    let before = |number| third.nodes[third.index[&address(number)] as usize].before.clone();
    assert_eq!(before(1).unwrap().version, ProtocolVersion(170_200));
    assert_eq!(before(2).unwrap().version, ProtocolVersion(170_190));
    assert!(third.census(now).changes.is_some());
}

#[test]
fn where_there_is_no_way_nobody_is_gone() {
    let mut first = plan(None);
    first.introduce([address(0)], at(SECOND));
    dials(&mut first, at(SECOND));
    meet(&mut first, address(0), [], at(SECOND));
    let (mut second, now) = next(&first, None, at(SECOND), 2 * MEET_AGAIN);
    dials(&mut second, now);
    second.handle_failure(address(0), Ending::NoRoute, now);
    assert_eq!(second.census(now).changes, Some(Changes::default()));
    let (mut third, now) = next(&second, None, now, 2 * MEET_AGAIN);
    dials(&mut third, now);
    third.handle_failure(address(0), Ending::ConnectionRefused, now);
    assert_eq!(third.census(now).changes.unwrap().gone, [address(0)]);
    // And it is told once.
    let (mut fourth, now) = next(&third, None, now, 2 * MEET_AGAIN);
    dials(&mut fourth, now);
    fourth.handle_failure(address(0), Ending::ConnectionRefused, now);
    assert_eq!(fourth.census(now).changes, Some(Changes::default()));
}

#[test]
fn adversary_16_what_never_spoke_is_dropped_after_two_censuses() {
    let mut plan = plan(None);
    let mut now = at(SECOND);
    plan.introduce([address(0), address(1)], now);
    let mut known = Vec::new();
    for _ in 0..3 {
        for node in dials(&mut plan, now) {
            if node == address(0) {
                meet(&mut plan, node, [], now);
            } else {
                plan.handle_failure(node, Ending::ConnectionRefused, now);
            }
        }
        known.push(plan.known());
        (plan, now) = next(&plan, None, now, 2 * MEET_AGAIN);
    }
    assert_eq!(known, [2, 2, 1]);
}

#[test]
fn adversary_16_a_crawl_that_goes_on_has_room_for_new_nodes() {
    let mut first = plan(None);
    first.introduce((0..u32::try_from(MAX_KNOWN).unwrap()).map(address), at(SECOND));
    let spoke = dials(&mut first, at(SECOND))[7];
    meet(&mut first, spoke, [], at(SECOND));
    for after in [SECOND, 2 * MEET_AGAIN] {
        let (second, now) = next(&first, None, at(SECOND), after);
        assert!(second.known() + 50_000 <= MAX_KNOWN && second.index.contains_key(&spoke));
        assert!(second.census(now).passed_over > 0);
    }
}

#[test]
fn a_copy_in_slices_is_what_a_copy_at_once_is() {
    let mut plan = plan(None);
    plan.introduce((0..1_000).map(address), at(SECOND));
    for node in dials(&mut plan, at(SECOND)) {
        meet(&mut plan, node, [], at(SECOND));
    }
    let mut slices = plan.begin_save();
    let mut steps = 1;
    while !plan.save_on(&mut slices, 100, at(SECOND)) {
        steps += 1;
    }
    assert_eq!((steps, &slices), (10, &plan.saved(at(SECOND))));
    assert!(!slices.is_complete);
}

#[test]
fn adversary_16_private_addresses_of_another_crawl_are_not_dialled() {
    let mut first = plan(None);
    first.introduce([address(0), "10.0.0.1:8233".parse().unwrap()], at(SECOND));
    let (mut second, now) = next(&first, None, at(SECOND), SECOND);
    assert_eq!(dials(&mut second, now), [address(0)]);
}
