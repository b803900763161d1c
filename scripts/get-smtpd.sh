#!/bin/sh
# Brings aiosmtpd, a mail server in Python, into .smtpd/, where the test of mails finds it.
# Optional: without it that test says that it was skipped. Whatever goes wrong, this script says so
# and ends with 0, so that it never stops a set-up.
#
# Usage: sh scripts/get-smtpd.sh

set -u

AIOSMTPD_VERSION=1.4.6

say() {
    printf 'smtpd: %s\n' "$1"
}

without() {
    say "$1; the test against a real mail server is skipped"
    exit 0
}

cd "$(dirname "$0")/.." || exit 0

if .smtpd/bin/python -c 'import aiosmtpd' 2>/dev/null; then
    say '.smtpd is ready'
    exit 0
fi
command -v python3 >/dev/null 2>&1 || without 'there is no python3'
python3 -m venv .smtpd || without 'no virtual environment could be made'
.smtpd/bin/python -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 60 \
    "aiosmtpd==$AIOSMTPD_VERSION" || without 'pip could not install it'
say '.smtpd is ready'
