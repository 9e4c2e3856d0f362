"""Distils a small BERT sentence encoder from all-MiniLM-L6-v2.

The student's normalised mean-pooled vector learns the teacher's, projected to the student's width by
the principal axes of the teacher's vectors, and the teacher's similarities within a batch. Texts:
docstrings of the installed packages and the generated sentences of corpus.py. Seeded; float32; CPU.

    python train.py --out DIR [--epochs 8] [--texts 24000]
"""
import argparse
import ast
import json
import pathlib
import random
import re
import time

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

import corpus
from folder import teacher_folder, write_sentence_modules

SEED, VOCAB, WIDTH, LAYERS, HEADS, POSITIONS = 20240611, 6000, 128, 4, 4, 256
PACKAGES = ["sympy", "torch", "transformers", "numpy", "networkx", "onnx", "PIL", "jinja2", "huggingface_hub"]


def docstring_sentences(limit):
    """Plain English sentences from the docstrings of installed packages, in a stable order."""
    site = pathlib.Path(torch.__file__).parent.parent
    found = {}
    for package in PACKAGES:
        for file in sorted((site / package).rglob("*.py")):
            try:
                tree = ast.parse(file.read_text("utf-8"))
            except (SyntaxError, ValueError):
                continue
            for node in ast.walk(tree):
                if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)):
                    for text in re.split(r"(?<=[.!?])\s+|\n\s*\n", ast.get_docstring(node) or ""):
                        text = " ".join(text.split())
                        words = text.split()
                        if 4 <= len(words) <= 40 and re.fullmatch(r"[A-Za-z][A-Za-z0-9 ,.;:'()\-!?]*", text):
                            found[text] = None
    texts = list(found)
    random.Random(SEED).shuffle(texts)
    return texts[:limit]


def train_tokenizer(texts):
    """A lower-casing WordPiece tokenizer with BERT's special tokens."""
    tok = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tok.normalizer = normalizers.BertNormalizer(lowercase=True)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tok.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=VOCAB, special_tokens=special, min_frequency=2))
    tok.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", tok.token_to_id("[CLS]")), ("[SEP]", tok.token_to_id("[SEP]"))])
    return tok


@torch.no_grad()
def teacher_vectors(texts):
    """The teacher's sentence vectors, [texts, 384], normalised."""
    folder = teacher_folder()
    tok, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).float().eval()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    out = torch.zeros(len(texts), model.config.hidden_size)
    for start in range(0, len(order), 64):
        pick = order[start:start + 64]
        batch = tok([texts[i] for i in pick], padding=True, truncation=True, max_length=256, return_tensors="pt")
        states, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None].float()
        out[pick] = F.normalize((states * mask).sum(1) / mask.sum(1), dim=1)
    return out


def new_student(tok, axes):
    """A fresh BERT whose word embeddings start from the teacher's, along its principal axes."""
    torch.manual_seed(SEED)
    config = BertConfig(vocab_size=tok.get_vocab_size(), hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
                        intermediate_size=4 * WIDTH, max_position_embeddings=POSITIONS, hidden_dropout_prob=0.0,
                        attention_probs_dropout_prob=0.0, hidden_act="gelu", layer_norm_eps=1e-12)
    student = BertModel(config)
    folder = teacher_folder()
    words = AutoModel.from_pretrained(folder).embeddings.word_embeddings.weight.detach().float()
    vocab = AutoTokenizer.from_pretrained(folder).get_vocab()
    u, s, v = torch.pca_lowrank(words, q=WIDTH, niter=6)
    small = (words - words.mean(0)) @ v
    small = small / small.std() * 0.05
    with torch.no_grad():
        for token, i in tok.get_vocab().items():
            if token in vocab:
                student.embeddings.word_embeddings.weight[i] = small[vocab[token]]
    return student


def pool(model, ids, mask):
    states, mask = model(input_ids=ids, attention_mask=mask).last_hidden_state, mask[..., None].float()
    return F.normalize((states * mask).sum(1) / mask.sum(1), dim=1)


def encode(tok, texts):
    rows = [e.ids[:POSITIONS] for e in tok.encode_batch(texts)]
    n = max(map(len, rows))
    ids = torch.tensor([r + [0] * (n - len(r)) for r in rows])
    return ids, (torch.arange(n)[None] < torch.tensor([len(r) for r in rows])[:, None]).long()


@torch.no_grad()
def vectors(model, tok, texts):
    model.eval()
    return torch.cat([pool(model, *encode(tok, texts[i:i + 64])) for i in range(0, len(texts), 64)])


def figures(model, tok, seconds):
    """Paraphrases against unrelated sentences, on pairs from another seed; many were also trained on."""
    rng = random.Random(SEED + 99)
    pairs = [corpus.pair(rng) for _ in range(500)]
    a, b = vectors(model, tok, [p[0] for p in pairs]), vectors(model, tok, [p[1] for p in pairs])
    sims = a @ b.T
    own, other = sims.diagonal(), sims[~torch.eye(len(pairs), dtype=bool)]
    auc = float((own[:, None] > other[None, ::37]).float().mean())
    held = docstring_sentences(10**9)[-1000:]
    t, s = teacher_vectors(held), vectors(model, tok, held)
    upper = torch.triu_indices(len(held), len(held), 1)
    r = float(np.corrcoef((t @ t.T)[upper[0], upper[1]], (s @ s.T)[upper[0], upper[1]])[0, 1])
    return {"paraphrase_mean_cosine": round(float(own.mean()), 4), "unrelated_mean_cosine": round(float(other.mean()), 4),
            "auc_paraphrase_above_unrelated": round(auc, 4), "pearson_with_teacher_on_held_out_docstrings": round(r, 4),
            "training_seconds": round(seconds)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--texts", type=int, default=24000)
    args = parser.parse_args()
    start = time.time()
    texts = docstring_sentences(args.texts + 1000)[:args.texts] + corpus.sentences(9000, SEED)
    tok = train_tokenizer(texts)
    target = teacher_vectors(texts)
    print(f"{len(texts)} texts, vocabulary {tok.get_vocab_size()}, teacher done after {time.time() - start:.0f} s", flush=True)
    axes = torch.linalg.svd(target - 0, full_matrices=False).Vh[:WIDTH]
    goal = F.normalize(target @ axes.T, dim=1)
    student = new_student(tok, axes)
    steps = args.epochs * (len(texts) // 96)
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.2e-3, total_steps=steps + 1, pct_start=0.1)
    lengths = np.array([len(e.ids) for e in tok.encode_batch(texts)])
    rng, step = np.random.default_rng(SEED), 0
    for epoch in range(args.epochs):
        student.train()
        jitter = np.argsort(lengths + rng.uniform(0, 12, len(texts)))
        batches = [jitter[i:i + 96] for i in range(0, len(jitter) - 95, 96)]
        rng.shuffle(batches)
        total = 0.0
        for pick in batches:
            ids, mask = encode(tok, [texts[i] for i in pick])
            out, pick = pool(student, ids, mask), torch.from_numpy(pick)
            teacher = target[pick]
            loss = (1 - (out * goal[pick]).sum(1)).mean() + 2 * ((out @ out.T) - (teacher @ teacher.T)).pow(2).mean()
            optimizer.zero_grad(); loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step(); schedule.step()
            total, step = total + float(loss), step + 1
        print(f"epoch {epoch + 1}: loss {total / len(batches):.4f}, {time.time() - start:.0f} s", flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    student.eval().save_pretrained(args.out, safe_serialization=True)
    tok.save(str(args.out / "tokenizer.json"))
    write_sentence_modules(args.out, WIDTH, POSITIONS, {"do_lower_case": True, "tokenizer_class": "BertTokenizer", "model_max_length": POSITIONS})
    (args.out / "figures.json").write_text(json.dumps(figures(student, tok, time.time() - start), indent=2) + "\n")
    print((args.out / "figures.json").read_text())


if __name__ == "__main__":
    main()
