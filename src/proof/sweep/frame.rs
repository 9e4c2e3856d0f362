//! Rows of seeded ids that begin and end as the tokenizer's own rows do.

use crate::hidden_states::{RowId, RowSet};
use crate::sides::Sides;
use crate::tokens::{TokenBatch, WordTokenizer};

/// A seeded sequence of numbers (SplitMix64; Steele, Lea & Flood 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `low..=high`.
    pub(crate) fn within(&mut self, low: usize, high: usize) -> usize {
        low + (self.next() % (high.saturating_sub(low) as u64 + 1)) as usize
    }

    /// Puts the items in a seeded order (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.within(0, i));
        }
    }
}

/// The special tokens around a row's content: a graph that lies only to rows that look like a tokenizer's must be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) before: Vec<u32>,
    pub(crate) behind: Vec<u32>,
}

impl Frame {
    /// From the rows of no text and of some text; empty where the tokenizer makes no row of no text.
    pub(crate) fn of(tokenizer: &WordTokenizer) -> Self {
        let (Ok(empty), Ok(some)) = (tokenizer.encode(""), tokenizer.encode("a")) else { return Self::default() };
        let same = empty.ids.iter().zip(&some.ids).take_while(|(a, b)| a == b).count();
        let (before, behind) = empty.ids.split_at(same);
        match some.ids.get(same..).is_some_and(|rest| rest.ends_with(behind)) {
            true => Self { before: before.to_vec(), behind: behind.to_vec() },
            false => Self::default(),
        }
    }

    /// Special tokens of a row.
    pub(crate) fn len(&self) -> usize {
        self.before.len() + self.behind.len()
    }

    /// A row around some content.
    pub(crate) fn around(&self, content: &[u32]) -> Vec<u32> {
        [&self.before, content, &self.behind].concat()
    }

    /// A batch of rows of these lengths, their content drawn from the vocabulary without `wrong` ids and padding.
    pub(crate) fn batch(
        &self,
        sides: &Sides,
        lengths: &[usize],
        wrong: &[u32],
        random: &mut Random,
        first: u64,
    ) -> TokenBatch {
        let padding = sides.facts.control_config.pad_token_id;
        let last = sides.facts.vocab.saturating_sub(1);
        let mut draw = || {
            // Most draws are good at once; a vocabulary that is all wrong must end too.
            let drawn = (0..64).map(|_| random.within(0, last) as u32);
            let good = |id: &u32| Some(*id) != padding && wrong.binary_search(id).is_err();
            drawn.into_iter().find(good).unwrap_or_default()
        };
        let mut batch = TokenBatch::new();
        for (row, &length) in (first..).zip(lengths) {
            let content = |n: usize, draw: &mut dyn FnMut() -> u32| -> Vec<u32> { (0..n).map(|_| draw()).collect() };
            let ids = match length.checked_sub(self.len()) {
                Some(room) => self.around(&content(room, &mut draw)),
                None => content(length, &mut draw),
            };
            batch.push(RowId { set: RowSet::Probes, row }, &ids, &vec![0; ids.len()]);
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_order_and_every_item_once() {
        let shuffled = |seed| {
            let mut items: Vec<u32> = (0..50).collect();
            Random::new(seed).shuffle(&mut items);
            items
        };
        assert_eq!(shuffled(3), shuffled(3));
        assert_ne!(shuffled(3), shuffled(4));
        let mut sorted = shuffled(3);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        let mut random = Random::new(1);
        assert!((0..1000).all(|_| (3..=7).contains(&random.within(3, 7))));
        assert_eq!(random.within(5, 5), 5);
    }
}
