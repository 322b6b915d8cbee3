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

use rhai::{AST, ASTNode, Dynamic, Expr, Position, Scope, Stmt};

use super::room::heap_size;

static ALLOCATED: AtomicIsize = AtomicIsize::new(0);
static NESTABLE: AtomicIsize = AtomicIsize::new(0);

/// The size of the box of an array or a map, and of the two boxes of a closure that holds a value
/// (a string has one of the latter).
const CONTAINER_BOX: usize = size_of::<rhai::Array>();
const CLOSURE_BOX: usize = size_of::<rhai::FnPtr>();

/// How many arrays, maps and closures scripts may hold at most, on a stack of [`STACK_BYTES`](crate::STACK_BYTES).
pub const MOST_CONTAINERS: usize = 3_000_000;

/// The budget where the machine does not say how much memory it has.
const FALLBACK_LIMIT: usize = 4 << 30;
/// What is left to the system, and to libtorch, of what is free: a part of all, and at most so much, in bytes.
const RESERVED_PART: u64 = 32;
const MOST_RESERVED: u64 = 256 << 20;

/// Bytes that Rust code holds now.
pub fn allocated_bytes() -> usize {
    ALLOCATED.load(Ordering::Relaxed).max(0) as usize
}

/// Arrays, maps and closures that exist now, at most; other values of their sizes are counted too.
pub fn containers() -> usize {
    NESTABLE.load(Ordering::Relaxed).max(0) as usize / 2
}

/// The most that scripts may hold where there are `total` bytes, they hold `held`, and `free` more could be taken. However
/// much is free, half of the machine's (or container's) memory; and half of what they hold and what is free, since Rhai
/// copies a value without a question where a script reads it, and a copy of everything has to find room.
pub(super) fn limit(total: Option<u64>, held: usize, free: usize) -> usize {
    let half = total.map_or(FALLBACK_LIMIT, |total| {
        usize::try_from(total / 2).unwrap_or(usize::MAX)
    });
    half.min(held.saturating_add(free) / 2)
}

/// A variable that `script` reads, and what that may take, where it is more than `free` bytes.
pub(super) fn too_large_a_copy(script: &AST, scope: &Scope, free: usize) -> Option<(String, usize)> {
    let mut found = None;
    script.walk(&mut |path: &[ASTNode]| {
        let [.., parent, ASTNode::Expr(Expr::Variable(variable, _, at))] = path else {
            return true;
        };
        let name = variable.1.as_str();
        let size = scope.get(name).map_or(0, |value| may_take(parent, *at, value));
        if size > free {
            found = Some((name.to_owned(), size));
        }
        found.is_none()
    });
    found
}

/// What it may take to read a variable in its place. What is assigned to, and what a method is called on, is not copied,
/// and a string never is; but functions and operators get copies and make one value of two.
fn may_take(parent: &ASTNode, at: Position, value: &Dynamic) -> usize {
    match parent {
        ASTNode::Stmt(Stmt::Assignment(sides)) if sides.1.lhs.position() == at => 0,
        ASTNode::Expr(Expr::Dot(sides, ..) | Expr::Index(sides, ..)) if sides.lhs.position() == at => 0,
        ASTNode::Expr(Expr::FnCall(..) | Expr::InterpolatedString(..))
        | ASTNode::Stmt(Stmt::Assignment(..)) => 2 * heap_size(value),
        _ if value.is_string() => 0,
        _ => heap_size(value),
    }
}

/// How little of `total` bytes may be free while a cell runs that begins with `free`: whatever takes the memory, a cell that
/// goes on is killed. One that begins with less may take half of what there is, so that it can still free values.
pub(super) fn least_free(total: u64, free: u64) -> u64 {
    (total / RESERVED_PART).min(MOST_RESERVED).min(free / 2)
}

/// How many arrays, maps and closures scripts may hold on a stack of so many bytes. A value is freed, cloned and
/// compared level by level on the stack, and each level is one of these: so few fit, however they are nested. A level
/// of closures takes 240 bytes there.
pub(super) fn most_containers(stack_bytes: usize) -> usize {
    let part = stack_bytes as f64 / crate::STACK_BYTES as f64;
    MOST_CONTAINERS.min((part * MOST_CONTAINERS as f64) as usize)
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
    fn a_smaller_stack_bears_fewer_levels() {
        assert_eq!(most_containers(crate::STACK_BYTES), MOST_CONTAINERS);
        assert_eq!(most_containers(2 * crate::STACK_BYTES), MOST_CONTAINERS);
        assert_eq!(most_containers(crate::STACK_BYTES / 16), MOST_CONTAINERS / 16);
    }

    #[test]
    fn something_is_left_to_the_system() {
        assert_eq!(least_free(64 << 30, 32 << 30), MOST_RESERVED);
        assert_eq!(least_free(3200, 1000), 100);
        assert_eq!(least_free(3200, 80), 40);
    }

    #[test]
    fn scripts_hold_half() {
        assert_eq!(limit(Some(1000), 0, 2000), 500);
        assert_eq!(limit(Some(1000), 100, 300), 200);
        assert_eq!(limit(None, 0, usize::MAX), FALLBACK_LIMIT);
    }
}
