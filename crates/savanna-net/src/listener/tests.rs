use std::collections::VecDeque;
use std::future::ready;

use tokio::time::{Instant, timeout};

use super::*;
use crate::{SlotLimits, Slots};

const BOUND: Duration = Duration::from_secs(20);

#[tokio::test]
async fn adversary_26_accepting_survives_a_lack_of_descriptors() {
    const EMFILE: i32 = 24;
    let slots = Slots::new(SlotLimits::LOCAL);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let _peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let mut script = VecDeque::from([
        Err(io::Error::from_raw_os_error(EMFILE)),
        Err(io::ErrorKind::ConnectionAborted.into()),
        Err(io::Error::from_raw_os_error(EMFILE)),
        listener.accept().await,
    ]);
    let door = Door::from(slots.clone());
    let before = Instant::now();
    let accepted = timeout(BOUND, next(&door, || ready(script.pop_front().unwrap()))).await.unwrap();
    assert!(before.elapsed() >= 3 * FIRST_REST, "rests of once and twice the first");
    assert!(accepted.stream.nodelay().unwrap());
    assert_eq!(slots.taken(savanna_peer::Direction::Inbound), 1);
    drop(accepted);
    assert_eq!(slots.taken(savanna_peer::Direction::Inbound), 0);
}

#[tokio::test]
async fn an_address_is_listened_on_once() {
    let slots = Slots::new(SlotLimits::LOCAL);
    let first = Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), slots.clone()).await.unwrap();
    assert!(Listener::bind(first.local_addr().unwrap(), slots).await.is_err());
    assert_eq!(Listener::default_address(Network::Mainnet).port(), 8233);
}
