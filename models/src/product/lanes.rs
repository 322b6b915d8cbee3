//! Numbers side by side, as the processor's instructions have them. A kernel is written once over [`Lanes`] and compiled for
//! each [`Set`] of instructions; the machine's best is picked when it runs.

#![allow(
    unsafe_op_in_unsafe_fn,
    reason = "in kernels all is under the contract of the function"
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Instructions that a kernel is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Set {
    /// Those that this machine has, the fastest first.
    pub(super) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                all.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                all.push(Self::Avx2);
            }
        }
        all.push(Self::Portable);
        all
    }

    pub(super) fn best() -> Self {
        static BEST: std::sync::OnceLock<Set> = std::sync::OnceLock::new();
        *BEST.get_or_init(|| Self::all()[0])
    }
}

/// Some numbers in one register.
///
/// # Safety
/// All functions: the machine has the instructions; pointers lead to [`Lanes::N`] numbers.
pub(super) trait Lanes: Copy {
    const N: usize;
    unsafe fn zero() -> Self;
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    /// bfloat16 is the upper half of a float32.
    unsafe fn load_bf16(from: *const u16) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// self · b + c
    unsafe fn times_plus(self, b: Self, c: Self) -> Self;
    unsafe fn sum(self) -> f32;
}

#[cfg(target_arch = "x86_64")]
impl Lanes for __m512 {
    const N: usize = 16;
    #[inline(always)]
    unsafe fn zero() -> Self {
        _mm512_setzero_ps()
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        _mm512_set1_ps(value)
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        _mm512_loadu_ps(from)
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        let halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        _mm512_storeu_ps(to, self)
    }
    #[inline(always)]
    unsafe fn times_plus(self, b: Self, c: Self) -> Self {
        _mm512_fmadd_ps(self, b, c)
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        _mm512_reduce_add_ps(self)
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for __m256 {
    const N: usize = 8;
    #[inline(always)]
    unsafe fn zero() -> Self {
        _mm256_setzero_ps()
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        _mm256_set1_ps(value)
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        _mm256_loadu_ps(from)
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        let halves = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(halves))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        _mm256_storeu_ps(to, self)
    }
    #[inline(always)]
    unsafe fn times_plus(self, b: Self, c: Self) -> Self {
        _mm256_fmadd_ps(self, b, c)
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let mut numbers = [0.0; 8];
        self.store(numbers.as_mut_ptr());
        numbers.iter().sum()
    }
}

/// What the compiler makes of it.
impl Lanes for [f32; 4] {
    const N: usize = 4;
    #[inline(always)]
    unsafe fn zero() -> Self {
        [0.0; 4]
    }
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        [value; 4]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        from.cast::<Self>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const u16) -> Self {
        let halves = from.cast::<[u16; 4]>().read_unaligned();
        halves.map(|half| f32::from_bits(u32::from(half) << 16))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        to.cast::<Self>().write_unaligned(self)
    }
    #[inline(always)]
    unsafe fn times_plus(self, b: Self, c: Self) -> Self {
        std::array::from_fn(|at| self[at] * b[at] + c[at])
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        self.iter().sum()
    }
}
