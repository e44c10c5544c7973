//! What is encoded decodes again, and to the same.

use proptest::prelude::*;
use savanna_wire::{Decoded, HEADER_LEN, MAX_PAYLOAD, Message, encode};

use crate::{MAGIC, any, decode};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn every_message_round_trips(message in any::message()) {
        let frame = encode(&message, MAGIC);
        let bytes = frame.concat();
        prop_assert_eq!(frame.len(), bytes.len());
        prop_assert!(bytes.len() <= HEADER_LEN + MAX_PAYLOAD);
        prop_assert_eq!(&bytes[HEADER_LEN..], &message.payload()[..]);
        prop_assert_eq!(decode(&bytes), Ok(Decoded::Message(message)));
    }

    #[test]
    fn a_header_hashes_and_measures_what_it_encodes(header in any::block_header()) {
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        prop_assert_eq!(header.encoded_len(), bytes.len());
        prop_assert_eq!(&header.fixed_part()[..], &bytes[..140]);
        prop_assert_eq!(header.hash().0, savanna_wire::sha256d(&bytes));
    }

    #[test]
    fn a_block_is_its_header_and_its_body(block in any::block()) {
        let mut bytes = Vec::new();
        block.header().encode(&mut bytes);
        prop_assert_eq!(block.hash().0, savanna_wire::sha256d(&bytes));
        bytes.extend_from_slice(block.body());
        prop_assert_eq!(&bytes, block.bytes());
        let frame = encode(&Message::Block(block.clone()), MAGIC).concat();
        prop_assert_eq!(&frame[20..24], &block.checksum().0[..]);
    }

    #[test]
    fn bytes_that_decode_encode_to_bytes_that_decode_to_the_same(
        command in any::command(),
        payload in any::noise(0..200_usize),
        counts in proptest::collection::vec((0..200_usize, 0..4_u8), 0..8),
    ) {
        let mut payload = payload;
        for (at, small) in counts {
            if let Some(byte) = payload.get_mut(at) {
                *byte = small;
            }
        }
        if let Ok(Decoded::Message(message)) = decode(&crate::frame(command.name(), &payload)) {
            prop_assert_eq!(decode(&crate::encoded(&message)), Ok(Decoded::Message(message)));
        }
    }
}
