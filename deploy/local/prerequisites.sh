#!/usr/bin/env bash
# Installs what the machine lacks: prerequisites.sh build|stack|demo|fuzz|bench|conformance|chart...
# With Debian's packages where we are root; otherwise it names the command to run.
set -euo pipefail

has() { PATH=$PATH:/usr/sbin:/usr/local/sbin command -v "$1" >/dev/null 2>&1; }
has_header() { compgen -G "/usr/include/$1" >/dev/null || compgen -G "/usr/include/*/$1" >/dev/null; }
# Elasticsearch 8.19 and our compiled launchers want 17 or later.
has_jdk() { has javac && [[ $(javac -version 2>&1) =~ ([0-9]+) ]] && ((BASH_REMATCH[1] >= 17)); }

missing=()
lacks() { missing+=("$1"); }

need_build() {
    has gcc || lacks gcc
    has make || lacks make
    has pkg-config || lacks pkg-config
    has_header zlib.h || lacks zlib1g-dev
    has_header openssl/ssl.h || lacks libssl-dev
}

need_stack() {
    has_jdk || lacks openjdk-17-jdk-headless
    has mvn || lacks maven
    has haproxy || lacks haproxy
    has kcat || lacks kcat
    has curl || lacks curl
    has unzip || lacks unzip
}

# libFuzzer is C++.
need_fuzz() { has g++ || has c++ || lacks g++; }

# nginx is what a proxy is measured against.
need_bench() {
    has nginx || lacks nginx-light
    has taskset || lacks util-linux
}

need_demo() { has npm || lacks npm; }

# Debian splits the module that makes environments off.
need_conformance() { has python3 && python3 -c 'import ensurepip, venv' 2>/dev/null || lacks python3-venv; }

# tests/chart/install gets helm and schemas by them, and a Go where there is none.
need_chart() {
    need_conformance
    has_jdk || lacks openjdk-17-jdk-headless
    has mvn || lacks maven
    has openssl || lacks openssl
}

# haproxy's package starts a service of its own, which we neither need nor want.
install_quietly() {
    local systemd=
    [[ -d /run/systemd/system ]] && has systemctl && systemd=yes
    export DEBIAN_FRONTEND=noninteractive
    if [[ -n $systemd && " $* " == *" haproxy "* ]]; then systemctl mask --runtime --quiet haproxy; fi
    # Without systemd this run level is what keeps packages from starting services.
    RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "$@" >"$log" 2>&1 || return 1
    if [[ -n $systemd && " $* " == *" haproxy "* ]]; then
        systemctl unmask --runtime --quiet haproxy
        systemctl disable --quiet haproxy 2>/dev/null || true
    fi
}

(($# > 0)) || { echo "usage: prerequisites.sh build|stack|demo|fuzz|bench|conformance|chart..." >&2; exit 2; }
for purpose in "$@"; do
    case $purpose in
    build) need_build ;;
    stack) need_stack ;;
    demo) need_demo ;;
    fuzz) need_fuzz ;;
    bench) need_bench ;;
    conformance) need_conformance ;;
    chart) need_chart ;;
    *) echo "prerequisites: '$purpose' is none of: build stack demo fuzz bench conformance chart" >&2; exit 2 ;;
    esac
done
((${#missing[@]})) || exit 0

if ((EUID != 0)) || ! has apt-get; then
    {
        echo "prerequisites: this machine lacks: ${missing[*]} (Debian's names). On Debian or Ubuntu run:"
        echo "    sudo apt-get update && sudo apt-get install -y ${missing[*]}"
    } >&2
    exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "installing: ${missing[*]}"
# Try with the lists at hand first; they may be missing or too old.
install_quietly "${missing[@]}" && exit 0
apt-get update -qq >"$log" 2>&1 || true
install_quietly "${missing[@]}" && exit 0
tail -n 20 "$log" >&2
echo "prerequisites: cannot install: ${missing[*]}" >&2
exit 1
