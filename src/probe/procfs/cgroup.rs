//! The memory limit a container or service manager set around a process (control groups 1 and 2).

use std::path::{Path, PathBuf};

use super::Proc;

/// A memory limit that is in force, in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::probe) struct Limit {
    pub bytes: u64,
    /// Without file contents the kernel would give up first.
    pub used: u64,
    /// Processes the kernel killed here for want of memory, where it counts them.
    pub killed: Option<u64>,
}

impl Limit {
    pub(in crate::probe) fn available(&self) -> u64 {
        self.bytes.saturating_sub(self.used)
    }
}

/// What the two versions call the same things.
struct Names {
    limit: &'static str,
    usage: &'static str,
    reclaimable: &'static str,
    events: &'static str,
}

const VERSION_1: Names = Names {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file",
    events: "memory.oom_control",
};
const VERSION_2: Names =
    Names { limit: "memory.max", usage: "memory.current", reclaimable: "inactive_file", events: "memory.events" };

/// The tightest limit on the process (`self` or a number), or `None` when it is not limited below the
/// memory of the machine. `mounts` is where control groups are mounted, `/sys/fs/cgroup`.
pub(in crate::probe) fn limit_of(proc: &Proc, process: &str, mounts: &Path, machine: u64) -> Option<Limit> {
    let groups = proc.text(&format!("{process}/cgroup")).ok()?;
    let limits = groups.lines().filter_map(|line| locate(line, mounts)).flat_map(|(names, mount, group)| {
        // A limit on any group above holds too. In a container the path of its group may not exist
        // below the mount; then the mount itself is the group, and going up ends there.
        group.ancestors().filter_map(|group| read_limit(&names, &mount.join(group))).collect::<Vec<_>>()
    });
    // Version 1 writes "no limit" as a number near 2^63.
    limits.filter(|limit| limit.bytes < machine).min_by_key(Limit::available)
}

/// The mount and the path below it that a line of `/proc/<pid>/cgroup` names.
fn locate(line: &str, mounts: &Path) -> Option<(Names, PathBuf, PathBuf)> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, group) = (parts.next()?, parts.next()?);
    let group = PathBuf::from(group.trim_start_matches('/'));
    if controllers.split(',').any(|controller| controller == "memory") {
        return Some((VERSION_1, mounts.join("memory"), group));
    }
    // Where both versions are mounted, the second has its own folder.
    let second = if mounts.join("cgroup.controllers").exists() { mounts.to_owned() } else { mounts.join("unified") };
    controllers.is_empty().then_some((VERSION_2, second, group))
}

fn read_limit(names: &Names, group: &Path) -> Option<Limit> {
    let number = |name: &str| std::fs::read_to_string(group.join(name)).ok()?.trim().parse::<u64>().ok();
    // `max`, which is no number, means no limit.
    let bytes = number(names.limit)?;
    let usage = number(names.usage)?;
    let reclaimable = counter(&group.join("memory.stat"), names.reclaimable).unwrap_or(0);
    let killed = counter(&group.join(names.events), "oom_kill");
    Some(Limit { bytes, used: usage.saturating_sub(reclaimable), killed })
}

/// The number after `name` in a file of `name number` lines.
fn counter(path: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: u64 = 8 << 30;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    fn limit(files: &[(&str, &str)]) -> Option<Limit> {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), files);
        limit_of(&Proc::at(folder.path().join("proc")), "self", &folder.path().join("cgroup"), MACHINE)
    }

    #[test]
    fn version_2_takes_the_tightest_group() {
        let found = limit(&[
            ("proc/self/cgroup", "0::/app.slice/app.service\n"),
            ("cgroup/cgroup.controllers", "memory"),
            ("cgroup/app.slice/memory.max", "1000000\n"),
            ("cgroup/app.slice/memory.current", "900000\n"),
            ("cgroup/app.slice/memory.stat", "anon 5\ninactive_file 300000\n"),
            ("cgroup/app.slice/memory.events", "oom 4\noom_kill 3\noom_group_kill 0\n"),
            ("cgroup/app.slice/app.service/memory.max", "max\n"),
            ("cgroup/app.slice/app.service/memory.current", "100\n"),
        ]);
        assert_eq!(found, Some(Limit { bytes: 1_000_000, used: 600_000, killed: Some(3) }));
        assert_eq!(found.unwrap().available(), 400_000);
    }

    #[test]
    fn version_1_inside_a_container() {
        let found = limit(&[
            ("proc/self/cgroup", "5:cpu:/docker/abc\n4:memory:/docker/abc\n0::/\n"),
            ("cgroup/memory/memory.limit_in_bytes", "536870912\n"),
            ("cgroup/memory/memory.usage_in_bytes", "536870912\n"),
            ("cgroup/memory/memory.oom_control", "under_oom 1\noom_kill 7\n"),
        ]);
        assert_eq!(found, Some(Limit { bytes: 512 << 20, used: 512 << 20, killed: Some(7) }));
        assert_eq!(found.unwrap().available(), 0);
    }

    #[test]
    fn a_limit_above_the_machine_is_none() {
        let files = [
            ("proc/self/cgroup", "4:memory:/\n"),
            ("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("cgroup/memory/memory.usage_in_bytes", "5\n"),
        ];
        assert_eq!(limit(&files), None);
        assert_eq!(limit(&[]), None);
    }
}
