"""Affine quantizers that look at activations: GPTQ, AWQ, DWQ. Written from their papers for encoders of transformers.

`Encoder` is the float32 model with its calibration rows; each quantizer gives `{module name: Affine}` and, where it rescales
channels, the float32 tensors that it changed.
"""
import numpy as np
import torch
from rounding import ROUNDING, Affine, fit, mlx, nearest, quantize, span
from transformers import AutoModel, AutoTokenizer


class Encoder:
    def __init__(self, folder, lines, max_length=128, batch=32):
        self.model = AutoModel.from_pretrained(folder, attn_implementation="eager").float().eval()
        self.folder, self.lines = folder, lines
        self.tokenizer = tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        lines = sorted(lines, key=len)
        self.batches = [tokenizer(lines[i:i + batch], padding=True, truncation=True, max_length=max_length, return_tensors="pt")
                        for i in range(0, len(lines), batch)]
        self.modules = {n: m for n, m in self.model.named_modules() if isinstance(m, (torch.nn.Linear, torch.nn.Embedding))}

    def linears(self):
        return [n for n, m in self.modules.items() if isinstance(m, torch.nn.Linear)]

    def weight(self, name):
        return self.modules[name].weight.detach().numpy()

    def states(self, batch):
        return self.model(**batch, output_hidden_states=True).hidden_states

    @torch.no_grad()
    def inputs(self, names):
        """What arrives at each Linear, padding left out: `{name: [tokens, in]}`; a module that saw nothing is absent."""
        seen, keep = {}, [None]

        def hook(name):
            def collect(_module, args):
                x = args[0]
                seen.setdefault(name, []).append(x[keep[0]] if x.dim() == 3 else x)
            return collect

        handles = [self.modules[n].register_forward_pre_hook(hook(n)) for n in names]
        for batch in self.batches:
            keep[0] = batch["attention_mask"].bool()
            self.model(**batch)
        for handle in handles:
            handle.remove()
        return {n: torch.cat(x) for n, x in seen.items()}

    def put(self, tensors):
        """Sets parameters by name and returns what was there."""
        own = dict(self.model.named_parameters())
        was = {n: own[n].detach().clone() for n in tensors}
        with torch.no_grad():
            for name, value in tensors.items():
                own[name].copy_(torch.as_tensor(np.asarray(value, np.float32)))
        return was


def layers(encoder):
    """Linear modules by encoder layer, in order; what belongs to none (a pooler) is left out."""
    out = {}
    for name in encoder.linears():
        numbers = [part for part in name.split(".") if part.isdigit()]
        if numbers:
            out.setdefault(int(numbers[0]), []).append(name)
    return [out[i] for i in sorted(out)]


def gptq_matrix(w, x, bits, size, damp=0.01):
    """Frantar et al. 2022, algorithm 1: columns in order, the error of each spread over those to come. Scale and bias of a
    group are set by min and max when its first column is reached."""
    w = torch.as_tensor(w).double().clone()
    x = x.double()
    hessian = 2 * x.T @ x / x.shape[0]
    dead = hessian.diagonal() == 0
    hessian[dead, dead] = 1
    w[:, dead] = 0
    hessian.diagonal().add_(damp * hessian.diagonal().mean())
    upper = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(hessian)), upper=True)
    rows, cols = w.shape
    codes = np.zeros((rows, cols), np.uint8)
    scales, biases = np.zeros((rows, cols // size)), np.zeros((rows, cols // size))
    for start in range(0, cols, size):
        block = w[:, start:start + size].clone()
        s, b = span(block.min(1).values.numpy(), block.max(1).values.numpy(), bits)
        s, b = s.astype(np.float16).astype(np.float64), b.astype(np.float16).astype(np.float64)
        scales[:, start // size], biases[:, start // size] = s, b
        errors = torch.zeros_like(block)
        for j in range(size):
            q = nearest(block[:, j:j + 1].numpy(), s, b, bits)[:, 0]
            codes[:, start + j] = q
            errors[:, j] = (block[:, j] - torch.as_tensor(s * q + b)) / upper[start + j, start + j]
            block[:, j + 1:] -= errors[:, j:j + 1] * upper[start + j, start + j + 1:start + size]
        w[:, start + size:] -= errors @ upper[start:start + size, start + size:]
    return Affine(codes.reshape(rows, -1, size), scales, biases, bits)


def gptq(encoder, bits, size=64, rest="mlx"):
    """Layer by layer, each calibrated on what the layers quantized before it give; all else is rounded by `rest`."""
    out = {n: quantize(rest, encoder.weight(n), bits, size) for n in encoder.modules}
    original = {}
    original |= encoder.put({n + ".weight": out[n].value() for n, m in encoder.modules.items() if isinstance(m, torch.nn.Embedding)})
    for names in layers(encoder):
        for name, x in encoder.inputs(names).items():
            out[name] = gptq_matrix(encoder.weight(name), x, bits, size)
        original |= encoder.put({n + ".weight": out[n].value() for n in names})
    encoder.put(original)
    return out, {}


def folds(encoder):
    """Where a factor per channel can move from one tensor into the next without changing the model:
    `(tensors divided: [(parameter, first row)], modules multiplied by column, channels, how often each is used)`."""
    config, out = encoder.model.config, []
    width, heads = config.hidden_size, config.num_attention_heads
    parameters = dict(encoder.model.named_parameters())

    def fold(divided, multiplied, channels, repeat=1):
        rows = [(p, first) for p, first in divided if p in parameters]
        out.append((rows, multiplied, channels, repeat))

    for names in layers(encoder):
        one = {n.split(".")[-1]: n for n in names}
        prefix = next(n[:n.index(f".{p}.") + len(p) + 1] for n in names[:1] for p in n.split(".") if p.isdigit())
        if config.model_type == "bert":
            value = one["value"]
            fold([(value + ".weight", 0), (value + ".bias", 0)], [f"{prefix}.attention.output.dense"], width)
        elif config.model_type == "modernbert":
            inner = config.intermediate_size
            if f"{prefix}.attn_norm.weight" in parameters:
                fold([(f"{prefix}.attn_norm.weight", 0), (f"{prefix}.attn_norm.bias", 0)], [f"{prefix}.attn.Wqkv"], width)
            fold([(f"{prefix}.attn.Wqkv.weight", 2 * width), (f"{prefix}.attn.Wqkv.bias", 2 * width)], [f"{prefix}.attn.Wo"], width)
            fold([(f"{prefix}.mlp_norm.weight", 0), (f"{prefix}.mlp_norm.bias", 0)], [f"{prefix}.mlp.Wi"], width)
            fold([(f"{prefix}.mlp.Wi.weight", inner), (f"{prefix}.mlp.Wi.bias", inner)], [f"{prefix}.mlp.Wo"], inner)
        elif config.model_type == "qwen3":
            fold([(f"{prefix}.input_layernorm.weight", 0)], [one["q_proj"], one["k_proj"], one["v_proj"]], width)
            fold([(one["v_proj"] + ".weight", 0)], [one["o_proj"]], config.num_key_value_heads * config.head_dim, heads // config.num_key_value_heads)
            fold([(f"{prefix}.post_attention_layernorm.weight", 0)], [one["gate_proj"], one["up_proj"]], width)
            fold([(one["up_proj"] + ".weight", 0)], [one["down_proj"]], config.intermediate_size)
        else:
            raise SystemExit(f"awq: nothing is known about channels of {config.model_type}; known: bert, modernbert, qwen3")
    return out


def spread(s, repeat, heads_dim):
    """Factors of key-value channels, repeated for the query heads that share them."""
    return s if repeat == 1 else s.reshape(-1, heads_dim).repeat_interleave(repeat, 0).reshape(-1)


def awq(encoder, bits, size=64, clipped=False):
    """Lin et al. 2023: factors `mean|x|^a`, `a` searched on the layer's own output, then MLX's rounding; `clipped`: and the
    range of each group shrunk by the error weighted with the inputs."""
    changed, dim = {}, getattr(encoder.model.config, "head_dim", None) or encoder.model.config.hidden_size // encoder.model.config.num_attention_heads
    for divided, multiplied, channels, repeat in folds(encoder):
        x = encoder.inputs(multiplied[:1])[multiplied[0]]
        x = x[:: max(1, len(x) // 2048)]
        importance = x.abs().mean(0)
        if repeat > 1:
            importance = importance.reshape(-1, repeat, dim).mean(1).reshape(-1)
        weights = [torch.as_tensor(encoder.weight(n)).clone() for n in multiplied]
        best = (np.inf, torch.ones(channels))
        for step in range(20):
            s = importance.clamp(min=1e-4) ** (step / 20)
            s = s / (s.max() * s.min()).sqrt()
            wide = spread(s, repeat, dim)
            loss = 0.0
            for w in weights:
                value = torch.as_tensor(quantize("mlx", (w * wide).numpy(), bits, size).value()) / wide
                loss += float(((x @ (value - w).T) ** 2).mean())
            best = min(best, (loss, s), key=lambda p: p[0])
        wide = spread(best[1], repeat, dim)
        new = {n + ".weight": (w * wide).numpy() for n, w in zip(multiplied, weights)}
        own = dict(encoder.model.named_parameters())
        for name, first in divided:
            value = own[name].detach().clone()
            factor = best[1] if value.dim() == 1 else best[1][:, None]
            value[first:first + channels] /= factor
            new[name] = value.numpy()
        for name, was in encoder.put(new).items():
            changed.setdefault(name, was)
    out = {n: quantize("mlx", encoder.weight(n), bits, size) for n in encoder.modules}
    if clipped:
        for name, x in encoder.inputs(encoder.linears()).items():
            out[name] = clipped_matrix(encoder.weight(name), x, bits, size)
    now = {n: dict(encoder.model.named_parameters())[n].detach().numpy().copy() for n in changed}
    encoder.put(changed)
    return out, now


def clipped_matrix(w, x, bits, size):
    grid = w.reshape(w.shape[0], -1, size)
    importance = (x.double() ** 2).mean(0).numpy().reshape(1, -1, size)
    low, high = grid.min(-1), grid.max(-1)
    best, out = np.full(low.shape, np.inf), [low, high]
    for shrink in np.linspace(0.5, 1.0, 26):
        scales, biases = span(low * shrink, high * shrink, bits)
        codes = nearest(grid, scales, biases, bits)
        error = (importance * (codes * scales[..., None] + biases[..., None] - grid) ** 2).sum(-1)
        better = error < best
        best = np.where(better, error, best)
        out = [np.where(better, scales, out[0]), np.where(better, biases, out[1])]
    return Affine(nearest(grid, *out, bits), *out, bits)


def dwq(encoder, bits, size=64, steps=60, rate=0.01):
    """Distilled weight quantization: codes stay MLX's, scales and biases are trained so that the hidden states come near."""
    torch.manual_seed(0)
    out = {n: quantize("mlx", encoder.weight(n), bits, size) for n in encoder.modules}
    codes = {n: torch.as_tensor(a.codes.reshape(*a.scales.shape, size).astype(np.float32)) for n, a in out.items()}
    trained = {n: [torch.nn.Parameter(torch.as_tensor(p.astype(np.float32))) for p in (a.scales, a.biases)] for n, a in out.items()}
    # A rate in steps of each matrix: a change of a scale is multiplied by the code.
    step_of = {n: float(p[0].detach().abs().mean()) for n, p in trained.items()}
    groups = [{"params": [p[i]], "lr": rate * step_of[n] / (2**bits - 1 if i == 0 else 1)} for n, p in trained.items() for i in (0, 1)]
    optimizer = torch.optim.Adam(groups)
    with torch.no_grad():
        wanted = [encoder.states(b) for b in encoder.batches]
    for step in range(steps):
        i = step % len(encoder.batches)
        weights = {n + ".weight": (codes[n] * s[..., None] + b[..., None]).reshape(out[n].codes.shape) for n, (s, b) in trained.items()}
        got = torch.func.functional_call(encoder.model, weights, (), dict(encoder.batches[i], output_hidden_states=True)).hidden_states
        mask = encoder.batches[i]["attention_mask"].bool()
        loss = sum(((g - w)[mask] ** 2).mean() / (w[mask] ** 2).mean() for g, w in zip(got, wanted[i]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step in (0, steps - 1):
            print(f"  dwq {bits} bits, step {step + 1}: loss {float(loss.detach()):.3g}", flush=True)
    return {n: Affine(codes[n].numpy(), *(p.detach().numpy() for p in trained[n]), bits) for n in out}, {}


CALIBRATED = {"gptq": gptq, "awq": awq, "awqclip": lambda e, bits, size=64: awq(e, bits, size, clipped=True), "dwq": dwq}
