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
    mark="# Written by deploy/local/stack for kafka=$(brokers_of_stack) primary=$PRIMARY_PORT backup=$BACKUP_PORT$(if [[ $ENCRYPTED == yes ]]; then echo " tls=yes"; fi); written anew when one of these changes."
    if [[ -f $path ]]; then
        read -r first <"$path" || true
        [[ $first == "$mark" ]] && return 0
    fi
    # With TLS a password of Kafka's stands in it.
    (umask 077 && understudy_config "$mark" | write_file "$path")
}

understudy_config() {
    cat <<TOML
$1
[kafka]
bootstrap_servers = "$(brokers_of_stack)"
replication_factor = $BROKERS
min_insync_replicas = $((BROKERS == 1 ? 1 : 2))
$(encrypted kafka)

[clusters.primary]
urls = ["$(address_of primary)"]
$(encrypted primary)

[clusters.backup]
urls = ["$(address_of backup)"]
$(encrypted backup)

[[placements]]
name = "everything"
indices = "*"
primary = "primary"
targets = ["backup"]
$(encrypted gateway)
TOML
}

# What TLS=yes adds to a section.
encrypted() {
    [[ $ENCRYPTED == yes ]] || return 0
    case $1 in
    kafka) printf '[kafka.options]\n%s\n' "$(kafka_client_options)" ;;
    primary | backup)
        printf '%s = "%s"\n' ca_file "$TLS_FOLDER/ca.pem" \
            username "$(service_account "$1")" password_file "$TLS_FOLDER/$(service_account "$1").password"
        ;;
    gateway) printf '\n[gateway.tls]\ncert_file = "%s"\nkey_file = "%s"\n' "$TLS_FOLDER"/gateway.{pem,key} ;;
    esac
}

service_account() { if [[ $1 == backup ]]; then echo standby; else echo understudy; fi; }

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
