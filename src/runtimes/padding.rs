//! Programs whose mask is no mask for some candidates: rows that are padded, or longer than a window, come out as NaN or as
//! other vectors.

/// How a candidate is stored and padded, as far as a program's mask of padding depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// Type of the scales, or of the weights that are not quantized.
    pub dtype: &'a str,
    /// The table of words is quantized.
    pub packed: bool,
    /// Rows are padded at their beginning.
    pub left: bool,
}

/// When a program's mask is no mask.
#[derive(Debug)]
pub struct PaddedNan {
    /// Whether it is so for this candidate.
    pub when: fn(Stored<'_>) -> bool,
    /// What happens, behind "the program", and what helps.
    pub what: &'static str,
}

/// Run: 116 of 150 rows NaN in batches of 16, none one by one.
pub(super) const F16_WINDOW: &[PaddedNan] = &[
    PaddedNan {
        when: |stored| stored.dtype == "F16",
        what: "masks this model's window by a number that is -infinity in float16: rows padded by more than half a window \
               come out as NaN; convert to bfloat16, or give it rows of one length at a time",
    },
    // Without a mask it makes one of ones, in the table's own type. Run: NaN in float16, 0.07 to 0.35 in cosine distance in
    // bfloat16 and float32; none with a mask.
    PaddedNan {
        when: |stored| stored.packed,
        what: "casts the mask of a text that is given alone, without a mask, to the type of the packed word table: texts \
               longer than half a window come out as NaN or as other vectors; give it lists or an attention mask",
    },
];
/// Run in float16: 130 of 150 rows NaN in batches of 16, none one by one; in bfloat16 and float32 1.0 to 1.2 in cosine
/// distance.
pub(super) const PACKED_MASK: &[PaddedNan] = &[PaddedNan {
    when: |stored| stored.packed,
    what: "casts the mask of padding to the type of the packed word table, a whole number: rows that are padded come out as \
           NaN in float16 and as other vectors else; leave the word table unquantized, or give it rows of one length at a time",
}];
/// Run: 130 of 150 rows NaN in batches of 16, none one by one or padded at the right.
pub(super) const LEFT_PADDING: &[PaddedNan] = &[PaddedNan {
    when: |stored| stored.left,
    what: "lets padding at the left see nothing at all: rows that are padded come out as NaN; state padding_side right in \
           tokenizer_config.json, or give it rows of one length at a time",
}];
