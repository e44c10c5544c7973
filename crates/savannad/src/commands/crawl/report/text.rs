//! Texts and numbers as a page shows them.

use std::fmt::{self, Write as _};

/// Shows a text with the characters escaped that mean something in HTML.
pub(super) struct Html<T>(pub(super) T);

impl<T: fmt::Display> fmt::Display for Html<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaped(f), "{}", self.0)
    }
}

struct Escaped<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| match character {
            '&' => self.0.write_str("&amp;"),
            '<' => self.0.write_str("&lt;"),
            '>' => self.0.write_str("&gt;"),
            '"' => self.0.write_str("&quot;"),
            '\'' => self.0.write_str("&#39;"),
            other => self.0.write_char(other),
        })
    }
}

/// Shows a number with its thousands apart.
pub(super) struct Count(pub(super) usize);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.char_indices() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                f.write_char('\u{202f}')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

/// Shows how much of a whole a part is, in percent.
pub(super) struct Share {
    pub(super) part: usize,
    pub(super) whole: usize,
}

impl Share {
    /// Returns the share in tenths of a percent, at most 1000.
    pub(super) const fn per_mille(&self) -> usize {
        let whole = if self.whole == 0 { 1 } else { self.whole };
        let share = self.part.saturating_mul(1000).saturating_add(whole / 2) / whole;
        if share > 1000 { 1000 } else { share }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = self.per_mille();
        write!(f, "{}.{}\u{202f}%", share / 10, share % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adversary_12_nothing_that_a_stranger_writes_is_markup() {
        assert_eq!(Html("<a href=\"x\" b='y'>&").to_string(), "&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;");
    }

    #[test]
    fn numbers_are_read_easily() {
        let shown = |number| Count(number).to_string().replace('\u{202f}', " ");
        assert_eq!([0, 999, 1000, 1_234_567].map(shown), ["0", "999", "1 000", "1 234 567"]);
        let share = |part, whole| Share { part, whole }.to_string().replace('\u{202f}', " ");
        assert_eq!([share(1, 3), share(0, 0), share(5, 5)], ["33.3 %", "0.0 %", "100.0 %"]);
    }
}
