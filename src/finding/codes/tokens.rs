//! Tokenizers and the corpus.

use crate::finding::code::codes;

codes! {
    TOKENIZER_TOKEN_IDS: Failure "tokenizer.token_ids"
        "The two tokenizers give sentences of the corpus different ids."
        "Copy tokenizer.json from the original; the message names the row." .of_states();
    TOKENIZER_ADDED_TOKENS: Failure "tokenizer.added_tokens"
        "A loader adds tokens on one side only."
        "Copy added_tokens.json and tokenizer_config.json from the original.";
    TOKENIZER_ADDED_TOKENS_DECODER: Failure "tokenizer.added_tokens_decoder"
        "The added tokens of tokenizer_config.json differ between the two sides."
        "Copy tokenizer_config.json from the original.";
    TOKENIZER_CLASS: Refusal "tokenizer.class"
        "The two sides name different tokenizer classes, or one that is not known."
        "Copy tokenizer_config.json from the original.";
    TOKENIZER_CONFIG_ABSENT: Note "tokenizer.config_absent"
        "One side has no tokenizer_config.json."
        "Copy it from the original.";
    TOKENIZER_CONTRADICTS_ITSELF: Warning "tokenizer.contradicts_itself"
        "A side's tokenizer.json and tokenizer_config.json say different things, so loaders may disagree."
        "Correct the file that is wrong." .caveat("contradicts itself");
    TOKENIZER_DROPOUT: Refusal "tokenizer.dropout"
        "The tokenizer drops merges at random."
        "Set dropout to null in tokenizer.json.";
    TOKENIZER_ELSEWHERE: Refusal "tokenizer.elsewhere"
        "tokenizer_config.json sends loaders to another tokenizer file than the one compared."
        "Take the entry out, or give that file as tokenizer.json.";
    TOKENIZER_NO_MASK: Refusal "tokenizer.no_mask"
        "Loaders hand the model no attention mask, so padding counts as text."
        "Add attention_mask to model_input_names.";
    TOKENIZER_PADDING_SIDE: Refusal "tokenizer.padding_side"
        "Rows are padded at the left where positions count from there, or at different ends on the two sides."
        "Set padding_side to right on both sides.";
    TOKENIZER_TOKEN_TYPES: Refusal "tokenizer.token_types"
        "Loaders hand token types to the model on one side only."
        "Make model_input_names equal on both sides.";
    TOKENIZER_UNREAD_KEYS: Refusal "tokenizer.unread_keys"
        "A tokenizer file has keys whose effect is not known."
        "Take them out, or make both sides equal.";
    TOKENIZER_PART: Failure "tokenizer.*"
        "The two tokenizers differ in this part or key."
        "Copy tokenizer.json and tokenizer_config.json from the original.";
    CORPUS_BUILT_IN: Refusal "corpus.built_in"
        "No corpus was given, so only the built-in sentences were compared, which say nothing of yours."
        "Give --corpus with at least 100 sentences like those you will embed." .of_what_is_missing();
    CORPUS_EMPTY_LINES: Note "corpus.empty_lines"
        "Lines without text were left out."
        "Nothing.";
    CORPUS_INVALID_UTF8: Warning "corpus.invalid_utf8"
        "Some rows are not UTF-8."
        "Convert the corpus to UTF-8.";
    CORPUS_TRUNCATED: Note "corpus.truncated"
        "Some rows were cut to the length limit."
        "Nothing, if the model is used with that limit.";
    CORPUS_DUPLICATES: Note "corpus.duplicates"
        "Some rows say the same to the model as others."
        "Nothing: evidence is counted in different rows.";
    CORPUS_DEGENERATE_ROWS: Refusal "corpus.degenerate_rows"
        "Rows hold nothing but unknown tokens, or one token over and over."
        "Use a corpus in the model's language." .of_what_is_missing();
}
