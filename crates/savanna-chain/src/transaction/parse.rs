//! The layouts of transactions, read by lengths alone.

use savanna_wire::{DecodeError, Reader};

use super::{TransactionError, TransactionVersion, TransactionView};

const OVERWINTERED: u32 = 1 << 31;
const V3_GROUP: u32 = 0x03c4_8270;
const V4_GROUP: u32 = 0x892f_2085;
const V5_GROUP: u32 = 0x26a7_270a;
const V6_GROUP: u32 = 0xd884_b698;

/// What an input spends: 32 bytes of transaction id and 4 of output number.
pub(super) const PREVOUT_LEN: usize = 36;
pub(super) const SEQUENCE_LEN: usize = 4;
const VALUE_LEN: usize = 8;

const BCTV14_JOINSPLIT_LEN: usize = 1802;
const GROTH16_JOINSPLIT_LEN: usize = 1698;
const JOINSPLIT_KEY_AND_SIG_LEN: usize = 32 + 64;
const V4_SPEND_LEN: usize = 384;
const V4_OUTPUT_LEN: usize = 948;

/// Version, group, branch, lock time and expiry of v5 and v6.
const MODERN_HEADER_LEN: usize = 20;
pub(super) const SPEND_LEN: usize = 96;
pub(super) const OUTPUT_LEN: usize = 756;
pub(super) const ACTION_LEN: usize = 820;
const PROOF_LEN: usize = 192;
const SIG_LEN: usize = 64;
const ANCHOR_LEN: usize = 32;

/// A transaction, taken apart.
#[derive(Debug, Clone)]
pub(super) struct Parts<'a> {
    pub(super) version: TransactionVersion,
    pub(super) expiry: Option<u32>,
    pub(super) inputs: Inputs<'a>,
    /// The outputs without their count.
    pub(super) outputs: &'a [u8],
    pub(super) modern: Option<Modern<'a>>,
}

/// The inputs without their count. They have been read once, so they read again.
#[derive(Debug, Clone)]
pub(super) struct Inputs<'a> {
    count: usize,
    bytes: &'a [u8],
}

/// One input.
pub(super) struct Input<'a> {
    pub(super) prevout: &'a [u8],
    pub(super) script: &'a [u8],
    /// The script with its length before it.
    pub(super) counted_script: &'a [u8],
    pub(super) sequence: &'a [u8],
}

/// What v5 and v6 have besides transparent inputs and outputs.
#[derive(Debug, Clone)]
pub(super) struct Modern<'a> {
    pub(super) header: &'a [u8; MODERN_HEADER_LEN],
    pub(super) sapling: Option<Sapling<'a>>,
    pub(super) orchard: Option<Actions<'a>>,
    /// Always absent from v5.
    pub(super) ironwood: Option<Actions<'a>>,
}

/// The Sapling part of v5 and v6, with at least one spend or output.
#[derive(Debug, Clone)]
pub(super) struct Sapling<'a> {
    pub(super) spends: &'a [u8],
    pub(super) outputs: &'a [u8],
    pub(super) value_balance: &'a [u8],
    /// Empty without spends.
    pub(super) anchor: &'a [u8],
    /// Proofs and signatures to the end of the part.
    pub(super) authorization: &'a [u8],
}

/// The Orchard part of v5 and v6 or the Ironwood part of v6, with at least one action.
#[derive(Debug, Clone)]
pub(super) struct Actions<'a> {
    pub(super) actions: &'a [u8],
    pub(super) flags_and_balance: &'a [u8],
    pub(super) anchor: &'a [u8],
    /// The proof without its length.
    pub(super) proof: &'a [u8],
    pub(super) signatures: &'a [u8],
}

/// Reads the transaction at the start of `bytes` and returns it with its length in bytes.
///
/// What follows it is not looked at. Reading takes lengths alone: no amount, script, point or signature is judged, so
/// bytes that consensus refuses may well be read.
///
/// # Errors
/// [`TransactionError`] if no transaction begins there.
///
/// # Security
/// Nothing is allocated, whatever counts are declared, and time grows with the bytes that are there.
pub fn parse(bytes: &[u8]) -> Result<(TransactionView<'_>, usize), TransactionError> {
    let mut reader = Reader::new(bytes, "transaction");
    let header = reader.u32()?;
    let group = if header & OVERWINTERED == 0 { 0 } else { reader.u32()? };
    let parts = match (header & !OVERWINTERED, group) {
        (1, 0) if header & OVERWINTERED == 0 => sprout(&mut reader, TransactionVersion::V1)?,
        (2, 0) if header & OVERWINTERED == 0 => sprout(&mut reader, TransactionVersion::V2)?,
        (3, V3_GROUP) => sprout(&mut reader, TransactionVersion::V3)?,
        (4, V4_GROUP) => v4(&mut reader)?,
        (5, V5_GROUP) => modern(bytes, TransactionVersion::V5)?,
        (6, V6_GROUP) => modern(bytes, TransactionVersion::V6)?,
        _ => return Err(TransactionError::UnknownVersion { header, group }),
    };
    let (parts, rest) = parts;
    let length = bytes.len() - rest;
    Ok((TransactionView { bytes: &bytes[..length], parts }, length))
}

/// Parts, and how many bytes were left over behind them.
type Parsed<'a> = Result<(Parts<'a>, usize), DecodeError>;

fn sprout<'a>(reader: &mut Reader<'a>, version: TransactionVersion) -> Parsed<'a> {
    let (inputs, outputs) = transparent(reader)?;
    reader.u32()?;
    let expiry = if version >= TransactionVersion::V3 { Some(reader.u32()?) } else { None };
    if version >= TransactionVersion::V2 {
        joinsplits(reader, BCTV14_JOINSPLIT_LEN)?;
    }
    Ok((Parts { version, expiry, inputs, outputs, modern: None }, reader.remaining()))
}

fn v4<'a>(reader: &mut Reader<'a>) -> Parsed<'a> {
    let (inputs, outputs) = transparent(reader)?;
    reader.u32()?;
    let expiry = Some(reader.u32()?);
    reader.take(VALUE_LEN)?;
    let spends = counted(reader, V4_SPEND_LEN)?;
    let sapling_outputs = counted(reader, V4_OUTPUT_LEN)?;
    joinsplits(reader, GROTH16_JOINSPLIT_LEN)?;
    if !spends.is_empty() || !sapling_outputs.is_empty() {
        reader.take(SIG_LEN)?;
    }
    Ok((Parts { version: TransactionVersion::V4, expiry, inputs, outputs, modern: None }, reader.remaining()))
}

fn modern(bytes: &[u8], version: TransactionVersion) -> Parsed<'_> {
    let mut reader = Reader::new(bytes, "transaction");
    let header = reference(&mut reader)?;
    let (inputs, outputs) = transparent(&mut reader)?;
    let sapling = sapling(&mut reader)?;
    let orchard = actions(&mut reader)?;
    let ironwood = if version >= TransactionVersion::V6 { actions(&mut reader)? } else { None };
    let modern = Modern { header, sapling, orchard, ironwood };
    let parts = Parts { version, expiry: Some(modern.expiry()), inputs, outputs, modern: Some(modern) };
    Ok((parts, reader.remaining()))
}

fn transparent<'a>(reader: &mut Reader<'a>) -> Result<(Inputs<'a>, &'a [u8]), DecodeError> {
    let count = reader.compact_size(usize::MAX)?;
    let inputs = spanned(reader, |reader| (0..count).try_for_each(|_| input(reader).map(drop)))?;
    let out_count = reader.compact_size(usize::MAX)?;
    let outputs = spanned(reader, |reader| (0..out_count).try_for_each(|_| output(reader)))?;
    Ok((Inputs { count, bytes: inputs }, outputs))
}

#[inline]
fn input<'a>(reader: &mut Reader<'a>) -> Result<Input<'a>, DecodeError> {
    let prevout = reader.take(PREVOUT_LEN)?;
    let counted = reader.rest();
    let script_len = reader.compact_size(usize::MAX)?;
    let script = reader.take(script_len)?;
    let counted_script = &counted[..counted.len() - reader.remaining()];
    let sequence = reader.take(SEQUENCE_LEN)?;
    Ok(Input { prevout, script, counted_script, sequence })
}

#[inline]
fn output(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    reader.take(VALUE_LEN)?;
    let script_len = reader.compact_size(usize::MAX)?;
    reader.take(script_len).map(drop)
}

fn joinsplits(reader: &mut Reader<'_>, each: usize) -> Result<(), DecodeError> {
    if !counted(reader, each)?.is_empty() {
        reader.take(JOINSPLIT_KEY_AND_SIG_LEN)?;
    }
    Ok(())
}

fn sapling<'a>(reader: &mut Reader<'a>) -> Result<Option<Sapling<'a>>, DecodeError> {
    let spends = counted(reader, SPEND_LEN)?;
    let outputs = counted(reader, OUTPUT_LEN)?;
    if spends.is_empty() && outputs.is_empty() {
        return Ok(None);
    }
    let value_balance = reader.take(VALUE_LEN)?;
    let anchor = reader.take(if spends.is_empty() { 0 } else { ANCHOR_LEN })?;
    let (spend_count, output_count) = (spends.len() / SPEND_LEN, outputs.len() / OUTPUT_LEN);
    let authorization = reader.take((PROOF_LEN + SIG_LEN) * spend_count + PROOF_LEN * output_count + SIG_LEN)?;
    Ok(Some(Sapling { spends, outputs, value_balance, anchor, authorization }))
}

fn actions<'a>(reader: &mut Reader<'a>) -> Result<Option<Actions<'a>>, DecodeError> {
    let actions = counted(reader, ACTION_LEN)?;
    if actions.is_empty() {
        return Ok(None);
    }
    let flags_and_balance = reader.take(1 + VALUE_LEN)?;
    let anchor = reader.take(ANCHOR_LEN)?;
    let proof = counted(reader, 1)?;
    let signatures = reader.take(SIG_LEN * (actions.len() / ACTION_LEN) + SIG_LEN)?;
    Ok(Some(Actions { actions, flags_and_balance, anchor, proof, signatures }))
}

/// Takes a count and as many elements of `each` bytes.
fn counted<'a>(reader: &mut Reader<'a>, each: usize) -> Result<&'a [u8], DecodeError> {
    let count = reader.compact_size(usize::MAX)?;
    reader.take(count.saturating_mul(each))
}

/// Returns the bytes that `read` takes.
fn spanned<'a>(
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<(), DecodeError>,
) -> Result<&'a [u8], DecodeError> {
    let before = reader.rest();
    read(reader)?;
    Ok(&before[..before.len() - reader.remaining()])
}

fn reference<'a, const N: usize>(reader: &mut Reader<'a>) -> Result<&'a [u8; N], DecodeError> {
    let left = reader.remaining();
    let error = DecodeError::UnexpectedEnd { what: "transaction", needed: N, left };
    reader.take(N)?.first_chunk().ok_or(error)
}

impl<'a> Inputs<'a> {
    pub(super) fn iter(&self) -> impl Iterator<Item = Input<'a>> + use<'a> {
        let mut reader = Reader::new(self.bytes, "transaction");
        (0..self.count).map_while(move |_| input(&mut reader).ok())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn coinbase_script(&self) -> Option<&'a [u8]> {
        if self.count != 1 {
            return None;
        }
        let only = self.iter().next()?;
        let (id, number) = only.prevout.split_at(PREVOUT_LEN - 4);
        (id.iter().all(|&byte| byte == 0) && number == [0xff; 4]).then_some(only.script)
    }
}

impl Modern<'_> {
    pub(super) fn branch_id(&self) -> u32 {
        self.field(8)
    }

    fn expiry(&self) -> u32 {
        self.field(16)
    }

    fn field(&self, at: usize) -> u32 {
        self.header[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }
}
