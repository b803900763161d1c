#!/usr/bin/env python3
"""Takes every guard of `tests/guards.toml` out of the program and runs the test that must fail then.

    python scripts/check-guards.py --check-list            # the list fits the sources; builds nothing
    python scripts/check-guards.py --target FOLDER         # all of it: one build, then two runs a test
    python scripts/check-guards.py --only freeze,budget    # only these

A build for each guard would take hours, so a copy of the sources is built once in which each guard asks a file
whether it is the one that is gone. With every guard in place the named tests must pass; with one gone its tests must
fail, and a test that does not come to an end counts as failed. Needs Python 3.11 and what building needs.
"""
import argparse
import ctypes
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tests" / "guards.toml"
# A test without its guard may wait for ever: it gets this long, and beside it as long as it takes with the guard,
# three times over, because other work on the machine comes and goes.
LIMIT = 90
# A test without its guard may ask for all memory there is.
MEMORY = 8 << 30
# Of prctl(2): descendants whose parents have ended become children of this program, which can then end them.
PR_SET_CHILD_SUBREAPER = 36
ASKS = '''
/// Whether this guard is the one that is gone; only in the copy that checks the guards.
pub fn removed_guard(name: &str) -> bool {
    static REMOVED: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    REMOVED.get_or_init(|| std::fs::read_to_string(PLACE).unwrap_or_default()) == name
}
'''


@dataclass
class Place:
    """Where a guard stands: the text that occurs once in the file, and the part of it that is taken out."""
    file: str
    text: str
    start: int
    end: int
    without: str

    @staticmethod
    def of(entry):
        code = entry["code"].strip("\n")
        before, mark, rest = code.partition("«")
        taken, end_mark, after = rest.partition("»") if mark else (code, "»", "")
        if not end_mark or "«" in taken or "«" in after or "»" in after:
            raise ValueError("its marks « and » do not fit")
        if not mark:
            before = ""
        return Place(entry["file"], before + taken + after, len(before), len(before) + len(taken), entry["without"])

    def found(self):
        """Where the part stands in the file; an error unless the text is there exactly once."""
        path = ROOT / self.file
        source = path.read_text(encoding="utf-8") if path.is_file() else ""
        times = source.count(self.text)
        if times != 1:
            raise ValueError(f"{self.file} has its code {times} times, not once: {self.text.strip().splitlines()[0]}")
        at = source.index(self.text)
        return at + self.start, at + self.end

    def planted(self, name):
        """The part and its absence, and the question between them."""
        code = self.text[self.start:self.end]
        choice = f'if crate::base::removed_guard("{name}") {{ {self.without} }} else {{ {code} }}'
        return choice if code.rstrip().endswith(";") else f"({choice})"


@dataclass
class Guard:
    name: str
    rule: str
    places: list
    tests: list = field(default_factory=list)

    @staticmethod
    def of(entry):
        known = {"name", "rule", "file", "code", "without", "lib", "it", "also"}
        if set(entry) - known:
            raise ValueError(f"it has the unknown keys {sorted(set(entry) - known)}")
        places = [Place.of(part) for part in [entry, *entry.get("also", [])]]
        tests = [(kind, test) for kind in ("lib", "it") for test in entry.get(kind, [])]
        if not entry["rule"].strip() or not tests:
            raise ValueError("it needs a rule and a test")
        return Guard(entry["name"], entry["rule"], places, tests)


def read_list():
    """The guards, and what is wrong with the list."""
    guards, problems = [], []
    for entry in tomllib.loads(LIST.read_text(encoding="utf-8"))["guard"]:
        name = entry.get("name", "a guard without a name")
        try:
            guards.append(Guard.of(entry))
        except (KeyError, ValueError) as error:
            problems.append(f"{name}: {error}")
    names = [guard.name for guard in guards]
    problems += [f"{name}: the name is given twice" for name in sorted(set(names)) if names.count(name) > 1]
    for guard in guards:
        for place in guard.places:
            try:
                place.found()
            except ValueError as error:
                problems.append(f"{guard.name}: {error}")
        problems += [f"{guard.name}: there is no test {test}" for test in guard.tests if not exists(*test)]
    return guards, problems or overlaps(guards)


def overlaps(guards):
    """What stands at the same place of the sources, of which only one can be taken out."""
    places = sorted((place.file, *place.found(), guard.name) for guard in guards for place in guard.places)
    return [f"{name} and {other} overlap in {file}"
            for (file, _, end, name), (next_file, start, _, other) in zip(places, places[1:])
            if file == next_file and start < end]


def exists(kind, test):
    """Whether the sources have a function of this name in a file of its module."""
    *modules, name = test.split("::")
    function = re.compile(rf"\bfn {re.escape(name)}\s*\(")
    root = ROOT / ("src" if kind == "lib" else "tests/it")
    for depth in range(len(modules), 0, -1):
        path = root.joinpath(*modules[:depth])
        for file in (path.with_suffix(".rs"), path / "mod.rs"):
            if file.is_file() and function.search(file.read_text(encoding="utf-8")):
                return True
    return False


# ----------------------------------------------------------------- the copy
def copy_sources(copy):
    """Every file that git knows or would take up; one that has not changed stays as old as it is."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            cwd=ROOT, check=True, capture_output=True).stdout.decode()
    names = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    for old in [path for path in copy.rglob("*") if path.is_file() and not path.is_symlink()]:
        if str(old.relative_to(copy)) not in names and old.name != "removed-guard":
            old.unlink()
    texts = {name: (ROOT / name).read_bytes() for name in names}
    # What is installed beside the sources for some tests.
    for name in (".onnxruntime", ".models"):
        if (ROOT / name).is_dir() and not (copy / name).exists():
            (copy / name).symlink_to(ROOT / name)
    return texts


def plant(texts, guards, removed):
    """Puts the question before every guard, and its answer into the room that everybody may ask."""
    parts = {}
    for guard in guards:
        for place in guard.places:
            start, end = place.found()
            parts.setdefault(place.file, []).append((start, end, place.planted(guard.name)))
    for file, planted in parts.items():
        source = texts[file].decode()
        planted.sort(reverse=True)
        for start, end, choice in planted:
            source = source[:start] + choice + source[end:]
        texts[file] = source.encode()
    room = "src/base/mod.rs"
    texts[room] += ASKS.replace("PLACE", json.dumps(str(removed))).encode()
    # The copy is there to be built and not to be read: what is lint of it is of no interest.
    for root in ("src/lib.rs", "tests/it/main.rs"):
        texts[root] = b"#![allow(warnings)]\n" + texts[root]
    manifest = texts["Cargo.toml"].decode()
    texts["Cargo.toml"] = re.sub(r"(?ms)^\[lints\..*?(?=^\[|\Z)", "", manifest).encode()


def write_copy(copy, texts):
    for name, text in texts.items():
        path = copy / name
        if path.is_file() and path.read_bytes() == text:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
        shutil.copymode(ROOT / name, path)


def build(copy, target):
    """The test programs by their kind."""
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target), "CARGO_TERM_COLOR": "never"}
    command = ["cargo", "test", "--no-run", "--message-format=json-render-diagnostics", "--lib", "--bin", "runbook",
               "--test", "it"]
    done = subprocess.run(command, cwd=copy, env=environment, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit("the copy with the guards planted does not build; see above")
    programs = {}
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["profile"]["test"]:
            kind = {"lib": "lib", "test": "it"}.get(message["target"]["kind"][0])
            programs[kind] = message["executable"]
    return programs


# ----------------------------------------------------------------- the tests
def run(program, test, copy, limit):
    """Whether the test passes, how many seconds it took, and what it said; `None` when there is no such test."""
    environment = {**os.environ, "CARGO_MANIFEST_DIR": str(copy), "INSTA_WORKSPACE_ROOT": str(copy),
                   "INSTA_UPDATE": "no", "INSTA_FORCE_PASS": "0", "RUST_BACKTRACE": "0"}
    begun = time.monotonic()
    # An input that stays open: a program that waits for it by mistake must hang.
    child = subprocess.Popen([program, "--exact", test], cwd=copy, env=environment, start_new_session=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY)))
    try:
        said = wait(child, limit)
    finally:
        end_descendants()
        child.stdin.close()
    took = time.monotonic() - begun
    if child.returncode == 0 and "1 passed" not in said:
        return None, took, said
    return child.returncode == 0, took, said


def wait(child, limit):
    """What it said; a child that takes too long is ended."""
    said = bytearray()
    os.set_blocking(child.stdout.fileno(), False)
    deadline = time.monotonic() + limit
    while child.poll() is None and time.monotonic() < deadline:
        said += child.stdout.read() or b""
        time.sleep(0.02)
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        said += b"\n(ended: it took too long)"
    said += child.stdout.read() or b""
    child.stdout.close()
    return said.decode(errors="replace")


def end_descendants():
    """Ends whatever a test without its guard has left behind, wherever it has gone."""
    while True:
        below = descendants()
        if not below:
            return
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        time.sleep(0.01)


def descendants():
    """Everybody below this program, the dead that nobody has waited for among them."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(errors="replace")
            except OSError:
                continue
            parents[int(entry.name)] = int(stat[stat.rindex(")") + 2:].split()[1])
    found, before = {os.getpid()}, 0
    while len(found) != before:
        before = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found - {os.getpid()}


def check(guards, programs, copy, removed, verbose):
    """Prints a line a test and tells which guards are not proven."""
    passing = {}
    wrong = []
    count = 0
    for guard in guards:
        for kind, test in guard.tests:
            removed.write_text("")
            if (kind, test) not in passing:
                passing[kind, test] = run(programs[kind], test, copy, 10 * LIMIT)
            passes, with_it, said = passing[kind, test]
            verdict = "fails with every guard in place" if passes is False else "is no test"
            took = 0.0
            if passes:
                removed.write_text(guard.name)
                passes_without, took, said = run(programs[kind], test, copy, LIMIT + 3 * with_it)
                verdict = "passes without the guard" if passes_without else "fails, as it must"
            proven = verdict == "fails, as it must"
            count += proven
            print(f"{'✓' if proven else '✗'} {guard.name:<34} {kind:<3} {test:<96} {verdict} ({took:.1f} s)",
                  flush=True)
            if not proven:
                wrong.append(guard.name)
            if verbose or (not proven and passes is not True):
                print(said, flush=True)
    removed.write_text("")
    tests = sum(len(guard.tests) for guard in guards)
    print(f"{len(guards)} guards, {len({test for guard in guards for test in guard.tests})} tests: {count} of {tests} "
          f"removals made their test fail, {len(set(wrong))} guards are not proven")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check-list", action="store_true", help="only hold the list against the sources")
    parser.add_argument("--copy", type=Path, default=Path("/tmp/runbook-guards"), help="where the copy is made")
    parser.add_argument("--target", type=Path, help="the folder of the build; default: below the copy's")
    parser.add_argument("--only", help="names of guards, separated by commas")
    parser.add_argument("--verbose", action="store_true", help="show what the tests say")
    arguments = parser.parse_args()
    guards, problems = read_list()
    if problems:
        sys.exit("tests/guards.toml does not fit the sources:\n  " + "\n  ".join(problems))
    if arguments.check_list:
        print(f"{len(guards)} guards, each where the list says, each with its test")
        return
    copy = arguments.copy.resolve() / "sources"
    copy.mkdir(parents=True, exist_ok=True)
    removed = copy.parent / "removed-guard"
    removed.write_text("")
    texts = copy_sources(copy)
    plant(texts, guards, removed)
    write_copy(copy, texts)
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    programs = build(copy, (arguments.target or copy.parent / "target").resolve())
    wanted = arguments.only.split(",") if arguments.only else [guard.name for guard in guards]
    unknown = set(wanted) - {guard.name for guard in guards}
    if unknown:
        sys.exit(f"there is no guard {', '.join(sorted(unknown))}")
    if check([guard for guard in guards if guard.name in wanted], programs, copy, removed, arguments.verbose):
        sys.exit(1)


if __name__ == "__main__":
    main()
