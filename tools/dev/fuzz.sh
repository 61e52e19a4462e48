#!/usr/bin/env bash
# fuzz.sh JOBS [TARGET] [--seconds N]: builds and runs libFuzzer targets. What is found stays under
# build/asan/fuzzing/: inputs of new behaviour in corpus/TARGET, inputs that crash in crashes/.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

jobs=$1
shift
seconds=20
targets=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --seconds)
      [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || usage_error "--seconds takes a number above 0"
      seconds=$2
      shift
      ;;
    --seconds=*)
      set -- --seconds "${1#*=}" "${@:2}"
      continue
      ;;
    -*) usage_error "fuzz knows no option '$1'" ;;
    *) targets+=("$1") ;;
  esac
  shift
done

mapfile -t known < <(find "$root/fuzz" -maxdepth 1 -name '*.cc' ! -name replay.cc -printf '%f\n' | sed 's/\.cc$//' | sort)
if [[ ${#targets[@]} -eq 0 ]]; then
  [[ ${#known[@]} -gt 0 ]] || fail "fuzz/ has no targets"
  targets=("${known[@]}")
  build_targets=(fuzz_targets)
else
  for target in "${targets[@]}"; do
    [[ " ${known[*]} " == *" $target "* ]] || usage_error "no fuzz target '$target'; there are: ${known[*]}"
  done
  build_targets=("${targets[@]/#/fuzz_}")
fi

say "building the fuzz targets in build/asan with $jobs jobs"
NINJA_STATUS="[%f/%t %es] " ninja -C "$root/build/asan" -j "$jobs" "${build_targets[@]}" >&2 ||
  fail "the build failed; its messages are above"

mkdir -p "$root/build/asan/fuzzing/crashes"
for target in "${targets[@]}"; do
  found=$root/build/asan/fuzzing/corpus/$target seeds=()
  mkdir -p "$found"
  if [[ -d $root/fuzz/corpus/$target ]]; then seeds=("$root/fuzz/corpus/$target"); fi
  dictionary=()
  if [[ -f $root/fuzz/$target.dict ]]; then dictionary=("-dict=$root/fuzz/$target.dict"); fi
  log=$root/build/asan/fuzzing/$target.log
  say "fuzzing $target for $seconds s"
  if "$root/build/asan/fuzz/fuzz_$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix="$root/build/asan/fuzzing/crashes/$target-" "${dictionary[@]}" "$found" "${seeds[@]}" \
    </dev/null >"$log" 2>&1; then
    grep -E '^Done [0-9]+ runs' "$log" >&2 || tail -n 1 "$log" >&2
  else
    tail -n 60 "$log" >&2
    fail "$target: a fault. See build/asan/fuzzing: the input is in crashes/, the whole log is $target.log"
  fi
done
say "fuzz: ${#targets[@]} targets, nothing found"
