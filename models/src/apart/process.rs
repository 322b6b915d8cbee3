//! A process that is a copy of this one, for one piece of work.
//!
//! It is forked on a thread of its own: the copy has that thread alone, with its small stack, and ends with it, so also
//! with this process. It allocates, computes and writes to a pipe, and touches nothing that other threads may hold
//! locked: no libtorch, no streams of the standard library, no environment that is being changed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use super::{Fault, POLL, STACK, caught};
use crate::guard;
use ecco_interpreter::is_interrupted;

/// What work in a process may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes beside what this process has.
    pub memory: u64,
    pub time: Duration,
    /// Bytes that it may give.
    pub output: usize,
}

/// Stack and heaps that a copy has before it does anything, in bytes.
const OVERHEAD: u64 = 64 << 20;

/// How its answer begins: one of these, and the length of what follows.
const DONE: u8 = 0;
const REFUSED: u8 = 1;
const PANIC: u8 = 2;
const HEADER: usize = 9;

/// Runs it in a copy of this process: its bytes, or its own words for what is wrong.
pub(crate) fn in_process(
    bounds: Bounds,
    work: impl FnOnce() -> Result<Vec<u8>, String> + Send,
) -> Result<Result<Vec<u8>, String>, Fault> {
    guard::silence_panics();
    let (mut answers, answer) = pipe().map_err(Fault::NoProcess)?;
    let (sender, started) = sync_channel(1);
    let (done, is_done) = sync_channel::<()>(0);
    std::thread::scope(|scope| {
        let fork = move || {
            let _ = sender.send(fork(bounds, answer, work));
            // The copy ends with the thread that made it: not before it is waited for.
            let _ = is_done.recv();
        };
        let thread = std::thread::Builder::new()
            .name("fork".to_owned())
            .stack_size(STACK);
        thread.spawn_scoped(scope, fork).map_err(Fault::NoProcess)?;
        let gone = |_| Err(io::Error::other("no process"));
        let process = started.recv().unwrap_or_else(gone).map_err(Fault::NoProcess)?;
        let answer = read(&mut answers, process, bounds);
        // Without effect on one that has ended, which keeps its number until it is waited for.
        // SAFETY: takes numbers.
        unsafe { libc::kill(process, libc::SIGKILL) };
        let status = wait(process);
        drop(done);
        understood(answer?, status)
    })
}

/// Reads all that comes, or what had come when the process ended. `Err` where it is not waited for any longer.
fn read(answers: &mut File, process: libc::pid_t, bounds: Bounds) -> Result<Vec<u8>, Fault> {
    let start = Instant::now();
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        if is_interrupted() {
            return Err(Fault::Interrupted);
        }
        if start.elapsed() > bounds.time {
            return Err(Fault::Time);
        }
        // Before what is there is read: it writes nothing after its end.
        let ended = has_ended(process);
        let mut ready = libc::pollfd {
            fd: answers.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one descriptor, which is open.
        if unsafe { libc::poll(&raw mut ready, 1, POLL.as_millis() as i32) } < 1 {
            match ended {
                true => return Ok(bytes),
                false => continue,
            }
        }
        match answers.read(&mut piece) {
            Ok(0) => return Ok(bytes),
            Ok(n) => bytes.extend_from_slice(&piece[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Fault::NoProcess(error)),
        }
        if bytes.len() > bounds.output.saturating_add(HEADER) {
            return Err(Fault::Output);
        }
        if whole(&bytes).is_some() {
            return Ok(bytes);
        }
    }
}

/// The kind of an answer that is there as a whole, and its bytes.
fn whole(answer: &[u8]) -> Option<(u8, &[u8])> {
    let (head, bytes) = answer.split_at_checked(HEADER)?;
    let length = u64::from_le_bytes(head[1..].try_into().ok()?);
    (bytes.len() as u64 == length).then_some((head[0], bytes))
}

/// What an answer says, or else the way that the process ended.
fn understood(answer: Vec<u8>, status: i32) -> Result<Result<Vec<u8>, String>, Fault> {
    if let Some((kind, bytes)) = whole(&answer) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        return match kind {
            DONE => Ok(Ok(bytes.to_vec())),
            REFUSED => Ok(Err(text)),
            _ => Err(Fault::Panic(text)),
        };
    }
    let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
    Err(match signal {
        Some(libc::SIGSEGV | libc::SIGBUS) => Fault::Depth,
        // Rust aborts where there is no memory; the system kills.
        Some(libc::SIGABRT | libc::SIGKILL) => Fault::Memory,
        _ => Fault::Panic("it ended without an answer".to_owned()),
    })
}

/// Whether a process has ended. It stays to be waited for.
fn has_ended(process: libc::pid_t) -> bool {
    let mut about = MaybeUninit::<libc::siginfo_t>::zeroed();
    let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: a child of this process, and room for what is said of it; of one that runs that stays zeros.
    unsafe {
        let asked = libc::waitid(libc::P_PID, process as libc::id_t, about.as_mut_ptr(), how);
        asked == 0 && about.assume_init().si_pid() != 0
    }
}

fn wait(process: i32) -> i32 {
    let mut status = 0;
    loop {
        // SAFETY: a child of this process, and a number to write to.
        let waited = unsafe { libc::waitpid(process, &raw mut status, 0) };
        if waited != -1 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return status;
        }
    }
}

/// Ends to read from and to write to, which no other program gets.
fn pipe() -> io::Result<(File, File)> {
    let mut ends = [0; 2];
    // SAFETY: room for two numbers.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, and nobody else's.
    Ok(unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) })
}

/// The number of a copy that does the work. Signals wait until it has its own ways with them.
fn fork(
    bounds: Bounds,
    answer: File,
    work: impl FnOnce() -> Result<Vec<u8>, String>,
) -> io::Result<libc::pid_t> {
    let mut all = MaybeUninit::uninit();
    // SAFETY: fills the set, which is then the thread's own mask; the thread ends soon.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut());
    }
    // SAFETY: the copy does what the head of this file says, and then ends without returning.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => copy(bounds, answer, work),
        process => Ok(process),
    }
}

/// The life of the copy.
fn copy(bounds: Bounds, mut answer: File, work: impl FnOnce() -> Result<Vec<u8>, String>) -> ! {
    // SAFETY: numbers, and sets that are this function's own. What this process does on signals, a copy must not.
    unsafe {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
            libc::signal(signal, libc::SIG_IGN);
        }
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGABRT] {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none = MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
        // What libraries write about their end is nobody's business.
        libc::close(1);
        libc::close(2);
        #[cfg(target_os = "linux")]
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
    bound(libc::RLIMIT_CORE, 0);
    if let Some(held) = held() {
        bound(libc::RLIMIT_AS, held + OVERHEAD + bounds.memory);
    }
    let (kind, bytes) = match caught(work) {
        Ok(Ok(bytes)) => (DONE, bytes),
        Ok(Err(reason)) => (REFUSED, reason.into_bytes()),
        Err(Fault::Panic(words)) => (PANIC, words.into_bytes()),
        Err(_) => (PANIC, Vec::new()),
    };
    let length = (bytes.len() as u64).to_le_bytes();
    let head = answer.write_all(&[kind]).and_then(|()| answer.write_all(&length));
    let written = head.and_then(|()| answer.write_all(&bytes));
    // SAFETY: takes any number; nothing of the other process's is taken down.
    unsafe { libc::_exit(i32::from(written.is_err())) }
}

fn bound(what: libc::__rlimit_resource_t, most: u64) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a limit to write to and to read. Where it cannot be set, what was there stays.
    unsafe {
        if libc::getrlimit(what, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_cur.min(most);
            libc::setrlimit(what, &raw const limit);
        }
    }
}

/// Bytes of address space that this process has.
pub(crate) fn held() -> Option<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm")
        .ok()?
        .split(' ')
        .next()?
        .parse()
        .ok()?;
    // SAFETY: only asks for a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(pages * u64::try_from(page).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ecco_interpreter::Interrupt;

    const BOUNDS: Bounds = Bounds {
        memory: 256 << 20,
        time: Duration::from_secs(20),
        output: 1 << 20,
    };

    fn fault(work: impl FnOnce() -> Result<Vec<u8>, String> + Send) -> Fault {
        in_process(BOUNDS, work).expect_err("it cannot be")
    }

    #[test]
    fn bytes_and_words_come_back() {
        let bytes = vec![7; 300_000];
        assert_eq!(
            in_process(BOUNDS, || Ok(bytes.clone())).unwrap(),
            Ok(bytes.clone())
        );
        assert_eq!(
            in_process(BOUNDS, || Err("no".to_owned())).unwrap(),
            Err("no".to_owned())
        );
        assert_eq!(in_process(BOUNDS, || Ok(vec![])).unwrap(), Ok(vec![]));
    }

    #[expect(unconditional_recursion, reason = "it has to end by itself")]
    fn deeper(numbers: &[u64; 64]) -> u64 {
        let mut more = *numbers;
        more[0] += 1;
        deeper(std::hint::black_box(&more)) + more[1]
    }

    #[test]
    fn whatever_happens_there_is_an_error_here() {
        assert!(matches!(fault(|| Ok(vec![deeper(&[0; 64]) as u8])), Fault::Depth));
        let hold = || {
            let mut held: Vec<Vec<u8>> = Vec::new();
            loop {
                held.push(vec![1; 1 << 20]);
            }
        };
        assert!(matches!(fault(hold), Fault::Memory));
        assert!(matches!(fault(|| Ok(vec![0; 2 << 20])), Fault::Output));
        assert!(matches!(fault(|| panic!("no way")), Fault::Panic(words) if words == "no way"));
        // SAFETY: ends the copy.
        assert!(matches!(fault(|| unsafe { libc::_exit(3) }), Fault::Panic(_)));
        let short = Bounds {
            time: Duration::from_millis(100),
            ..BOUNDS
        };
        let never = || -> Result<Vec<u8>, String> {
            loop {
                std::thread::yield_now();
            }
        };
        assert!(matches!(in_process(short, never), Err(Fault::Time)));
    }

    #[test]
    fn an_interrupt_ends_it_at_once() {
        let interrupt = Interrupt::default();
        let _scope = interrupt.enter();
        let (request, start) = (interrupt.clone(), Instant::now());
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            request.request();
        });
        let sleep = || {
            std::thread::sleep(Duration::from_secs(20));
            Ok(vec![])
        };
        assert!(matches!(in_process(BOUNDS, sleep), Err(Fault::Interrupted)));
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
}
