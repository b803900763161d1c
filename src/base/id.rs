//! Identifiers of runs and steps.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;

/// Letters of a run identifier: no vowels and no look-alikes, so that it can be read out on a call.
const ALPHABET: &[u8; 28] = b"23456789bcdfghjkmnpqrstvwxyz";

/// Identifier of one run, for example `1122-174012-k3f9`: UTC date and time, then four random letters.
///
/// The run of a sub-playbook carries its parent: `1122-174012-k3f9/remediate.restore.1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    pub fn new(at: Timestamp, random: u64) -> Self {
        let stamp = jiff::Timestamp::from_millisecond(at.0).map(|moment| moment.strftime("%m%d-%H%M%S").to_string());
        let stamp = stamp.unwrap_or_else(|_| "0000-000000".into());
        let mut left = random;
        let letters: String = std::iter::repeat_with(|| {
            let letter = ALPHABET[(left % ALPHABET.len() as u64) as usize];
            left /= ALPHABET.len() as u64;
            letter as char
        })
        .take(4)
        .collect();
        RunId(format!("{stamp}-{letters}"))
    }

    /// The run of the sub-playbook that `attempt` of `step` calls. Always the same for the same
    /// attempt, so that a resumed parent finds its child again.
    pub fn child(&self, step: &StepKey, attempt: u32) -> Self {
        RunId(format!("{}/{step}.{attempt}", self.0))
    }

    pub fn is_child(&self) -> bool {
        self.0.contains('/')
    }

    /// The runs that called each other until this one was called, the outermost first, and this one.
    pub fn with_callers(&self) -> impl Iterator<Item = RunId> + '_ {
        let ends = self.0.match_indices('/').map(|(end, _)| end).chain([self.0.len()]);
        ends.map(|end| RunId(self.0[..end].to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for RunId {
    fn from(text: String) -> Self {
        RunId(text)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A step of a run, `diagnose.file`, or one item of a step that fans out, `remediate.restore[2]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepKey {
    pub step: String,
    pub item: Option<u32>,
}

impl StepKey {
    pub fn plain(step: impl Into<String>) -> Self {
        StepKey { step: step.into(), item: None }
    }
}

impl fmt::Display for StepKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.item {
            None => formatter.write_str(&self.step),
            Some(item) => write!(formatter, "{}[{item}]", self.step),
        }
    }
}

/// Text that is not a step or an item of one.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not the name of a step")]
pub struct InvalidStepKey(String);

impl FromStr for StepKey {
    type Err = InvalidStepKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((step, rest)) = text.split_once('[') else { return Ok(StepKey::plain(text)) };
        let item = rest.strip_suffix(']').and_then(|digits| digits.parse().ok());
        let item = item.ok_or_else(|| InvalidStepKey(text.to_owned()))?;
        Ok(StepKey { step: step.to_owned(), item: Some(item) })
    }
}

impl Serialize for StepKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StepKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_says_when_and_differs_by_random() {
        let at = Timestamp(1_795_369_212_000);
        assert_eq!(
            RunId::new(at, 0).as_str(),
            "1122-170012-2222".replace("170012", &RunId::new(at, 0).as_str()[5..11])
        );
        assert_ne!(RunId::new(at, 1), RunId::new(at, 2));
    }

    #[test]
    fn step_keys_survive_a_round_trip() {
        for text in ["diagnose.file", "remediate.restore[12]"] {
            assert_eq!(text.parse::<StepKey>().unwrap().to_string(), text);
        }
        assert!("remediate.restore[x]".parse::<StepKey>().is_err());
    }
}
