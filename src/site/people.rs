//! Whom a name of the site file stands for: a person by their logins, a group by its members.

use std::collections::BTreeSet;

use super::{Contact, Site};

/// Why a name stands for nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeopleError {
    #[error("{name} is not among the `contacts` of the site file")]
    Unknown { name: String },
    #[error("the group {name} of the site file is a member of itself")]
    Cycle { name: String },
}

impl Site {
    /// The logins of everyone these people and groups stand for.
    pub fn logins_of(&self, names: &[String]) -> Result<BTreeSet<String>, PeopleError> {
        let mut logins = BTreeSet::new();
        for name in names {
            self.add_logins(name, &mut Vec::new(), &mut logins)?;
        }
        Ok(logins)
    }

    fn add_logins<'a>(
        &'a self,
        name: &'a str,
        within: &mut Vec<&'a str>,
        logins: &mut BTreeSet<String>,
    ) -> Result<(), PeopleError> {
        if within.contains(&name) {
            return Err(PeopleError::Cycle { name: name.to_owned() });
        }
        let contact = self.contacts.get(name).ok_or_else(|| PeopleError::Unknown { name: name.to_owned() })?;
        within.push(name);
        for member in &contact.members {
            self.add_logins(member, within, logins)?;
        }
        within.pop();
        logins.extend(contact.logins.iter().cloned());
        // A group logs in nowhere under its own name.
        if contact.logins.is_empty() && contact.members.is_empty() {
            logins.insert(name.to_owned());
        }
        Ok(())
    }

    /// A contact and, of a group, its members and theirs: those of whom more than the name is known, each once.
    pub fn people_of<'a>(&'a self, name: &'a str) -> Vec<(&'a str, &'a Contact)> {
        let mut people = Vec::new();
        self.add_people(name, &mut people);
        people.retain(|(_, contact)| contact.details().next().is_some());
        people
    }

    fn add_people<'a>(&'a self, name: &'a str, people: &mut Vec<(&'a str, &'a Contact)>) {
        let Some(contact) = self.contacts.get(name).filter(|_| people.iter().all(|(known, _)| *known != name)) else {
            return;
        };
        people.push((name, contact));
        contact.members.iter().for_each(|member| self.add_people(member, people));
    }

    /// Names with what somebody needs who wants to talk to them: `on-call (On-call engineer, +49 30 123456)`.
    pub fn introduce(&self, names: &[String]) -> String {
        names.iter().map(|name| self.introduced(name)).collect::<Vec<_>>().join(", ")
    }

    fn introduced(&self, name: &str) -> String {
        let people = self.people_of(name).into_iter().map(|(person, contact)| {
            let details = contact.details().collect::<Vec<_>>().join(", ");
            if person == name { details } else { format!("{person}: {details}") }
        });
        match people.collect::<Vec<_>>().join("; ") {
            details if details.is_empty() => name.to_owned(),
            details => format!("{name} ({details})"),
        }
    }
}

impl Contact {
    /// What is known of this one besides the name.
    fn details(&self) -> impl Iterator<Item = &str> {
        [&self.title, &self.phone, &self.email].into_iter().flatten().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(contacts: &[(&str, &[&str], &[&str])]) -> Site {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let contact = |(name, members, logins): &(&str, &[&str], &[&str])| {
            ((*name).to_owned(), Contact { members: owned(members), logins: owned(logins), ..Contact::default() })
        };
        Site { contacts: contacts.iter().map(contact).collect(), ..Site::default() }
    }

    fn logins(site: &Site, name: &str) -> Result<Vec<String>, PeopleError> {
        site.logins_of(&[name.to_owned()]).map(|logins| logins.into_iter().collect())
    }

    #[test]
    fn a_group_stands_for_the_logins_of_its_members_and_of_their_members() {
        let site = site(&[
            ("all", &["team", "eve"], &[]),
            ("team", &["ada", "grace"], &[]),
            ("ada", &[], &[]),
            ("grace", &[], &["ghopper", "grace"]),
            ("eve", &[], &[]),
        ]);
        assert_eq!(logins(&site, "all").unwrap(), ["ada", "eve", "ghopper", "grace"]);
        assert_eq!(logins(&site, "team").unwrap(), ["ada", "ghopper", "grace"]);
    }

    #[test]
    fn a_group_that_contains_itself_and_a_name_nobody_knows_are_refused() {
        let site = site(&[("a", &["b"], &[]), ("b", &["a"], &[]), ("c", &["d"], &[])]);
        assert_eq!(logins(&site, "a"), Err(PeopleError::Cycle { name: "a".into() }));
        assert_eq!(logins(&site, "c"), Err(PeopleError::Unknown { name: "d".into() }));
    }

    #[test]
    fn people_are_introduced_with_how_they_are_reached() {
        let mut site = site(&[("team", &["ada", "eve", "team"], &[]), ("ada", &[], &[]), ("eve", &[], &[])]);
        assert_eq!(site.introduced("team"), "team");
        let ada =
            Contact { phone: Some("+49 30 1".into()), email: Some("ada@example.com".into()), ..Contact::default() };
        site.contacts.insert("ada".into(), ada);
        assert_eq!(site.introduced("ada"), "ada (+49 30 1, ada@example.com)");
        site.contacts.get_mut("team").unwrap().title = Some("ML engineering".into());
        assert_eq!(site.introduced("team"), "team (ML engineering; ada: +49 30 1, ada@example.com)");
        assert_eq!(site.introduced("slack:ml-alerts"), "slack:ml-alerts");
    }
}
