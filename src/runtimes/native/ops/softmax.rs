//! Softmax over a row, with the largest value taken off first.

/// `x[i] = exp(x[i] − max) / Σ exp(x[j] − max)`, in place. A NaN makes the whole row NaN.
pub fn softmax(x: &mut [f32]) {
    let mut largest = f32::NEG_INFINITY;
    for &v in x.iter() {
        if v > largest || v.is_nan() {
            largest = v;
        }
    }
    let mut sum = 0.0f64;
    for v in x.iter_mut() {
        *v = (*v - largest).exp();
        sum += f64::from(*v);
    }
    let scale = (1.0 / sum) as f32;
    x.iter_mut().for_each(|v| *v *= scale);
}

#[cfg(test)]
mod tests {
    use super::softmax;

    #[test]
    fn sums_to_one_keeps_order_and_does_not_overflow() {
        let mut x = vec![1000.0f32, 999.0, -1000.0];
        softmax(&mut x);
        assert!((x.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((f64::from(x[0] / x[1]) - std::f64::consts::E).abs() < 1e-5 && x[2] == 0.0);
        let mut bad = vec![1.0, f32::NAN, 2.0];
        softmax(&mut bad);
        assert!(bad.iter().all(|v| v.is_nan()));
    }
}
