#!/usr/bin/env bash
# Installs what the tests need besides Python packages, on Debian or Ubuntu, as root or by sudo without a password.
# Otherwise it names what is missing; the tests that need it are skipped, or with CI set, this script fails.
set -euo pipefail

packages=() skipped=""
need() { # need PACKAGE TESTS COMMAND...: one of the commands must exist
    local package=$1 tests=$2 command
    shift 2
    for command in "$@"; do
        if command -v "$command" >/dev/null; then return; fi
    done
    add "$package" "$tests"
}
add() { # add PACKAGE TESTS, each once
    [[ " ${packages[*]} " == *" $1 "* ]] || packages+=("$1")
    [[ $skipped == *", $2"* ]] || skipped+=", $2"
}
find_missing() {
    packages=() skipped=""
    need make "all tests" make
    need default-jre-headless "tests with a Kafka broker" java
    need maven "tests with a Kafka broker" mvn
    need prometheus "tests with Prometheus" prometheus
    need prometheus "tests with Prometheus" promtool
    need chromium "tests in a browser" chromium google-chrome
    [[ -x .venv/bin/python ]] || "${PYTHON:-python3}" -c 'import venv, ensurepip' 2>/dev/null || add python3-venv "all tests"
}
install() {
    local as_root=()
    ((EUID == 0)) || as_root=(sudo --non-interactive)
    command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null || return 0
    # RUNLEVEL: do not start installed services
    "${as_root[@]}" apt-get update --quiet &&
        "${as_root[@]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
            apt-get install --quiet --yes --no-install-recommends "${packages[@]}" || true
}

find_missing
((${#packages[@]} == 0)) || { install && hash -r && find_missing; }
((${#packages[@]})) || exit 0
echo "missing: run apt-get install ${packages[*]}, or the equivalent of this system; skipped until then: ${skipped:2}" >&2
[[ -z ${CI:-} ]]
