//! Which lengths and batch sizes are swept.

use super::frame::Random;

/// Longest row that an ordinary run sweeps: the built-in probes already hold a row of the length limit, and the cost of
/// a row grows with its length.
const LONGEST: usize = 256;
/// Up to here `--thorough` sweeps every length…
const EVERY: usize = 1024;
/// …and beyond, one in so many, at a seeded offset.
const STEP: usize = 61;
/// Batch sizes that `--thorough` sweeps: all up to here…
const SIZES: usize = 64;
/// …and some of those that servers use.
const LARGE: &[usize] = &[65, 96, 100, 127, 128, 129, 200, 256];

/// The row lengths of every batch; a batch of one row is that row alone.
pub(crate) fn batches(limit: usize, seed: u64, thorough: bool) -> Vec<Vec<usize>> {
    let mut random = Random::new(seed);
    let limit = limit.max(1);
    let mut all = if thorough { every(limit, &mut random) } else { few(limit, &mut random) };
    for batch in &mut all {
        batch.iter_mut().for_each(|n| *n = (*n).min(limit));
    }
    all.sort();
    all.dedup();
    all
}

/// A handful of rows alone, and a handful of batches: without padding, with exactly one padded row, and mixed. Some 600
/// tokens in all where the limit is 256.
fn few(limit: usize, random: &mut Random) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = [1, 2, 3, 32].iter().map(|&n| vec![n]).collect();
    all.push(vec![random.within(4, 16)]);
    all.push(vec![random.within(17, 31)]);
    all.push(vec![random.within(33, 96)]);
    all.push(vec![limit.min(LONGEST)]);
    let even = random.within(4, 8);
    all.push(vec![even; random.within(2, 4)]);
    all.push(vec![9, random.within(2, 8)]);
    let mut one_padded = vec![random.within(7, 10); random.within(3, 6)];
    if let Some(last) = one_padded.last_mut() {
        *last = random.within(2, 6);
    }
    all.push(one_padded);
    for (low, high, longest) in [(5, 9, 10), (10, 20, 6), (33, 72, 3)] {
        let rows = random.within(low, high);
        all.push((0..rows).map(|_| random.within(2, longest)).collect());
    }
    all
}

fn every(limit: usize, random: &mut Random) -> Vec<Vec<usize>> {
    let mut lengths: Vec<usize> = (1..=limit.min(EVERY)).collect();
    if limit > EVERY {
        lengths.extend((EVERY + random.within(1, STEP)..limit).step_by(STEP));
        lengths.push(limit);
    }
    let mut all = few(limit, random);
    for &n in &lengths {
        all.push(vec![n]);
        all.push(vec![n, random.within(1, n)]);
    }
    for rows in (2..=SIZES).chain(LARGE.iter().copied()) {
        all.push(vec![random.within(3, 6); rows]);
        let mut one_padded = vec![random.within(5, 8); rows];
        one_padded[rows - 1] = random.within(2, 4);
        all.push(one_padded);
        all.push((0..rows).map(|_| random.within(2, 9)).collect());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_run_is_short_and_a_thorough_one_leaves_no_length_out() {
        for seed in 0..50 {
            let few = batches(256, seed, false);
            let tokens: usize = few.iter().flatten().sum();
            assert!((400..1000).contains(&tokens), "{tokens}");
            for wanted in [1, 2, 32, 256] {
                assert!(few.contains(&vec![wanted]), "{wanted}");
            }
            let padded = |b: &Vec<usize>| b.iter().filter(|n| *n < b.iter().max().unwrap()).count();
            assert!(few.iter().any(|b| padded(b) == 1) && few.iter().any(|b| padded(b) > 1));
            assert!(few.iter().any(|b| b.len() > 1 && padded(b) == 0));
            assert!(few.iter().any(|b| b.len() >= 33));
        }
        assert_ne!(batches(256, 1, false), batches(256, 2, false));
        assert!(batches(5, 1, false).iter().flatten().all(|n| (1..=5).contains(n)));
        let all = batches(300, 1, true);
        assert!((1..=300).all(|n| all.contains(&vec![n])));
        assert!((2..=SIZES).all(|rows| all.iter().any(|b| b.len() == rows)));
        let long = batches(8192, 1, true);
        assert!(long.contains(&vec![8192]) && (1..=EVERY).all(|n| long.contains(&vec![n])) && long.len() < 4000);
    }
}
