//! CUDA graphs: work of the same shapes on the same memory, recorded once and then asked for by one call instead of by one for
//! each of its hundreds of operations.
//!
//! `glue/graph.cpp` is on libtorch's `at::cuda::CUDAGraph`. It is a library of its own that the program carries inside and
//! opens when the first graph is recorded: it needs libtorch's CUDA half.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::NonNull;

/// What was recorded, and what libtorch keeps for it.
pub struct Graph {
    raw: NonNull<c_void>,
    calls: &'static Calls,
}

impl Graph {
    /// Does the work once, so that libraries have made all that they keep, and once more while it is recorded, which does
    /// nothing. The work may read and write what was there before, must not wait for the device, and what it gives is what each
    /// replay fills anew. Gives what went wrong otherwise.
    pub fn record<T>(
        device: usize,
        mut work: impl FnMut() -> Result<T, String>,
    ) -> Result<(Self, T), String> {
        let calls = Calls::open()?;
        let device = c_int::try_from(device).map_err(|error| error.to_string())?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: fills a pointer, and a message of the length that is told.
        told(|message, room| unsafe { (calls.enter)(device, &mut raw, message, room) })?;
        let raw = NonNull::new(raw).ok_or("libtorch gave no graph")?;
        // From here on it is ended and freed whatever happens.
        let graph = Self { raw, calls };
        work()?;
        // SAFETY: a graph that was made and is not freed.
        told(|message, room| unsafe { (calls.begin)(raw.as_ptr(), message, room) })?;
        let made = work()?;
        // SAFETY: the same.
        told(|message, room| unsafe { (calls.end)(raw.as_ptr(), message, room) })?;
        Ok((graph, made))
    }

    /// Has the device do it. Does not wait.
    pub fn replay(&self) -> Result<(), String> {
        // SAFETY: a graph that was made and is not freed.
        told(|message, room| unsafe { (self.calls.replay)(self.raw.as_ptr(), message, room) })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: a graph that was made, and is freed once.
        unsafe { (self.calls.free)(self.raw.as_ptr()) }
    }
}

/// What a call said that did not give 0.
fn told(call: impl FnOnce(*mut c_char, u64) -> c_int) -> Result<(), String> {
    let mut message = [0_u8; 512];
    let status = call(message.as_mut_ptr().cast(), message.len() as u64);
    if status == 0 {
        return Ok(());
    }
    let text = CStr::from_bytes_until_nul(&message).map_or_else(|_| "".into(), CStr::to_string_lossy);
    // Behind the first line are hints for those who write in C++. It becomes a part of a sentence.
    let first = text.lines().next().unwrap_or_default().trim();
    Err(first.trim_end_matches('.').to_owned())
}

type Raw = *mut c_void;

/// `glue/graph.cpp`
struct Calls {
    enter: unsafe extern "C" fn(c_int, *mut Raw, *mut c_char, u64) -> c_int,
    begin: unsafe extern "C" fn(Raw, *mut c_char, u64) -> c_int,
    end: unsafe extern "C" fn(Raw, *mut c_char, u64) -> c_int,
    replay: unsafe extern "C" fn(Raw, *mut c_char, u64) -> c_int,
    free: unsafe extern "C" fn(Raw),
}

impl Calls {
    #[cfg(not(cuda_graphs))]
    fn open() -> Result<&'static Self, String> {
        Err("this program was built without CUDA's headers".into())
    }

    /// Opened once.
    #[cfg(cuda_graphs)]
    fn open() -> Result<&'static Self, String> {
        static CALLS: std::sync::OnceLock<Result<Calls, String>> = std::sync::OnceLock::new();
        CALLS.get_or_init(Self::load).as_ref().map_err(Clone::clone)
    }

    #[cfg(cuda_graphs)]
    fn load() -> Result<Self, String> {
        use std::mem::transmute;

        const LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libgraph.so"));
        let library = crate::libtorch::open_on_cuda(LIBRARY).map_err(|error| error.to_string())?;
        let find = |name: &CStr| {
            // SAFETY: an open library and a C string.
            let function = unsafe { libc::dlsym(library, name.as_ptr()) };
            NonNull::new(function).ok_or_else(|| format!("{} is missing", name.to_string_lossy()))
        };
        type OnGraph = unsafe extern "C" fn(Raw, *mut c_char, u64) -> c_int;
        // SAFETY: these are the library's functions of these names, with the types that its source gives them.
        unsafe {
            Ok(Self {
                enter: transmute::<
                    NonNull<c_void>,
                    unsafe extern "C" fn(c_int, *mut Raw, *mut c_char, u64) -> c_int,
                >(find(c"ecco_graph_enter")?),
                begin: transmute::<NonNull<c_void>, OnGraph>(find(c"ecco_graph_begin")?),
                end: transmute::<NonNull<c_void>, OnGraph>(find(c"ecco_graph_end")?),
                replay: transmute::<NonNull<c_void>, OnGraph>(find(c"ecco_graph_replay")?),
                free: transmute::<NonNull<c_void>, unsafe extern "C" fn(Raw)>(find(c"ecco_graph_free")?),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The library is opened, all that it needs found in libtorch's CUDA half, and what libtorch says arrives here: all of it
    /// but the recording, which needs a GPU.
    #[test]
    fn a_machine_without_a_gpu_says_so_and_goes_on() {
        crate::libtorch::open().unwrap();
        let recorded = Graph::record(0, || Ok(7));
        match (tch::Cuda::is_available(), recorded) {
            (true, Ok((graph, 7))) => graph.replay().expect("nothing was recorded"),
            (false, Err(reason)) => assert!(reason.contains("driver"), "{reason}"),
            (_, other) => panic!("{:?}", other.map(|(_, made)| made)),
        }
        let x = tch::Tensor::ones([2], (tch::Kind::Float, tch::Device::Cpu));
        assert_eq!(crate::host::numbers(&(x + 1.0)), [2.0, 2.0]);
    }
}
