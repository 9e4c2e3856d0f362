//! The twin: the original quantized exactly as MLX would, beside what the candidate's file holds, group by group.

use super::chance::Chance;
use super::coherence::{coherence, direction};
use super::quantizer::{Evidence, errors};
use super::recipe::{Recipe, Scratch};
use super::twin_groups::{Group, group_facts};
use super::twin_row::TwinRow;
use crate::checkpoint::Weight;
use crate::quantization::{Codes, FloatType, Packed, Program, QuantizationMode, Target, packed, quantized_as};

/// How far float32 scales and biases may be apart and still be the same, in units of the last place: three operations,
/// each of which another machine may round otherwise (Metal divides within 2.5).
const SCALE_ULPS: u32 = 4;

/// How near to the middle of two codes a weight must lie for either to be right, in units of the last place of its
/// place between the codes: as above.
const NEAR_TIE_ULPS: f32 = 4.0;

/// Rows that tell which type the original was cast to.
const SAMPLED: usize = 16;

/// The original as MLX would have stored it in the candidate's format; none where the candidate is not quantized.
pub fn twin(original: &Weight, candidate: &Weight) -> Option<Weight> {
    let storage = &candidate.storage;
    let mode = crate::quantization::mode(storage.mode?)?;
    let (bits, group_size) = (storage.bits?, usize::try_from(storage.group_size?).ok()?);
    let float = FloatType::named(&storage.dtype).unwrap_or(FloatType::F16);
    quantized_as(original, mode, &Target { bits, group_size, float, program: Program::Cpu })
}

/// A tensor against its twin; none where it is not quantized.
/// `folded` tells that channels of the original were scaled by estimated factors first.
pub(super) fn twin_row(original: &Weight, candidate: &Weight, folded: bool) -> Option<(TwinRow, Evidence)> {
    let &[rows, cols] = candidate.shape.as_slice() else { return None };
    candidate.storage.mode?;
    let values = original.rows();
    let Some((mode, packed)) = packed(candidate) else { return by_values(original, candidate, folded) };
    if rows == 0 || cols == 0 || packed.group_size == 0 || values.len() != rows * cols {
        return None;
    }
    let mut scratch = Scratch::default();
    let recipe = chosen(candidate, mode, &packed, &values, &mut scratch);
    let mut equal = 0u64;
    let mut different = Vec::new();
    let mut half_steps = 0.0;
    for (r, row) in values.chunks(cols).enumerate() {
        recipe.quantize(row, &mut scratch);
        half_steps += recipe.half_steps(&scratch);
        if !scratch.own.read(&packed, r) {
            return None;
        }
        let mut metal = false;
        for g in 0..cols / packed.group_size {
            if same(&recipe, g, &mut scratch, &mut metal) {
                equal += 1;
            } else {
                different.push((r, g));
            }
        }
    }
    let groups = (rows * (cols / packed.group_size)) as u64;
    let mut out = TwinRow {
        first_different: different.first().copied(),
        error: in_half_steps(&values, &candidate.rows(), half_steps),
        ..TwinRow::equal(groups, equal, recipe.name())
    };
    if different.is_empty() {
        out.direction = direction(&values, &candidate.rows(), cols);
        return Some((out, Evidence::equal(groups)));
    }
    let mut facts: Vec<Group> = Vec::with_capacity(groups as usize);
    let mut chance = Chance::default();
    let mut next = different.iter().peekable();
    for (r, row) in values.chunks(cols).enumerate() {
        recipe.quantize(row, &mut scratch);
        scratch.own.read(&packed, r);
        if mode.floats.is_none() {
            chance.add(row, &scratch.own, packed.group_size, 2f64.powi(packed.bits as i32) - 1.0);
        }
        for g in 0..cols / packed.group_size {
            let equal = next.next_if(|d| **d == (r, g)).is_none();
            facts.push(group_facts(&recipe, row, g, (equal, folded), &scratch));
        }
    }
    errors(&mut out, &facts, cols / packed.group_size, packed.group_size);
    if let Some(twin) = quantized_as(original, mode, &Target { program: Program::Cpu, ..recipe.target }) {
        out.coherence = coherence(&values, &candidate.rows(), &twin.rows(), cols);
        out.direction = direction(&values, &twin.rows(), cols);
    }
    Some((out, Evidence::of(&facts, cols / packed.group_size, folded).left_to_chance(chance.is_fair())))
}

/// The root mean square difference over that of half the steps.
fn in_half_steps(original: &[f32], candidate: &[f32], half_steps: f64) -> f64 {
    let each = original.iter().zip(candidate).map(|(o, c)| (f64::from(*c) - f64::from(*o)).powi(2));
    let squares: f64 = each.sum();
    if squares == 0.0 { 0.0 } else { (squares / half_steps).sqrt() }
}

/// The way of bringing the original to the tensor's format that most codes of a few rows agree with, and then most
/// groups; of equals, the first. Scales may have been trained afterwards, so that a group agrees by chance alone.
fn chosen(
    candidate: &Weight,
    mode: &'static QuantizationMode,
    packed: &Packed<'_>,
    values: &[f32],
    scratch: &mut Scratch,
) -> Recipe {
    let all = Recipe::all(candidate, mode, packed);
    let step = packed.rows.div_ceil(SAMPLED).max(1);
    let agree = |recipe: &Recipe, scratch: &mut Scratch| {
        let (mut equal, mut codes) = (0, 0);
        for r in (0..packed.rows).step_by(step) {
            let Some(row) = values.get(r * packed.cols..(r + 1) * packed.cols) else { break };
            recipe.quantize(row, scratch);
            scratch.own.read(packed, r);
            let mut metal = false;
            equal += (0..packed.cols / packed.group_size).filter(|g| same(recipe, *g, scratch, &mut metal)).count();
            codes += scratch.own.codes.iter().zip(&scratch.twin.codes).filter(|(a, b)| a == b).count();
        }
        (codes, equal)
    };
    let mut best = (all[0], (0, 0));
    for recipe in all {
        let agreed = agree(&recipe, scratch);
        if agreed > best.1 {
            best = (recipe, agreed);
        }
    }
    best.0
}

/// True where group `g` of the row is what MLX's CPU program makes of the original, or its Metal program.
fn same(recipe: &Recipe, g: usize, scratch: &mut Scratch, metal: &mut bool) -> bool {
    if same_as(recipe, g, &scratch.row, &scratch.own, &scratch.twin, &mut scratch.exact) {
        return true;
    }
    if !*metal {
        let target = Target { program: Program::Metal, ..recipe.target };
        (recipe.mode.quantize_row)(&target, &scratch.row, &mut scratch.metal);
        *metal = true;
    }
    same_as(recipe, g, &scratch.row, &scratch.own, &scratch.metal, &mut scratch.exact)
}

fn same_as(recipe: &Recipe, g: usize, row: &[f32], own: &Codes, twin: &Codes, exact: &mut Codes) -> bool {
    let range = g * recipe.target.group_size..(g + 1) * recipe.target.group_size;
    let float32 = recipe.target.float == FloatType::F32;
    let near = |a: Option<&f32>, b: Option<&f32>| match (a, b) {
        (Some(a), Some(b)) => a == b || (float32 && a.is_sign_negative() == b.is_sign_negative() && ulps(*a, *b)),
        _ => false,
    };
    let scales = match recipe.mode.floats {
        Some(_) => own.bytes.get(g).is_some() && own.bytes.get(g) == twin.bytes.get(g),
        None => near(own.scales.get(g), twin.scales.get(g)) && near(own.biases.get(g), twin.biases.get(g)),
    };
    let (Some(a), Some(b), true) = (own.codes.get(range.clone()), twin.codes.get(range.clone()), scales) else {
        return false;
    };
    if a == b {
        return true;
    }
    if recipe.mode.floats.is_some() {
        return false;
    }
    // Unrounded scale and bias are what codes are chosen by: those of the row as it is, in float32.
    let Some(weights) = row.get(range) else { return false };
    (recipe.mode.quantize_row)(&Target { float: FloatType::F32, ..recipe.target }, weights, exact);
    let (Some(scale), Some(bias)) = (exact.scales.first(), exact.biases.first()) else { return false };
    a.iter().zip(b).zip(weights).all(|((a, b), w)| {
        let at = (w - bias) / scale;
        let tie = (f32::from(*a) + f32::from(*b)) / 2.0;
        a == b || (a.abs_diff(*b) == 1 && (at - tie).abs() <= NEAR_TIE_ULPS * at.abs().max(1.0) * f32::EPSILON)
    })
}

fn ulps(a: f32, b: f32) -> bool {
    a.to_bits().abs_diff(b.to_bits()) <= SCALE_ULPS
}

/// A tensor of which only values are there: groups are equal where its values are the twin's, but for rounding.
fn by_values(original: &Weight, candidate: &Weight, folded: bool) -> Option<(TwinRow, Evidence)> {
    let mode = crate::quantization::mode(candidate.storage.mode?)?;
    let (bits, group_size) = (candidate.storage.bits?, usize::try_from(candidate.storage.group_size?).ok()?);
    let &[_, cols] = candidate.shape.as_slice() else { return None };
    let named = FloatType::named(&candidate.storage.dtype).filter(|_| mode.floats.is_none());
    let floats: Vec<FloatType> = named.map_or_else(|| FloatType::ALL.to_vec(), |float| vec![float]);
    let per_row = cols.checked_div(group_size).filter(|n| *n > 0)?;
    let (values, own) = (original.rows(), candidate.rows());
    let of = |float: FloatType| {
        let twin = quantized_as(original, mode, &Target { bits, group_size, float, program: Program::Cpu })?;
        let twin = twin.rows().into_owned();
        let unit = float.unit_roundoff().max(if mode.floats.is_some() { FloatType::BF16.unit_roundoff() } else { 0.0 });
        let facts: Vec<Group> = values
            .chunks(group_size)
            .zip(own.chunks(group_size))
            .zip(twin.chunks(group_size))
            .map(|((o, c), t)| Group::of_values(o, c, t, unit, bits, mode))
            .collect();
        Some((float, facts))
    };
    let equal = |facts: &[Group]| facts.iter().filter(|f| f.equal).count();
    let (float, facts) = floats.into_iter().filter_map(of).max_by_key(|(_, facts)| equal(facts))?;
    let first = facts.iter().position(|f| !f.equal).map(|i| (i / per_row, i % per_row));
    let half_steps: f64 = facts.iter().map(|f| f.half_squares).sum();
    let mut out = TwinRow {
        first_different: first,
        error: in_half_steps(&values, &own, half_steps),
        ..TwinRow::equal(facts.len() as u64, equal(&facts) as u64, float.name())
    };
    errors(&mut out, &facts, per_row, group_size);
    if first.is_some() {
        out.coherence = quantized_as(original, mode, &Target { bits, group_size, float, program: Program::Cpu })
            .and_then(|twin| coherence(&values, &own, &twin.rows(), cols));
    }
    Some((out, Evidence::of(&facts, per_row, folded)))
}
