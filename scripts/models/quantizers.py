"""MLX-format candidates by quantizers other than MLX's own, and faulty twins of each.

    python quantizers.py REFERENCE OUT_DIR --corpus FILE [--template BITS=FOLDER ...] [--names a,b] [--bits 8,4] [--faults all]

A template is mlx-embeddings' conversion of the same reference at that width: its files, names, and everything that is not a
quantized matrix are kept, and the matrices are replaced. Folders are called NAME-BITSbit and NAME-BITSbit-faulty; what was
planted is in planted.json beside the weights.
"""
import argparse
import json
import os
import pathlib
import random
import shutil

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
import torch
from calibrated import CALIBRATED, Encoder, layers
from planted import FAULTS, plant
from rounding import ROUNDING, Affine, quantize, unpack
from safetensors.numpy import load_file, save_file

CALIBRATION_ROWS = 256


def parameters(config):
    """The quantization block without the overrides per module."""
    return {k: v for k, v in config["quantization"].items() if not isinstance(v, (dict, bool))}


class Candidate:
    """Files of a template, with its quantized matrices by module name and all other tensors."""

    def __init__(self, template):
        self.template = pathlib.Path(template)
        self.config = json.loads((self.template / "config.json").read_text())
        self.bits, self.size = (self.config["quantization"][k] for k in ("bits", "group_size"))
        tensors = load_file(self.template / "model.safetensors")
        self.matrices = {n[:-7]: Affine.__new__(Affine) for n in tensors if n.endswith(".scales")}
        for name, matrix in self.matrices.items():
            matrix.scales, matrix.biases = tensors.pop(name + ".scales"), tensors.pop(name + ".biases")
            own = self.config["quantization"].get(name, {})
            matrix.bits = own.get("bits", self.bits)
            matrix.codes = unpack(tensors.pop(name + ".weight"), matrix.bits)
        self.plain = tensors

    def name_of(self, name):
        """This file's name of a module or tensor of transformers' base model, which may stand behind a prefix."""
        found = [n for n in [*self.matrices, *self.plain] if n == name or n.endswith("." + name)]
        if len(found) != 1:
            raise SystemExit(f"{self.template}: {len(found)} tensors are called {name}")
        return found[0]

    def take(self, matrices, changed=()):
        known = dict(self.matrices)
        for name, matrix in matrices.items():
            if any(n == name or n.endswith("." + name) for n in known):
                self.matrices[self.name_of(name)] = matrix
        for name, value in dict(changed).items():
            if not name.endswith(".weight") or all(not n.endswith(name[:-7]) for n in known):
                self.plain[self.name_of(name)] = np.asarray(value).astype(np.float16)

    def write(self, out, note):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(self.template, out)
        (out / "model.safetensors.index.json").unlink(missing_ok=True)
        tensors = dict(self.plain)
        for name, matrix in self.matrices.items():
            tensors |= {f"{name}.{kind}": value for kind, value in matrix.tensors().items()}
        save_file(dict(sorted(tensors.items())), out / "model.safetensors", metadata={"format": "mlx"})
        (out / "config.json").write_text(json.dumps(self.config, indent=4) + "\n")
        (out / "planted.json").write_text(json.dumps(note, indent=2) + "\n")


def recipe(name, candidate, encoder):
    """Recipes of several widths, all by MLX's own rounding: overrides per module, as mlx-embeddings' config writes them."""
    block = candidate.config["quantization"]
    linear = {candidate.name_of(n) for n in encoder.linears()}
    ends = {candidate.name_of(n) for names in (layers(encoder)[0], layers(encoder)[-1]) for n in names}
    for module in list(candidate.matrices):
        own = next(n for n in encoder.modules if module == n or module.endswith("." + n))
        if name == "embeddings8" and module not in linear:
            block[module] = {"group_size": candidate.size, "bits": 8}
            candidate.matrices[module] = quantize("mlx", encoder.weight(own), 8, candidate.size)
        elif (name == "ends16" and module in ends) or (name == "linear" and module not in linear):
            block[module] = False
            del candidate.matrices[module]
            candidate.plain[module + ".weight"] = encoder.weight(own).astype(np.float16)


RECIPES = ("embeddings8", "ends16", "linear")
NAMES = [*(n for n in ROUNDING if n not in ("mlx", "minmaxlate")), *CALIBRATED, *RECIPES, "gptqmlxlm", "minmaxlate"]


def make(name, bits, template, encoder, size=64):
    candidate = Candidate(template)
    if name in RECIPES:
        recipe(name, candidate, encoder)
    elif name == "gptqmlxlm":
        from mlx_lm_gptq import gptq  # only where mlx-lm is installed

        matrices, overrides = gptq(encoder.folder, encoder.tokenizer, encoder.lines, bits, size)
        candidate.config["quantization"] |= {candidate.name_of(n): v for n, v in overrides.items()}
        candidate.take(matrices)
    elif name in ROUNDING:
        candidate.take({n: quantize(name, encoder.weight(n), bits, size, seed=i) for i, n in enumerate(encoder.modules)})
    else:
        candidate.take(*CALIBRATED[name](encoder, bits, size))
    return candidate


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--template", action="append", required=True, help="BITS=FOLDER of mlx-embeddings' conversion")
    parser.add_argument("--names", default=",".join(NAMES))
    parser.add_argument("--bits", default="8,4")
    parser.add_argument("--faults", default="one", choices=["none", "one", "all"], help="planted in each candidate: one, in turn; or each")
    args = parser.parse_args()
    torch.set_num_threads(2)
    lines = [line for line in args.corpus.read_text().splitlines() if line.strip()]
    encoder = Encoder(args.reference, random.Random(0).sample(lines, CALIBRATION_ROWS))
    templates = dict(t.split("=", 1) for t in args.template)
    for bits in args.bits.split(","):
        for name in args.names.split(","):
            if name == "embeddings8" and bits == "8":
                continue
            turn = NAMES.index(name) + (1 if bits == "4" else 5)
            out = args.out / f"{name}-{bits}bit"
            kinds = {"none": [], "one": [list(FAULTS)[turn % len(FAULTS)]], "all": list(FAULTS)}[args.faults]
            faulty = {k: out.with_name(out.name + "-faulty" + ("" if args.faults == "one" else "-" + k)) for k in kinds}
            if all((f / "planted.json").exists() for f in [out, *faulty.values()]):
                continue
            candidate = make(name, int(bits), templates[bits], encoder)
            candidate.write(out, {"quantizer": name, "bits": int(bits), "fault": None})
            for kind, folder in faulty.items():
                planted = Candidate(out)
                said = plant(kind, planted, seed=turn)
                planted.write(folder, {"quantizer": name, "bits": int(bits), "fault": kind, "what": said})
            print(out.name, *(f.name + ": " + json.loads((f / "planted.json").read_text())["what"] for f in faulty.values()), sep="\n  ", flush=True)


if __name__ == "__main__":
    main()
