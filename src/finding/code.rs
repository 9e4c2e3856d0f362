//! What a code stands for.

use super::Severity;

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
}

impl Code {
    pub(super) const fn new(code: &'static str, severity: Severity, means: &'static str, todo: &'static str) -> Self {
        Self { code, severity, means, todo, caveat: None, by_limits: false }
    }

    pub(super) const fn caveat(mut self, word: &'static str) -> Self {
        self.caveat = Some(word);
        self
    }

    pub(super) const fn by_limits(mut self) -> Self {
        self.by_limits = true;
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
