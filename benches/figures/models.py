"""Does with Python's onnxruntime what models.rs times: models.py MODEL CASES RUNS, then one word a line on stdin."""

import json
import sys
import time

import numpy
import onnxruntime

MODEL, CASES, RUNS = sys.argv[1], sys.argv[2], int(sys.argv[3])


def session():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])


def array(values):
    return numpy.array(values["data"], dtype=numpy.float32).reshape(values["shape"])


def golden():
    model = session()
    with open(CASES, encoding="utf-8") as file:
        case = json.load(file)["cases"][0]
    (answers,) = model.run(None, {"features": array(case["inputs"]["features"])})
    expected = array(case["outputs"]["probabilities"])
    return numpy.allclose(answers, expected, rtol=1e-5, atol=1e-5)


def latency():
    model = session()
    row = {"features": numpy.full((1, 376), 0.5, dtype=numpy.float32)}
    times = []
    for turn in range(RUNS + 10):
        started = time.perf_counter()
        model.run(None, row)
        if turn >= 10:
            times.append(time.perf_counter() - started)
    return numpy.percentile(times, 99) > 0


def main():
    print("ready", flush=True)
    for line in sys.stdin:
        work = {"golden": golden, "latency": latency}[line.strip()]
        print("done" if work() else "wrong", flush=True)


main()
