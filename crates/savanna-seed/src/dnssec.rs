//! The key that signs a zone, and the file that it lives in.

use std::fmt::{self, Write as _};
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use hickory_proto::dnssec::crypto::EcdsaSigningKey;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, RRSIG, SigInput};
use hickory_proto::dnssec::{Algorithm, DigestType, SigningKey, TBS};
use hickory_proto::rr::{DNSClass, Name, RData, Record, SerialNumber};
use thiserror::Error;

/// How long a signature is good, seconds: an answer that someone kept can mislead no longer than this.
const SIGNED_FOR: u32 = 24 * 3600;

/// How far back a signature begins, seconds, for resolvers whose clocks are behind.
const BACKDATED: u32 = 3600;

/// A key of the zone that also signs the key: the zone's apex has no other, so the parent's DS points at it.
const ZONE_KEY_AND_ENTRY: u16 = 0x0101;

/// The largest file that may be a key, in bytes. Larger ones are no keys.
const LARGEST_FILE: u64 = 4096;

const ALGORITHM: Algorithm = Algorithm::ECDSAP256SHA256;

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file could not be read or written.
    #[error("the key file: {0}")]
    Io(#[from] io::Error),
    /// Others than its owner may read the file, so that the key may be known to them.
    #[error("the key file may be read by others than its owner (mode {0:03o}); it must be 0600")]
    Open(u32),
    /// What the file holds is not a key for ECDSA on P-256 as PKCS#8. It is left as it is.
    #[error("the key file holds no ECDSA P-256 key: {0}")]
    Rotten(String),
    /// No key could be made.
    #[error("no key could be made: {0}")]
    Made(String),
}

/// A zone's key: ECDSA on P-256 with SHA-256 (RFC 6605), which every validator knows and whose signatures are short.
#[derive(Clone)]
pub struct Keys {
    secret: Arc<EcdsaSigningKey>,
    public: DNSKEY,
    tag: u16,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("tag", &self.tag).finish_non_exhaustive()
    }
}

impl Keys {
    /// Reads the key that a file holds, or makes one and keeps it there, readable by its owner alone.
    ///
    /// # Errors
    /// [`KeyError`] if the file cannot be read or made, is open to others, or holds something else. Such a file is never
    /// overwritten: resolvers would hold every answer signed by another key for forged.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        match OpenOptions::new().read(true).open(path) {
            Ok(file) => {
                let meta = file.metadata()?;
                private(&meta)?;
                let mut bytes = Vec::new();
                file.take(LARGEST_FILE).read_to_end(&mut bytes)?;
                Self::from_pkcs8(&bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let bytes = Self::generate()?;
                let keys = Self::from_pkcs8(&bytes)?;
                keep(path, &bytes)?;
                Ok(keys)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a key from the system's randomness, as PKCS#8.
    ///
    /// # Errors
    /// [`KeyError::Made`] if the system has no randomness to give.
    pub fn generate() -> Result<Vec<u8>, KeyError> {
        let made = EcdsaSigningKey::generate_pkcs8(ALGORITHM).map_err(|e| KeyError::Made(e.to_string()))?;
        Ok(made.secret_pkcs8_der().to_vec())
    }

    /// Reads a key.
    ///
    /// # Errors
    /// [`KeyError::Rotten`] if it is none.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, KeyError> {
        let rotten = |e: &dyn fmt::Display| KeyError::Rotten(e.to_string());
        let secret = EcdsaSigningKey::from_pkcs8(&bytes.into(), ALGORITHM).map_err(|e| rotten(&e))?;
        let public = secret.to_public_key().map_err(|e| rotten(&e))?;
        let public = DNSKEY::with_flags(ZONE_KEY_AND_ENTRY, public);
        let tag = public.calculate_key_tag().map_err(|e| rotten(&e))?;
        Ok(Self { secret: Arc::new(secret), public, tag })
    }

    /// Returns the key's tag, by which signatures and the parent's DS name it.
    #[must_use]
    pub const fn tag(&self) -> u16 {
        self.tag
    }

    pub(crate) const fn public(&self) -> &DNSKEY {
        &self.public
    }

    /// Returns the record that the parent zone must carry, in the form of a zone file.
    pub(crate) fn ds(&self, zone: &Name) -> Option<String> {
        let digest = self.public.to_digest(zone, DigestType::SHA256).ok()?;
        let mut hex = String::new();
        for byte in digest.as_ref() {
            write!(hex, "{byte:02X}").ok()?;
        }
        Some(format!("{zone} IN DS {} {} 2 {hex}", self.tag, u8::from(ALGORITHM)))
    }

    /// Returns the public key in the form of a zone file.
    pub(crate) fn dnskey(&self, zone: &Name) -> String {
        format!("{zone} IN DNSKEY {}", self.public)
    }

    /// Signs records that share owner, type and TTL. `now`: seconds since 1970.
    ///
    /// Returns nothing if there are no records, or where a name cannot be written.
    pub(crate) fn sign(&self, zone: &Name, records: &[Record], now: u32) -> Option<Record> {
        let first = records.first()?;
        let input = SigInput {
            type_covered: first.record_type(),
            algorithm: ALGORITHM,
            num_labels: first.name.num_labels(),
            original_ttl: first.ttl,
            sig_expiration: SerialNumber::new(now.wrapping_add(SIGNED_FOR)),
            sig_inception: SerialNumber::new(now.wrapping_sub(BACKDATED)),
            key_tag: self.tag,
            signer_name: zone.clone(),
        };
        let tbs = TBS::from_input(&first.name, DNSClass::IN, &input, records.iter()).ok()?;
        let signature = self.secret.sign(&tbs).ok()?;
        let rrsig = RData::DNSSEC(DNSSECRData::RRSIG(RRSIG::from_sig(input, signature)));
        Some(Record::from_rdata(first.name.clone(), first.ttl, rrsig))
    }
}

/// Writes a new file whole or not at all, never over another.
fn keep(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // A leftover of a start that was cut short may have another mode.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::hard_link(&beside, path)?;
    fs::remove_file(&beside)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => fs::File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn private(meta: &fs::Metadata) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;
    match meta.permissions().mode() & 0o777 {
        mode if mode & 0o077 != 0 => Err(KeyError::Open(mode)),
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn private(_: &fs::Metadata) -> Result<(), KeyError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zone.key");
        let made = Keys::open(&path).unwrap();
        let found = Keys::open(&path).unwrap();
        assert_eq!(made.public(), found.public());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left there");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zone.key");
        Keys::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Keys::open(&path), Err(KeyError::Open(0o640))));
    }

    #[test]
    fn adversary_27_a_rotten_key_is_told_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zone.key");
        Keys::open(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        for rotten in [&whole[..whole.len() / 2], b"", b"a zone file"] {
            fs::write(&path, rotten).unwrap();
            assert!(matches!(Keys::open(&path), Err(KeyError::Rotten(_))));
            assert_eq!(fs::read(&path).unwrap(), rotten);
        }
    }

    #[test]
    fn the_ds_is_written_as_a_zone_file_has_it() {
        let keys = Keys::from_pkcs8(&Keys::generate().unwrap()).unwrap();
        let ds = keys.ds(&Name::from_ascii("seed.example.").unwrap()).unwrap();
        let words: Vec<_> = ds.split(' ').collect();
        assert_eq!(words[..3], ["seed.example.", "IN", "DS"]);
        assert_eq!(words[3], keys.tag().to_string());
        assert_eq!(words[4..6], ["13", "2"]);
        assert_eq!(words[6].len(), 64);
    }
}
