//! Encoders with a fault of their own, put in the place of good ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use parallax::hidden_states::{HiddenStates, RowSet, Tap, TapStates};
use parallax::runtimes::native::NativeEncoder;
use parallax::runtimes::{Encoder, RunError};
use parallax::sides::Sides;
use parallax::tokens::TokenBatch;

/// The row of the corpus that faults of one sentence are planted in.
pub(crate) const POISONED: u64 = 77;

/// The states of a batch, free to be changed: per tap `[tokens, hidden]`, rows end to end.
pub(crate) type Open = BTreeMap<Tap, Vec<f32>>;

/// A good encoder whose states are changed on their way out.
struct Changed<F> {
    inner: Box<dyn Encoder>,
    change: F,
}

impl<F: Fn(&TokenBatch, usize, &mut Open) + Send + Sync> Encoder for Changed<F> {
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

/// Takes an encoder from its place and puts what is made of it there.
fn wrap(side: &mut Box<dyn Encoder>, around: impl FnOnce(Box<dyn Encoder>) -> Box<dyn Encoder>) {
    let inner = std::mem::replace(side, nobody());
    *side = around(inner);
}

/// An encoder of nothing.
pub(crate) fn nobody() -> Box<dyn Encoder> {
    Box::new(Nobody)
}

/// Changes what comes out of an encoder: what is given is the batch, the width, and the states by tap.
pub(crate) fn change(
    side: &mut Box<dyn Encoder>,
    change: impl Fn(&TokenBatch, usize, &mut Open) + Send + Sync + 'static,
) {
    wrap(side, |inner| Box::new(Changed { inner, change }));
}

/// Changes the states of one tap.
pub(crate) fn change_tap(side: &mut Box<dyn Encoder>, tap: Tap, of: fn(&TokenBatch, usize, &mut [f32])) {
    change(side, move |batch, hidden, open| of(batch, hidden, open.get_mut(&tap).unwrap()));
}

/// Puts `value` into the last element of `tap`, for one row of the corpus.
pub(crate) fn poison(side: &mut Box<dyn Encoder>, tap: Tap, value: f32) {
    change(side, move |batch, hidden, open| {
        if let Some(tokens) = of_row(batch, POISONED) {
            open.get_mut(&tap).unwrap()[tokens.end * hidden - 1] = value;
        }
    });
}

/// Rows that are padded up to a multiple of 32, at least 128, are NaN (a real kernel's fault).
pub(crate) fn poison_padded(side: &mut Box<dyn Encoder>) {
    change(side, |batch, hidden, open| {
        let longest = batch.longest();
        if longest < 128 || !longest.is_multiple_of(32) {
            return;
        }
        for r in (0..batch.rows()).filter(|r| batch.len(*r) < longest) {
            let row = batch.offsets()[r] * hidden..batch.offsets()[r + 1] * hidden;
            open.values_mut().for_each(|values| values[row.clone()].fill(f32::NAN));
        }
    });
}

/// Lets an encoder take padding for text.
pub(crate) fn unmask(side: &mut Box<dyn Encoder>) {
    wrap(side, |inner| Box::new(Unmasked(inner)));
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
