//! The tensors an architecture is made of, and taking them out of a checkpoint.

use std::sync::Arc;

use super::NativeError;
use super::ops::{LayerNorm, PackedLinear, RmsNorm};
use crate::checkpoint::{Scope, Weight};
use crate::memory::Memory;

/// One tensor an architecture needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Hugging Face name without prefix.
    pub name: String,
    /// Logical shape; a Linear is `[out, in]`.
    pub shape: Vec<usize>,
    /// False for tensors that a checkpoint may leave out because no hidden state needs them.
    pub required: bool,
}

/// Collects an architecture's parameters.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    pub(super) parameters: Vec<Parameter>,
    optional: bool,
}

impl Inventory {
    /// From here on, parameters may be missing.
    pub(super) fn optional(&mut self) {
        self.optional = true;
    }

    /// From here on, none may be missing again.
    pub(super) fn required(&mut self) {
        self.optional = false;
    }

    pub(super) fn table(&mut self, name: &str, rows: usize, columns: usize) {
        self.push(format!("{name}.weight"), vec![rows, columns]);
    }

    pub(super) fn linear(&mut self, name: &str, inputs: usize, outputs: usize) {
        self.push(format!("{name}.weight"), vec![outputs, inputs]);
        self.push(format!("{name}.bias"), vec![outputs]);
    }

    /// A linear layer without a bias.
    pub(super) fn matrix(&mut self, name: &str, inputs: usize, outputs: usize) {
        self.table(name, outputs, inputs);
    }

    /// A linear layer with or without a bias.
    pub(super) fn maybe_biased(&mut self, name: &str, inputs: usize, outputs: usize, biased: bool) {
        if biased { self.linear(name, inputs, outputs) } else { self.matrix(name, inputs, outputs) }
    }

    /// A norm without β.
    pub(super) fn scale(&mut self, name: &str, width: usize) {
        self.push(format!("{name}.weight"), vec![width]);
    }

    pub(super) fn norm(&mut self, name: &str, width: usize) {
        self.push(format!("{name}.weight"), vec![width]);
        self.push(format!("{name}.bias"), vec![width]);
    }

    fn push(&mut self, name: String, shape: Vec<usize>) {
        self.parameters.push(Parameter { name, shape, required: !self.optional });
    }
}

/// A vector `[width]`.
fn vector(scope: &Scope<'_>, name: &str, width: usize) -> Result<Vec<f32>, NativeError> {
    Ok(taken(scope, name, &[width])?.rows().into_owned())
}

/// A tensor, its shape checked.
fn taken<'a>(scope: &Scope<'a>, name: &str, shape: &[usize]) -> Result<&'a Arc<Weight>, NativeError> {
    let weight = scope.take(name, shape)?;
    let expected = shape.iter().product();
    match weight.len() {
        found if found == expected => Ok(weight),
        found => Err(NativeError::Values { tensor: name.to_owned(), expected, found }),
    }
}

/// An embedding table `[rows, columns]`: the checkpoint's own, not a copy.
pub(super) struct Table {
    values: Arc<Memory<f32>>,
    columns: usize,
}

impl Table {
    /// Number of rows.
    pub(super) fn rows(&self) -> usize {
        self.values.len() / self.columns.max(1)
    }

    /// Row `i`, below the number of rows.
    pub(super) fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.columns..(i + 1) * self.columns]
    }
}

/// An embedding table `[rows, columns]`.
pub(super) fn table(scope: &Scope<'_>, rows: usize, columns: usize) -> Result<Table, NativeError> {
    Ok(Table { values: taken(scope, "weight", &[rows, columns])?.shared_rows(), columns })
}

/// A linear layer with a bias.
pub(super) fn linear(scope: &Scope<'_>, inputs: usize, outputs: usize) -> Result<PackedLinear, NativeError> {
    linears(std::slice::from_ref(scope), inputs, outputs)
}

/// Linear layers of one shape that are fed with the same states, their outputs side by side.
pub(super) fn linears(scopes: &[Scope<'_>], inputs: usize, outputs: usize) -> Result<PackedLinear, NativeError> {
    let parts: Vec<_> = scopes.iter().map(|scope| (scope.clone(), outputs)).collect();
    side_by_side(&parts, inputs, true)
}

/// Linear layers, each with its number of outputs, that are fed with the same states; their outputs side by side. The
/// weights are the checkpoint's own, not copies.
pub(super) fn side_by_side(
    parts: &[(Scope<'_>, usize)],
    inputs: usize,
    biased: bool,
) -> Result<PackedLinear, NativeError> {
    let bias = |(scope, outputs): &(Scope<'_>, usize)| match biased {
        true => vector(scope, "bias", *outputs),
        false => Ok(vec![0.0; *outputs]),
    };
    let biases = parts.iter().map(bias).collect::<Result<Vec<_>, _>>()?;
    let part = |((scope, outputs), bias): (&(Scope<'_>, usize), _)| {
        Ok((taken(scope, "weight", &[*outputs, inputs])?.panels(), Vec::as_slice(bias)))
    };
    let parts = parts.iter().zip(&biases).map(part).collect::<Result<Vec<_>, NativeError>>()?;
    Ok(PackedLinear::new(parts)?)
}

/// A layer norm with γ and β.
pub(super) fn layer_norm(scope: &Scope<'_>, width: usize, eps: f64) -> Result<LayerNorm, NativeError> {
    Ok(LayerNorm::new(vector(scope, "weight", width)?, vector(scope, "bias", width)?, eps))
}

/// A layer norm with γ alone.
pub(super) fn layer_norm_without_shift(scope: &Scope<'_>, width: usize, eps: f64) -> Result<LayerNorm, NativeError> {
    Ok(LayerNorm::new(vector(scope, "weight", width)?, vec![0.0; width], eps))
}

/// A root mean square norm whose γ is stored less `shift`.
pub(super) fn rms_norm(scope: &Scope<'_>, width: usize, eps: f64, shift: f32) -> Result<RmsNorm, NativeError> {
    let weight = vector(scope, "weight", width)?;
    Ok(RmsNorm::new(weight.into_iter().map(|w| shift + w).collect(), eps))
}
