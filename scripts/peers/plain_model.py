"""The same export without its pooler and without stated shapes, for runtimes that analyse what nobody asks for.

    python plain_model.py IN.onnx OUT.onnx
"""
import sys

import onnx
import onnx.utils

onnx.utils.extract_model(sys.argv[1], sys.argv[2], ["input_ids", "attention_mask", "token_type_ids"], ["last_hidden_state"])
model = onnx.load(sys.argv[2])
del model.graph.value_info[:]
for value in [*model.graph.input, *model.graph.output]:
    for dimension in value.type.tensor_type.shape.dim:
        dimension.Clear()
onnx.save(model, sys.argv[2])
