//! Heartbeats.

use super::*;

#[test]
fn f4_a_pong_with_another_nonce_is_passed_over_and_the_deadline_stands() {
    let mut puppet = ready();
    puppet.hear();
    puppet.pass(Timeouts::OUTBOUND.heartbeat);
    let (_, beats) = questions(&mut puppet);
    let [beat] = beats[..] else { panic!("{beats:?}") };
    let deadline = (Timeouts::OUTBOUND.heartbeat + Timeouts::OUTBOUND.ping, Timer::Ping(beat));
    for wrong in [beat ^ 1, 0, u64::MAX] {
        puppet.say(&Message::Pong(wrong));
        assert_eq!(puppet.session.poll_timeout(), Some(deadline));
    }
    puppet.pass(Timeouts::OUTBOUND.ping - Duration::from_nanos(1));
    assert!(!puppet.session.is_closed());
    puppet.say(&Message::Pong(!beat));
    puppet.pass(Duration::from_nanos(1));
    assert_eq!(puppet.events(), [Event::Closed(CloseReason::TimedOut(Timer::Ping(beat)))]);
}

#[test]
fn f4_the_right_pong_is_a_round_trip_and_the_next_heartbeat_follows() {
    let mut puppet = ready();
    for _ in 0..3 {
        let (next, _) = puppet.session.poll_timeout().unwrap();
        puppet.pass(next - puppet.now.monotonic);
        let (_, beats) = questions(&mut puppet);
        puppet.pass(SECOND / 2);
        puppet.say(&Message::Pong(beats[0]));
        assert_eq!(puppet.events(), [Event::RoundTrip(SECOND / 2)]);
        puppet.say(&Message::Pong(beats[0]));
        assert_eq!(puppet.events(), [], "a pong counts once");
    }
}

#[test]
fn f3_heartbeats_end_with_the_session() {
    let mut puppet = ready();
    puppet.session.close(CloseReason::Local(savanna_peer::LocalReason::Unused));
    puppet.hear();
    assert_eq!(puppet.session.poll_timeout(), None, "nothing is left that could go off");
    puppet.now.monotonic += Timeouts::OUTBOUND.heartbeat * 10;
    puppet.session.handle_timeout(puppet.now);
    assert_eq!(puppet.hear(), []);
}

#[test]
fn a_heartbeat_that_comes_back_forgets_what_was_given_up_before_it() {
    let mut puppet = ready();
    let cancelled = puppet.ask(find_headers());
    puppet.session.cancel(cancelled);
    puppet.hear();
    puppet.pass(Timeouts::OUTBOUND.heartbeat);
    let (_, beats) = questions(&mut puppet);
    puppet.say(&Message::Pong(beats[0]));
    let id = puppet.ask(find_headers());
    puppet.say(&Message::Headers(Bounded::truncated(vec![header(1)])));
    assert_eq!(ended(&mut puppet), [(id, Ok(Response::Headers(vec![header(1)])))]);
}

#[test]
fn a_heartbeat_that_comes_back_forgets_nothing_that_was_asked_after_it() {
    let mut puppet = ready();
    puppet.hear();
    puppet.pass(Timeouts::OUTBOUND.heartbeat);
    let (_, beats) = questions(&mut puppet);
    for numbers in [0..48, 48..64, 64..112, 112..128] {
        let id = puppet.ask(Request::Blocks(hashes(numbers)));
        puppet.session.cancel(id);
    }
    let is_busy = |puppet: &mut Puppet| puppet.session.request(&Request::Blocks(hashes(0..1)), puppet.now).is_err();
    assert!(is_busy(&mut puppet));
    let (_, fences) = questions(&mut puppet);
    puppet.say(&Message::Pong(beats[0]));
    assert!(is_busy(&mut puppet), "the peer may yet send all of them");
    puppet.say(&Message::Pong(fences[0]));
    assert!(!is_busy(&mut puppet));
}
