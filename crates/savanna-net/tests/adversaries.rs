//! What hostile peers do to a connection, over pipes and under a clock that jumps.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::convert::Infallible;
use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use savanna_net::{Direction, Handshake, HandshakeRequest, PeerAddr, Request, Response, Route, SlotLimits, Slots};
use savanna_peer::{CloseReason, Gossip, Incompatibility, LocalReason, Partial, Timer};
use savanna_wire::{BlockHash, Command, Inventory, Message, Services};
use tokio::io::{AsyncWriteExt, duplex};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tower::load_shed::error::Overloaded;
use tower::{BoxError, Service, service_fn};

use common::{BOUND, MAGIC, Node, Puppet, block, join, serving, settle, version, within};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn adversary_08_silence_and_trickles_end_with_the_handshake_deadline() {
    let slots = Slots::new(SlotLimits::LOCAL);
    let mut node = Node::new();
    let introduction = savanna_wire::encode(&Message::Version(version()), MAGIC).concat();
    for bytes in [0, introduction.len()] {
        let (ours, mut theirs) = duplex(4096);
        let before = Instant::now();
        let slot = slots.inbound([192, 0, 2, 1].into()).unwrap();
        let handshake = node.begin(ours, Direction::Inbound, Some(slot));
        let trickle = async {
            for byte in &introduction[..bytes] {
                sleep(SECOND / 2).await;
                if theirs.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
            pending::<()>().await
        };
        let error = tokio::select! {
            outcome = handshake => outcome.unwrap_err(),
            () = trickle => unreachable!(),
        };
        assert_eq!(error.reason, CloseReason::TimedOut(Timer::Handshake));
        assert_eq!(before.elapsed().as_secs(), serving().inbound.handshake.as_secs());
        settle().await;
        assert_eq!(slots.taken(Direction::Inbound), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn adversary_08_half_a_message_ends_with_the_frame_deadline() {
    let mut config = serving();
    // Half a message also holds up the answers to heartbeats.
    config.outbound.ping = 10 * config.outbound.frame;
    let frame = config.outbound.frame;
    let mut node = Node::with(config, savanna_net::Nil);
    let (client, mut puppet) = node.meet(None).await;
    let before = Instant::now();
    let inv = Message::Inv(vec![Inventory::Block(BlockHash::ZERO)].try_into().unwrap());
    puppet.write(&savanna_wire::encode(&inv, MAGIC).concat()[..40]).await;
    assert_eq!(within(BOUND, client.closed()).await, CloseReason::TimedOut(Timer::Frame));
    assert_eq!(before.elapsed().as_secs(), frame.as_secs());
    puppet.end().await;
}

#[tokio::test(start_paused = true)]
async fn adversary_11_a_node_knows_itself() {
    let mut node = Node::new();
    let (ours, theirs) = duplex(4096);
    let address: PeerAddr = "192.0.2.1:18344".parse().unwrap();
    let outbound = node.handshake.call(HandshakeRequest {
        stream: ours,
        direction: Direction::Outbound,
        peer: Some(address),
        route: Route::Direct,
        slot: None,
    });
    let inbound = node.begin(theirs, Direction::Inbound, None);
    let (outbound, inbound) = within(BOUND, async { tokio::join!(outbound, inbound) }).await;
    let (outbound, inbound) = (outbound.unwrap_err(), inbound.unwrap_err());
    assert_eq!(inbound.reason, CloseReason::Incompatible(Incompatibility::OurSelf));
    // The dialled side says nothing of itself, so the dialler's end only sees the connection go.
    assert_eq!(outbound.reason, CloseReason::ClosedByPeer);
    assert_eq!(inbound.remote.unwrap().receiver.address, address.socket_addr().unwrap());
    settle().await;
    assert!(node.tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn adversary_18_who_asks_much_and_does_not_read_is_cut_off() {
    let block = block(1_000_000);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let service = service_fn(move |request| {
        count.fetch_add(1, Ordering::Relaxed);
        let Request::Blocks(_) = request else { return ready(Ok::<_, Infallible>(Response::Nil)) };
        ready(Ok(Response::Blocks(Partial::complete(vec![block.clone()]))))
    });
    let slots = Slots::new(SlotLimits::LOCAL);
    let mut node = Node::with(serving(), service);
    let (ours, theirs) = duplex(64 * 1024);
    let slot = slots.inbound([192, 0, 2, 1].into()).unwrap();
    let handshake = node.begin(ours, Direction::Inbound, Some(slot));
    let mut puppet = Puppet::new(theirs);
    puppet.introduce().await;
    let client = within(BOUND, handshake).await.unwrap();

    let question = Message::GetData(vec![Inventory::Block(BlockHash([9; 32]))].try_into().unwrap());
    let question = savanna_wire::encode(&question, MAGIC).concat();
    let before = Instant::now();
    let ask = async {
        for _ in 0..50_000 {
            if puppet.stream.write_all(&question).await.is_err() {
                break;
            }
        }
        pending::<()>().await
    };
    let reason = tokio::select! {
        reason = client.closed() => reason,
        () = ask => unreachable!(),
    };
    assert_eq!(reason, CloseReason::TimedOut(Timer::Write));
    assert!(before.elapsed() <= 3 * serving().inbound.write);
    let asked = asked.load(Ordering::Relaxed);
    assert!(asked < 16, "{asked} megabytes were made ready for a peer that reads none");
    sleep(2 * SECOND).await;
    assert_eq!((slots.taken(Direction::Inbound), node.tasks.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn adversary_18_when_the_service_sheds_load_who_keeps_it_busy_pays() {
    let service = service_fn(|request| async move {
        if request == Request::MempoolIds {
            return Err::<Response, BoxError>(Overloaded::new().into());
        }
        if matches!(request, Request::FindBlocks { .. }) {
            return pending().await;
        }
        if matches!(request, Request::Blocks(_)) {
            Err("a broken disk".into())
        } else {
            Ok(Response::Headers(Vec::new()))
        }
    });
    let mut server = Node::with(serving(), service);
    let mut others = Node::new();
    let (greedy, greedy_side) = join(&mut others, &mut server).await;
    let (modest, modest_side) = join(&mut others, &mut server).await;
    let (greedy, modest, greedy_side) = (greedy.unwrap(), modest.unwrap(), greedy_side.unwrap());

    // Who asks a single thing of an overloaded service is not who overloads it.
    let shed = within(BOUND, modest.ask(Request::MempoolIds)).await;
    assert_eq!(shed, Ok(Response::TransactionIds(Vec::new())));

    let busy = greedy.ask(Request::FindBlocks { locator: vec![BlockHash::ZERO], stop: None });
    settle().await;
    assert!(!greedy_side.is_closed());
    let unanswered = greedy.ask(Request::MempoolIds);
    assert_eq!(within(BOUND, greedy_side.closed()).await, CloseReason::Local(LocalReason::Overloaded));
    assert!(within(BOUND, unanswered).await.is_err() && within(BOUND, busy).await.is_err());

    // Failing or being late is no fault of the peer's, nor a reason to part.
    let blocks = within(BOUND, modest.ask(Request::Blocks(vec![BlockHash([1; 32])]))).await;
    assert!(matches!(blocks, Ok(Response::Blocks(Partial { found, .. })) if found.is_empty()));
    let before = Instant::now();
    let hashes = modest.ask(Request::FindBlocks { locator: vec![BlockHash::ZERO], stop: None });
    assert_eq!(within(BOUND, hashes).await, Ok(Response::BlockHashes(Vec::new())));
    assert!(before.elapsed() >= savanna_net::QUESTION_DEADLINE);
    let headers = modest.ask(Request::FindHeaders { locator: vec![BlockHash::ZERO], stop: None });
    assert_eq!(within(BOUND, headers).await, Ok(Response::Headers(Vec::new())));
    assert!(!modest_side.unwrap().is_closed());
}

/// A service that never gets ready.
#[derive(Clone)]
struct Stuck;

impl Service<Request> for Stuck {
    type Response = Response;
    type Error = Infallible;
    type Future = std::future::Pending<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, _: Request) -> Self::Future {
        pending()
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_in_time_is_no_fault_of_who_asks() {
    let (mut server, mut other) = (Node::with(serving(), Stuck), Node::new());
    let (client, server_side) = join(&mut other, &mut server).await;
    let (client, server_side, before) = (client.unwrap(), server_side.unwrap(), Instant::now());
    let locator = || vec![BlockHash::ZERO];
    let asked = [
        client.ask(Request::MempoolIds),
        client.ask(Request::FindBlocks { locator: locator(), stop: None }),
        client.ask(Request::Blocks(locator())),
    ];
    for answer in asked {
        assert!(within(BOUND, answer).await.is_ok());
    }
    let after = before.elapsed();
    assert!(after >= savanna_net::QUESTION_DEADLINE && after < savanna_net::QUESTION_DEADLINE + SECOND);
    assert!(!server_side.is_closed());
}

#[tokio::test(start_paused = true)]
async fn gossip_goes_to_its_consumer_and_a_full_one_holds_up_nothing() {
    let (sender, mut gossip) = mpsc::channel(2);
    let mut config = serving();
    config.gossip = Some(sender);
    let mut node = Node::with(config, savanna_net::Nil);
    let (client, mut puppet) = node.meet(None).await;
    for hash in 0..5 {
        let inv = vec![Inventory::Block(BlockHash([hash; 32]))];
        puppet.send(Message::Inv(inv.try_into().unwrap())).await;
    }
    let serve = async { while timeout(SECOND, puppet.question()).await.is_ok() {} };
    let (pong, ()) = tokio::join!(client.ask(Request::Ping), serve);
    assert!(pong.is_ok());
    for hash in 0..2 {
        assert_eq!(gossip.try_recv(), Ok((client.id(), Gossip::Block(BlockHash([hash; 32])))));
    }
    assert!(gossip.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn adversary_15_a_floor_that_rises_ends_obsolete_peers() {
    let session = serving().session;
    let standing = |floor| savanna_net::Standing { height: 1000, services: Services::NODE_NETWORK, floor };
    let (raise, follow) = tokio::sync::watch::channel(standing(session.floor));
    let mut config = serving();
    config.standing = Some(follow);
    let heartbeat = config.outbound.heartbeat;
    let mut node = Node::with(config, savanna_net::Nil);
    let (client, mut puppet) = node.meet(None).await;
    raise.send_replace(standing(savanna_wire::ProtocolVersion(session.version.0 + 1)));
    let (reason, refused) = within(2 * heartbeat, async {
        tokio::join!(client.closed(), async {
            loop {
                match puppet.question().await {
                    Some(Message::Reject(reject)) => break reject,
                    Some(_) => {}
                    None => panic!("no word of why"),
                }
            }
        })
    })
    .await;
    assert!(matches!(reason, CloseReason::Incompatible(Incompatibility::Obsolete { .. })));
    assert_eq!(refused.command(), Command::Version.name().as_bytes());
    let (ours, theirs) = duplex(4096);
    let request =
        HandshakeRequest { stream: ours, direction: Direction::Outbound, peer: None, route: Route::Direct, slot: None };
    let _late = Handshake::call(&mut node.handshake, request);
    let Some(Message::Version(told)) = Puppet::new(theirs).next().await else { panic!("no version") };
    assert_eq!((told.height, told.services), (1000, Services::NODE_NETWORK));
}
