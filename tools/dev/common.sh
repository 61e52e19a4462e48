# Sourced by ./dev and its helpers: messages and the number of parallel jobs.
# shellcheck shell=bash

# Everything these scripts say goes to stderr: stdout belongs to the program that is run.
say() { printf '==> %s\n' "$*" >&2; }

fail() {
  printf 'dev: %s\n' "$*" >&2
  exit 1
}

usage_error() {
  printf "dev: %s\nTry './dev help'.\n" "$*" >&2
  exit 2
}

# One job per core, but no more than memory allows: the largest source takes about a gigabyte to compile.
jobs_count() {
  if [[ -n ${CADRE_JOBS:-} ]]; then
    [[ $CADRE_JOBS =~ ^[1-9][0-9]*$ ]] || usage_error "CADRE_JOBS must be a number above 0, not '$CADRE_JOBS'"
    echo "$CADRE_JOBS"
    return
  fi
  local cores by_memory
  cores=$(nproc)
  by_memory=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo 2>/dev/null || true)
  by_memory=${by_memory:-$cores}
  if ((by_memory < 1)); then by_memory=1; fi
  echo $((cores < by_memory ? cores : by_memory))
}
