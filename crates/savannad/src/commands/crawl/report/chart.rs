//! Charts that are tables or pictures, without a script.

use std::fmt;

use super::text::{Count, Html, Share};

/// Named numbers, each with a bar for its share of the whole.
pub(super) struct Bars {
    /// What the names are.
    pub(super) head: &'static str,
    /// The names and their numbers.
    pub(super) rows: Vec<(String, usize)>,
    /// What the numbers are shares of.
    pub(super) whole: usize,
}

impl Bars {
    /// Keeps the first rows and adds the others up in one.
    pub(super) fn cut(mut self, rows: usize) -> Self {
        if self.rows.len() > rows + 1 {
            let others = self.rows.split_off(rows);
            let sum = others.iter().map(|(_, count)| count).sum();
            self.rows.push((format!("{} others", others.len()), sum));
        }
        self
    }
}

impl fmt::Display for Bars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return f.write_str("<p class=\"soft\">Nobody told.</p>\n");
        }
        write!(f, "<table><thead><tr><th>{}</th><th class=\"number\">nodes</th>", self.head)?;
        f.write_str("<th class=\"number\">share</th><th></th></tr></thead><tbody>\n")?;
        for (name, count) in &self.rows {
            let share = Share { part: *count, whole: self.whole };
            write!(f, "<tr><td>{}</td><td class=\"number\">{}</td>", Html(name), Count(*count))?;
            write!(f, "<td class=\"number\">{share}</td><td class=\"chart\"><div class=\"bar\">")?;
            writeln!(f, "<span style=\"width:{}%\"></span></div></td></tr>", percent(&share))?;
        }
        f.write_str("</tbody></table>\n")
    }
}

/// A part and what is left of a whole, as one bar of two colours.
pub(super) struct Split {
    pub(super) good: usize,
    pub(super) bad: usize,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.good + self.bad;
        let width = |part| percent(&Share { part, whole });
        write!(f, "<div class=\"bar\"><span class=\"good\" style=\"width:{}%\"></span>", width(self.good))?;
        write!(f, "<span class=\"bad\" style=\"width:{}%\"></span></div>", width(self.bad))
    }
}

fn percent(share: &Share) -> String {
    let share = share.per_mille();
    format!("{}.{}", share / 10, share % 10)
}

/// Columns beside each other, for numbers in an order.
pub(super) struct Columns {
    /// What it shows, for who cannot see it.
    pub(super) title: &'static str,
    /// The columns: what stands under each, and its height.
    pub(super) columns: Vec<(String, usize)>,
}

impl Columns {
    const WIDTH: usize = 378;
    const HEIGHT: usize = 120;
    const ABOVE: usize = 16;
    const BELOW: usize = 20;
}

impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.columns.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
        let step = Self::WIDTH / self.columns.len().max(1);
        let (width, base) = (step * 4 / 5, Self::ABOVE + Self::HEIGHT);
        let height = base + Self::BELOW;
        let title = Html(self.title);
        writeln!(f, "<figure><svg viewBox=\"0 0 {} {height}\" role=\"img\" aria-label=\"{title}\">", Self::WIDTH)?;
        writeln!(f, "<line x1=\"0\" x2=\"{}\" y1=\"{base}\" y2=\"{base}\"/>", Self::WIDTH)?;
        for (at, (name, count)) in self.columns.iter().enumerate() {
            let (left, tall) = (at * step + (step - width) / 2, count * Self::HEIGHT / most);
            let (middle, top) = (at * step + step / 2, base - tall);
            writeln!(f, "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{tall}\" rx=\"2\"/>")?;
            if *count > 0 {
                let above = top - 4;
                writeln!(f, "<text x=\"{middle}\" y=\"{above}\" text-anchor=\"middle\">{}</text>", Count(*count))?;
            }
            let below = height - 5;
            writeln!(f, "<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">{}</text>", Html(name))?;
        }
        f.write_str("</svg></figure>\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_is_added_up() {
        let rows = (0..10).map(|number| (format!("n{number}"), 10 - number)).collect();
        let bars = Bars { head: "name", rows, whole: 55 }.cut(3);
        assert_eq!(bars.rows[2..], [("n2".to_owned(), 8), ("7 others".to_owned(), 28)]);
        let short = Bars { head: "name", rows: bars.rows, whole: 55 }.cut(3);
        assert_eq!(short.rows.len(), 4);
    }

    #[test]
    fn the_tallest_column_fills_the_picture() {
        let columns =
            Columns { title: "t", columns: vec![("a".to_owned(), 3), ("b".to_owned(), 0), ("c".to_owned(), 6)] };
        let drawn = columns.to_string();
        assert!(drawn.contains("height=\"120\"") && drawn.contains("height=\"60\"") && drawn.contains("height=\"0\""));
        let empty = Columns { title: "t", columns: Vec::new() }.to_string();
        assert!(empty.starts_with("<figure>") && !empty.contains("<rect"));
    }
}
