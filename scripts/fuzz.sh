#!/bin/sh
# Searches for inputs that make a reader of foreign text panic, hang or break its promise.
#
#   scripts/fuzz.sh [SECONDS] [TARGET...]     600 seconds for each target of fuzz/fuzz_targets by default
#
# Needs cargo-fuzz (`cargo install cargo-fuzz --locked`). Starts from fuzz/corpus, which is
# kept in the repository, and from the shipped playbooks and models; adds what reaches new code to fuzz/corpus.
# An input that breaks something is left in fuzz/artifacts.
set -eu
cd "$(dirname "$0")/.."

seconds=${1:-600}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- $(basename -s .rs fuzz/fuzz_targets/*.rs)

seeds=$(mktemp -d)
trap 'rm -rf "$seeds"' EXIT
mkdir "$seeds/playbook" "$seeds/model_file"
for file in $(git ls-files 'playbooks/*.yaml' 'examples/*.yaml'); do
  cp "$file" "$seeds/playbook/$(echo "$file" | tr / -)"
done
for file in $(git ls-files '*.onnx'); do
  # Larger files only slow the search down.
  [ "$(wc -c <"$file")" -gt 65536 ] || cp "$file" "$seeds/model_file/$(echo "$file" | tr / -)"
done

for target in "$@"; do
  mkdir -p "fuzz/corpus/$target" "$seeds/$target"
  # No sanitizer: the program has no unsafe code, and panics, hangs and memory are seen without one, on stable Rust.
  cargo fuzz run --sanitizer none "$target" "fuzz/corpus/$target" "$seeds/$target" -- \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1
done
