//! A budget for what scripts hold, so that one cell cannot take the machine's memory.
//!
//! Rhai limits the size of each value but not their sum, and checks those limits by walking the value
//! after every call. Counting what the process's Rust code allocates costs one addition per allocation
//! instead, and covers everything: arrays, strings, captured activations. libtorch's own memory is
//! allocated in C++ and not counted.
//!
//! The same allocator counts what can be nested, so that no value is nested more deeply than the stack
//! can bear when it is freed: Rhai has no bound of its own for values.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

static ALLOCATED: AtomicIsize = AtomicIsize::new(0);
static NESTABLE: AtomicIsize = AtomicIsize::new(0);

/// The size of the box of an array or a map, and of the two boxes of a closure that holds a value
/// (a string has one of the latter).
const CONTAINER_BOX: usize = size_of::<rhai::Array>();
const CLOSURE_BOX: usize = size_of::<rhai::FnPtr>();

/// How many arrays, maps and closures scripts may hold. A value is freed, cloned and compared level by
/// level on the stack, and each level is one of these: so few fit on the stack of
/// [`STACK_BYTES`](crate::STACK_BYTES), however they are nested: a level of closures takes 240 bytes there.
pub const MOST_CONTAINERS: usize = 3_000_000;

/// The budget where the machine does not say how much memory it has.
const FALLBACK_LIMIT: usize = 4 << 30;
const SMALLEST_LIMIT: usize = 1 << 30;

/// Bytes that Rust code holds now.
pub fn allocated_bytes() -> usize {
    ALLOCATED.load(Ordering::Relaxed).max(0) as usize
}

/// Arrays, maps and closures that exist now, at most; other values of their sizes are counted too.
pub fn containers() -> usize {
    NESTABLE.load(Ordering::Relaxed).max(0) as usize / 2
}

/// How much scripts may hold: half of the machine's (or container's) memory.
pub fn default_limit() -> usize {
    let machine = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| total_memory(&text));
    let container = std::fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse::<usize>().ok());
    let total = [machine, container].into_iter().flatten().min();
    total.map_or(FALLBACK_LIMIT, |total| (total / 2).max(SMALLEST_LIMIT))
}

/// `MemTotal` of `/proc/meminfo` in bytes.
fn total_memory(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    line.split_whitespace()
        .nth(1)?
        .parse::<usize>()
        .ok()?
        .checked_mul(1024)
}

/// The system allocator, counted. Scripts are bounded in programs that install it as their global
/// allocator.
pub struct CountingAllocator;

// SAFETY: every call is passed on unchanged to the system allocator.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, passed on.
        let pointer = unsafe { System.alloc(layout) };
        count(pointer, layout.size() as isize);
        count_container(layout.size(), 1);
        pointer
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise, passed on.
        let pointer = unsafe { System.alloc_zeroed(layout) };
        count(pointer, layout.size() as isize);
        count_container(layout.size(), 1);
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        count_container(layout.size(), -1);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise, passed on.
        let moved = unsafe { System.realloc(pointer, layout, new_size) };
        count(moved, new_size as isize - layout.size() as isize);
        count_container(layout.size(), -1);
        count_container(new_size, 1);
        moved
    }
}

fn count(pointer: *mut u8, bytes: isize) {
    if !pointer.is_null() {
        ALLOCATED.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Half a container for each box of a closure's size, since a closure has two.
fn count_container(bytes: usize, sign: isize) {
    if bytes == CONTAINER_BOX {
        NESTABLE.fetch_add(2 * sign, Ordering::Relaxed);
    } else if bytes == CLOSURE_BOX {
        NESTABLE.fetch_add(sign, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: CountingAllocator = CountingAllocator;

    #[test]
    fn counts_arrays() {
        let before = containers();
        let held: Vec<rhai::Dynamic> = (0..1000).map(|_| rhai::Array::new().into()).collect();
        // Other tests run at the same time.
        assert!(containers() + 100 > before + held.len());
    }

    #[test]
    fn counts_what_is_held() {
        let before = allocated_bytes();
        let held = vec![0_u8; 64 << 20];
        assert!(
            allocated_bytes() >= before + (60 << 20),
            "64 MB held, not counted"
        );
        drop(held);
        assert!(
            allocated_bytes() < before + (32 << 20),
            "freed memory still counted"
        );
    }

    #[test]
    fn reads_the_machines_memory() {
        assert_eq!(
            total_memory("MemTotal:       16384 kB\nMemFree: 1 kB\n"),
            Some(16 << 20)
        );
        assert_eq!(total_memory("nothing here"), None);
    }
}
