#!/usr/bin/env bash
# Installs what the machine lacks: prerequisites.sh PURPOSE... (see `purposes`).
# With Debian's packages where we are root; otherwise it names the command to run.
set -euo pipefail

purposes=(build stack demo fuzz bench conformance links watch compose chart kubernetes deb deb-test balancers)

has() { PATH=$PATH:/usr/sbin:/usr/local/sbin command -v "$1" >/dev/null 2>&1; }
has_header() { compgen -G "/usr/include/$1" >/dev/null || compgen -G "/usr/include/*/$1" >/dev/null; }
# Elasticsearch 8.19 and our compiled launchers want 17 or later.
has_jdk() { has javac && [[ $(javac -version 2>&1) =~ ([0-9]+) ]] && ((BASH_REMATCH[1] >= 17)); }

missing=()
lacks() { missing+=("$1"); }

need_build() {
    has gcc || lacks gcc
    # librdkafka's configure looks for it.
    has c++ || lacks g++
    has make || lacks make
    has pkg-config || lacks pkg-config
    has_header zlib.h || lacks zlib1g-dev
    has_header openssl/ssl.h || lacks libssl-dev
}

need_stack() {
    has openssl || lacks openssl
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

# Links are cut in a network namespace.
need_links() {
    has unshare || lacks util-linux
    has ip || lacks iproute2
    has iptables || lacks iptables
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

# debhelper writes the package's scripts; strip is of binutils, which gcc brings.
need_deb() {
    has dh || lacks debhelper
    has dpkg-buildpackage || lacks dpkg-dev
    has strip || lacks binutils
}

# A Debian in a container, with a systemd of its own.
need_deb_test() {
    has systemd-nspawn || lacks systemd-container
    has mmdebstrap || lacks mmdebstrap
    has lintian || lacks lintian
    has unshare || lacks util-linux
}

# What deploy/balancers has recipes for, and network namespaces as hosts.
need_balancers() {
    has haproxy || lacks haproxy
    has nginx || lacks nginx-light
    compgen -G "/usr/lib/nginx/modules/ngx_stream_module.so" >/dev/null || lacks libnginx-mod-stream
    has keepalived || lacks keepalived
    has curl || lacks curl
    has unshare || lacks util-linux
    has ip || lacks iproute2
    has python3 || lacks python3
}

# A Docker engine and Compose, and what makes images where no registry can be reached. The client alone is no engine.
need_compose() {
    has dockerd || lacks docker.io
    has docker || lacks docker.io
    has docker-compose || lacks docker-compose
    has iptables || lacks iptables
    has mmdebstrap || lacks mmdebstrap
    has unshare || lacks util-linux
    has ip || lacks iproute2
    has python3 || lacks python3
}

# What a node of Kubernetes needs beside an engine's containerd; the rest is built by tests/kubernetes/install.
need_kubernetes() {
    has ctr || lacks containerd
    [[ -x /usr/lib/cni/bridge ]] || lacks containernetworking-plugins
    has iptables || lacks iptables
    has sysctl || lacks procps
    has openssl || lacks openssl
}

# Its package has promtool too.
need_watch() { has prometheus || lacks prometheus; }

# These packages start services of their own, which we neither need nor want.
declare -A services=([haproxy]=haproxy [nginx-light]=nginx [keepalived]=keepalived [prometheus]=prometheus [docker.io]="docker.service docker.socket containerd")
install_quietly() {
    local package service
    local -a started=()
    if [[ -d /run/systemd/system ]] && has systemctl; then
        for package in "$@"; do for service in ${services[$package]:-}; do started+=("$service"); done; done
    fi
    export DEBIAN_FRONTEND=noninteractive
    for service in "${started[@]}"; do systemctl mask --runtime --quiet "$service"; done
    # Without systemd this run level is what keeps packages from starting services.
    RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "$@" >"$log" 2>&1 || return 1
    for service in "${started[@]}"; do
        systemctl unmask --runtime --quiet "$service"
        systemctl disable --quiet "$service" 2>/dev/null || true
    done
}

(($# > 0)) || { echo "usage: prerequisites.sh PURPOSE..., of: ${purposes[*]}" >&2; exit 2; }
for purpose in "$@"; do
    case $purpose in
    build) need_build ;;
    stack) need_stack ;;
    demo) need_demo ;;
    fuzz) need_fuzz ;;
    bench) need_bench ;;
    links) need_links ;;
    conformance) need_conformance ;;
    watch) need_watch ;;
    compose) need_compose ;;
    chart) need_chart ;;
    kubernetes) need_kubernetes ;;
    deb) need_deb ;;
    deb-test) need_deb_test ;;
    balancers) need_balancers ;;
    *) echo "prerequisites: '$purpose' is none of: ${purposes[*]}" >&2; exit 2 ;;
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
