//! How far nodes are behind the others.

use savanna_chain::{Upgrade, upgrade_at};
use savanna_wire::Network;

use super::Spread;

/// How far nodes are behind the height that half of them claim at least, each height taken to when half of them had told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lag {
    /// At that height, or one block from it.
    pub in_step: usize,
    /// Two to ten blocks behind.
    pub near: usize,
    /// Eleven to a thousand blocks behind.
    pub behind: usize,
    /// Further behind, or with no blocks at all.
    pub far_behind: usize,
    /// More than a block ahead: at a height that most nodes have not heard of.
    pub ahead: usize,
}

impl Lag {
    /// Compares heights, each with when it was told, in Unix seconds: while a crawl goes on, the chain grows.
    pub(super) fn of(network: Network, told: &[(i32, Option<i64>)]) -> Self {
        let mut lag = Self::default();
        let Some(heights) = Spread::of(told.iter().map(|(height, _)| *height).collect()) else { return lag };
        let spacing = u32::try_from(heights.median).ok().and_then(|height| spacing(network, height));
        let when = Spread::of(told.iter().filter_map(|(_, when)| *when).collect()).map(|when| when.median);
        let shifted: Vec<i64> = told
            .iter()
            .map(|(height, told)| {
                let grown = match (spacing, *told, when) {
                    (Some(spacing), Some(told), Some(when)) => rounded(told.saturating_sub(when), spacing),
                    _ => 0,
                };
                i64::from(*height).saturating_sub(grown)
            })
            .collect();
        let Some(median) = Spread::of(shifted.clone()).map(|shifted| shifted.median) else { return lag };
        for height in shifted {
            match median.saturating_sub(height) {
                ..=-2 => lag.ahead += 1,
                -1..=1 => lag.in_step += 1,
                2..=10 => lag.near += 1,
                11..=1000 => lag.behind += 1,
                _ => lag.far_behind += 1,
            }
        }
        lag
    }
}

/// Returns how many seconds lie between two blocks on average (ZIP-208, and NU7's); on regtest, blocks come when they are
/// asked for.
fn spacing(network: Network, height: u32) -> Option<i64> {
    if network == Network::Regtest {
        return None;
    }
    let upgrade = upgrade_at(network, height);
    Some(if upgrade >= Upgrade::Nu7 {
        25
    } else if upgrade >= Upgrade::Blossom {
        75
    } else {
        150
    })
}

/// Divides, to the nearest whole number.
const fn rounded(seconds: i64, spacing: i64) -> i64 {
    seconds.saturating_add(spacing / 2).div_euclid(spacing)
}
