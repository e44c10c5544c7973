//! How connections begin: what is said, in which order, and who is turned away.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may")]

use std::time::Duration;

use savanna_peer::{
    CloseReason, Config, Direction, Event, Incompatibility, Offence, Request, RequestKind, SelfKey, Step, Timeouts,
    Timer,
};
use savanna_sim::{Pair, Puppet, config, version};
use savanna_wire::{
    Bounded, Command, FrameError, Inventory, Message, ProtocolVersion, RejectCode, Services, UserAgent, Version, encode,
};

const SECOND: Duration = Duration::from_secs(1);

fn closed(puppet: &mut Puppet) -> Option<CloseReason> {
    let events = puppet.events();
    match events.last() {
        Some(Event::Closed(reason)) => Some(reason.clone()),
        _ => None,
    }
}

fn ready(direction: Direction) -> Puppet {
    Puppet::established(config(1), direction)
}

#[test]
fn both_sides_agree_and_measure_the_round_trip() {
    let mut pair = Pair::new(1).cut();
    pair.drive();
    for side in [&mut pair.outbound, &mut pair.inbound] {
        let events = side.events();
        assert!(matches!(events[0], Event::Established(_)), "{events:?}");
        assert_eq!(events[1], Event::RoundTrip(Duration::from_millis(20)));
        assert_eq!(events.len(), 2);
    }
    let info = pair.outbound.session.info().unwrap();
    assert_eq!(info.remote.user_agent.as_bytes(), b"/Simulated:2/");
    assert_eq!(info.remote.height, 2);
    assert_eq!(info.direction, Direction::Outbound);
}

#[test]
fn the_negotiated_version_is_the_lower() {
    let floor = ProtocolVersion(170_100);
    let older = Config { version: floor, floor, ..config(2) };
    let mut pair = Pair::with(Config { floor, ..config(1) }, older, 1);
    pair.drive();
    assert_eq!(pair.outbound.session.info().unwrap().negotiated, floor);
    assert_eq!(pair.inbound.session.info().unwrap().negotiated, floor);
}

#[test]
fn outbound_speaks_first_and_inbound_waits() {
    let mut outbound = Puppet::new(config(1), Direction::Outbound);
    let said = outbound.hear();
    let [Message::Version(ours)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(ours.time % 300, 0);
    assert_eq!(ours.height, 1);
    assert!(config(1).self_key.is_ours(ours.nonce));

    let mut inbound = Puppet::new(config(1), Direction::Inbound);
    assert_eq!(inbound.hear(), []);
    inbound.say(&Message::Version(version(1)));
    assert!(matches!(inbound.hear()[..], [Message::Version(_), Message::Verack]));
    inbound.say(&Message::Verack);
    assert!(matches!(inbound.hear()[..], [Message::Ping(_)]));
}

#[test]
fn nothing_but_the_handshake_is_said_before_verack() {
    let mut puppet = Puppet::new(config(1), Direction::Outbound);
    puppet.say(&Message::Version(version(1)));
    puppet.say(&Message::Ping(7));
    puppet.say(&Message::GetAddr);
    assert!(matches!(puppet.hear()[..], [Message::Version(_), Message::Verack]));
    assert_eq!(puppet.session.request(&Request::Ping, puppet.now).unwrap_err().0, RequestKind::Ping);
    assert_eq!(puppet.events(), []);
}

#[test]
fn an_outbound_peer_has_to_offer_blocks_and_an_inbound_one_need_not() {
    let offers_nothing = Message::Version(Version { services: Services::NONE, ..version(1) });
    let mut outbound = Puppet::new(config(1), Direction::Outbound);
    outbound.hear();
    outbound.say(&offers_nothing);
    let (offered, required) = (Services::NONE, Services::NODE_NETWORK);
    let reason = CloseReason::Incompatible(Incompatibility::Services { offered, required });
    assert_eq!(closed(&mut outbound), Some(reason));
    assert_eq!(outbound.hear(), []);

    let mut inbound = Puppet::new(config(1), Direction::Inbound);
    inbound.say(&offers_nothing);
    inbound.say(&Message::Verack);
    assert!(inbound.session.info().is_some());
}

#[test]
fn adversary_5_foreign_bytes_close_in_every_state() {
    let states: [fn(&mut Puppet); 3] = [
        |_| {},
        |puppet| {
            puppet.say(&Message::Version(version(1)));
        },
        |puppet| {
            puppet.say(&Message::Version(version(1)));
            puppet.say(&Message::Verack);
        },
    ];
    for reach in states {
        for direction in [Direction::Inbound, Direction::Outbound] {
            for foreign in [&[0; 24][..], b"GET / HTTP/1.1\r\n", &[0x24, 0xe9, 0x27, 0x64]] {
                let mut puppet = Puppet::new(config(1), direction);
                reach(&mut puppet);
                assert_eq!(puppet.say_bytes(foreign), Step::Blocked);
                let reason = closed(&mut puppet).unwrap();
                assert!(matches!(reason, CloseReason::Malformed(FrameError::Magic { .. })), "{reason}");
                assert_eq!(reason.penalty(), 100);
            }
        }
    }
}

#[test]
fn adversary_8_silence_and_trickles_end_at_the_handshake_deadline() {
    for (direction, timeouts) in [(Direction::Outbound, Timeouts::OUTBOUND), (Direction::Inbound, Timeouts::INBOUND)] {
        let mut puppet = Puppet::new(Config { timeouts, ..config(1) }, direction);
        puppet.hear();
        let frame = encode(&Message::Version(version(1)), config(1).magic).concat();
        let steps = u32::try_from(frame.len()).unwrap();
        for byte in frame {
            puppet.say_bytes(&[byte]);
            puppet.pass(timeouts.handshake / steps + Duration::from_nanos(1));
        }
        assert_eq!(closed(&mut puppet), Some(CloseReason::TimedOut(Timer::Handshake)));
        assert_eq!(puppet.session.poll_timeout(), None);
    }
}

#[test]
fn adversary_8_a_message_that_stops_in_its_middle_ends_at_the_frame_deadline() {
    let mut puppet = ready(Direction::Outbound);
    let frame =
        encode(&Message::Inv(Bounded::truncated(vec![Inventory::Block(Default::default()); 100])), config(1).magic);
    let frame = frame.concat();
    puppet.say_bytes(&frame[..30]);
    for byte in &frame[30..59] {
        puppet.say_bytes(&[*byte]);
        puppet.pass(SECOND);
    }
    assert!(!puppet.session.is_closed());
    assert_eq!(puppet.session.poll_timeout(), Some((Timeouts::OUTBOUND.frame, Timer::Frame)));
    puppet.pass(SECOND);
    assert_eq!(closed(&mut puppet), Some(CloseReason::TimedOut(Timer::Frame)));
}

#[test]
fn adversary_9_what_comes_before_version_is_passed_over_if_well_formed() {
    let early = [
        Message::Verack,
        Message::Ping(1),
        Message::GetAddr,
        Message::Mempool,
        Message::Tx(savanna_sim::transaction(1)),
        Message::Inv(Bounded::truncated(vec![Inventory::Block(Default::default())])),
        Message::Block(savanna_sim::block(1, 10)),
    ];
    let mut puppet = Puppet::new(config(1), Direction::Inbound);
    for message in &early {
        assert_eq!(puppet.say(message), Step::NeedBytes);
    }
    assert_eq!((puppet.events(), puppet.hear()), (vec![], vec![]));
    puppet.say(&Message::Version(version(1)));
    puppet.say(&Message::Ping(1));
    puppet.say(&Message::Verack);
    assert!(puppet.session.info().is_some());
}

#[test]
fn adversary_9_what_comes_before_version_closes_if_malformed() {
    let mut frame = encode(&Message::Ping(1), config(1).magic).concat();
    frame.truncate(24 + 7);
    frame[16] = 7;
    let checksum = savanna_wire::Checksum::of(&frame[24..]);
    frame[20..24].copy_from_slice(&checksum.0);
    let mut puppet = Puppet::new(config(1), Direction::Inbound);
    puppet.say_bytes(&frame);
    let reason = closed(&mut puppet).unwrap();
    assert!(matches!(reason, CloseReason::Malformed(FrameError::Payload { command: Command::Ping, .. })), "{reason}");
}

#[test]
fn adversary_10_a_second_version_or_verack_is_rejected_and_ends() {
    let cases = [
        (Message::Version(version(1)), "version", Offence::DuplicateVersion),
        (Message::Verack, "verack", Offence::DuplicateVerack),
    ];
    for (message, command, offence) in cases {
        let mut puppet = ready(Direction::Inbound);
        puppet.hear();
        puppet.say(&message);
        assert_eq!(closed(&mut puppet), Some(CloseReason::Misbehaved(offence)));
        let said = puppet.hear();
        let [Message::Reject(reject)] = &said[..] else { panic!("{said:?}") };
        assert_eq!((reject.command(), reject.code), (command.as_bytes(), RejectCode::DUPLICATE));
    }
    let mut early = Puppet::new(config(1), Direction::Inbound);
    early.say(&Message::Version(version(1)));
    early.say(&Message::Version(version(1)));
    assert_eq!(closed(&mut early), Some(CloseReason::Misbehaved(Offence::DuplicateVersion)));
}

#[test]
fn adversary_11_we_know_ourselves_by_our_nonces() {
    let mut pair = Pair::with(config(1), config(1), 1);
    pair.drive();
    let ourself = CloseReason::Incompatible(Incompatibility::OurSelf);
    assert_eq!(pair.inbound.events(), [Event::Closed(ourself.clone())]);
    assert!(pair.inbound.session.poll_transmit().is_none(), "closed without a word");
    assert_eq!((ourself.penalty(), ourself.label()), (0, "ourself"));

    let mut outbound = Puppet::new(Config { self_key: SelfKey::new([9; 32]), ..config(1) }, Direction::Outbound);
    outbound.say(&Message::Version(version(SelfKey::new([9; 32]).nonce(5))));
    assert_eq!(closed(&mut outbound), Some(ourself));
}

#[test]
fn adversary_12_a_hostile_user_agent_is_shown_escaped() {
    let hostile = UserAgent::new(*b"\x1b[2J\xff\xfe\r\n/Evil/").unwrap();
    let mut puppet = Puppet::new(config(1), Direction::Inbound);
    puppet.say(&Message::Version(Version { user_agent: hostile, ..version(1) }));
    let shown = puppet.session.remote().unwrap().user_agent.to_string();
    assert_eq!(shown, r"\x1b[2J\xff\xfe\r\n/Evil/");
    assert!(shown.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
}

#[test]
fn adversary_13_times_and_heights_at_the_extremes_are_data() {
    for (time, height) in [(i64::MAX, i32::MAX), (i64::MIN, i32::MIN), (-1, -1)] {
        let mut puppet = Puppet::new(config(1), Direction::Inbound);
        puppet.say(&Message::Version(Version { time, height, ..version(1) }));
        puppet.say(&Message::Verack);
        let remote = puppet.session.remote().unwrap();
        assert_eq!((remote.time, remote.height), (time, height));
        assert!(puppet.session.info().is_some());
    }
    for unix in [i64::MIN, -1, i64::MAX] {
        let now = savanna_peer::Now { monotonic: Duration::MAX, unix };
        let mut session = savanna_peer::Session::new(config(1), Direction::Outbound, [0; 32], now);
        assert!(session.poll_transmit().is_some());
        session.handle_timeout(now);
    }
}

#[test]
fn adversary_15_an_obsolete_peer_is_told_so_and_remembered() {
    for direction in [Direction::Inbound, Direction::Outbound] {
        for obsolete in [ProtocolVersion(170_189), ProtocolVersion(i32::MIN)] {
            let mut puppet = Puppet::new(config(1), direction);
            puppet.hear();
            puppet.say(&Message::Version(Version { version: obsolete, ..version(1) }));
            let floor = config(1).floor;
            let reason = CloseReason::Incompatible(Incompatibility::Obsolete { version: obsolete, floor });
            assert_eq!(closed(&mut puppet), Some(reason));
            let said = puppet.hear();
            let [Message::Reject(reject)] = &said[..] else { panic!("{said:?}") };
            assert_eq!(reject.code, RejectCode::OBSOLETE);
            assert_eq!(puppet.session.remote().unwrap().version, obsolete);
        }
    }
}

#[test]
fn adversary_15_a_live_peer_becomes_obsolete_when_an_upgrade_activates() {
    let mut puppet = ready(Direction::Outbound);
    let request = puppet.ask(Request::Peers);
    puppet.session.set_floor(ProtocolVersion(170_190));
    assert!(!puppet.session.is_closed());
    puppet.session.set_floor(ProtocolVersion(170_200));
    let events = puppet.events();
    let [Event::Response { id, result: Err(_) }, Event::Closed(CloseReason::Incompatible(_))] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(*id, request);
    assert!(matches!(puppet.hear().last(), Some(Message::Reject(reject)) if reject.code == RejectCode::OBSOLETE));
}

#[test]
fn closing_ends_everything_once() {
    let mut puppet = ready(Direction::Outbound);
    let ping = puppet.ask(Request::Ping);
    let blocks = puppet.ask(Request::Blocks(vec![savanna_sim::block(1, 0).hash()]));
    let reason = CloseReason::ClosedByPeer;
    puppet.session.handle_eof(puppet.now);
    puppet.session.close(CloseReason::Local(savanna_peer::LocalReason::Shutdown));
    puppet.session.handle_timeout(puppet.now);
    assert_eq!(puppet.say(&Message::Ping(1)), Step::Blocked);
    assert!(puppet.session.request(&Request::Ping, puppet.now).is_err());
    let mut ended = Vec::new();
    for event in puppet.events() {
        match event {
            Event::Response { id, result: Err(savanna_peer::RequestError::Closed(why)) } => {
                assert_eq!(why, reason);
                ended.push(id);
            }
            Event::Closed(why) => {
                assert_eq!(why, reason);
                ended.sort();
                assert_eq!(ended, [ping, blocks]);
                ended.clear();
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(ended.is_empty() && puppet.session.poll_timeout().is_none());
}
