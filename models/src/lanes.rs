//! Numbers that one instruction takes.
//!
//! By the processor's own instructions: left to itself the compiler keeps the sums of a loop in memory, or gathers numbers from all over
//! it, and reads a matrix at half of what memory gives.

// What makes them sound is said once, of the trait.
#![allow(clippy::undocumented_unsafe_blocks)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use std::sync::OnceLock;

/// Instructions that there is a form of the own kernels for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Any,
}

/// What is done by lanes of whatever width.
pub(crate) trait Work {
    type Result;

    /// To be inlined, with all that it calls.
    ///
    /// # Safety
    /// The processor has the lanes.
    unsafe fn by<L: Lanes>(self) -> Self::Result;
}

impl Width {
    /// Those that this processor has, the widest first.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("fma") {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
                all.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") {
                all.push(Self::Avx2);
            }
        }
        all.push(Self::Any);
        all
    }

    pub(crate) fn widest() -> Self {
        static WIDEST: OnceLock<Width> = OnceLock::new();
        *WIDEST.get_or_init(|| Self::all()[0])
    }

    /// The work, compiled for the width.
    pub(crate) fn run<W: Work>(self, work: W) -> W::Result {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512vl,fma")]
        fn avx512<W: Work>(work: W) -> W::Result {
            // SAFETY: the processor has them: `Self::all` asked.
            unsafe { work.by::<__m512>() }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn avx2<W: Work>(work: W) -> W::Result {
            // SAFETY: as above.
            unsafe { work.by::<__m256>() }
        }
        match self {
            // SAFETY: the processor has what the function is compiled for: `Self::all` asked.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { avx512(work) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2(work) },
            // SAFETY: any processor has them.
            Self::Any => unsafe { work.by::<Four>() },
        }
    }
}

/// So many numbers of float32, side by side. Its functions are to be inlined into one that is compiled for the instructions.
pub(crate) trait Lanes: Copy {
    const N: usize;

    /// The same number in all.
    ///
    /// # Safety
    /// Of this and all others: the processor has the instructions, and where there is an address, so many numbers are there.
    unsafe fn all(x: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn plus(self, other: Self) -> Self;
    /// self · factor + sum
    unsafe fn times_plus(self, factor: Self, sum: Self) -> Self;
    unsafe fn sum(self) -> f32;
    /// The numbers whose upper halves lie side by side: bfloat16, in the processor's order of bytes.
    unsafe fn load_upper(from: *const u16) -> Self;
    /// Of twice as many those at even places and those at odd ones, each by one operation.
    unsafe fn load_uppers(from: *const u32) -> [Self; 2];
}

#[cfg(target_arch = "x86_64")]
impl Lanes for __m512 {
    const N: usize = 16;

    #[inline(always)]
    unsafe fn all(x: f32) -> Self {
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        unsafe { _mm512_add_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn times_plus(self, factor: Self, sum: Self) -> Self {
        unsafe { _mm512_fmadd_ps(self, factor, sum) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        unsafe { _mm512_reduce_add_ps(self) }
    }

    #[inline(always)]
    unsafe fn load_upper(from: *const u16) -> Self {
        unsafe {
            let halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
        }
    }

    #[inline(always)]
    unsafe fn load_uppers(from: *const u32) -> [Self; 2] {
        unsafe {
            let both = _mm512_loadu_si512(from.cast());
            let odd = _mm512_and_si512(both, _mm512_set1_epi32(UPPER));
            let even = _mm512_slli_epi32::<16>(both);
            [_mm512_castsi512_ps(even), _mm512_castsi512_ps(odd)]
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for __m256 {
    const N: usize = 8;

    #[inline(always)]
    unsafe fn all(x: f32) -> Self {
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        unsafe { _mm256_add_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn times_plus(self, factor: Self, sum: Self) -> Self {
        unsafe { _mm256_fmadd_ps(self, factor, sum) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(self), _mm256_extractf128_ps::<1>(self));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    unsafe fn load_upper(from: *const u16) -> Self {
        unsafe {
            let halves = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(halves))
        }
    }

    #[inline(always)]
    unsafe fn load_uppers(from: *const u32) -> [Self; 2] {
        unsafe {
            let both = _mm256_loadu_si256(from.cast());
            let odd = _mm256_and_si256(both, _mm256_set1_epi32(UPPER));
            let even = _mm256_slli_epi32::<16>(both);
            [_mm256_castsi256_ps(even), _mm256_castsi256_ps(odd)]
        }
    }
}

/// The half of a float32 that is a bfloat16.
const UPPER: i32 = 0xFFFF_0000_u32 as i32;

/// What any processor has.
#[derive(Clone, Copy)]
pub(crate) struct Four([f32; 4]);

impl Four {
    #[inline(always)]
    fn of(number: impl Fn(usize) -> f32) -> Self {
        Self(std::array::from_fn(number))
    }
}

impl Lanes for Four {
    const N: usize = 4;

    #[inline(always)]
    unsafe fn all(x: f32) -> Self {
        Self([x; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        Self::of(|lane| self.0[lane] + other.0[lane])
    }

    #[inline(always)]
    unsafe fn times_plus(self, factor: Self, sum: Self) -> Self {
        Self::of(|lane| match cfg!(target_arch = "aarch64") {
            true => self.0[lane].mul_add(factor.0[lane], sum.0[lane]),
            // Where it is not sure to be an instruction, a fused operation is a call of a library.
            false => self.0[lane] * factor.0[lane] + sum.0[lane],
        })
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let [a, b, c, d] = self.0;
        (a + c) + (b + d)
    }

    #[inline(always)]
    unsafe fn load_upper(from: *const u16) -> Self {
        Self::of(|lane| f32::from_bits(u32::from(unsafe { from.add(lane).read() }) << 16))
    }

    #[inline(always)]
    unsafe fn load_uppers(from: *const u32) -> [Self; 2] {
        let both = unsafe { from.cast::<[u32; 4]>().read_unaligned() };
        [
            Self::of(|lane| f32::from_bits(both[lane] << 16)),
            Self::of(|lane| f32::from_bits(both[lane] & UPPER as u32)),
        ]
    }
}
