//! Sums beyond 256 bits.

use super::*;

#[test]
fn a_mean_of_targets_whose_sum_overflows_is_exact() {
    for count in [1_usize, 17, 102] {
        for excess in [0_u32, 1, 16, 101] {
            // Each is 2^256 − 1 but the last, so the mean is that less a fraction that rounds it down.
            let mut sum = Sum::default();
            (1..count).for_each(|_| sum.add(U256::MAX));
            sum.add(U256::MAX - U256::from(excess));
            let down = u32::from(excess > 0) * excess.div_ceil(u32::try_from(count).unwrap());
            assert_eq!(sum.divided_by(count), U256::MAX - U256::from(down), "{count} {excess}");
            (1..count).for_each(|_| sum.subtract(U256::MAX));
            assert_eq!(sum, Sum { high: 0, low: U256::MAX - U256::from(excess) });
        }
    }
}
