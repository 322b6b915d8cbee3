//! The private side: a Unix socket that ZeroMQ accepts on, and that nobody but this process can reach.
//!
//! It is bound in a fresh folder, for this user alone, and removed from there before anybody is told. What
//! remains is a descriptor of its inode, through which `/proc/self/fd` still leads. Where that way is
//! closed (no `/proc`), the folder stays until the kernel ends.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

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
        Self::listen_in(&folders())
    }

    /// In the first of these folders where that can be done.
    fn listen_in(parents: &[PathBuf]) -> io::Result<(UnixListener, Self)> {
        let mut refused = Vec::new();
        for parent in parents {
            match unlinked(parent).or_else(|_| kept(parent)) {
                Ok(opened) => return Ok(opened),
                Err(error) => refused.push(format!("{}: {error}", parent.display())),
            }
        }
        let tried = refused.join("; ");
        Err(io::Error::other(format!(
            "there is no folder for its own sockets ({tried}): set TMPDIR to one that can be written"
        )))
    }

    pub(crate) async fn connect(&self) -> io::Result<tokio::net::UnixStream> {
        tokio::net::UnixStream::connect(&self.path).await
    }
}

/// Where temporary files go; where there is no such place, or it is read-only, what systems have in memory.
fn folders() -> Vec<PathBuf> {
    let run = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
    let mut folders = vec![std::env::temp_dir()];
    folders.extend(run.map(PathBuf::from));
    folders.extend(["/tmp", "/dev/shm", "/var/tmp"].map(PathBuf::from));
    folders
}

fn unlinked(parent: &Path) -> io::Result<(UnixListener, PrivateSocket)> {
    let folder = folder(parent)?;
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

fn kept(parent: &Path) -> io::Result<(UnixListener, PrivateSocket)> {
    let folder = folder(parent)?;
    let path = folder.path().join(NAME);
    let listener = UnixListener::bind(&path)?;
    let inner = PrivateSocket {
        path,
        _inode: None,
        _folder: Some(folder),
    };
    Ok((listener, inner))
}

/// A new folder that only this user can look into, whatever the umask says.
fn folder(parent: &Path) -> io::Result<TempDir> {
    tempfile::Builder::new()
        .prefix("ecco-kernel-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(parent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn both_ways_lead_to_the_listener() {
        let parent = std::env::temp_dir();
        for (listener, inner) in [unlinked(&parent).unwrap(), kept(&parent).unwrap()] {
            let mut client = UnixStream::connect(&inner.path).unwrap();
            client.write_all(b"x").unwrap();
            let mut byte = [0];
            listener.accept().unwrap().0.read_exact(&mut byte).unwrap();
            assert_eq!(byte, *b"x");
        }
    }

    #[test]
    fn its_folder_is_for_this_user_alone() {
        let folder = folder(&std::env::temp_dir()).unwrap();
        let mode = std::fs::metadata(folder.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{mode:o}");
    }

    #[test]
    fn another_folder_is_taken_where_one_cannot_be_written() {
        let good = tempfile::tempdir().unwrap();
        let bad = PathBuf::from("/proc/self");
        assert!(PrivateSocket::listen_in(&[bad.clone(), good.path().to_owned()]).is_ok());
        let refused = PrivateSocket::listen_in(&[bad, good.path().join("nowhere")])
            .err()
            .unwrap();
        let said = refused.to_string();
        assert!(
            said.contains("/proc/self: ") && said.ends_with("set TMPDIR to one that can be written"),
            "{said}"
        );
    }

    #[test]
    fn nothing_is_left_in_the_file_system() {
        let (listener, _inner) = unlinked(&std::env::temp_dir()).unwrap();
        let address = listener.local_addr().unwrap();
        assert!(!address.as_pathname().unwrap().exists());
    }
}
