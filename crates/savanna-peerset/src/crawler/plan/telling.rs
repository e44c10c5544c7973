//! What nodes tell, and how much of it is taken.

use savanna_book::Netgroup;
use savanna_peer::Now;
use savanna_wire::{AddrV2, PeerAddr};

use super::{MAX_KNOWN, Plan};

/// How many addresses are taken from one node that nobody had told before, over a whole crawl.
///
/// # Security
/// Against a node that makes up a thousand at every meeting. An honest node's book holds some thousands, and others tell the
/// same.
pub const TOLD_PER_NODE: u16 = 2_500;

/// How many addresses are taken from all nodes of one group that nobody had told before, over a whole crawl.
///
/// # Security
/// Against a node that makes up nodes of its own, which tell of further ones: they are its neighbours.
pub const TOLD_PER_GROUP: u32 = 20_000;

/// How many of the addresses that were passed over are counted: more are as many.
pub const MAX_PASSED_OVER: usize = 100_000;

impl Plan {
    /// Takes what a node told when asked. By all but its first answer it vouches for nodes, and is not counted again.
    ///
    /// # Security
    /// Times and services told along are claims about others, and are not looked at.
    pub(super) fn hear(&mut self, teller: u32, told: &[AddrV2], is_first: bool, now: Now) {
        let mut addresses: Vec<_> = told.iter().map(|entry| entry.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses.retain(|address| self.config.scope.admits(*address));
        let (itself, group) = {
            let record = &self.nodes[teller as usize].record;
            (record.address, record.group())
        };
        let mut news = 0;
        for address in addresses.into_iter().filter(|address| *address != itself) {
            let may = |plan: &mut Self| plan.hosts.has_room(address.host) && plan.spend(teller, group);
            if !self.index.contains_key(&address) && !may(self) {
                self.pass_over(address);
                continue;
            }
            let Some((node, is_new)) = self.know(address, now) else { continue };
            news += usize::from(is_new);
            if is_first || is_new {
                let record = &mut self.nodes[node as usize].record;
                record.told_by = record.told_by.saturating_add(1);
            }
            self.vouch(node, group);
        }
        self.saturation.answer(news);
    }

    /// Counts an address that a bound kept out, once.
    pub(super) fn pass_over(&mut self, address: PeerAddr) {
        if self.passed_over.len() < MAX_PASSED_OVER {
            self.passed_over.insert(address);
        }
    }

    /// Takes one from what a node, and its group, may tell; says whether there was one left.
    fn spend(&mut self, teller: u32, group: Netgroup) -> bool {
        let by_node = &mut self.nodes[teller as usize].told_new;
        let by_group = self.told_by_group.entry(group).or_default();
        let may = *by_node < TOLD_PER_NODE && *by_group < TOLD_PER_GROUP && self.index.len() < MAX_KNOWN;
        if may {
            *by_node += 1;
            *by_group += 1;
        }
        may
    }

    /// Notes that a node was named by somebody of a group: each further group raises it.
    fn vouch(&mut self, node: u32, group: Netgroup) {
        let named_by = &mut self.nodes[node as usize].named_by;
        if named_by.contains(&Some(group)) {
            return;
        }
        let rank = match named_by.iter().position(Option::is_none) {
            Some(free) => {
                named_by[free] = Some(group);
                named_by.len() - free
            }
            None => 0,
        };
        self.raise(node, rank);
    }
}

/// Whether answers still bring news.
#[derive(Debug, Default)]
pub(super) struct Saturation {
    answers: usize,
    since_news: usize,
}

impl Saturation {
    /// So many answers in a row without news are the end, or half of all there were.
    const ENOUGH: usize = 20;

    fn answer(&mut self, news: usize) {
        self.answers += 1;
        self.since_news = if news == 0 { self.since_news + 1 } else { 0 };
    }

    pub(super) fn is_reached(&self) -> bool {
        self.answers > 0 && self.since_news >= self.answers.div_ceil(2).min(Self::ENOUGH)
    }
}
