"""Faults planted in a quantized candidate: `FAULTS[name](candidate, generator)` changes it and says what it did."""
import copy
import json

import numpy as np


def layer_of(name):
    return next((int(p) for p in name.split(".") if p.isdigit()), None)


def embeddings(candidate):
    """The word table, or None where the candidate keeps it in float16."""
    rows = candidate.config["vocab_size"]
    return next(((n, m) for n, m in candidate.matrices.items() if len(m.codes) == rows and layer_of(n) is None), None)


def middle(candidate, rng, *endings):
    """A quantized matrix of a middle layer whose name ends so, and the same one of the layer before."""
    found = sorted(n for n in candidate.matrices if layer_of(n) is not None and n.endswith(endings))
    numbers = sorted({layer_of(n) for n in found})
    number = numbers[len(numbers) // 2]
    name = rng.choice([n for n in found if layer_of(n) == number])
    other = name.replace(f".{number}.", f".{numbers[len(numbers) // 2 - 1]}.")
    return str(name), other


def words(candidate):
    vocab = json.loads((candidate.template / "tokenizer.json").read_text())["model"]["vocab"]
    return vocab if isinstance(vocab, dict) else {w: i for i, (w, _) in enumerate(vocab)}


def word_shuffled(candidate, rng):
    """The codes of one word of the corpus, shuffled within its row."""
    name, matrix = embeddings(candidate)
    vocab = words(candidate)
    word = next(w for w in ("not", "Ġnot", "▁not") if w in vocab)
    rng.shuffle(matrix.codes[vocab[word]])
    return f"{name}: the codes of {word!r} shuffled within row {vocab[word]}"


def flips(candidate, rng):
    """One random bit flipped in 1 % of the codes of one matrix."""
    name, _ = middle(candidate, rng, "query", "value", "dense", "q_proj", "up_proj", "Wqkv", "Wo")
    matrix = candidate.matrices[name]
    hit = rng.random(matrix.codes.shape) < 0.01
    matrix.codes ^= np.where(hit, 1 << rng.integers(0, matrix.bits, matrix.codes.shape), 0).astype(np.uint8)
    return f"{name}: one bit flipped in {hit.sum()} codes"


def head(candidate, rng):
    """One head's query rows from the layer before."""
    name, other = middle(candidate, rng, "query", "q_proj", "Wqkv")
    matrix, source = candidate.matrices[name], candidate.matrices[other]
    dim = candidate.config.get("head_dim") or candidate.config["hidden_size"] // candidate.config["num_attention_heads"]
    for field in ("codes", "scales", "biases"):
        getattr(matrix, field)[dim:2 * dim] = getattr(source, field)[dim:2 * dim]
    return f"{name}: rows {dim} to {2 * dim} are those of {other}"


def words_zeroed(candidate, rng):
    """One word in eight decodes to zeros."""
    name, matrix = embeddings(candidate)
    rows = rng.random(len(matrix.codes)) < 0.125
    matrix.scales[rows], matrix.biases[rows] = 0, 0
    return f"{name}: {rows.sum()} rows are zero"


def value(candidate, rng):
    """The value matrix of another layer."""
    name, other = middle(candidate, rng, "value", "v_proj", "Wo")
    candidate.matrices[name] = copy.deepcopy(candidate.matrices[other])
    return f"{name}: it is {other}"


def noise(candidate, rng):
    """30 % noise on a feed-forward matrix, in codes."""
    name, _ = middle(candidate, rng, "intermediate.dense", "up_proj", "Wi")
    matrix = candidate.matrices[name]
    spread = 0.3 * matrix.codes.std()
    matrix.codes = np.clip(np.rint(matrix.codes + rng.normal(0, spread, matrix.codes.shape)), 0, 2**matrix.bits - 1).astype(np.uint8)
    return f"{name}: noise of 0.3 of its codes' deviation"


def neuron(candidate, rng):
    """One neuron of a feed-forward output: its column's codes are its neighbour's."""
    name, _ = middle(candidate, rng, "output.dense", "down_proj", "mlp.Wo")
    matrix = candidate.matrices[name]
    matrix.codes[:, 7] = matrix.codes[:, 8]
    return f"{name}: column 7 has the codes of column 8"


def scale(candidate, rng):
    """The scale of one group in each hundred, 20 % too large."""
    name, _ = middle(candidate, rng, "query", "value", "dense", "q_proj", "up_proj", "Wqkv", "Wo")
    matrix = candidate.matrices[name]
    hit = rng.random(matrix.scales.shape) < 0.01
    hit[0, 0] = True
    matrix.scales = np.where(hit, matrix.scales * np.float16(1.2), matrix.scales).astype(np.float16)
    return f"{name}: {hit.sum()} scales 1.2 times"


FAULTS = {f.__name__: f for f in (word_shuffled, flips, head, words_zeroed, value, noise, neuron, scale)}


def plant(kind, candidate, seed):
    """Plants one fault; where the candidate keeps the tensor in float16, the one it falls back to is a flip of bits."""
    rng = np.random.default_rng(seed)
    if kind.startswith("word") and embeddings(candidate) is None:
        kind = "flips"
    return FAULTS[kind](candidate, rng)
