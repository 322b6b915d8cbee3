//! How much memory there is, and how much of it is free, as the system says and as the container says.
//!
//! A container has less than the machine, and whoever takes more is killed. Its limit stands on a control group, of
//! version 1 or 2, this process's own or one above it; a shell's (`ulimit -v`, `-d`) is the process's own.

/// Reads one of the system's files, as text.
type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

/// How much memory this process may take, in bytes: the machine's, or less where less is allowed.
pub fn total_memory() -> Option<u64> {
    total(&system)
}

/// How much more this process can take now without swapping or being killed, in bytes.
pub fn free_memory() -> Option<u64> {
    free(&system)
}

/// A bound on this process's memory, and who set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryLimit {
    /// `control group /sys/fs/cgroup/jobs.slice`, `ulimit -v`.
    pub set_by: String,
    /// In bytes.
    pub bytes: u64,
}

/// What bounds this process's memory besides the machine.
pub fn memory_limits() -> Vec<MemoryLimit> {
    limits(&system)
}

fn system(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn total(read: Read) -> Option<u64> {
    let machine = field(&read("/proc/meminfo")?, "MemTotal:");
    let groups = groups(read).into_iter().map(|group| group.limit);
    let own = own_limits(read).into_iter().map(|own| own.limit);
    machine.into_iter().chain(groups).chain(own).min()
}

fn free(read: Read) -> Option<u64> {
    let machine = field(&read("/proc/meminfo")?, "MemAvailable:");
    let groups = groups(read).into_iter().map(|group| {
        // What was read from files and not touched for a while is given back at once.
        let held = group.held.saturating_sub(group.given_back);
        group.limit.saturating_sub(held)
    });
    let own = own_limits(read)
        .into_iter()
        .map(|own| own.limit.saturating_sub(own.held));
    machine.into_iter().chain(groups).chain(own).min()
}

fn limits(read: Read) -> Vec<MemoryLimit> {
    let groups = groups(read).into_iter().map(|group| MemoryLimit {
        set_by: format!("control group {}", group.folder),
        bytes: group.limit,
    });
    let own = own_limits(read).into_iter().map(|own| MemoryLimit {
        set_by: format!("ulimit {}", own.flag),
        bytes: own.limit,
    });
    groups.chain(own).collect()
}

/// `MemTotal:  16384 kB` in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// A control group with a limit, in bytes.
struct Group {
    folder: String,
    limit: u64,
    held: u64,
    given_back: u64,
}

/// The names of what a control group says, by version.
struct Version {
    /// What a line of `/proc/self/cgroup` has between its colons.
    controller: &'static str,
    mount: &'static str,
    limit: &'static str,
    held: &'static str,
    given_back: &'static str,
}

const VERSIONS: [Version; 2] = [
    Version {
        controller: "",
        mount: "/sys/fs/cgroup",
        limit: "memory.max",
        held: "memory.current",
        given_back: "inactive_file ",
    },
    Version {
        controller: "memory",
        mount: "/sys/fs/cgroup/memory",
        limit: "memory.limit_in_bytes",
        held: "memory.usage_in_bytes",
        given_back: "total_inactive_file ",
    },
];

/// The groups that this process is in, and those above them, as far as they have a limit. Inside of a container the
/// path may be the host's, and not be there; then what is mounted is the container's own.
fn groups(read: Read) -> Vec<Group> {
    let Some(own) = read("/proc/self/cgroup") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for version in &VERSIONS {
        let path = own.lines().find_map(|line| path_of(line, version.controller));
        let mut path = path.unwrap_or_default().trim_end_matches('/').to_owned();
        loop {
            found.extend(group(read, version, &format!("{}{path}", version.mount)));
            match path.rfind('/') {
                Some(parent) => path.truncate(parent),
                None => break,
            }
        }
    }
    found
}

/// `/user.slice` of `0::/user.slice`, `/job` of `4:cpu,memory:/job`.
fn path_of<'a>(line: &'a str, controller: &str) -> Option<&'a str> {
    let mut parts = line.splitn(3, ':').skip(1);
    let is_its = parts.next()?.split(',').any(|name| name == controller);
    parts.next().filter(|_| is_its)
}

fn group(read: Read, version: &Version, folder: &str) -> Option<Group> {
    let number = |name: &str| -> Option<u64> { read(&format!("{folder}/{name}"))?.trim().parse().ok() };
    // Without a limit it says `max`, or a number near the largest.
    let limit = number(version.limit).filter(|&limit| limit < 1 << 60)?;
    let held = number(version.held)?;
    let stat = read(&format!("{folder}/memory.stat")).unwrap_or_default();
    let given_back = stat
        .lines()
        .find_map(|line| line.strip_prefix(version.given_back));
    Some(Group {
        folder: folder.to_owned(),
        limit,
        held,
        given_back: given_back
            .and_then(|bytes| bytes.trim().parse().ok())
            .unwrap_or(0),
    })
}

/// What a shell's `ulimit` allows, in bytes.
struct OwnLimit {
    flag: &'static str,
    limit: u64,
    held: u64,
}

fn own_limits(read: Read) -> Vec<OwnLimit> {
    let (limits, status) = (read("/proc/self/limits"), read("/proc/self/status"));
    let (limits, status) = (limits.unwrap_or_default(), status.unwrap_or_default());
    let of = |flag: &'static str, limit: &str, held: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(limit))?;
        // The first number is the limit that counts; without one it says `unlimited`.
        let limit = line.split_whitespace().next()?.parse().ok()?;
        let held = field(&status, held)?;
        Some(OwnLimit { flag, limit, held })
    };
    let found = [
        of("-v", "Max address space", "VmSize:"),
        of("-d", "Max data size", "VmData:"),
    ];
    found.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       16000 kB\nMemFree: 1 kB\nMemAvailable:    8000 kB\n";

    /// The system's files.
    fn reading<'a>(files: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> {
        |path| {
            let text = files
                .iter()
                .find(|(name, _)| *name == path)
                .map(|(_, text)| *text);
            text.or((path == "/proc/meminfo").then_some(MEMINFO))
                .map(str::to_owned)
        }
    }

    /// Total and free, in kB, where the system's files are these.
    fn found(files: &[(&str, &str)]) -> (Option<u64>, Option<u64>) {
        let read = reading(files);
        let kilobytes = |bytes: u64| bytes / 1024;
        (total(&read).map(kilobytes), free(&read).map(kilobytes))
    }

    #[test]
    fn a_machine_without_containers_has_what_it_has() {
        assert_eq!(found(&[]), (Some(16_000), Some(8_000)));
        let unlimited = [
            ("/proc/self/cgroup", "0::/\n"),
            ("/sys/fs/cgroup/memory.max", "max\n"),
            ("/sys/fs/cgroup/memory.current", "1024\n"),
        ];
        assert_eq!(found(&unlimited), (Some(16_000), Some(8_000)));
        assert!(free_memory() <= total_memory());
    }

    #[test]
    fn the_least_of_the_groups_above_counts() {
        let files = [
            ("/proc/self/cgroup", "0::/jobs.slice/step\n"),
            ("/sys/fs/cgroup/jobs.slice/memory.max", "4096000\n"),
            ("/sys/fs/cgroup/jobs.slice/memory.current", "3072000\n"),
            (
                "/sys/fs/cgroup/jobs.slice/memory.stat",
                "anon 1\ninactive_file 1024000\nactive_file 7\n",
            ),
            ("/sys/fs/cgroup/jobs.slice/step/memory.max", "max\n"),
            ("/sys/fs/cgroup/jobs.slice/step/memory.current", "3072000\n"),
        ];
        assert_eq!(found(&files), (Some(4_000), Some(2_000)));
        let limit = MemoryLimit {
            set_by: "control group /sys/fs/cgroup/jobs.slice".into(),
            bytes: 4_096_000,
        };
        assert_eq!(super::limits(&reading(&files)), [limit]);
    }

    #[test]
    fn version_1_is_read_and_a_path_that_is_not_there_is_passed_over() {
        let files = [
            (
                "/proc/self/cgroup",
                "9:name=systemd:/\n4:cpu,memory:/docker/1234\n0::/\n",
            ),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "2048000\n"),
            ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1024000\n"),
            (
                "/sys/fs/cgroup/memory/memory.stat",
                "inactive_file 9999999\ntotal_inactive_file 512000\n",
            ),
        ];
        assert_eq!(found(&files), (Some(2_000), Some(1_500)));
        let unlimited = [
            files[0],
            (
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            files[2],
        ];
        assert_eq!(found(&unlimited), (Some(16_000), Some(8_000)));
    }

    #[test]
    fn what_a_shell_allows_counts() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max data size             unlimited            unlimited            bytes     \n\
                      Max address space         1024000              unlimited            bytes     \n";
        let files = [
            ("/proc/self/limits", limits),
            (
                "/proc/self/status",
                "VmPeak: 900 kB\nVmSize:\t     600 kB\nVmData: 5 kB\n",
            ),
        ];
        assert_eq!(found(&files), (Some(1_000), Some(400)));
        let limit = MemoryLimit {
            set_by: "ulimit -v".into(),
            bytes: 1_024_000,
        };
        assert_eq!(super::limits(&reading(&files)), [limit]);
    }
}
