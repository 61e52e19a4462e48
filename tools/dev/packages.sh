# Sourced by ./dev: the Debian packages each kind of work needs, and their installation.
# What each is for and why it was chosen: docs/dependencies.md (tools/check_docs compares the two lists).
# shellcheck shell=bash

packages_of_group() {
  case $1 in
    build) echo g++ cmake ninja-build pkg-config libfmt-dev nlohmann-json3-dev libexpected-dev libpcre2-dev \
      libutf8proc-dev libsimdjson-dev libcli11-dev libedit-dev libboost1.81-dev libgtest-dev ;;
    bench) echo libbenchmark-dev ;;
    test) echo python3 ;;
    clang) echo clang ;;
    fuzz) echo libclang-rt-14-dev ;;
    format) echo clang-format ;;
    lint) echo clang-tidy python3 ;;
    package) echo dpkg-dev file ;;
    web) echo nodejs npm chromium python3 ;;
    *) fail "packages.sh: no group '$1'" ;;
  esac
}

# require_packages GROUP...: installs those of their packages that are missing.
require_packages() {
  [[ ${CADRE_NO_INSTALL:-0} != 1 ]] || return 0
  local group wanted=() missing=()
  # shellcheck disable=SC2207
  for group in "$@"; do wanted+=($(packages_of_group "$group")); done
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    fail "this system does not use Debian packages. Install the equivalents of
  ${wanted[*]}
and run again with CADRE_NO_INSTALL=1."
  fi
  mapfile -t missing < <(missing_packages "${wanted[@]}")
  [[ ${#missing[@]} -eq 0 ]] || install_packages "${missing[@]}"
}

# require_web: the packages of group web, unless their programs are there already: node often comes from
# elsewhere, in a version that Debian does not have yet.
require_web() {
  local program
  for program in node npm chromium python3; do
    command -v "$program" >/dev/null || {
      require_packages web
      return
    }
  done
}

# Prints those of its arguments that are not installed, one a line.
missing_packages() {
  local package status
  declare -A installed=()
  while read -r package status; do
    if [[ $status == installed ]]; then installed[$package]=1; fi
  done < <(dpkg-query --show --showformat='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null)
  for package in "$@"; do
    if [[ -z ${installed[$package]:-} ]]; then
      installed[$package]=1  # named by two groups: once is enough
      printf '%s\n' "$package"
    fi
  done
}

install_packages() {
  local become=() log=${root:?}/build/install.log
  if [[ $(id -u) != 0 ]]; then
    command -v sudo >/dev/null || fail "these packages are missing, and neither root nor sudo is at hand:
  $*
Ask whoever runs this machine for: apt-get install $*"
    # Without a terminal nobody could type a password.
    if [[ -t 0 && -t 2 ]]; then become=(sudo); else become=(sudo -n); fi
    "${become[@]}" true || fail "sudo refused; these packages are missing:
  $*"
  fi
  mkdir -p "$root/build"
  : >"$log"
  say "installing $*"
  if ! package_lists_are_fresh; then update_package_lists || true; fi
  apt_get install --yes --no-install-recommends "$@" && return
  say "that failed; once more with fresh package lists"
  update_package_lists || say "the package lists could not be fetched"
  apt_get install --yes --no-install-recommends "$@" && return
  tail -n 20 "$log" >&2
  fail "apt-get could not install: $*
The whole log is build/install.log."
}

# As apt-get, unattended, into the log.  Uses `become` and `log` of install_packages.
apt_get() {
  "${become[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C \
    apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null >>"$log" 2>&1
}

update_package_lists() {
  say "fetching package lists"
  apt_get update
}

# A list fetched within a day; images are often shipped without any. Status change, not modification: the
# files keep the server's time.
package_lists_are_fresh() {
  [[ -n $(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -ctime -1 -print -quit 2>/dev/null) ]]
}
