//! Files that are read whole: regular ones alone, and none larger than what it is for.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// How large a file of a name may be, in bytes: by how the name ends, else the last row's. What is longest in use is a
/// tenth of it.
const LARGEST: [(&str, u64); 9] = [
    ("config.json", 4 << 20), // generation_config.json, tokenizer_config.json, adapter_config.json
    ("special_tokens_map.json", 4 << 20),
    ("added_tokens.json", 16 << 20),
    (".jinja", 4 << 20),
    (".index.json", 64 << 20),
    ("tokenizer.json", 256 << 20),
    ("vocab.json", 64 << 20),
    (".txt", 64 << 20),
    ("", 64 << 20),
];

pub(crate) fn largest(name: &str) -> u64 {
    let row = LARGEST.iter().find(|(end, _)| name.ends_with(end));
    row.map_or(0, |(_, largest)| *largest)
}

/// Opens a file to read it. Pipes, devices and folders are refused before they are opened: some wait for ever, some
/// never end.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for what is no file.
pub(crate) fn open(path: &Path) -> io::Result<(File, u64)> {
    let refused = || {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "a folder, a pipe or a device, not a file",
        )
    };
    if !std::fs::metadata(path)?.is_file() {
        return Err(refused());
    }
    // It may have become a pipe since: then this does not wait.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    match metadata.is_file() {
        true => Ok((file, metadata.len())),
        false => Err(refused()),
    }
}

/// The bytes of a file.
///
/// # Errors
/// As [`open`]; [`io::ErrorKind::FileTooLarge`] for one of more than `most` bytes, or of more than it says, as files of
/// `/proc` have.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let (file, length) = open(path)?;
    let too_large = |reason: String| io::Error::new(io::ErrorKind::FileTooLarge, reason);
    if length > most {
        let (length, most) = (
            crate::error::format_bytes(length),
            crate::error::format_bytes(most),
        );
        return Err(too_large(format!(
            "not a file of a sane size: {length}, more than {most}"
        )));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length as usize + 1)?;
    file.take(length + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > length {
        true => Err(too_large(
            "not a file of a sane size: it has more than it says".to_owned(),
        )),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_how_large_a_file_may_be() {
        assert_eq!(largest("config.json"), 4 << 20);
        assert_eq!(largest("generation_config.json"), 4 << 20);
        assert_eq!(largest("tokenizer.json"), 256 << 20);
        assert_eq!(largest("model.safetensors.index.json"), 64 << 20);
        assert_eq!(largest("spiece.model"), 64 << 20);
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let kind = |path: &str| read(Path::new(path), 100).unwrap_err().kind();
        assert_eq!(kind("/dev/zero"), io::ErrorKind::InvalidInput);
        assert_eq!(kind("/proc"), io::ErrorKind::InvalidInput);
        // A file that says it has nothing.
        assert_eq!(kind("/proc/self/status"), io::ErrorKind::FileTooLarge);
        assert_eq!(kind("/proc/self/nothing"), io::ErrorKind::NotFound);
        let program = std::env::current_exe().unwrap();
        assert_eq!(
            read(&program, 100).unwrap_err().kind(),
            io::ErrorKind::FileTooLarge
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn another_users_file_is_an_error() {
        let path = std::env::temp_dir().join(format!("ecco-private-{}", std::process::id()));
        std::fs::write(&path, "mine").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).unwrap();
        let other = path.clone();
        let read = std::thread::spawn(move || {
            // SAFETY: who this thread alone is to the file system: nobody, where it may say so.
            unsafe { libc::setfsuid(65_534) };
            read(&other, 100)
        });
        // SAFETY: only asks for a number.
        let may_be_others = unsafe { libc::geteuid() } == 0;
        let kind = read.join().unwrap().map_err(|error| error.kind());
        std::fs::remove_file(path).unwrap();
        match may_be_others {
            true => assert_eq!(kind, Err(io::ErrorKind::PermissionDenied)),
            false => assert_eq!(kind, Ok(b"mine".to_vec())),
        }
    }
}
