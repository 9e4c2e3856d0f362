//! What a code stands for.

use super::Severity;

/// What a finding rests on, the nearest cause first: what is wrong in the files shows in the weights, in the states, and
/// at last in what is searched with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ground {
    /// Files of the two sides that contradict each other, whatever is run on them.
    #[default]
    Files,
    /// Tensors that are whole, and not where they belong.
    Places,
    /// Tensors that were changed.
    Weights,
    /// States that were computed.
    States,
    /// Limits of the policy.
    Limits,
    /// Nothing is contradicted, something is missing.
    Missing,
}

/// One kind of finding: the row of the table in [`codes`](super::codes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Stable, dotted, lower case. One that ends in `.*` is a family: the rest names a setting.
    pub code: &'static str,
    /// The gravest that findings of this code are.
    pub severity: Severity,
    /// What was noticed, in one line.
    pub means: &'static str,
    /// What to do about it, in one line.
    pub todo: &'static str,
    /// The word before the finding where it must stand in the verdict itself, although it fails nothing.
    pub caveat: Option<&'static str>,
    /// True for what depends on limits, so that `recheck` decides it anew.
    pub by_limits: bool,
    /// What it rests on.
    pub ground: Ground,
}

impl Code {
    pub(super) const fn new(code: &'static str, severity: Severity, means: &'static str, todo: &'static str) -> Self {
        Self { code, severity, means, todo, caveat: None, by_limits: false, ground: Ground::Files }
    }

    pub(super) const fn caveat(mut self, word: &'static str) -> Self {
        self.caveat = Some(word);
        self
    }

    pub(super) const fn by_limits(mut self) -> Self {
        self.by_limits = true;
        self
    }

    pub(super) const fn of_places(mut self) -> Self {
        self.ground = Ground::Places;
        self
    }

    pub(super) const fn of_weights(mut self) -> Self {
        self.ground = Ground::Weights;
        self
    }

    pub(super) const fn of_states(mut self) -> Self {
        self.ground = Ground::States;
        self
    }

    pub(super) const fn of_limits(mut self) -> Self {
        self.ground = Ground::Limits;
        self
    }

    pub(super) const fn of_what_is_missing(mut self) -> Self {
        self.ground = Ground::Missing;
        self
    }

    /// What a family's codes begin with, the point included; none for a single code.
    pub fn family(&self) -> Option<&'static str> {
        self.code.strip_suffix('*')
    }

    /// True when `code` is this one, or one of this family.
    pub fn covers(&self, code: &str) -> bool {
        match self.family() {
            Some(start) => code.starts_with(start),
            None => code == self.code,
        }
    }
}

/// A table of codes, each also a constant.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident: $severity:ident $code:literal $means:literal $todo:literal $(.$more:ident($($word:literal)?))*;)*) => {
        $(
            #[doc = concat!("`", $code, "`: ", $means)]
            pub const $name: $crate::finding::Code =
                $crate::finding::Code::new($code, $crate::finding::Severity::$severity, $means, $todo)$(.$more($($word)?))*;
        )*
        pub(super) const TABLE: &[$crate::finding::Code] = &[$($name),*];
    };
}
pub(super) use codes;
