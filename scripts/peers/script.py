"""The comparison one would write by hand: ONNX Runtime with hidden states, torch on the dequantized weights, numpy
for the metrics. Prints the seconds the work took, loading left out.

    python script.py script|polygraphy REFERENCE CANDIDATE CORPUS ROWS THREADS
"""
import pathlib
import subprocess
import sys
import time

import mlx.core as mx
import numpy as np
import onnxruntime
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModel

BATCH = 32


class Hidden(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, token_type_ids):
        return self.model(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids, output_hidden_states=True).hidden_states


def dequantized(reference, candidate):
    """The reference's model on the candidate's weights."""
    model = AutoModel.from_pretrained(reference, attn_implementation="sdpa").float().eval()
    stored, config = mx.load(str(candidate / "model.safetensors")), __import__("json").load(open(candidate / "config.json"))
    bits, group = config["quantization"]["bits"], config["quantization"]["group_size"]
    state = {}
    for name, value in stored.items():
        if name.endswith((".scales", ".biases")):
            continue
        stem = name.removesuffix(".weight")
        if f"{stem}.scales" in stored:
            value = mx.dequantize(value, stored[f"{stem}.scales"], stored[f"{stem}.biases"], group_size=group, bits=bits)
        state[name.removeprefix("bert.")] = torch.from_numpy(np.array(value.astype(mx.float32)))
    left = model.load_state_dict(state, strict=False)
    assert not left.unexpected_keys and all("pooler" in k or "position_ids" in k for k in left.missing_keys), left
    return model


def exported(model, file):
    """With every hidden state as an output."""
    if not file.exists():
        ids = torch.randint(5, 1000, (3, 11))
        names, outs = ["input_ids", "attention_mask", "token_type_ids"], [f"hidden_{i}" for i in range(model.config.num_hidden_layers + 1)]
        torch.onnx.export(Hidden(model).eval(), (ids, torch.ones_like(ids), torch.zeros_like(ids)), str(file), input_names=names,
                          output_names=outs, dynamic_axes={n: {0: "batch", 1: "sequence"} for n in names + outs}, opset_version=17, dynamo=False)
    return str(file)


def feeds(tokenizer, lines):
    """Batches in the order of the corpus, padded to their longest."""
    for i in range(0, len(lines), BATCH):
        rows = [tokenizer.encode(line).ids for line in lines[i:i + BATCH]]
        ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
        mask = np.zeros_like(ids)
        for r, row in enumerate(rows):
            ids[r, :len(row)], mask[r, :len(row)] = row, 1
        yield {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def script(tokenizer, lines, session, model):
    worst = {}
    for feed in feeds(tokenizer, lines):
        theirs = session.run(None, feed)
        with torch.inference_mode():
            ours = model(**{k: torch.from_numpy(v) for k, v in feed.items()}, output_hidden_states=True).hidden_states
        keep = feed["attention_mask"].astype(bool)
        for tap, (a, b) in enumerate(zip(theirs, ours)):
            a, b = a[keep].astype(np.float64), b.numpy()[keep].astype(np.float64)
            norm = np.linalg.norm(a, axis=1)
            error = np.linalg.norm(b - a, axis=1) / norm
            cosine = (a * b).sum(1) / (norm * np.linalg.norm(b, axis=1))
            seen = (error.max(), (1 - cosine).max(), np.abs(b - a).max())
            worst[tap] = tuple(map(max, seen, worst.get(tap, (0, 0, 0))))
    return worst


def polygraphy(tokenizer, lines, files, threads):
    from polygraphy.backend.onnxrt import OnnxrtRunner
    from polygraphy.comparator import Comparator, CompareFunc
    from polygraphy.logger import G_LOGGER
    G_LOGGER.module_severity = G_LOGGER.ERROR
    runners = [OnnxrtRunner(lambda f=f: session(f, threads), name=n) for f, n in zip(files, ["reference", "candidate"])]
    results = Comparator.run(runners, data_loader=feeds(tokenizer, lines))
    return Comparator.compare_accuracy(results, compare_func=CompareFunc.simple(atol=1.0, check_error_stat="max"))


def session(file, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def main():
    who, reference, candidate, corpus, rows, threads = sys.argv[1], *map(pathlib.Path, sys.argv[2:5]), *map(int, sys.argv[5:7])
    torch.set_num_threads(threads)
    lines = corpus.read_text(encoding="utf-8").splitlines()[:rows]
    tokenizer = Tokenizer.from_file(str(reference / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(128)
    plain = AutoModel.from_pretrained(reference, attn_implementation="sdpa").float().eval()
    first, model = exported(plain, reference / "onnx/hidden.onnx"), dequantized(reference, candidate)
    if who == "script":
        runtime = session(first, threads)
        started = time.perf_counter()
        script(tokenizer, lines, runtime, model)
    else:
        second = exported(model, reference / f"onnx/hidden-{candidate.name}.onnx")
        started = time.perf_counter()
        polygraphy(tokenizer, lines, [first, second], threads)
    print(f"{time.perf_counter() - started:.6f}")


main()
