//! How letters are written for people. What a producer controls is escaped: a letter must not control a terminal.

use console::measure_text_width;
use jiff::Timestamp;

use crate::cli::output;

/// The text on one line, without anything that a terminal would act on.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match is_shown(character) {
            true => plain.push(character),
            false => plain.extend(character.escape_default()),
        }
    }
    plain
}

/// The same, of several lines.
pub(super) fn plain_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(plain).collect();
    lines.join("\n")
}

/// Not: control characters, and those that turn or hide the text around them.
fn is_shown(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

pub(super) fn at(time: Option<Timestamp>) -> String {
    time.map_or_else(
        || "unknown".to_owned(),
        |time| format!("{time:.0} ({})", ago(time)),
    )
}

pub(super) fn age(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), ago)
}

fn ago(time: Timestamp) -> String {
    let seconds = Timestamp::now().duration_since(time).as_secs().max(0);
    let (number, unit) = match seconds {
        0..60 => (seconds, "s"),
        60..3600 => (seconds / 60, "min"),
        3600..172_800 => (seconds / 3600, "h"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{number} {unit} ago")
}

/// A table with a heading. Numbers are aligned to the right.
pub(super) struct Table {
    columns: Vec<(&'static str, bool)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// The names of the columns, and whether each holds numbers.
    pub(super) fn new(columns: &[(&'static str, bool)]) -> Table {
        Table {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// The heading, and the rows.
    pub(super) fn lines(&self) -> (String, Vec<String>) {
        let heading: Vec<String> = self
            .columns
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect();
        let rows = self.rows.iter().map(|row| self.line(row)).collect();
        (self.line(&heading), rows)
    }

    fn line(&self, cells: &[String]) -> String {
        let mut line = String::new();
        for (place, (cell, (name, is_number))) in cells.iter().zip(&self.columns).enumerate() {
            let others = self.rows.iter().filter_map(|row| row.get(place));
            let widths = others.map(|cell| measure_text_width(cell));
            let width = widths.max().unwrap_or(0).max(name.len());
            let padding = " ".repeat(width.saturating_sub(measure_text_width(cell)));
            let between = if place == 0 { "" } else { "  " };
            line += &match is_number {
                true => format!("{between}{padding}{cell}"),
                false => format!("{between}{cell}{padding}"),
            };
        }
        line.trim_end().to_owned()
    }
}

/// A text in this colour where colours are shown.
pub(super) fn coloured(text: &str, colour: &str) -> String {
    match output::takes_colour(&std::io::stdout()) {
        true => format!("{colour}{text}\x1b[0m"),
        false => text.to_owned(),
    }
}

pub(super) const BOLD: &str = "\x1b[1m";
pub(super) const DIM: &str = "\x1b[2m";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_cannot_control_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\r\n"), "a\\u{1b}[2Jb\\r\\n");
        assert_eq!(plain("\u{202e}evil\u{9b}0m"), "\\u{202e}evil\\u{9b}0m");
        assert_eq!(plain_lines("{\n  \"é\": 1\n}"), "{\n  \"é\": 1\n}");
    }

    #[test]
    fn numbers_are_aligned_to_the_right() {
        let mut table = Table::new(&[("NAME", false), ("COUNT", true)]);
        table.add(vec!["a".to_owned(), "7".to_owned()]);
        table.add(vec!["longer".to_owned(), "1,234".to_owned()]);
        let (heading, rows) = table.lines();
        assert_eq!(heading, "NAME    COUNT");
        assert_eq!(rows, ["a           7", "longer  1,234"]);
    }
}
