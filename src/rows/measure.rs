//! One batch through every encoder, and what stays of it: accumulators.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Error;
use crate::align::check_rows;
use crate::hidden_states::{Arm, HiddenStates, RowId, Tap};
use crate::metrics::{Measurement, Mode, RowSeen, TapAccumulator};
use crate::runtimes::Encoder;
use crate::runtimes::native::SentenceHead;
use crate::sides::{Encoders, Sides};
use crate::tokens::{TokenBatch, TokenRow, plan_batches};

/// Per tap, each dimension's standard deviation on the reference side.
pub(crate) type Scales = BTreeMap<Tap, Arc<[f64]>>;

/// One accumulator per arm and tap.
pub(crate) struct Accumulators {
    mode: Mode,
    scales: Scales,
    taps: BTreeMap<(Arm, Tap), TapAccumulator>,
}

impl Accumulators {
    /// For states as they arrive.
    pub(crate) fn new(scales: Scales) -> Self {
        Self { mode: Mode::Accumulated, scales, taps: BTreeMap::new() }
    }

    /// For layers fed with the other side's own input.
    pub(crate) fn isolated(scales: Scales) -> Self {
        Self { mode: Mode::Isolated, ..Self::new(scales) }
    }

    /// Adds every tap of the batch, `other` against `base`, and tells what each row looked like there.
    ///
    /// # Errors
    /// Two sides that do not report the same taps, rows, tokens and widths.
    pub(crate) fn add(
        &mut self,
        arm: Arm,
        batch: &TokenBatch,
        base: &HiddenStates,
        other: &HiddenStates,
        mut seen: impl FnMut(Tap, usize, RowSeen),
    ) -> Result<(), Error> {
        check_rows(base, other, batch)?;
        for (tap, base_states) in base.iter() {
            let Some(other_states) = other.get(tap) else { continue };
            let scale = self.scales.get(&tap).cloned();
            let fresh = || TapAccumulator::new(tap, arm, self.mode, scale);
            let accumulator = self.taps.entry((arm, tap)).or_insert_with(fresh);
            for r in 0..batch.rows() {
                let (ours, theirs) = (base_states.row(r), other_states.row(r));
                seen(tap, r, accumulator.add_row(batch.row_id(r), ours, theirs, base_states.hidden())?);
            }
        }
        Ok(())
    }

    /// Every summary, by arm and tap.
    pub(crate) fn finish(&self) -> Vec<Measurement> {
        self.taps.values().flat_map(TapAccumulator::finish).collect()
    }

    /// Adds what another set has gathered.
    pub(crate) fn absorb(&mut self, other: Accumulators) -> Result<(), Error> {
        for (key, accumulator) in other.taps {
            match self.taps.get_mut(&key) {
                Some(mine) => mine.merge(&accumulator)?,
                None => drop(self.taps.insert(key, accumulator)),
            }
        }
        Ok(())
    }
}

/// The states of one batch on every side, sentence vectors included.
pub(crate) struct SideStates {
    pub(crate) reference: HiddenStates,
    pub(crate) candidate: HiddenStates,
    pub(crate) control: Option<HiddenStates>,
    /// The candidate in half precision, on the control's rows.
    pub(crate) half: Option<HiddenStates>,
}

/// Every layer of `encoder` alone, fed with what `inputs` holds at the tap before it; the layers' outputs
/// beside those of `inputs`, to be compared. None where the encoder cannot run a layer alone.
pub(crate) fn isolated_layers(
    encoder: &dyn Encoder,
    inputs: &HiddenStates,
) -> Result<Option<(HiddenStates, HiddenStates)>, Error> {
    let (mut base, mut alone) = (HiddenStates::new(), HiddenStates::new());
    for (tap, output) in inputs.iter() {
        let Tap::Layer(k) = tap else { continue };
        let before = k.checked_sub(1).map_or(Tap::Embeddings, Tap::Layer);
        let Some(input) = inputs.get(before) else { return Ok(None) };
        let Some(states) = encoder.layer(k, input)? else { return Ok(None) };
        base.insert(tap, Arc::clone(output));
        alone.insert(tap, Arc::new(states));
    }
    Ok(Some((base, alone)))
}

/// Runs one batch on both sides, and on the control where asked.
pub(crate) fn encode_batch(sides: &Sides, batch: &TokenBatch, with_control: bool) -> Result<SideStates, Error> {
    encode_on(sides.encoders(), batch, with_control)
}

/// [`encode_batch`], for threads.
pub(crate) fn encode_on(on: Encoders<'_>, batch: &TokenBatch, with_control: bool) -> Result<SideStates, Error> {
    beside(on, batch, reference_states(on, batch)?, with_control)
}

/// The reference alone on one batch.
pub(crate) fn reference_states(on: Encoders<'_>, batch: &TokenBatch) -> Result<HiddenStates, Error> {
    let mut reference = on.reference.encode(batch)?;
    add_sentences(on.reference_head, &mut reference)?;
    Ok(reference)
}

/// [`encode_on`] where the reference has run already.
pub(crate) fn beside(
    on: Encoders<'_>,
    batch: &TokenBatch,
    reference: HiddenStates,
    with_control: bool,
) -> Result<SideStates, Error> {
    let mut candidate = on.candidate.encode(batch)?;
    add_sentences(on.candidate_head, &mut candidate)?;
    let control = if with_control {
        let mut states = on.control.encode(batch)?;
        add_sentences(on.reference_head, &mut states)?;
        Some(states)
    } else {
        None
    };
    let mut half = on.half.filter(|_| with_control).map(|encoder| encoder.encode(batch)).transpose()?;
    if let Some(states) = &mut half {
        add_sentences(on.candidate_head, states)?;
    }
    Ok(SideStates { reference, candidate, control, half })
}

/// Adds the taps `pooled` and `sentence`.
pub(crate) fn add_sentences(head: &SentenceHead, states: &mut HiddenStates) -> Result<(), Error> {
    if let Some(last) = states.get(Tap::Final).cloned() {
        let (pooled, sentence) = head.apply(&last)?;
        states.insert(Tap::Pooled, pooled);
        states.insert(Tap::Sentence, sentence);
    }
    Ok(())
}

/// Batches of similar length out of some rows.
pub(crate) fn batches(rows: &[(RowId, TokenRow)], budget: usize) -> Vec<TokenBatch> {
    let lengths: Vec<usize> = rows.iter().map(|(_, row)| row.ids.len()).collect();
    plan_batches(&lengths, budget).iter().map(|pick| batch_of(rows, pick)).collect()
}

/// The picked rows as one batch.
fn batch_of(rows: &[(RowId, TokenRow)], pick: &[usize]) -> TokenBatch {
    let mut batch = TokenBatch::new();
    for &i in pick {
        let (id, row) = &rows[i];
        batch.push(*id, &row.ids, &row.type_ids);
    }
    batch
}
