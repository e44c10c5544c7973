//! The names under which hosts of overlay networks are dialled.

use keccak::Keccak;

/// Returns the name of a Tor v3 onion service (Tor's rend-spec-v3, section 6).
pub(crate) fn onion_name(key: &[u8; 32]) -> String {
    const ONION_VERSION: u8 = 3;
    let mut input = [0; 48];
    input[..15].copy_from_slice(b".onion checksum");
    input[15..47].copy_from_slice(key);
    input[47] = ONION_VERSION;
    let [a, b, ..] = sha3_256_of_one_block(&input);
    let mut address = [0; 35];
    address[..32].copy_from_slice(key);
    address[32..].copy_from_slice(&[a, b, ONION_VERSION]);
    base32(&address) + ".onion"
}

/// Returns the name of an I2P destination.
pub(crate) fn i2p_name(hash: &[u8; 32]) -> String {
    base32(hash) + ".b32.i2p"
}

/// Writes bytes in base 32, lower case, unpadded (RFC 4648).
pub(crate) fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for group in bytes.chunks(5) {
        let mut padded = [0; 8];
        padded[3..3 + group.len()].copy_from_slice(group);
        let bits = u64::from_be_bytes(padded);
        for letter in 0..(group.len() * 8).div_ceil(5) {
            let index = (bits >> (35 - 5 * letter)) & 31;
            text.push(char::from(ALPHABET[usize::from(index as u8 & 31)]));
        }
    }
    text
}

/// Hashes an input that fits one block of SHA3-256 (FIPS 202) with room for the padding: less than 136 bytes.
fn sha3_256_of_one_block<const N: usize>(input: &[u8; N]) -> [u8; 32] {
    const RATE: usize = 136;
    const { assert!(N < RATE) };
    let mut block = [0; RATE];
    block[..N].copy_from_slice(input);
    block[N] = 0x06;
    block[RATE - 1] |= 0x80;
    let mut state = [0; 25];
    for (lane, bytes) in state.iter_mut().zip(block.as_chunks::<8>().0) {
        *lane = u64::from_le_bytes(*bytes);
    }
    Keccak::new().with_f1600(|permute| permute(&mut state));
    let mut hash = [0; 32];
    for (bytes, lane) in hash.as_chunks_mut::<8>().0.iter_mut().zip(state) {
        *bytes = lane.to_le_bytes();
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_agrees_with_the_rfc() {
        for (bytes, text) in
            [("", ""), ("f", "my"), ("fo", "mzxq"), ("foo", "mzxw6"), ("foob", "mzxw6yq"), ("fooba", "mzxw6ytb")]
        {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
        assert_eq!(base32(b"foobar"), "mzxw6ytboi");
    }

    #[test]
    fn sha3_agrees_with_the_standard() {
        let hash = sha3_256_of_one_block(b"abc");
        assert_eq!(hash[..8], [0x3a, 0x98, 0x5d, 0xa7, 0x4f, 0xe2, 0x25, 0xb2]);
        assert_eq!(hash[24..], [0x46, 0xbf, 0xe2, 0x45, 0x11, 0x43, 0x15, 0x32]);
    }

    #[test]
    fn an_onion_name_is_its_key_with_a_checksum() {
        let published = "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion";
        let key: Vec<u8> = decode(published.strip_suffix(".onion").unwrap());
        assert_eq!(onion_name(key[..32].try_into().unwrap()), published);
    }

    fn decode(text: &str) -> Vec<u8> {
        let bits: Vec<u8> = text
            .bytes()
            .map(|letter| if letter.is_ascii_lowercase() { letter - b'a' } else { letter - b'2' + 26 })
            .flat_map(|five| (0..5).rev().map(move |bit| five >> bit & 1))
            .collect();
        bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | bit)).collect()
    }
}
