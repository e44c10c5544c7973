use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::ready;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use savanna::Node;
use savanna_net::InboundService;
use savanna_peer::{Missing, Partial, Request, Response};
use savanna_peerset::SeedAnswer;
use savanna_sim::{regtest, version};
use savanna_store::PeerStore;
use savanna_wire::{Block, BlockHeader, Message, PeerAddr, encode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tower::service_fn;

use super::*;
use crate::cli::MetricsArgs;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Seeds that name the same peers to everybody.
struct StandIn(Vec<SeedAnswer>);

impl StandIn {
    fn naming(addresses: &[SocketAddr]) -> Self {
        let addresses = addresses.iter().copied().map(PeerAddr::from).collect();
        Self(vec![SeedAnswer { seed: 0, addresses }])
    }
}

impl Seeds for StandIn {
    fn ask(&self) -> BoxFuture<'static, Vec<SeedAnswer>> {
        ready(self.0.clone()).boxed()
    }
}

/// A chain that is served, and may grow.
type Chain = Arc<Mutex<Vec<Block>>>;

/// Answers what a newcomer asks.
#[allow(clippy::wildcard_enum_match_arm, reason = "nothing else is asked here")]
fn serving(chain: &Chain) -> impl InboundService + Sync + use<> {
    let chain = Arc::clone(chain);
    service_fn(move |request| {
        let chain = chain.lock().unwrap_or_else(PoisonError::into_inner);
        ready(Ok::<_, Infallible>(match request {
            Request::FindHeaders { locator, .. } => {
                let known = chain.iter().rposition(|block| locator.contains(&block.hash()));
                let next = chain.iter().skip(known.map_or(0, |known| known + 1)).take(160);
                Response::Headers(next.map(|block| BlockHeader::clone(block.header())).collect())
            }
            Request::Blocks(hashes) => {
                let by_hash: BTreeMap<_, _> = chain.iter().map(|block| (block.hash(), block)).collect();
                let (mut found, mut missing) = (Vec::new(), Vec::new());
                for hash in hashes {
                    match by_hash.get(&hash) {
                        Some(block) => found.push(Block::clone(block)),
                        None => missing.push((hash, Missing::NotFound)),
                    }
                }
                Response::Blocks(Partial { found, missing })
            }
            _ => Response::Nil,
        }))
    })
}

async fn server(chain: &Chain) -> Node {
    let builder = Node::builder(Network::Regtest).outbound(0).serve(serving(chain)).listen(LOOPBACK);
    builder.start().await.unwrap()
}

/// Stands before a node, and lets those who come wait before they get there.
async fn far_away(node: SocketAddr, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                sleep(delay).await;
                let mut far = TcpStream::connect(node).await.unwrap();
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
}

/// What a run of the command comes to, and its numbers at the end.
async fn run_once(network: Network, dir: &Path, seeds: StandIn) -> (anyhow::Result<Summary>, String) {
    let (tasks, reporter) = (Tasks::new(), Reporter::of_found());
    let telemetry = Telemetry::start(&MetricsArgs { metrics: None }, &tasks).await.unwrap();
    let store = open(dir, network).await.unwrap();
    let job = Job { store, until: None, telemetry: &telemetry, reporter: &reporter };
    let fetching = fetch_from_found(seeds, dir, &job);
    (timeout(Duration::from_secs(120), fetching).await.expect("it takes too long"), telemetry.page())
}

fn has(page: &str, line: &str) -> bool {
    page.lines().any(|known| known == line)
}

#[tokio::test]
async fn f11_peers_are_found_by_seeds_and_in_the_next_run_by_the_book_alone() {
    let whole = regtest::chain(400, 0);
    let chain = Chain::new(Mutex::new(whole[..=250].to_vec()));
    let server = server(&chain).await;
    let address = server.listening()[0];
    let dir = tempfile::tempdir().unwrap();

    let (summary, page) = run_once(Network::Regtest, dir.path(), StandIn::naming(&[address])).await;
    let summary = summary.unwrap();
    assert_eq!((summary.tip_height, summary.tip_hash, summary.peers), (250, whole[250].hash(), 1));
    for line in [
        "savanna_book_addresses{table=\"tried\",network=\"v4\"} 1",
        "savanna_book_addresses{table=\"new\",network=\"v4\"} 0",
        "savanna_addresses_total{source=\"seeded\",outcome=\"new\"} 1",
        "savanna_dials_total{outcome=\"connected\"} 1",
        "savanna_peers_wanted 12",
        "savanna_offline 0",
        "savanna_arrivals_total{outcome=\"admitted\"} 0",
    ] {
        assert!(has(&page, line), "no {line} in\n{page}");
    }
    assert!(dir.path().join(PeerStore::file_name(Network::Regtest)).is_file());

    *chain.lock().unwrap() = whole.clone();
    let (summary, page) = run_once(Network::Regtest, dir.path(), StandIn(Vec::new())).await;
    let summary = summary.unwrap();
    assert_eq!((summary.tip_height, summary.blocks), (400, 150));
    assert!(has(&page, "savanna_addresses_total{source=\"seeded\",outcome=\"new\"} 0"), "{page}");
}

#[tokio::test]
async fn adversary_22_who_answers_first_does_not_say_where_the_chain_ends() {
    let whole = regtest::chain(60, 0);
    let withholding = server(&Chain::new(Mutex::new(whole[..=20].to_vec()))).await;
    let honest = server(&Chain::new(Mutex::new(whole))).await;
    let far = far_away(honest.listening()[0], Duration::from_secs(1)).await;
    let dir = tempfile::tempdir().unwrap();
    let seeds = StandIn::naming(&[withholding.listening()[0], far]);
    let (summary, _) = run_once(Network::Regtest, dir.path(), seeds).await;
    assert_eq!(summary.unwrap().tip_height, 60);
}

#[tokio::test]
async fn adversary_27_a_damaged_book_is_set_aside_and_peers_are_found_all_the_same() {
    let chain = Chain::new(Mutex::new(regtest::chain(3, 0)));
    let server = server(&chain).await;
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), Network::Regtest).await.unwrap());
    let book = dir.path().join(PeerStore::file_name(Network::Regtest));
    std::fs::write(&book, [0xa5; 4096]).unwrap();
    let (summary, _) = run_once(Network::Regtest, dir.path(), StandIn::naming(server.listening())).await;
    assert_eq!(summary.unwrap().tip_height, 3);
    assert_eq!(std::fs::read(book.with_extension("damaged")).unwrap(), [0xa5; 4096]);
    let kept = PeerStore::open(dir.path(), Network::Regtest).unwrap();
    assert!(kept.set_aside.is_none() && kept.snapshot.is_some());
}

#[tokio::test]
async fn seeds_that_do_not_answer_are_named_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let began = std::time::Instant::now();
    let answer = SeedAnswer { seed: 1, addresses: vec!["127.0.0.1:8233".parse().unwrap()] };
    let (result, page) = run_once(Network::Mainnet, dir.path(), StandIn(vec![answer])).await;
    assert!(began.elapsed() < FIRST_PEER_WITHIN, "it waited");
    let sentence = result.unwrap_err().to_string();
    let [first, second, ..] = Network::Mainnet.dns_seeds() else { unreachable!("mainnet has seeds") };
    assert!(sentence.starts_with(&format!("no peer could be reached: {first}, ")), "{sentence}");
    assert!(!sentence.contains(second) && sentence.contains("did not answer"), "{sentence}");
    assert!(sentence.ends_with("the seeds name nobody who may be dialled"), "{sentence}");
    for line in ["savanna_seeds_asked_total 1", "savanna_addresses_total{source=\"seeded\",outcome=\"refused\"} 1"] {
        assert!(has(&page, line), "no {line} in\n{page}");
    }
}

/// Shakes hands with whoever comes, and then talks nonsense.
async fn nonsense() -> SocketAddr {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let magic = Network::Regtest.magic();
            let mut words = encode(&Message::Version(version(5)), magic).concat();
            words.extend(encode(&Message::Verack, magic).concat());
            words.extend([0; 24]);
            tokio::spawn(async move {
                let _ = stream.write_all(&words).await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn adversary_22_a_peer_that_is_turned_away_before_another_comes_holds_up_no_end() {
    let chain = Chain::new(Mutex::new(regtest::chain(60, 0)));
    let honest = server(&chain).await;
    let far = far_away(honest.listening()[0], Duration::from_secs(1)).await;
    let dir = tempfile::tempdir().unwrap();
    let (tasks, reporter) = (Tasks::new(), Reporter::of_named());
    let telemetry = Telemetry::start(&MetricsArgs { metrics: None }, &tasks).await.unwrap();
    let store = open(dir.path(), Network::Regtest).await.unwrap();
    let targets = [nonsense().await, far].map(|address| address.to_string().parse().unwrap());
    let places = Places::find(&targets, Network::Regtest).await.unwrap();
    let job = Job { store, until: None, telemetry: &telemetry, reporter: &reporter };
    let fetching = fetch_from_named(places, &job, &tasks);
    let summary = timeout(Duration::from_secs(20), fetching).await.expect("it waits for who was turned away");
    assert_eq!(summary.unwrap().tip_height, 60);
}
