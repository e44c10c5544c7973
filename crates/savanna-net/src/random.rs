//! The operating system's randomness.

/// Returns random bytes.
///
/// # Panics
/// If the operating system has none to give: nothing that a node does is safe then.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has no randomness");
    bytes
}
