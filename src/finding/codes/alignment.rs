//! Is the same thing compared: taps, layers, graph and its outputs, sweeps, probes.

use crate::finding::code::codes;

codes! {
    ALIGNMENT_CROSS_MATCH: Refusal "alignment.cross_match"
        "A tap of the candidate resembles another tap of the reference more than its own partner."
        "Look for swapped, missing or repeated layers: the message names the two taps. Convert the model again." .of_states();
    ALIGNMENT_BY_TWIN: Warning "alignment.by_twin"
        "The format is so coarse that a tap looks like another tap of the reference; beside an honest conversion it is its own."
        "Nothing is wrong; expect little of so few bits, or use more.";
    ALIGNMENT_NO_EVIDENCE: Refusal "alignment.no_evidence"
        "Too few usable states to tell one tap from another."
        "Give more and longer sentences. If states are zero or NaN, the model itself is broken." .of_what_is_missing();
    ALIGNMENT_NOT_COMPUTABLE: Note "alignment.not_computable"
        "Some pairs of taps could not be compared, because states are not finite."
        "Find the NaN or infinity first; other findings name it.";
    ALIGNMENT_LAYER_NUMBERS: Refusal "alignment.layer_numbers"
        "The matrices of a layer in the graph are not those of that layer in the checkpoint, or nothing shows which they are."
        "Give the checkpoint that the graph was exported from (--original), or export the graph again.";
    ALIGNMENT_STATED_TAPS: Warning "alignment.stated_taps"
        "--taps states other tensors than the graph's structure shows."
        "Correct the file, or leave --taps out.";
    ALIGNMENT_NO_SAMPLE: Refusal "alignment.no_sample"
        "No control rows, so neither the alignment nor the gates could be tried."
        "Give a corpus with more rows." .of_what_is_missing();
    ALIGNMENT_OBSERVER_EFFECT: Refusal "alignment.observer_effect"
        "The graph gives other outputs when its hidden states are exposed."
        "Export the graph without ONNX Runtime's optimizations, or use another version of ONNX Runtime.";
    ALIGNMENT_SAME_STATES: Refusal "alignment.same_states"
        "Two sides agree to the bit where two programs cannot: one model ran twice."
        "Check that --reference and --candidate are two different models.";
    ALIGNMENT_BATCH_DEPENDENCE: Failure "alignment.batch_dependence"
        "The same row gives other states in another batch."
        "Export the graph again: its mask does not hide padding, or something in it depends on the batch." .of_states();
    ALIGNMENT_FLOOR: Refusal "alignment.floor"
        "The reference differs from itself by too large a part of a limit of the engine arm."
        "Loosen that limit, or find out why the reference is not reproducible on this machine." .by_limits();
    ALIGNMENT_ENGINE_LAYER: Refusal "alignment.engine_layer"
        "One layer of the graph does not compute what the float32 weights and the configuration say."
        "Compare that layer's activation, epsilon and weights with config.json; export the graph again." .by_limits();
    GRAPH_UNAUDITED: Refusal "graph.unaudited"
        "A node of the graph belongs to no known block of an encoder."
        "Export with another exporter, or look at the node and pass --allow-unaudited.";
    GRAPH_CONDITIONAL: Refusal "graph.conditional"
        "A node makes the result depend on ids, lengths, positions or values."
        "Export the model without it: no test shows what such a node does to other inputs.";
    GRAPH_WEIGHTS: Failure "graph.weights"
        "A constant of the graph is not the tensor of the original."
        "Export the graph from this original, or give the original that it was exported from.";
    REFERENCE_INEXACT: Refusal "reference.inexact"
        "The graph is not an exact float32 reference: it is quantized, in half precision or approximates an operation."
        "Export in float32 without optimization, or pass --allow-inexact-reference." .caveat("waived");
    REFERENCE_OUTPUT: Refusal "reference.output"
        "An output of the graph is neither a hidden state nor a vector that the model's files state."
        "Export the model without that output, or with the files that state it.";
    REFERENCE_SENTENCE_OUTPUT: Refusal "reference.sentence_output"
        "The graph's sentence vector is not what the pooling and modules in its files give."
        "Correct the pooling and module files beside the graph, or export again.";
    REFERENCE_OUTPUTS_ELSEWHERE: Warning "reference.outputs_elsewhere"
        "None of the graph's outputs is what is compared."
        "Know that callers of the ONNX file get another tensor than the one that was judged."
        .caveat("not what the graph gives");
    REFERENCE_PADDING_NOT_FINITE: Failure "reference.padding_not_finite"
        "The reference returns NaN or infinity at padded positions, which spoils a mean over the mask."
        "Export the graph again with an additive mask that is finite.";
    REFERENCE_STATIC_SHAPE: Note "reference.static_shape"
        "The graph takes one batch size or length only; rows are padded to it."
        "Nothing, unless your rows are longer than that.";
    REFERENCE_ACTIVATION_UNSTATED: Note "reference.activation_unstated"
        "The activation is not stated, so nothing says whether this tanh-GELU is exact."
        "Put config.json beside the graph.";
    HEADS_NOT_COMPUTED: Refusal "heads.not_computed"
        "The model's output is a classification or language-model head, which parallax does not compute."
        "Check the encoder without its head.";
    HEADS_IGNORED: Note "heads.ignored"
        "A head was left out of the comparison: the sentence vector does not depend on it."
        "Nothing, unless you use that head.";
    SWEEP_IDS: Refusal "sweep.ids"
        "The reference and the control differ for some token ids that were swept."
        "Compare the graph's table of embeddings with the original's at the ids named.";
    SWEEP_LENGTHS: Refusal "sweep.lengths"
        "The reference and the control differ at some row lengths."
        "Look for a window, a position table or a condition on the length in the graph.";
    SWEEP_BATCHES: Refusal "sweep.batches"
        "The reference and the control differ at some batch sizes."
        "Look for a condition on the batch or its number of tokens in the graph.";
    COVERAGE_FILLED: Note "coverage.filled"
        "Kinds of rows that the corpus lacks were taken from the built-in probes."
        "Nothing, or add such rows to the corpus.";
    COVERAGE_MISSING: Refusal "coverage.missing"
        "A kind of row that has broken encoders before was not judged."
        "Give a corpus with such rows; the message names the kind." .of_what_is_missing();
    PROBES_BROKEN_STATES: Failure "probes.broken_states"
        "The candidate gives NaN, infinity or zero vectors on the built-in probes."
        "Look at the layer named: a weight or scale is broken, or the type overflows." .of_states();
}
