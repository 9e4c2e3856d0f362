//! By which law the scales of a tensor were laid: a few numbers of each group tell, where all codes are the nearest ones.

use super::reproduce::{self, Rules};
use super::stored::Stored;
use super::twin_row::{Method, Quantizer};

/// How far a stored scale or bias may be from its law, in roundings to the stored type: the law's own, and that of the
/// weights that it was applied to.
const RANGE_ROUNDINGS: f64 = 2.0;

/// How a group's scale and bias are laid, whoever laid them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Laid {
    /// The scale is the weights' range over the number of steps.
    range: bool,
    /// The lowest code is the smallest weight.
    low: bool,
    /// Codes lie as far below zero as above, and the largest size of a weight is the last.
    symmetric: bool,
    /// Codes reach no farther than the weights.
    inside: bool,
    /// They reach less far.
    narrower: bool,
    /// What gives it, code for code.
    rules: Rules,
}

/// What holds in a tensor whose scales were laid by a law.
struct Law {
    method: Method,
    /// What holds in each group.
    holds: fn(&Laid) -> bool,
    /// Share of the groups it must hold in.
    share: f64,
    /// What tells the law from a stricter one.
    tells: fn(&Laid) -> bool,
    /// Share of the groups it must hold in.
    told: f64,
}

/// From the strictest; the first that holds is the tensor's. Shares measured on the layers' matrices, poolers and tables of
/// the shipped model and the real MiniLM at 8 and 4 bits, as `scripts/quantizers` makes them.
const LAWS: &[Law] = &[
    // All groups of symmetric scales, at most 1.2 % of any other's.
    Law { method: Method::Symmetric, holds: |l| l.symmetric, share: 0.98, tells: |l| l.symmetric, told: 0.98 },
    // All groups of plain ones and 99.7 % of 8-bit ones that found nothing to clip; HQQ 75 % at most, AWQ's clipping 94 %.
    Law { method: Method::MinMax, holds: |l| l.range && l.low, share: 0.98, tells: |l| l.low, told: 0.98 },
    // All groups of HQQ, and the zero point is elsewhere in 25 % of groups at least; the scale of others in 25 % at most.
    Law { method: Method::HalfQuadratic, holds: |l| l.range, share: 0.98, tells: |l| !l.low, told: 0.1 },
    // 97.3 % of groups at least, alternating ones that had not settled; of others 63 % at most, in a table of two rows 75 %.
    Law { method: Method::Fitted, holds: |l| l.rules.fitted, share: 0.9, tells: |l| l.rules.fitted, told: 0.9 },
    // All groups of clipped ones, 74 % of any other law's that is not the range's; narrower in 5.6 % at least.
    Law { method: Method::Clipped, holds: |l| l.inside, share: 0.98, tells: |l| l.narrower, told: 0.02 },
];

impl Stored<'_> {
    pub(super) fn laid(&self) -> Laid {
        let (low, high) = self.weights.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), w| {
            let w = f64::from(*w);
            (l.min(w), h.max(w))
        });
        let (first, last) = (self.bias, self.bias + self.most * self.scale);
        let slack = RANGE_ROUNDINGS
            * (self.unit() * (self.bias.abs() + self.most * self.scale.abs()) + self.most * self.smallest());
        let reach = (last - first).abs();
        let inside = first.min(last) >= low - slack && first.max(last) <= high + slack;
        Laid {
            range: self.near(self.scale, (high - low) / self.most),
            low: self.near(self.bias, low),
            symmetric: self.is_symmetric(low.abs().max(high.abs())),
            inside,
            narrower: inside && reach < (high - low) * (1.0 - 4.0 * RANGE_ROUNDINGS * self.unit()),
            rules: reproduce::rules(self),
        }
    }

    /// With zero between two codes or on one, and the last code on the largest size.
    fn is_symmetric(&self, largest: f64) -> bool {
        let middle = self.most / 2.0;
        let zero = [middle, middle + 0.5].into_iter().any(|zero| self.near(self.bias, -zero * self.scale));
        let reach = |steps: f64| steps > 0.0 && self.near(self.scale.abs(), largest / steps);
        zero && [middle, middle - 0.5, middle + 0.5].into_iter().any(reach)
    }

    fn near(&self, stored: f64, law: f64) -> bool {
        (stored - law).abs() <= RANGE_ROUNDINGS * (self.unit() * law.abs() + self.smallest())
    }
}

/// In how many of a tensor's groups each law holds, and what tells it from a stricter one.
#[derive(Clone, Debug, Default)]
pub(super) struct Laws {
    groups: u64,
    counts: [(u64, u64); LAWS.len()],
    /// What gives all of them, code for code; none before any was looked at.
    rules: Option<Rules>,
}

impl Laws {
    pub(super) fn add(&mut self, group: &Laid) {
        self.groups += 1;
        self.rules = Some(self.rules.map_or(group.rules, |all| all.and(group.rules)));
        for (law, (holds, tells)) in LAWS.iter().zip(&mut self.counts) {
            *holds += u64::from((law.holds)(group));
            *tells += u64::from((law.tells)(group));
        }
    }

    /// Who made a tensor that keeps a rule of rounding. One that keeps none is unknown until its outputs are.
    pub(super) fn method(&self, rule: Quantizer) -> Method {
        let first = || self.first().unwrap_or(Method::Unknown);
        match rule {
            Quantizer::Mlx => Method::Mlx,
            Quantizer::Nearest => first(),
            Quantizer::RetrainedScales if first() == Method::Fitted => Method::Fitted,
            Quantizer::RetrainedScales => Method::Dwq,
            Quantizer::Stochastic => Method::Stochastic,
            Quantizer::Unknown => Method::Unknown,
        }
    }

    /// Nothing was left to choose: one rule gives every code, scale and bias of a tensor that was made so. Least squares
    /// say nothing of codes that are not MLX's.
    pub(super) fn is_fixed(&self, rule: Quantizer, method: Method) -> bool {
        let rules = self.rules.unwrap_or_default();
        match method {
            Method::Mlx => true,
            Method::MinMax => rules.plain(),
            Method::Symmetric => rules.symmetric(),
            Method::Fitted => rule == Quantizer::RetrainedScales && rules.fitted,
            _ => false,
        }
    }

    /// Which rules make the whole tensor; none where no group was looked at.
    pub(super) fn rules(&self) -> Option<Rules> {
        self.rules
    }

    fn first(&self) -> Option<Method> {
        let least = |share: f64| share * self.groups as f64;
        let holds = |(law, (holds, tells)): &(&Law, &(u64, u64))| {
            *holds as f64 >= least(law.share) && *tells as f64 >= least(law.told)
        };
        LAWS.iter().zip(&self.counts).find(holds).filter(|_| self.groups > 0).map(|(law, _)| law.method)
    }
}
