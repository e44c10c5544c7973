//! Peers that ask much.

use super::*;

#[test]
fn adversary_18_asking_much_and_reading_nothing_ends_at_the_write_deadline() {
    let mut puppet = ready(Direction::Inbound);
    let sixty_kilobytes = |_: &Request| Response::Blocks(Partial::complete(vec![block(1, 60_000)]));
    let mut asked = 0;
    while puppet.say(&getdata(1)) != Step::Blocked {
        assert_eq!(serve(&mut puppet, sixty_kilobytes).1, []);
        assert!(puppet.session.buffered_bytes() < MEMORY);
        asked += 1;
        assert!(asked < 50_000, "nothing stops it");
    }
    assert!(!puppet.session.is_closed());
    assert_eq!(puppet.session.poll_timeout(), Some((Timeouts::OUTBOUND.write, Timer::Write)));
    puppet.pass(Timeouts::OUTBOUND.write);
    let reason = CloseReason::TimedOut(Timer::Write);
    assert_eq!(puppet.events(), [Event::Closed(reason.clone())]);
    assert!(reason.is_transient());
}

#[test]
fn adversary_18_pings_and_long_questions_wait_as_well_and_are_few() {
    let mut puppet = ready(Direction::Inbound);
    puppet.say(&Message::GetData(Bounded::truncated((0..2).map(name).collect())));
    let two_megabytes = |_: &Request| Response::Blocks(Partial::complete(vec![block(1, 1_900_000)]));
    serve(&mut puppet, two_megabytes);
    let taken = (0..1_000).take_while(|_| puppet.say(&Message::Ping(1)) != Step::Blocked).count();
    assert!(taken < 600, "{taken} pings");

    let mut puppet = ready(Direction::Inbound);
    let taken = (0..1_000).take_while(|_| puppet.say(&Message::GetBlocks(search())) != Step::Blocked).count();
    assert!(taken < 100, "{taken} locators of 3 kB");
    assert!(puppet.session.buffered_bytes() < 300 * 1024);
    assert_eq!(serve(&mut puppet, |_| Response::Nil).0, taken + 1);
    assert!(puppet.session.buffered_bytes() < 1024);
}

#[test]
fn adversary_18_answers_that_wait_for_an_earlier_one_are_few() {
    let mut puppet = ready(Direction::Inbound);
    (0..100).for_each(|number| {
        puppet.say(&getdata(number));
    });
    let megabyte = |_: &Request| Response::Blocks(Partial::complete(vec![block(1, 950_000)]));
    let Some(Event::Request { id: slow, request }) = puppet.session.poll_event() else { panic!("no question") };
    let (served, _) = serve(&mut puppet, megabyte);
    let held = puppet.session.buffered_bytes();
    assert!(held < MEMORY, "{served} answers of {held} bytes wait");
    puppet.session.respond(slow, megabyte(&request));
    let mut heard = 0;
    while heard < 100 {
        serve(&mut puppet, megabyte);
        let more = puppet.hear().len();
        assert!(more > 0, "{heard} came");
        heard += more;
    }
    assert_eq!(puppet.session.buffered_bytes(), 0);
}

#[test]
fn adversary_18_lists_that_wait_are_counted() {
    let mut puppet = ready(Direction::Inbound);
    puppet.say(&getdata(1));
    puppet.session.poll_event();
    puppet.say(&Message::Mempool);
    let ids: Vec<_> = (0..25_000_u32).map(|number| transaction_id(&number.to_le_bytes()).unwrap()).collect();
    serve(&mut puppet, |_| Response::TransactionIds(ids.clone()));
    assert!(puppet.session.buffered_bytes() > 25_000 * 36);
}

#[test]
fn adversary_18_one_getdata_for_one_block_fifty_thousand_times_is_one_block() {
    let mut puppet = ready(Direction::Inbound);
    puppet.say(&Message::GetData(Bounded::truncated(vec![name(1); MAX_INVENTORY])));
    let events = puppet.events();
    let [Event::Request { request, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(*request, Request::Blocks(vec![header(1).hash()]));
}

#[test]
fn a_slow_reader_that_reads_is_served_whole() {
    let mut puppet = ready(Direction::Inbound);
    let answer = |_: &Request| Response::Blocks(Partial::complete(vec![block(1, 60_000)]));
    let (mut asked, mut served) = (0, 0);
    for _ in 0..600 {
        asked += 1;
        puppet.say(&getdata(1));
        served += serve(&mut puppet, answer).0;
    }
    while let Some(heard) = puppet.hear_some() {
        for message in heard {
            if let Message::Ping(nonce) = message {
                puppet.say(&Message::Pong(nonce));
            }
        }
        puppet.pass(SECOND);
        let events = serve(&mut puppet, answer);
        served += events.0;
        assert!(events.1.iter().all(|event| matches!(event, Event::RoundTrip(_))), "{:?}", events.1);
        puppet.resume();
    }
    assert_eq!((served, puppet.untaken()), (asked, 0));
}

#[test]
fn adversary_20_a_locator_of_102_is_malformed() {
    for command in [Message::GetBlocks(search()), Message::GetHeaders(search())] {
        let mut bytes = frame(&command);
        bytes.truncate(24 + 4);
        bytes.push(102);
        bytes.extend([0; 103 * 32]);
        let length = u32::try_from(bytes.len() - 24).unwrap();
        bytes[16..20].copy_from_slice(&length.to_le_bytes());
        let checksum = savanna_wire::Checksum::of(&bytes[24..]);
        bytes[20..24].copy_from_slice(&checksum.0);
        let mut puppet = ready(Direction::Inbound);
        puppet.say_bytes(&bytes);
        let events = puppet.events();
        let [Event::Closed(CloseReason::Malformed(FrameError::Payload { .. }))] = &events[..] else {
            panic!("{events:?}")
        };
    }
}

#[test]
fn adversary_20_repeated_searches_wait_for_their_rate() {
    let mut puppet = ready(Direction::Inbound);
    let nothing = |_: &Request| Response::Headers(vec![]);
    let question = frame(&Message::GetHeaders(search()));
    let mut served = 0;
    for _ in 0..5_000 {
        puppet.say_bytes(&question);
        served += serve(&mut puppet, nothing).0;
        puppet.hear();
        assert!(puppet.session.buffered_bytes() < MEMORY);
    }
    assert_eq!(served, 1_000);
    let (_, timer) = puppet.session.poll_timeout().unwrap();
    assert_eq!(timer, Timer::Question);
    for _ in 0..10 {
        let before = served;
        for _ in 0..100 {
            puppet.pass(SECOND / 100);
            served += serve(&mut puppet, nothing).0;
            puppet.resume();
            puppet.hear();
        }
        assert_eq!(served - before, 100, "a hundred a second");
    }
    assert!(!puppet.session.is_closed());
}

#[test]
fn a_peer_that_syncs_from_us_at_full_speed_is_never_closed() {
    let mut puppet = ready(Direction::Inbound);
    let answer = |_: &Request| Response::Blocks(Partial::complete(vec![block(1, 100)]));
    for number in 0..20_000 {
        puppet.say(&getdata(number % 50));
        puppet.say(&Message::Ping(1));
        if number % 8 == 0 {
            assert_eq!(serve(&mut puppet, answer).1, []);
            puppet.hear();
            puppet.resume();
        }
    }
    assert!(!puppet.session.is_closed());
}
