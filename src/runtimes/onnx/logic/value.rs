//! What is known of a tensor without running the graph: what it depends on, its shape, and its contents where they are
//! small whole numbers.

use super::size::Size;
use crate::runtimes::onnx::graph::TensorId;

/// What a tensor is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// Behind a node that is not understood.
    Unknown,
    /// The same for every input, whatever its shape.
    Constant,
    /// Whole numbers that come from shapes.
    Sizes,
    /// Token ids, as they were given.
    Ids,
    /// Token types, as they were given.
    Types,
    /// Whole numbers or angles that come from positions.
    Index(Index),
    /// True or 1 for each token whose id is not the padding's, or the reverse.
    Padding,
    /// Made of the attention mask and positions, element by element.
    Mask,
    /// The number of real tokens of each row.
    Lengths,
    /// Floats that depend on positions or token types alone.
    Table(Table),
    /// Of use for its shape alone.
    ShapeOnly,
    /// Where the given tensor is not a number.
    NotANumber(TensorId),
    /// Hidden values: floats that depend on the looked up words.
    Hidden(Form),
}

/// Positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Index {
    /// 0, 1, 2, ... along one axis, plus an offset.
    Range { over: Size, offset: i64 },
    /// Such a range times a size.
    Stepped { over: Size, by: Size },
    /// Row · tokens + token: where a token lies in a flattened mask.
    Flat,
    /// Row and token side by side.
    Pair,
    /// A function of the distance of two tokens.
    Relative,
    /// Real tokens counted from the left.
    Counted,
    /// A position times rotary frequencies.
    Angle,
}

/// What a table of floats is made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// Position or token type, one row per token.
    Absolute,
    /// The distance of two tokens.
    Relative,
}

/// How far a hidden value has got through one of the known formulas. The tensor is the formula's `x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    /// The sum of looked up words, positions and token types.
    Embedded,
    /// A state: the residual stream, or what a layer makes of it.
    Plain,
    /// A state times a weight matrix, with its bias.
    Projected,
    /// Behind an activation.
    Activated,
    /// Divided by its own spread, not yet scaled.
    Normed,
    /// The mean of x over its width.
    Mean(TensorId),
    /// x minus its mean.
    Centred(TensorId),
    /// x².
    Squared(TensorId),
    /// The mean of the squares.
    Variance(TensorId),
    /// The root of the variance plus epsilon; before the root, not `rooted`.
    Spread(TensorId, bool),
    /// One over the spread.
    Inverse(TensorId),
    /// x times a number.
    Scaled(TensorId, f64),
    /// erf(x / √2), or the hyperbolic tangent in its place.
    Bell(TensorId),
    /// That plus 1; and times a half when so.
    OnePlus(TensorId, bool),
    /// x · (1 + erf(x / √2)): twice a GELU.
    TwiceGelu,
    /// x³, and that times 0.044715.
    Cubed(TensorId, bool),
    /// x + 0.044715·x³, and that times √(2/π).
    Inner(TensorId, bool),
    /// The logistic function of x.
    Gate(TensorId),
    /// Queries times keys.
    Scores,
    /// Behind the softmax.
    Probabilities,
    /// Minus x.
    Negated,
    /// Halves exchanged, one negated.
    Turned,
    /// Half of a rotation: times cosine or times sine.
    Rotating,
    /// Rotated queries or keys.
    Rotated,
    /// Times the mask.
    Kept,
    /// Summed over the tokens.
    Summed,
    /// The length of x as a vector; its square when so.
    Length(TensorId, bool),
}

impl Form {
    /// True for a state that a layer may read.
    pub(super) fn is_state(self) -> bool {
        matches!(self, Self::Embedded | Self::Plain | Self::Projected | Self::Activated | Self::Normed)
    }

    /// True for queries and keys as they enter their product.
    pub(super) fn is_operand(self) -> bool {
        self.is_state() || matches!(self, Self::Scaled(..) | Self::Rotated)
    }
}

/// A tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    pub(super) kind: Kind,
    /// Its shape, when every dimension is known.
    pub(super) shape: Option<Vec<Size>>,
    /// Its contents, for small whole numbers.
    pub(super) data: Option<Vec<Size>>,
    /// The one value all elements have.
    pub(super) uniform: Option<f64>,
    /// The first tensor with the same values: casts and copies keep it.
    pub(super) same: TensorId,
}

impl Value {
    pub(super) fn new(kind: Kind, shape: Option<Vec<Size>>, same: TensorId) -> Self {
        Self { kind, shape, data: None, uniform: None, same }
    }

    pub(super) fn form(&self) -> Option<Form> {
        if let Kind::Hidden(form) = self.kind { Some(form) } else { None }
    }

    /// True for what no input's values change: constants and sizes.
    pub(super) fn is_fixed(&self) -> bool {
        matches!(self.kind, Kind::Constant | Kind::Sizes)
    }

    /// The number, when it is the same for every element and every input.
    pub(super) fn number(&self) -> Option<f64> {
        self.uniform.filter(|_| self.is_fixed())
    }

    /// True when at most one dimension is longer than one.
    pub(super) fn is_vector(&self) -> bool {
        self.shape.as_ref().is_some_and(|s| s.iter().filter(|d| d.value() != Some(1)).count() <= 1)
    }

    /// The last dimension.
    pub(super) fn width(&self) -> Option<Size> {
        self.shape.as_ref()?.last().copied()
    }
}

impl Kind {
    /// What it is, for a message.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Unknown => "something not understood",
            Self::Constant => "a constant",
            Self::Sizes => "the shape of the input",
            Self::Ids => "the token ids",
            Self::Types => "the token types",
            Self::Index(_) => "the positions of the tokens",
            Self::Padding => "a comparison of the token ids",
            Self::Mask => "the attention mask",
            Self::Lengths => "the number of real tokens",
            Self::Table(_) => "position or type embeddings",
            Self::ShapeOnly => "positions",
            Self::NotANumber(_) => "which hidden values are no numbers",
            Self::Hidden(_) => "hidden values",
        }
    }
}
