"""The zoo's small models: seeded weights (not the default initialisation, under which many faults cannot be
seen), a tokenizer of 115 words, sentence-transformers files, and a corpus of their own words.

    python models.py NAME OUT_DIR
"""
import json
import pathlib
import random
import sys

import torch
import transformers as t
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, ModernBertConfig, ModernBertModel

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# Models whose positions are counted behind the padding id: it is 1 there, not 0.
PADDED_BY_1 = ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]
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
SMALL = BERT | dict(hidden_act="gelu")
BEHIND_PADDING = SMALL | dict(max_position_embeddings=162, pad_token_id=1, bos_token_id=0, eos_token_id=2)
NARROW = SMALL | dict(hidden_size=64, intermediate_size=128, embedding_size=32)
DECODER = dict(vocab_size=len(VOCABULARY), hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
               intermediate_size=64, max_position_embeddings=160, pad_token_id=0, bos_token_id=2, eos_token_id=3, use_cache=False, attn_implementation="eager")
# One small model of every architecture: its classes, its configuration, its pooling.
FAMILIES = {
    "tiny-roberta": (t.RobertaModel, t.RobertaConfig, BEHIND_PADDING | dict(type_vocab_size=1), "mean"),
    "tiny-xlm-roberta": (t.XLMRobertaModel, t.XLMRobertaConfig, BEHIND_PADDING | dict(type_vocab_size=1), "mean"),
    "tiny-camembert": (t.CamembertModel, t.CamembertConfig, BEHIND_PADDING | dict(type_vocab_size=1), "mean"),
    "tiny-distilbert": (t.DistilBertModel, t.DistilBertConfig,
                        dict(vocab_size=len(VOCABULARY), dim=32, n_layers=3, n_heads=4, hidden_dim=64, max_position_embeddings=160, pad_token_id=0,
                             attn_implementation="eager"), "cls"),
    "tiny-mpnet": (t.MPNetModel, t.MPNetConfig, BEHIND_PADDING, "mean"),
    "tiny-electra": (t.ElectraModel, t.ElectraConfig, NARROW, "mean"),
    "tiny-albert": (t.AlbertModel, t.AlbertConfig, NARROW | dict(hidden_act="gelu_new", num_hidden_groups=1), "mean"),
    "tiny-nomic-bert": (t.NomicBertModel, t.NomicBertConfig, SMALL | dict(hidden_act="silu"), "mean"),
    "tiny-qwen3": (t.Qwen3Model, t.Qwen3Config, DECODER, "lasttoken"),
    "tiny-eurobert": (t.EuroBertModel, t.EuroBertConfig, DECODER, "mean"),
    "tiny-gemma3": (t.Gemma3TextModel, t.Gemma3TextConfig,
                    DECODER | dict(num_key_value_heads=1, query_pre_attn_scalar=16, sliding_window=16, use_bidirectional_attention=True,
                                   layer_types=["sliding_attention", "sliding_attention", "full_attention"]), "mean"),
}
MAX_LENGTH = 128


def seeded(model, seed, gain=1.2):
    """Weights that differ from layer to layer and from their defaults; the larger the gain, the more a layer amplifies errors."""
    # Where γ is stored less one, it is spread around zero.
    center = 0 if model.config.model_type == "gemma3_text" else 1
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.dim() > 1:
                table = name.endswith(("embeddings.weight", "embed_tokens.weight", "relative_attention_bias.weight"))
                p.copy_(noise * (1.0 if table else gain / p.shape[1] ** 0.5))
            elif name.endswith("bias"):
                p.copy_(noise * 0.1)
            else:
                p.copy_(center + noise * 0.2)
    return model.eval()


def default(model, seed):
    """What a model is before any training: every norm 1 and 0, every bias 0."""
    return model.eval()


def build(name):
    torch.manual_seed(20)
    if name in FAMILIES:
        model, config, settings, _ = FAMILIES[name]
        return seeded(model(config(**settings)), 24, 0.8 if name in ("tiny-nomic-bert", "tiny-qwen3") else 1.2)
    return {
        "tiny-bert": lambda: seeded(BertModel(BertConfig(**BERT)), 21),
        "default-bert": lambda: default(BertModel(BertConfig(**BERT)), 0),
        "tiny-modernbert": lambda: seeded(ModernBertModel(ModernBertConfig(**MODERN)), 22),
    }[name]()


def tokenizer(special=SPECIAL):
    t = Tokenizer(models.WordPiece({w: i for i, w in enumerate(special + WORDS)}, unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
                                                     special_tokens=[(s, special.index(s)) for s in ("[CLS]", "[SEP]")])
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
    tokenizer(PADDED_BY_1 if model.config.pad_token_id == 1 else SPECIAL).save(str(folder / "tokenizer.json"))
    pooling = FAMILIES[name][3] if name in FAMILIES else "mean"
    write(folder, "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "model_max_length": MAX_LENGTH, "pad_token": "[PAD]",
                                            "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"})
    write(folder, "modules.json", [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}])
    write(folder, "1_Pooling/config.json", {"word_embedding_dimension": model.config.hidden_size, "pooling_mode_cls_token": pooling == "cls",
                                            "pooling_mode_mean_tokens": pooling == "mean", "pooling_mode_max_tokens": False,
                                            "pooling_mode_mean_sqrt_len_tokens": False} | ({"pooling_mode_lasttoken": True} if pooling == "lasttoken" else {}))
    write(folder, "sentence_bert_config.json", {"max_seq_length": MAX_LENGTH, "do_lower_case": False})
    (folder / "corpus.txt").write_text(corpus())


if __name__ == "__main__":
    main()
