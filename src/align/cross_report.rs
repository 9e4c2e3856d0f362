//! What the cross-match found: the matrix, and what it proves or refuses.

use serde::{Deserialize, Serialize};

use crate::finding::{Code, Finding, Severity, codes};
use crate::hidden_states::Tap;
use crate::json_float;

/// A tap must resemble its own partner more than any other: the code of what does not.
const CROSS_MATCH: &Code = &codes::ALIGNMENT_CROSS_MATCH;
/// Nothing to judge by.
const NO_EVIDENCE: &Code = &codes::ALIGNMENT_NO_EVIDENCE;
/// NaN or infinite states: the `non_finite` metric fails the run; this says why the matrix is silent.
const NOT_COMPUTABLE: &Code = &codes::ALIGNMENT_NOT_COMPUTABLE;

/// From here on the nearest tap is near by accident: two states of one length are 1 apart when the angle
/// between them is 60 degrees, and unrelated ones √2.
const RESEMBLANCE: f64 = 1.0;

/// Distances between every reference tap and every candidate tap.
///
/// Each is √(Σ‖c−r‖² / ½(Σ‖r‖² + Σ‖c‖²)), the relative L2 against the mean energy of the two. Divided
/// by the reference's energy alone, a tap of large norm would look close to anything smaller, and a
/// column's minimum would be decided by norms; this way two unrelated taps are √2 apart whatever their
/// norms, opposite ones 2, equal ones 0, and rows and columns are judged by the same number. For a
/// faithful pair the two definitions agree. Different widths: +∞. Non-finite states: NaN.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CrossMatchReport {
    /// Rows of the matrix.
    pub reference_taps: Vec<Tap>,
    /// Columns of the matrix.
    pub candidate_taps: Vec<Tap>,
    /// `[reference][candidate]`.
    #[serde(with = "json_float::matrix")]
    #[schemars(with = "Vec<Vec<json_float::Written>>")]
    pub relative_l2: Vec<Vec<f64>>,
    /// Tokens behind every cell.
    #[serde(default)]
    pub tokens: u64,
    /// Tokens with a NaN or an infinity at any tap of either side.
    #[serde(default)]
    pub non_finite: u64,
    /// Groups of taps that are one point of the computation; within a group nothing needs telling apart.
    #[serde(default)]
    pub identical: Vec<Vec<Tap>>,
}

impl CrossMatchReport {
    fn at(&self, r: usize, c: usize) -> f64 {
        self.relative_l2.get(r).and_then(|row| row.get(c)).copied().unwrap_or(f64::NAN)
    }

    /// True for taps that are the same point of the computation.
    fn same(&self, a: Tap, b: Tap) -> bool {
        a == b || self.identical.iter().any(|g| g.contains(&a) && g.contains(&b))
    }

    /// The place in `taps` of `tap`, or else of a tap that is the same point.
    fn partner(&self, tap: Tap, taps: &[Tap]) -> Option<usize> {
        taps.iter().position(|t| *t == tap).or_else(|| taps.iter().position(|t| self.same(*t, tap)))
    }

    /// What the matrix proves wrong, or cannot prove. Empty: every tap resembles its partner most.
    pub fn findings(&self) -> Vec<Finding> {
        if self.tokens == 0 {
            let message = "the cross-match saw no token: nothing proves that the two sides compare the same taps";
            return vec![Finding::new(Severity::Refusal, NO_EVIDENCE, message)];
        }
        let mut findings = Vec::new();
        let mut named = Vec::new();
        for (c, &tap) in self.candidate_taps.iter().enumerate() {
            let distances = (0..self.reference_taps.len()).map(|r| self.at(r, c)).collect();
            let line = Line { side: "candidate", tap, other_side: "reference", taps: &self.reference_taps, distances };
            match self.judge(&line) {
                Judged::Good => {}
                Judged::LooksLike(r, finding) => {
                    named.push((r, c));
                    findings.push(finding);
                }
                Judged::Bad(finding) => findings.push(finding),
            }
        }
        for (r, &tap) in self.reference_taps.iter().enumerate() {
            let distances = (0..self.candidate_taps.len()).map(|c| self.at(r, c)).collect();
            let line = Line { side: "reference", tap, other_side: "candidate", taps: &self.candidate_taps, distances };
            match self.judge(&line) {
                Judged::LooksLike(c, finding) if !named.contains(&(r, c)) => findings.push(finding),
                Judged::Bad(finding) if !self.is_told(tap, &finding, &findings) => findings.push(finding),
                // The same two taps, told from the other side, are no second finding.
                _ => {}
            }
        }
        self.contrast(&mut findings);
        findings
    }

    /// True if a candidate tap of the same name has a finding of this kind already.
    fn is_told(&self, tap: Tap, finding: &Finding, findings: &[Finding]) -> bool {
        let start = format!("candidate `{tap}` ");
        findings
            .iter()
            .any(|f| f.code == finding.code && f.severity == finding.severity && f.message.starts_with(&start))
    }

    /// Places in `taps` of everything that is not the same point as `tap`.
    fn others<'a>(&'a self, tap: Tap, taps: &'a [Tap]) -> impl Iterator<Item = usize> + 'a {
        (0..taps.len()).filter(move |&i| !self.same(taps[i], tap))
    }

    /// Judges one row or column of the matrix.
    fn judge(&self, line: &Line<'_>) -> Judged {
        let Line { side, tap, other_side, taps, distances } = line;
        let refusal = |code, message| Finding::new(Severity::Refusal, code, message);
        let Some(own_place) = self.partner(*tap, taps) else {
            let message =
                format!("{side} `{tap}` has no partner on the {other_side} side: it was compared with nothing");
            return Judged::Bad(refusal(CROSS_MATCH, message));
        };
        let (partner, own) = (taps[own_place], distances[own_place]);
        if own.is_nan() {
            let subject = format!("{side} `{tap}` cannot be matched with {other_side} `{partner}`");
            return Judged::Bad(match self.non_finite {
                // Both sides all zero is the other way to get here, and no other gate refuses that.
                0 => refusal(NO_EVIDENCE, format!("{subject}: all states are zero")),
                n => {
                    let message = format!("{subject}: {n} of {} tokens are not finite", self.tokens);
                    Finding::new(Severity::Note, NOT_COMPUTABLE, message)
                }
            });
        }
        if own.is_infinite() {
            let message = format!(
                "{side} `{tap}` and {other_side} `{partner}` have states of different widths: they are not the same point"
            );
            return Judged::Bad(refusal(CROSS_MATCH, message));
        }
        let others = self.others(*tap, taps).map(|i| (i, distances[i])).filter(|(_, d)| !d.is_nan());
        // Strict: a tap as near as the partner is as good a partner.
        let Some((place, distance)) = others.min_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, d)| *d <= own) else {
            return Judged::Good;
        };
        let (other, own_shown) = (taps[place], shown(own));
        if distance >= RESEMBLANCE {
            let message = format!(
                "{side} `{tap}` resembles no tap of the {other_side} (relative L2 {own_shown} to its own `{partner}`, {} to \
                 the nearest other, where unrelated states are 1.41 apart): nothing shows that it is the same point",
                shown(distance)
            );
            return Judged::Bad(refusal(CROSS_MATCH, message));
        }
        let message = if distance < own {
            let distance = shown(distance);
            format!(
                "{side} `{tap}` looks like {other_side} `{other}` (relative L2 {distance} against {own_shown} to its own \
                 `{partner}`): what was compared is not the same point"
            )
        } else {
            format!(
                "{side} `{tap}` is as close to {other_side} `{other}` as to its own `{partner}` (relative L2 \
                 {own_shown}): nothing tells the two taps apart"
            )
        };
        Judged::LooksLike(place, refusal(CROSS_MATCH, message))
    }

    /// A diagonal proves nothing if there was nothing to be smaller than.
    fn contrast(&self, findings: &mut Vec<Finding>) {
        let mut pairs = 0;
        let mut finite = 0;
        for (r, &a) in self.reference_taps.iter().enumerate() {
            for c in self.others(a, &self.candidate_taps) {
                pairs += 1;
                finite += usize::from(self.at(r, c).is_finite());
            }
        }
        if finite == 0 && (pairs == 0 || self.non_finite == 0) {
            let message = "the cross-match has no two different taps to tell apart: nothing proves that the right ones were compared";
            findings.push(Finding::new(Severity::Refusal, NO_EVIDENCE, message));
        } else if finite < pairs && self.non_finite > 0 && !findings.iter().any(|f| f.is(NOT_COMPUTABLE)) {
            let message = format!(
                "{} of {pairs} pairs of taps cannot be told apart: {} of {} tokens are not finite",
                pairs - finite,
                self.non_finite,
                self.tokens
            );
            findings.push(Finding::new(Severity::Note, NOT_COMPUTABLE, message));
        }
    }
}

/// A row or a column of the matrix: one tap against all taps of the other side.
struct Line<'a> {
    side: &'static str,
    tap: Tap,
    other_side: &'static str,
    taps: &'a [Tap],
    distances: Vec<f64>,
}

/// What one line says.
enum Judged {
    /// The tap resembles its partner most.
    Good,
    /// It resembles the tap at this place at least as much.
    LooksLike(usize, Finding),
    /// It cannot be judged.
    Bad(Finding),
}

/// Two decimals where they say something, else scientific.
fn shown(x: f64) -> String {
    if x == 0.0 || x >= 0.01 { format!("{x:.2}") } else { format!("{x:.1e}") }
}

#[cfg(test)]
#[path = "cross_match_tests.rs"]
mod tests;
