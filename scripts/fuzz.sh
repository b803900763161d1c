#!/bin/sh
# Searches for inputs that make a reader of foreign text panic, hang or break its promise.
#
#   scripts/fuzz.sh [SECONDS] [TARGET...]     600 seconds for each target of fuzz/fuzz_targets by default
#
# Needs cargo-fuzz (`cargo install cargo-fuzz --locked`). Starts from fuzz/corpus/TARGET.tar.gz, which is kept in the
# repository, and from the shipped playbooks and models; packs what reaches new code, without what adds nothing, again.
# An input that breaks something is left in fuzz/artifacts.
set -eu
cd "$(dirname "$0")/.."

seconds=${1:-600}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- $(basename -s .rs fuzz/fuzz_targets/*.rs)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

seed() { # seed TARGET FILE...
  folder=$work/$1
  shift
  for file in "$@"; do
    # Larger ones only slow the search down.
    [ "$(wc -c <"$file")" -gt 65536 ] || cp "$file" "$folder/$(echo "$file" | tr / -)"
  done
}

# No sanitizer: the program has no unsafe code, and panics, hangs and memory are seen without one, on stable Rust.
search() { # search TARGET FOLDER OPTION...: what is new comes into the folder
  target=$1
  folder=$2
  shift 2
  cargo fuzz run --sanitizer none "$target" "$folder" "$work/$target" -- -rss_limit_mb=2048 -max_len=65536 "$@"
}

for target in "$@"; do
  mkdir -p "$work/$target" "$work/found" "$work/kept" fuzz/corpus
  case $target in
  playbook) seed playbook $(git ls-files 'playbooks/*.yaml' 'examples/*.yaml') ;;
  model_file) seed model_file $(git ls-files '*.onnx') ;;
  webhook) seed webhook $(git ls-files 'tests/it/serve/fixtures/*') ;;
  esac
  [ ! -f "fuzz/corpus/$target.tar.gz" ] || tar -xzf "fuzz/corpus/$target.tar.gz" -C "$work/$target"
  # Ten seconds for one input is hanging, on any machine.
  search "$target" "$work/found" -max_total_time="$seconds" -timeout=10 -print_final_stats=1
  find "$work/found" -type f -exec mv -t "$work/$target" {} +
  # The repository holds every version of the archives: without inputs over 8 KiB each stays near one megabyte.
  find "$work/$target" -type f -size +8192c -delete
  search "$target" "$work/kept" -merge=1
  # The same bytes for the same inputs.
  tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$work/kept" -cf - . | gzip -n9 >"fuzz/corpus/$target.tar.gz"
  rm -rf "$work/found" "$work/kept"
done
