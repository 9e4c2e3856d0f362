//! Hidden values: the formulas of an encoder, one operator at a time.
//!
//! Everything that bends a value (a root, an error function, a softmax) is known only as a step of one of these
//! formulas; everything that chooses between values (a comparison, a condition, a bound) is known only as the guard
//! behind a softmax. What is left is linear, and wrong for every input if it is wrong at all.

use super::operands::{MAX_EPSILON, constants, epsilon, state};
use super::shapes::{axis, slices};
use super::size::{Size, TOKENS};
use super::value::{Form, Index, Kind, Table, Value};
use super::walk::{Answer, Walk, conditional, unknown};
use crate::runtimes::onnx::graph::NodeId;

/// How far a constant of a formula may be from its value: exporters write them with 4 to 7 digits.
const SAME: f64 = 1e-4;
/// A fill for masked scores is at most this: the softmax makes it 0. -10000 is the oldest in use.
const MASKED: f64 = -1e3;

/// Most that hidden values are multiplied by on their way to a product: beyond it, what another factor takes back may not
/// have been a number any more, for some texts and not for others. Measured: at most 0.71 in the exports of tests/fixtures and
/// of `scripts/zoo`; the quick form of GELU has 1.702.
const MAX_FACTOR: f64 = 64.0;

/// What is wrong with larger ones.
const GROWS: &str = "hidden values are multiplied, and may be beyond float32 for some texts,";

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= SAME * b.abs()
}

/// A node that reads hidden values.
pub(super) fn hidden(w: &Walk, k: NodeId) -> Answer<Form> {
    let op = w.g.op(k);
    match op {
        "Cast" if !matches!(w.int(k, "to", 0), 1 | 10 | 11 | 16) => {
            conditional("hidden values are cast to whole numbers or truth values")
        }
        "Dropout" if w.at(k, 2).is_some_and(|training| training.number() != Some(0.0)) => {
            conditional("a dropout is left in training mode")
        }
        "Identity" | "Cast" | "CastLike" | "Dropout" | "Reshape" | "Unsqueeze" | "Squeeze" | "Flatten"
        | "Transpose" | "Expand" => first(w, k),
        "Slice" | "Split" | "Gather" | "GatherND" | "GatherElements" => picked(w, k),
        "Concat" => joined(w, k),
        "Add" | "Sum" => added(w, k),
        "Sub" => {
            let (a, b) = (w.given(k, 0)?, w.given(k, 1)?);
            match (a.form(), b.form()) {
                (Some(x), Some(Form::Mean(of))) if x.is_state() && of == a.same => Ok(Form::Centred(of)),
                _ => unknown("a difference that is no value minus its mean"),
            }
        }
        "Mul" => multiplied(w, k),
        "Div" => divided(w, k),
        "Neg" => state(w, k).map(|()| Form::Negated),
        "Pow" => powered(w, k),
        "Sqrt" => match w.given(k, 0)?.form() {
            Some(Form::Spread(x, false)) => Ok(Form::Spread(x, true)),
            Some(Form::Length(x, true)) => Ok(Form::Length(x, false)),
            _ => unknown("a root outside a norm"),
        },
        "Reciprocal" => match w.given(k, 0)?.form() {
            Some(Form::Spread(x, true)) => Ok(Form::Inverse(x)),
            _ => unknown("a reciprocal outside a norm"),
        },
        "ReduceMean" | "ReduceSum" | "ReduceL2" | "ReduceSumSquare" => reduced(w, k),
        "Clip" | "Max" => match (w.given(k, 0)?.form(), w.at(k, 1).and_then(Value::number), w.at(k, 2)) {
            // No vector of an encoder is that short.
            (Some(Form::Length(x, square)), Some(least), None) if (0.0..1e-3).contains(&least) => {
                Ok(Form::Length(x, square))
            }
            _ => conditional(format!("hidden values are bounded by a {op}")),
        },
        "MatMul" | "FusedMatMul" | "Gemm" | "FusedGemm" => product(w, k),
        "Erf" => match w.given(k, 0)?.form() {
            Some(Form::Scaled(x, by)) if near(by, std::f64::consts::FRAC_1_SQRT_2) => Ok(Form::Bell(x)),
            _ => unknown("an error function that is no GELU's"),
        },
        "Tanh" => match w.given(k, 0)? {
            Value { kind: Kind::Hidden(Form::Inner(x, true)), .. } => Ok(Form::Bell(*x)),
            v if v.form() == Some(Form::Projected) && w.is_after(k) => Ok(Form::Plain),
            _ => unknown("a hyperbolic tangent inside the encoder that is no GELU's"),
        },
        "Sigmoid" => match w.given(k, 0)? {
            Value { kind: Kind::Hidden(Form::Scaled(x, by)), .. } if near(*by, 1.702) => Ok(Form::Gate(*x)),
            v if v.form() == Some(Form::Projected) => Ok(Form::Gate(v.same)),
            _ => unknown("a logistic function of something that is no product with a weight"),
        },
        "Relu" | "Gelu" | "FastGelu" | "BiasGelu" | "QuickGelu" | "Silu" | "Swish" => {
            if w.given(k, 0)?.form() != Some(Form::Projected) {
                return unknown("an activation of something that is no product with a weight");
            }
            match w.at(k, 1) {
                Some(bias)
                    if bias.kind != Kind::Constant || bias.number().is_some_and(|_| bias.shape == Some(vec![])) =>
                {
                    unknown("its bias is no constant vector")
                }
                _ => Ok(Form::Activated),
            }
        }
        "Softmax" => match w.given(k, 0)?.form() {
            Some(Form::Scores) => Ok(Form::Probabilities),
            Some(x) if x.is_state() && w.is_after(k) => Ok(Form::Plain),
            _ => unknown("a softmax of something that is no product of queries and keys"),
        },
        "Where" => chosen(w, k),
        "LayerNormalization" | "SimplifiedLayerNormalization" | "RMSNormalization" => {
            state(w, k)?;
            constants(w, k, 1)?;
            epsilon(w, k).map(|()| Form::Plain)
        }
        "LpNormalization" => state(w, k).map(|()| Form::Plain),
        _ => super::fused::fused(w, k),
    }
}

/// The form of the first operand, and nothing but fixed shapes beside it.
fn first(w: &Walk, k: NodeId) -> Answer<Form> {
    let form = w.given(k, 0)?.form();
    form.map_or_else(|| conditional("hidden values shape another tensor"), Ok)
}

/// Some of the values: parts of the width anywhere, single tokens behind the final state.
fn picked(w: &Walk, k: NodeId) -> Answer<Form> {
    let from = w.given(k, 0)?;
    let Some(form) = from.form() else { return conditional("a lookup by hidden values") };
    let Some(shape) = &from.shape else { return unknown("a part of a tensor whose shape is not known") };
    let fixed = |at: usize| shape.get(at).is_some_and(|size| size.value().is_some() && *size != TOKENS);
    let within = match w.g.op(k) {
        "Slice" => {
            let Some(parts) = slices(w, k) else { return conditional("the bounds of a slice depend on the input") };
            // A known number of tokens is only fixed behind the final state: elsewhere rows are as long as they are.
            let token = |at: usize, from: i64, to: Size| from == 0 && to == Size::known(1) && at == 1;
            parts.iter().all(|&(at, from, to)| {
                (fixed(at) && to.value().is_some())
                    || (from == 0 && shape.get(at) == Some(&to))
                    || (token(at, from, to) && w.is_after(k))
            })
        }
        "Split" => axis(w.int(k, "axis", 0), shape.len()).is_some_and(fixed),
        "Gather" => {
            let index = w.given(k, 1)?;
            let Some(at) = axis(w.int(k, "axis", 0), shape.len()) else { return unknown("an axis out of range") };
            let token = index.data.as_deref() == Some(&[Size::known(0)]) && at == 1 && w.is_after(k);
            index.kind == Kind::Constant && (fixed(at) || token)
        }
        _ => false,
    };
    match within {
        true if matches!(form, Form::Embedded | Form::Normed) => Ok(Form::Plain),
        true => Ok(form),
        false => conditional("it picks tokens or rows by their place"),
    }
}

fn joined(w: &Walk, k: NodeId) -> Answer<Form> {
    let forms: Option<Vec<Form>> = w.all(k).map(Value::form).collect();
    match forms {
        Some(forms) if forms.iter().all(|f| *f == Form::Projected) => Ok(Form::Projected),
        Some(forms) if forms.iter().all(|f| f.is_state()) => Ok(Form::Plain),
        Some(forms) if forms.iter().all(|f| f.is_state() || *f == Form::Negated) => Ok(Form::Turned),
        Some(forms) if forms.iter().all(|f| *f == Form::Rotated || f.is_state()) => Ok(Form::Rotated),
        _ => unknown("it joins unfinished formulas"),
    }
}

fn added(w: &Walk, k: NodeId) -> Answer<Form> {
    let (a, b) = w.ordered(k, |v| v.form().is_some())?;
    if w.g.reads(k).count() != 2 {
        return unknown("a sum that is not of two");
    }
    let Some(form) = a.form() else { return unknown("a sum") };
    if let Some(other) = b.form() {
        return match (form, other) {
            _ if a.same == b.same => unknown("a value is added to itself"),
            (Form::Rotating, Form::Rotating) => Ok(Form::Rotated),
            (x, Form::Cubed(of, true)) if x.is_state() && of == a.same => Ok(Form::Inner(of, false)),
            (Form::Cubed(of, true), x) if x.is_state() && of == b.same => Ok(Form::Inner(of, false)),
            (x, y) if x.is_state() && y.is_state() => Ok(Form::Plain),
            _ => unknown("a sum of unfinished formulas"),
        };
    }
    match (form, b.kind, b.number()) {
        (Form::Embedded, Kind::Table(Table::Absolute), _) => Ok(Form::Embedded),
        (Form::Variance(x), _, Some(e)) if (0.0..=MAX_EPSILON).contains(&e) => Ok(Form::Spread(x, false)),
        (Form::Bell(x), _, Some(1.0)) => Ok(Form::OnePlus(x, false)),
        (Form::Scores, Kind::Mask | Kind::Index(Index::Relative) | Kind::Table(Table::Relative), _) => Ok(Form::Scores),
        (Form::Scores, Kind::Padding, _) if !w.has_mask => Ok(Form::Scores),
        (Form::Scores, Kind::Constant, Some(0.0)) => Ok(Form::Scores),
        // A constant of the graph's own static shape: a folded mask, or folded positions.
        (Form::Scores | Form::Embedded, Kind::Constant, None) => Ok(form),
        (x, Kind::Constant, number) if x.is_state() => match number {
            Some(_) if b.shape.as_ref().is_some_and(|s| s.iter().all(|d| d.value() == Some(1))) => {
                unknown("one number is added to hidden values")
            }
            // The bias of a product, or a norm's shift.
            _ if b.is_vector() => Ok(if x == Form::Projected { x } else { Form::Plain }),
            _ => unknown("what it adds to hidden values is no bias"),
        },
        (_, Kind::Constant, _) => unknown("a constant is added to an unfinished formula"),
        (_, kind, _) => conditional(format!("{} are added to hidden values", kind.words())),
    }
}

fn multiplied(w: &Walk, k: NodeId) -> Answer<Form> {
    let (a, b) = w.ordered(k, |v| v.form().is_some())?;
    let Some(form) = a.form() else { return unknown("a product") };
    if let Some(other) = b.form() {
        return times(a, form, b, other)
            .or_else(|| times(b, other, a, form))
            .map_or_else(|| unknown("a product of hidden values that is no gate, norm or activation"), Ok);
    }
    if let Some(by) = b.number() {
        return scaled(a, form, b, by);
    }
    match (form, b.kind) {
        (Form::Normed, Kind::Constant) if b.is_vector() => Ok(Form::Plain),
        (x, Kind::Table(Table::Absolute)) if x.is_operand() || x == Form::Turned => Ok(Form::Rotating),
        (x, Kind::Mask) if x.is_state() && w.is_after(k) => match w.g.reads(k).any(|t| super::mask::is_given(w, t)) {
            true => Ok(Form::Kept),
            false => unknown("it pools by a mask that was computed with: only 0 and 1 keep a sum what it is"),
        },
        (_, Kind::Constant) => unknown("hidden values are multiplied by a constant that is no norm's"),
        (_, kind) => conditional(format!("hidden values are multiplied by {}", kind.words())),
    }
}

/// The product of two hidden values.
fn times(a: &Value, form: Form, b: &Value, other: Form) -> Option<Form> {
    match (form, other) {
        (Form::Centred(x), Form::Inverse(y)) if x == y => Some(Form::Normed),
        (x, Form::Inverse(y)) if x.is_state() && a.same == y => Some(Form::Normed),
        (x, Form::OnePlus(y, half)) if x.is_state() && a.same == y => {
            Some(if half { Form::Activated } else { Form::TwiceGelu })
        }
        (Form::Scaled(x, by), Form::OnePlus(y, false)) if x == y && near(by, 0.5) => Some(Form::Activated),
        (x, Form::Gate(y)) if x.is_state() && a.same == y => Some(Form::Activated),
        (Form::Centred(x), Form::Centred(y)) if x == y && a.same == b.same => Some(Form::Squared(x)),
        (x, Form::Squared(y)) if x.is_state() && a.same == y => Some(Form::Cubed(y, false)),
        (x, y) if x.is_state() && y.is_state() && a.same == b.same => Some(Form::Squared(a.same)),
        // Gated feed-forward blocks.
        (Form::Activated, Form::Projected) => Some(Form::Plain),
        _ => None,
    }
}

/// A hidden value times a number.
fn scaled(a: &Value, form: Form, b: &Value, by: f64) -> Answer<Form> {
    let width = a.width().and_then(Size::value).map(|n| n as f64);
    match form {
        Form::Embedded if width.is_some_and(|n| near(by * by, n)) || by == 1.0 => Ok(Form::Embedded),
        // A norm whose scale is the same for every dimension.
        Form::Normed if b.is_vector() && b.shape.as_ref().is_some_and(|s| !s.is_empty()) => Ok(Form::Plain),
        Form::TwiceGelu if near(by, 0.5) => Ok(Form::Activated),
        Form::OnePlus(x, false) if near(by, 0.5) => Ok(Form::OnePlus(x, true)),
        Form::Cubed(x, false) if near(by, 0.044_715) => Ok(Form::Cubed(x, true)),
        Form::Inner(x, false) if near(by, 0.797_884_6) => Ok(Form::Inner(x, true)),
        Form::Scores | Form::Rotated if by.abs() <= 1.0 => Ok(form),
        x if x.is_state() && by.abs() <= MAX_FACTOR => Ok(Form::Scaled(a.same, by)),
        x if x.is_operand() || x == Form::Scores => unknown(format!("{GROWS} by {}", crate::figures::number(by))),
        _ => unknown(format!("hidden values are multiplied by {by}")),
    }
}

fn divided(w: &Walk, k: NodeId) -> Answer<Form> {
    let (a, b) = (w.given(k, 0)?, w.given(k, 1)?);
    match (a.form(), b.form()) {
        (Some(Form::Centred(x)), Some(Form::Spread(y, true))) if x == y => Ok(Form::Normed),
        (Some(x), Some(Form::Spread(y, true))) if x.is_state() && a.same == y => Ok(Form::Normed),
        (None, Some(Form::Spread(x, true))) if a.number() == Some(1.0) => Ok(Form::Inverse(x)),
        (Some(x), Some(Form::Length(y, false))) if x.is_state() && a.same == y => Ok(Form::Plain),
        (Some(form), None) => match (form, b.kind, b.number()) {
            (Form::Summed, Kind::Lengths, _) => Ok(Form::Plain),
            (_, _, Some(by)) if by != 0.0 => scaled(a, form, b, 1.0 / by),
            (_, kind, _) => conditional(format!("hidden values are divided by {}", kind.words())),
        },
        _ => unknown("a quotient that is no norm"),
    }
}

fn powered(w: &Walk, k: NodeId) -> Answer<Form> {
    let x = w.given(k, 0)?;
    match (x.form(), w.given(k, 1)?.number()) {
        (Some(Form::Centred(of)), Some(2.0)) => Ok(Form::Squared(of)),
        (Some(form), Some(2.0)) if form.is_state() => Ok(Form::Squared(x.same)),
        (Some(form), Some(3.0)) if form.is_state() => Ok(Form::Cubed(x.same, false)),
        (Some(Form::Spread(of, false)), Some(0.5)) => Ok(Form::Spread(of, true)),
        (Some(Form::Spread(of, false)), Some(-0.5)) => Ok(Form::Inverse(of)),
        _ => unknown("a power that is no norm's or activation's"),
    }
}

fn reduced(w: &Walk, k: NodeId) -> Answer<Form> {
    let x = w.given(k, 0)?;
    let (Some(shape), Some(axes)) = (&x.shape, w.numbers(k, "axes", 1)) else {
        return unknown("a reduction over axes that are not known");
    };
    let &[along] = axes.as_slice() else { return unknown("a reduction over several axes") };
    let last = axis(along, shape.len()).is_some_and(|a| a + 1 == shape.len());
    let tokens = axis(along, shape.len()) == Some(1) && w.is_after(k);
    match (w.g.op(k), x.form()) {
        ("ReduceMean", Some(f)) if f.is_state() && last => Ok(Form::Mean(x.same)),
        ("ReduceMean", Some(Form::Squared(of))) if last => Ok(Form::Variance(of)),
        ("ReduceL2", Some(f)) if f.is_state() && last => Ok(Form::Length(x.same, false)),
        ("ReduceSumSquare", Some(f)) if f.is_state() && last => Ok(Form::Length(x.same, true)),
        ("ReduceSum", Some(Form::Squared(of))) if last => Ok(Form::Length(of, true)),
        ("ReduceSum", Some(Form::Kept)) if tokens => Ok(Form::Summed),
        _ => unknown("a reduction that is no norm and no pooling"),
    }
}

fn product(w: &Walk, k: NodeId) -> Answer<Form> {
    let (a, b) = (w.given(k, 0)?, w.given(k, 1)?);
    if let Some(c) = w.at(k, 2)
        && c.kind != Kind::Constant
    {
        return unknown("what it adds to the product is no constant");
    }
    match (a.form(), b.form()) {
        (Some(Form::Probabilities), Some(x)) if x.is_state() => Ok(Form::Plain),
        (Some(x), Some(y)) if x.is_operand() && y.is_operand() => Ok(Form::Scores),
        (Some(x), None) if x.is_state() && b.kind == Kind::Constant => Ok(Form::Projected),
        (Some(_), None) | (None, Some(_)) if a.kind != Kind::Constant && b.kind != Kind::Constant => conditional(
            format!("a product of hidden values with {}", if a.form().is_some() { b } else { a }.kind.words()),
        ),
        _ => unknown("a product of an unfinished formula"),
    }
}

/// `Where`: the mask on scores, and the guard behind a softmax.
fn chosen(w: &Walk, k: NodeId) -> Answer<Form> {
    let (condition, a, b) = (w.given(k, 0)?, w.given(k, 1)?, w.given(k, 2)?);
    let (value, other) = if a.form().is_some() { (a, b) } else { (b, a) };
    match (condition.kind, value.form(), other.number()) {
        (Kind::NotANumber(of), Some(Form::Probabilities), Some(0.0)) if of == value.same && value.same == b.same => {
            Ok(Form::Probabilities)
        }
        (Kind::Mask | Kind::Index(Index::Relative) | Kind::Constant, Some(Form::Scores), Some(fill))
            if fill <= MASKED =>
        {
            Ok(Form::Scores)
        }
        (Kind::Padding, Some(Form::Scores), Some(fill)) if fill <= MASKED && !w.has_mask => Ok(Form::Scores),
        (kind, ..) => conditional(format!("hidden values are chosen by {}", kind.words())),
    }
}
