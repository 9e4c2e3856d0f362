//! Every integration test but two: one program, linked once. `onnx_memory` measures a process of its own, and
//! `seeded_faults` has a table of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop")]

#[path = "../common/mod.rs"]
mod common;
mod native;
#[path = "../onnx_common/mod.rs"]
mod onnx_common;
#[path = "../seeded/onnx_edit.rs"]
mod onnx_edit;

mod architecture;
mod architectures_match_torch;
mod candidate_variants;
mod circles;
mod dequantization_is_mlx_to_the_bit;
mod docs;
mod encoder_matches_recordings;
mod encoder_refuses;
mod every_run_proves_itself;
mod graph_weights;
mod labels;
mod lint_says_what_is_broken;
mod metrics_measure_what_they_say;
mod metrics_merge_to_the_byte;
mod mlx_checkpoints_match_mlx;
mod no_false_alarms;
mod onnx_audit;
mod onnx_changed_graphs;
mod onnx_external_data;
mod onnx_functions;
mod onnx_hostile;
mod onnx_logic;
mod onnx_runtime;
mod onnx_stated_taps;
mod onnx_taps;
mod onnx_weights;
mod onnx_zoo;
mod original_folder;
mod recordings;
mod reports_are_judged_again;
mod reports_are_safe_and_whole;
mod sentence_head;
mod sentence_modules;
mod sentence_semantics;
mod setup_action;
mod setup_snippets;
mod states_that_are_no_numbers;
mod sweeps;
mod the_origin_bug;
mod verdicts_on_the_shipped_model;
mod wrong_groups_are_seen;
