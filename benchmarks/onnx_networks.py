"""The networks of exports as ONNX, for a bench against ONNX Runtime: the same operations, batch normalisation folded in already."""

from collections.abc import Sequence

import onnx
from onnx import TensorProto, helper, numpy_helper

from gpu_worker.native_networks import IMAGE, Operation, OperationKind

OPSET, IR_VERSION = 17, 9  # old enough for every runtime of the last years


def onnx_network(operations: Sequence[Operation], width: int, height: int) -> bytes:
    """A model that takes standardised images (N, 3, height, width); its output is that of the last operation."""
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    if any(operation.kind is OperationKind.DOUBLING for operation in operations):
        weights.append(helper.make_tensor("no_region", TensorProto.FLOAT, [0], []))
        weights.append(helper.make_tensor("twice", TensorProto.FLOAT, [4], [1, 1, 2, 2]))
    names = {IMAGE: "image"}
    for number, operation in enumerate(operations, 1):
        names[number] = f"t{number}"
        read = [names[source] for source in (operation.source, operation.second) if source is not None]
        if operation.kind is OperationKind.CONVOLUTION:
            nodes += _convolution(operation, read, names[number], weights)
        else:
            nodes.append(_NODES[operation.kind](read, names[number]))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["images", 3, height, width])],
        [helper.make_tensor_value_info(names[len(operations)], TensorProto.FLOAT, ["images", "channels", "y", "x"])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    serialized: bytes = model.SerializeToString()
    return serialized


def _convolution(
    operation: Operation, read: Sequence[str], name: str, weights: list[onnx.TensorProto]
) -> list[onnx.NodeProto]:
    """Up to three nodes, which the runtime makes one of."""
    source, *added = read
    weights += [
        numpy_helper.from_array(operation.filters, f"{name}_filters"),
        numpy_helper.from_array(operation.bias, f"{name}_bias"),
    ]
    steps = ["Conv", *(["Add"] if added else []), *(["Relu"] if operation.relu else [])]
    results = [f"{name}_{step}" for step in steps[:-1]] + [name]
    kernel = operation.filters.shape[2]
    nodes = [
        helper.make_node(
            "Conv",
            [source, f"{name}_filters", f"{name}_bias"],
            [results[0]],
            kernel_shape=[kernel, kernel],
            strides=[operation.stride, operation.stride],
            pads=[operation.padding] * 4,
        )
    ]
    for step, before, result in zip(steps[1:], results, results[1:], strict=False):
        nodes.append(helper.make_node(step, [before, *(added if step == "Add" else [])], [result]))
    return nodes


_NODES = {
    OperationKind.MAX_POOL: lambda read, name: helper.make_node(
        "MaxPool", read, [name], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
    ),
    OperationKind.AVERAGE: lambda read, name: helper.make_node("GlobalAveragePool", read, [name]),
    OperationKind.DOUBLING: lambda read, name: helper.make_node(
        "Resize",
        [*read, "no_region", "twice"],
        [name],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    ),
    OperationKind.JOINING: lambda read, name: helper.make_node("Concat", read, [name], axis=1),
}
