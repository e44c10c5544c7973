//! `zebra-network` as a peer of ours: its pool by `init`, with an inbound service, listening on loopback.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use anyhow::{Result, bail};
use savanna_interop::{Fixture, OurNode, TheirNode, their_hash, their_id, within};
use savanna_net::Client;
use savanna_peer::{Missing, Request, Response};
use savanna_wire::{AddrV2, BlockHash, Services, Transaction};
use zebra_network as zebra;

/// A block that nobody has.
const NO_BLOCK: BlockHash = BlockHash([7; 32]);

async fn ask(client: &Client, request: Request) -> Result<Response> {
    let name = request.kind().label();
    Ok(within(name, client.ask(request)).await??)
}

async fn joined(fixture: &Arc<Fixture>) -> Result<(TheirNode, OurNode, Client)> {
    let zebra = TheirNode::start(fixture, &[]).await?;
    let mut node = OurNode::start(fixture).await?;
    let client = within("zebra-network takes us in", node.connect(zebra.address)).await??;
    assert_eq!(client.info().remote.user_agent.as_bytes(), b"/interop/");
    assert!(client.info().remote.services.contains(Services::NODE_NETWORK));
    Ok((zebra, node, client))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_zebras_answers_our_client_in_full() -> Result<()> {
    let fixture = Fixture::new()?;
    let (zebra, node, client) = joined(&fixture).await?;
    let hashes = fixture.hashes();
    assert!(matches!(ask(&client, Request::Ping).await?, Response::Pong(_)));

    let Response::Peers(peers) = ask(&client, Request::Peers).await? else { bail!("no peers") };
    let told: BTreeSet<_> = peers.iter().filter_map(|peer| peer.address.socket_addr()).collect();
    assert_eq!(told, fixture.addresses.iter().copied().collect());

    let find = Request::FindBlocks { locator: vec![hashes[2]], stop: None };
    assert_eq!(ask(&client, find).await?, Response::BlockHashes(hashes[3..].to_vec()));
    let find = Request::FindBlocks { locator: vec![hashes[2]], stop: Some(hashes[6]) };
    assert_eq!(ask(&client, find).await?, Response::BlockHashes(hashes[3..=6].to_vec()));
    // At the tip nothing is sent, and the fence says so.
    let find = Request::FindBlocks { locator: vec![hashes[10]], stop: None };
    assert_eq!(ask(&client, find).await?, Response::BlockHashes(Vec::new()));

    let find = Request::FindHeaders { locator: vec![hashes[0]], stop: None };
    let Response::Headers(headers) = ask(&client, find).await? else { bail!("no headers") };
    assert_eq!(headers.iter().map(|header| header.hash()).collect::<Vec<_>>(), hashes[1..]);

    let Response::Blocks(answer) = ask(&client, Request::Blocks(hashes.clone())).await? else { bail!("no blocks") };
    assert_eq!(answer.missing, Vec::new());
    let found: BTreeSet<_> = answer.found.iter().map(|block| (block.hash(), block.bytes().clone())).collect();
    assert_eq!(found, fixture.blocks.iter().map(|block| (block.hash(), block.bytes().clone())).collect());
    let some = Request::Blocks(vec![hashes[4], NO_BLOCK]);
    let Response::Blocks(answer) = ask(&client, some).await? else { bail!("no blocks") };
    assert_eq!(answer.found.len(), 1);
    assert_eq!(answer.missing, vec![(NO_BLOCK, Missing::NotFound)]);
    drop((client, zebra));
    node.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn many_questions_at_once_get_their_own_answers() -> Result<()> {
    let fixture = Fixture::new()?;
    let (zebra, node, client) = joined(&fixture).await?;
    let singly: Vec<_> =
        fixture.hashes().into_iter().map(|hash| (hash, client.ask(Request::Blocks(vec![hash])))).collect();
    let pings: Vec<_> = (0..4).map(|_| client.ask(Request::Ping)).collect();
    let headers = client.ask(Request::FindHeaders { locator: vec![fixture.hashes()[5]], stop: None });
    for (hash, asked) in singly {
        let Response::Blocks(answer) = within("a block", asked).await?? else { bail!("no block") };
        assert_eq!(answer.found.iter().map(|block| block.hash()).collect::<Vec<_>>(), [hash]);
    }
    for ping in pings {
        assert!(matches!(within("a pong", ping).await??, Response::Pong(_)));
    }
    let Response::Headers(headers) = within("headers", headers).await?? else { bail!("no headers") };
    assert_eq!(headers.len(), 5);
    drop((client, zebra));
    node.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_zebras_gives_its_mempool_and_hears_of_ours() -> Result<()> {
    let fixture = Fixture::new()?;
    let (mut zebra, node, client) = joined(&fixture).await?;
    let ids = fixture.ids();

    let Response::TransactionIds(mut found) = ask(&client, Request::MempoolIds).await? else { bail!("no ids") };
    found.sort_unstable();
    assert_eq!(found, ids);
    let Response::Transactions(answer) = ask(&client, Request::Transactions(ids.clone())).await? else {
        bail!("no transactions")
    };
    assert_eq!(answer.missing, Vec::new());
    let bytes = |transaction: &Transaction| transaction.bytes().clone();
    let found: BTreeSet<_> = answer.found.iter().map(bytes).collect();
    assert_eq!(found, fixture.transactions.values().map(bytes).collect());

    for (id, transaction) in &fixture.transactions {
        assert_eq!(ask(&client, Request::PushTransaction(transaction.clone())).await?, Response::Nil);
        let theirs = their_id(&fixture, *id).unwrap();
        let is_it =
            |asked: &zebra::Request| matches!(asked, zebra::Request::PushTransaction(pushed, _) if pushed.id == theirs);
        zebra.asked("our push arrives", is_it).await?;
    }
    ask(&client, Request::AdvertiseTransactions(ids.clone())).await?;
    let all: HashSet<_> = ids.iter().filter_map(|id| their_id(&fixture, *id)).collect();
    let is_it =
        |asked: &zebra::Request| matches!(asked, zebra::Request::AdvertiseTransactionIds(told, _) if *told == all);
    zebra.asked("our announcement of transactions arrives", is_it).await?;
    let tip = fixture.hashes()[10];
    ask(&client, Request::AdvertiseBlock(tip)).await?;
    let is_it =
        |asked: &zebra::Request| matches!(asked, zebra::Request::AdvertiseBlock(told, _) if *told == their_hash(tip));
    zebra.asked("our announcement of a block arrives", is_it).await?;

    // Zebra keeps such addresses for its own crawler: that it stays is all that can be seen.
    let peer = AddrV2 { time: 1_700_000_000, services: Services::NODE_NETWORK, address: fixture.addresses[0].into() };
    ask(&client, Request::AdvertisePeers(vec![peer])).await?;
    assert!(matches!(ask(&client, Request::Ping).await?, Response::Pong(_)));
    drop((client, zebra));
    node.shutdown().await
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_ask_over_one_connection() -> Result<()> {
    let fixture = Fixture::new()?;
    let (mut zebra, mut node, client) = joined(&fixture).await?;
    let hashes = fixture.hashes();
    let asked = client.ask(Request::Blocks(hashes.clone()));
    let find = zebra::Request::FindHeaders { known_blocks: vec![their_hash(hashes[0])], stop: None };
    let answer = zebra.ask(find).await?;
    let zebra::Response::BlockHeaders(headers) = answer else { bail!("no headers: {answer:?}") };
    assert_eq!(headers.len(), hashes.len() - 1);
    node.asked_for(&Request::FindHeaders { locator: vec![hashes[0]], stop: None }).await?;
    let Response::Blocks(answer) = within("blocks", asked).await?? else { bail!("no blocks") };
    assert_eq!(answer.found.len(), hashes.len());
    let all: HashSet<_> = hashes.iter().map(|hash| their_hash(*hash)).collect();
    let answer = zebra.ask(zebra::Request::BlocksByHash(all)).await?;
    let zebra::Response::Blocks(found) = answer else { bail!("no blocks: {answer:?}") };
    assert!(found.iter().all(|block| block.is_available()));
    drop((client, zebra));
    node.shutdown().await
}
