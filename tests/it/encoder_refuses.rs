//! The native encoder refuses a model it would compute wrongly, and rows it has no tables for.

use crate::native;

use native::{Bert, weight_set};
use parallax::checkpoint::WeightError;
use parallax::fault::Fault;
use parallax::hidden_states::{RowId, RowSet, Tap};
use parallax::runtimes::native::{ARCHITECTURES, NativeEncoder, NativeError};
use parallax::runtimes::{Encoder, RunError};
use parallax::tokens::TokenBatch;
use serde_json::json;

fn build(bert: &Bert) -> Result<NativeEncoder, NativeError> {
    NativeEncoder::build(&bert.config, &weight_set(&bert.weights), "test weights")
}

#[test]
fn settings_that_change_the_mathematics_are_errors_that_name_the_key() {
    let faults = [
        ("hidden_act", json!("gelu_accurate"), "gelu_accurate"),
        ("position_embedding_type", json!("relative_key"), "relative_key"),
        ("is_decoder", json!(true), "encoder"),
        ("add_cross_attention", json!(true), "encoder"),
    ];
    for (key, value, word) in faults {
        let e = build(&Bert::load().with_config(|c| c[key] = value)).unwrap_err();
        let message = e.to_string();
        assert!(message.contains(key) && message.contains(word) && message.contains("test weights"), "{message}");
        assert!(!message.contains('\n'));
        assert_eq!(e.fault(), Fault::Incomparable);
    }
}

#[test]
fn an_unknown_architecture_is_refused_with_the_nearest_name() {
    let e = build(&Bert::load().with_config(|c| c["model_type"] = json!("brt"))).unwrap_err();
    let said = "test weights: model_type `brt` is not supported; nearest is `bert`, 69 of whose 69 tensors are there, \
                and besides `pooler.dense.bias` (supported: bert, roberta, ";
    assert!(e.to_string().starts_with(said), "{e}");
    // Whose names are another's, in part.
    let mut bert = Bert::load().with_config(|c| c["model_type"] = json!("brt"));
    let query = bert.weights.remove("encoder.layer.0.attention.self.query.weight").unwrap();
    bert.weights.insert("encoder.layer.0.attention.self.q.weight".to_owned(), query);
    let e = build(&bert).unwrap_err().to_string();
    let said = "68 of whose 69 tensors are there, not `encoder.layer.0.attention.self.query.weight`, and besides \
                `encoder.layer.0.attention.self.q.weight`";
    assert!(e.contains(said), "{e}");
    let e = build(&Bert::load().with_config(|c| c["model_type"] = json!("brt"))).unwrap_err();
    assert_eq!(e.fault(), Fault::Incomparable);
    let e = build(&Bert::load().with_config(|c| c["model_type"] = json!("x\n".repeat(1000)))).unwrap_err();
    assert!(!e.to_string().contains('\n') && e.to_string().len() < 500);
}

#[test]
fn every_listed_parameter_is_needed_and_nothing_else_is_taken() {
    let bert = Bert::load();
    let parameters = (ARCHITECTURES[0].parameters)(&bert.config);
    let listed: Vec<&String> = parameters.iter().map(|p| &p.name).collect();
    assert_eq!(listed.len(), bert.weights.len());
    for parameter in &parameters {
        assert_eq!(bert.weights[&parameter.name].0, parameter.shape, "{}", parameter.name);
        assert_eq!(parameter.required, !parameter.name.starts_with("pooler."), "{}", parameter.name);
        let mut without = Bert::load();
        without.weights.remove(&parameter.name);
        match build(&without) {
            Err(NativeError::Weights(WeightError::Missing { tensor, .. })) => assert_eq!(tensor, parameter.name),
            Err(NativeError::Weights(WeightError::Unused { tensor, .. })) => {
                assert_eq!((tensor.as_str(), parameter.name.as_str()), ("pooler.dense.bias", "pooler.dense.weight"));
            }
            Ok(_) => panic!("{} was not needed", parameter.name),
            Err(other) => panic!("{}: {other}", parameter.name),
        }
    }
}

#[test]
fn a_pooler_may_be_absent_but_not_misshapen() {
    let mut bert = Bert::load();
    bert.weights.insert("pooler.dense.bias".into(), (vec![3], vec![0.0; 3]));
    assert!(matches!(build(&bert), Err(NativeError::Weights(WeightError::Shape { .. }))));
    bert.weights.retain(|name, _| !name.starts_with("pooler."));
    let same = Bert::load().recorded.worst(build(&bert).unwrap());
    assert!(same < 1e-6, "no hidden state depends on the pooler: {same:e}");
}

#[test]
fn pretraining_heads_and_position_buffers_are_ignored_and_stray_tensors_are_not() {
    let mut bert = Bert::load();
    for name in ["cls.predictions.bias", "embeddings.position_ids"] {
        bert.weights.insert(name.into(), (vec![1], vec![0.0]));
    }
    assert!(build(&bert).is_ok());
    for name in ["encoder.layer.4.output.dense.bias", "classifier.weight", "pooler.extra", "position_ids.weight"] {
        let mut bert = Bert::load();
        bert.weights.insert(name.into(), (vec![1], vec![0.0]));
        let message = build(&bert).unwrap_err().to_string();
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn shapes_that_contradict_the_configuration_are_errors() {
    for (key, value) in [("vocab_size", 1799), ("intermediate_size", 161), ("max_position_embeddings", 127)] {
        let e = build(&Bert::load().with_config(|c| c[key] = json!(value))).unwrap_err();
        assert!(matches!(e, NativeError::Weights(WeightError::Shape { .. })), "{key}: {e}");
    }
    // one layer too few leaves a layer's tensors unused; one too many misses them
    for (layers, unused) in [(3, true), (5, false)] {
        let e = build(&Bert::load().with_config(|c| c["num_hidden_layers"] = json!(layers))).unwrap_err();
        assert_eq!(matches!(e, NativeError::Weights(WeightError::Unused { .. })), unused, "{e}");
    }
}

#[test]
fn a_tensor_with_fewer_values_than_its_shape_says_is_an_error() {
    let mut bert = Bert::load();
    for name in ["embeddings.word_embeddings.weight", "encoder.layer.1.output.dense.bias"] {
        bert.weights.get_mut(name).unwrap().1.pop();
        assert!(matches!(build(&bert), Err(NativeError::Values { .. })), "{name}");
        bert = Bert::load();
    }
}

#[test]
fn rows_beyond_the_tables_are_errors_that_say_so() {
    let encoder = Bert::load().encoder();
    let run = |ids: &[u32], types: &[u32]| {
        let mut batch = TokenBatch::new();
        batch.push(RowId { set: RowSet::Corpus, row: 0 }, &[1, 2], &[0, 0]);
        batch.push(RowId { set: RowSet::Corpus, row: 1 }, ids, types);
        encoder.encode(&batch)
    };
    assert!(matches!(run(&[1, 1800], &[0, 0]), Err(RunError::TokenId { id: 1800, vocab: 1800, .. })));
    assert!(run(&[1, u32::MAX], &[0, 0]).is_err());
    assert!(run(&[1, 2], &[0, 2]).unwrap_err().to_string().contains("token type id 2"));
    assert!(matches!(run(&[1; 129], &[0; 129]), Err(RunError::TooLong { tokens: 129, limit: 128, .. })));
    assert!(run(&[1799; 128], &[1; 128]).is_ok());
}

#[test]
fn empty_batches_and_empty_rows_are_carried_not_dropped() {
    let bert = Bert::load();
    let encoder = bert.encoder().with_inner_taps();
    let nothing = encoder.encode(&TokenBatch::new()).unwrap();
    assert_eq!(nothing.get(Tap::Final).unwrap().rows(), 0);
    let id = |row| RowId { set: RowSet::Corpus, row };
    let mut batch = TokenBatch::new();
    batch.push(id(0), &[], &[]);
    batch.push(id(1), &[1, 5, 2], &[0, 0, 0]);
    batch.push(id(2), &[], &[]);
    let found = encoder.encode(&batch).unwrap();
    let mut alone = TokenBatch::new();
    alone.push(id(1), &[1, 5, 2], &[0, 0, 0]);
    let expected = encoder.encode(&alone).unwrap();
    for (tap, states) in found.iter() {
        let tokens: Vec<usize> = (0..3).map(|r| states.tokens(r)).collect();
        assert_eq!(tokens, [0, 3, 0], "{tap}");
        assert_eq!(states.row(1), expected.get(tap).unwrap().row(0), "{tap}");
    }
}
