//! A logarithmic axis.

/// Values from `low` to `high` (powers of ten) on pixels from `from` to `to`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    low: i32,
    high: i32,
    from: f64,
    to: f64,
}

/// Powers of ten that an axis shows at most.
const MOST_DECADES: i32 = 14;

impl Log {
    /// An axis that shows every positive finite value of `values`; none without one.
    pub(super) fn over(values: impl IntoIterator<Item = f64>, from: f64, to: f64) -> Option<Self> {
        let usable = values.into_iter().filter(|v| v.is_finite() && *v > 0.0);
        let (low, high) = usable.fold((f64::INFINITY, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
        if low > high {
            return None;
        }
        let high = high.log10().ceil() as i32;
        let low = (low.log10().floor() as i32).max(high - MOST_DECADES).min(high - 1);
        Some(Self { low, high, from, to })
    }

    /// Where a value lies; what is below the axis at its end, what is above or infinite at the other. None for NaN.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let decades = if value > 0.0 { value.log10() } else { f64::NEG_INFINITY };
        let share = (decades - f64::from(self.low)) / f64::from(self.high - self.low);
        (!value.is_nan()).then(|| self.from + share.clamp(0.0, 1.0) * (self.to - self.from))
    }

    /// Every power of ten with its place and its name.
    pub(super) fn decades(&self) -> Vec<(f64, String)> {
        let decades = (self.low..=self.high).map(|power| (10f64.powi(power), power));
        decades.filter_map(|(v, power)| Some((self.place(v)?, name(power)))).collect()
    }
}

fn name(power: i32) -> String {
    match power {
        -3..=3 => format!("{}", 10f64.powi(power)),
        _ => format!("1e{power}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_where_their_logarithm_says() {
        let axis = Log::over([0.002, 0.5, f64::NAN, 0.0, f64::INFINITY], 300.0, 0.0).unwrap();
        assert_eq!(
            [0.001, 1.0, 0.1, 0.0, f64::INFINITY].map(|v| axis.place(v).unwrap().round()),
            [300.0, 0.0, 100.0, 300.0, 0.0]
        );
        assert_eq!(axis.place(f64::NAN), None);
        assert_eq!(axis.decades().into_iter().map(|d| d.1).collect::<Vec<_>>(), ["0.001", "0.01", "0.1", "1"]);
        assert!(Log::over([0.0, f64::NAN], 0.0, 1.0).is_none());
        assert_eq!(Log::over([1.0], 0.0, 1.0).unwrap().decades().len(), 2, "one value still has a scale");
        assert_eq!(Log::over([1e-300, 1.0], 0.0, 1.0).unwrap().decades().len(), MOST_DECADES as usize + 1);
    }
}
