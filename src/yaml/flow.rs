//! How much stands in one pair of brackets. The parser keeps all of it in memory until the last one is closed,
//! since it might be a key, so this has to be known before it begins.

/// About 300 bytes are kept for each of these characters. Ten times this is no playbook that anybody wrote.
const MAX_CROWD: usize = 50_000;

/// The line on which a pair of brackets opens that holds too much.
pub(super) fn crowded_line(text: &str) -> Option<usize> {
    let mut crowd = Crowd::default();
    text.lines().zip(1..).find_map(|(line, number)| crowd.line(line, number))
}

/// What is open. It sees brackets in quoted texts, too; one of those that is never closed counts for as long as the
/// lines are indented deeper than its own.
#[derive(Default)]
struct Crowd {
    depth: usize,
    size: usize,
    line: usize,
    /// Lines indented up to here belong to something else; `None` for brackets that are the whole document.
    indent: Option<usize>,
}

impl Crowd {
    fn line(&mut self, line: &str, number: usize) -> Option<usize> {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if !content.is_empty() && self.indent.is_some_and(|opened| indent <= opened) {
            self.depth = 0;
        }
        for byte in content.bytes() {
            match byte {
                b'[' | b'{' if self.depth == 0 => {
                    let whole = content.starts_with(['[', '{']);
                    *self = Crowd { depth: 1, size: 0, line: number, indent: (!whole).then_some(indent) };
                }
                b'[' | b'{' => self.depth += 1,
                b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                b',' | b':' => {}
                _ => continue,
            }
            self.size += 1;
            if self.depth > 0 && self.size > MAX_CROWD {
                return Some(self.line);
            }
        }
        None
    }
}

/// In words.
pub(super) fn problem(line: usize) -> String {
    format!("the brackets that open on line {line} hold more than {MAX_CROWD} brackets, colons and commas")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_in_one_pair_of_brackets_is_a_crowd() {
        let steps = "  step: {command: {argv: [sh, -c, 'echo [']}, needs: [a, b]}\n".repeat(20_000);
        assert_eq!(crowded_line(&format!("remediate:\n{steps}")), None);
        for (start, item) in [("{", "key: 1, "), ("a:\n  b: [", "x,\n    "), ("[", "[")] {
            let line = 1 + start.matches('\n').count();
            assert_eq!(crowded_line(&format!("{start}{}", item.repeat(60_000))), Some(line), "{start}");
        }
    }
}
