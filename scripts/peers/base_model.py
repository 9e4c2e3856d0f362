"""A BERT of base size (12 layers, width 768) with seeded weights in the Hugging Face layout, exported to ONNX.

    python base_model.py FOLDER TOKENIZER_FOLDER
"""
import pathlib
import shutil
import subprocess
import sys

import torch
from transformers import BertConfig, BertModel

folder, tokenizer = map(pathlib.Path, sys.argv[1:])
torch.manual_seed(0)
model = BertModel(BertConfig(attn_implementation="sdpa")).float().eval()
model.save_pretrained(folder)
for name in ["tokenizer.json", "tokenizer_config.json", "modules.json", "1_Pooling"]:
    if (tokenizer / name).is_dir():
        shutil.copytree(tokenizer / name, folder / name, dirs_exist_ok=True)
    elif (tokenizer / name).exists():
        shutil.copy(tokenizer / name, folder / name)
export = pathlib.Path(__file__).parent.parent / "models/export.py"
subprocess.run([sys.executable, export, folder, "--out", folder / "onnx/model.onnx"], check=True)
