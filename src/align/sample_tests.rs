//! The sample, and the neighbourhoods it shows.

use super::*;

fn corpus(row: u64) -> RowId {
    RowId { set: RowSet::Corpus, row }
}

fn vector(seed: u64, width: usize) -> Vec<f32> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..width).map(next).collect()
}

fn filled(rows: impl Iterator<Item = u64>, limit: usize, noise: f32) -> SentenceSample {
    let mut sample = SentenceSample::new(limit);
    for row in rows {
        let r = vector(row + 1, 16);
        let c: Vec<f32> = r.iter().zip(vector(row + 9_999, 16)).map(|(r, n)| r + noise * n).collect();
        sample.offer(corpus(row), &r, &c).unwrap();
    }
    sample
}

#[test]
fn too_few_rows_have_no_statistics() {
    for n in 0..3 {
        let answer = filled(0..n, 8, 0.1).finish();
        assert_eq!(answer.stats.rows, n);
        assert_eq!(
            [answer.stats.top1_agreement, answer.stats.top10_overlap, answer.stats.spearman, answer.stats.pearson],
            [None; 4]
        );
    }
    assert!(filled(0..3, 8, 0.0).finish().stats.top1_agreement.is_some());
}

#[test]
fn equal_sides_agree_and_noise_shows() {
    let same = filled(0..60, 512, 0.0).finish();
    assert_eq!(
        [same.stats.top1_agreement, same.stats.top10_overlap, same.stats.spearman, same.stats.pearson],
        [Some(1.0); 4]
    );
    assert!(same.nearest_flips.is_empty());
    let (little, much) = (filled(0..60, 512, 0.05).finish(), filled(0..60, 512, 2.0).finish());
    assert!(little.stats.spearman > Some(0.95) && little.stats.top10_overlap > Some(0.8), "{little:?}");
    assert!(much.stats.spearman < little.stats.spearman && much.stats.top1_agreement < Some(0.5), "{much:?}");
    assert_eq!(much.nearest_flips.len(), 10);
    assert!(much.nearest_flips.is_sorted_by(|a, b| a.margin >= b.margin));
}

#[test]
fn a_row_told_twice_is_told_once() {
    let twice = |n: u64| {
        let mut sample = SentenceSample::default();
        for i in 0..n {
            let row = (i % 40) as f32;
            let r = [row.cos(), row.sin(), 0.3 * row.sin(), 1.0];
            let c = [(2.0 * row).cos(), row.sin(), 0.2, 1.0];
            sample.offer(corpus(i), &r, &c).unwrap();
        }
        sample.finish()
    };
    let (once, again) = (twice(40), twice(80));
    assert_eq!((once.stats.rows, again.stats.rows), (40, 40));
    // The same words with another full stop have another vector.
    let mut stops = SentenceSample::default();
    for i in 0..60u64 {
        let (angle, said) = ((i % 30) as f32 + 0.01 * (i / 30) as f32, Some(i % 30));
        let vector = [angle.cos(), angle.sin(), 0.5 * (2.0 * angle).sin()];
        stops.offer_said(corpus(i), said, &vector, &vector).unwrap();
    }
    assert_eq!(stops.finish().stats.rows, 30);
    assert!(once.stats.top1_agreement < Some(0.9), "{once:?}");
    assert_eq!(again, once);
}

#[test]
fn a_flip_is_named_with_its_margin() {
    let mut sample = SentenceSample::default();
    // Row 0 is nearest to row 1 on the reference side, to row 2 on the candidate side.
    let r: [[f32; 2]; 4] = [[1.0, 0.0], [1.0, 0.1], [1.0, 0.5], [-1.0, 0.2]];
    let mut c = r;
    c.swap(1, 2);
    for i in 0..4 {
        sample.offer(corpus(i as u64), &r[i], &c[i]).unwrap();
    }
    let answer = sample.finish();
    let flip = &answer.nearest_flips.iter().find(|f| f.row == corpus(0)).unwrap();
    assert_eq!((flip.reference_neighbour, flip.candidate_neighbour), (corpus(1), corpus(2)));
    let cosine = |x: f64| 1.0 / (1.0 + x * x).sqrt();
    assert!((flip.margin - (cosine(0.1) - cosine(0.5))).abs() < 1e-7, "{}", flip.margin);
}

#[test]
fn duplicates_in_the_corpus_are_no_flips() {
    // Ten copies of three sentences, with float32 noise of its own on either side.
    let mut sample = SentenceSample::default();
    for row in 0..30 {
        let base = vector(row % 3 + 1, 16);
        let jitter = |seed: u64| -> Vec<f32> { base.iter().zip(vector(seed, 16)).map(|(b, n)| b + 1e-7 * n).collect() };
        sample.offer(corpus(row), &jitter(row + 50), &jitter(row + 500)).unwrap();
    }
    let answer = sample.finish();
    assert_eq!((answer.stats.top1_agreement, answer.stats.top10_overlap), (Some(1.0), Some(1.0)), "{answer:?}");
}

#[test]
fn vectors_without_a_direction_are_counted_and_poison_the_statistics() {
    for bad in [0.0, f32::NAN, f32::INFINITY] {
        let mut sample = filled(0..20, 512, 0.0);
        sample.offer(corpus(99), &vector(7, 16), &[bad; 16]).unwrap();
        let answer = sample.finish();
        assert_eq!((answer.stats.rows, answer.unusable), (21, 1));
        for statistic in
            [answer.stats.top1_agreement, answer.stats.top10_overlap, answer.stats.spearman, answer.stats.pearson]
        {
            assert!(statistic.unwrap().is_nan(), "a zero vector must not pass a limit");
        }
    }
}

#[test]
fn one_sentence_repeated_has_no_correlation() {
    let mut sample = SentenceSample::default();
    for row in 0..5 {
        sample.offer(corpus(row), &[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]).unwrap();
    }
    let answer = sample.finish();
    assert_eq!((answer.stats.spearman, answer.stats.pearson), (None, None));
}

#[test]
fn the_sample_knows_no_order_and_no_shards() {
    let whole = serde_json::to_string(&filled(0..300, 64, 0.3)).unwrap();
    assert_eq!(serde_json::to_string(&filled((0..300).rev(), 64, 0.3)).unwrap(), whole);
    let mut merged = SentenceSample::new(64);
    for shard in [2, 0, 1] {
        let part = filled((0..300).filter(|r| r % 3 == shard), 64, 0.3);
        let part: SentenceSample = serde_json::from_str(&serde_json::to_string(&part).unwrap()).unwrap();
        merged.merge(&part).unwrap();
    }
    assert_eq!(serde_json::to_string(&merged).unwrap(), whole);
    assert_eq!(merged.len(), 64);
    // The same row again, in any order, changes nothing that depends on the order.
    let (mut ab, mut ba) = (SentenceSample::new(4), SentenceSample::new(4));
    ab.offer(corpus(1), &[1.0], &[2.0]).unwrap();
    ab.offer(corpus(1), &[3.0], &[4.0]).unwrap();
    ba.offer(corpus(1), &[3.0], &[4.0]).unwrap();
    ba.offer(corpus(1), &[1.0], &[2.0]).unwrap();
    assert_eq!(ab, ba);
}

#[test]
fn the_sample_is_spread_over_the_corpus_and_its_hash_is_fixed() {
    // SplitMix64 from seed 0 gives e220a8397b1dcdaf first (Vigna's reference implementation).
    assert_eq!(hash(corpus(0)), 0xe220_a839_7b1d_cdaf);
    assert_ne!(hash(corpus(0)), hash(RowId { set: RowSet::Probes, row: 0 }));
    let sample = filled(0..4_000, 400, 0.0);
    let first_half = sample.rows.keys().filter(|(_, row)| row.row < 2_000).count();
    assert!((150..250).contains(&first_half), "{first_half} of 400");
}

#[test]
fn widths_must_agree_within_a_side() {
    let mut sample = SentenceSample::new(4);
    assert!(sample.offer(corpus(0), &[], &[]).is_err());
    sample.offer(corpus(0), &[1.0, 2.0], &[1.0]).unwrap();
    let error = sample.offer(corpus(5), &[1.0, 2.0], &[1.0, 2.0]).unwrap_err();
    assert_eq!(error.to_string(), "row 5: sentence vector of width 1 expected on the candidate side, found 2");
    let mut other = SentenceSample::new(4);
    other.offer(corpus(0), &[1.0], &[1.0]).unwrap();
    assert!(sample.merge(&other).is_err());
}

#[test]
fn of_one_row_offered_twice_the_smaller_bits_stay() {
    for values in [[1.0, 3.0], [3.0, 1.0]] {
        // With one place, the second offer meets a full sample.
        let mut sample = SentenceSample::new(1);
        for v in values {
            sample.offer(corpus(1), &[v], &[v]).unwrap();
        }
        let kept: Vec<f32> = sample.rows.values().map(|p| p.reference[0]).collect();
        assert_eq!(kept, [1.0]);
    }
}

#[test]
fn an_empty_sample_with_a_smaller_limit_still_limits() {
    let mut sample = filled(0..5, 8, 0.0);
    assert!(!sample.is_empty() && SentenceSample::new(2).is_empty());
    sample.merge(&SentenceSample::new(2)).unwrap();
    assert_eq!(sample.len(), 2);
}

#[test]
fn a_written_sample_keeps_its_widths() {
    let row = serde_json::to_value(corpus(1)).unwrap();
    let saved = |rows: serde_json::Value| serde_json::json!({"limit": 4, "widths": [2, 2], "rows": rows});
    let read = |v: serde_json::Value| serde_json::from_value::<SentenceSample>(v);
    assert!(read(saved(serde_json::json!([[row, [0], [0]]]))).is_err(), "rows of width 1");
    let mut empty = read(saved(serde_json::json!([]))).unwrap();
    assert!(empty.offer(corpus(1), &[1.0], &[1.0]).is_err());
    assert!(empty.offer(corpus(1), &[1.0; 2], &[1.0; 2]).is_ok());
}

#[test]
fn probes_do_not_share_the_hashes_of_other_probes() {
    let probe = |row| hash(RowId { set: RowSet::Probes, row });
    let mut all: Vec<u64> = (0..512).map(probe).chain((0..512).map(|r| hash(corpus(r)))).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 1024);
}
