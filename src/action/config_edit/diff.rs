//! The changed lines of a small edit, as a unified diff.

/// Enough to recognise the place, few enough to keep the neighbours' values out of the record.
const CONTEXT: usize = 1;
const MAX_LINES: usize = 40;

/// The difference as one hunk from the first changed line to the last; empty when there is none.
pub(super) fn unified(before: &str, after: &str) -> String {
    if before == after {
        return String::new();
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same =
        |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| pairs.take_while(|(left, right)| left == right).count();
    let head = same(&mut old.iter().zip(&new));
    let shorter = old.len().min(new.len()) - head;
    let tail = same(&mut old.iter().rev().zip(new.iter().rev())).min(shorter);
    let start = head.saturating_sub(CONTEXT);
    let end = |length: usize| (length - tail + CONTEXT).min(length);
    let mut lines =
        vec![format!("@@ -{},{} +{},{} @@", start + 1, end(old.len()) - start, start + 1, end(new.len()) - start)];
    lines.extend(old[start..head].iter().map(|line| format!(" {line}")));
    lines.extend(old[head..old.len() - tail].iter().map(|line| format!("-{line}")));
    lines.extend(new[head..new.len() - tail].iter().map(|line| format!("+{line}")));
    lines.extend(old[old.len() - tail..end(old.len())].iter().map(|line| format!(" {line}")));
    if lines.len() > MAX_LINES {
        let more = lines.len() - MAX_LINES;
        lines.truncate(MAX_LINES);
        lines.push(format!("[{more} lines left out]"));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_lines_stand_between_their_neighbours() {
        assert_eq!(unified("a\nb\nc\nd\n", "a\nb\nX\nd\n"), "@@ -2,3 +2,3 @@\n b\n-c\n+X\n d\n");
        assert_eq!(unified("a\na\n", "a\na\na\n"), "@@ -2,1 +2,2 @@\n a\n+a\n");
        assert_eq!(unified("", "a: 1\n"), "@@ -1,0 +1,1 @@\n+a: 1\n");
        assert_eq!(unified("a\n", "a\n"), "");
    }

    #[test]
    fn a_large_change_is_cut() {
        let old = "x\n".repeat(100);
        assert!(unified(&old, "").lines().count() <= MAX_LINES + 1);
    }
}
