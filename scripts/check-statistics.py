#!/usr/bin/env python3
"""Compares the statistics of `src/statistics` and the golden rule with numpy, scipy, scikit-learn and polygraphy.

    pip install -r scripts/proofs.txt
    python scripts/check-statistics.py --random              # fresh random data; exit code 1 on a difference
    python scripts/check-statistics.py --random SEED         # the same data again
    python scripts/check-statistics.py --write               # writes src/statistics/reference.json anew

A case is a function, its arguments and its value. The reference holds values that were computed here, so that
`cargo test` needs no Python. Random cases are computed by a test, which this script runs with the variable
RUNBOOK_STATISTICS_CASES, and judged here.
"""
import collections
import json
import os
import secrets
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from scipy import special, stats
from polygraphy.comparator import IterationResult, SimpleCompareFunc
from polygraphy.logger import G_LOGGER
from sklearn import calibration as sklearn_calibration
from sklearn import metrics

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "src" / "statistics" / "reference.json"
TOLERANCE = 1e-9
# Of each function; with them every branch is met many times and the whole takes seconds.
RANDOM_CASES = 100


def least_squares(x, y, confidence):
    line = stats.linregress(x, y)
    half = stats.t.ppf((1 + confidence) / 2, len(x) - 2) * line.stderr
    return [line.slope, line.intercept, line.stderr, line.slope - half, line.slope + half]


def confusion(labels, predictions, classes):
    names = list(range(classes))
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(labels, predictions, labels=names, zero_division=0)
    return {"accuracy": metrics.accuracy_score(labels, predictions), "precision": precision, "recall": recall, "f1": f1,
            "macro_f1": metrics.f1_score(labels, predictions, average="macro", zero_division=0),
            "counts": metrics.confusion_matrix(labels, predictions, labels=names)}


def wilson_interval(hits, total, confidence):
    interval = stats.binomtest(hits, total).proportion_ci(confidence, method="wilson")
    return [interval.low, interval.high]


def calibration(confidences, correct, bins):
    """Means by scikit-learn's curve; the weights, which it does not tell, by digitizing."""
    accuracy, confidence = sklearn_calibration.calibration_curve(correct, confidences, n_bins=bins)
    counts = np.bincount(np.digitize(confidences, np.arange(1, bins) / bins, right=True), minlength=bins)
    gaps = np.abs(accuracy - confidence)
    return {"expected_error": np.average(gaps, weights=counts[counts > 0]), "maximum_error": gaps.max(),
            "confidence": confidence, "accuracy": accuracy}


def brier_score(probabilities, labels):
    return metrics.brier_score_loss(labels, probabilities, scale_by_half=False, labels=list(range(len(probabilities[0]))))


def psi(reference, current, bins):
    """No library has it; this is the definition in numpy's words, relative entropy both ways."""
    cuts = np.unique(np.quantile(reference, np.arange(1, bins) / bins)) if bins > 1 else np.array([])
    shares = [np.maximum(np.bincount(np.digitize(rows, cuts, right=True), minlength=len(cuts) + 1) / len(rows), 1e-4)
              for rows in (reference, current)]
    return special.rel_entr(shares[1], shares[0]).sum() + special.rel_entr(shares[0], shares[1]).sum()


def psi_limit(n, m, bins, limit, alpha):
    noise = stats.chi2.mean(bins - 1) * (1 / n + 1 / m)
    return [noise, max(limit + noise, stats.chi2.ppf(1 - alpha, bins - 1) * (1 / n + 1 / m))]


def kolmogorov_smirnov(left, right):
    statistic = stats.ks_2samp(left, right, method="asymp").statistic
    return [statistic, special.kolmogorov(statistic * np.sqrt(len(left) * len(right) / (len(left) + len(right))))]


def golden_rule(expected, actual, tolerance):
    """The verdict is numpy's rule. Polygraphy's lets a number pass by either tolerance, which is the same rule when one
    of them is zero; there it must agree as well. The errors are polygraphy's."""
    want, got = (np.array(part["data"]).reshape(part["shape"]) for part in (expected, actual))
    atol, rtol = tolerance["absolute"], tolerance["relative"]
    match = bool(np.isclose(got, want, rtol=rtol, atol=atol).all())
    judge = SimpleCompareFunc(atol=atol, rtol=rtol, check_error_stat="elemwise")
    result = judge(*(IterationResult(collections.OrderedDict(y=part)) for part in (got, want)))["y"]
    if 0 in (atol, rtol) and bool(result) != match:
        sys.exit(f"check-statistics: numpy and polygraphy differ about atol={atol}, rtol={rtol}")
    return {"match": int(match), "max_absolute_error": result.max_absdiff, "max_relative_error": result.max_reldiff,
            "label_flips": int((got.argmax(-1) != want.argmax(-1)).sum())}


FUNCTIONS = {
    "mean": lambda values: np.mean(values),
    "standard_deviation": lambda values: np.std(values, ddof=1),
    "quantile": lambda values, p: np.quantile(values, p, method="linear"),
    "histogram": lambda values, bins: np.histogram(values, bins)[0],
    "least_squares": least_squares,
    "confusion": confusion,
    "wilson_interval": wilson_interval,
    "calibration": calibration,
    "brier_score": brier_score,
    "psi": psi,
    "psi_limit": psi_limit,
    "kolmogorov_smirnov": kolmogorov_smirnov,
    "bonferroni": lambda p_values: np.minimum(np.array(p_values) * len(p_values), 1),
    "false_discovery": lambda p_values: stats.false_discovery_control(p_values, method="bh"),
    "entropy": lambda shares: stats.entropy(shares),
    "evenness": lambda shares: stats.entropy(shares, base=len(shares)),
    "class_shares": lambda predictions, classes: np.bincount(predictions, minlength=classes) / len(predictions),
    "share_index": lambda reference, current: special.rel_entr(current, reference).sum() + special.rel_entr(reference, current).sum(),
    "argmax": lambda values: np.argmax(values),
    "disagreements": lambda left, right: round(metrics.zero_one_loss(left, right, normalize=False)),
    "golden_rule": golden_rule,
}


# ----------------------------------------------------------------- cases for the reference
def drawn(function, rng, most=60):
    """Arguments of one case with samples below `most`; half of the samples repeat values."""
    n, m = (int(number) for number in rng.integers(8, most, 2))

    def sample(count, scale=1.0):
        values = rng.normal(rng.normal(), scale, count)
        return (np.round(values, 1) if rng.random() < 0.5 else np.round(values, 6)).tolist()

    def shares(count):
        return rng.dirichlet(np.ones(count)).round(9)

    def classes(count, among):
        return rng.integers(0, among, count).tolist()

    if function in ("mean", "standard_deviation"):
        return {"values": sample(n, 1e3)}
    if function == "quantile":
        return {"values": sample(n), "p": float(rng.choice([0, 0.05, 0.5, 0.9, 0.95, 0.99, 1, rng.random()]))}
    if function == "histogram":
        return {"values": sample(n), "bins": int(rng.integers(1, 15))}
    if function == "least_squares":
        return {"x": list(range(n)), "y": (np.array(sample(n, 10)) + 1e6 + 0.3 * np.arange(n)).tolist(), "confidence": 0.95}
    if function == "confusion":
        return {"labels": classes(n, 5), "predictions": classes(n, 5), "classes": 6}
    if function == "wilson_interval":
        return {"hits": int(rng.integers(0, n + 1)), "total": n, "confidence": float(rng.choice([0.9, 0.95, 0.99]))}
    if function == "calibration":
        return {"confidences": rng.random(n).round(6).tolist(), "correct": classes(n, 2), "bins": int(rng.choice([5, 10, 15]))}
    if function == "brier_score":
        rows = [shares(4) for _ in range(n)]
        return {"probabilities": [(row / row.sum()).tolist() for row in rows], "labels": list(range(4)) + classes(n - 4, 4)}
    if function == "psi":
        return {"reference": sample(n), "current": sample(m), "bins": int(rng.integers(2, 12))}
    if function == "psi_limit":
        return {"n": n, "m": m * 20, "bins": int(rng.integers(2, 21)), "limit": 0.25, "alpha": float(rng.choice([0.05, 1e-3, 1e-5]))}
    if function == "kolmogorov_smirnov":
        return {"left": sample(n), "right": sample(m)}
    if function in ("bonferroni", "false_discovery"):
        return {"p_values": (rng.random(n) ** 3).round(9).tolist()}
    if function in ("entropy", "evenness"):
        return {"shares": (lambda row: (row / row.sum()).tolist())(shares(n))}
    if function == "class_shares":
        return {"predictions": classes(n, 5), "classes": 6}
    if function == "share_index":
        rows = [np.maximum(rng.dirichlet(np.ones(n)), 1e-4) for _ in range(2)]
        return {"reference": rows[0], "current": rows[1]}
    if function == "argmax":
        return {"values": sample(n)}
    if function == "disagreements":
        return {"left": classes(n, 4), "right": classes(n, 4)}
    if function == "golden_rule":
        return drawn_answers(rng, (m % 9 + 1, n % 7 + 2))
    raise KeyError(function)


def drawn_answers(rng, shape):
    """An answer off the golden one by about the tolerance, so that half of them pass."""
    tolerance = dict(zip(("absolute", "relative"), rng.permutation([0, 10 ** rng.uniform(-6, -1)])))
    if rng.random() < 0.5:
        tolerance = {"absolute": 10 ** rng.uniform(-6, -1), "relative": 10 ** rng.uniform(-6, -1)}
    expected = rng.normal(0, 3, shape)
    room = tolerance["absolute"] + tolerance["relative"] * np.abs(expected)
    actual = expected + room * rng.uniform(-1, 1, shape) * rng.choice([0.9, 1.1])
    return {"expected": {"shape": shape, "data": expected.ravel()}, "actual": {"shape": shape, "data": actual.ravel()},
            "tolerance": tolerance}


def plain(value):
    """Numpy's types as JSON's."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(part) for part in value]
    return int(value) if isinstance(value, (int, np.integer)) else float(value)


def write():
    rng = np.random.default_rng(20240607)
    cases = []
    for function in FUNCTIONS:
        for _ in range(8):
            arguments = plain(drawn(function, rng))
            cases.append({"function": function, "arguments": arguments, "value": plain(FUNCTIONS[function](**arguments))})
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    REFERENCE.write_text(f"[\n{lines}\n]\n")
    print(f"{REFERENCE.name}: {len(cases)} cases")


# ----------------------------------------------------------------- comparison
def distance(ours, theirs):
    """The largest difference, relative to numbers above 1."""
    if isinstance(theirs, dict):
        return max(distance(ours[name], theirs[name]) for name in theirs) if ours.keys() == theirs.keys() else np.inf
    if isinstance(theirs, list):
        pairs = zip(ours, theirs) if len(ours) == len(theirs) else [(np.inf, 0)]
        return max((distance(*pair) for pair in pairs), default=0.0)
    return abs(ours - theirs) / max(1.0, abs(theirs))


def numbers_in(value):
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 1 if parts is None else sum(map(numbers_in, parts))


def computed(cases):
    """The cases with the values of the test in `tests/it/statistics.rs`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cases.json"
        path.write_text(json.dumps(cases))
        command = ["cargo", "test", "--quiet", "--test", "it", "statistics::random_cases"]
        done = subprocess.run(command, cwd=ROOT, env=dict(os.environ, RUNBOOK_STATISTICS_CASES=str(path)))
        answers = path.with_suffix(".answers.json")
        if done.returncode != 0 or not answers.exists():
            sys.exit("check-statistics: the test did not compute the cases")
        return json.loads(answers.read_text())


def compare(seed):
    print(f"seed {seed}: `python scripts/check-statistics.py --random {seed}` draws the same data again", flush=True)
    rng = np.random.default_rng(seed)
    cases = [{"function": function, "arguments": plain(drawn(function, rng, most=400))}
             for function in FUNCTIONS for _ in range(RANDOM_CASES)]
    worst, numbers = {}, 0
    for case in computed(cases):
        function, value = case["function"], plain(FUNCTIONS[case["function"]](**case["arguments"]))
        worst[function] = max(worst.get(function, 0.0), distance(case["value"], value))
        numbers += numbers_in(value)
    for function, largest in worst.items():
        print(f"{function:<20} largest difference {largest:.1e}{'' if largest <= TOLERANCE else '   TOO LARGE'}")
    print(f"{len(worst)} statistics, {len(cases)} random cases, {numbers} numbers; "
          f"largest difference {max(worst.values()):.1e}, at most {TOLERANCE:.0e} is allowed")
    return 1 if worst.keys() != FUNCTIONS.keys() or max(worst.values()) > TOLERANCE else 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    G_LOGGER.module_severity = G_LOGGER.CRITICAL
    match sys.argv[1:]:
        case ["--write"]:
            write()
        case ["--random"]:
            sys.exit(compare(secrets.randbelow(2**32)))
        case ["--random", seed]:
            sys.exit(compare(int(seed)))
        case _:
            sys.exit(__doc__)
