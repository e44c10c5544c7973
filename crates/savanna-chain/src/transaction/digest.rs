//! The trees of BLAKE2b hashes that name v5 and v6 transactions: ZIP-244, and what ZIP-229 changes of it.
//!
//! Everything is hashed in slices of the received bytes. An absent part is the hash of nothing under its own string.

use blake2b_simd::{Params, State};

use super::TransactionVersion;
use super::parse::{ACTION_LEN, Actions, Inputs, Modern, OUTPUT_LEN, Parts, SPEND_LEN, Sapling};

type Digest = [u8; 32];
type Personal = [u8; 16];

/// Where a note divides: commitment, ephemeral key and the ciphertext that light clients fetch; the memo; the rest.
const COMPACT_NOTE_LEN: usize = 32 + 32 + 52;
const MEMO_LEN: usize = 512;

/// The strings and the place of the anchor by which the versions differ.
struct Rules {
    sapling_spends_noncompact: &'static Personal,
    sapling_auth: &'static Personal,
    orchard: ActionStrings,
    /// Anchors are authorizing data, rather than part of what the id binds.
    anchors_authorize: bool,
    has_ironwood: bool,
}

struct ActionStrings {
    bundle: &'static Personal,
    compact: &'static Personal,
    memos: &'static Personal,
    noncompact: &'static Personal,
    auth: &'static Personal,
}

static V5: Rules = Rules {
    sapling_spends_noncompact: b"ZTxIdSSpendNHash",
    sapling_auth: b"ZTxAuthSapliHash",
    orchard: ActionStrings {
        bundle: b"ZTxIdOrchardHash",
        compact: b"ZTxIdOrcActCHash",
        memos: b"ZTxIdOrcActMHash",
        noncompact: b"ZTxIdOrcActNHash",
        auth: b"ZTxAuthOrchaHash",
    },
    anchors_authorize: false,
    has_ironwood: false,
};

static V6: Rules = Rules {
    sapling_spends_noncompact: b"ZTxIdSSpendNH_v6",
    sapling_auth: b"ZTxAuthSapliH_v6",
    orchard: ActionStrings {
        bundle: b"ZTxIdOrchardH_v6",
        compact: b"ZTxIdOrcActCHash",
        memos: b"ZTxIdOrcActMHash",
        noncompact: b"ZTxIdOrcActNHash",
        auth: b"ZTxAuthOrchaH_v6",
    },
    anchors_authorize: true,
    has_ironwood: true,
};

static IRONWOOD: ActionStrings = ActionStrings {
    bundle: b"ZTxIdIronwd_H_v6",
    compact: b"ZTxIdIrnActCH_v6",
    memos: b"ZTxIdIrnActMH_v6",
    noncompact: b"ZTxIdIrnActNH_v6",
    auth: b"ZTxAuthIrnwdH_v6",
};

const fn rules(version: TransactionVersion) -> &'static Rules {
    match version {
        TransactionVersion::V6 => &V6,
        TransactionVersion::V1
        | TransactionVersion::V2
        | TransactionVersion::V3
        | TransactionVersion::V4
        | TransactionVersion::V5 => &V5,
    }
}

/// Returns the id of a v5 or v6 transaction, and nothing for others.
pub(super) fn txid(parts: &Parts<'_>) -> Option<Digest> {
    let modern = parts.modern.as_ref()?;
    let rules = rules(parts.version);
    let mut root = hasher(&with_branch(*b"ZcashTxHash_", modern));
    root.update(&finish(hasher(b"ZTxIdHeadersHash").update(modern.header)));
    root.update(&transparent(&parts.inputs, parts.outputs));
    root.update(&sapling(rules, modern.sapling.as_ref()));
    root.update(&actions(rules, &rules.orchard, modern.orchard.as_ref()));
    if rules.has_ironwood {
        root.update(&actions(rules, &IRONWOOD, modern.ironwood.as_ref()));
    }
    Some(finish(&root))
}

/// Returns the auth digest of a v5 or v6 transaction, and nothing for others.
pub(super) fn auth_digest(parts: &Parts<'_>) -> Option<Digest> {
    let modern = parts.modern.as_ref()?;
    let rules = rules(parts.version);
    let mut root = hasher(&with_branch(*b"ZTxAuthHash_", modern));
    let mut scripts = hasher(b"ZTxAuthTransHash");
    for input in parts.inputs.iter() {
        scripts.update(input.counted_script);
    }
    root.update(&finish(&scripts));
    root.update(&sapling_auth(rules, modern.sapling.as_ref()));
    root.update(&actions_auth(rules, &rules.orchard, modern.orchard.as_ref()));
    if rules.has_ironwood {
        root.update(&actions_auth(rules, &IRONWOOD, modern.ironwood.as_ref()));
    }
    Some(finish(&root))
}

fn transparent(inputs: &Inputs<'_>, outputs: &[u8]) -> Digest {
    let mut root = hasher(b"ZTxIdTranspaHash");
    if inputs.is_empty() && outputs.is_empty() {
        return finish(&root);
    }
    let mut prevouts = hasher(b"ZTxIdPrevoutHash");
    let mut sequences = hasher(b"ZTxIdSequencHash");
    for input in inputs.iter() {
        prevouts.update(input.prevout);
        sequences.update(input.sequence);
    }
    root.update(&finish(&prevouts));
    root.update(&finish(&sequences));
    root.update(&finish(hasher(b"ZTxIdOutputsHash").update(outputs)));
    finish(&root)
}

fn sapling(rules: &Rules, sapling: Option<&Sapling<'_>>) -> Digest {
    let mut root = hasher(b"ZTxIdSaplingHash");
    if let Some(sapling) = sapling {
        root.update(&sapling_spends(rules, sapling));
        root.update(&sapling_outputs(sapling.outputs));
        root.update(sapling.value_balance);
    }
    finish(&root)
}

fn sapling_spends(rules: &Rules, sapling: &Sapling<'_>) -> Digest {
    let mut root = hasher(b"ZTxIdSSpendsHash");
    if sapling.spends.is_empty() {
        return finish(&root);
    }
    let mut nullifiers = hasher(b"ZTxIdSSpendCHash");
    let mut noncompact = hasher(rules.sapling_spends_noncompact);
    for spend in sapling.spends.chunks_exact(SPEND_LEN) {
        let (commitment, rest) = spend.split_at(32);
        let (nullifier, key) = rest.split_at(32);
        nullifiers.update(nullifier);
        noncompact.update(commitment);
        if !rules.anchors_authorize {
            noncompact.update(sapling.anchor);
        }
        noncompact.update(key);
    }
    root.update(&finish(&nullifiers));
    root.update(&finish(&noncompact));
    finish(&root)
}

fn sapling_outputs(outputs: &[u8]) -> Digest {
    let mut root = hasher(b"ZTxIdSOutputHash");
    if outputs.is_empty() {
        return finish(&root);
    }
    let mut notes = Notes::new(b"ZTxIdSOutC__Hash", b"ZTxIdSOutM__Hash", b"ZTxIdSOutN__Hash");
    for output in outputs.chunks_exact(OUTPUT_LEN) {
        let (value_commitment, note) = output.split_at(32);
        notes.noncompact.update(value_commitment);
        notes.add(note);
    }
    notes.finish_into(&mut root);
    finish(&root)
}

fn sapling_auth(rules: &Rules, sapling: Option<&Sapling<'_>>) -> Digest {
    let mut root = hasher(rules.sapling_auth);
    if let Some(sapling) = sapling {
        root.update(sapling.authorization);
        if rules.anchors_authorize {
            root.update(sapling.anchor);
        }
    }
    finish(&root)
}

fn actions(rules: &Rules, strings: &ActionStrings, bundle: Option<&Actions<'_>>) -> Digest {
    let mut root = hasher(strings.bundle);
    let Some(bundle) = bundle else { return finish(&root) };
    let mut notes = Notes::new(strings.compact, strings.memos, strings.noncompact);
    for action in bundle.actions.chunks_exact(ACTION_LEN) {
        let (value_commitment, rest) = action.split_at(32);
        let (nullifier, rest) = rest.split_at(32);
        let (key, note) = rest.split_at(32);
        notes.compact.update(nullifier);
        notes.noncompact.update(value_commitment);
        notes.noncompact.update(key);
        notes.add(note);
    }
    notes.finish_into(&mut root);
    root.update(bundle.flags_and_balance);
    if !rules.anchors_authorize {
        root.update(bundle.anchor);
    }
    finish(&root)
}

fn actions_auth(rules: &Rules, strings: &ActionStrings, bundle: Option<&Actions<'_>>) -> Digest {
    let mut root = hasher(strings.auth);
    if let Some(bundle) = bundle {
        root.update(bundle.proof);
        root.update(bundle.signatures);
        if rules.anchors_authorize {
            root.update(bundle.anchor);
        }
    }
    finish(&root)
}

/// The three hashes over which the notes of a part are spread.
struct Notes {
    compact: State,
    memos: State,
    noncompact: State,
}

impl Notes {
    fn new(compact: &Personal, memos: &Personal, noncompact: &Personal) -> Self {
        Self { compact: hasher(compact), memos: hasher(memos), noncompact: hasher(noncompact) }
    }

    /// Adds a note, from its commitment on.
    fn add(&mut self, note: &[u8]) {
        let (compact, rest) = note.split_at(COMPACT_NOTE_LEN);
        let (memo, rest) = rest.split_at(MEMO_LEN);
        self.compact.update(compact);
        self.memos.update(memo);
        self.noncompact.update(rest);
    }

    fn finish_into(&self, root: &mut State) {
        for state in [&self.compact, &self.memos, &self.noncompact] {
            root.update(&finish(state));
        }
    }
}

fn with_branch(prefix: [u8; 12], modern: &Modern<'_>) -> Personal {
    let mut personal = [0; 16];
    personal[..12].copy_from_slice(&prefix);
    personal[12..].copy_from_slice(&modern.branch_id().to_le_bytes());
    personal
}

fn hasher(personal: &Personal) -> State {
    Params::new().hash_length(32).personal(personal).to_state()
}

fn finish(state: &State) -> Digest {
    state.finalize().as_bytes().first_chunk().copied().unwrap_or_default()
}
