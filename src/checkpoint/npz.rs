//! `weights.npz`, in which mlx-examples keep their weights: a ZIP archive of NumPy arrays.
//!
//! Source: NumPy's format specification (`numpy/lib/format.py`), versions 1 and 2; bfloat16 is `V2` as MLX writes it
//! (ml-explore/mlx `mlx/io/load.cpp`).

use std::io::{Cursor, Read};

use safetensors::Dtype;
use zip::ZipArchive;
use zip::result::ZipError;

use crate::memory::Memory;

/// What mlx-examples keep weights in.
pub(super) const NPZ: &str = "weights.npz";

/// Weights are hardly smaller when compressed; what expands by more than this is not weights.
const MOST_EXPANSION: u64 = 16;
/// Small arrays may be all zeros.
const SMALL: u64 = 1 << 20;
/// Longest header of an array; NumPy itself refuses longer ones.
const MOST_HEADER: usize = 10_000;

/// One array in the bytes of all.
pub(super) struct Array {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The arrays of an archive and the bytes they lie in. An error says what is wrong with the file, naming the array.
pub(super) fn read(file: &[u8]) -> Result<(Memory<u8>, Vec<Array>), String> {
    let broken = |e: ZipError| format!("is not a whole ZIP archive: {e}");
    let mut archive = ZipArchive::new(Cursor::new(file)).map_err(broken)?;
    let mut sizes = Vec::new();
    for i in 0..archive.len() {
        let entry = archive.by_index_raw(i).map_err(broken)?;
        let most = entry.compressed_size().saturating_mul(MOST_EXPANSION).saturating_add(SMALL);
        if entry.size() > most || entry.compressed_size() > file.len() as u64 {
            let name = entry.name().map_err(broken)?.into_owned();
            return Err(format!(
                "holds `{name}`, whose {} bytes are said to be {} here",
                entry.size(),
                entry.compressed_size()
            ));
        }
        sizes.push(entry.size());
    }
    let total = sizes.iter().try_fold(0u64, |sum, size| sum.checked_add(*size));
    // Entries may lie over one another: together they are held to the file's own size.
    let most = (file.len() as u64).saturating_mul(MOST_EXPANSION).saturating_add(SMALL);
    let total = total.filter(|total| *total <= most).ok_or("expands to more than weights could")?;
    let mut bytes = Memory::zeroed(usize::try_from(total).unwrap_or(usize::MAX)).map_err(|e| e.to_string())?;
    let mut arrays = Vec::new();
    let mut at = 0;
    for (i, size) in sizes.into_iter().enumerate() {
        let mut entry = archive.by_index(i).map_err(broken)?;
        let name = entry.name().map_err(broken)?.into_owned();
        let Some(array) = name.strip_suffix(".npy") else {
            return Err(format!("holds `{name}`, which is no array"));
        };
        let end = at + usize::try_from(size).unwrap_or(usize::MAX);
        let own = bytes.get_mut(at..end).ok_or("changed while it was read")?;
        // One byte beyond, so that the archive's checksum is looked at.
        let whole = entry.read_exact(own).and_then(|()| entry.read(&mut [0]));
        if whole.map_err(|e| format!("holds `{name}`, which cannot be read: {e}"))? != 0 {
            return Err(format!("holds `{name}`, which is longer than it says"));
        }
        let wrong = |reason: String| format!("holds `{name}`, {reason}");
        let (dtype, shape, header) = header(own).map_err(wrong)?;
        let values = shape.iter().try_fold(dtype.bitsize() / 8, |size, extent| size.checked_mul(*extent));
        if values != own.len().checked_sub(header) {
            return Err(wrong(format!("whose {} bytes are not {dtype:?} of shape {shape:?}", own.len() - header)));
        }
        arrays.push(Array { name: array.to_owned(), dtype, shape, start: at + header, end });
        at = end;
    }
    Ok((bytes, arrays))
}

/// Type, shape, and where the values begin. An error continues "an array, …".
fn header(bytes: &[u8]) -> Result<(Dtype, Vec<usize>, usize), String> {
    let not = || "which does not begin as a NumPy array does".to_owned();
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or_else(not)?;
    let (start, length) = match rest {
        [1, _, a, b, ..] => (10, usize::from(u16::from_le_bytes([*a, *b]))),
        [2, _, a, b, c, d, ..] => (12, u32::from_le_bytes([*a, *b, *c, *d]) as usize),
        [version @ (3..), ..] => return Err(format!("an array of format version {version}; 1 and 2 are read")),
        _ => return Err(not()),
    };
    let end = start + length.min(MOST_HEADER + 1);
    let text =
        bytes.get(start..end).filter(|text| text.len() == length).and_then(|text| std::str::from_utf8(text).ok());
    let text = text.ok_or_else(|| "whose header is cut short, too long or no text".to_owned())?;
    let field = |key: &str| text.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
    let (Some(descr), Some(order), Some(shape)) = (field("descr"), field("fortran_order"), field("shape")) else {
        return Err("whose header lacks its type, order or shape".to_owned());
    };
    let named = descr.strip_prefix('\'').and_then(|d| d.split_once('\'')).map(|(name, _)| name);
    let dtype = match named {
        Some("<f4") => Dtype::F32,
        Some("<f2") => Dtype::F16,
        Some("<V2" | "|V2") => Dtype::BF16,
        Some("<u4") => Dtype::U32,
        Some("|u1") => Dtype::U8,
        Some("<i8") => Dtype::I64,
        Some("<i4") => Dtype::I32,
        other => {
            let other: String = other.unwrap_or(descr).chars().take(20).collect();
            return Err(format!("an array of type {other}; float32, float16, bfloat16 and unsigned codes are read"));
        }
    };
    let inside = shape.strip_prefix('(').and_then(|s| s.split_once(')')).map(|(inside, _)| inside);
    let extents = inside.map(|s| s.split(',').map(str::trim).filter(|e| !e.is_empty()).map(str::parse).collect());
    let shape: Vec<usize> = match extents {
        Some(Ok(shape)) => shape,
        _ => return Err("whose shape is not a list of sizes".to_owned()),
    };
    // With one extent beyond 1 (or none) the two orders are one.
    if order.starts_with("True") && shape.iter().filter(|extent| **extent > 1).count() > 1 {
        return Err("an array stored column by column; save it row by row".to_owned());
    }
    Ok((dtype, shape, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    fn array(descr: &str, order: &str, shape: &str, values: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), values].concat()
    }

    fn archive(entries: &[(&str, Vec<u8>)], method: zip::CompressionMethod) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in entries {
            zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn stored(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        archive(entries, zip::CompressionMethod::Stored)
    }

    #[test]
    fn arrays_come_back_stored_or_compressed() {
        let entries = [
            ("a.weight.npy", array("<f4", "False", "(2, 1)", &[0, 0, 128, 63, 0, 0, 0, 64])),
            ("b.npy", array("<V2", "True", "(3, 1)", &[1, 2, 3, 4, 5, 6])),
            ("c.npy", array("|u1", "True", "()", &[9])),
        ];
        for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
            let (bytes, arrays) = read(&archive(&entries, method)).unwrap();
            let seen: Vec<_> =
                arrays.iter().map(|a| (a.name.as_str(), a.dtype, a.shape.clone(), &bytes[a.start..a.end])).collect();
            assert_eq!(seen[0], ("a.weight", Dtype::F32, vec![2, 1], &[0, 0, 128, 63, 0, 0, 0, 64][..]));
            assert_eq!(seen[1], ("b", Dtype::BF16, vec![3, 1], &[1, 2, 3, 4, 5, 6][..]));
            assert_eq!(seen[2], ("c", Dtype::U8, vec![], &[9][..]));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let told = |name: &str, bytes: Vec<u8>| read(&stored(&[(name, bytes)])).map(drop).unwrap_err();
        for (bytes, reason) in [
            (array("<f8", "False", "(1,)", &[0; 8]), "type <f8"),
            (array("<f4", "True", "(2, 2)", &[0; 16]), "column by column"),
            (array("<f4", "False", "(2,)", &[0; 4]), "4 bytes are not F32 of shape [2]"),
            (array("<f4", "False", "(-1,)", &[0; 4]), "not a list of sizes"),
            (array("<f4", "False", "(9223372036854775807, 9)", &[0; 4]), "not F32"),
            (b"\x93NUMPY\x01\x00\xff\xff{".to_vec(), "cut short"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{".to_vec(), "cut short"),
            (b"\x93NUMPY\x07\x00\x00\x00".to_vec(), "version 7"),
            (b"PK".to_vec(), "does not begin"),
            (array("<f4", "False", "", &[]).replace_shape(), "lacks"),
        ] {
            let said = told("a.npy", bytes);
            assert!(said.contains(reason), "{said}");
        }
        assert!(told("a.txt", vec![1]).contains("no array"));
        assert!(read(b"").is_err() && read(b"PK\x03\x04").is_err());
    }

    trait ReplaceShape {
        fn replace_shape(self) -> Vec<u8>;
    }

    impl ReplaceShape for Vec<u8> {
        fn replace_shape(mut self) -> Vec<u8> {
            let at = self.windows(7).position(|w| w == b"'shape'").unwrap();
            self[at + 1] = b'S';
            self
        }
    }

    #[test]
    fn what_expands_beyond_measure_is_not_read() {
        let zeros = array("|u1", "False", "(80000000,)", &vec![0; 80_000_000]);
        let bomb = archive(&[("a.npy", zeros)], zip::CompressionMethod::Deflated);
        assert!(bomb.len() < 1 << 20);
        assert!(read(&bomb).map(drop).unwrap_err().contains("are said to be"));
    }

    /// Any bytes, cut or changed, give an answer and no panic.
    #[test]
    fn every_cut_and_every_changed_byte_is_answered() {
        let whole = stored(&[("a.weight.npy", array("<f4", "False", "(2, 1)", &[1; 8]))]);
        for at in 0..whole.len() {
            assert!(read(&whole[..at]).is_err(), "cut at {at}");
            for bit in [1u8, 0x80] {
                let mut changed = whole.clone();
                changed[at] ^= bit;
                let _ = read(&changed);
            }
        }
    }
}
