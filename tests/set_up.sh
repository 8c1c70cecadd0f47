#!/usr/bin/env bash
# Installs what the tests need besides Python packages, on Debian or Ubuntu, as root or by sudo without a password.
# Otherwise it names what is missing; the tests that need it are skipped, or with CI set, this script fails.
set -euo pipefail

helm_version=v4.3.1 # also in tests/support/helm.py
helm_folder=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/streamrnn-tools/helm-$helm_version

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
    need prometheus-alertmanager "tests with Alertmanager" prometheus-alertmanager alertmanager
    need prometheus-alertmanager "tests with Alertmanager" amtool
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

has_helm() {
    command -v helm >/dev/null || [[ -x $helm_folder/helm ]]
}
build_helm() { # from its Go module, once; about 75 s of processor time
    command -v go >/dev/null && GOBIN=$helm_folder go install "helm.sh/helm/v4/cmd/helm@$helm_version" || true
}

find_missing
((${#packages[@]} == 0)) || { install && hash -r && find_missing; }
has_helm || build_helm
complete=true
if ((${#packages[@]})); then
    echo "missing: run apt-get install ${packages[*]}, or the equivalent of this system; skipped until then: ${skipped:2}" >&2
    complete=false
fi
if ! has_helm; then
    echo "missing: install Helm $helm_version, or Go 1.26 or newer to build it; skipped until then: tests of the Helm chart" >&2
    complete=false
fi
[[ $complete == true || -z ${CI:-} ]]
