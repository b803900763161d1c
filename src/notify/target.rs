//! Finding the channel that `slack:ml-alerts` names.

use serde_json::Value;

use super::{CHANNELS, ChannelEntry};
use crate::base::suggestion::did_you_mean;
use crate::site::Site;

/// Why a target cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct TargetError {
    pub message: String,
    /// What the reader can do next.
    pub help: Option<String>,
}

/// Kind and name of a target; the name is empty for a channel without settings, such as `console`.
pub fn parse_target(text: &str) -> Result<(&str, &str), TargetError> {
    let (kind, name) = text.trim().split_once(':').unwrap_or((text.trim(), ""));
    let missing = kind.is_empty() || (name.is_empty() && text.contains(':'));
    if missing || [kind, name].iter().any(|part| part.contains(|letter: char| letter == ':' || letter.is_whitespace()))
    {
        return Err(TargetError {
            message: format!("'{text}' is not a channel"),
            help: Some("write the kind and the name of a channel of the site file, such as slack:ml-alerts".into()),
        });
    }
    Ok((kind, name))
}

/// The channel a target names and its settings in the site file, checked.
pub fn resolve(site: &Site, target: &str) -> Result<(&'static ChannelEntry, Value), TargetError> {
    let (kind, name) = parse_target(target)?;
    let entry = CHANNELS.iter().find(|entry| entry.name == kind).ok_or_else(|| unknown_kind(site, target, kind))?;
    let mut config = match site.channels.get(kind).and_then(|named| named.get(name)) {
        Some(config) => config.clone(),
        None if name.is_empty() => nameless(site, entry)?,
        None => return Err(unknown_name(site, target, entry)),
    };
    site.secrets
        .insert_into(&mut config)
        .map_err(|error| TargetError { message: format!("{target}: {error}"), help: Some(error.help().to_owned()) })?;
    (entry.check)(&config).map_err(|error| TargetError {
        message: format!("{target}: {error}"),
        help: Some(format!("in the site file, channels.{kind}.{name} looks for example like {}", entry.example)),
    })?;
    Ok((entry, config))
}

/// A channel that works without settings needs no name, and one that needs settings needs one.
fn nameless(site: &Site, entry: &'static ChannelEntry) -> Result<Value, TargetError> {
    let nothing = Value::Object(serde_json::Map::new());
    if (entry.check)(&nothing).is_ok() {
        return Ok(nothing);
    }
    let message = format!("'{}' needs the name of a channel, such as {}:ml-alerts", entry.name, entry.name);
    Err(TargetError { message, help: did_you_mean(entry.name, borrowed(&targets(site))) })
}

fn unknown_kind(site: &Site, target: &str, kind: &str) -> TargetError {
    let help = did_you_mean(target, borrowed(&targets(site)))
        .filter(|help| help.starts_with("did you mean"))
        .or_else(|| did_you_mean(kind, CHANNELS.iter().map(|entry| entry.name)));
    TargetError { message: format!("there is no kind of channel called '{kind}'"), help }
}

fn unknown_name(site: &Site, target: &str, entry: &ChannelEntry) -> TargetError {
    let known = targets(site);
    let help = did_you_mean(target, borrowed(&known)).unwrap_or_else(|| {
        let name = target.split_once(':').map_or(target, |(_, name)| name);
        format!("add it to the site file: channels: {{{}: {{{name}: {}}}}}", entry.name, entry.example)
    });
    TargetError { message: format!("the site file has no channel '{target}'"), help: Some(help) }
}

/// Every channel of the site file as one would write it.
pub fn targets(site: &Site) -> Vec<String> {
    site.channels.iter().flat_map(|(kind, named)| named.keys().map(move |name| format!("{kind}:{name}"))).collect()
}

fn borrowed(texts: &[String]) -> impl Iterator<Item = &str> + Clone {
    texts.iter().map(String::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn site() -> Site {
        let channels = json!({
            "slack": {"ml-alerts": {"webhook": {"env": "SLACK"}}, "broken": {"webhook": {"env": "S"}, "channel": "#a"}},
            "pagerduty": {"ml": {"routing_key": {"env": "PD"}}},
        });
        Site { channels: serde_json::from_value(channels).unwrap(), ..Site::default() }
    }

    fn refused(target: &str) -> (String, String) {
        let error = resolve(&site(), target).unwrap_err();
        (error.message, error.help.unwrap())
    }

    #[test]
    fn known_targets_come_with_their_settings() {
        let (entry, config) = resolve(&site(), "slack:ml-alerts").unwrap();
        assert_eq!((entry.name, config), ("slack", json!({"webhook": {"env": "SLACK"}})));
        let (entry, config) = resolve(&Site::default(), "console").unwrap();
        assert_eq!((entry.name, config), ("console", json!({})));
    }

    #[test]
    fn what_is_misspelt_is_recognised() {
        assert!(refused("slack:ml-alert").1.starts_with("did you mean 'slack:ml-alerts'"));
        assert!(refused("slak:ml-alerts").1.starts_with("did you mean 'slack:ml-alerts'"));
        assert!(refused("pagerdutty:night").1.starts_with("did you mean 'pagerduty"));
        assert!(refused("slack").0.contains("needs the name"));
    }

    #[test]
    fn without_a_site_file_the_help_says_what_to_write_into_it() {
        let error = resolve(&Site::default(), "slack:ops").unwrap_err();
        assert_eq!(
            error.help.unwrap(),
            "add it to the site file: channels: {slack: {ops: {webhook: {env: SLACK_ML_ALERTS_URL}}}}"
        );
    }

    #[test]
    fn settings_are_checked_with_the_target() {
        let (message, help) = refused("slack:broken");
        assert!(message.starts_with("slack:broken: the settings of a slack channel are not valid"), "{message}");
        assert!(help.contains("{webhook: {env: SLACK_ML_ALERTS_URL}}"), "{help}");
    }

    #[test]
    fn text_that_is_no_target_is_refused() {
        for wrong in ["", ":", "slack:", ":ml", "slack:a:b", "slack: a", "sl ack"] {
            assert!(parse_target(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_target("console"), Ok(("console", "")));
    }
}
