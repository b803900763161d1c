//! Names of users and groups.

use std::collections::HashMap;
use std::path::Path;

/// Users and groups of the local files, read once a step. Accounts of a directory service appear as
/// numbers: asking the system's resolver could wait for a network.
pub(super) struct Names {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Names {
    pub(super) fn read() -> Self {
        Names { users: table(Path::new("/etc/passwd")), groups: table(Path::new("/etc/group")) }
    }

    pub(super) fn user(&mut self, number: u32) -> String {
        self.users.entry(number).or_insert_with(|| number.to_string()).clone()
    }

    pub(super) fn group(&mut self, number: u32) -> String {
        self.groups.entry(number).or_insert_with(|| number.to_string()).clone()
    }
}

/// Lines of `name:x:number:…`; the first name of a number counts, as for the system.
fn table(path: &Path) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(number)) = (fields.next(), fields.nth(1).and_then(|number| number.parse().ok())) {
            names.entry(number).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_where_there_are_some() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        std::fs::write(&path, "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\napp:x:1000:\n# odd\n+::::\n").unwrap();
        let mut names = Names { users: table(&path), groups: table(&folder.path().join("absent")) };
        assert_eq!(names.user(0), "root");
        assert_eq!(names.user(1000), "app");
        assert_eq!(names.user(4_000_000), "4000000");
        assert_eq!(names.group(0), "0");
    }
}
