# An Elasticsearch or OpenSearch node of the kind that was chosen. Sourced by run-part; ends in exec.

run_search() {
    local part=$1 kind=${KINDS[$1]}
    case $kind in
    elasticsearch-7.10) run_embedded "$part" "$kind" EsMain es ;;
    opensearch-2.19) run_embedded "$part" "$kind" OsMain opensearch ;;
    *) source "$LOCAL/parts/distribution.sh" && run_distribution "$part" "$kind" ;;
    esac
}

# What all kinds are told, as NAME=VALUE lines.
search_settings() {
    local part=$1 http=${1^^}_PORT transport=${1^^}_TRANSPORT_PORT
    printf '%s\n' "cluster.name=$part" "node.name=$part-1" \
        network.host=127.0.0.1 "http.port=${!http}" "transport.port=${!transport}" \
        discovery.type=single-node \
        node.store.allow_mmap=false \
        indices.breaker.total.use_real_memory=false \
        cluster.routing.allocation.disk.threshold_enabled=false
}

# The server's own classes behind a small launcher of ours: no scripts, no user of its own needed.
run_embedded() {
    local part=$1 kind=$2 main=$3 prefix=$4 home settings heap=${ES_HEAP:-512m}
    home=$(cached "$kind")
    readarray -t settings < <(search_settings "$part")
    choose_archive_flags "$kind"
    exec java "${ARCHIVE_FLAGS[@]}" "-Xms$heap" "-Xmx$heap" -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError "${JAVA_FLAGS[@]}" \
        "-D$prefix.set.netty.runtime.available.processors=false" -Dlog4j2.disable.jmx=true \
        -Dlog4j2.configurationFile="$LOCAL/servers/log4j2.properties" \
        ${ES_AUTH:+"-Dunderstudy.auth=$ES_AUTH"} \
        -cp "$home/lib/*" "$main" "$(data_of "$part")" "${settings[@]}"
}
