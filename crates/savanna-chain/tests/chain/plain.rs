//! The rules of difficulty written down the plain way: whole chains, schoolbook numbers, nothing carried along.

use savanna_chain::Parameters;

/// A number of 384 bits in base 2^16, the lowest digit first.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Number([u64; 24]);

impl Number {
    fn of_compact(bits: u32) -> Self {
        let mut digits = [0_u64; 24];
        let lowest = bits >> 24;
        for (place, byte) in (lowest.wrapping_sub(3)..).zip((bits & 0x007f_ffff).to_le_bytes()) {
            if let Some(digit) = digits.get_mut(place as usize / 2) {
                *digit |= u64::from(byte) << (8 * (place % 2));
            }
        }
        Self(digits)
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|&digit| u16::try_from(digit).unwrap().to_le_bytes()).collect()
    }

    fn compact(&self) -> u32 {
        let bytes = self.bytes();
        let Some(highest) = bytes.iter().rposition(|&byte| byte != 0) else { return 0 };
        let mut length = highest + 1;
        if bytes[highest] >= 0x80 {
            length += 1;
        }
        let byte =
            |back: usize| length.checked_sub(back).and_then(|at| bytes.get(at)).map_or(0, |&byte| u32::from(byte));
        u32::try_from(length).unwrap() << 24 | byte(1) << 16 | byte(2) << 8 | byte(3)
    }

    fn plus(mut self, other: &Self) -> Self {
        let mut carried = 0;
        for (digit, more) in self.0.iter_mut().zip(&other.0) {
            let sum = *digit + more + carried;
            (*digit, carried) = (sum & 0xffff, sum >> 16);
        }
        self
    }

    fn times(mut self, factor: u64) -> Self {
        let mut carried = 0;
        for digit in &mut self.0 {
            let product = *digit * factor + carried;
            (*digit, carried) = (product & 0xffff, product >> 16);
        }
        self
    }

    fn over(mut self, divisor: u64) -> Self {
        let mut left = 0;
        for digit in self.0.iter_mut().rev() {
            let dividend = left << 16 | *digit;
            (*digit, left) = (dividend / divisor, dividend % divisor);
        }
        self
    }

    fn is_above(&self, other: &Self) -> bool {
        self.0.iter().rev().gt(other.0.iter().rev())
    }
}

/// The compact form of so many percent of a compact target.
pub(crate) fn percent_of(bits: u32, percent: u64) -> u32 {
    Number::of_compact(bits).times(percent).over(100).compact()
}

/// The median time for the block at `height` of a chain of times and targets from the first block on.
pub(crate) fn plain_median(chain: &[(u32, u32)], height: usize) -> u32 {
    let mut times: Vec<u32> = chain[height.saturating_sub(11)..height.max(1)].iter().map(|each| each.0).collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// The compact target of the next block, of `time`, on a chain of times and targets from the first block on.
pub(crate) fn plain_bits(rules: &Parameters, chain: &[(u32, u32)], time: u32) -> u32 {
    let limit_bits = rules.proof_of_work.limit().to_compact();
    let limit = Number::of_compact(limit_bits);
    let height = chain.len();
    let is_active = |first: Option<u32>| first.is_some_and(|first| height >= first as usize);
    let (spacing, window, late) = match (is_active(rules.nu7), is_active(rules.blossom)) {
        (true, _) => (25, 102, 450),
        (false, true) => (75, 17, 450),
        (false, false) => (150, 17, 900),
    };
    if is_active(rules.min_difficulty_from) && i64::from(time) - i64::from(chain[height - 1].0) > late {
        return limit_bits;
    }
    if height <= window && rules.begins_at_limit {
        return limit_bits;
    }
    let mean = if height <= window {
        limit
    } else {
        let targets = chain[height - window..].iter().map(|each| Number::of_compact(each.1));
        targets.fold(Number([0; 24]), |sum, target| sum.plus(&target)).over(window as u64)
    };
    let meant = spacing * window as i64;
    let taken = i64::from(plain_median(chain, height)) - i64::from(plain_median(chain, height.saturating_sub(window)));
    // Rust divides towards zero, as the rule does.
    let damped = meant + (taken - meant) / 4;
    let bounded = damped.max(meant * 84 / 100).min(meant * 132 / 100);
    let target = mean.over(u64::try_from(meant).unwrap()).times(u64::try_from(bounded).unwrap());
    if target.is_above(&limit) { limit_bits } else { target.compact() }
}
