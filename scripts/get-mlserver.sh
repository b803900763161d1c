#!/bin/sh
# Brings MLServer and Python's onnxruntime into .mlserver/, where the tests of live inference find them.
# Optional: without them those tests say that they were skipped. Whatever goes wrong, this script says so
# and ends with 0, so that it never stops a set-up.
#
# Usage: sh scripts/get-mlserver.sh [FOLDER]   (a relative folder is taken from the root of the project)

set -u

MLSERVER_VERSION=1.7.1
ONNXRUNTIME_VERSION=1.32.0

say() {
    printf 'mlserver: %s\n' "$1"
}

without() {
    say "$1; the tests against a real model server are skipped"
    exit 0
}

cd "$(dirname "$0")/.." || exit 0
folder=${1:-.mlserver}

if [ -x "$folder/bin/mlserver" ] && "$folder/bin/python" -c 'import mlserver, onnxruntime' 2>/dev/null; then
    say "$folder is ready"
    exit 0
fi
command -v python3 >/dev/null 2>&1 || without 'there is no python3'
python3 -m venv "$folder" || without 'no virtual environment could be made'
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 60 \
    "mlserver==$MLSERVER_VERSION" "onnxruntime==$ONNXRUNTIME_VERSION" || without 'pip could not install it'
say "$folder is ready"
