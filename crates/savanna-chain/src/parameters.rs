//! What a network demands of its headers.

use savanna_wire::Network;

use crate::{ProofOfWork, Upgrade};

/// Seconds between two blocks before Blossom, from Blossom (ZIP-208), and from NU7 (ZIP-218).
const SPACINGS: [u32; 3] = [150, 75, 25];

/// How many targets are averaged before NU7 and from it on.
const WINDOWS: [usize; 2] = [17, 102];

/// How many spacings a block of testnet comes late before it may have the easiest target: before NU7 and from it on.
const LATE_SPACINGS: [u32; 2] = [6, 18];

/// The height from which a late block of testnet may have the easiest target (ZIP-205, ZIP-208).
const TESTNET_MIN_DIFFICULTY_FROM: u32 = 299_188;

/// The height from which a block may not be far ahead of its median time.
const MAINNET_MAX_TIME_FROM: u32 = 2;
const TESTNET_MAX_TIME_FROM: u32 = 653_606;

/// What a network demands of its headers. A closed network changes fields of one that is known:
///
/// ```
/// use savanna_chain::{Parameters, ProofOfWork, Target};
/// use savanna_wire::Network;
///
/// let limit = Target::from_compact(0x200f_0f0f)?;
/// let closed = Parameters {
///     proof_of_work: ProofOfWork::Unchecked { limit },
///     begins_at_limit: false,
///     nu7: Some(130),
///     ..Parameters::of(Network::Testnet)
/// };
/// assert_eq!((closed.averaging_window(129), closed.averaging_window(130)), (17, 102));
/// # Ok::<(), savanna_chain::TargetError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// What proves a header's work, and the greatest target.
    pub proof_of_work: ProofOfWork,
    /// Whether targets follow the time that blocks take. If not, all of them are the greatest.
    pub retargets: bool,
    /// Whether the first blocks, as many as are averaged, have the greatest target. So it was when the public networks began. Zebra,
    /// on a network of its own, lets these targets follow the time as well.
    pub begins_at_limit: bool,
    /// The first height with Blossom's spacing.
    pub blossom: Option<u32>,
    /// The first height with NU7's spacing and averaging window.
    pub nu7: Option<u32>,
    /// The first height at which a block that comes late has the greatest target.
    pub min_difficulty_from: Option<u32>,
    /// The first height at which a block's time may be 90 minutes above the median of its ancestors and no more.
    pub max_time_from: Option<u32>,
}

impl Parameters {
    /// Returns what `network` demands.
    #[must_use]
    pub fn of(network: Network) -> Self {
        let is_main = network == Network::Mainnet;
        Self {
            proof_of_work: ProofOfWork::of(network),
            retargets: network != Network::Regtest,
            begins_at_limit: true,
            blossom: Upgrade::Blossom.activation_height(network),
            nu7: Upgrade::Nu7.activation_height(network),
            min_difficulty_from: (!is_main).then_some(TESTNET_MIN_DIFFICULTY_FROM),
            max_time_from: Some(if is_main { MAINNET_MAX_TIME_FROM } else { TESTNET_MAX_TIME_FROM }),
        }
    }

    /// Returns the seconds that are meant to lie between the block at `height` and its parent.
    #[must_use]
    pub fn spacing(&self, height: u32) -> u32 {
        let [launch, blossom, nu7] = SPACINGS;
        if is_from(self.nu7, height) {
            nu7
        } else if is_from(self.blossom, height) {
            blossom
        } else {
            launch
        }
    }

    /// Returns how many ancestors' targets decide the target of the block at `height`.
    #[must_use]
    pub fn averaging_window(&self, height: u32) -> usize {
        WINDOWS[usize::from(is_from(self.nu7, height))]
    }

    /// Returns after how many seconds the block at `height` is so late that it has the greatest target.
    #[must_use]
    pub fn min_difficulty_gap(&self, height: u32) -> Option<u32> {
        let spacings = LATE_SPACINGS[usize::from(is_from(self.nu7, height))];
        is_from(self.min_difficulty_from, height).then(|| spacings * self.spacing(height))
    }

    /// Returns whether the block at `height` may not be far ahead of the median of its ancestors.
    pub(crate) fn limits_time(&self, height: u32) -> bool {
        is_from(self.max_time_from, height)
    }
}

fn is_from(first: Option<u32>, height: u32) -> bool {
    first.is_some_and(|first| height >= first)
}
