//! `zebra-network` as a client of ours: one peer by `connect_isolated_tcp_direct`, its whole pool by `init`.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use anyhow::{Result, anyhow};
use savanna_interop::{Fixture, OurNode, TheirNode, their_hash, within};
use savanna_peer as ours;
use savanna_peer::Gossip;
use tower_04::{Service, ServiceExt};
use zebra_chain::block;
use zebra_chain::parameters::Network;
use zebra_network::types::Nonce;
use zebra_network::{Client, Request, Response, connect_isolated_tcp_direct};

/// A block that nobody has.
const NO_BLOCK: block::Hash = block::Hash([7; 32]);

async fn ask(client: &mut Client, request: Request) -> Result<Response> {
    let name = request.command();
    let asking = async { client.ready().await?.call(request).await };
    within(name, asking).await?.map_err(|error| anyhow!("zebra-network: {name}: {error}"))
}

async fn isolated(fixture: &Arc<Fixture>) -> Result<(OurNode, Client)> {
    let node = OurNode::start(fixture).await?;
    let connecting = connect_isolated_tcp_direct(&Network::Mainnet, node.address, "/interop/".to_owned());
    let client = within("zebra-network connects", connecting).await?.map_err(|error| anyhow!("{error}"))?;
    Ok((node, client))
}

/// Returns the hashes of the available blocks and of the missing.
fn sorted(response: Response) -> (HashSet<block::Hash>, HashSet<block::Hash>) {
    let Response::Blocks(blocks) = response else { panic!("no blocks: {response:?}") };
    let found = blocks.iter().filter_map(|block| block.available()).map(|(block, _)| block.hash());
    (found.collect(), blocks.iter().filter_map(|block| block.missing()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_client_of_zebras_is_answered_in_full() -> Result<()> {
    let fixture = Fixture::new()?;
    let (mut node, mut client) = isolated(&fixture).await?;
    let hashes: Vec<_> = fixture.hashes().into_iter().map(their_hash).collect();
    assert!(matches!(ask(&mut client, Request::Ping(Nonce(7))).await?, Response::Pong(_)));

    let Response::Peers(peers) = ask(&mut client, Request::Peers).await? else { panic!("no peers") };
    let peers: BTreeSet<_> = peers.iter().map(|peer| *peer.addr()).collect();
    assert_eq!(peers, fixture.addresses.iter().copied().collect());

    let find = Request::FindBlocks { known_blocks: vec![hashes[2]], stop: None };
    let Response::BlockHashes(found) = ask(&mut client, find).await? else { panic!("no hashes") };
    assert_eq!(found, hashes[3..]);
    let find = Request::FindBlocks { known_blocks: vec![NO_BLOCK, hashes[2]], stop: Some(hashes[6]) };
    let Response::BlockHashes(found) = ask(&mut client, find).await? else { panic!("no hashes") };
    assert_eq!(found, hashes[3..=6]);

    let find = Request::FindHeaders { known_blocks: vec![hashes[0]], stop: None };
    let Response::BlockHeaders(headers) = ask(&mut client, find).await? else { panic!("no headers") };
    assert_eq!(headers.iter().map(|counted| counted.header.hash()).collect::<Vec<_>>(), hashes[1..]);

    let all: HashSet<_> = hashes.iter().copied().collect();
    let (found, missing) = sorted(ask(&mut client, Request::BlocksByHash(all)).await?);
    assert_eq!((found, missing), (hashes.iter().copied().collect(), HashSet::new()));
    let some = HashSet::from([hashes[4], NO_BLOCK, hashes[5]]);
    let (found, missing) = sorted(ask(&mut client, Request::BlocksByHash(some)).await?);
    assert_eq!((found, missing), (HashSet::from([hashes[4], hashes[5]]), HashSet::from([NO_BLOCK])));

    // Asked for nothing that is there, Zebra's client is told so by an error.
    let nothing = ask(&mut client, Request::BlocksByHash(HashSet::from([NO_BLOCK]))).await;
    assert!(nothing.unwrap_err().to_string().contains("could not find"), "not the error of a notfound");
    assert!(matches!(ask(&mut client, Request::Ping(Nonce(8))).await?, Response::Pong(_)));
    drop(client);
    node.accepted().await?.closed().await;
    node.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_client_of_zebras_gets_our_mempool_and_we_hear_of_its_own() -> Result<()> {
    let fixture = Fixture::new()?;
    let (mut node, mut client) = isolated(&fixture).await?;
    let ids: HashSet<_> = fixture.their_transactions.iter().map(|transaction| transaction.id).collect();

    let answer = ask(&mut client, Request::MempoolTransactionIds).await?;
    let Response::TransactionIds(found) = answer else { panic!("no ids: {answer:?}") };
    assert_eq!(found.into_iter().collect::<HashSet<_>>(), ids);

    let answer = ask(&mut client, Request::TransactionsById(ids.clone())).await?;
    let Response::Transactions(found) = answer else { panic!("no transactions: {answer:?}") };
    assert_eq!(
        found.iter().filter_map(|found| found.available()).map(|(found, _)| found.id).collect::<HashSet<_>>(),
        ids
    );

    for transaction in &fixture.their_transactions {
        ask(&mut client, Request::PushTransaction(transaction.clone(), None)).await?;
        let Gossip::Transaction(told) = node.told().await? else { panic!("no transaction") };
        assert!(fixture.transactions.values().any(|ours| *ours == told), "another transaction than was pushed");
    }
    ask(&mut client, Request::AdvertiseTransactionIds(ids, None)).await?;
    let Gossip::Transactions(mut told) = node.told().await? else { panic!("no announcement") };
    told.sort_unstable();
    assert_eq!(told, fixture.ids());

    // And over the same connection the other way.
    let peer = node.accepted().await?;
    let answer = within("our ping", peer.ask(ours::Request::Ping)).await??;
    assert!(matches!(answer, ours::Response::Pong(_)));
    drop((client, peer));
    node.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn zebras_whole_pool_is_answered_in_full() -> Result<()> {
    let fixture = Fixture::new()?;
    let mut node = OurNode::start(&fixture).await?;
    let mut zebra = TheirNode::start(&fixture, &[node.address]).await?;
    let hashes: Vec<_> = fixture.hashes().into_iter().map(their_hash).collect();
    // Its pool crawls by itself.
    node.asked_for(&ours::Request::Peers).await?;

    let find = Request::FindBlocks { known_blocks: vec![hashes[0]], stop: None };
    let Response::BlockHashes(found) = zebra.ask(find).await? else { panic!("no hashes") };
    assert_eq!(found, hashes[1..]);
    let find = Request::FindHeaders { known_blocks: vec![hashes[0]], stop: None };
    let Response::BlockHeaders(headers) = zebra.ask(find).await? else { panic!("no headers") };
    assert_eq!(headers.iter().map(|counted| counted.header.hash()).collect::<Vec<_>>(), hashes[1..]);
    for hash in &hashes {
        let (found, _) = sorted(zebra.ask(Request::BlocksByHash(HashSet::from([*hash]))).await?);
        assert_eq!(found, HashSet::from([*hash]));
    }
    let all: HashSet<_> = hashes.iter().copied().collect();
    let (found, missing) = sorted(zebra.ask(Request::BlocksByHash(all)).await?);
    assert_eq!((found, missing), (hashes.iter().copied().collect(), HashSet::new()));

    let ids: HashSet<_> = fixture.their_transactions.iter().map(|transaction| transaction.id).collect();
    let Response::TransactionIds(found) = zebra.ask(Request::MempoolTransactionIds).await? else { panic!("no ids") };
    assert_eq!(found.into_iter().collect::<HashSet<_>>(), ids);
    let Response::Transactions(found) = zebra.ask(Request::TransactionsById(ids.clone())).await? else {
        panic!("no transactions")
    };
    assert_eq!(found.iter().filter(|found| found.is_available()).count(), ids.len());

    zebra.advertise(hashes[10]).await?;
    assert_eq!(node.told().await?, Gossip::Block(fixture.hashes()[10]));
    zebra.ask(Request::AdvertiseTransactionIds(ids, None)).await?;
    let Gossip::Transactions(mut told) = node.told().await? else { panic!("no announcement") };
    told.sort_unstable();
    assert_eq!(told, fixture.ids());
    zebra.ask(Request::PushTransaction(fixture.their_transactions[0].clone(), None)).await?;
    assert!(matches!(node.told().await?, Gossip::Transaction(_)));
    drop(zebra);
    node.accepted().await?.closed().await;
    node.shutdown().await
}
