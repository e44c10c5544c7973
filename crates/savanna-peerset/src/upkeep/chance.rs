//! Moments that nobody can foresee.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

/// Draws the time until an event of a Poisson process, at most five times the mean.
///
/// # Security
/// Who could foresee when a node dials next could have its own addresses ready by then.
pub(crate) fn after(mean: Duration, rng: &mut ChaCha8Rng) -> Duration {
    let uniform = (f64::from(rng.next_u32()) + 1.0) / (f64::from(u32::MAX) + 1.0);
    mean.mul_f64((-uniform.ln()).clamp(0.0, 5.0))
}
