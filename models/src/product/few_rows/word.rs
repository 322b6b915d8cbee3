//! What a matrix is read by.

/// What a matrix is read by: one number, or several that lie side by side.
pub(super) trait Word: Copy + Sync {
    /// Numbers in it.
    const N: usize;
    fn number(self, which: usize) -> f32;
}

impl Word for f32 {
    const N: usize = 1;

    #[inline(always)]
    fn number(self, _: usize) -> f32 {
        self
    }
}

/// A bfloat16, the upper half of a float32, of a little-endian file.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Upper(u16);

impl Word for Upper {
    const N: usize = 1;

    #[inline(always)]
    fn number(self, _: usize) -> f32 {
        f32::from_bits(u32::from(u16::from_le(self.0)) << 16)
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
        let both = u32::from_le(self.0);
        f32::from_bits(if which == 0 {
            both << 16
        } else {
            both & 0xFFFF_0000
        })
    }
}

/// Bytes as words; `None` where they do not begin or end where words do.
pub(super) fn words<W: Word>(bytes: &[u8]) -> Option<&[W]> {
    // SAFETY: any bytes are such a word, which is a number and nothing else.
    let (before, words, behind) = unsafe { bytes.align_to() };
    (before.is_empty() && behind.is_empty()).then_some(words)
}
