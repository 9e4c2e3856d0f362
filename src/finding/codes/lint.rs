//! What `parallax lint` and `parallax inspect` say of one folder.

use crate::finding::code::codes;

codes! {
    LINT_FOLDER: Failure "lint.folder"
        "The folder or a file in it cannot be read safely."
        "Correct what the message names.";
    LINT_CONFIG: Failure "lint.config"
        "config.json is missing, malformed or of an architecture that is not supported."
        "Copy config.json from the original.";
    LINT_CONTRADICTION: Failure "lint.contradiction"
        "Two files of the folder contradict each other."
        "Correct the file that the message names.";
    LINT_ENCODER: Failure "lint.encoder"
        "The tensors do not make up the encoder that config.json describes."
        "Convert again; the message names the tensor.";
    LINT_LINK: Warning "lint.link"
        "A link leads out of the folder."
        "Copy the file into the folder.";
    LINT_MODULES: Failure "lint.modules"
        "modules.json or a module's files are malformed, or the modules do not fit each other."
        "Copy modules.json and the folders it names from the original.";
    LINT_ONNX: Failure "lint.onnx"
        "The ONNX file is malformed, unsafe or not a graph that can be read."
        "Export it again, or copy it with its external data.";
    LINT_PROMPTS: Failure "lint.prompts"
        "config_sentence_transformers.json is malformed."
        "Copy it from the original.";
    LINT_TAPS: Failure "lint.taps"
        "The hidden states of the graph were not found."
        "Export again, or state them with `check --taps`.";
    LINT_TENSORS: Failure "lint.tensors"
        "A tensor file is missing, cut short, malformed, or holds NaN."
        "Copy or convert it again.";
    LINT_TOKENIZER: Failure "lint.tokenizer"
        "tokenizer.json is missing or malformed."
        "Copy it from the original.";
    LINT_VOCABULARY: Warning "lint.vocabulary"
        "The tokenizer knows more tokens than the model has rows for."
        "Copy tokenizer.json from the original.";
    INSPECT_UNSUPPORTED: Refusal "inspect.unsupported"
        "parallax does not compute this architecture."
        "See docs/formats.md for what is supported.";
}
