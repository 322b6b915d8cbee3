//! What the kernel takes of the machine: the `usage_reply`, with the fields that ipykernel has in it.
//!
//! Read from `/proc`. Shares of time are those since the last request; the first has none to compare
//! with and says 0 for the kernel and nothing for the host, as ipykernel does.

use std::time::Instant;

use serde_json::{Map, Value, json};

#[derive(Default)]
pub(crate) struct Usage {
    last: Option<Times>,
}

/// Processor time so far, in clock ticks.
#[derive(Clone, Copy)]
struct Times {
    when: Instant,
    kernel: u64,
    host_busy: u64,
    host_total: u64,
}

impl Usage {
    /// The content of a `usage_reply`. Memory in bytes; `kernel_cpu` is 100 for one processor.
    pub(crate) fn reply(&mut self) -> Value {
        let stat = read("/proc/stat");
        let mut content = json!({
            "status": "ok",
            "hostname": read("/proc/sys/kernel/hostname").trim(),
            "pid": std::process::id(),
            "kernel_cpu": 0.0,
            "kernel_memory": kernel_memory(),
            "cpu_count": cpu_count(&stat),
            "host_virtual_memory": virtual_memory(&read("/proc/meminfo")),
        });
        let now = times(&stat, &read("/proc/self/stat"));
        if let (Some(now), Some(last)) = (now, self.last) {
            let seconds = now.when.duration_since(last.when).as_secs_f64().max(1e-3);
            let ticks = now.kernel.saturating_sub(last.kernel) as f64;
            content["kernel_cpu"] = json!(rounded(100.0 * ticks / ticks_per_second() / seconds));
            let total = now.host_total.saturating_sub(last.host_total);
            let busy = now.host_busy.saturating_sub(last.host_busy);
            if total > 0 {
                content["host_cpu_percent"] = json!(rounded(100.0 * busy as f64 / total as f64));
            }
        }
        self.last = now.or(self.last);
        content
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn rounded(percent: f64) -> f64 {
    (percent * 10.0).round() / 10.0
}

fn ticks_per_second() -> f64 {
    // SAFETY: asks for a number, touches no memory of ours.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    if ticks > 0 { ticks as f64 } else { 100.0 }
}

fn cpu_count(stat: &str) -> usize {
    let count = stat
        .lines()
        .filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "))
        .count();
    count.max(1)
}

/// The kernel's share of memory that it has in common with others counts in part, where the system
/// says so.
fn kernel_memory() -> u64 {
    let rollup = field(&read("/proc/self/smaps_rollup"), "Pss");
    rollup
        .or_else(|| field(&read("/proc/self/status"), "VmRSS"))
        .unwrap_or(0)
}

/// A field of a file of the form `Name:   123 kB`, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kilobytes: u64 = rest.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes.saturating_mul(1024))
}

/// The fields of psutil's `virtual_memory`.
fn virtual_memory(meminfo: &str) -> Value {
    let get = |name| field(meminfo, name).unwrap_or(0);
    let (total, free) = (get("MemTotal"), get("MemFree"));
    let available = field(meminfo, "MemAvailable").unwrap_or(free);
    let cached = get("Cached").saturating_add(get("SReclaimable"));
    let used = total.saturating_sub(available);
    let percent = if total > 0 {
        100.0 * used as f64 / total as f64
    } else {
        0.0
    };
    let fields = [
        ("total", json!(total)),
        ("available", json!(available)),
        ("percent", json!(rounded(percent))),
        ("used", json!(used)),
        ("free", json!(free)),
        ("active", json!(get("Active"))),
        ("inactive", json!(get("Inactive"))),
        ("buffers", json!(get("Buffers"))),
        ("cached", json!(cached)),
        ("shared", json!(get("Shmem"))),
        ("slab", json!(get("Slab"))),
    ];
    let fields: Map<String, Value> = fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    fields.into()
}

/// From `/proc/stat` and `/proc/self/stat`.
fn times(stat: &str, own: &str) -> Option<Times> {
    let host: Vec<u64> = stat
        .lines()
        .next()?
        .split_whitespace()
        .skip(1)
        // What guests took is in the first two already.
        .take(8)
        .map_while(|ticks| ticks.parse().ok())
        .collect();
    let host_total = host.iter().sum();
    let idle: u64 = host.iter().skip(3).take(2).sum();
    // The name of the program, in parentheses, may hold anything.
    let (_, own) = own.rsplit_once(')')?;
    let own: Vec<&str> = own.split_whitespace().collect();
    let (user, system): (u64, u64) = (own.get(11)?.parse().ok()?, own.get(12)?.parse().ok()?);
    Some(Times {
        when: Instant::now(),
        kernel: user + system,
        host_busy: host_total - idle,
        host_total,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_files_of_the_kernel() {
        let stat = "cpu  10 20 30 400 50 6 7 8 9 9\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n";
        let own = "42 (a ) name) S 1 1 1 0 -1 4194304 100 0 0 0 70 30 0 0 20 0 1 0 100";
        let times = times(stat, own).unwrap();
        assert_eq!(cpu_count(stat), 2);
        assert_eq!((times.kernel, times.host_busy, times.host_total), (100, 81, 531));
        let memory =
            virtual_memory("MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 250 kB\nCached: 1 kB\n");
        assert_eq!(
            (&memory["total"], &memory["percent"]),
            (&json!(1_024_000), &json!(75.0))
        );
        assert_eq!(
            field("Active(anon): 5 kB\nActive: 7 kB", "Active"),
            Some(7 * 1024)
        );
    }

    #[test]
    fn the_second_reply_knows_shares_of_time() {
        let mut usage = Usage::default();
        let first = usage.reply();
        assert!(first["kernel_memory"].as_u64().unwrap() > 100_000, "{first}");
        assert!(first.get("host_cpu_percent").is_none());
        let start = Instant::now();
        while start.elapsed().as_millis() < 150 {}
        let second = usage.reply();
        assert!(second["kernel_cpu"].as_f64().unwrap() > 5.0, "{second}");
        assert!(second["host_cpu_percent"].as_f64().is_some(), "{second}");
    }
}
