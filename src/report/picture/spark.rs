//! A picture in one row of characters, for a terminal and for text.

use crate::base::environment;

/// Room for it beside its title and numbers in 80 columns.
const LONGEST: usize = 30;

/// What the row is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Glyphs {
    /// The eight blocks of Unicode.
    #[default]
    Blocks,
    /// Characters that every terminal has, from light to heavy.
    Ascii,
}

impl Glyphs {
    /// What this terminal can show. Only a locale that names another character set, and a console without these
    /// characters in its font, are doubted: an unset locale is common in containers and tells nothing.
    pub fn of_terminal() -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(environment::variable);
        Self::of(locale.as_deref(), environment::variable("TERM").as_deref())
    }

    fn of(locale: Option<&str>, terminal: Option<&str>) -> Self {
        let other_set = locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            !locale.contains("utf-8") && !locale.contains("utf8")
        });
        if other_set || matches!(terminal, Some("linux" | "dumb")) { Glyphs::Ascii } else { Glyphs::Blocks }
    }

    fn levels(self) -> [char; 8] {
        match self {
            Glyphs::Blocks => ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
            Glyphs::Ascii => ['_', '.', ':', '-', '=', '+', '*', '#'],
        }
    }
}

/// A character for each height between 0 and 1; neighbours are taken together when there are too many.
pub fn row(heights: &[f64], glyphs: Glyphs) -> String {
    let levels = glyphs.levels();
    let groups = heights.chunks(super::together(heights.len(), LONGEST));
    // The highest of a group stands for it: a peak that is lost is the one thing a reader looks for.
    let highest = groups.map(|group| group.iter().copied().fold(0.0, f64::max));
    // The lowest character means nothing at all, so what is there is one step higher.
    highest.map(|height| levels[((height * 7.0).ceil() as usize).min(7)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_become_characters() {
        assert_eq!(row(&[0.0, 0.01, 0.5, 1.0], Glyphs::Blocks), "▁▂▅█");
        assert_eq!(row(&[0.0, 0.01, 0.5, 1.0], Glyphs::Ascii), "_.=#");
        assert_eq!(row(&[], Glyphs::Blocks), "");
    }

    #[test]
    fn a_peak_survives_in_a_long_row() {
        let mut heights = vec![0.0; 1000];
        heights[777] = 1.0;
        let row = row(&heights, Glyphs::Blocks);
        assert!(row.chars().count() <= LONGEST && row.contains('█'), "{row}");
    }

    #[test]
    fn blocks_are_for_terminals_that_have_them() {
        assert_eq!(Glyphs::of(None, None), Glyphs::Blocks);
        assert_eq!(Glyphs::of(Some("de_DE.UTF-8"), Some("xterm")), Glyphs::Blocks);
        assert_eq!(Glyphs::of(Some("C.utf8"), None), Glyphs::Blocks);
        assert_eq!(Glyphs::of(Some("C"), Some("xterm")), Glyphs::Ascii);
        assert_eq!(Glyphs::of(Some("de_DE.ISO-8859-1"), None), Glyphs::Ascii);
        assert_eq!(Glyphs::of(Some("C.UTF-8"), Some("linux")), Glyphs::Ascii);
    }
}
