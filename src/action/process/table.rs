//! The kernel's table of processes, read from `/proc`.

use std::path::Path;

use rustix::process::Pid;

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub pid: i32,
    /// The kernel's letter: `R` running, `S` sleeping, `Z` ended but not reaped.
    pub state: char,
    pub group: i32,
    pub session: i32,
    /// Clock ticks between the start of the machine and that of the process. A pid is used again, a
    /// pid with its start is not.
    pub start: u64,
}

impl Entry {
    /// The process with this number, unless there is none.
    pub fn of(pid: i32) -> Option<Self> {
        Entry::parse(pid, &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Still doing something: neither ended nor being removed.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }

    fn parse(pid: i32, stat: &str) -> Option<Self> {
        // The name, in parentheses, may hold spaces and parentheses; the fields start behind its last.
        let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
        Some(Entry {
            pid,
            state: fields.first()?.chars().next()?,
            group: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
        })
    }
}

/// The members of a process group that are alive.
pub fn alive_in_group(group: Pid) -> Vec<Entry> {
    all().into_iter().filter(|entry| entry.group == group.as_raw_nonzero().get() && entry.is_alive()).collect()
}

fn all() -> Vec<Entry> {
    let Ok(folder) = Path::new("/proc").read_dir() else { return Vec::new() };
    folder.flatten().filter_map(|item| Entry::of(item.file_name().to_str()?.parse().ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_does_not_shift_the_fields() {
        let stat = "7 (a) Z 9 (b) S 1 5 6 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242 0";
        let entry = Entry::parse(7, stat).unwrap();
        assert_eq!(entry, Entry { pid: 7, state: 'S', group: 5, session: 6, start: 4242 });
    }

    #[test]
    fn this_process_is_in_the_table() {
        let me = std::process::id() as i32;
        let entry = Entry::of(me).unwrap();
        assert!(entry.is_alive());
        assert!(alive_in_group(Pid::from_raw(entry.group).unwrap()).iter().any(|other| other.pid == me));
    }
}
