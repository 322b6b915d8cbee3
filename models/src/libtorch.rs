//! Opens libtorch, once, before the first tensor. `build.rs` tells how the program is put together.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Makes libtorch ready. Cheap after the first time, which takes a few tenths of a second; tensor code that
/// runs without it, as in tests, opens it by its first call.
///
/// CUDA's half comes along where there is a driver: libtorch looks for it once. The program itself needs only
/// the CPU half, so it runs on machines without a GPU.
///
/// # Errors
/// [`Error::NoLibtorch`] where the library is not found, [`Error::OtherLibtorch`] where it is of a version that is not served; a
/// later call tries again.
pub fn open() -> Result<()> {
    use std::sync::{Mutex, PoisonError};
    static IS_OPEN: Mutex<bool> = Mutex::new(false);
    let mut is_open = IS_OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if !*is_open {
        #[cfg(libtorch_on_demand)]
        {
            ensure_room()?;
            on_demand::open()?;
        }
        if dlopen(c"libcuda.so.1", libc::RTLD_LAZY).is_ok() {
            // Without it there is no GPU, which is what the device option then says.
            let _ = dlopen(CUDA_HALF, libc::RTLD_LAZY);
        }
        round_convolutions(false);
        plan_attention(false);
        *is_open = true;
    }
    Ok(())
}

/// The libtorch that the program is compiled against.
pub const BUILT_FOR: &str = "2.11.0";

/// The minor versions whose functions, and types where ours are compiled with them, are the same for what is used here.
/// 2.9 crashes; 2.12 has a larger `DeviceStats` and another `CUDAGraph`, and from 2.13 on functions are missing.
pub const SERVED: [&str; 2] = ["2.10", "2.11"];

/// The libtorch that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Libtorch {
    /// The folder with its libraries.
    pub folder: PathBuf,
    /// `2.11.0+cpu`, where a file beside it says so.
    pub version: Option<String>,
    /// Whether its half for GPUs is there.
    pub has_cuda: bool,
}

/// Which libtorch [`open`] has opened; `None` before, and where the system does not tell.
pub fn opened() -> Option<Libtorch> {
    let function = symbol(c"_ZN2at13globalContextEv")?;
    // SAFETY: of pointers alone, for which nothing is a value.
    let mut about: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: fills `about` for an address of a library that stays open.
    let is_known = unsafe { libc::dladdr(function, &raw mut about) } != 0 && !about.dli_fname.is_null();
    // SAFETY: the library's path, a C string that lives as long as it is open.
    let path = is_known.then(|| unsafe { CStr::from_ptr(about.dli_fname) })?;
    let path = std::fs::canonicalize(OsStr::from_bytes(path.to_bytes())).ok()?;
    let folder = path.parent()?.to_owned();
    Some(Libtorch {
        version: version(&folder),
        has_cuda: folder.join("libtorch_cuda.so").is_file(),
        folder,
    })
}

/// What PyTorch's package says beside its libraries, or a libtorch without Python.
fn version(folder: &Path) -> Option<String> {
    let root = folder.parent()?;
    let text = |name: &str| std::fs::read_to_string(root.join(name)).ok();
    let of_package = text("version.py").and_then(|text| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("__version__ = "))?;
        Some(line.trim().trim_matches(['\'', '"']).to_owned())
    });
    of_package.or_else(|| text("build-version").map(|text| text.trim().to_owned()))
}

/// Whether a version is one of those that this program can use.
#[cfg(any(libtorch_on_demand, test))]
fn is_served(version: &str) -> bool {
    let mut numbers = version.split('.');
    let minor = [numbers.next(), numbers.next()].map(Option::unwrap_or_default);
    SERVED.contains(&minor.join(".").as_str())
}

/// Refuses a libtorch of another version before anything of it is called; one that does not say its version is trusted.
#[cfg(libtorch_on_demand)]
fn ensure_served() -> Result<()> {
    match opened() {
        Some(Libtorch {
            folder,
            version: Some(version),
            ..
        }) if !is_served(&version) => Err(Error::OtherLibtorch { version, folder }),
        _ => Ok(()),
    }
}

const CUDA_HALF: &CStr = c"libtorch_cuda.so";

/// Address space that libtorch and its threads take, in bytes.
#[cfg(libtorch_on_demand)]
const NEEDED: u64 = 700 << 20;

/// Refuses to open it where a shell leaves it no room (`ulimit -v`): it and what comes after end the process there.
#[cfg(libtorch_on_demand)]
fn ensure_room() -> Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a limit to write to.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) } == 0;
    if !known || limit.rlim_cur == libc::RLIM_INFINITY {
        return Ok(());
    }
    let left = limit.rlim_cur.saturating_sub(crate::apart::held().unwrap_or(0));
    match left < NEEDED {
        true => Err(Error::NoLibtorch {
            reason: format!(
                "cannot allocate memory: it needs {} of address space, and {} are left",
                crate::error::format_bytes(NEEDED),
                crate::error::format_bytes(left)
            ),
        }),
        false => Ok(()),
    }
}

/// Whether cuDNN's convolutions of float32 may round their factors to TF32's 10 bits, a thousand times coarser: libtorch
/// lets them by itself. Its matrix products are exact by default.
fn round_convolutions(may: bool) {
    set(c"_ZN2at7Context17setAllowTF32CuDNNEb", may);
}

/// Whether cuDNN may compute attention in half precision, which libtorch prefers on Hopper: it makes a plan for each number of
/// keys, 45 ms on an H200, so a text that is written waits for one at each token. What libtorch has beside needs none.
fn plan_attention(may: bool) {
    set(c"_ZN2at7Context14setSDPUseCuDNNEb", may);
}

/// Sets a switch of libtorch's context, a member function that takes a bool. A libtorch that has no such function keeps its
/// ways.
fn set(switch: &CStr, to: bool) {
    if let (Some(context), Some(switch)) = (context(), symbol(switch)) {
        // SAFETY: a C++ function of this signature, and what it is a member of.
        unsafe {
            let switch: unsafe extern "C" fn(Context, bool) = std::mem::transmute(switch);
            switch(context, to);
        }
    }
}

type Context = *mut libc::c_void;

/// `at::globalContext()`
fn context() -> Option<Context> {
    let context = symbol(c"_ZN2at13globalContextEv")?;
    // SAFETY: a C++ function of this signature.
    unsafe {
        let context: unsafe extern "C" fn() -> Context = std::mem::transmute(context);
        Some(context())
    }
}

/// A function of the libraries that are open, by its name in their tables.
fn symbol(name: &CStr) -> Option<*mut libc::c_void> {
    // SAFETY: a C string; the libraries stay open.
    let function = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!function.is_null()).then_some(function)
}

/// Opens a library for good. It is looked for where the program's run path says, in the environment that it is
/// installed in, then where the system looks. What it needs is found now (`RTLD_NOW`) or when it is called (`RTLD_LAZY`).
fn dlopen(name: &CStr, when: libc::c_int) -> Result<*mut libc::c_void> {
    // SAFETY: loads a library by name and leaves it loaded; its initialisers are libtorch's own.
    let library = unsafe { libc::dlopen(name.as_ptr(), when | libc::RTLD_GLOBAL) };
    if library.is_null() {
        // SAFETY: after a failed dlopen this is a C string, valid until the next call on this thread.
        let reason = unsafe { CStr::from_ptr(libc::dlerror()) };
        let reason = reason.to_string_lossy().into_owned();
        return Err(Error::NoLibtorch { reason });
    }
    Ok(library)
}

/// Opens a library that is not a file. What it needs of libtorch is found by name, as that is open.
#[cfg(any(libtorch_on_demand, cuda_graphs))]
fn dlopen_bytes(bytes: &[u8], when: libc::c_int) -> Result<*mut libc::c_void> {
    use std::ffi::CString;
    use std::io::Write;
    use std::os::fd::{FromRawFd, IntoRawFd};

    let failed = |error: std::io::Error| unusable(error.to_string());
    // SAFETY: takes a C string, gives a descriptor that is ours, or -1.
    let descriptor = unsafe { libc::memfd_create(c"glue.so".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(failed(std::io::Error::last_os_error()));
    }
    // SAFETY: just made, and nobody else's.
    let mut file = unsafe { std::fs::File::from_raw_fd(descriptor) };
    file.write_all(bytes).map_err(failed)?;
    // Never closed: the loader knows libraries by their paths, and another one must not get this one's number.
    let path = CString::new(format!("/proc/self/fd/{}", file.into_raw_fd()));
    dlopen(&path.map_err(|error| unusable(error.to_string()))?, when)
}

/// Opens a library of functions that are built on libtorch's CUDA half.
///
/// # Errors
/// [`Error::NoLibtorch`] where that half is not there or does not have what they need.
#[cfg(cuda_graphs)]
pub(crate) fn open_on_cuda(library: &[u8]) -> Result<*mut libc::c_void> {
    open()?;
    dlopen(CUDA_HALF, libc::RTLD_LAZY)?;
    dlopen_bytes(library, libc::RTLD_NOW)
}

#[cfg(any(libtorch_on_demand, cuda_graphs))]
fn unusable(reason: String) -> Error {
    Error::NoLibtorch { reason }
}

#[cfg(libtorch_on_demand)]
mod on_demand {
    use std::ffi::{CString, c_void};
    use std::sync::atomic::{AtomicPtr, Ordering};

    use super::{Result, dlopen, dlopen_bytes, unusable};

    /// The glue, deflated: a third of its 2.5 MB.
    const GLUE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libtch.so.deflate"));
    /// The glue's functions, one in a line, in the order of the table.
    const NAMES: &str = include_str!(concat!(env!("OUT_DIR"), "/names"));

    std::arch::global_asm!(
        include_str!(concat!(env!("OUT_DIR"), "/calls.s")),
        options(att_syntax)
    );

    unsafe extern "C" {
        /// Where each function jumps to; as long as [`NAMES`] has lines.
        #[link_name = "libtorch_calls"]
        static CALLS: AtomicPtr<c_void>;
    }

    /// Opens libtorch's CPU half and the glue, and leads all calls there.
    pub(super) fn open() -> Result<()> {
        dlopen(c"libtorch_cpu.so", libc::RTLD_LAZY)?;
        super::ensure_served()?;
        let glue =
            miniz_oxide::inflate::decompress_to_vec(GLUE).map_err(|error| unusable(error.to_string()))?;
        let glue = dlopen_bytes(&glue, libc::RTLD_LAZY)?;
        let mut functions = Vec::new();
        for name in NAMES.lines() {
            let symbol = CString::new(name).map_err(|error| unusable(error.to_string()))?;
            // SAFETY: a library that stays open, and a C string.
            let function = unsafe { libc::dlsym(glue, symbol.as_ptr()) };
            if function.is_null() {
                return Err(unusable(format!("{name} is missing in its glue")));
            }
            functions.push(function);
        }
        for (index, function) in functions.into_iter().enumerate() {
            // SAFETY: the table has an entry for each name, and is only ever accessed atomically.
            unsafe { (*(&raw const CALLS).add(index)).store(function, Ordering::Release) };
        }
        Ok(())
    }

    /// Called by the first call to libtorch, if nobody called [`super::open`] before.
    #[unsafe(no_mangle)]
    extern "C" fn libtorch_open_or_abort() {
        if let Err(error) = super::open() {
            eprintln!("{error}");
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_open_libtorch_is_a_folder_with_a_version() {
        open().unwrap();
        let opened = opened().unwrap();
        assert!(
            opened.folder.join("libtorch_cpu.so").is_file(),
            "{}",
            opened.folder.display()
        );
        assert!(opened.version.is_some_and(|version| version.starts_with("2.")));
    }

    #[test]
    fn what_it_is_built_for_is_served_and_strangers_are_not() {
        assert!(
            [BUILT_FOR, "2.10.0+cpu", "2.11.0+cu130", "2.11.1"]
                .iter()
                .all(|version| is_served(version))
        );
        assert!(
            !["2.9.1", "2.12.0", "2.1", "2.110.0", "3.11.0", "", "unknown"]
                .iter()
                .any(|version| is_served(version))
        );
    }

    #[test]
    fn no_factor_is_rounded_to_tf32() {
        open().unwrap();
        let precision = symbol(c"_ZNK2at7Context16float32PrecisionENS_14Float32BackendENS_9Float32OpE");
        // SAFETY: a C++ function of this signature; its enums are ints.
        let precision = |operation: i32| unsafe {
            let precision: unsafe extern "C" fn(Context, i32, i32) -> i32 =
                std::mem::transmute(precision.unwrap());
            precision(context().unwrap(), CUDA, operation)
        };
        // Of c10's lists: backends GENERIC, CUDA; operations ALL, CONV, RNN, MATMUL; NONE, IEEE, TF32.
        const CUDA: i32 = 1;
        const TF32: i32 = 2;
        assert!([1, 2, 3].iter().all(|&operation| precision(operation) != TF32));
        round_convolutions(true);
        assert_eq!(precision(1), TF32, "what is read is what is set");
        round_convolutions(false);
        assert!(precision(1) != TF32);
    }

    #[test]
    fn attention_has_no_plan_for_each_length() {
        open().unwrap();
        let may = symbol(c"_ZNK2at7Context19userEnabledCuDNNSDPEv");
        // SAFETY: a C++ function of this signature.
        let may = || unsafe {
            let may: unsafe extern "C" fn(Context) -> bool = std::mem::transmute(may.unwrap());
            may(context().unwrap())
        };
        assert!(!may());
        plan_attention(true);
        assert!(may(), "what is read is what is set");
        plan_attention(false);
    }
}
