//! Weights outside the model file: read where they may be read, refused everywhere else.
#![cfg(unix)]

use crate::onnx_common;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use onnx_common::split::{entry, split, write};
use onnx_common::{EXPORTS, Expected, model, runtime, taps};
use parallax::hidden_states::Tap;
use parallax::runtimes::onnx::file::proto::StringEntry;
use parallax::runtimes::onnx::{
    Graph, OnnxError, OnnxModel, Runtime, SessionOptions, TapHints, find_taps, observer_effect, recover,
};
use parallax::tokens::TokenBatch;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Bits of every tap's values.
fn bits(runtime: &Runtime, model: &OnnxModel, batch: &TokenBatch) -> Vec<(Tap, Vec<u32>)> {
    onnx_common::bits(runtime, model, &taps(model), batch)
}

fn read(folder: &Path) -> Result<OnnxModel, OnnxError> {
    OnnxModel::read(&folder.join("model.onnx"))
}

/// An export with its weights in `weights.data`, after an edit of the largest tensor's entry.
fn edited(edit: impl FnOnce(&mut Vec<StringEntry>)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut model = split("dyn18", folder.path(), &["weights.data"]);
    let tensors = &mut model.graph.as_mut().unwrap().initializers;
    edit(&mut tensors.iter_mut().find(|t| t.name.contains("word_embeddings")).unwrap().external_data);
    write(&model, folder.path());
    folder
}

/// The refusal, on one line, naming the tensor.
fn refusal(folder: &Path) -> String {
    let error = read(folder).unwrap_err();
    assert!(matches!(error, OnnxError::External { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("word_embeddings") && !message.contains('\n'), "{message}");
    message
}

fn relocated(location: &str) -> String {
    refusal(edited(|e| e[0].value = location.to_owned()).path())
}

#[test]
fn the_states_and_weights_are_those_of_the_single_file_to_the_bit() {
    let (runtime, batch) = (runtime(), Expected::read().batch());
    for (export, data) in EXPORTS.iter().zip([
        &["model.onnx_data"][..],
        &["a.bin", "./deep/b.bin", "c.bin"],
        &["weights.data"],
        &["sub/model.onnx.data", "other"],
    ]) {
        let folder = tempfile::tempdir().unwrap();
        split(export, folder.path(), data);
        let (single, outside) = (model(export), read(folder.path()).unwrap());
        assert!(outside.size() < single.size() / 2, "{export} is not split");
        let (expected, found) = (bits(&runtime, &single, &batch), bits(&runtime, &outside, &batch));
        assert!(expected.len() >= 9 && expected.iter().all(|(_, bits)| bits.len() == batch.tokens() * 64));
        assert!(expected == found, "{export}");
        let effect = observer_effect(&runtime, &outside, &taps(&outside), SessionOptions::default(), &batch).unwrap();
        assert!(effect.bit_identical, "{export}: {effect:?}");
        let weights = |m: &OnnxModel| {
            let set = recover(&Graph::new(m).unwrap(), &taps(m)).unwrap();
            let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            set.tensors().iter().map(|(name, w)| (name.clone(), w.shape.clone(), bits(&w.rows()))).collect::<Vec<_>>()
        };
        assert!(weights(&single).len() >= 69 && weights(&single) == weights(&outside));
    }
}

#[test]
fn every_data_file_is_recorded_once_with_its_hash() {
    let folder = tempfile::tempdir().unwrap();
    split("dyn18", folder.path(), &["a.bin"]);
    let model = read(folder.path()).unwrap();
    let [file] = model.data_files() else { panic!("{} files", model.data_files().len()) };
    let bytes = std::fs::read(folder.path().join("a.bin")).unwrap();
    let sha256: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!((file.size(), file.sha256()), (bytes.len() as u64, sha256.as_str()));
    assert_eq!(file.name(), folder.path().join("a.bin").display().to_string());
    assert!(onnx_common::model("dyn18").data_files().is_empty());
}

#[test]
fn what_was_hashed_is_what_runs() {
    let (runtime, batch) = (runtime(), Expected::read().batch());
    let folder = tempfile::tempdir().unwrap();
    split("dyn18", folder.path(), &["weights.data"]);
    let read = read(folder.path()).unwrap();
    let before = bits(&runtime, &read, &batch);
    // The files are gone, and something else lies where ONNX Runtime would look.
    std::fs::write(folder.path().join("weights.data"), vec![0u8; read.data_files()[0].size() as usize]).unwrap();
    std::fs::remove_file(folder.path().join("model.onnx")).unwrap();
    assert!(bits(&runtime, &read, &batch) == before && before == bits(&runtime, &model("dyn18"), &batch));
}

#[test]
fn one_file_under_two_names_is_read_once() {
    let folder = edited(|e| e[0].value = "./weights.data".to_owned());
    let read = read(folder.path()).unwrap();
    assert_eq!(read.data_files().len(), 1);
    let (runtime, batch) = (runtime(), Expected::read().batch());
    assert!(bits(&runtime, &read, &batch) == bits(&runtime, &model("dyn18"), &batch));
}

#[test]
fn a_hard_link_is_the_file() {
    let folder = edited(|_| ());
    std::fs::hard_link(folder.path().join("weights.data"), folder.path().join("again")).unwrap();
    assert_eq!(read(folder.path()).unwrap().data_files().len(), 1);
}

#[test]
fn a_location_that_climbs_is_refused() {
    for location in ["../weights.data", "sub/../../weights.data", "sub/../weights.data", ".."] {
        assert!(relocated(location).contains("`..`"), "{location}");
    }
}

#[test]
fn an_absolute_location_is_refused() {
    let folder = edited(|_| ());
    let target = folder.path().join("weights.data");
    for location in [target.to_str().unwrap(), "/etc/passwd", "/"] {
        assert!(relocated(location).contains("absolute"), "{location}");
    }
}

#[test]
fn an_odd_location_is_refused() {
    for location in ["C:weights.data", "sub\\weights.data", "\\\\host\\share", "weights.data\0.png"] {
        assert!(relocated(location).contains("NUL, backslash or drive"), "{location:?}");
    }
    assert!(relocated("").contains("empty"));
    assert!(relocated("absent.data").contains("copy it beside the model"));
    assert!(relocated("weights.data/inner").contains("weights.data/inner"));
}

#[test]
fn an_address_in_memory_is_refused() {
    for location in ["*/_ORT_MEM_ADDR_/*", "_ORT_MEM_ADDR_"] {
        assert!(relocated(location).contains("an address in memory"), "{location}");
    }
}

#[test]
fn a_link_out_of_the_folder_is_refused() {
    let (folder, outside) = (edited(|_| ()), tempfile::tempdir().unwrap());
    let (link, target) = (folder.path().join("weights.data"), outside.path().join("weights.data"));
    std::fs::rename(&link, &target).unwrap();
    symlink(&target, &link).unwrap();
    assert!(refusal_of_any(folder.path()).contains("out of the folder"));
    // A folder that is a link is no better.
    std::fs::remove_file(&link).unwrap();
    symlink(outside.path(), folder.path().join("sub")).unwrap();
    let folder_link = edited(|e| e[0].value = "sub/weights.data".to_owned());
    symlink(outside.path(), folder_link.path().join("sub")).unwrap();
    assert!(refusal(folder_link.path()).contains("out of the folder"));
    // A link within the folder is the file.
    std::fs::rename(&target, folder.path().join("real")).unwrap();
    symlink("real", &link).unwrap();
    assert_eq!(read(folder.path()).unwrap().data_files().len(), 1);
}

/// As `refusal`, whichever tensor comes first.
fn refusal_of_any(folder: &Path) -> String {
    let error = read(folder).unwrap_err();
    assert!(matches!(error, OnnxError::External { .. }), "{error}");
    error.to_string()
}

#[test]
fn a_loop_of_links_is_refused() {
    let folder = edited(|e| e[0].value = "one".to_owned());
    symlink("two", folder.path().join("one")).unwrap();
    symlink("one", folder.path().join("two")).unwrap();
    assert!(refusal(folder.path()).contains("one"));
}

#[test]
fn a_folder_is_refused() {
    let folder = edited(|e| e[0].value = "sub".to_owned());
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    assert!(refusal(folder.path()).contains("not a regular file"));
    assert!(relocated(".").contains("not a regular file"));
}

#[test]
fn a_pipe_is_refused_without_waiting() {
    let folder = edited(|e| e[0].value = "pipe".to_owned());
    for name in ["pipe", "pipe.onnx"] {
        let made = std::process::Command::new("mkfifo").arg(folder.path().join(name)).status().unwrap();
        assert!(made.success());
    }
    let (send, receive) = mpsc::channel();
    let path = folder.path().to_owned();
    std::thread::spawn(move || {
        let model = OnnxModel::read(&path.join("pipe.onnx")).unwrap_err().to_string();
        send.send([refusal(&path), model]).unwrap();
    });
    let messages = receive.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(messages.iter().all(|m| m.contains("not a regular file")), "{messages:?}");
}

#[test]
fn bytes_beyond_the_file_are_refused() {
    for offset in ["99999999", "18446744073709551615", "9223372036854775807"] {
        assert!(refusal(edited(|e| e[1].value = offset.to_owned()).path()).contains("has "), "{offset}");
    }
    let folder = edited(|_| ());
    let data = folder.path().join("weights.data");
    let size = std::fs::metadata(&data).unwrap().len();
    std::fs::File::options().write(true).open(&data).unwrap().set_len(size - 1).unwrap();
    assert!(refusal_of_any(folder.path()).contains("cut short"));
}

#[test]
fn numbers_that_are_none_are_refused() {
    for offset in ["-4", "+4", " 4", "4.0", "", "99999999999999999999", "0x4"] {
        let message = refusal(edited(|e| e[1].value = offset.to_owned()).path());
        assert!(message.contains("a number of bytes expected"), "{offset}: {message}");
    }
}

#[test]
fn a_length_that_is_not_the_shapes_is_refused() {
    for length in ["0", "4", "460796", "460804", "18446744073709551615"] {
        let message = refusal(edited(|e| e[2].value = length.to_owned()).path());
        assert!(message.contains("takes 460800 bytes"), "{message}");
    }
    // Without a length the tensor takes the rest of the file.
    let rest = edited(|e| e.truncate(2));
    assert!(refusal(rest.path()).contains("takes 460800 bytes"));
}

#[test]
fn huge_and_negative_shapes_are_refused() {
    for dims in [vec![i64::MAX, i64::MAX], vec![1 << 62, 4], vec![-1, 64], vec![1 << 40, 64], vec![0, 64]] {
        let folder = tempfile::tempdir().unwrap();
        let mut model = split("dyn18", folder.path(), &["weights.data"]);
        let tensors = &mut model.graph.as_mut().unwrap().initializers;
        tensors.iter_mut().find(|t| t.name.contains("word_embeddings")).unwrap().dims = dims.clone();
        write(&model, folder.path());
        let message = refusal(folder.path());
        assert!(
            ["is no shape", "its entry has 460800", "at most"].iter().any(|w| message.contains(w)),
            "{dims:?}: {message}"
        );
    }
}

#[test]
fn keys_are_known_and_given_once() {
    let unknown = edited(|e| e.push(entry("raw_data", "4")));
    assert!(refusal(unknown.path()).contains("key `raw_data`: known are location, offset, length, checksum"));
    let twice = edited(|e| e.push(entry("location", "weights.data")));
    assert!(refusal(twice.path()).contains("key `location` twice"));
    assert!(refusal(edited(|e| _ = e.remove(0)).path()).contains("no location"));
    let checksum = edited(|e| e.push(entry("checksum", "da39a3ee5e6b4b0d3255bfef95601890afd80709")));
    assert!(read(checksum.path()).is_ok());
}

#[test]
fn a_tensor_is_inside_or_outside_never_both() {
    for (location, raw, expected) in
        [(1, &[0u8; 4][..], "both in the file and outside"), (0, &[], "1 expected"), (2, &[], "1 expected")]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut model = split("dyn18", folder.path(), &["weights.data"]);
        let tensors = &mut model.graph.as_mut().unwrap().initializers;
        let tensor = tensors.iter_mut().find(|t| t.name.contains("word_embeddings")).unwrap();
        (tensor.data_location, tensor.raw_data) = (location, raw.to_vec().into());
        write(&model, folder.path());
        assert!(refusal(folder.path()).contains(expected));
    }
}

/// `snapshots/REV/onnx/{model.onnx, model.onnx_data}` as links into `blobs`.
fn cache_entry(root: &Path, data_blob: &Path) {
    let (home, blobs) = (root.join("snapshots/0123abcd/onnx"), root.join("blobs"));
    for folder in [&home, &blobs] {
        std::fs::create_dir_all(folder).unwrap();
    }
    split("dyn18", &blobs, &["model.onnx_data"]);
    std::fs::rename(blobs.join("model.onnx"), blobs.join("aaaa")).unwrap();
    std::fs::rename(blobs.join("model.onnx_data"), blobs.join(data_blob)).unwrap();
    symlink("../../../blobs/aaaa", home.join("model.onnx")).unwrap();
    symlink(Path::new("../../../blobs").join(data_blob), home.join("model.onnx_data")).unwrap();
}

#[test]
fn a_hugging_face_cache_is_read_through_its_links() {
    let root = tempfile::tempdir().unwrap();
    cache_entry(root.path(), Path::new("bbbb"));
    let home = root.path().join("snapshots/0123abcd/onnx");
    let read = read(&home).unwrap();
    let (runtime, batch) = (runtime(), Expected::read().batch());
    assert!(bits(&runtime, &read, &batch) == bits(&runtime, &model("dyn18"), &batch));
    assert_eq!(read.data_files()[0].name(), home.join("model.onnx_data").display().to_string());
}

#[test]
fn a_cache_entry_reads_its_own_blobs_only() {
    let root = tempfile::tempdir().unwrap();
    let entry = root.path().join("models--a--b");
    std::fs::create_dir_all(root.path().join("models--c--d/blobs")).unwrap();
    cache_entry(&entry, Path::new("../../models--c--d/blobs/bbbb"));
    assert!(refusal_of_any(&entry.join("snapshots/0123abcd/onnx")).contains("out of the folder"));
    // A model that is no link into the store has no business there.
    let root = tempfile::tempdir().unwrap();
    cache_entry(root.path(), Path::new("bbbb"));
    let home = root.path().join("snapshots/0123abcd/onnx");
    std::fs::remove_file(home.join("model.onnx")).unwrap();
    std::fs::copy(root.path().join("blobs/aaaa"), home.join("model.onnx")).unwrap();
    assert!(refusal_of_any(&home).contains("out of the folder"));
}

#[test]
fn a_store_that_is_a_link_is_no_store() {
    let root = tempfile::tempdir().unwrap();
    cache_entry(root.path(), Path::new("bbbb"));
    std::fs::rename(root.path().join("blobs"), root.path().join("elsewhere")).unwrap();
    symlink("elsewhere", root.path().join("blobs")).unwrap();
    assert!(refusal_of_any(&root.path().join("snapshots/0123abcd/onnx")).contains("out of the folder"));
}

/// An export whose tables of words and positions are made longer by holes in their files.
fn with_tables(folder: &Path, words: u64, positions: u64) {
    let mut model = split("dyn18", folder, &["weights.data"]);
    let values = std::fs::read(folder.join("weights.data")).unwrap();
    for (table, rows) in [("word_embeddings", words), ("position_embeddings", positions)] {
        let tensors = &mut model.graph.as_mut().unwrap().initializers;
        let tensor = tensors.iter_mut().find(|t| t.name.contains(table)).unwrap();
        let [from, length] = [1, 2].map(|k| tensor.external_data[k].value.parse::<usize>().unwrap());
        std::fs::write(folder.join(table), &values[from..from + length]).unwrap();
        let file = std::fs::File::options().write(true).open(folder.join(table)).unwrap();
        file.set_len(rows * 256).unwrap();
        tensor.dims[0] = rows as i64;
        tensor.external_data = vec![entry("location", table), entry("length", rows * 256)];
    }
    write(&model, folder);
}

#[test]
#[ignore = "takes 7 GB of memory"]
fn more_than_two_gigabytes_are_read_and_run() {
    let folder = tempfile::tempdir().unwrap();
    with_tables(folder.path(), 8_000_000, 1_000_000);
    let (read, runtime, batch) = (read(folder.path()).unwrap(), runtime(), Expected::read().batch());
    assert!(read.data_files().iter().map(|f| f.size()).sum::<u64>() > 1 << 31);
    let map = find_taps(&Graph::new(&read).unwrap(), TapHints { layers: Some(4), vocab: None }).unwrap();
    assert!(onnx_common::bits(&runtime, &read, &map, &batch) == bits(&runtime, &model("dyn18"), &batch));
}

#[test]
fn a_tensor_beyond_two_gigabytes_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    with_tables(folder.path(), (1 << 23) + 1, 128);
    let message = refusal(folder.path());
    assert!(message.contains("takes 2147483904 bytes, ONNX Runtime takes 2147483648 bytes at most"), "{message}");
}

#[test]
fn a_single_file_beyond_two_gigabytes_is_refused_with_advice() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len((1 << 31) + 1).unwrap();
    let message = OnnxModel::read(file.path()).unwrap_err().to_string();
    assert!(message.contains("save_as_external_data=True"), "{message}");
}
