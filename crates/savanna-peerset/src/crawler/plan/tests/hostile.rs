use super::*;

#[test]
fn adversary_16_made_up_addresses_wait_behind_honest_ones_and_end() {
    let mut plan = plan(None);
    let now = at(SECOND);
    let (liar, honest) = (address(0), [address(1), address(2), address(3)]);
    plan.introduce([liar], now);
    plan.introduce(honest, now);
    dials(&mut plan, now);
    meet(&mut plan, liar, (5_000..6_000).map(address), now);
    for node in honest {
        meet(&mut plan, node, (100..200).map(address), now);
    }
    // Those named by three groups come before the thousand that one group names.
    let mut first: Vec<_> = (0..100).map(|_| plan.poll_dial(now).unwrap()).collect();
    first.sort_unstable();
    let mut expected: Vec<_> = (100..200).map(address).collect();
    expected.sort_unstable();
    assert_eq!(first, expected);
}

#[test]
fn adversary_16_no_teller_and_no_group_of_tellers_goes_on_for_ever() {
    let until = Duration::from_secs(1_000_000);
    let mut plan = plan(Some(until));
    let mut now = at(SECOND);
    let liar = address(0);
    plan.introduce([liar], now);
    let mut next = 1;
    let (mut met, mut rounds) = (0, 0);
    // Each of its inventions lives next door, and tells a thousand more.
    let neighbour = |number: u32| PeerAddr { port: 1_000 + (number % 8) as u16, ..address(number / 8 * 256) };
    while !plan.is_done(now) && rounds < 100_000 {
        for node in dials(&mut plan, now) {
            // Twice what the group may tell is enough to show it.
            let tells = if met < 40 { 1_000 } else { 0 };
            meet(&mut plan, node, (next..next + tells).map(neighbour), now);
            next += tells;
            met += 1;
        }
        if let Some(when) = plan.poll_timeout()
            && plan.queue.len() == 0
        {
            now = at(when.max(now.monotonic));
        }
        rounds += 1;
    }
    assert!(plan.known() <= 1 + TOLD_PER_GROUP as usize, "{}", plan.known());
    assert!(plan.saturation.is_reached(), "it went on for {met} conversations");

    let mut alone = super::plan(Some(until));
    alone.introduce([liar], now);
    for round in 0..10 {
        let node = alone.index[&liar];
        alone.hear(node, &entries((round * 1_000..(round + 1) * 1_000).map(|number| address(number + 1))), true, now);
    }
    assert_eq!(alone.known(), 1 + usize::from(TOLD_PER_NODE));
}

#[test]
fn adversary_16_no_more_nodes_are_known_than_there_is_room_for() {
    let mut plan = plan(None);
    let excess = u32::try_from(MAX_KNOWN).unwrap() + 1_000;
    plan.introduce((0..excess).map(address), at(SECOND));
    assert_eq!(plan.known(), MAX_KNOWN);
    let first = plan.poll_dial(at(SECOND)).unwrap();
    meet(&mut plan, first, (excess..excess + 100).map(address), at(SECOND));
    assert_eq!((plan.known(), plan.progress().summary.known), (MAX_KNOWN, MAX_KNOWN));
}

#[test]
fn groups_take_turns() {
    let mut plan = plan(None);
    let now = at(SECOND);
    let crowd = (0..200).map(|number| address(number * 256));
    let few = (1..6).map(address);
    plan.introduce([address(7)], now);
    dials(&mut plan, now);
    meet(&mut plan, address(7), crowd.chain(few), now);
    let first: Vec<_> = (0..12).map(|_| plan.poll_dial(now).unwrap()).collect();
    let of_crowd = first.iter().filter(|node| Netgroup::of(node.host) == Netgroup::of(address(0).host)).count();
    assert!(of_crowd <= 7, "{of_crowd} of 12 dials went to one group");
}

#[test]
fn adversary_16_one_host_with_many_ports_is_few_nodes_and_one_conversation() {
    let mut plan = plan(None);
    let now = at(SECOND);
    plan.introduce([address(0)], now);
    dials(&mut plan, now);
    let victim = (1..1_000).map(|port| PeerAddr { port, ..address(1) });
    let beside = (1..100).map(|host| format!("[2a01:4f8:1:2::{host:x}]:8233").parse().unwrap());
    meet(&mut plan, address(0), victim.chain(beside), now);
    let ports = usize::from(PORTS_PER_HOST);
    assert_eq!(plan.known(), 1 + 2 * ports);
    assert_eq!(plan.census(now).passed_over, 999 + 99 - 2 * ports);
    let mut met = 0;
    loop {
        let dialled = dials(&mut plan, now);
        if dialled.is_empty() {
            break;
        }
        let mut hosts: Vec<_> = dialled.iter().map(|node| savanna_book::Prefix::of(node.host)).collect();
        hosts.dedup();
        assert_eq!(hosts.len(), dialled.len(), "{dialled:?}");
        for node in dialled {
            meet(&mut plan, node, [], now);
            met += 1;
        }
    }
    assert_eq!(met, 2 * ports);
    assert!(plan.is_done(now) && plan.is_complete());
}

#[test]
fn on_a_network_of_ones_own_a_host_may_be_any_number_of_nodes() {
    let config = PlanConfig { network: Network::Regtest, scope: Scope::Private, overlays: false, until: None };
    let mut plan = Plan::new(config, [7; 32], at(Duration::ZERO));
    let now = at(SECOND);
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into();
    plan.introduce([loopback(20_000)], now);
    dials(&mut plan, now);
    meet(&mut plan, loopback(20_000), (20_001..20_101).map(loopback), now);
    assert_eq!(dials(&mut plan, now).len(), 100);
}
