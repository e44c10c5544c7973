//! Faults of our own: no network, no files.

use super::*;
use crate::crawler::NetworkKind;

#[test]
fn an_outage_is_waited_out_and_costs_nobody_its_chance() {
    let mut plan = plan(None);
    plan.introduce((0..401).map(address), at(SECOND));
    let dialled = dials(&mut plan, at(SECOND));
    assert_eq!(dialled.len(), MAX_DIALS);
    meet(&mut plan, dialled[0], [], at(SECOND));
    for node in &dialled[1..] {
        plan.handle_failure(*node, Ending::NoRoute, at(SECOND));
    }
    // Nobody else is tried on a network that is down.
    assert_eq!(plan.poll_dial(at(2 * SECOND)), None);
    let back = at(SECOND + Outage::PAUSE);
    assert_eq!(plan.poll_timeout(), Some(back.monotonic));
    while !plan.is_done(back) {
        let dialled = dials(&mut plan, back);
        assert!(!dialled.is_empty());
        for node in dialled {
            meet(&mut plan, node, [], back);
        }
    }
    assert_eq!(plan.census(back).summary().reached, 401);
}

#[test]
fn where_nobody_ever_answered_there_is_no_way() {
    let mut plan = plan(None);
    let six: Vec<PeerAddr> = (1..100).map(|site| format!("[2a01:{site:x}::1]:8233").parse().unwrap()).collect();
    plan.introduce([address(0)], at(SECOND));
    plan.introduce(six.iter().copied(), at(SECOND));
    dials(&mut plan, at(SECOND));
    meet(&mut plan, address(0), [], at(SECOND));
    for node in six {
        plan.handle_failure(node, Ending::NoRoute, at(SECOND));
    }
    assert!(plan.is_done(at(SECOND)));
    assert_eq!(plan.census(at(SECOND)).summary().unroutable, 99);
}

#[test]
fn adversary_16_addresses_without_a_way_hold_nobody_up_for_ever() {
    let mut outage = Outage::default();
    outage.answer(NetworkKind::V4);
    let mut now = Duration::ZERO;
    for _ in 0..1_000_000 {
        outage.no_route(NetworkKind::V4, now);
        if outage.is_pausing(now) {
            now = outage.until().unwrap();
        }
    }
    assert!(now <= Duration::from_secs(600), "{now:?}");
}

#[test]
fn too_few_files_cost_no_try_and_lower_the_bound() {
    let mut plan = plan(None);
    plan.introduce((0..300).map(address), at(SECOND));
    let dialled = dials(&mut plan, at(SECOND));
    let (opened, refused) = dialled.split_at(100);
    let warnings = refused.iter().filter(|node| plan.handle_no_files(**node, at(SECOND))).count();
    assert_eq!(warnings, 1);
    assert!(plan.progress().in_flight == 100 && plan.poll_dial(at(SECOND)).is_none());
    for node in opened {
        meet(&mut plan, *node, [], at(SECOND));
    }
    let (mut now, mut failures) = (at(SECOND), 0);
    while !plan.is_done(now) {
        let dialled = dials(&mut plan, now);
        assert!(dialled.len() <= 100);
        for node in dialled {
            plan.handle_failure(node, Ending::TimedOut, now);
            failures += 1;
        }
        now = at(plan.poll_timeout().unwrap_or(now.monotonic).max(now.monotonic));
    }
    // All the others had their two tries.
    assert_eq!((plan.census(now).summary().silent, failures), (200, 400));
}
