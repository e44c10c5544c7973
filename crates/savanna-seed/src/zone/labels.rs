//! Names in the order that denials of existence follow.

use hickory_proto::rr::Name;

/// A name's labels from the right to the left, in lower case: in this form the order of names that RFC 4034, section 6.1
/// demands is the order of the language.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Labels(Vec<Vec<u8>>);

impl Labels {
    pub(crate) fn of(name: &Name) -> Self {
        Self(name.iter().rev().map(<[u8]>::to_ascii_lowercase).collect())
    }

    /// Returns the name above, as long as there is one.
    pub(crate) fn parent(&self) -> Option<Self> {
        let (_, above) = self.0.split_last()?;
        Some(Self(above.to_vec()))
    }

    /// Returns the name that all names directly below this one match which do not exist (RFC 4592).
    pub(crate) fn wildcard(&self) -> Self {
        let mut labels = self.0.clone();
        labels.push(b"*".to_vec());
        Self(labels)
    }
}

/// Writes a name as in a message, in lower case and not compressed.
pub(crate) fn wire(name: &Name) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(256);
    for label in name.iter() {
        // A label has 63 bytes at most, which the type of names keeps.
        bytes.push(u8::try_from(label.len()).unwrap_or(0));
        bytes.extend(label.iter().map(u8::to_ascii_lowercase));
    }
    bytes.push(0);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    /// The example of RFC 4034, section 6.1.
    #[test]
    fn names_are_in_canonical_order() {
        let in_order =
            ["example.", "a.example.", "yljkjljk.a.example.", "Z.a.example.", "zABC.a.EXAMPLE.", "z.example."];
        let labels: Vec<_> = in_order.iter().map(|text| Labels::of(&name(text))).collect();
        assert!(labels.is_sorted());
        assert!(Labels::of(&name("example.")).wildcard() < Labels::of(&name("a.example.")));
    }

    #[test]
    fn a_name_is_written_low() {
        assert_eq!(*wire(&name("X1.Seed.")), *b"\x02x1\x04seed\x00");
        assert_eq!(Labels::of(&name("X1.Seed.")).parent(), Some(Labels::of(&name("seed."))));
    }
}
