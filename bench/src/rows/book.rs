//! An address book of 50,000: the time to choose one, the memory of each, and the time to keep them all.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};
use savanna_book::Wanted;
use savanna_store::PeerStore;
use savanna_wire::Network;

use crate::Options;
use crate::contest::book::{ADDRESSES, FILLED, fill};
use crate::contest::enter;
use crate::measure::{Samples, thread_cpu};
use crate::table::{Better, Goal, Row};

/// One in so many has answered.
const TRIED: u32 = 8;

/// An hour after the book was filled nobody was just dialled.
const LATER: u32 = 60 * 60;

pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let picks = if options.quick { 1_000 } else { 200_000 };
    let mut book = fill(Some(TRIED));
    let (mut choosing, mut memory, mut keeping) = (Samples::default(), Samples::default(), Samples::default());
    let dir = tempfile::tempdir()?;
    let mut store = PeerStore::open(dir.path(), Network::Mainnet)?.store;
    for _ in 0..options.samples() {
        let before = thread_cpu();
        for _ in 0..picks {
            ensure!(black_box(book.pick(&Wanted::default(), FILLED.plus(LATER))).is_some(), "the book chose nobody");
        }
        choosing.push((thread_cpu() - before).as_secs_f64() * 1e6 / f64::from(picks));
        memory.push(enter::<f64>("ours-book", &[])?);
        let before = Instant::now();
        store.save(&book.snapshot())?;
        keeping.push(before.elapsed().as_secs_f64() * 1e3);
    }
    let tried = book.counts().tried.total();
    Ok(vec![
        Row {
            name: format!("Choosing an address from a book of {ADDRESSES}"),
            unit: "µs",
            better: Better::Lower,
            ours: choosing,
            theirs: None,
            limit: None,
            goals: vec![Goal::AtMost(2.0)],
            note: format!("CPU time of one thread. {tried} of the addresses have answered."),
        },
        Row {
            name: format!("An address in a book of {ADDRESSES}"),
            unit: "bytes",
            better: Better::Lower,
            ours: memory,
            theirs: None,
            limit: None,
            goals: vec![Goal::AtMost(250.0)],
            note: "Growth of the resident memory of a process that fills a book by gossip.".to_owned(),
        },
        Row {
            name: format!("Keeping a book of {ADDRESSES} on disk"),
            unit: "ms",
            better: Better::Lower,
            ours: keeping,
            theirs: None,
            limit: None,
            goals: vec![Goal::AtMost(150.0)],
            note: "By wall clock, snapshot and durable write included.".to_owned(),
        },
    ])
}
