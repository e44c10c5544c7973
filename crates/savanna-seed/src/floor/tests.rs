use std::net::Ipv4Addr;

use savanna_wire::Host;

use super::*;

const START: UnixTime = UnixTime(1_790_000_000);
const OLD: ProtocolVersion = ProtocolVersion(170_160);
const NEW: ProtocolVersion = ProtocolVersion(170_190);
const ACTIVATION: i32 = 3_543_405;
const PAST: i32 = ACTIVATION + Floor::MARGIN;

fn group(number: u8) -> Netgroup {
    Netgroup::of(Host::V4(Ipv4Addr::new(20, number, 0, 1)))
}

/// A sweep in which each of the groups has one node that says the same.
fn sweep(said: &[(ProtocolVersion, i32)]) -> Sweep {
    let groups = (0..).zip(said).map(|(number, said)| (group(number), GroupView { nodes: vec![*said] }));
    Sweep { groups: groups.collect() }
}

fn floor_before() -> Floor {
    Floor::new(Network::Mainnet, 3_500_000)
}

/// Observes a sweep once an hour, and returns the floor after each.
fn hourly(floor: &mut Floor, sweep: &Sweep, times: u32) -> Vec<i32> {
    let begin = floor.last_sweep.max(START);
    (1..=times)
        .map(|hour| {
            floor.observe(sweep, begin.plus(hour * Floor::SWEEP_EVERY));
            floor.version().0
        })
        .collect()
}

#[test]
fn it_rises_when_most_groups_are_past_the_activation_for_three_sweeps() {
    let mut floor = floor_before();
    assert_eq!(floor.version(), OLD);
    let most = sweep(&[(NEW, PAST), (NEW, PAST), (NEW, PAST), (NEW, PAST), (OLD, PAST), (OLD, PAST)]);
    assert_eq!(hourly(&mut floor, &most, 3), [170_160, 170_160, 170_190]);
    assert_eq!(floor.decision().authority, Authority::Observed { past: 4, of: 6 });
    // From there on nobody below it has a say, so nothing moves it back.
    assert_eq!(hourly(&mut floor, &sweep(&[(OLD, PAST); 50]), 10), [170_190; 10]);
}

#[test]
fn neither_versions_nor_heights_alone_move_it() {
    for said in [(NEW, ACTIVATION - 1), (NEW, PAST - 1), (OLD, PAST), (OLD, i32::MAX), (NEW, i32::MIN)] {
        assert_eq!(hourly(&mut floor_before(), &sweep(&[said; 20]), 10), [170_160; 10], "{said:?}");
    }
}

#[test]
fn few_groups_half_of_them_or_an_interrupted_run_move_nothing() {
    let few = sweep(&[(NEW, PAST); 3]);
    assert_eq!(hourly(&mut floor_before(), &few, 10), [170_160; 10]);
    let half = sweep(&[[(NEW, PAST); 5], [(OLD, PAST); 5]].concat());
    assert_eq!(hourly(&mut floor_before(), &half, 10), [170_160; 10]);
    let (all, none) = (sweep(&[(NEW, PAST); 9]), sweep(&[(OLD, PAST); 9]));
    let mut floor = floor_before();
    for _ in 0..5 {
        assert_eq!(hourly(&mut floor, &all, 2), [170_160; 2]);
        assert_eq!(hourly(&mut floor, &none, 1), [170_160]);
    }
}

#[test]
fn sweeps_count_once_an_hour() {
    let mut floor = floor_before();
    let all = sweep(&[(NEW, PAST); 9]);
    for second in 1..2 * Floor::SWEEP_EVERY {
        assert!(!floor.observe(&all, START.plus(second)));
    }
    assert!(floor.observe(&all, START.plus(2 * Floor::SWEEP_EVERY + 1)));
}

#[test]
fn adversary_23_many_nodes_of_few_groups_do_not_move_it() {
    // 5,000 liars in three groups, against nine honest nodes in nine.
    let mut flooded = sweep(&[(OLD, ACTIVATION - 5_000); 9]);
    for number in 100..103 {
        flooded.groups.insert(group(number), GroupView { nodes: vec![(NEW, i32::MAX); 5_000] });
    }
    assert_eq!(hourly(&mut floor_before(), &flooded, 48), [170_160; 48]);
    // Liars within an honest group, as long as they are not most of it, take its voice from nobody.
    let mut mixed = sweep(&[(NEW, PAST); 9]);
    for view in mixed.groups.values_mut() {
        view.nodes = [vec![(NEW, PAST); 3], vec![(OLD, PAST); 2]].concat();
    }
    assert_eq!(hourly(&mut floor_before(), &mixed, 3).last(), Some(&170_190));
}

#[test]
fn the_operator_has_the_last_word_and_the_network_goes_on_from_it() {
    let mut floor = floor_before();
    floor.attest(ProtocolVersion(170_180), &"é".repeat(60), START);
    let Authority::Attested { by } = &floor.decision().authority else { panic!("{:?}", floor.decision()) };
    assert!(by.len() <= Floor::MAX_NAME && by.chars().all(|each| each == 'é'));
    assert_eq!((floor.version().0, floor.decision().since), (170_180, START));
    assert_eq!(hourly(&mut floor, &sweep(&[(NEW, PAST); 9]), 3).last(), Some(&170_190));
    floor.attest(OLD, "ann", START.plus(90_000));
    assert_eq!(floor.version(), OLD);
}

#[test]
fn a_kept_decision_is_resumed_unless_a_known_block_is_beyond_it() {
    let observed = Decision { version: NEW, since: START, authority: Authority::Observed { past: 9, of: 9 } };
    assert_eq!(floor_before().resume(observed.clone()).decision(), &observed);
    let outrun = Decision { version: OLD, ..observed };
    assert_eq!(Floor::new(Network::Mainnet, 3_600_000).resume(outrun.clone()).version(), NEW);
    let attested = Decision { authority: Authority::Attested { by: "ann".into() }, ..outrun };
    assert_eq!(Floor::new(Network::Mainnet, 3_600_000).resume(attested.clone()).decision(), &attested);
}

#[test]
fn the_version_of_an_upgrade_that_is_near_is_preferred() {
    let floor = floor_before();
    assert_eq!(floor.preferred(None), None);
    assert_eq!(floor.preferred(Some(ACTIVATION - Floor::NEAR - 1)), None);
    assert_eq!(floor.preferred(Some(ACTIVATION - Floor::NEAR)), Some(NEW));
    assert_eq!(floor.preferred(Some(PAST)), Some(NEW));
    assert_eq!(floor.preferred(Some(i32::MIN)), None);
    assert_eq!(Floor::new(Network::Mainnet, 3_600_000).preferred(Some(PAST)), None);
    assert_eq!(Floor::new(Network::Regtest, 0).preferred(Some(PAST)), None);
}

#[test]
fn a_clock_that_is_set_back_does_not_hold_it() {
    let mut floor = floor_before();
    let all = sweep(&[(NEW, PAST); 9]);
    floor.observe(&all, UnixTime(u32::MAX));
    floor.set_back(u32::MAX - START.0);
    assert_eq!(hourly(&mut floor, &all, 2).last(), Some(&170_190));
}
