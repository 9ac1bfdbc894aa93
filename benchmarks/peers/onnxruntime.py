"""ONNX Runtime, which predicts: ``Gemm``, ``Relu``, ``Softmax``, one thread; with ``out=`` by I/O binding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.workloads import Array, Predict, initial_weights


def _model(sizes: Sequence[int]) -> bytes:
    """The network as an ONNX file, for batches of any size."""
    weights = initial_weights(sizes)
    last, nodes, constants, name = len(weights) // 2 - 1, [], [], "x"
    for i, (w, b) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
        constants += [numpy_helper.from_array(w, f"w{i}"), numpy_helper.from_array(b, f"b{i}")]
        nodes.append(helper.make_node("Gemm", [name, f"w{i}", f"b{i}"], [f"z{i}"]))
        name = "y" if i == last else f"a{i}"
        nodes.append(helper.make_node("Softmax" if i == last else "Relu", [f"z{i}"], [name]))
    ends = [
        helper.make_tensor_value_info(end, TensorProto.FLOAT, ["rows", n])
        for end, n in (("x", sizes[0]), ("y", sizes[-1]))
    ]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    serialized: bytes = model.SerializeToString()
    return serialized


def predictor(work: Predict) -> Callable[[], Array]:
    """A session's run, from array to array; between arrays bound once where the workload says so."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(_model(work.sizes), options, providers=["CPUExecutionProvider"])
    x, outputs = work.data(), ["y"]
    if not work.out:
        return lambda: session.run(outputs, {"x": x})[0]
    y = np.zeros((work.batch, work.sizes[-1]), np.float32)
    binding: Any = session.io_binding()
    for bind, name, array in ((binding.bind_input, "x", x), (binding.bind_output, "y", y)):
        bind(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    def once() -> Array:
        session.run_with_iobinding(binding)
        return y

    return once
