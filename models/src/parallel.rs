//! Work of our own on libtorch's threads.

use std::ffi::c_void;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

// `glue/product.cpp`
unsafe extern "C" {
    fn ecco_parallel(
        n: i64,
        grain: i64,
        context: *mut c_void,
        each: unsafe extern "C" fn(*mut c_void, i64, i64),
    );
}

struct Job<'a> {
    work: &'a (dyn Fn(Range<usize>) + Sync),
    /// Whether a part has panicked.
    failed: AtomicBool,
}

/// Calls with ranges that together are 0 to `n`, on as many threads as libtorch has; a thread is worth starting for `grain` of them.
///
/// # Panics
/// Where the work does.
pub fn ranges(n: usize, grain: usize, work: &(dyn Fn(Range<usize>) + Sync)) {
    let mut job = Job {
        work,
        failed: AtomicBool::new(false),
    };
    // SAFETY: the job lives as long as the call, which reads it alone.
    unsafe { ecco_parallel(n as i64, grain as i64, (&raw mut job).cast(), part) };
    assert!(!job.failed.into_inner(), "a part of the work could not be done");
}

unsafe extern "C" fn part(job: *mut c_void, from: i64, to: i64) {
    // SAFETY: the job of `ranges`, which threads only read.
    let job = unsafe { &*job.cast::<Job>() };
    // A panic cannot go on through libtorch.
    let done = catch_unwind(AssertUnwindSafe(|| (job.work)(from as usize..to as usize)));
    if done.is_err() {
        job.failed.store(true, Ordering::Relaxed);
    }
}
