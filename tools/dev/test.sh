#!/usr/bin/env bash
# test.sh BUILD_FOLDER JOBS [CTEST ARGUMENTS]: runs the tests; names what was skipped and why; the last line
# is ctest's closing line.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

folder=$1 jobs=$2
shift 2

log=$folder/test.log
ctest --test-dir "$folder" --output-on-failure --no-tests=error -j "$jobs" "$@" </dev/null 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

# GoogleTest's reason follows the line "file:line: Skipped"; ctest itself only counts.
reasons=$(awk '/: Skipped$/ { getline; if (NF) count[$0]++ }
               END { for (reason in count) printf "%6d  %s\n", count[reason], reason }' \
  "$folder/Testing/Temporary/LastTest.log" 2>/dev/null | sort -k2)
if [[ -n $reasons ]]; then
  printf '\nSkipped, by reason:\n%s\n' "$reasons"
fi

closing=$(grep -E '^[0-9]+% tests passed, [0-9]+ tests failed out of [0-9]+' "$log")
[[ -z $closing ]] || printf '\n%s\n' "$closing"

case $status in
  0) exit 0 ;;
  130) exit 130 ;;
  *) exit 1 ;;
esac
