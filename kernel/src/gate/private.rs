//! The private side: a Unix socket that ZeroMQ accepts on, and that nobody but this process can reach.
//!
//! It is bound in a fresh folder, for this user alone, and removed from there before anybody is told. What
//! remains is a descriptor of its inode, through which `/proc/self/fd` still leads. Where that way is
//! closed (no `/proc`), the folder stays until the kernel ends.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use tempfile::TempDir;

/// Not a name of anybody else's: ZeroMQ tries to remove it once more when it stops listening.
const NAME: &str = "ecco-kernel-inner";

/// The way to a private listener.
pub(crate) struct PrivateSocket {
    path: PathBuf,
    /// What keeps it open: the one or the other.
    _inode: Option<File>,
    _folder: Option<TempDir>,
}

impl PrivateSocket {
    pub(crate) fn listen() -> io::Result<(UnixListener, Self)> {
        unlinked().or_else(|_| kept())
    }

    pub(crate) async fn connect(&self) -> io::Result<tokio::net::UnixStream> {
        tokio::net::UnixStream::connect(&self.path).await
    }
}

fn unlinked() -> io::Result<(UnixListener, PrivateSocket)> {
    let folder = folder()?;
    // The folder's own path may be longer than an address can be.
    let handle = File::open(folder.path())?;
    let address = PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd())).join(NAME);
    let listener = UnixListener::bind(&address)?;
    let inode = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_NOFOLLOW)
        .open(&address)?;
    folder.close()?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", inode.as_raw_fd()));
    // Whether this works is the system's decision, so it is tried.
    UnixStream::connect(&path)?;
    listener.accept()?;
    let inner = PrivateSocket {
        path,
        _inode: Some(inode),
        _folder: None,
    };
    Ok((listener, inner))
}

fn kept() -> io::Result<(UnixListener, PrivateSocket)> {
    let folder = folder()?;
    let path = folder.path().join(NAME);
    let listener = UnixListener::bind(&path)?;
    let inner = PrivateSocket {
        path,
        _inode: None,
        _folder: Some(folder),
    };
    Ok((listener, inner))
}

/// A new folder that only this user can look into.
fn folder() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix("ecco-kernel-").tempdir()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn both_ways_lead_to_the_listener() {
        for (listener, inner) in [unlinked().unwrap(), kept().unwrap()] {
            let mut client = UnixStream::connect(&inner.path).unwrap();
            client.write_all(b"x").unwrap();
            let mut byte = [0];
            listener.accept().unwrap().0.read_exact(&mut byte).unwrap();
            assert_eq!(byte, *b"x");
        }
    }

    #[test]
    fn nothing_is_left_in_the_file_system() {
        let (listener, _inner) = unlinked().unwrap();
        let address = listener.local_addr().unwrap();
        assert!(!address.as_pathname().unwrap().exists());
    }
}
