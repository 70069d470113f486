# The configuration of gateways and consumers. Sourced, never run.

brokers_of_stack() {
    local part addresses=
    for part in $(nodes_of kafka); do addresses+=,$(address_of "$part"); done
    printf '%s' "${addresses#,}"
}

# Written once and then left alone, so that it can be edited; written anew when a port that it
# names has changed. The first line remembers those ports.
write_understudy_config() {
    local path=$RUN/understudy.toml first mark
    mark="# Written by deploy/local/stack for kafka=$(brokers_of_stack) primary=$PRIMARY_PORT backup=$BACKUP_PORT; written anew when one of these changes."
    if [[ -f $path ]]; then
        read -r first <"$path" || true
        [[ $first == "$mark" ]] && return 0
    fi
    write_file "$path" <<TOML
$mark
[kafka]
bootstrap_servers = "$(brokers_of_stack)"
replication_factor = $BROKERS
min_insync_replicas = $((BROKERS == 1 ? 1 : 2))

[clusters.primary]
urls = ["$(address_of primary)"]

[clusters.backup]
urls = ["$(address_of backup)"]

[[placements]]
name = "everything"
indices = "*"
primary = "primary"
targets = ["backup"]
TOML
}

binary_of() {
    local bin=${UNDERSTUDY_BIN:-target/debug}
    [[ $bin == /* ]] || bin=$REPO/$bin
    printf '%s/understudy-%s' "$bin" "${1%-*}"
}

refuse_missing_binaries() {
    local part
    for part in "$@"; do
        case $part in gateway-* | consumer-*) ;; *) continue ;; esac
        [[ -x $(binary_of "$part") ]] || die "$(binary_of "$part") is missing: run \`make build\`, or set UNDERSTUDY_BIN to the folder that has it"
    done
}
