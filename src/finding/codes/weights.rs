//! The tensors of both sides, and the files they come from.

use crate::finding::code::codes;

codes! {
    WEIGHTS_CHANGED_GROUPS: Failure "weights.changed_groups"
        "Groups or rows of a matrix are farther from the original than its format makes them."
        "Convert again. If only some rows are named, something wrote into the file afterwards." .of_weights();
    WEIGHTS_CHANGED_UNQUANTIZED: Failure "weights.changed_unquantized"
        "A tensor that is not quantized differs from the original by more than its type's rounding."
        "Convert again from this original; a norm or bias was changed." .of_weights();
    WEIGHTS_BEYOND_ROUNDING: Failure "weights.beyond_rounding"
        "A matrix is farther from the original than rounding moves it, and its outputs do not explain that."
        "Convert again, or name the original that it was made from." .of_weights();
    WEIGHTS_ONE_WAY: Failure "weights.one_way"
        "The errors of a matrix point one way: rounding leaves noise, this was chosen."
        "Find out who changed the file, and convert again." .of_weights();
    WEIGHTS_AIMED_ORIGINAL: Refusal "weights.aimed_original"
        "What rounding takes from the original's weights points one way: they were moved within their rounding cells."
        "Give the float32 checkpoint as it was published, with --original." .of_weights();
    WEIGHTS_UNEXPLAINED: Failure "weights.unexplained"
        "A matrix was moved beyond rounding, and neither its outputs nor a known quantizer explains it."
        "Convert again, with one quantizer for all matrices." .of_states();
    WEIGHTS_PERMUTED: Failure "weights.permuted"
        "Neurons or heads stand in another order, or are rescaled: equivalent, but not the same weights."
        "Convert from the original itself, so that weights can be compared place by place." .of_places();
    WEIGHTS_MISPLACED: Failure "weights.misplaced"
        "A tensor resembles another tensor of the original more than its own."
        "Look for exchanged layers or matrices in the converter." .of_places();
    WEIGHTS_UNRELATED: Failure "weights.unrelated"
        "A tensor does not resemble the original's at all."
        "Check that --original is the model that the candidate was made from." .of_weights();
    WEIGHTS_IDENTICAL: Refusal "weights.identical"
        "All weights of the candidate equal the original's bit for bit, so nothing would be compared."
        "Give the converted model as --candidate.";
    WEIGHTS_MADE_FROM_CANDIDATE: Refusal "weights.made_from_candidate"
        "The original is nearer to the candidate than quantization leaves any model: it was made from the candidate."
        "Give the checkpoint that the candidate was converted from.";
    WEIGHTS_NO_ORIGINAL: Refusal "weights.no_original"
        "There are no float32 weights to compare the candidate with."
        "Put model.safetensors beside the graph, or pass --original.";
    WEIGHTS_WITHOUT_ORIGINAL: Note "weights.without_original"
        "The float32 weights were read from the graph, because no checkpoint was given."
        "Pass --original to compare with the checkpoint itself.";
    WEIGHTS_OTHER_QUANTIZER: Note "weights.other_quantizer"
        "Another quantizer than MLX's own made these tensors."
        "Nothing: they are judged by group, row and output.";
    WEIGHTS_FREE_CHOICES: Warning "weights.free_choices"
        "A quantizer was free in its codes or scales, so that the weights alone prove nothing of texts that were not run."
        "Give a corpus of the texts that matter, or convert by MLX's own rounding." .caveat("not provable");
    WEIGHTS_SCALED: Note "weights.scaled"
        "Channels were rescaled between two layers, as AWQ does; the factors were found and undone."
        "Nothing: the product of the two layers is what is compared.";
    TWIN_STATES: Failure "twin.states"
        "The candidate's hidden states are farther off than those of an honest conversion of the same format."
        "Run with --explain, which names the layer and its tensors." .of_states();
    TWIN_WORDS: Failure "twin.words"
        "Some words are farther off than any word of an honest conversion."
        "Convert again; the message names the tokens." .of_states();
    QUANTIZATION_DECLARED_BITS: Warning "quantization.declared_bits"
        "config.json declares other bits than the file holds."
        "Nothing: each tensor is judged by its own width. Correct config.json so that loaders do not stumble."
        .caveat("declared otherwise");
    QUANTIZATION_MIXED_BITS: Warning "quantization.mixed_bits"
        "Modules have different bit widths."
        "Nothing, if the recipe was meant so: each tensor is judged by its own width.";
    QUANTIZATION_PLAIN_MATRIX: Warning "quantization.plain_matrix"
        "Some matrices are not quantized although the configuration declares bits."
        "Nothing, if the recipe was meant so.";
    CHECKPOINT_SECOND_FILE: Warning "checkpoint.second_file"
        "A second file of weights lies in the folder and was not read."
        "Take it out of the folder.";
    CHECKPOINT_STALE_SHARD: Refusal "checkpoint.stale_shard"
        "A tensor file was not compared, and the program that runs the candidate would load it."
        "Take it out of the folder.";
    CANDIDATE_TENSOR_FILE: Refusal "candidate.tensor_file"
        "The program that runs the candidate does not load the tensor file that was compared."
        "Name the file model.safetensors, or choose the program with --runtime.";
    CANDIDATE_PATTERN: Refusal "candidate.pattern"
        "The candidate's program takes the folder's name for a pattern and loads other folders or none."
        "Rename the folder: its name holds a character of file patterns.";
    CANDIDATE_PADDED_ROWS: Warning "candidate.padded_rows"
        "The candidate's program masks this model's padding, or its window, by something that is no mask."
        "Do what the message says, or give the program rows of one length at a time." .caveat("computed otherwise");
    CANDIDATE_MLX_DEVIATES: Warning "candidate.mlx_deviates"
        "MLX's encoder departs from the configuration; the message tells by how much."
        "Pass --emulate mlx to judge what MLX computes." .caveat("computed otherwise");
    ORIGINAL_NOT_FLOAT32: Warning "original.not_float32"
        "The original is stored in half precision."
        "Give the float32 checkpoint if there is one.";
    ORIGINAL_ADAPTER: Refusal "original.adapter"
        "An adapter lies beside the original, and loaders apply it."
        "Merge the adapter or take it out.";
    ORIGINAL_QUANTIZED: Refusal "original.quantized"
        "The original's configuration asks loaders to quantize it."
        "Give the float32 checkpoint.";
    ORIGINAL_MODEL_TYPE: Refusal "original.model_type"
        "The original's configuration names another architecture."
        "Give the checkpoint that the graph was exported from.";
    ORIGINAL_OTHER: Refusal "original.other"
        "The files of --original say another model than the reference and the candidate are."
        "Give the checkpoint that both were made from, or correct its files.";
    ORIGINAL_UNCOMPARED: Warning "original.uncompared"
        "Something of the original could not be compared, because it or the reference does not state it."
        "Give the whole folder of the checkpoint." .caveat("not compared");
    ORIGINAL_UNREAD: Refusal "original.unread"
        "Weights beside the original were not read, and loaders might load them instead."
        "Convert them to model.safetensors, or take them out.";
}
