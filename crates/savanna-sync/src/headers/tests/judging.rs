//! What is said of answers before any proof is looked at.

use savanna_chain::{ContextError, Entry, HeaderError, RunError, Target};

use super::*;
use crate::headers::judge::Verdict;
use crate::{Found, MemoryStore, Store};

fn found(headers: Vec<BlockHeader>) -> Found {
    Found { peer: PeerId(3), headers }
}

fn headers_of(blocks: &[Block]) -> Vec<BlockHeader> {
    blocks.iter().map(|block| block.header().clone()).collect()
}

/// Returns a chain of mainnet's headers that somebody mined hard, and headers on it that nobody did.
fn flooded(bits: u32, count: usize) -> (Headers, Vec<BlockHeader>) {
    let mut tree = HeaderChain::new(Network::Mainnet);
    for number in 1..200_u32 {
        let hash = BlockHash(savanna_wire::sha256d(&number.to_le_bytes()));
        tree.restore(Entry { hash, time: 1_477_641_360 + number * 150, bits: 0x1c00_ffff });
    }
    let mut header = chain(1, 0)[1].header().clone();
    (header.previous, header.bits) = (tree.tip().1, bits);
    let mut flood = Vec::new();
    for number in 0..count {
        header.time = 1_477_641_360 + (200 + u32::try_from(number).unwrap()) * 150;
        flood.push(header.clone());
        header.previous = header.hash();
    }
    (Headers::new(tree, None), flood)
}

#[test]
fn adversary_19_headers_that_were_too_easily_mined_are_refused_before_any_proof_is_checked() {
    let limit = savanna_chain::ProofOfWork::limit_bits(Network::Mainnet);
    let (mut headers, flood) = flooded(limit, 160);
    let store = MemoryStore::new(Network::Mainnet);
    let judged = headers.judge(found(flood), UNIX);
    assert!(
        matches!(
            judged.verdict,
            Verdict::Refused(RunError { index: 0, error: HeaderError::Context(ContextError::Bits { .. }) })
        ),
        "{:?}",
        judged.verdict
    );
    let answer = verify::judged(Network::Mainnet, judged, &store).unwrap();
    assert!(matches!(answer.headers, Err(verify::HeadersError::Refused { index: 0, .. })), "{:?}", answer.headers);
    headers.state = State::Asked(Duration::ZERO);
    headers.handle_answers(&[answer], Duration::ZERO, UNIX);
    let report = HeaderAction::Report { peer: PeerId(3), fault: HeaderFault::Invalid };
    assert_eq!(headers.poll_action(Duration::ZERO), Some(report));

    // With the target that is demanded it is the proof that is lacking.
    let expected = headers.chain().context(headers.chain().tip().1).unwrap().expected_bits(1_477_671_360);
    assert!(Target::from_compact(expected).unwrap() < Target::from_compact(limit).unwrap());
    let (headers, hard) = flooded(expected, 1);
    let judged = headers.judge(found(hard), UNIX);
    assert_eq!(judged.verdict, Verdict::Fit);
    let answer = verify::judged(Network::Mainnet, judged, &store).unwrap();
    assert!(matches!(answer.headers, Err(verify::HeadersError::Work { index: 0, .. })), "{:?}", answer.headers);
}

#[test]
fn adversary_19_whoever_claims_that_headers_link_is_held_to_it() {
    let all = chain(300, 0);
    let store = MemoryStore::new(Network::Regtest);
    let mut world = World::new(None, vec![(Habit::Honest, all[..200].to_vec())]);
    world.run();
    // What stands before a known header claims its hash.
    let mut forged = headers_of(&all[150..260]);
    forged[10].nonce = [9; 32];
    let judged = world.headers.judge(found(forged), UNIX);
    assert_eq!((judged.known, &judged.verdict), (50, &Verdict::Fit));
    let answer = verify::judged(Network::Regtest, judged, &store).unwrap();
    assert_eq!(answer.headers, Err(verify::HeadersError::NotLinked { index: 11 }));
    let judged = world.headers.judge(found(headers_of(&all[150..260])), UNIX);
    let answer = verify::judged(Network::Regtest, judged, &store).unwrap();
    assert_eq!(answer.headers.unwrap().len(), 110);
}

#[test]
fn headers_from_the_future_are_left_out_and_those_before_them_taken() {
    let all = chain(400, 0);
    let headers = Headers::new(HeaderChain::new(Network::Regtest), None);
    let unix = u64::from(all[50].header().time);
    let judged = headers.judge(found(headers_of(&all[1..161])), unix);
    assert!(matches!(judged.verdict, Verdict::Stopped(HeaderError::Context(ContextError::Future { .. }))));
    assert!(judged.run.len() > 50 && judged.run.len() < 160, "{}", judged.run.len());
    let store = MemoryStore::new(Network::Regtest);
    let answer = verify::judged(Network::Regtest, judged, &store).unwrap();
    assert!(answer.headers.is_ok() && answer.stopped.is_some());
}

#[test]
fn what_hangs_below_the_root_is_held_against_the_archive() {
    let all = chain(3_000, 0);
    let other = branch(&all, 500, 200);
    let store = MemoryStore::new(Network::Regtest);
    store.append(&all).unwrap();
    let mut headers = Headers::new(HeaderChain::new(Network::Regtest), None);
    for block in &all[1..] {
        headers.extend(block.header(), block.hash(), UNIX).unwrap();
    }
    headers.settle(2_000);
    assert!(headers.chain().root_height() >= 1_700, "{}", headers.chain().root_height());
    let mut locator = headers.locator();
    assert!(locator.len() <= MAX_LOCATOR && locator.last() == Some(&all[0].hash()));
    locator.retain(|hash| headers.chain().height_of(*hash).is_none());
    assert!(locator.len() >= 3, "whoever knows nothing of the tree finds where it stands");
    let mut verdict = |run: &[Block]| {
        let judged = headers.judge(found(headers_of(run)), UNIX);
        assert!(matches!(judged.verdict, Verdict::Below(_)), "{:?}", judged.verdict);
        let answer = verify::judged(Network::Regtest, judged, &store).unwrap();
        (headers.state, headers.unchecked) = (State::Asked(Duration::ZERO), 0);
        headers.handle_answers(std::slice::from_ref(&answer), Duration::ZERO, UNIX);
        let fault = headers.actions.drain(..).find_map(|action| match action {
            HeaderAction::Report { fault, .. } => Some(fault),
            HeaderAction::Ask { .. } => None,
        });
        (answer.headers.map(|headers| headers.len()), fault)
    };
    let anchored = 488; // 1,000 less twice the first step.
    for first in [0, 1] {
        assert_eq!(verdict(&all[first..first + 160]), (Ok(0), None));
    }
    assert_eq!(verdict(&all[anchored + 489..anchored + 520]), (Ok(0), None));
    assert_eq!(verdict(&other[1..161]), (Ok(0), None), "it is ours as far as it goes");
    let mut forged = headers_of(&all[1..100]);
    forged[40].nonce = [9; 32];
    let judged = headers.judge(found(forged), UNIX);
    let answer = verify::judged(Network::Regtest, judged, &store).unwrap();
    assert_eq!(answer.headers, Err(verify::HeadersError::NotLinked { index: 41 }));
}

#[test]
fn the_tree_of_a_long_archive_stays_small() {
    let all = chain(4_000, 0);
    let mut headers = Headers::new(HeaderChain::new(Network::Regtest), None);
    let mut most = 0;
    for (height, block) in (1_u32..).zip(&all[1..]) {
        headers.extend(block.header(), block.hash(), UNIX).unwrap();
        headers.settle(height.saturating_sub(1_000));
        most = most.max(height - headers.chain().root_height());
    }
    assert!(most < 1_112 + 256, "{most}");
    assert_eq!(headers.anchors.height_of(all[0].hash()), Some(0));
}
