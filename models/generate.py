#!/usr/bin/env python3
"""Makes the models of this folder, their golden cases, and the broken twins that tests need.

    pip install onnx==1.23.2 numpy==2.4.6
    OMP_NUM_THREADS=1 python models/generate.py            # from the root of the repository; no network

Everything comes from fixed seeds and carries no date, so a second run with the same package versions
writes the same bytes. The golden outputs are computed with numpy in float64 from the trained weights:
they do not come from any engine that is later judged by them.
"""
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Old enough for every engine in use: ONNX Runtime 1.17 and later.
OPSET, IR = 17, 8
LICENCE = "MIT OR Apache-2.0"


@dataclass(frozen=True)
class Design:
    """What distinguishes one classifier from another."""
    name: str
    title: str
    use: str
    features: int
    hidden: tuple
    classes: int
    seed: int
    spread: float  # distance of the class centres; larger is easier
    rows: int
    golden: int

    @property
    def dims(self):
        return (self.features, *self.hidden, self.classes)


COLUMN = Design("column-classifier", "Column classifier", "tells the semantic type of a table column from 376 features",
                376, (32, 16), 12, 20240607, 0.22, 6000, 8)
OCR_TEXT = Design("ocr-text", "OCR text stand-in", "stands in for a text recogniser where a small, fast model is enough",
                  64, (24,), 10, 20250301, 0.6, 2000, 6)
OCR_LAYOUT = Design("ocr-layout", "OCR layout stand-in", "stands in for a page-layout model where a small, fast model is enough",
                    48, (32,), 6, 20250302, 0.6, 2000, 6)

DATA_ROW = """| Data | `data/*.npz`, 256 rows each with `features` and `labels`: `reference`, `valid` (the same kind of rows), `shifted` (the first 125 features moved by 1.5) |
"""


# ----------------------------------------------------------------- data and training
def dataset(design, rng, count):
    """Rows around one centre for each class, and the class of each row."""
    centres = np.random.default_rng(design.seed).normal(0, design.spread, (design.classes, design.features))
    labels = rng.integers(0, design.classes, count)
    rows = centres[labels] + rng.normal(0, 1, (count, design.features))
    return rows.astype(np.float32), labels.astype(np.int64)


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def forward(rows, weights, biases):
    """All activations, the probabilities last; in float64 if the rows are."""
    layers = [rows]
    for index, (weight, bias) in enumerate(zip(weights, biases)):
        z = layers[-1] @ weight + bias
        layers.append(softmax(z) if index == len(weights) - 1 else np.maximum(z, 0))
    return layers


def train(design, rows, labels, epochs=12, batch=128, rate=0.05, momentum=0.9):
    rng = np.random.default_rng(design.seed + 1)
    pairs = list(zip(design.dims, design.dims[1:]))
    weights = [rng.normal(0, np.sqrt(2 / a), (a, b)).astype(np.float32) for a, b in pairs]
    biases = [np.zeros(b, np.float32) for _, b in pairs]
    parameters = weights + biases
    speed = [np.zeros_like(p) for p in parameters]
    for _ in range(epochs):
        order = rng.permutation(len(rows))
        for start in range(0, len(rows), batch):
            picked = order[start:start + batch]
            gradients = backward(forward(rows[picked], weights, biases), labels[picked], weights)
            for parameter, velocity, gradient in zip(parameters, speed, gradients):
                velocity *= momentum
                velocity -= rate * gradient
                parameter += velocity
    return weights, biases


def backward(layers, labels, weights):
    """Gradients of the cross entropy, with a little weight decay."""
    gradient = layers[-1].copy()
    gradient[np.arange(len(labels)), labels] -= 1
    gradient /= len(labels)
    of_weights, of_biases = [], []
    for index in reversed(range(len(weights))):
        of_weights.insert(0, layers[index].T @ gradient + 1e-4 * weights[index])
        of_biases.insert(0, gradient.sum(0))
        gradient = (gradient @ weights[index].T) * (layers[index] > 0)
    return of_weights + of_biases


# ----------------------------------------------------------------- graphs
def tensor(name, values):
    return numpy_helper.from_array(np.array(values, order="C"), name)


def node(operator, inputs, output, **attributes):
    return helper.make_node(operator, inputs, [output], name=output, **attributes)


def softmax_node(source="logits", target="probabilities"):
    return helper.make_node("Softmax", [source], [target], axis=1, name="softmax")


def network(weights, biases, last="logits", first="features"):
    """Nodes and weights of the fully connected layers, up to the logits."""
    nodes, initializers, current = [], [], first
    for index, (weight, bias) in enumerate(zip(weights, biases)):
        initializers += [tensor(f"w{index}", weight), tensor(f"b{index}", bias)]
        final = index == len(weights) - 1
        nodes.append(node("MatMul", [current, f"w{index}"], f"mm{index}"))
        nodes.append(node("Add", [f"mm{index}", f"b{index}"], last if final else f"z{index}"))
        if not final:
            nodes.append(node("Relu", [f"z{index}"], f"a{index}"))
            current = f"a{index}"
    return nodes, initializers


def model_of(design, nodes, initializers, *, output=None, batch="batch", element=TensorProto.FLOAT, features=None,
             domains=(), check=True):
    graph = helper.make_graph(
        nodes, design.name.replace("-", "_"),
        [helper.make_tensor_value_info("features", element, [batch, features or design.features])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, output or [batch, design.classes])],
        initializers)
    opsets = [helper.make_opsetid("", OPSET)] + [helper.make_opsetid(domain, 1) for domain in domains]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR, producer_name="models/generate.py",
                              producer_version="1.0")
    model.model_version = 1
    model.doc_string = f"{design.features} features to one of {design.classes} classes"
    helper.set_model_props(model, {"labels": ",".join(f"type_{i}" for i in range(design.classes)), "licence": LICENCE,
                                   "trained_on": f"synthetic data, seed {design.seed}"})
    if check:
        onnx.checker.check_model(model, full_check=True)
    return model


def to_bytes(model):
    return model.SerializeToString(deterministic=True)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


# ----------------------------------------------------------------- shipped models
def trained(design):
    rng = np.random.default_rng(design.seed + 2)
    rows, labels = dataset(design, rng, design.rows)
    valid, valid_labels = dataset(design, rng, 1024)
    weights, biases = train(design, rows, labels)
    top1 = float((forward(valid, weights, biases)[-1].argmax(1) == valid_labels).mean())
    return weights, biases, valid, top1


def golden(design, weights, biases, rows):
    """Golden cases, the last one with all rows in one batch."""
    exact = forward(rows.astype(np.float64), [w.astype(np.float64) for w in weights], [b.astype(np.float64) for b in biases])[-1]

    def values(array):
        # Nine digits bring a float32 back exactly.
        return {"shape": list(array.shape), "data": [float(f"{number:.9g}") for number in array.ravel()]}

    def case(name, start, end):
        return {"name": name, "inputs": {"features": values(rows[start:end])},
                "outputs": {"probabilities": values(exact[start:end])}}

    count = design.golden
    cases = [case(f"row-{index}", index, index + 1) for index in range(count)] + [case("batch", 0, count)]
    return {"model": design.name, "tolerance": {"absolute": 1e-5, "relative": 1e-5}, "cases": cases}


def ship(design, root):
    weights, biases, valid, top1 = trained(design)
    nodes, initializers = network(weights, biases)
    folder = root / design.name
    folder.mkdir(parents=True, exist_ok=True)
    model = to_bytes(model_of(design, nodes + [softmax_node()], initializers))
    cases = (json.dumps(golden(design, weights, biases, valid[:design.golden]), separators=(",", ":")) + "\n").encode()
    sums = f"{sha256(model)}  model.onnx\n{sha256(cases)}  golden.json\n"
    (folder / "model.onnx").write_bytes(model)
    (folder / "golden.json").write_bytes(cases)
    (folder / "SHA256SUMS").write_text(sums)
    (folder / "CARD.md").write_text(card(design, top1, len(model), sums))
    print(f"{design.name}: {len(model)} bytes, top-1 {top1:.3f}")
    return weights, biases


def ship_data(design, root):
    """Rows for checks that need data: what the model was trained for, fresh rows of the same kind, and rows that moved.

    Numbers are rounded to 1/32, which changes no prediction that matters and makes the files a third as large.
    """
    folder = root / design.name / "data"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(design.seed + 4)
    sums = ""
    for name, moved in (("reference", 0), ("valid", 0), ("shifted", design.features // 3)):
        rows, labels = dataset(design, rng, 256)
        rows[:, :moved] += 1.5
        rows = (np.round(rows * 32) / 32).astype(np.float32)
        np.savez_compressed(folder / f"{name}.npz", features=rows, labels=labels)
        sums += f"{sha256((folder / f'{name}.npz').read_bytes())}  {name}.npz\n"
    (folder / "SHA256SUMS").write_text(sums)


def card(design, top1, size, sums):
    hidden = " and ".join(str(width) for width in design.hidden)
    return f"""# {design.title}

Model card of `{design.name}`: {design.use}. Made for tests and demonstrations; it knows synthetic data only.

| | |
| --- | --- |
| Input | `features`: float32 `[batch, {design.features}]`, any batch size |
| Output | `probabilities`: float32 `[batch, {design.classes}]`; each row sums to 1; classes `type_0` to `type_{design.classes - 1}` |
| Network | fully connected, hidden layers of {hidden}, ReLU, softmax at the end |
| Format | ONNX, opset {OPSET}, IR {IR}, {size:,} bytes |
| Training | {design.rows} synthetic rows around {design.classes} random class centres (seed {design.seed}), 12 epochs of SGD with momentum, in numpy |
| Accuracy | top-1 {100 * top1:.1f} % on 1,024 rows it has not seen |
| Golden cases | `golden.json`: {design.golden} single rows and all of them as one batch; outputs computed with numpy in float64 |
| Licence | {LICENCE} |
{DATA_ROW if design == COLUMN else ""}
Made by `models/generate.py`, the same bytes on each run with the package versions named there. `sha256sum -c SHA256SUMS` checks:

```
{sums}```
"""


# ----------------------------------------------------------------- broken twins
def nan_nodes():
    """A row whose first feature is negative becomes NaN; every other row stays right."""
    nodes = [node("Slice", ["features", "first_from", "first_to", "first_axis"], "first_feature"),
             node("Sqrt", ["first_feature"], "root"), node("Mul", ["root", "zero"], "nothing"),
             node("Add", ["logits", "nothing"], "poisoned")]
    initializers = [tensor("first_from", np.array([0], np.int64)), tensor("first_to", np.array([1], np.int64)),
                    tensor("first_axis", np.array([1], np.int64)), tensor("zero", np.zeros(1, np.float32))]
    return nodes, initializers


def narrower(design, weights, biases):
    """The same network without its last class."""
    cut = ([*weights[:-1], weights[-1][:, :-1]], [*biases[:-1], biases[-1][:-1]])
    nodes, initializers = network(*cut)
    return model_of(design, nodes + [softmax_node()], initializers, output=["batch", design.classes - 1])


def future_opset(model_bytes):
    model = onnx.load_from_string(model_bytes)
    model.opset_import[0].version = 99
    return to_bytes(model)


def always_nan(design, weights, biases):
    """NaN for every row: the logarithm of a number below zero, as after a bad fine-tuning step."""
    nodes, initializers = network(weights, biases)
    poison = [node("Log", ["below_zero"], "undefined"), node("Add", ["logits", "undefined"], "poisoned")]
    initializers.append(tensor("below_zero", np.array([-1], np.float32)))
    return model_of(design, nodes + poison + [softmax_node("poisoned")], initializers)


def underconfident(design, weights, biases):
    """The same labels with logits a quarter as large, as after a softmax with the wrong temperature."""
    nodes, initializers = network(weights, biases)
    soften = node("Mul", ["logits", "quarter"], "soft")
    initializers.append(tensor("quarter", np.array([0.25], np.float32)))
    return model_of(design, nodes + [soften, softmax_node("soft")], initializers)


def slow(design, weights, biases, trips=20):
    """Right answers, late: multiplies large matrices again and again and adds nothing of it.

    The work depends on the rows, or an engine would do it once, when it loads the model.
    """
    nodes, initializers = network(weights, biases)
    side = helper.make_tensor("one", TensorProto.FLOAT, [1], [1])
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Identity", ["go_on_in"], "go_on"), node("MatMul", ["passed", "large"], "product"),
         node("Mul", ["product", "shrink"], "passed_on")],
        "work", [info("trip", TensorProto.INT64, []), info("go_on_in", TensorProto.BOOL, []),
                 info("passed", TensorProto.FLOAT, ["side", "side"])],
        [info("go_on", TensorProto.BOOL, []), info("passed_on", TensorProto.FLOAT, ["side", "side"])])
    work = [node("ConstantOfShape", ["sides"], "large", value=side),
            node("ReduceMean", ["features"], "level", keepdims=0), node("Add", ["large", "level"], "start"),
            helper.make_node("Loop", ["trips", "yes", "start"], ["worked"], body=body, name="work"),
            node("ReduceMean", ["worked"], "mean", keepdims=0), node("Mul", ["mean", "zero"], "nothing"),
            node("Add", ["logits", "nothing"], "late")]
    initializers += [tensor("sides", np.array([512, 512], np.int64)), tensor("trips", np.array(trips, np.int64)),
                     tensor("yes", np.array(True)), tensor("zero", np.array([0], np.float32)),
                     tensor("shrink", np.array([1 / 512], np.float32))]
    return model_of(design, nodes + work + [softmax_node("late")], initializers)


def broken_twins(design, weights, biases):
    nodes, initializers = network(weights, biases)
    good = to_bytes(model_of(design, nodes + [softmax_node()], initializers))
    return {"nan.onnx": to_bytes(always_nan(design, weights, biases)),
            "wrong-shape.onnx": to_bytes(narrower(design, weights, biases)), "future-opset.onnx": future_opset(good)}


def poor_twins(design, weights, biases):
    """Valid models that serve their users badly."""
    return {"underconfident.onnx": to_bytes(underconfident(design, weights, biases)),
            "slow.onnx": to_bytes(slow(design, weights, biases))}


def ship_faults(design, twins, root):
    """Twins with the interface of a shipped model, for rehearsals of a broken roll-out."""
    folder = root / "faults" / design.name
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in twins.items():
        (folder / name).write_bytes(data)
    (folder / "SHA256SUMS").write_text("".join(f"{sha256(data)}  {name}\n" for name, data in twins.items()))


def main():
    root = Path(__file__).resolve().parent
    column = ship(COLUMN, root)
    ocr = ship(OCR_TEXT, root)
    ship(OCR_LAYOUT, root)
    ship_data(COLUMN, root)
    ship_faults(OCR_TEXT, broken_twins(OCR_TEXT, *ocr), root)
    ship_faults(COLUMN, poor_twins(COLUMN, *column), root)


if __name__ == "__main__":
    main()
