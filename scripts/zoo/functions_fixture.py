"""Writes tests/fixtures/onnx/functions: a tiny BERT twice, plain and with its layers as model-local functions.

Every layer is a call of one function, whose feed-forward half is a call of another, whose norms are calls of a
third; epsilon is handed down by reference, axis is a default. Run: python scripts/zoo/functions_fixture.py
(torch, transformers, onnx, onnxscript, onnxruntime as in scripts/models/requirements.txt).
"""

import pathlib

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import AttributeProto, helper
from transformers import BertConfig, BertModel

OUT = pathlib.Path(__file__).parents[2] / "tests/fixtures/onnx/functions"
DOMAIN = "layers.test"
NAMES = ["input_ids", "attention_mask", "token_type_ids"]


class Hidden(torch.nn.Module):
    def __init__(self, bert):
        super().__init__()
        self.bert = bert

    def forward(self, input_ids, attention_mask, token_type_ids):
        return self.bert(input_ids, attention_mask, token_type_ids).last_hidden_state


def export() -> onnx.ModelProto:
    torch.manual_seed(5)
    config = BertConfig(vocab_size=200, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
                        intermediate_size=48, max_position_embeddings=40)
    bert = BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for p in bert.parameters():  # no two alike: an exporter merges equal tensors
            p.copy_(torch.randn_like(p) * 0.3 + (p if p.ndim == 1 else 0))
    ids = torch.randint(5, 200, (2, 9))
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens", max=40)
    program = torch.onnx.export(Hidden(bert), (ids, torch.ones_like(ids), torch.zeros_like(ids)), dynamo=True,
                                opset_version=18, input_names=NAMES, output_names=["last_hidden_state"],
                                dynamic_shapes=[{0: batch, 1: tokens}] * 3)
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    for v in [*model.graph.input, *model.graph.output, *model.graph.initializer]:
        del v.metadata_props[:]
    return model


def hoisted(nodes):
    """Nodes that do not see the word embeddings come first: masks and shapes belong to no layer."""
    seen, early, late = set(), [], []
    for n in nodes:
        words = n.op_type == "Gather" and "word_embeddings" in n.input[0]
        if words or seen.intersection(n.input):
            seen.update(n.output)
            late.append(n)
        else:
            early.append(n)
    return early + late


def boundary(nodes, outside_reads):
    """Tensors a run of nodes reads from outside, and those others read from it, in order of first use."""
    made = {o for n in nodes for o in n.output}
    reads = list(dict.fromkeys(i for n in nodes for i in n.input if i and i not in made))
    gives = [o for n in nodes for o in n.output if o in outside_reads]
    return reads, gives


def renamed(nodes, formal):
    """Copies of nodes with names by order of appearance: equal layers become equal bodies."""
    names, out = dict(formal), []
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        for field in (copy.input, copy.output):
            field[:] = [names.setdefault(n, f"v{len(names)}") if n else n for n in field]
        copy.name = f"n{len(out)}"
        out.append(copy)
    return out


def function(name, nodes, reads, gives):
    formal = {n: f"a{i}" for i, n in enumerate(reads)}
    body = renamed(nodes, formal | {n: f"r{i}" for i, n in enumerate(gives)})
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, 1)]
    made = helper.make_function(DOMAIN, name, list(formal.values()), [f"r{i}" for i in range(len(gives))], body, opsets)
    for node in made.node:
        for a in node.attribute:
            if node.op_type == "Norm" and a.name == "eps":
                a.CopyFrom(reference("eps", "epsilon", AttributeProto.FLOAT))
    return made


def reference(name, to, kind):
    return AttributeProto(name=name, ref_attr_name=to, type=kind)


def norm():
    node = helper.make_node("LayerNormalization", ["x", "scale", "bias"], ["y"], name="norm")
    node.attribute.extend([reference("epsilon", "eps", AttributeProto.FLOAT),
                           reference("axis", "axis", AttributeProto.INT),
                           reference("stash_type", "never_given", AttributeProto.INT)])
    made = helper.make_function(DOMAIN, "Norm", ["x", "scale", "bias", "unused"], ["y"], [node],
                                [helper.make_opsetid("", 18)], attributes=["eps", "never_given"])
    made.attribute_proto.append(helper.make_attribute("axis", -1))
    return made


def as_calls(nodes):
    """Norms as calls of Norm, without its trailing optional input."""
    out = []
    for n in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(n)
        if n.op_type == "LayerNormalization":
            eps = next(a.f for a in n.attribute if a.name == "epsilon")
            copy = helper.make_node("Norm", n.input, n.output[:1], name=n.name, domain=DOMAIN, eps=eps)
        out.append(copy)
    return out


def main():
    plain = export()
    OUT.mkdir(parents=True, exist_ok=True)
    nodes = hoisted(list(plain.graph.node))
    norms = [i for i, n in enumerate(nodes) if n.op_type == "LayerNormalization"]
    assert len(norms) == 7
    model = onnx.ModelProto()
    model.CopyFrom(plain)
    del model.graph.node[:]
    model.graph.node.extend(nodes[: norms[0] + 1])
    functions = {}

    def add(made):
        known = functions.setdefault(made.name, made)
        assert known.SerializeToString(deterministic=True) == made.SerializeToString(deterministic=True), made.name

    add(norm())
    for k in range(3):
        start, middle, end = norms[2 * k] + 1, norms[2 * k + 1] + 1, norms[2 * k + 2] + 1
        last = nodes[end - 1].output[0]
        half = as_calls(nodes[middle:end])
        reads, _ = boundary(half, {last})
        eps = next(a.f for a in nodes[end - 1].attribute if a.name == "epsilon")
        add(function("FeedForward", half, reads, [last]))
        call = helper.make_node("FeedForward", reads, [last], name="feed_forward", domain=DOMAIN)
        call.attribute.append(helper.make_attribute("epsilon", eps))
        first = as_calls(nodes[start:middle])
        reads, _ = boundary([*first, call], {last})
        outer = onnx.NodeProto()
        outer.CopyFrom(call)
        outer.attribute[0].CopyFrom(reference("epsilon", "epsilon", AttributeProto.FLOAT))
        made = function("Layer", [*first, outer], reads, [last])
        made.attribute.append("epsilon")
        add(made)
        layer = helper.make_node("Layer", reads, [last], name=f"layer{k}", domain=DOMAIN)
        layer.attribute.append(helper.make_attribute("epsilon", eps))
        model.graph.node.append(layer)
    functions["FeedForward"].attribute.append("epsilon")
    model.graph.node.extend(nodes[norms[6] + 1 :])
    model.functions.extend(functions.values())
    model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    onnx.checker.check_model(model)
    ids = np.array([[7, 50, 199, 12, 6]], dtype=np.int64)
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    outputs = []
    for name, m in (("plain", plain), ("functions", model)):
        onnx.save(m, OUT / f"{name}.onnx")
        session = ort.InferenceSession(OUT / f"{name}.onnx", providers=["CPUExecutionProvider"])
        outputs.append(session.run(None, {i.name: feed[i.name] for i in session.get_inputs()})[0])
    print(name, len(model.functions), "functions,", np.abs(outputs[0] - outputs[1]).max(), "apart")


main()
