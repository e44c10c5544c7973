//! Memory grows with the bytes received, and what is kept pins no more than itself.

use bytes::{Bytes, BytesMut};
use savanna_wire::{
    Block, Decoded, Decoder, FrameError, HEADER_LEN, Inventory, MAX_HANDSHAKE_PAYLOAD, MAX_PAYLOAD, Message,
    SHARE_THRESHOLD, Solution, Transaction, TxId, encode,
};

use crate::{MAGIC, encoded, frame, header, ready};

fn block_of(len: usize) -> Block {
    let mut bytes = vec![7; len];
    bytes[140..143].copy_from_slice(&[0xfd, 0x40, 0x05]);
    let block = Block::new(bytes.into()).unwrap();
    assert_eq!(block.header().solution.as_bytes().len(), Solution::LEN);
    block
}

fn transaction_of(len: usize) -> Transaction {
    Transaction::new(vec![9; len].into()).unwrap()
}

/// Decodes one frame, and returns the bytes it keeps and whether they lie in the buffer they were read into.
fn kept(message: &Message) -> (Bytes, bool) {
    let mut buffer = BytesMut::from(&encoded(message)[..]);
    let memory = buffer.as_ptr_range();
    let decoded = ready().decode(&mut buffer).unwrap();
    let Some(Decoded::Message(decoded @ (Message::Block(_) | Message::Tx(_)))) = decoded else { panic!("{decoded:?}") };
    let bytes = decoded.payload();
    let inside = memory.contains(&bytes.as_ptr());
    if inside {
        assert_eq!(bytes.as_ptr(), memory.start.wrapping_add(HEADER_LEN));
    }
    (bytes, inside)
}

#[test]
fn a_payload_is_copied_below_the_threshold_and_shared_from_it_on() {
    for (len, shared) in [(2_000, false), (SHARE_THRESHOLD - 1, false), (SHARE_THRESHOLD, true), (1_999_999, true)] {
        for message in [Message::Block(block_of(len)), Message::Tx(transaction_of(len))] {
            let (bytes, inside) = kept(&message);
            assert_eq!(bytes, message.payload());
            assert_eq!(inside, shared, "{} of {len} bytes", message.command());
        }
    }
}

#[test]
fn small_messages_that_are_kept_leave_the_buffer_free() {
    let mut stream = Vec::new();
    for _ in 0..256 {
        stream.extend(encoded(&Message::Tx(transaction_of(300))));
    }
    let mut buffer = BytesMut::from(&stream[..]);
    let capacity = buffer.capacity();
    let mut decoder = ready();
    let kept: Vec<Decoded> = std::iter::from_fn(|| decoder.decode(&mut buffer).unwrap()).collect();
    assert_eq!(kept.len(), 256);
    assert!(buffer.try_reclaim(capacity), "somebody still holds the buffer");
}

#[test]
fn adversary_3_a_header_that_declares_much_reserves_nothing() {
    for command in ["block", "tx", "inv", "headers", "nonsense"] {
        let mut buffer = BytesMut::with_capacity(64);
        buffer.extend_from_slice(&header(command, u32::try_from(MAX_PAYLOAD).unwrap()));
        let capacity = buffer.capacity();
        let mut decoder = ready();
        assert_eq!(decoder.decode(&mut buffer), Ok(None));
        assert!(decoder.is_mid_frame(&buffer));
        assert!(buffer.capacity() <= capacity, "{command} grew the buffer");
    }
}

#[test]
fn adversary_3_a_payload_over_the_limit_is_refused_at_byte_24_and_reserves_nothing() {
    let most = u32::try_from(MAX_PAYLOAD).unwrap();
    let early = u32::try_from(MAX_HANDSHAKE_PAYLOAD).unwrap();
    for (mut decoder, declared, limit) in [
        (ready(), most + 1, MAX_PAYLOAD),
        (ready(), u32::MAX, MAX_PAYLOAD),
        (Decoder::new(MAGIC), early + 1, MAX_HANDSHAKE_PAYLOAD),
        (Decoder::new(MAGIC), u32::MAX, MAX_HANDSHAKE_PAYLOAD),
    ] {
        for command in ["version", "block", "nonsense", "bad\u{1}"] {
            let bytes = header(command, declared);
            let mut buffer = BytesMut::with_capacity(64);
            buffer.extend_from_slice(&bytes[..HEADER_LEN - 1]);
            let capacity = buffer.capacity();
            assert_eq!(decoder.decode(&mut buffer), Ok(None), "nothing is said before byte 24");
            buffer.extend_from_slice(&bytes[HEADER_LEN - 1..]);
            assert_eq!(decoder.decode(&mut buffer), Err(FrameError::Oversized { length: declared, limit }));
            assert!(buffer.capacity() <= capacity);
        }
    }
}

#[test]
fn a_payload_of_exactly_the_limit_is_waited_for() {
    let early = u32::try_from(MAX_HANDSHAKE_PAYLOAD).unwrap();
    let mut buffer = BytesMut::from(&header("nonsense", early)[..]);
    assert_eq!(Decoder::new(MAGIC).decode(&mut buffer), Ok(None));
    let most = u32::try_from(MAX_PAYLOAD).unwrap();
    let mut buffer = BytesMut::from(&header("nonsense", most)[..]);
    assert_eq!(ready().decode(&mut buffer), Ok(None));
}

#[test]
fn a_payload_that_nobody_reads_is_dropped_as_it_trickles_in() {
    for command in ["nonsense", "bad\u{1}"] {
        let bytes = frame(command, &vec![1; MAX_PAYLOAD]);
        let (mut decoder, mut buffer) = (ready(), BytesMut::with_capacity(1024));
        let mut results = Vec::new();
        for piece in bytes.chunks(1000) {
            buffer.extend_from_slice(piece);
            results.extend(decoder.decode(&mut buffer).unwrap());
            assert!(buffer.is_empty());
            assert!(buffer.capacity() <= 4096, "{} bytes held", buffer.capacity());
        }
        assert!(matches!(results[..], [Decoded::Dropped { length: MAX_PAYLOAD, .. }]));
        assert!(!decoder.is_mid_frame(&buffer));
    }
}

#[test]
fn adversary_18_one_block_asked_for_without_end_is_never_copied() {
    let block = block_of(1_500_000);
    let items = vec![Inventory::Block(block.hash()); 50_000];
    let asked = Message::GetData(items.try_into().unwrap());
    assert!(
        matches!(crate::decode(&encoded(&asked)), Ok(Decoded::Message(Message::GetData(items))) if items.len() == 50_000)
    );
    let message = Message::Block(block.clone());
    for _ in 0..50_000 {
        let frame = encode(&message, MAGIC);
        assert_eq!(frame.head.len(), HEADER_LEN);
        assert_eq!(frame.tail.as_ptr(), block.bytes().as_ptr());
    }
}

#[test]
fn a_small_message_is_framed_in_one_piece() {
    let frame = encode(&Message::Tx(transaction_of(300)), MAGIC);
    assert_eq!((frame.head.len(), frame.tail.len()), (HEADER_LEN + 300, 0));
}

#[test]
fn no_list_outgrows_a_payload() {
    let wide = vec![Inventory::Wtx(TxId([1; 32]), savanna_wire::AuthDigest([2; 32])); 50_000];
    let fits = (MAX_PAYLOAD - 3) / 68;
    let refusal = savanna_wire::Bounded::<_, 50_000>::try_from(wide.clone()).err().unwrap();
    assert_eq!((refusal.len, refusal.limit), (50_000, fits));
    let message = Message::Inv(savanna_wire::Bounded::truncated(wide));
    assert!(message.payload().len() <= MAX_PAYLOAD);
    assert_eq!(crate::decode(&encoded(&message)), Ok(Decoded::Message(message)));
}
