//! The bytes of a file of weights, inside the program or mapped.

use std::ops::{Deref, Range};
use std::sync::Arc;

use memmap2::{MmapMut, UncheckedAdvice};

use super::watched::Watched;

pub enum WeightBytes {
    Inside(&'static [u8]),
    /// Copy-on-write: an in-place operation on a weight must neither crash nor reach the file.
    Mapped(WatchedMap),
}

/// A map that is watched for as long as it is there.
pub struct WatchedMap {
    /// Above the map: it ends before that.
    pub(super) watched: Watched,
    pub(super) map: MmapMut,
}

impl WeightBytes {
    /// Whether some of it was read where the file had ended.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Mapped(WatchedMap { watched, .. }) if watched.is_lost())
    }

    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Inside(bytes) => bytes,
            Self::Mapped(WatchedMap { map, .. }) => map,
        }
    }

    /// Gives pages back that are not needed for now; they are read from the file again if they are.
    pub fn give_back(&self, part: &[u8]) {
        let Self::Mapped(WatchedMap { map, .. }) = self else {
            return;
        };
        // SAFETY: only asks for a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(1) as usize;
        let start = (part.as_ptr() as usize - map.as_ptr() as usize).next_multiple_of(page);
        let end = (part.as_ptr() as usize - map.as_ptr() as usize + part.len()) / page * page;
        if start < end {
            // SAFETY: whole pages of this map, of whose bytes none was written: a tensor is only a view of the map
            // where it is not copied, and then nothing is given back.
            let _ = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start) };
        }
    }
}

/// A part of a file's bytes.
#[derive(Clone)]
pub struct SharedBytes {
    file: Arc<WeightBytes>,
    range: Range<usize>,
}

impl SharedBytes {
    /// A part of a file's bytes that keeps them there; `None` where they are not its own.
    pub(super) fn of(file: &Arc<WeightBytes>, part: &[u8]) -> Option<Self> {
        let start = (part.as_ptr() as usize).checked_sub(file.as_slice().as_ptr() as usize)?;
        let range = start..start + part.len();
        (range.end <= file.as_slice().len()).then(|| Self {
            file: Arc::clone(file),
            range,
        })
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.file.as_slice()[self.range.clone()]
    }
}
