//! "Did you mean …?"

/// The candidates most like `word`, best first, at most three; empty when nothing is near.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    // 0.75 keeps one or two slips in a short word and refuses words that merely share letters.
    const NEAR: f64 = 0.75;
    let mut scored: Vec<(f64, &str)> = candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(score, _)| *score >= NEAR)
        .collect();
    scored.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(right.1)));
    scored.dedup_by_key(|(_, candidate)| *candidate);
    scored.into_iter().take(3).map(|(_, candidate)| candidate).collect()
}

/// Whether `word` is so near to `candidate` that it can only be meant: two letters apart at most. Words that
/// merely resemble each other, as `mirror` and `max_error` do, are not.
pub fn is_slip(word: &str, candidate: &str) -> bool {
    strsim::osa_distance(&word.to_lowercase(), &candidate.to_lowercase()) <= 2
}

/// A help line that names the nearest candidates, or else lists what there is.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    let near = nearest(word, candidates.clone());
    if !near.is_empty() {
        return Some(format!("did you mean {}?", join_or(&near)));
    }
    let mut all: Vec<&str> = candidates.into_iter().collect();
    all.sort_unstable();
    all.dedup();
    match all.len() {
        0 => None,
        // More than a dozen names do not help a tired reader.
        1..=12 => Some(format!("known here: {}", all.join(", "))),
        _ => None,
    }
}

fn join_or(words: &[&str]) -> String {
    words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        assert_eq!(nearest("timeot", ["timeout", "retry"]), ["timeout"]);
        assert!(nearest("zebra", ["timeout", "retry"]).is_empty());
    }

    #[test]
    fn only_what_can_be_meant_is_a_slip() {
        assert!(is_slip("provdier", "provider") && is_slip("model_dir", "models_dir"));
        assert!(!is_slip("mirror", "max_error"));
    }
}
