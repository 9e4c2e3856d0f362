"""A contestant of scripts/bench_peers that is written in Python: loads a model once, then runs the cases that are
asked for on stdin, one a line, and answers each with the seconds it took.

    python contestant.py ort-all|ort-extended|torch MODEL_FOLDER CASES.json THREADS
"""
import json
import pathlib
import queue
import sys
import threading
import time

import numpy as np
import onnxruntime


def padded(batch):
    ids = np.zeros((len(batch), max(map(len, batch))), np.int64)
    mask = np.zeros_like(ids)
    for r, row in enumerate(batch):
        ids[r, :len(row)], mask[r, :len(row)] = row, 1
    return ids, mask, np.zeros_like(ids)


def onnxruntime_sessions(folder, level, threads, within):
    """`threads` sessions of one thread, or one of `threads`: whichever is faster is ONNX Runtime's best."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.intra_op_num_threads = threads if within else 1
    options.inter_op_num_threads = 1
    file = str(folder / "onnx/model.onnx")
    sessions = [onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"]) for _ in range(1 if within else threads)]
    names = [i.name for i in sessions[0].get_inputs()]
    output = [sessions[0].get_outputs()[0].name]
    return sessions, lambda session, batch: session.run(output, dict(zip(names, padded(batch))))


def main():
    who, folder, cases, threads = sys.argv[1], pathlib.Path(sys.argv[2]), json.load(open(sys.argv[3])), int(sys.argv[4])
    if who == "torch":
        import torch
        from transformers import AutoModel
        torch.set_num_threads(threads)
        started = time.perf_counter()
        model = AutoModel.from_pretrained(folder, attn_implementation="sdpa").float().eval()

        def run(_, batch):
            ids, mask, types = map(torch.from_numpy, padded(batch))
            with torch.inference_mode():
                model(input_ids=ids, attention_mask=mask, token_type_ids=types, output_hidden_states=True)
        workers = [None]
    else:
        started = time.perf_counter()
        level = {"all": "ORT_ENABLE_ALL", "extended": "ORT_ENABLE_EXTENDED"}[who.split("-")[1]]
        workers, run = onnxruntime_sessions(folder, level, threads, who.endswith("-within"))
    print(f"loaded {time.perf_counter() - started:.6f}", flush=True)
    for line in sys.stdin:
        batches = cases[line.strip()]
        started = time.perf_counter()
        if len(workers) == 1 or len(batches) == 1:
            for batch in batches:
                run(workers[0], batch)
        else:
            todo = queue.SimpleQueue()
            for batch in batches:
                todo.put(batch)

            def work(worker):
                while True:
                    try:
                        batch = todo.get_nowait()
                    except queue.Empty:
                        return
                    run(worker, batch)
            threads_ = [threading.Thread(target=work, args=(worker,)) for worker in workers]
            for t in threads_:
                t.start()
            for t in threads_:
                t.join()
        print(f"{time.perf_counter() - started:.6f}", flush=True)


main()
