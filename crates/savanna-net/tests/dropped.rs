//! What is dropped leaves nothing behind: tasks, sockets and memory are counted, over real sockets on loopback.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use savanna_net::{Connector, Direction, HandshakeRequest, Listener, Request, SlotLimits, Slots};
use savanna_peer::CloseReason;
use savanna_wire::BlockHash;
use tokio::time::{sleep, timeout};
use tower::{Service, ServiceExt};

use common::{Node, within};

const BOUND: Duration = Duration::from_secs(20);

/// How many connections there are before the counting begins, how many are counted, and how much is dropped on each.
const BEFORE: usize = 50;
const COUNTED: usize = 450;
const DROPS: usize = 22;

/// Two nodes on one machine.
struct Pair {
    dialler: Node,
    dialled: Node,
    listener: Listener,
    address: SocketAddr,
    slots: Slots,
}

impl Pair {
    async fn new() -> Self {
        let slots = Slots::new(SlotLimits::LOCAL);
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), slots.clone()).await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { dialler: Node::new(), dialled: Node::new(), listener, address, slots }
    }

    /// Connects, drops clients and futures at every stage of theirs, and last of all what keeps the connection.
    async fn round(&mut self, number: usize) {
        let dial = async {
            let dialed = Connector::direct().oneshot(self.address.into()).await.unwrap();
            let slot = self.slots.outbound().unwrap();
            self.dialler.handshake.call(HandshakeRequest::outbound(dialed, Some(slot))).await.unwrap()
        };
        let accept = async {
            let accepted = self.listener.accept().await;
            self.dialled.handshake.call(HandshakeRequest::inbound(accepted)).await.unwrap()
        };
        let (client, other) = within(BOUND, async { tokio::join!(dial, accept) }).await;
        let blocks = || Request::Blocks(vec![BlockHash([7; 32])]);
        for each in 0..DROPS - 2 {
            match each % 4 {
                0 => drop(client.clone()),
                1 => drop(client.ask(blocks())),
                2 => drop(timeout(Duration::ZERO, client.clone().ask(blocks())).await),
                _ => drop(within(BOUND, client.clone().ask(Request::Ping)).await.unwrap()),
            }
        }
        let unanswered = client.ask(blocks());
        if number.is_multiple_of(2) {
            drop(client);
            drop(unanswered);
        } else {
            drop(unanswered);
            drop(client);
        }
        assert_eq!(within(BOUND, other.closed()).await, CloseReason::ClosedByPeer);
    }

    /// Waits until every task has ended; returns how many files are open, and how many bytes are in memory.
    async fn held(&self) -> (usize, usize) {
        within(BOUND, async {
            while !self.dialler.tasks.is_empty() || !self.dialled.tasks.is_empty() {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        let taken = [Direction::Inbound, Direction::Outbound].map(|direction| self.slots.taken(direction));
        assert_eq!(taken, [0, 0]);
        let pages = fs::read_to_string("/proc/self/statm").unwrap();
        let resident: usize = pages.split_whitespace().nth(1).unwrap().parse().unwrap();
        (fs::read_dir("/proc/self/fd").unwrap().count(), resident * 4096)
    }
}

#[tokio::test]
async fn f2_ten_thousand_dropped_clients_and_futures_leave_no_task_no_socket_and_no_memory() {
    let mut pair = Pair::new().await;
    for number in 0..BEFORE {
        pair.round(number).await;
    }
    let (files, bytes) = pair.held().await;
    for number in 0..COUNTED {
        pair.round(number).await;
    }
    let (files_after, bytes_after) = pair.held().await;
    assert_eq!(files_after, files);
    // Sixty bytes kept of each would be more.
    let grown = bytes_after.saturating_sub(bytes);
    assert!(grown < 512 * 1024, "{grown} bytes more after {} drops", COUNTED * DROPS);
}
