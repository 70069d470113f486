# An Elasticsearch or OpenSearch node of the kind that was chosen. Sourced by run-part; ends in exec.

run_search() {
    local part=$1 kind
    kind=$(kind_of "$part")
    case $kind in
    elasticsearch-7.10) run_embedded "$part" "$kind" EsMain es ;;
    opensearch-2.19) run_embedded "$part" "$kind" OsMain opensearch ;;
    *) source "$LOCAL/parts/distribution.sh" && run_distribution "$part" "$kind" ;;
    esac
}

# What all kinds are told, as NAME=VALUE lines.
search_settings() {
    local part=$1 cluster name http transport
    cluster=$(cluster_of "$part")
    name=$(node_name "$part")
    read -r http transport <<<"$(ports_of "$part")"
    printf '%s\n' "cluster.name=$cluster" "node.name=$name" \
        network.host=127.0.0.1 "http.port=${!http}" "transport.port=${!transport}"
    cluster_settings "$part"
    printf '%s\n' \
        node.store.allow_mmap=false \
        indices.breaker.total.use_real_memory=false \
        cluster.routing.allocation.disk.threshold_enabled=false
}

node_name() { if [[ $1 == *-[23] ]]; then printf '%s' "$1"; else printf '%s-1' "$1"; fi; }

# How the nodes of a cluster find each other, and how soon they notice that one is gone: seconds,
# where the defaults have half a minute and more.
cluster_settings() {
    local node transport seeds='' masters=''
    if [[ $(nodes_of "$1") == "$1" ]]; then
        echo discovery.type=single-node
        return
    fi
    for node in $(nodes_of "$1"); do
        read -r _ transport <<<"$(ports_of "$node")"
        seeds+=,127.0.0.1:${!transport} masters+=,$(node_name "$node")
    done
    printf '%s\n' "discovery.seed_hosts=${seeds#,}" "cluster.initial_master_nodes=${masters#,}" \
        cluster.fault_detection.{leader,follower}_check.interval=500ms \
        cluster.fault_detection.{leader,follower}_check.timeout=2s \
        cluster.fault_detection.{leader,follower}_check.retry_count=2 \
        cluster.publish.timeout=5s cluster.follower_lag.timeout=5s
}

# Of three nodes each gets half, for they run on one machine.
heap_of() { printf '%s' "${ES_HEAP:-$(if [[ $(nodes_of "$1") == "$1" ]]; then echo 512m; else echo 256m; fi)}"; }

# The server's own classes behind a small launcher of ours: no scripts, no user of its own needed.
run_embedded() {
    local part=$1 kind=$2 main=$3 prefix=$4 home settings heap
    heap=$(heap_of "$part")
    home=$(cached "$kind")
    readarray -t settings < <(search_settings "$part")
    choose_archive_flags "$kind"
    local -a auth=()
    if [[ -n ${ES_AUTH:-} ]]; then
        # By a file: arguments are seen by everybody.
        (umask 077 && printf '%s\n' "\"-Dunderstudy.auth=$ES_AUTH\"" | write_file "$RUN/config/$part.arguments")
        auth=("@$RUN/config/$part.arguments")
    fi
    exec java "${ARCHIVE_FLAGS[@]}" "-Xms$heap" "-Xmx$heap" -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError "${JAVA_FLAGS[@]}" \
        "-D$prefix.set.netty.runtime.available.processors=false" -Dlog4j2.disable.jmx=true \
        -Dlog4j2.configurationFile="$LOCAL/servers/log4j2.properties" \
        "${auth[@]}" \
        -cp "$home/lib/*" "$main" "$(data_of "$part")" "${settings[@]}"
}
