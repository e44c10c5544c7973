//! Reading the questions that nearly everybody sends.

use hickory_proto::rr::RecordType;

/// The length of a message's header.
pub(crate) const HEADER: usize = 12;

/// The length of an EDNS record without options.
const OPT: usize = 11;

const RECURSION_DESIRED: u8 = 0x01;
const CHECKING_DISABLED: u8 = 0x10;
const AUTHENTIC_DATA: u8 = 0x20;

/// What the asker says of himself by EDNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AskedEdns {
    /// How large a datagram he takes.
    pub(crate) size: u16,
    /// Whether he wants signatures.
    pub(crate) dnssec: bool,
}

/// A plain question: one, of class IN, by EDNS of version 0 or without, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    name: [u8; 255],
    len: usize,
    pub(crate) kind: RecordType,
    pub(crate) edns: Option<AskedEdns>,
}

impl Question {
    /// Reads a plain question. Returns nothing for every other message: that is for the library to judge.
    pub(crate) fn read(packet: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER] = packet.first_chunk()?;
        let [_, _, high, low, counts @ ..] = header;
        if high & !RECURSION_DESIRED != 0 || low & !(CHECKING_DISABLED | AUTHENTIC_DATA) != 0 {
            return None;
        }
        let [0, 1, 0, 0, 0, 0, 0, additional @ (0 | 1)] = counts else { return None };
        let (name, len) = name(&packet[HEADER..])?;
        let (fixed, rest) = packet[HEADER + len..].split_first_chunk::<4>()?;
        let [kind @ .., 0, 1] = fixed else { return None };
        let edns = match (additional, rest) {
            (0, []) => None,
            (1, opt) => Some(edns(opt)?),
            _ => return None,
        };
        Some(Self { name, len, kind: RecordType::from(u16::from_be_bytes(*kind)), edns })
    }

    /// Returns the name as in a message, in lower case.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name[..self.len]
    }

    /// Returns where the question ends in the message.
    pub(crate) const fn end(&self) -> usize {
        HEADER + self.len + 4
    }
}

/// Reads a name without pointers, and folds its case.
fn name(bytes: &[u8]) -> Option<([u8; 255], usize)> {
    let mut low = [0; 255];
    let mut at = 0;
    loop {
        let label = usize::from(*bytes.get(at)?);
        if label > 63 {
            return None;
        }
        let end = at + 1 + label;
        let from = bytes.get(at..end)?;
        let to = low.get_mut(at..end)?;
        // A length is no letter: it is 63 at most.
        to.copy_from_slice(from);
        to.make_ascii_lowercase();
        at = end;
        if label == 0 {
            return Some((low, at));
        }
    }
}

/// Reads an EDNS record that ends the message, of version 0 and with no flag but DO. Options are passed over, if they are
/// well-formed.
fn edns(bytes: &[u8]) -> Option<AskedEdns> {
    let (opt, mut options) = bytes.split_first_chunk::<OPT>()?;
    let [0, 0, 41, size @ .., 0, 0, flags, 0, len_high, len_low] = opt else { return None };
    if flags & 0x7f != 0 || options.len() != usize::from(u16::from_be_bytes([*len_high, *len_low])) {
        return None;
    }
    while !options.is_empty() {
        let ([_, _, high, low], rest) = options.split_first_chunk::<4>()?;
        options = rest.get(usize::from(u16::from_be_bytes([*high, *low]))..)?;
    }
    Some(AskedEdns { size: u16::from_be_bytes(*size), dnssec: flags & 0x80 != 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = b"\xab\xcd\x01\x10\x00\x01\x00\x00\x00\x00\x00\x00\x02X1\x04SeEd\x00\x00\x1c\x00\x01";

    fn with_opt(opt: &[u8]) -> Vec<u8> {
        let mut bytes = PLAIN.to_vec();
        bytes[11] = 1;
        bytes.extend_from_slice(opt);
        bytes
    }

    #[test]
    fn a_plain_question_is_read() {
        let question = Question::read(PLAIN).unwrap();
        assert_eq!(question.name(), b"\x02x1\x04seed\x00");
        assert_eq!(question.kind, RecordType::AAAA);
        assert_eq!(question.end(), PLAIN.len());
        assert_eq!(question.edns, None);
    }

    #[test]
    fn edns_is_read_with_its_options() {
        let bare = with_opt(b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00");
        assert_eq!(Question::read(&bare).unwrap().edns, Some(AskedEdns { size: 1232, dnssec: true }));
        let cookie = with_opt(b"\x00\x00\x29\x02\x00\x00\x00\x00\x00\x00\x0c\x00\x0a\x00\x0812345678");
        assert_eq!(Question::read(&cookie).unwrap().edns, Some(AskedEdns { size: 512, dnssec: false }));
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_library() {
        for cut in 0..PLAIN.len() {
            assert_eq!(Question::read(&PLAIN[..cut]), None);
        }
        for (at, byte) in [(2, 0x81), (2, 0x09), (2, 0x03), (3, 0x40), (5, 0), (5, 2), (7, 1), (9, 1), (11, 1), (11, 2)]
        {
            let mut bytes = PLAIN.to_vec();
            bytes[at] = byte;
            assert_eq!(Question::read(&bytes), None, "byte {at} as {byte:#x}");
        }
        let odd: [&[u8]; 6] = [
            b"\x00\x00\x29\x04\xd0\x00\x01\x00\x00\x00\x00",
            b"\x00\x00\x29\x04\xd0\x01\x00\x00\x00\x00\x00",
            b"\x00\x00\x29\x04\xd0\x00\x00\x00\x01\x00\x00",
            b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x01",
            b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x01",
            b"\x00\x00\x10\x04\xd0\x00\x00\x00\x00\x00\x00",
        ];
        for opt in odd {
            assert_eq!(Question::read(&with_opt(opt)), None);
        }
    }
}
