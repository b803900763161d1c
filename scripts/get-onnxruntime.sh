#!/bin/sh
# Brings the shared library of ONNX Runtime into .onnxruntime/, where `runbook` finds it. Optional: without
# it the embedded engine judges models. Whatever goes wrong, this script says so and ends with 0, so that
# it never stops a set-up.
#
# The library comes out of the Python wheel or, where there is no Python, out of the npm package, from
# whichever index pip or npm is set up to use. Both are pinned by version and by the SHA-256 of the library.
#
# Usage: sh scripts/get-onnxruntime.sh [FOLDER]   (a relative folder is taken from the root of the project)

set -u

WHEEL_VERSION=1.31.1
WHEEL_X86_64=fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3
WHEEL_AARCH64=8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467
NPM_VERSION=1.30.0
NPM_X64=ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23
NPM_ARM64=1f549d46250b005580b597f4164984aaf75b3bcb9f3aeb07c7f8a8fe60b23c76

say() {
    printf 'onnxruntime: %s\n' "$1"
}

# Ends without a library; the embedded engine serves.
without() {
    say "$1; models are judged by the embedded engine"
    exit 0
}

sha256_of() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum "$1" | cut -d' ' -f1
    else
        shasum -a 256 "$1" | cut -d' ' -f1
    fi
}

# keep FILE SHA256 WHERE-FROM: puts a file in its place if it is the pinned one.
keep() {
    [ -s "$1" ] || return 1
    if [ "$(sha256_of "$1")" != "$2" ]; then
        say "the library of $3 is not the pinned one and was thrown away"
        return 1
    fi
    mkdir -p "$folder" || return 1
    # Others may read it and nobody else may change it: loading it runs its code.
    chmod 644 "$1" && mv "$1" "$target" || return 1
    say "$target is ready (from $3); \`runbook doctor\` shows it"
    exit 0
}

from_pip() {
    for python in python3 python; do
        "$python" -m pip --version >/dev/null 2>&1 || continue
        say "asking pip for version $WHEEL_VERSION"
        # The library is the same in the wheels of every Python, so that one wheel serves all of them.
        "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
            --retries 1 --timeout 30 --implementation cp --python-version 3.13 --abi cp313 \
            --platform "manylinux_2_28_$machine" --dest "$work" "onnxruntime==$WHEEL_VERSION" || return 1
        "$python" - "$work" <<'PYTHON' || return 1
import glob, shutil, sys, zipfile
work = sys.argv[1]
with zipfile.ZipFile(glob.glob(work + "/onnxruntime-*.whl")[0]) as wheel:
    name = next(name for name in wheel.namelist() if "capi/libonnxruntime.so." in name)
    with wheel.open(name) as source, open(work + "/library", "wb") as target:
        shutil.copyfileobj(source, target)
PYTHON
        keep "$work/library" "$wheel_sha256" "the wheel $WHEEL_VERSION"
        return 1
    done
    return 1
}

from_npm() {
    command -v npm >/dev/null 2>&1 || return 1
    say "asking npm for version $NPM_VERSION"
    # Not `npm install`: its set-up step fetches other files from elsewhere.
    (cd "$work" && npm pack --silent --fetch-retries=1 "onnxruntime-node@$NPM_VERSION" >/dev/null) || return 1
    tar -xzOf "$work/onnxruntime-node-$NPM_VERSION.tgz" \
        "package/bin/napi-v6/linux/$npm_machine/libonnxruntime.so.1" >"$work/library" || return 1
    keep "$work/library" "$npm_sha256" "the npm package $NPM_VERSION"
    return 1
}

cd "$(dirname "$0")/.." || without "the folder of this project cannot be entered"
folder=${1:-.onnxruntime}
target=$folder/libonnxruntime.so

[ "$(uname -s)" = Linux ] || without "there is no pinned library for $(uname -s)"
machine=$(uname -m)
case $machine in
    x86_64) npm_machine=x64 wheel_sha256=$WHEEL_X86_64 npm_sha256=$NPM_X64 ;;
    aarch64 | arm64) machine=aarch64 npm_machine=arm64 wheel_sha256=$WHEEL_AARCH64 npm_sha256=$NPM_ARM64 ;;
    *) without "there is no pinned library for $machine" ;;
esac
if ldd --version 2>&1 | grep -qi musl; then
    without "the pinned library needs glibc, and this system has musl"
fi
command -v sha256sum >/dev/null 2>&1 || command -v shasum >/dev/null 2>&1 || without "sha256sum is missing"

if [ -f "$target" ]; then
    case $(sha256_of "$target") in
        "$wheel_sha256" | "$npm_sha256")
            say "$target is there already"
            exit 0
            ;;
    esac
fi

work=$(mktemp -d) || without "no temporary folder can be made"
trap 'rm -rf "$work"' EXIT
trap 'exit 0' HUP INT TERM
umask 022

from_pip
from_npm
without "neither pip nor npm could bring the library"
