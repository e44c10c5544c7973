//! Shakes hands with one peer, and says who it is.
//!
//! `cargo run --example handshake [NETWORK PEER]`; without a peer it starts one.

mod support;

use std::error::Error;

use savanna::{Request, Response, connect, tokio};

#[tokio::main(crate = "savanna::tokio")]
async fn main() -> Result<(), Box<dyn Error>> {
    let peers = support::Peers::find(1).await?;
    let address = peers.first().await?;

    let (client, tasks) = connect(peers.network, address).await?;
    let remote = &client.info().remote;
    println!("{address} is {}", remote.user_agent);
    println!("version {}, services {}, height {}", remote.version, remote.services, remote.height);

    if let Response::Pong(round_trip) = client.ask(Request::Ping).await? {
        println!("{round_trip:?} away");
    }

    drop(client);
    tasks.shutdown(support::DRAIN).await;
    peers.shutdown().await;
    Ok(())
}
