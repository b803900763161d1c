//! Escalation policies: whom to tell when nobody answers, in which order, and how long each one has.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Site;

/// Whom to tell, in which order. Playbooks name it in `escalate: {policy: …}`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Who is told, one level after the other, until somebody acknowledges. The first one is told at once.
    pub levels: Vec<Level>,
    /// How often all levels are told once more when nobody has acknowledged.
    #[schemars(range(max = 10))]
    pub repeat: u32,
    /// Contacts and channels that are told at the very end, when nobody has acknowledged.
    #[serde(rename = "final")]
    pub last: Vec<String>,
    /// Other paths for some severities. A severity without one takes the levels above.
    pub by_severity: BySeverity,
}

/// A path for each severity.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BySeverity {
    /// The path when the severity is `critical`.
    pub critical: Option<Path>,
    /// The path when the severity is `high`.
    pub high: Option<Path>,
    /// The path when the severity is `medium`.
    pub medium: Option<Path>,
    /// The path when the severity is `low`.
    pub low: Option<Path>,
    /// The path when the severity is `info`.
    pub info: Option<Path>,
}

/// The levels of one severity.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Path {
    /// Who is told, one level after the other, until somebody acknowledges. The first one is told at once.
    pub levels: Vec<Level>,
    /// How often all levels are told once more when nobody has acknowledged.
    #[schemars(range(max = 10))]
    pub repeat: u32,
    /// Contacts and channels that are told at the very end, when nobody has acknowledged.
    #[serde(rename = "final")]
    pub last: Vec<String>,
}

/// One level of a policy.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Contacts, or channels such as `slack:ml-alerts`.
    pub tell: Vec<String>,
    /// How long this level has to acknowledge; then the next one is told. Without a time, the next one is told
    /// only when somebody asks for it (`runbook escalate RUN`).
    #[serde(default)]
    #[schemars(extend("x-unit" = "duration"))]
    pub within: Option<f64>,
    /// The same, counted from the beginning of the escalation: `15m`, `30m`, `60m` for three levels.
    #[serde(default)]
    #[schemars(extend("x-unit" = "duration"))]
    pub until: Option<f64>,
}

impl BySeverity {
    /// Each severity that has a path of its own.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let all = [
            ("critical", &self.critical),
            ("high", &self.high),
            ("medium", &self.medium),
            ("low", &self.low),
            ("info", &self.info),
        ];
        all.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?)))
    }
}

impl Policy {
    /// The path for a severity.
    pub fn path(&self, severity: &str) -> Path {
        let own = self.by_severity.entries().find(|(name, _)| *name == severity);
        own.map_or_else(
            || Path { levels: self.levels.clone(), repeat: self.repeat, last: self.last.clone() },
            |(_, path)| path.clone(),
        )
    }
}

impl Path {
    /// How long each level has, in seconds, whichever way it is written. `None` for a level that waits until
    /// somebody asks for the next one.
    pub fn times(&self) -> Result<Vec<Option<f64>>, BadTimes> {
        let mut passed = Some(0.0);
        let mut times = Vec::new();
        for (position, level) in self.levels.iter().enumerate() {
            let bad = |what| Err(BadTimes { position, what });
            let time = match (level.within, level.until, passed) {
                (Some(_), Some(_), _) => return bad("has both `within` and `until`"),
                (None, Some(_), None) => return bad("counts from the beginning, and a level before it has no time"),
                (None, Some(until), Some(passed)) if until < passed => return bad("ends before it begins"),
                (None, Some(until), Some(passed)) => Some(until - passed),
                (within, None, _) => within,
            };
            passed = passed.zip(time).map(|(passed, time)| passed + time);
            times.push(time);
        }
        Ok(times)
    }
}

/// Which level cannot be timed, and why.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("level {} {what}", position + 1)]
pub struct BadTimes {
    /// Counted from 0.
    pub position: usize,
    what: &'static str,
}

impl Site {
    /// The channels that reach somebody: a channel itself, or those of a contact and of its members.
    pub fn channels_of(&self, name: &str) -> BTreeSet<String> {
        let mut channels = BTreeSet::new();
        self.add_channels(name, &mut BTreeSet::new(), &mut channels);
        channels
    }

    fn add_channels<'a>(&'a self, name: &'a str, met: &mut BTreeSet<&'a str>, channels: &mut BTreeSet<String>) {
        let Some(contact) = self.contacts.get(name) else {
            if self.has_channel(name) {
                channels.insert(name.to_owned());
            }
            return;
        };
        // A group that contains itself is a mistake that must not keep anybody from being told.
        if met.insert(name) {
            channels.extend(contact.channel.clone());
            contact.members.iter().for_each(|member| self.add_channels(member, met, channels));
        }
    }

    /// Whether the site file has this channel.
    pub fn has_channel(&self, target: &str) -> bool {
        match target.split_once(':') {
            Some((kind, name)) => self.channels.get(kind).is_some_and(|named| named.contains_key(name)),
            // The only channel without a name, which needs no settings.
            None => target == "console",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(within: Option<f64>, until: Option<f64>) -> Level {
        Level { tell: Vec::new(), within, until }
    }

    fn times(levels: &[Level]) -> Result<Vec<Option<f64>>, String> {
        let path = Path { levels: levels.to_vec(), ..Path::default() };
        path.times().map_err(|error| error.to_string())
    }

    #[test]
    fn times_of_a_level_and_times_since_the_beginning_say_the_same() {
        let since = [15.0, 30.0, 60.0].map(|until| level(None, Some(until)));
        assert_eq!(times(&since).unwrap(), [Some(15.0), Some(15.0), Some(30.0)]);
        let mixed = [level(Some(10.0), None), level(None, Some(30.0)), level(None, None)];
        assert_eq!(times(&mixed).unwrap(), [Some(10.0), Some(20.0), None]);
    }

    #[test]
    fn times_that_make_no_sense_are_named() {
        assert!(times(&[level(Some(1.0), Some(1.0))]).unwrap_err().contains("level 1 has both"));
        assert!(times(&[level(None, Some(9.0)), level(None, Some(8.0))]).unwrap_err().contains("level 2 ends before"));
        assert!(times(&[level(None, None), level(None, Some(8.0))]).unwrap_err().contains("level 2 counts from"));
    }

    #[test]
    fn a_group_is_reached_by_its_own_channel_and_those_of_its_members_even_in_a_circle() {
        let site: Site = serde_json::from_value(serde_json::json!({
            "contacts": {"team": {"channel": "slack:team", "members": ["ada", "team"]}, "ada": {"channel": "ntfy:ada"}},
            "channels": {"slack": {"team": {}}},
        }))
        .unwrap();
        assert_eq!(site.channels_of("team"), BTreeSet::from(["ntfy:ada".to_owned(), "slack:team".to_owned()]));
        assert_eq!(site.channels_of("slack:team"), BTreeSet::from(["slack:team".to_owned()]));
        assert!(site.channels_of("slack:other").is_empty());
    }
}
