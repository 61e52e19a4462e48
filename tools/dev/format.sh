#!/usr/bin/env bash
# format.sh JOBS [--check] [FILE...]: clang-format over the sources, in place or as a check.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

jobs=$1
shift
mode=(-i)
files=()
for argument in "$@"; do
  case $argument in
    --check) mode=(--dry-run -Werror) ;;
    -*) usage_error "format knows no option '$argument'" ;;
    *) files+=("$argument") ;;
  esac
done
if [[ ${#files[@]} -eq 0 ]]; then
  mapfile -t files < <(find src tests fuzz bench \( -name '*.h' -o -name '*.cc' -o -name '*.cu' \) | sort)
fi

if printf '%s\0' "${files[@]}" | xargs -0 -r -n 8 -P "$jobs" clang-format --style=file "${mode[@]}"; then
  say "format: ${#files[@]} files"
else
  fail "some files are not laid out by clang-format; './dev format' does it"
fi
