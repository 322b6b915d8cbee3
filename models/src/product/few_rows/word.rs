//! What a matrix is read by.

use crate::lanes::Lanes;

/// What a matrix is read by: one number, or several that lie side by side.
pub(super) trait Word: Copy + Sync {
    /// Numbers in it.
    const N: usize;

    fn number(self, which: usize) -> f32;

    /// The first numbers of as many words as there are lanes, and their second ones where they have any.
    ///
    /// # Safety
    /// That of [`Lanes`].
    unsafe fn load<L: Lanes>(from: *const Self) -> [L; 2];
}

impl Word for f32 {
    const N: usize = 1;

    #[inline(always)]
    fn number(self, _: usize) -> f32 {
        self
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const Self) -> [L; 2] {
        // SAFETY: as the caller promises.
        [unsafe { L::load(from) }; 2]
    }
}

/// A bfloat16, the upper half of a float32.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Upper(u16);

impl Word for Upper {
    const N: usize = 1;

    #[inline(always)]
    fn number(self, _: usize) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const Self) -> [L; 2] {
        // SAFETY: as the caller promises.
        [unsafe { L::load_upper(from.cast()) }; 2]
    }
}

/// Two of them, which become numbers by one operation each.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Uppers(u32);

impl Word for Uppers {
    const N: usize = 2;

    #[inline(always)]
    fn number(self, which: usize) -> f32 {
        f32::from_bits(match which {
            0 => self.0 << 16,
            _ => self.0 & 0xFFFF_0000,
        })
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const Self) -> [L; 2] {
        // SAFETY: as the caller promises.
        unsafe { L::load_uppers(from.cast()) }
    }
}

/// Bytes of little-endian numbers as words; `None` where they do not begin or end where words do, or the processor reads numbers
/// the other way round.
pub(super) fn words<W: Word>(bytes: &[u8]) -> Option<&[W]> {
    // SAFETY: any bytes are such a word, which is a number and nothing else.
    let (before, words, behind) = unsafe { bytes.align_to() };
    let fits = before.is_empty() && behind.is_empty();
    (fits && cfg!(target_endian = "little")).then_some(words)
}
