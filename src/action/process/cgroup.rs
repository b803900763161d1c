//! A control group (version 2) for one attempt: nobody can leave it, and the kernel ends it as a whole.
//!
//! Only where this process may make one below its own, as under systemd with `Delegate=yes` or in a
//! container of its own. See cgroups(7) and the kernel's `cgroup-v2` document for the files used here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::table;

/// What the names of groups begin with; the number of the process that made it follows.
const PREFIX: &str = "runbook-";

/// A group without groups below it. Dropping it removes it, once it is empty.
#[derive(Debug)]
pub struct Leaf {
    folder: PathBuf,
}

impl Leaf {
    /// Makes a group for what this process starts, below its own; `None` where that is not possible.
    pub fn make() -> Option<Self> {
        let above = own_group()?;
        remove_left_over(&above);
        let folder = above.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        let leaf = Leaf { folder };
        // Kernels before 5.14 cannot end a group as a whole; then it is of no use here.
        leaf.folder.join("cgroup.kill").exists().then_some(leaf)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The most processes and bytes of all members; without the controller there is no such file, and the
    /// limits of the single process have to do.
    pub fn limit(&self, processes: Option<u32>, memory: Option<u64>) {
        let processes = processes.map(|most| ("pids.max", most.to_string()));
        let memory = memory.map(|most| ("memory.max", most.to_string()));
        for (file, value) in [processes, memory].into_iter().flatten() {
            let path = self.folder.join(file);
            if path.exists() {
                drop(fs::write(path, value));
            }
        }
    }

    /// The numbers of its processes.
    pub fn members(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Kills every member.
    pub fn kill(&self) {
        // Without the right to, the processes are killed one by one as elsewhere.
        drop(fs::write(self.folder.join("cgroup.kill"), "1"));
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        // What a successful program left running keeps its group.
        drop(fs::remove_dir(&self.folder));
    }
}

/// Removes the groups of makers that have ended, once what their programs left running has ended too: a
/// group with members cannot be removed.
fn remove_left_over(above: &Path) {
    for group in fs::read_dir(above).into_iter().flatten().flatten() {
        let name = group.file_name();
        let maker = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|pid| pid.parse().ok());
        if maker.is_some_and(|maker| table::Entry::of(maker).is_none()) {
            drop(fs::remove_dir(group.path()));
        }
    }
}

/// Moves this process into the group.
pub fn join(folder: &Path) -> io::Result<()> {
    fs::write(folder.join("cgroup.procs"), "0")
}

/// The folder of this process's group.
fn own_group() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find_map(mount_point)?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(mount.join(path))
}

/// The mount point in a line of `mountinfo` (proc_pid_mountinfo(5)) when it is that of control groups.
fn mount_point(line: &str) -> Option<PathBuf> {
    let (mount, kind) = line.split_once(" - ")?;
    let is_groups = kind.starts_with("cgroup2 ");
    mount.split(' ').nth(4).filter(|_| is_groups).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_of_version_2_is_found_among_others() {
        let old = "40 31 0:35 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids";
        let new = "41 31 0:36 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw";
        assert_eq!(mount_point(old), None);
        assert_eq!(mount_point(new), Some(PathBuf::from("/sys/fs/cgroup/unified")));
    }
}
