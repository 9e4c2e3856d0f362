"""Quantizes a model folder as mlx's nn.quantize would, whatever its architecture: every matrix whose columns divide into groups.

    python quantize.py MODEL_DIR OUT_DIR [--bits 8] [--group-size 32] [--mode affine] [--dtype float16]
"""
import argparse
import json
import pathlib
import shutil

import mlx.core as mx

COPIED = ["tokenizer.json", "tokenizer_config.json", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--bits", type=int, default=8)
    parser.add_argument("--group-size", type=int, default=32)
    parser.add_argument("--mode", default="affine")
    parser.add_argument("--dtype", default="float16")
    args = parser.parse_args()
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    tensors = {}
    for name, value in mx.load(str(args.model / "model.safetensors")).items():
        value = value.astype(getattr(mx, args.dtype))
        module, _, part = name.rpartition(".")
        if part != "weight" or value.ndim != 2 or value.shape[1] % args.group_size:
            tensors[name] = value
            continue
        parts = mx.quantize(value, group_size=args.group_size, bits=args.bits, mode=args.mode)
        tensors |= {f"{module}.{p}": v for p, v in zip(("weight", "scales", "biases"), parts)}
    mx.save_safetensors(str(args.out / "model.safetensors"), tensors, metadata={"format": "mlx"})
    config = json.loads((args.model / "config.json").read_text())
    config["quantization"] = {"group_size": args.group_size, "bits": args.bits, "mode": args.mode}
    if config["model_type"] == "qwen3":
        # MLX's Qwen3 looks for it here alone, and takes 1000000 where it is not.
        config.setdefault("rope_theta", config["rope_parameters"]["rope_theta"])
    (args.out / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    for name in COPIED:
        if (args.model / name).exists():
            (args.out / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(args.model / name, args.out / name)
    print(args.out.name, config["quantization"])


if __name__ == "__main__":
    main()
