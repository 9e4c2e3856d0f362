"""What is done to an exported graph afterwards: optimizers, simplifiers, renaming, external data, and the
ways a reference stops being exact."""
import random
import shutil

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static


def session_optimized(level):
    def rewrite(source, target, config):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
        options.optimized_model_filepath = str(target)
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    return rewrite


def transformers_optimizer(approximate=False, level=1, float16=False):
    def rewrite(source, target, config):
        from onnxruntime.transformers import optimizer
        from onnxruntime.transformers.fusion_options import FusionOptions
        options = FusionOptions("bert")
        options.enable_gelu_approximation = approximate
        model = optimizer.optimize_model(str(source), model_type="bert", num_heads=config.num_attention_heads,
                                         hidden_size=config.hidden_size, opt_level=level, optimization_options=options)
        if float16:
            model.convert_float_to_float16(keep_io_types=True)
        model.save_model_to_file(str(target))
    return rewrite


def simplified(source, target, config):
    import onnxsim
    model, ok = onnxsim.simplify(onnx.load(source))
    assert ok
    onnx.save(model, target)


def slimmed(source, target, config):
    import onnxslim
    onnx.save(onnxslim.slim(onnx.load(source)), target)


def renamed(source, target, config):
    """Every inner name is replaced by a random one, every node put at a random place in the file."""
    rng = random.Random(7)
    model = onnx.load(source)
    graph = model.graph
    kept = {v.name for v in list(graph.input) + list(graph.output)}
    names = sorted({n for node in graph.node for n in list(node.input) + list(node.output)} | {t.name for t in graph.initializer})
    fresh = {n: n if n in kept or not n else f"t{rng.getrandbits(40):x}" for n in names}
    for node in graph.node:
        node.input[:] = [fresh[n] for n in node.input]
        node.output[:] = [fresh[n] for n in node.output]
        node.name = f"n{rng.getrandbits(40):x}"
        del node.metadata_props[:]
    for tensor in graph.initializer:
        tensor.name = fresh[tensor.name]
    del graph.value_info[:]
    nodes = list(graph.node)
    # ONNX asks for topological order: a random one of the many there are.
    made = kept | {t.name for t in graph.initializer} | {""}
    del graph.node[:]
    while nodes:
        ready = [n for n in nodes if all(i in made for i in n.input)]
        node = rng.choice(ready)
        nodes.remove(node)
        made |= set(node.output)
        graph.node.append(node)
    tensors = list(graph.initializer)
    rng.shuffle(tensors)
    del graph.initializer[:]
    graph.initializer.extend(tensors)
    onnx.save(model, target)


def external(source, target, config):
    data = target.with_suffix(".onnx_data")
    data.unlink(missing_ok=True)
    onnx.save(onnx.load(source), target, save_as_external_data=True, all_tensors_to_one_file=True, location=data.name, size_threshold=256)


def float16(source, target, config):
    from onnxconverter_common import float16 as converter
    onnx.save(converter.convert_float_to_float16(onnx.load(source), keep_io_types=True), target)


def dynamic_int8(source, target, config):
    quantize_dynamic(str(source), str(target))


class Sentences(CalibrationDataReader):
    def __init__(self, vocab):
        rng = np.random.default_rng(3)
        self.rows = iter([{"input_ids": rng.integers(5, vocab, (2, 20)), "attention_mask": np.ones((2, 20), np.int64),
                           "token_type_ids": np.zeros((2, 20), np.int64)} for _ in range(4)])

    def get_next(self):
        return next(self.rows, None)


def static_qdq(source, target, config):
    quantize_static(str(source), str(target), Sentences(config.vocab_size), quant_format=QuantFormat.QDQ)


def int4(source, target, config):
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    quantizer = MatMulNBitsQuantizer(onnx.load(source), block_size=32, is_symmetric=True)
    quantizer.process()
    quantizer.model.save_model_to_file(str(target))


def copied(source, target, config):
    shutil.copyfile(source, target)
