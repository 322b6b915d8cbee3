//! A GPU's memory: what is there and free, asked of its driver; what is in tensors, asked of libtorch, which keeps what is
//! freed for itself until it is told to give it back.

use std::ffi::{CStr, c_int, c_uint, c_void};
use std::mem::transmute;

type Status = c_int;
type Context = *mut c_void;

/// The driver's functions for asking. A context is made current for the question and given back: it is the one that
/// libtorch uses, too.
#[derive(Clone, Copy)]
struct Driver {
    init: unsafe extern "C" fn(c_uint) -> Status,
    device: unsafe extern "C" fn(*mut c_int, c_int) -> Status,
    retain: unsafe extern "C" fn(*mut Context, c_int) -> Status,
    release: unsafe extern "C" fn(c_int) -> Status,
    push: unsafe extern "C" fn(Context) -> Status,
    pop: unsafe extern "C" fn(*mut Context) -> Status,
    memory: unsafe extern "C" fn(*mut usize, *mut usize) -> Status,
}

/// Bytes of a GPU's memory, as its driver counts them, over all processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    pub free: u64,
    pub total: u64,
}

/// Bytes that this process has on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tensors {
    /// In tensors now.
    pub now: u64,
    /// The most there have been at a time.
    pub peak: u64,
    /// Taken from the driver: tensors, and what libtorch keeps for the next ones.
    pub reserved: u64,
}

/// A GPU's memory, by its number among the visible ones; `None` where there is no driver or no such GPU.
pub fn memory(index: usize) -> Option<Memory> {
    Driver::open()?.ask(index)
}

/// What this process has on a GPU; nothing before it was first used.
pub fn tensors(index: usize) -> Tensors {
    let mut numbers = [0; 3];
    let Ok(index) = c_int::try_from(index) else {
        return Tensors::default();
    };
    // SAFETY: fills three numbers; exceptions end there.
    match unsafe { ecco_gpu_tensors(index, numbers.as_mut_ptr()) } {
        0 => Tensors {
            now: numbers[0],
            peak: numbers[1],
            reserved: numbers[2],
        },
        _ => Tensors::default(),
    }
}

/// Gives what libtorch keeps of freed memory back to the driver, on all GPUs: for the next model, and for other
/// programs. It waits for the GPUs, and what comes next has to ask the driver again; so only after large things.
pub fn give_back() {
    // SAFETY: takes nothing; exceptions end there.
    let _ = unsafe { ecco_gpu_give_back() };
}

// `glue/memory.cpp`
unsafe extern "C" {
    fn ecco_gpu_tensors(device: c_int, numbers: *mut u64) -> c_int;
    fn ecco_gpu_give_back() -> c_int;
}

impl Driver {
    fn open() -> Option<Self> {
        // SAFETY: loads the driver's library by its name, for good.
        let library = unsafe { libc::dlopen(c"libcuda.so.1".as_ptr(), libc::RTLD_LAZY) };
        if library.is_null() {
            return None;
        }
        let find = |name: &CStr| {
            // SAFETY: an open library and a C string.
            let function = unsafe { libc::dlsym(library, name.as_ptr()) };
            (!function.is_null()).then_some(function)
        };
        // SAFETY: these are the driver's functions of these names, with the types that its header gives them.
        unsafe {
            Some(Self {
                init: transmute::<*mut c_void, unsafe extern "C" fn(c_uint) -> Status>(find(c"cuInit")?),
                device: transmute::<*mut c_void, unsafe extern "C" fn(*mut c_int, c_int) -> Status>(find(
                    c"cuDeviceGet",
                )?),
                retain: transmute::<*mut c_void, unsafe extern "C" fn(*mut Context, c_int) -> Status>(find(
                    c"cuDevicePrimaryCtxRetain",
                )?),
                release: transmute::<*mut c_void, unsafe extern "C" fn(c_int) -> Status>(find(
                    c"cuDevicePrimaryCtxRelease_v2",
                )?),
                push: transmute::<*mut c_void, unsafe extern "C" fn(Context) -> Status>(find(
                    c"cuCtxPushCurrent_v2",
                )?),
                pop: transmute::<*mut c_void, unsafe extern "C" fn(*mut Context) -> Status>(find(
                    c"cuCtxPopCurrent_v2",
                )?),
                memory: transmute::<*mut c_void, unsafe extern "C" fn(*mut usize, *mut usize) -> Status>(
                    find(c"cuMemGetInfo_v2")?,
                ),
            })
        }
    }

    fn ask(self, index: usize) -> Option<Memory> {
        let index = c_int::try_from(index).ok()?;
        let (mut device, mut context) = (0, std::ptr::null_mut());
        let is_good = |status: Status| (status == 0).then_some(());
        // SAFETY: pointers to locals of the types that the functions fill; what is retained is released, what is
        // pushed is popped.
        unsafe {
            is_good((self.init)(0))?;
            is_good((self.device)(&mut device, index))?;
            is_good((self.retain)(&mut context, device))?;
            let memory = self.in_context(context);
            (self.release)(device);
            memory
        }
    }

    /// # Safety
    /// The context must be retained.
    unsafe fn in_context(self, mut context: Context) -> Option<Memory> {
        let (mut free, mut total) = (0, 0);
        // SAFETY: as the caller says; the pointers are to locals.
        unsafe {
            if (self.push)(context) != 0 {
                return None;
            }
            let status = (self.memory)(&mut free, &mut total);
            (self.pop)(&mut context);
            (status == 0).then_some(Memory {
                free: free as u64,
                total: total as u64,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        static CALLS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    fn call(name: impl Into<String>) -> Status {
        CALLS.with_borrow_mut(|calls| calls.push(name.into()));
        0
    }

    unsafe extern "C" fn init(_: c_uint) -> Status {
        call("init")
    }
    unsafe extern "C" fn device(device: *mut c_int, index: c_int) -> Status {
        if index > 1 {
            return 101;
        }
        // SAFETY: the caller hands over places to write to, as the driver's callers do.
        unsafe { *device = 40 + index };
        call(format!("device {index}"))
    }
    unsafe extern "C" fn retain(context: *mut Context, device: c_int) -> Status {
        // SAFETY: the caller hands over places to write to, as the driver's callers do.
        unsafe { *context = 8 as Context };
        call(format!("retain {device}"))
    }
    unsafe extern "C" fn release(device: c_int) -> Status {
        call(format!("release {device}"))
    }
    unsafe extern "C" fn push(context: Context) -> Status {
        call(format!("push {}", context as usize))
    }
    unsafe extern "C" fn pop(_: *mut Context) -> Status {
        call("pop")
    }
    unsafe extern "C" fn memory(free: *mut usize, total: *mut usize) -> Status {
        // SAFETY: the caller hands over places to write to, as the driver's callers do.
        unsafe { (*free, *total) = (5_000_000_000, 8_000_000_000) };
        call("memory")
    }
    unsafe extern "C" fn fails(_: *mut usize, _: *mut usize) -> Status {
        call("memory");
        2
    }

    const FAKE: Driver = Driver {
        init,
        device,
        retain,
        release,
        push,
        pop,
        memory,
    };

    #[test]
    fn a_context_is_given_back_whatever_happens() {
        let calls = |driver: Driver, index| {
            CALLS.take();
            (driver.ask(index), CALLS.take().join(", "))
        };
        let all = "init, device 1, retain 41, push 8, memory, pop, release 41".to_owned();
        let told = Memory {
            free: 5_000_000_000,
            total: 8_000_000_000,
        };
        assert_eq!(calls(FAKE, 1), (Some(told), all.clone()));
        let failing = Driver {
            memory: fails,
            ..FAKE
        };
        assert_eq!(calls(failing, 1), (None, all));
        assert_eq!(calls(FAKE, 2), (None, "init".into()));
    }

    #[test]
    fn without_a_gpu_no_tensors_are_on_one_and_nothing_is_given_back() {
        crate::libtorch::open().unwrap();
        give_back();
        if !tch::Cuda::is_available() {
            assert_eq!(tensors(0), Tensors::default());
        }
    }

    #[test]
    fn a_machine_without_a_gpu_has_none_free() {
        match Driver::open() {
            None => assert_eq!(super::memory(0), None),
            Some(_) => {
                // With a GPU, some of it is free, and there are not a thousand.
                eprintln!("a driver is there: on GPU 0 {:?}", super::memory(0));
                assert_eq!(super::memory(1000), None);
            }
        }
    }
}
