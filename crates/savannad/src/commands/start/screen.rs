//! What a person sees: a line that changes at the foot of a terminal, and elsewhere a log line now and then.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tokio::time::{MissedTickBehavior, interval};

use super::chain::{Chain, Rate};
use super::pages::{Peers, View};
use crate::telemetry::Screen;

/// How often the line of a terminal changes.
const REDRAWN_EVERY: Duration = Duration::from_millis(500);

/// How often a log line says how far fetching is.
const LOGGED_EVERY: Duration = Duration::from_secs(10);

const STYLE: &str = "{spinner} {wide_msg}";

/// Shows how far the node is, for as long as it runs.
pub(super) async fn run(view: View) {
    if io::stderr().is_terminal() { draw(view).await } else { log(view).await }
}

async fn draw(view: View) {
    let bar = ProgressBar::new_spinner();
    // The template is a constant of this file, and a test holds it to be valid.
    bar.set_style(ProgressStyle::with_template(STYLE).unwrap_or_else(|_| ProgressStyle::default_spinner()));
    Screen::keep_below(&bar);
    let _cleared = Cleared(bar.clone());
    let mut ticks = interval(REDRAWN_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let chain = view.chain();
        bar.set_message(line(&chain, chain.rate(Instant::now()), view.peers(), view.is_serving()));
        bar.tick();
    }
}

/// Takes the line away when nobody draws it any more.
struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

async fn log(view: View) {
    let mut ticks = interval(LOGGED_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first comes at once, when there is nothing to tell.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let chain = view.chain();
        if chain.is_synced || !chain.is_behind() {
            continue;
        }
        let (rate, peers) = (chain.rate(Instant::now()), view.peers());
        let Rate { blocks, bytes } = rate;
        let height = chain.height().map_or_else(|| "none".to_owned(), |height| height.to_string());
        let peers = peers.inbound + peers.outbound;
        tracing::info!(%height, target = chain.target, blocks_per_s = blocks, bytes_per_s = bytes, peers, "fetching");
    }
}

/// Writes the line of a terminal.
fn line(chain: &Chain, rate: Rate, peers: Peers, is_serving: bool) -> String {
    let height = chain.height();
    let target = u64::from(chain.target);
    let mut parts = vec![match height {
        _ if chain.is_synced => format!("at the tip, height {}", HumanCount(u64::from(height.unwrap_or(0)))),
        Some(height) if chain.is_behind() => {
            let percent = (u64::from(height) * 100).checked_div(target).unwrap_or(0);
            format!("height {} of {} ({percent} %)", HumanCount(height.into()), HumanCount(target))
        }
        Some(height) => format!("height {}, asking peers for more", HumanCount(height.into())),
        None if target > 0 => format!("headers up to {}", HumanCount(target)),
        None => "looking for peers".to_owned(),
    }];
    if rate.blocks > 0 && !chain.is_synced {
        parts.push(format!("{} blocks/s, {:.1} MB/s", HumanCount(rate.blocks), rate.bytes as f64 / 1e6));
        let left = target.saturating_sub(height.map_or(0, u64::from)) / rate.blocks;
        if left > 0 {
            parts.push(format!("{} left", indicatif::HumanDuration(Duration::from_secs(left))));
        }
    }
    let all = peers.inbound + peers.outbound;
    parts.push(match (all, peers.inbound) {
        (1, 0) => "1 peer".to_owned(),
        (1, _) => "1 peer, inbound".to_owned(),
        (all, 0) => format!("{all} peers"),
        (all, inbound) => format!("{all} peers, {inbound} of them inbound"),
    });
    if is_serving {
        parts.push("serving".to_owned());
    }
    if let Some(trouble) = chain.trouble() {
        parts.push(format!("trouble: {}", trouble.kind.label().replace('_', " ")));
    }
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use savanna_store::Tip;
    use savanna_sync::Progress;
    use savanna_wire::BlockHash;

    use super::*;

    #[test]
    fn the_template_is_valid() {
        ProgressStyle::with_template(STYLE).unwrap();
    }

    #[test]
    fn the_line_says_how_far_it_is_how_fast_and_with_whom() {
        let hash = BlockHash([1; 32]);
        let never = |_: &savanna_sync::Trouble| unreachable!("there is no trouble");
        let nobody = Peers { inbound: 0, outbound: 0, ready: 0 };
        let some = Peers { inbound: 2, outbound: 12, ready: 9 };
        let still = Rate::default();
        assert_eq!(line(&Chain::of(None), still, nobody, false), "looking for peers · 0 peers");
        let mut chain = Chain::of(Some(Tip { height: 250_000, hash }));
        chain.note(&Progress::Headers { height: 1_000_000 }, None, never);
        let rate = Rate { blocks: 1_500, bytes: 12_340_000 };
        assert_eq!(
            line(&chain, rate, some, false),
            "height 250,000 of 1,000,000 (25 %) · 1,500 blocks/s, 12.3 MB/s · 8 minutes left · 14 peers, 2 of them inbound"
        );
        chain.note(&Progress::Synced { height: 1_000_000, hash }, None, never);
        let one = Peers { inbound: 0, outbound: 1, ready: 1 };
        assert_eq!(line(&chain, rate, one, true), "at the tip, height 1,000,000 · 1 peer · serving");
        let came = Peers { inbound: 1, outbound: 0, ready: 1 };
        assert_eq!(line(&chain, rate, came, true), "at the tip, height 1,000,000 · 1 peer, inbound · serving");
    }
}
