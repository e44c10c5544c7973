//! How far it has come: a bar on a terminal, lines elsewhere.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use savanna_net::PeerId;
use savanna_peerset::Event;
use savanna_sync::headers::HeaderFault;
use savanna_sync::{Fault, Progress};

use super::dial::Missed;

/// How much time lies between two lines about the same thing.
const BETWEEN_LINES: Duration = Duration::from_secs(2);

const HEADERS_STYLE: &str = "{spinner} headers {pos}  {elapsed_precise}";
const BLOCKS_STYLE: &str = "{wide_bar} {pos}/{len} blocks  {msg}  {eta} left";

/// Tells a person what a synchronisation does, on standard error.
pub(super) struct Reporter {
    /// Draws nothing where there is no terminal.
    bar: ProgressBar,
    is_terminal: bool,
    /// Whether the peers were named: only then is it told of each that comes to nothing.
    is_named: bool,
    in_blocks: Cell<bool>,
    began: RefCell<Option<Instant>>,
    last_line: Cell<Option<Instant>>,
    /// The peers that are there, by what they are called.
    peers: RefCell<BTreeMap<PeerId, String>>,
    /// What was wrong last with each of the others.
    trouble: RefCell<BTreeMap<String, String>>,
}

impl Reporter {
    /// Tells of peers that were named, each of whom somebody waits for.
    pub(super) fn of_named() -> Self {
        Self::new(true)
    }

    /// Tells of peers that are found, who come and go.
    pub(super) fn of_found() -> Self {
        Self::new(false)
    }

    fn new(is_named: bool) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = if is_terminal { ProgressBar::no_length() } else { ProgressBar::hidden() };
        bar.set_style(style(HEADERS_STYLE));
        Self {
            bar,
            is_terminal,
            is_named,
            in_blocks: Cell::new(false),
            began: RefCell::new(None),
            last_line: Cell::new(None),
            peers: RefCell::default(),
            trouble: RefCell::default(),
        }
    }

    /// Says one thing, above the bar if there is one.
    pub(super) fn line(&self, text: &str) {
        if self.is_terminal {
            self.bar.println(text);
        } else {
            eprintln!("{text}");
        }
    }

    /// Returns what is wrong with the peers that are not there.
    pub(super) fn trouble(&self) -> Vec<String> {
        self.trouble.borrow().iter().map(|(peer, why)| format!("{peer}: {why}")).collect()
    }

    /// Takes a dial that led to nobody, and tells of the first in a row.
    pub(super) fn miss(&self, missed: &Missed) {
        let Missed { peer, why } = missed;
        if self.trouble.borrow_mut().insert(peer.clone(), why.clone()).is_none() {
            self.line(&format!("peer not reached: {peer}: {why}"));
        }
    }

    /// Takes what happens to the peers.
    pub(super) fn hear(&self, event: &Event) {
        match event {
            Event::Joined { peer, address, .. } => {
                let name = address.map_or_else(|| "a peer".to_owned(), |address| address.to_string());
                self.trouble.borrow_mut().remove(&name);
                self.peers.borrow_mut().insert(*peer, name);
            }
            Event::Left { peer, reason } => {
                // Those that were reported have been told of.
                let left = self.peers.borrow_mut().remove(peer);
                if let Some(name) = left.filter(|_| self.is_named) {
                    self.line(&format!("{name} left: {reason}"));
                    self.trouble.borrow_mut().insert(name, reason.to_string());
                }
            }
            Event::Gossip { .. } | Event::Lagged(_) | _ => {}
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Shows what has happened.
    pub(super) fn show(&self, progress: &Progress) {
        match progress {
            Progress::Headers { height } if !self.in_blocks.get() => {
                self.bar.set_position(u64::from(*height));
                self.now_and_then(|| format!("headers up to height {height}"));
            }
            Progress::Stored { height, target, blocks, bytes } => self.show_blocks(*height, *target, *blocks, *bytes),
            Progress::Reorganised { fork, left, .. } => {
                self.line(&format!("another branch has more work: {left} blocks above height {fork} made way for it"));
            }
            Progress::Reported { peer, why } => {
                let name = self.peers.borrow_mut().remove(peer).unwrap_or_else(|| "a peer".to_owned());
                let why = describe(*why);
                self.line(&format!("{name} is out: {why}"));
                if self.is_named {
                    self.trouble.borrow_mut().insert(name, why.to_owned());
                }
            }
            Progress::Headers { .. } | _ => {}
        }
    }

    fn show_blocks(&self, height: u32, target: u32, blocks: u64, bytes: u64) {
        if !self.in_blocks.replace(true) {
            self.bar.set_style(style(BLOCKS_STYLE));
        }
        let seconds = self.began.borrow_mut().get_or_insert_with(Instant::now).elapsed().as_secs_f64().max(0.001);
        let rate = format!("{:.0} blocks/s, {:.1} MB/s", blocks as f64 / seconds, bytes as f64 / 1e6 / seconds);
        self.bar.set_length(u64::from(target));
        self.bar.set_position(u64::from(height));
        self.bar.set_message(rate.clone());
        if target == 0 {
            return;
        }
        self.now_and_then(|| format!("blocks up to height {height} of {target}, {rate}"));
    }

    /// Prints a line where there is no bar, and only so often.
    fn now_and_then(&self, text: impl FnOnce() -> String) {
        let due = self.last_line.get().is_none_or(|last| last.elapsed() >= BETWEEN_LINES);
        if !self.is_terminal && due {
            self.last_line.set(Some(Instant::now()));
            eprintln!("{}", text());
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants of this file, and a test holds them to be valid.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

const fn describe(why: Fault) -> &'static str {
    match why {
        Fault::WrongBody => "it sent a block that is not what its header says",
        Fault::HashList => "it listed blocks that do not follow one another",
        Fault::Headers(HeaderFault::Invalid) => "its headers are invalid",
        Fault::Headers(HeaderFault::Looping) => "its headers lead nowhere",
        Fault::Headers(HeaderFault::LowWork) => "its chain is another one with less work",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_valid() {
        for template in [HEADERS_STYLE, BLOCKS_STYLE] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
