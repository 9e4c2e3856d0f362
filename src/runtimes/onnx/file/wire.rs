//! A walk over the protobuf wire format before anything is decoded: a two-byte empty message becomes
//! hundreds of bytes in memory, so a hostile file is counted first.
//!
//! Format: protobuf.dev/programming-guides/encoding.

use std::ops::Range;

/// Most messages a file may hold over all levels that are decoded.
const MAX_MESSAGES: usize = 4_000_000;

/// Length-delimited fields to descend into: model -> graph -> node -> attribute, and functions.
/// Each level lists `(field, next level)`.
const LEVELS: &[&[(u64, usize)]] = &[
    &[(7, 1), (8, LEAF), (14, LEAF), (25, 8)],
    &[(1, 2), (5, 4), (11, 4), (12, 4), (15, LEAF)],
    &[(1, LEAF), (2, LEAF), (5, 3), (9, LEAF)],
    &[(5, 4), (11, LEAF)],
    &[(2, 5), (13, LEAF)],
    &[(1, 6)],
    &[(2, 7)],
    &[(1, LEAF)],
    &[(4, LEAF), (5, LEAF), (6, LEAF), (7, 2), (9, LEAF), (11, 3)],
];
const LEAF: usize = usize::MAX;

/// Walks the file; an error says what is wrong and where.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    let mut seen = 0;
    let mut open = vec![(0usize, bytes.len(), 0usize)];
    while let Some((mut at, end, level)) = open.pop() {
        while at < end {
            let start = at;
            let cut = |at: usize| format!("it ends or breaks at byte {at} of {}", bytes.len());
            let key = varint(bytes, &mut at, end).ok_or_else(|| cut(start))?;
            match key & 7 {
                0 => _ = varint(bytes, &mut at, end).ok_or_else(|| cut(start))?,
                1 => at += 8,
                5 => at += 4,
                2 => {
                    let len = varint(bytes, &mut at, end).ok_or_else(|| cut(start))?;
                    let stop = usize::try_from(len).ok().and_then(|n| at.checked_add(n)).filter(|&s| s <= end);
                    let stop = stop.ok_or_else(|| cut(start))?;
                    if let Some(&(_, next)) = LEVELS[level].iter().find(|(f, _)| *f == key >> 3) {
                        seen += 1;
                        if seen > MAX_MESSAGES {
                            return Err(format!("more than {MAX_MESSAGES} messages"));
                        }
                        if next != LEAF {
                            open.push((at, stop, next));
                        }
                    }
                    at = stop;
                }
                kind => return Err(format!("wire type {kind} at byte {start}")),
            }
            if at > end {
                return Err(cut(start));
            }
        }
    }
    Ok(())
}

/// One field: its number, its end, and where a length-delimited payload lies.
pub(crate) struct Field {
    pub(crate) number: u64,
    pub(crate) payload: Option<Range<usize>>,
    pub(crate) end: usize,
}

/// The field that begins at `at`; none at the end and where the bytes break.
pub(crate) fn field(bytes: &[u8], mut at: usize) -> Option<Field> {
    let key = varint(bytes, &mut at, bytes.len())?;
    let mut payload = None;
    match key & 7 {
        0 => _ = varint(bytes, &mut at, bytes.len())?,
        1 => at = at.checked_add(8)?,
        5 => at = at.checked_add(4)?,
        2 => {
            let length = usize::try_from(varint(bytes, &mut at, bytes.len())?).ok()?;
            let end = at.checked_add(length)?;
            payload = Some(at..end);
            at = end;
        }
        _ => return None,
    }
    (at <= bytes.len()).then_some(Field { number: key >> 3, payload, end: at })
}

fn varint(bytes: &[u8], at: &mut usize, end: usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at).filter(|_| *at < end)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncation_and_bombs_are_refused() {
        assert!(check(&[]).is_ok());
        assert!(check(&[0x3a, 0x02, 0x0a, 0x00]).is_ok());
        assert!(check(&[0x3a, 0x02, 0x0a]).is_err());
        assert!(check(&[0x3a, 0x02, 0x0a, 0x01]).is_err());
        assert!(check(&[0xff; 12]).is_err());
        assert!(check(&[0x3b]).is_err());
        let mut bomb = vec![0x3a];
        let body = [0x0a, 0x00].repeat(MAX_MESSAGES + 1);
        let mut n = body.len() as u64;
        while n >= 0x80 {
            bomb.push((n & 0x7f) as u8 | 0x80);
            n >>= 7;
        }
        bomb.push(n as u8);
        bomb.extend(body);
        assert!(check(&bomb).unwrap_err().contains("messages"));
    }
}
