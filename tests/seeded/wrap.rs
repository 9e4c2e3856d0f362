//! Encoders with a fault of their own, put in the place of good ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use parallax::hidden_states::{HiddenStates, RowSet, Tap, TapStates};
use parallax::runtimes::native::NativeEncoder;
use parallax::runtimes::{Encoder, RunError};
use parallax::sides::Sides;
use parallax::tokens::TokenBatch;

/// The states of a batch, free to be changed: per tap `[tokens, hidden]`, rows end to end.
pub(crate) type Open = BTreeMap<Tap, Vec<f32>>;

/// What a fault does to a batch's states.
pub(crate) type Change = fn(&TokenBatch, usize, &mut Open);

/// A good encoder whose states are changed on their way out.
struct Changed {
    inner: Box<dyn Encoder>,
    change: Change,
}

impl Encoder for Changed {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn taps(&self) -> &[Tap] {
        self.inner.taps()
    }

    fn encode(&self, batch: &TokenBatch) -> Result<HiddenStates, RunError> {
        let states = self.inner.encode(batch)?;
        let hidden = states.iter().next().map_or(0, |(_, s)| s.hidden());
        let all = |s: &TapStates| (0..s.rows()).flat_map(|r| s.row(r).to_vec()).collect();
        let mut open: Open = states.iter().map(|(tap, s)| (tap, all(s))).collect();
        (self.change)(batch, hidden, &mut open);
        let mut out = HiddenStates::new();
        for tap in self.inner.taps() {
            let values = open.remove(tap).unwrap();
            out.insert(*tap, Arc::new(TapStates::ragged(hidden, batch.offsets(), values).unwrap()));
        }
        Ok(out)
    }

    fn layer(&self, k: usize, states: &TapStates) -> Result<Option<TapStates>, RunError> {
        self.inner.layer(k, states)
    }
}

/// An encoder that runs its layers one by one, each fed with states that were changed.
struct Stepped {
    inner: NativeEncoder,
    /// Changes the states that enter layer `k`.
    enter: fn(usize, &mut [f32]),
    /// Which layer runs as the `k`-th; none runs none.
    order: fn(usize) -> Option<usize>,
}

impl Encoder for Stepped {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn taps(&self) -> &[Tap] {
        self.inner.taps()
    }

    fn encode(&self, batch: &TokenBatch) -> Result<HiddenStates, RunError> {
        let whole = self.inner.encode(batch)?;
        let mut states = Arc::clone(whole.get(Tap::Embeddings).unwrap());
        let mut out = HiddenStates::new();
        out.insert(Tap::Embeddings, Arc::clone(&states));
        for k in 0..self.inner.layers() {
            if let Some(layer) = (self.order)(k) {
                let mut values: Vec<f32> = (0..states.rows()).flat_map(|r| states.row(r).to_vec()).collect();
                (self.enter)(k, &mut values);
                let entering = TapStates::ragged(states.hidden(), batch.offsets(), values).unwrap();
                states = Arc::new(Encoder::layer(&self.inner, layer, &entering)?.unwrap());
            }
            out.insert(Tap::Layer(k), Arc::clone(&states));
        }
        out.insert(Tap::Final, states);
        Ok(out)
    }
}

/// An encoder that takes padding for text: rows are filled up with `[PAD]` to the longest of the batch.
struct Unmasked(Box<dyn Encoder>);

impl Encoder for Unmasked {
    fn describe(&self) -> String {
        self.0.describe()
    }

    fn taps(&self) -> &[Tap] {
        self.0.taps()
    }

    fn encode(&self, batch: &TokenBatch) -> Result<HiddenStates, RunError> {
        let mut padded = TokenBatch::new();
        for r in 0..batch.rows() {
            let fill = |ids: &[u32]| [ids, &vec![0; batch.longest() - ids.len()]].concat();
            padded.push(batch.row_id(r), &fill(batch.ids(r)), &fill(batch.type_ids(r)));
        }
        let states = self.0.encode(&padded)?;
        let mut out = HiddenStates::new();
        for (tap, s) in states.iter() {
            let real = (0..s.rows()).flat_map(|r| s.row(r)[..batch.len(r) * s.hidden()].to_vec()).collect();
            out.insert(tap, Arc::new(TapStates::ragged(s.hidden(), batch.offsets(), real).unwrap()));
        }
        Ok(out)
    }
}

/// Holds a place while the encoder that was there is wrapped.
struct Nobody;

impl Encoder for Nobody {
    fn describe(&self) -> String {
        String::new()
    }

    fn taps(&self) -> &[Tap] {
        &[]
    }

    fn encode(&self, _: &TokenBatch) -> Result<HiddenStates, RunError> {
        Ok(HiddenStates::new())
    }
}

/// Changes what comes out of an encoder.
pub(crate) fn change(side: &mut Box<dyn Encoder>, change: Change) {
    let inner = std::mem::replace(side, Box::new(Nobody));
    *side = Box::new(Changed { inner, change });
}

/// Lets an encoder take padding for text.
pub(crate) fn unmask(side: &mut Box<dyn Encoder>) {
    let inner = std::mem::replace(side, Box::new(Nobody));
    *side = Box::new(Unmasked(inner));
}

/// The candidate, run layer by layer.
pub(crate) fn step(sides: &mut Sides, enter: fn(usize, &mut [f32]), order: fn(usize) -> Option<usize>) {
    let inner = NativeEncoder::build(&sides.facts.candidate_config, &sides.candidate_weights, "stepped").unwrap();
    sides.candidate = Box::new(Stepped { inner, enter, order });
}

/// The control, run layer by layer.
pub(crate) fn step_control(sides: &mut Sides, enter: fn(usize, &mut [f32])) {
    let inner = NativeEncoder::build(&sides.facts.control_config, &sides.original, "stepped").unwrap();
    sides.control = Box::new(Stepped { inner, enter, order: Some });
}

/// Every tap shows another one.
pub(crate) fn rewire(open: &mut Open, source: fn(Tap) -> Tap) {
    let before = open.clone();
    for (tap, values) in open.iter_mut() {
        values.clone_from(&before[&source(*tap)]);
    }
}

/// The tokens of one row of the corpus, where the batch holds it.
pub(crate) fn of_row(batch: &TokenBatch, row: u64) -> Option<std::ops::Range<usize>> {
    let r = (0..batch.rows()).find(|r| batch.row_id(*r).row == row && batch.row_id(*r).set == RowSet::Corpus)?;
    Some(batch.offsets()[r]..batch.offsets()[r + 1])
}

/// Float32 cut to the ten bits of mantissa that TF32 keeps.
pub(crate) fn tf32(values: &mut [f32]) {
    values.iter_mut().for_each(|v| *v = f32::from_bits((v.to_bits() + 0x1000) & 0xffff_e000));
}
