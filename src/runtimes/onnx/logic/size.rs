//! Whole numbers that come from the shapes of the inputs: products of a factor, the number of rows and the number of
//! tokens per row.

/// `factor · rows^i · tokens^j`. A number that is no such product is not represented, so that a graph cannot compare
/// with a length, or compute from it, without being noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    factor: i64,
    rows: u8,
    tokens: u8,
}

/// One.
pub(super) const ONE: Size = Size::known(1);
/// The number of rows of a batch.
pub(super) const ROWS: Size = Size { factor: 1, rows: 1, tokens: 0 };
/// The number of tokens per row, padding included.
pub(super) const TOKENS: Size = Size { factor: 1, rows: 0, tokens: 1 };

impl Size {
    /// A number that no input changes.
    pub(super) const fn known(factor: i64) -> Self {
        Self { factor, rows: 0, tokens: 0 }
    }

    /// The number, when no input changes it.
    pub(super) fn value(self) -> Option<i64> {
        (self.rows == 0 && self.tokens == 0).then_some(self.factor)
    }

    pub(super) fn times(self, other: Self) -> Option<Self> {
        let factor = self.factor.checked_mul(other.factor)?;
        if factor == 0 {
            return Some(Self::known(0));
        }
        let rows = self.rows.checked_add(other.rows)?;
        Some(Self { factor, rows, tokens: self.tokens.checked_add(other.tokens)? })
    }

    pub(super) fn plus(self, other: Self) -> Option<Self> {
        match (self.factor, other.factor) {
            (0, _) => Some(other),
            (_, 0) => Some(self),
            (a, b) if (self.rows, self.tokens) == (other.rows, other.tokens) => {
                let factor = a.checked_add(b)?;
                Some(if factor == 0 { Self::known(0) } else { Self { factor, ..self } })
            }
            _ => None,
        }
    }

    /// The quotient: exact, or of two known numbers (as ONNX divides integers, towards zero).
    pub(super) fn over(self, other: Self) -> Option<Self> {
        if let (Some(a), Some(b)) = (self.value(), other.value()) {
            return a.checked_div(b).map(Self::known);
        }
        let factor = (self.factor.checked_rem(other.factor)? == 0).then(|| self.factor.checked_div(other.factor))??;
        let rows = self.rows.checked_sub(other.rows)?;
        Some(Self { factor, rows, tokens: self.tokens.checked_sub(other.tokens)? })
    }

    /// The product of all dimensions.
    pub(super) fn product(all: &[Self]) -> Option<Self> {
        all.iter().try_fold(ONE, |product, size| product.times(*size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_products_are_numbers() {
        let n = Size::known;
        assert_eq!(ROWS.times(TOKENS).and_then(|p| p.over(ROWS)), Some(TOKENS));
        assert_eq!(TOKENS.plus(n(0)), Some(TOKENS));
        assert_eq!(TOKENS.plus(TOKENS), n(2).times(TOKENS));
        assert_eq!(TOKENS.plus(n(1)), None);
        assert_eq!(TOKENS.plus(ROWS), None);
        assert_eq!(TOKENS.over(n(2)), None, "half of a length is not the same for odd and even ones");
        assert_eq!(n(7).over(n(2)), Some(n(3)));
        assert_eq!((n(1).over(n(0)), TOKENS.over(n(0)), n(i64::MIN).over(n(-1))), (None, None, None));
        assert_eq!(Size::product(&[ROWS, n(4), TOKENS]), n(4).times(ROWS).and_then(|p| p.times(TOKENS)));
    }
}
