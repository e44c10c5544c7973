//! Prints what peers announce as it comes, until there have been a few announcements.
//!
//! `cargo run --example watch_inventory [NETWORK PEER...]`; with a network alone it asks the DNS seeds for peers, without
//! arguments it starts three, which announce a block each.

mod support;

use std::error::Error;

use savanna::{Event, Gossip, tokio};

/// How many announcements are waited for.
const ENOUGH: usize = 3;

#[tokio::main(crate = "savanna::tokio")]
async fn main() -> Result<(), Box<dyn Error>> {
    let peers = support::Peers::find(ENOUGH).await?;
    let node = peers.builder().relay(true).user_agent("watch_inventory:1.0").start().await?;
    let mut events = node.events();
    println!("{} peers", peers.joined(&node).await);
    peers.announce().await?;

    let mut announcements = 0;
    while announcements < ENOUGH {
        let Some(event) = events.next().await else { break };
        let Event::Gossip { peer, gossip } = event else { continue };
        match gossip {
            Gossip::Block(hash) => println!("{peer} has block {hash}"),
            Gossip::Transactions(ids) => println!("{peer} has {} transactions", ids.len()),
            Gossip::Transaction(transaction) => println!("{peer} sent {} bytes of one", transaction.bytes().len()),
            Gossip::Peers(addresses) => println!("{peer} knows {} peers", addresses.len()),
        }
        announcements += 1;
    }

    node.shutdown(support::DRAIN).await;
    peers.shutdown().await;
    Ok(())
}
