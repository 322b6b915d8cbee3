//! Maps whose files may become shorter, or whose disk may fail, while they are read.
//!
//! To read there raises SIGBUS, which by itself ends the process. Here zeros take the whole map's place, the read goes
//! on, and the loss is noted: [`guard`](crate::guard::guard) makes an error of what was computed meanwhile.

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError};

/// A registered map. There are as many as were ever registered at once, and they stay: the handler walks them.
struct Range {
    taken: AtomicBool,
    start: AtomicUsize,
    /// 0 while it is none.
    length: AtomicUsize,
    /// Which of all losses it was; 0 while it is whole.
    lost: AtomicU64,
    file: Mutex<String>,
    next: *const Range,
}

// SAFETY: what `next` leads to is never changed and never freed; all else is atomic or locked.
unsafe impl Sync for Range {}

static RANGES: AtomicPtr<Range> = AtomicPtr::new(null_mut());
/// How many maps were lost so far.
static LOSSES: AtomicU64 = AtomicU64::new(0);
/// What handled the signal before.
static BEFORE: AtomicPtr<libc::sigaction> = AtomicPtr::new(null_mut());

/// A map that is watched as long as this is there, which ends before the map does.
pub(crate) struct Watched(&'static Range);

impl Watched {
    pub(crate) fn new(map: &[u8], file: &str) -> Self {
        static HANDLER: Once = Once::new();
        HANDLER.call_once(install);
        let free = |range: &&Range| !range.taken.swap(true, Ordering::AcqRel);
        let range = ranges().find(free).unwrap_or_else(another);
        *range.file.lock().unwrap_or_else(PoisonError::into_inner) = file.to_owned();
        range.lost.store(0, Ordering::Relaxed);
        range.start.store(map.as_ptr() as usize, Ordering::Relaxed);
        range.length.store(map.len(), Ordering::Release);
        Self(range)
    }

    /// Whether zeros stand in its place.
    pub(crate) fn is_lost(&self) -> bool {
        self.0.lost.load(Ordering::Acquire) > 0
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.length.store(0, Ordering::Release);
        self.0.taken.store(false, Ordering::Release);
    }
}

/// How many maps were lost so far.
pub(crate) fn losses() -> u64 {
    LOSSES.load(Ordering::Acquire)
}

/// A file whose map was lost after so many others.
pub(crate) fn lost_since(losses: u64) -> Option<String> {
    if self::losses() == losses {
        return None;
    }
    let mut lost = ranges().filter(|range| range.lost.load(Ordering::Acquire) > losses);
    let file = lost.next().map(|range| {
        let file = range.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.clone()
    });
    Some(file.unwrap_or_else(|| "a file of weights".to_owned()))
}

fn ranges() -> impl Iterator<Item = &'static Range> {
    let mut next: *const Range = RANGES.load(Ordering::Acquire);
    std::iter::from_fn(move || {
        // SAFETY: null, or one that stays.
        let range: &'static Range = unsafe { next.as_ref() }?;
        next = range.next;
        Some(range)
    })
}

/// One more, taken.
fn another() -> &'static Range {
    static ADDING: Mutex<()> = Mutex::new(());
    let _alone = ADDING.lock().unwrap_or_else(PoisonError::into_inner);
    let range = Box::leak(Box::new(Range {
        taken: AtomicBool::new(true),
        start: AtomicUsize::new(0),
        length: AtomicUsize::new(0),
        lost: AtomicU64::new(0),
        file: Mutex::default(),
        next: RANGES.load(Ordering::Acquire),
    }));
    RANGES.store(range, Ordering::Release);
    range
}

fn install() {
    // SAFETY: structs of numbers; the handler is a function of the kind that SA_SIGINFO says, and what it finds of the
    // one before was stored before it can run.
    unsafe {
        let before = Box::leak(Box::new(std::mem::zeroed::<libc::sigaction>()));
        libc::sigaction(libc::SIGBUS, std::ptr::null(), before);
        BEFORE.store(before, Ordering::Release);
        let mut action = std::mem::zeroed::<libc::sigaction>();
        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = handle;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGBUS, &raw const action, null_mut());
    }
}

/// Runs on whichever thread read, at any point: it loads and stores numbers, and asks the system for pages.
extern "C" fn handle(signal: c_int, about: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the system hands over what SA_SIGINFO promises.
    let address = unsafe { (*about).si_addr() } as usize;
    for range in ranges() {
        let length = range.length.load(Ordering::Acquire);
        let start = range.start.load(Ordering::Relaxed);
        if address < start || address - start >= length {
            continue;
        }
        // SAFETY: takes the place of a map that is there as long as its range is registered.
        let zeros = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
            libc::mmap(start as *mut c_void, length, protection, kind, -1, 0)
        };
        if zeros as usize == start {
            let loss = LOSSES.fetch_add(1, Ordering::AcqRel) + 1;
            range.lost.store(loss, Ordering::Release);
            return;
        }
    }
    hand_on(signal, about, context);
}

/// To what handled the signal before, or to the system, whose way is to end the process.
fn hand_on(signal: c_int, about: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: stored before the handler was installed; a function is of the kind that its flags say.
    unsafe {
        let before = BEFORE.load(Ordering::Acquire).as_ref();
        match before.map(|before| (before.sa_sigaction, before.sa_flags & libc::SA_SIGINFO != 0)) {
            None | Some((libc::SIG_DFL | libc::SIG_IGN, _)) => {
                libc::signal(signal, libc::SIG_DFL);
            }
            Some((handler, true)) => {
                type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
                std::mem::transmute::<usize, Handler>(handler)(signal, about, context);
            }
            Some((handler, false)) => std::mem::transmute::<usize, extern "C" fn(c_int)>(handler)(signal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use memmap2::MmapOptions;

    #[test]
    fn where_a_file_was_zeros_are_and_the_loss_is_known() {
        let mut file = tempfile();
        std::io::Write::write_all(&mut file, &[7; 64 << 10]).unwrap();
        // SAFETY: its file shrinks, which is what is tested.
        let map = unsafe { MmapOptions::new().map_copy(&file) }.unwrap();
        let (watched, before) = (Watched::new(&map, "a.safetensors"), losses());
        assert_eq!((map[40 << 10], lost_since(before)), (7, None));
        file.set_len(4096).unwrap();
        assert_eq!(std::hint::black_box(&map)[40 << 10], 0);
        assert!(watched.is_lost());
        assert_eq!(lost_since(before).as_deref(), Some("a.safetensors"));
        assert_eq!(lost_since(losses()), None);
        // Nothing of it is from before, and it can be written to as before.
        let mut map = map;
        map[0] = 1;
        assert_eq!(map[1], 0);
        drop(watched);
        let again = Watched::new(&map, "b.safetensors");
        assert!(!again.is_lost());
    }

    fn tempfile() -> std::fs::File {
        let path = std::env::temp_dir().join(format!("ecco-watched-{}", std::process::id()));
        let mut options = std::fs::OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        std::fs::remove_file(&path).unwrap();
        file
    }
}
