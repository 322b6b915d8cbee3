//! How large the stack of the current thread is.

/// In bytes; that of a session's thread, where the system does not say.
pub(super) fn size() -> usize {
    of_this_thread().unwrap_or(crate::STACK_BYTES)
}

#[cfg(target_os = "linux")]
fn of_this_thread() -> Option<usize> {
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut start, mut bytes) = (std::ptr::null_mut(), 0);
    // SAFETY: the attributes are written by the first call, read by the second and freed by the third, which are made
    // only if the first succeeds; the others write to what they are given.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return None;
        }
        let found = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut start, &raw mut bytes);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        (found == 0).then_some(bytes)
    }
}

#[cfg(not(target_os = "linux"))]
fn of_this_thread() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_knows_its_stack() {
        let thread = std::thread::Builder::new()
            .stack_size(48 << 20)
            .spawn(super::size);
        let bytes = thread.expect("a thread").join().expect("a size");
        assert!(bytes.abs_diff(48 << 20) < 1 << 20, "{bytes}");
    }
}
