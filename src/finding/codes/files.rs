//! Configuration, modules and prompts of both sides; what a runtime does where they are silent; flags.

use crate::finding::code::codes;

codes! {
    CONFIG_COMPARED: Note "config.compared"
        "Settings that only this architecture has are equal in both config.json."
        "Nothing.";
    CONFIG_UNKNOWN_KEY: Refusal "config.unknown_key"
        "config.json has keys that no known program reads; where the two sides differ in one, nothing is proven."
        "Take the keys out, or find out what they change." .caveat("not known");
    CONFIG_KEY: Failure "config.*"
        "A key of config.json that decides what is computed differs between the two sides, or asks for what is not computed."
        "Correct the file that the message names, or convert again.";
    PREFLIGHT_SAME_FILE: Refusal "preflight.same_file"
        "A file of the candidate is byte for byte a file of the reference."
        "Give the converted model as --candidate.";
    PREFLIGHT_DENSE_UNUSED: Refusal "preflight.dense_unused"
        "A Dense module has weights that no module file names, so loaders disagree about it."
        "Add the module to modules.json, or take the file out.";
    PREFLIGHT_PADDING_SIDE: Refusal "preflight.padding_side"
        "Rows are padded at the left where positions count from there, or at different ends on the two sides."
        "Set padding_side to right on both sides.";
    PREFLIGHT_POOLING_UNSTATED: Warning "preflight.pooling_unstated"
        "Neither side's files state the pooling; the runtimes' own was taken."
        "Put 1_Pooling/config.json into the candidate.";
    PREFLIGHT_PROMPTS: Failure "preflight.prompts"
        "The two sides have different prompts."
        "Copy config_sentence_transformers.json from the original.";
    PREFLIGHT_TOKEN_IDS: Refusal "preflight.token_ids"
        "The two tokenizers give the built-in probes different ids."
        "Copy tokenizer.json from the original; the message names the text.";
    PREFLIGHT_VOCABULARY_PADDED: Note "preflight.vocabulary_padded"
        "One side's table of words was padded with rows that no token uses."
        "Nothing: the rows were compared as padding.";
    PREFLIGHT_FACT: Failure "preflight.*"
        "The two sides differ in a fact of the encoder, its pooling or its sentence settings."
        "Correct the file that the message names, or convert again.";
    RUNTIME_CONFIG: Failure "runtime.config"
        "A setting stands where the candidate's program does not look, so it computes with its default."
        "Write the setting as the message says.";
    RUNTIME_POOLING: Failure "runtime.pooling"
        "The candidate's program pools otherwise than the reference."
        "Put 1_Pooling/config.json into the candidate, or pass --runtime for another program.";
    RUNTIME_MODULES: Failure "runtime.modules"
        "The candidate lacks modules that the reference has."
        "Copy modules.json and the folders it names into the candidate.";
    RUNTIME_NORMALIZE: Failure "runtime.normalize"
        "One side normalizes its vectors and the other does not."
        "Add or remove the Normalize module.";
    RUNTIME_PROMPT: Failure "runtime.prompt"
        "The reference puts a prompt before every sentence and the candidate does not."
        "Copy config_sentence_transformers.json into the candidate.";
    RUNTIME_MAX_LENGTH: Failure "runtime.max_length"
        "The two sides cut long texts at different lengths."
        "Copy sentence_bert_config.json into the candidate.";
    RUNTIME_CUTS_ELSEWHERE: Warning "runtime.cuts_elsewhere"
        "Rows were cut where the candidate's program does not cut by itself."
        "Pass that length to the program when you deploy." .caveat("cut elsewhere");
    RUNTIME_NO_MODEL: Warning "runtime.no_model"
        "The program that the candidate is judged for does not compute this kind of model."
        "Name the program that runs it with --runtime." .caveat("runs elsewhere");
    RUNTIME_PROMPT_UNREAD: Warning "runtime.prompt_unread"
        "The candidate's program does not read the prompt."
        "Put the prompt before every sentence when you deploy." .caveat("left to callers");
    RUNTIME_WIDTH_UNREAD: Warning "runtime.width_unread"
        "The candidate's program does not cut vectors to fewer dimensions."
        "Cut them when you deploy." .caveat("left to callers");
    RUNTIME_MODULES_UNREAD: Warning "runtime.modules_unread"
        "The candidate's program leaves out modules that were compared."
        "Apply them when you deploy." .caveat("left to callers");
    RUNTIME_UNREAD: Note "runtime.unread"
        "The candidate's program does not read some sentence files."
        "Pass the settings when you deploy." .caveat("left to callers");
    FLAG_OVERRULES: Warning "flag.overrules"
        "A flag overrules what a side's files say."
        "Make sure that your deployment does the same." .caveat("overruled");
}
