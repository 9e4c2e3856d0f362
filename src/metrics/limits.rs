//! What a limit on a metric has to know: how far from perfect a value is, and which limits would say nothing.

/// How a value is turned into a loss, which is 0 where it is perfect: "10 % worse" and "twice that" then mean the same for
/// every metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// An error is its own loss.
    Error,
    /// Decibels are a ratio of amplitudes in another scale.
    Decibels,
    /// Lengths are perfect at 1.
    FromOne,
    /// Shares and correlations are perfect at 1 and never above.
    Share,
}

impl Loss {
    /// The loss of a value; NaN stays NaN.
    pub fn of(self, value: f64) -> f64 {
        match self {
            Self::Error => value,
            Self::Decibels => 10f64.powf(-value / 20.0),
            Self::FromOne => (value - 1.0).abs(),
            Self::Share => 1.0 - value,
        }
    }

    /// The value with that loss; where two values have it, the one that an upper limit bounds, or else a lower one.
    pub fn value(self, loss: f64, upper: bool) -> f64 {
        match self {
            Self::Error => loss,
            Self::Decibels => -20.0 * loss.log10(),
            Self::FromOne if upper => 1.0 + loss,
            Self::FromOne | Self::Share => 1.0 - loss,
        }
    }
}

/// What makes a limit on one metric a sensible one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// How far a value is from perfect.
    pub loss: Loss,
    /// Losses below this are not the candidate's, but of two float32 engines or of neighbours that are equally near.
    pub noise: f64,
    /// An upper limit past this passes anything that is not absurd, so it is refused.
    pub loosest_max: Option<f64>,
    /// The same of the largest value: one token among thousands may be lost where the others are not.
    pub loosest_largest: Option<f64>,
    /// A lower limit at or below this passes anything that is not absurd, so it is refused.
    pub loosest_min: Option<f64>,
    /// The largest value there is: a lower limit past it can never be met.
    pub highest: Option<f64>,
    /// True for an error relative to the states' own size: the wrong layer and another sentence measure something by it.
    pub relative: bool,
}

impl Limits {
    /// Any limit, no noise.
    pub const fn new(loss: Loss) -> Self {
        let none = None;
        Self {
            loss,
            noise: 0.0,
            loosest_max: none,
            loosest_largest: none,
            loosest_min: none,
            highest: none,
            relative: false,
        }
    }

    /// Losses that are nobody's.
    pub const fn noise(self, noise: f64) -> Self {
        Self { noise, ..self }
    }

    /// Upper limits, of every statistic.
    pub const fn max_up_to(self, limit: f64) -> Self {
        Self { loosest_max: Some(limit), loosest_largest: Some(limit), ..self }
    }

    /// Upper limits of the largest value.
    pub const fn largest_up_to(self, limit: f64) -> Self {
        Self { loosest_largest: Some(limit), ..self }
    }

    /// Lower limits.
    pub const fn min_above(self, limit: f64) -> Self {
        Self { loosest_min: Some(limit), ..self }
    }

    /// Shares and correlations: above 0, never above 1.
    pub const fn share() -> Self {
        Self { highest: Some(1.0), ..Self::new(Loss::Share).min_above(0.0) }
    }

    /// An error relative to the states' own size.
    pub const fn relative(self) -> Self {
        Self { relative: true, ..self }
    }
}
