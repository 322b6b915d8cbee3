//! The terminal that the process was started from: how wide it is, and lines that somebody types there.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

use ecco_interpreter::Interrupt;

/// How often one that waits looks whether it was interrupted, in milliseconds.
const POLL: libc::c_int = 20;

/// How wide the terminal on stderr is, where it says so.
pub(super) fn columns() -> Option<usize> {
    let mut size = MaybeUninit::<libc::winsize>::zeroed();
    // SAFETY: the request fills the struct it is given; all zeros are one, too.
    let size = unsafe {
        if libc::ioctl(libc::STDERR_FILENO, libc::TIOCGWINSZ, size.as_mut_ptr()) != 0 {
            return None;
        }
        size.assume_init()
    };
    Some(usize::from(size.ws_col)).filter(|&columns| columns > 1)
}

/// Asks for a line, on the terminal whatever stdin and stdout are. `Err` says why none came.
pub(super) fn ask(prompt: &str, password: bool, interrupt: &Interrupt) -> Result<String, String> {
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .map_err(|_| "there is no terminal to ask on".to_owned())?;
    let failed = |error: std::io::Error| format!("the terminal could not be asked: {error}");
    (&terminal).write_all(prompt.as_bytes()).map_err(failed)?;
    let hidden = password
        .then(|| Hidden::on(&terminal))
        .transpose()
        .map_err(failed)?;
    let line = read_line(&terminal, interrupt);
    if hidden.is_some() {
        // The line's own end was not shown.
        let _ = (&terminal).write_all(b"\n");
    }
    line
}

fn read_line(mut terminal: &File, interrupt: &Interrupt) -> Result<String, String> {
    let mut line = Vec::new();
    let mut bytes = [0; 1024];
    while !line.ends_with(b"\n") {
        wait(terminal, interrupt)?;
        match terminal.read(&mut bytes) {
            Ok(0) => return Err("the input has ended".to_owned()),
            Ok(n) => line.extend_from_slice(&bytes[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("the terminal could not be read: {error}")),
        }
    }
    let line = String::from_utf8_lossy(&line);
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Returns when there is a line to read.
fn wait(terminal: &File, interrupt: &Interrupt) -> Result<(), String> {
    loop {
        if interrupt.is_requested() {
            return Err("interrupted".to_owned());
        }
        let mut descriptor = libc::pollfd {
            fd: terminal.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one descriptor, which is open.
        let ready = unsafe { libc::poll(&mut descriptor, 1, POLL) };
        if ready > 0 {
            return Ok(());
        }
    }
}

/// While it lives, what is typed is not shown.
struct Hidden<'a> {
    terminal: &'a File,
    before: libc::termios,
}

impl<'a> Hidden<'a> {
    fn on(terminal: &'a File) -> std::io::Result<Self> {
        let mut before = MaybeUninit::<libc::termios>::zeroed();
        // SAFETY: fills the struct it is given; all zeros are one, too.
        let before = unsafe {
            if libc::tcgetattr(terminal.as_raw_fd(), before.as_mut_ptr()) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            before.assume_init()
        };
        let mut hidden = before;
        hidden.c_lflag &= !libc::ECHO;
        set(terminal, &hidden)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        let _ = set(self.terminal, &self.before);
    }
}

fn set(terminal: &File, settings: &libc::termios) -> std::io::Result<()> {
    // SAFETY: an open descriptor and settings that the system gave.
    match unsafe { libc::tcsetattr(terminal.as_raw_fd(), libc::TCSAFLUSH, settings) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
