//! Fetches the first blocks of the chain from many peers at once, and checks what can be checked of each alone.
//!
//! `cargo run --example fetch_blocks [NETWORK PEER...]`; with a network alone it asks the DNS seeds for peers, without
//! arguments it starts three.

mod support;

use std::collections::BTreeMap;
use std::error::Error;

use savanna::chain::check_body;
use savanna::{Fetched, Offence, Request, Response, tokio};

#[tokio::main(crate = "savanna::tokio")]
async fn main() -> Result<(), Box<dyn Error>> {
    let peers = support::Peers::find(3).await?;
    let node = peers.builder().user_agent("fetch_blocks:1.0").start().await?;
    println!("{} peers", peers.joined(&node).await);

    let genesis = peers.network.genesis_hash();
    let question = Request::FindBlocks { locator: vec![genesis], stop: None };
    let Response::BlockHashes(hashes) = node.ask(question).await? else { return Err("no hashes".into()) };
    let heights: BTreeMap<_, _> = hashes.iter().copied().zip(1..).collect();
    println!("{} blocks follow {genesis}", hashes.len());

    let mut fetched_from = BTreeMap::new();
    let mut blocks = node.peer_set().blocks(hashes).await?;
    while let Some(Fetched { hash, result }) = blocks.next().await {
        match result {
            Ok((peer, block)) => match check_body(peers.network, heights[&hash], &block) {
                Ok(_) => *fetched_from.entry(peer).or_insert(0) += 1,
                Err(error) => {
                    println!("{peer} gave a wrong body: {error}");
                    node.peer_set().report(peer, Offence::InvalidAnswer);
                }
            },
            Err(missing) => println!("{hash} is missing: {missing:?}"),
        }
    }
    for (peer, blocks) in fetched_from {
        println!("{blocks} of them came from {peer}");
    }

    node.shutdown(support::DRAIN).await;
    peers.shutdown().await;
    Ok(())
}
