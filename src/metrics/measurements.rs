//! Measurements as a collection: in the order they were made, found by where they stand.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Measurement, Mode};
use crate::hidden_states::{Arm, Tap};

/// Every metric at every tap of every arm; JSON has them as a plain list.
///
/// They are read, not changed: whoever has other numbers collects them anew.
#[derive(Clone, Debug, Default)]
pub struct Measurements {
    all: Vec<Measurement>,
    places: BTreeMap<(Tap, Arm, Mode), Vec<usize>>,
}

impl Measurements {
    /// Places in the list of that metric there, in order: none where it was not measured, and more than one where two
    /// summaries contradict each other.
    fn positions<'a>(
        &'a self,
        tap: Tap,
        arm: Arm,
        mode: Mode,
        metric: &'a str,
    ) -> impl Iterator<Item = usize> + use<'a> {
        let here = self.places.get(&(tap, arm, mode)).into_iter().flatten().copied();
        here.filter(move |&i| self.all[i].metric == metric)
    }

    /// The place in the list of that metric there; the first where there are several.
    pub fn position(&self, tap: Tap, arm: Arm, mode: Mode, metric: &str) -> Option<usize> {
        self.positions(tap, arm, mode, metric).next()
    }

    /// The measurement of that metric there; the first where there are several.
    pub fn of(&self, tap: Tap, arm: Arm, mode: Mode, metric: &str) -> Option<&Measurement> {
        self.position(tap, arm, mode, metric).map(|i| &self.all[i])
    }

    /// The same where it is told once: two summaries of one thing contradict each other, and neither is believed.
    pub fn only(&self, tap: Tap, arm: Arm, mode: Mode, metric: &str) -> Option<&Measurement> {
        let mut found = self.positions(tap, arm, mode, metric);
        let first = found.next()?;
        found.next().is_none().then(|| &self.all[first])
    }

    /// That metric of that arm, wherever and however it was measured.
    pub fn of_arm<'a>(&'a self, arm: Arm, metric: &'a str) -> impl Iterator<Item = &'a Measurement> {
        self.all.iter().filter(move |m| m.arm == arm && m.metric == metric)
    }

    /// True where nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Every tap that was measured, in the order of the forward pass.
    pub fn taps(&self) -> Vec<Tap> {
        let taps: BTreeSet<Tap> = self.places.keys().map(|&(tap, ..)| tap).collect();
        taps.into_iter().collect()
    }

    /// Every tap at which that arm was measured as the error arrives there, in the order of the forward pass.
    pub fn accumulated_taps(&self, arm: Arm) -> impl Iterator<Item = Tap> {
        self.places.keys().filter(move |&&(_, a, mode)| (a, mode) == (arm, Mode::Accumulated)).map(|&(tap, ..)| tap)
    }

    /// Every arm and tap that was measured, in either mode.
    pub fn arms_and_taps(&self) -> BTreeSet<(Arm, Tap)> {
        self.places.keys().map(|&(tap, arm, _)| (arm, tap)).collect()
    }
}

impl Deref for Measurements {
    type Target = [Measurement];

    fn deref(&self) -> &[Measurement] {
        &self.all
    }
}

impl PartialEq for Measurements {
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

impl From<Vec<Measurement>> for Measurements {
    fn from(all: Vec<Measurement>) -> Self {
        let mut places: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (i, m) in all.iter().enumerate() {
            places.entry((m.tap, m.arm, m.mode)).or_default().push(i);
        }
        Self { all, places }
    }
}

impl<const N: usize> From<[Measurement; N]> for Measurements {
    fn from(all: [Measurement; N]) -> Self {
        Vec::from(all).into()
    }
}

impl FromIterator<Measurement> for Measurements {
    fn from_iter<I: IntoIterator<Item = Measurement>>(all: I) -> Self {
        all.into_iter().collect::<Vec<_>>().into()
    }
}

impl<'a> IntoIterator for &'a Measurements {
    type Item = &'a Measurement;
    type IntoIter = std::slice::Iter<'a, Measurement>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.iter()
    }
}

impl Serialize for Measurements {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.all.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Measurements {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Vec::deserialize(d).map(Self::from)
    }
}

impl JsonSchema for Measurements {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Measurements".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<Measurement>::json_schema(generator)
    }
}

#[cfg(test)]
impl Measurements {
    /// Changes every one, as a test wants it.
    pub(crate) fn change(&mut self, change: impl FnMut(&mut Measurement)) {
        let mut all = std::mem::take(self).all;
        all.iter_mut().for_each(change);
        *self = all.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hidden_states::{RowId, RowSet};
    use crate::metrics::TapAccumulator;

    fn at(tap: Tap, arm: Arm, mode: Mode) -> Vec<Measurement> {
        let mut accumulator = TapAccumulator::new(tap, arm, mode, None);
        accumulator.add_row(RowId { set: RowSet::Corpus, row: 0 }, &[1.0, 2.0], &[1.0, 2.5], 2).unwrap();
        accumulator.finish()
    }

    #[test]
    fn what_was_measured_is_found_where_it_stands_and_only_there() {
        let (here, engine) = (Tap::Layer(1), at(Tap::Layer(0), Arm::Engine, Mode::Isolated));
        let all: Measurements = [at(here, Arm::Quantization, Mode::Accumulated), engine].concat().into();
        let found = |tap, arm, mode| all.of(tap, arm, mode, "relative_l2").map(|m| (m.tap, m.arm, m.mode));
        for place in [(here, Arm::Quantization, Mode::Accumulated), (Tap::Layer(0), Arm::Engine, Mode::Isolated)] {
            assert_eq!(found(place.0, place.1, place.2), Some(place));
        }
        assert_eq!(found(here, Arm::Engine, Mode::Accumulated), None);
        assert_eq!(found(here, Arm::Quantization, Mode::Isolated), None);
        assert!(all.of(here, Arm::Quantization, Mode::Accumulated, "no_metric").is_none());
        assert_eq!(all.taps(), [Tap::Layer(0), here]);
        assert_eq!(all.accumulated_taps(Arm::Engine).count(), 0);
        assert_eq!(all.accumulated_taps(Arm::Quantization).collect::<Vec<_>>(), [here]);
    }

    #[test]
    fn of_two_summaries_of_one_thing_neither_is_the_only_one() {
        let one = at(Tap::Final, Arm::Engine, Mode::Accumulated);
        let (once, twice) = (Measurements::from(one.clone()), Measurements::from([one.clone(), one].concat()));
        let only = |all: &Measurements| all.only(Tap::Final, Arm::Engine, Mode::Accumulated, "relative_l2").is_some();
        assert!(only(&once) && !only(&twice));
        assert_eq!(twice.position(Tap::Final, Arm::Engine, Mode::Accumulated, &twice[0].metric), Some(0));
    }

    #[test]
    fn in_json_they_are_a_list() {
        let all: Measurements = at(Tap::Final, Arm::Engine, Mode::Accumulated).into();
        let json = serde_json::to_string(&all).unwrap();
        assert_eq!(json, serde_json::to_string(&all.to_vec()).unwrap());
        assert_eq!(serde_json::from_str::<Measurements>(&json).unwrap(), all);
    }
}
