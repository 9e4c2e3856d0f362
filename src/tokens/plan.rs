//! From rows to batches: only inside fixed blocks, so that results do not depend on shards, workers or
//! the number of rows that follow.

/// Rows of one block, the unit inside which rows may be batched together (DESIGN §9).
pub const BLOCK_ROWS: usize = 256;

/// Splits one block into batches of rows of similar length.
///
/// `lengths[i]` is the token count of row `i`. Rows are sorted by length (ties by position) and cut so
/// that rows × longest stays within `budget` padded tokens; a single longer row is a batch of its own.
/// Every row is in exactly one batch.
pub fn plan_batches(lengths: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&i| (lengths[i], i));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for i in order {
        match batches.last_mut() {
            // Sorted: row `i` is the longest of the batch it joins.
            Some(batch) if (batch.len() + 1).saturating_mul(lengths[i]) <= budget => batch.push(i),
            _ => batches.push(vec![i]),
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_row_once_within_the_budget(lengths in prop::collection::vec(1usize..600, 0..300), budget in 1usize..2000) {
            let batches = plan_batches(&lengths, budget);
            let mut seen: Vec<usize> = batches.iter().flatten().copied().collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            for b in &batches {
                let longest = b.iter().map(|&i| lengths[i]).max().unwrap_or(0);
                prop_assert!(b.len() == 1 || b.len() * longest <= budget);
            }
        }
    }
}
