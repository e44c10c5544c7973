//! How far it has come: a bar on a terminal, lines elsewhere.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use savanna_net::{Client, PeerId};
use savanna_sync::Gone;
use savanna_sync::Progress;
use savanna_sync::download::Fault;
use savanna_sync::headers::HeaderFault;

/// How much time lies between two lines about the same thing.
const BETWEEN_LINES: Duration = Duration::from_secs(2);

const HEADERS_STYLE: &str = "{spinner} headers {pos}  {elapsed_precise}";
const BLOCKS_STYLE: &str = "{wide_bar} {pos}/{len} blocks  {msg}  {eta} left";

/// Tells a person what a synchronisation does, on standard error.
pub(super) struct Reporter {
    /// Draws nothing where there is no terminal.
    bar: ProgressBar,
    is_terminal: bool,
    in_blocks: Cell<bool>,
    began: RefCell<Option<Instant>>,
    last_line: Cell<Option<Instant>>,
    gone: RefCell<Vec<String>>,
}

impl Reporter {
    pub(super) fn new() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = if is_terminal { ProgressBar::no_length() } else { ProgressBar::hidden() };
        bar.set_style(style(HEADERS_STYLE));
        Self {
            bar,
            is_terminal,
            in_blocks: Cell::new(false),
            began: RefCell::new(None),
            last_line: Cell::new(None),
            gone: RefCell::default(),
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

    /// Returns which peers went and why.
    pub(super) fn gone(&self) -> Vec<String> {
        self.gone.borrow().clone()
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Shows what has happened.
    pub(super) fn show(&self, event: &Progress<PeerId>, known: &BTreeMap<PeerId, Client>) {
        match event {
            Progress::Headers { height } if !self.in_blocks.get() => {
                self.bar.set_position(u64::from(*height));
                self.now_and_then(|| format!("headers up to height {height}"));
            }
            Progress::Stored { height, target, blocks, bytes } => self.show_blocks(*height, *target, *blocks, *bytes),
            Progress::Reorganised { fork } => {
                self.line(&format!("another branch has more work: going back to height {fork}"));
            }
            Progress::PeerGone { peer, why } => {
                let client = known.get(peer);
                let address = client.and_then(Client::peer_addr);
                let name = address.map_or_else(|| "a peer".to_owned(), |address| address.to_string());
                // A connection that has ended knows why, so there is nothing to wait for.
                let reason = client.filter(|_| *why == Gone::Closed).and_then(|client| client.closed().now_or_never());
                let why = reason.map_or_else(|| describe(*why).to_owned(), |reason| reason.to_string());
                self.line(&format!("{name} is out: {why}"));
                self.gone.borrow_mut().push(format!("{name}: {why}"));
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

fn describe(why: Gone) -> &'static str {
    match why {
        Gone::Closed => "its connection ended",
        Gone::Blocks(Fault::WrongBody) => "it sent a block that is not what its header says",
        Gone::Blocks(Fault::Stalled) => "it let its time for blocks pass again and again",
        Gone::Headers(HeaderFault::Invalid) => "its headers are invalid",
        Gone::Headers(HeaderFault::Looping) => "its headers lead nowhere",
        Gone::Headers(HeaderFault::LowWork) => "its chain is another one with less work",
        Gone::Headers(HeaderFault::Silent) => "it answers no question for headers",
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
