"""The zoo's small models: seeded weights (not the default initialisation, under which many faults cannot be
seen), a tokenizer of 115 words, sentence-transformers files, and a corpus of their own words.

    python models.py NAME OUT_DIR
"""
import json
import pathlib
import random
import sys

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, ModernBertConfig, ModernBertModel

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = """time people water house music river small night school paper white city work story light game world table green road
team food name book day year way man woman child life hand part place case week company system program question government number
point home room mother area money month lot right study word business issue side kind head friend father power hour line end member law
car community president minute idea kid body information back parent face others level office door health person art war history party
result change morning reason research girl guy moment air teacher force education foot boy age policy process""".split()[:115]
VOCABULARY = SPECIAL + WORDS
BERT = dict(vocab_size=len(VOCABULARY), hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
            max_position_embeddings=160, pad_token_id=0, attn_implementation="eager")
MODERN = dict(vocab_size=len(VOCABULARY), hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
              max_position_embeddings=160, pad_token_id=0, cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3,
              global_attn_every_n_layers=2, local_attention=16, attn_implementation="eager", reference_compile=False)
MAX_LENGTH = 128


def seeded(model, seed):
    """Weights that differ from layer to layer and from their defaults."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.dim() > 1:
                p.copy_(noise * (1.0 if "embeddings" in name else 1.2 / p.shape[1] ** 0.5))
            elif name.endswith("bias"):
                p.copy_(noise * 0.1)
            else:
                p.copy_(1 + noise * 0.2)
    return model.eval()


def default(model, seed):
    """What a model is before any training: every norm 1 and 0, every bias 0."""
    return model.eval()


def build(name):
    torch.manual_seed(20)
    return {
        "tiny-bert": lambda: seeded(BertModel(BertConfig(**BERT)), 21),
        "default-bert": lambda: default(BertModel(BertConfig(**BERT)), 0),
        "tiny-modernbert": lambda: seeded(ModernBertModel(ModernBertConfig(**MODERN)), 22),
    }[name]()


def tokenizer():
    t = Tokenizer(models.WordPiece({w: i for i, w in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                     special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return t


def corpus(rows=160, seed=23):
    """Rows of 3 to 70 words."""
    rng = random.Random(seed)
    return "".join(" ".join(rng.choice(WORDS) for _ in range(rng.choice([3, 5, 8, 12, 18, 29, 30, 31, 40, 62, 70]))) + "\n" for _ in range(rows))


def write(folder, name, value):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    model = build(name)
    model.save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    write(folder, "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "model_max_length": MAX_LENGTH, "pad_token": "[PAD]",
                                            "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"})
    write(folder, "modules.json", [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}])
    write(folder, "1_Pooling/config.json", {"word_embedding_dimension": model.config.hidden_size, "pooling_mode_cls_token": False,
                                            "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False,
                                            "pooling_mode_mean_sqrt_len_tokens": False})
    write(folder, "sentence_bert_config.json", {"max_seq_length": MAX_LENGTH, "do_lower_case": False})
    (folder / "corpus.txt").write_text(corpus())


if __name__ == "__main__":
    main()
