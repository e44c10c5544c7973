//! Answers peers: a node with a memory pool of one transaction.
//!
//! `cargo run --example answer [NETWORK ADDRESS]` listens there until it is interrupted; without arguments the node is asked
//! by another one, and ends.

mod support;

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;

use savanna::chain::transaction_id;
use savanna::tower::service_fn;
use savanna::{Missing, Network, Node, Partial, Request, Response, Transaction, TransactionId, connect, tokio};

fn answer(request: Request, (id, transaction): (TransactionId, Transaction)) -> Response {
    if request == Request::MempoolIds {
        return Response::TransactionIds(vec![id]);
    }
    let Request::Transactions(wanted) = request else { return Response::Nil };
    let found = if wanted.contains(&id) { vec![transaction] } else { Vec::new() };
    let missing = wanted.into_iter().filter(|wanted| *wanted != id).map(|id| (id, Missing::NotFound)).collect();
    Response::Transactions(Partial { found, missing })
}

#[tokio::main(crate = "savanna::tokio")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let network: Network = arguments.next().map_or(Ok(Network::Regtest), |network| network.parse())?;
    let address: Option<SocketAddr> = arguments.next().map(|address| address.parse()).transpose()?;

    let transaction = support::transaction()?;
    let ours = (transaction_id(transaction.bytes()).ok_or("it is no transaction")?, transaction);
    let service = service_fn(move |request| {
        let ours = ours.clone();
        async move { Ok::<_, Infallible>(answer(request, ours)) }
    });
    let node = Node::builder(network).outbound(0).serve(service).listen(address.unwrap_or(support::LOOPBACK));
    let node = node.user_agent("answer:1.0").start().await?;
    println!("listening on {}", node.listening()[0]);
    if address.is_some() {
        std::future::pending::<()>().await;
    }

    let (client, tasks) = connect(network, node.listening()[0]).await?;
    let Response::TransactionIds(ids) = client.ask(Request::MempoolIds).await? else { return Err("no ids".into()) };
    println!("the node has {} transaction", ids.len());
    if let Response::Transactions(list) = client.ask(Request::Transactions(ids)).await? {
        println!("it handed over {} of {} bytes", list.found.len(), list.found[0].bytes().len());
    }
    tasks.shutdown(support::DRAIN).await;
    node.shutdown(support::DRAIN).await;
    Ok(())
}
