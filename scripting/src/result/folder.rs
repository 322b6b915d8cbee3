//! The notebook's folder: files of it and below it, and nothing else.
//!
//! A notebook from a stranger may read and write what belongs to it and no more. Paths are relative, and links are
//! resolved before they are judged. What was judged is then walked to from an open folder, name by name, and no name may
//! be a link any more: a folder that is exchanged for a link meanwhile ends the walk, and leads nowhere.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::fs::{fsync, mkdirat, openat, renameat, unlinkat};

use crate::errors::{ErrorKind, ScriptError};

/// The notebook's folder, open.
pub(crate) struct Folder {
    handle: OwnedFd,
    /// Without links.
    path: PathBuf,
}

/// A file's place in it: the folder, open, and the name in there.
pub(crate) struct Place {
    folder: OwnedFd,
    name: OsString,
    /// Without links.
    pub path: PathBuf,
}

/// Why there is no such place.
#[derive(Debug)]
pub(crate) enum Refusal {
    Outside,
    Unreadable(PathBuf, io::Error),
}

impl Refusal {
    /// In words, for a `path` that cannot be saved to.
    pub(crate) fn of_saving(self, path: &str) -> ScriptError {
        match self {
            Self::Outside => {
                let message = format!("\"{path}\" is outside of the notebook's folder");
                ScriptError::new(ErrorKind::Value, message).with_hint(
                    "files are saved in the notebook's folder or below: tensor.save(\"states.npy\")",
                )
            }
            Self::Unreadable(place, error) => {
                let message = format!("cannot save \"{path}\": {}: {error}", place.display());
                ScriptError::new(ErrorKind::File, message)
            }
        }
    }
}

/// Refuses a path that the system would not take, before it is copied into anything.
pub(crate) fn check_length(path: &str) -> Result<(), ScriptError> {
    let bytes = path.len();
    if bytes <= LONGEST_PATH {
        return Ok(());
    }
    let message = format!("a path of {bytes} bytes is too long: at most {LONGEST_PATH}");
    Err(ScriptError::new(ErrorKind::Value, message))
}

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

impl Folder {
    fn open(path: &Path) -> Result<Self, Refusal> {
        let unreadable = |error: io::Error| Refusal::Unreadable(path.to_owned(), error);
        let real = path.canonicalize().map_err(unreadable)?;
        let handle = openat(CWD, &real, FOLDER, Mode::empty()).map_err(|error| unreadable(error.into()))?;
        Ok(Self { handle, path: real })
    }

    /// The place below `folder` of a file that need not be there.
    pub(crate) fn place_in(folder: &Path, wanted: &Path) -> Result<Place, Refusal> {
        // Wherever the folder is, this leads out of it.
        file_name(wanted)?;
        Self::open(folder)?.place(wanted)
    }

    /// Makes the folder `wanted` below `folder`, unless it is there.
    pub(crate) fn make_in(folder: &Path, wanted: &Path) -> Result<(), Refusal> {
        let place = Self::place_in(folder, wanted)?;
        match mkdirat(&place.folder, &place.name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
            Err(error) => Err(Refusal::Unreadable(wanted.to_owned(), error.into())),
        }
    }

    /// The place below `folder` of a file that is there, links resolved.
    pub(crate) fn existing_in(folder: &Path, wanted: &Path) -> Result<Place, Refusal> {
        file_name(wanted)?;
        Self::open(folder)?.existing(wanted)
    }

    /// The place of a file that need not be there. A link at the place itself is not followed.
    fn place(&self, wanted: &Path) -> Result<Place, Refusal> {
        let name = file_name(wanted)?;
        let parent = wanted.parent().unwrap_or(Path::new(""));
        let real = self.real(parent)?;
        self.walk(&real, name)
    }

    /// The place of a file that is there, links resolved.
    fn existing(&self, wanted: &Path) -> Result<Place, Refusal> {
        file_name(wanted)?;
        let real = self.real(wanted)?;
        let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
            return Err(Refusal::Outside);
        };
        self.walk(parent, name)
    }

    /// `below` without links, from this folder on.
    fn real(&self, below: &Path) -> Result<PathBuf, Refusal> {
        let real = self.path.join(below).canonicalize();
        let real = real.map_err(|error| Refusal::Unreadable(below.to_owned(), error))?;
        let inside = real.strip_prefix(&self.path).map_err(|_| Refusal::Outside)?;
        Ok(inside.to_owned())
    }

    fn walk(&self, parent: &Path, name: &OsStr) -> Result<Place, Refusal> {
        let unreadable = |error: rustix::io::Errno| Refusal::Unreadable(parent.to_owned(), error.into());
        let mut folder = self
            .handle
            .try_clone()
            .map_err(|error| Refusal::Unreadable(parent.to_owned(), error))?;
        for part in parent {
            folder = openat(&folder, part, FOLDER | OFlags::NOFOLLOW, Mode::empty()).map_err(unreadable)?;
        }
        Ok(Place {
            folder,
            name: name.to_owned(),
            path: self.path.join(parent).join(name),
        })
    }
}

/// Longer paths the system does not take.
const LONGEST_PATH: usize = 4096;

/// The name of a relative path that goes down only.
fn file_name(wanted: &Path) -> Result<&OsStr, Refusal> {
    let goes_down = |part: Component| matches!(part, Component::Normal(_));
    match wanted.file_name() {
        Some(name) if wanted.components().all(goes_down) => Ok(name),
        _ => Err(Refusal::Outside),
    }
}

impl Place {
    /// The file that is there, if it is a file: nothing that could keep a reader waiting.
    pub(crate) fn read(&self) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(&self.folder, &self.name, flags, Mode::empty())?);
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is no regular file",
            )),
        }
    }

    /// Writes a file in the place of what is there: beside it first, down to the disk, and then moved, so that the old
    /// file or the new one is there, whole.
    pub(crate) fn write(&self, write: &mut dyn FnMut(&File) -> io::Result<()>) -> io::Result<()> {
        let (partial, file) = self.beside()?;
        write(&file)?;
        file.sync_all()?;
        renameat(&self.folder, &partial.name, &self.folder, &self.name)?;
        partial.keep();
        // The new name too; a file system that cannot do this has its own times for it.
        let _ = fsync(&self.folder);
        Ok(())
    }

    /// A new file in the same folder, as any new file: what the user's mask leaves of 0666.
    fn beside(&self) -> io::Result<(Partial<'_>, File)> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!(".saving-{}-{count}", std::process::id());
            match openat(&self.folder, &name, flags, Mode::from_raw_mode(0o666)) {
                Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
                Ok(file) => {
                    let folder = &self.folder;
                    return Ok((Partial { folder, name }, File::from(file)));
                }
            }
        }
    }
}

/// The file while it is written; dropped, it is gone.
struct Partial<'a> {
    folder: &'a OwnedFd,
    name: String,
}

impl Partial<'_> {
    /// It has another name by now.
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        let _ = unlinkat(self.folder.as_fd(), &self.name, AtFlags::empty());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};

    use super::*;

    /// A notebook's folder with one below it, in a folder that it must not reach.
    fn folders() -> (tempfile::TempDir, PathBuf) {
        let outer = tempfile::tempdir().expect("a folder");
        let notebook = outer.path().join("notebook");
        std::fs::create_dir_all(notebook.join("below")).expect("a folder");
        (outer, notebook)
    }

    fn entries(folder: &Path) -> usize {
        std::fs::read_dir(folder).expect("readable").count()
    }

    #[test]
    fn a_folder_exchanged_for_a_link_after_it_was_judged_leads_nowhere() {
        let (outer, notebook) = folders();
        let folder = Folder::open(&notebook).expect("a folder");
        let real = folder.real(Path::new("below")).expect("inside");
        std::fs::rename(notebook.join("below"), notebook.join("moved")).expect("moved");
        symlink(outer.path(), notebook.join("below")).expect("a link");
        assert!(matches!(
            folder.walk(&real, OsStr::new("t.npy")),
            Err(Refusal::Unreadable(..))
        ));
    }

    #[test]
    fn nothing_lands_outside_while_a_folder_is_exchanged_all_the_time() {
        let (outer, notebook) = folders();
        std::fs::create_dir(outer.path().join("precious")).expect("a folder");
        symlink(outer.path().join("precious"), notebook.join("link")).expect("a link");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let path = |name: &str| notebook.join(name);
                while !done.load(Ordering::Relaxed) {
                    let _ = std::fs::rename(path("below"), path("aside"));
                    let _ = std::fs::rename(path("link"), path("below"));
                    let _ = std::fs::rename(path("below"), path("link"));
                    let _ = std::fs::rename(path("aside"), path("below"));
                }
            });
            let (end, mut written) = (Instant::now() + Duration::from_secs(1), 0);
            while Instant::now() < end {
                let place = Folder::open(&notebook).and_then(|folder| folder.place(Path::new("below/t.npy")));
                let done = place.map(|place| place.write(&mut |mut file| file.write_all(b"numbers")));
                written += usize::from(matches!(done, Ok(Ok(()))));
            }
            done.store(true, Ordering::Relaxed);
            assert!(written > 0, "nothing was written at all");
        });
        assert_eq!(entries(&outer.path().join("precious")), 0);
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_beside_it() {
        let (_outer, notebook) = folders();
        std::fs::write(notebook.join("t.npy"), "old").expect("a file");
        let place = Folder::open(&notebook).and_then(|folder| folder.place(Path::new("t.npy")));
        let failed = place.expect("a place").write(&mut |mut file| {
            file.write_all(b"half")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert_eq!(failed.expect_err("it failed").kind(), io::ErrorKind::StorageFull);
        assert_eq!(std::fs::read(notebook.join("t.npy")).expect("there"), b"old");
        assert_eq!(entries(&notebook), 2);
    }

    #[test]
    fn only_regular_files_are_read() {
        let (_outer, notebook) = folders();
        std::fs::write(notebook.join("a"), "a").expect("a file");
        symlink("a", notebook.join("b")).expect("a link");
        symlink("/dev/zero", notebook.join("out")).expect("a link");
        rustix::fs::mkfifoat(CWD, notebook.join("fifo"), Mode::from_raw_mode(0o600)).expect("a pipe");
        let folder = Folder::open(&notebook).expect("a folder");
        let read = |name: &str| folder.existing(Path::new(name)).map(|place| place.read());
        assert!(matches!(read("a"), Ok(Ok(_))) && matches!(read("b"), Ok(Ok(_))));
        assert!(matches!(read("fifo"), Ok(Err(_))) && matches!(read("below"), Ok(Err(_))));
        assert!(matches!(read("out"), Err(Refusal::Outside)));
        assert!(matches!(read("../notebook/a"), Err(Refusal::Outside)));
    }
}
