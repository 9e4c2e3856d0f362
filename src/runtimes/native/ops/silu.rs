//! SiLU, also called swish: x·sigmoid(x); and the GELU of OpenAI's CLIP, x·sigmoid(1.702·x).

use rten_simd::ops::{BitOps, FloatOps, NumOps};
use rten_simd::{Isa, SimdUnaryOp};

use super::exp;

/// x / (1 + e^(−x)) in place.
pub fn silu(values: &mut [f32]) {
    Silu { slope: 1.0 }.map_mut(values);
}

/// x / (1 + e^(−1.702·x)) in place (transformers `quick_gelu`). Off the exact GELU by up to 0.02.
pub fn quick_gelu(values: &mut [f32]) {
    Silu { slope: 1.702 }.map_mut(values);
}

struct Silu {
    slope: f32,
}

impl SimdUnaryOp<f32> for Silu {
    #[inline(always)]
    fn eval<I: Isa>(&self, isa: I, x: I::F32) -> I::F32 {
        let ops = isa.f32();
        ops.div(x, ops.add(ops.one(), exp(isa, ops.mul(x, ops.splat(-self.slope)))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::sweep;

    /// Measured 1.8e-7 relative at most over 1,000,001 points against f64, of either.
    const MAX_RELATIVE: f64 = 3e-7;

    #[test]
    fn they_match_the_definition() {
        // 1.702·x is rounded to float32 on both sides: that rounding belongs to the argument
        for (activation, slope) in [(super::silu as fn(&mut [f32]), 1.0), (super::quick_gelu, 1.702_f32)] {
            let xs: Vec<f32> = sweep(-50.0, 50.0, 1_000_000).filter(|x| *x != 0.0).collect();
            let mut ys = xs.clone();
            activation(&mut ys);
            let relative = |(x, y): (&f32, &f32)| {
                let exact = f64::from(*x) / (1.0 + (-f64::from(*x * slope)).exp());
                ((f64::from(*y) - exact) / exact).abs()
            };
            let worst = xs.iter().zip(&ys).map(relative).fold(0.0, f64::max);
            assert!(worst <= MAX_RELATIVE, "{slope}: {worst:e}");
            let mut odd = [f32::NAN, 0.0];
            activation(&mut odd);
            assert!(odd[0].is_nan() && odd[1] == 0.0);
        }
    }
}
