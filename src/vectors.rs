//! Plain loops on the machine's widest vectors.

/// Runs plain loops compiled for the machine's widest vectors (AVX-512, AVX2, NEON), picked at run time. Rust never
/// contracts a multiplication and an addition by itself, nor changes the order of a sum, so what they compute is the
/// same on every machine.
///
/// What is to be compiled so must be inlined into `loops`: mark the closure and what it calls `#[inline(always)]`.
#[inline]
pub(crate) fn widest<R>(loops: impl FnOnce() -> R) -> R {
    struct Widest<F>(F);
    impl<R, F: FnOnce() -> R> rten_simd::SimdOp for Widest<F> {
        type Output = R;

        #[inline(always)]
        fn eval<I: rten_simd::Isa>(self, _: I) -> R {
            (self.0)()
        }
    }
    rten_simd::SimdOp::dispatch(Widest(loops))
}
