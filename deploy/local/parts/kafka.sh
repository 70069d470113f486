# A Kafka node, broker and controller in one process, alone or one of three. Sourced by run-part; ends in exec.

run_kafka() {
    local part=$1 home config=$RUN/config/$1.properties data port controller replicas=1
    home=$(cached kafka-3.9)
    data=$(data_of "$part")
    read -r port controller <<<"$(ports_of "$part")"
    ((BROKERS == 1)) || replicas=2
    mkdir -p "$data"
    kafka_properties | (umask 077 && write_file "$config")
    choose_archive_flags kafka-3.9
    # The id belongs to the data: a restart finds it there and formats nothing.
    local -a flags=()
    if [[ ! -f $data/meta.properties ]]; then
        [[ -n ${STACK_OBSERVE:-} ]] || flags=("${ARCHIVE_FLAGS[@]}")
        java "${flags[@]}" -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j.configuration="file:$LOCAL/servers/kafka-3.9/log4j.properties" \
            -cp "$home/lib/*" kafka.tools.StorageTool format -t "$(cluster_id)" -c "$config" --ignore-formatted
    fi
    local heap=${KAFKA_HEAP:-$( ((BROKERS == 1)) && echo 512m || echo 256m)}
    exec java "${ARCHIVE_FLAGS[@]}" "-Xms$heap" "-Xmx$heap" -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError "${JAVA_FLAGS[@]}" \
        -Dlog4j.configuration="file:$LOCAL/servers/kafka-3.9/log4j.properties" \
        -cp "$home/lib/*" kafka.Kafka "$config"
}

# What the part's broker is told; the caller has its ports and its folder.
kafka_properties() {
    local name=PLAINTEXT protocol=PLAINTEXT
    [[ $ENCRYPTED == no ]] || name=SECURED protocol=SASL_SSL
    cat <<PROPERTIES
process.roles=broker,controller
node.id=$(node_id "$part")
controller.quorum.voters=$(voters)
listeners=$name://127.0.0.1:${!port},CONTROLLER://127.0.0.1:${!controller}
advertised.listeners=$name://127.0.0.1:${!port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:$protocol,$name:$protocol
inter.broker.listener.name=$name
log.dirs=$data
auto.create.topics.enable=false
# Records carry whole documents.
message.max.bytes=33554432
replica.fetch.max.bytes=33554432
log.cleaner.enable=true
# Few groups: it starts faster like this. A single node has nobody to replicate to.
offsets.topic.num.partitions=4
offsets.topic.replication.factor=$BROKERS
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=$BROKERS
transaction.state.log.min.isr=$replicas
group.initial.rebalance.delay.ms=0
# After kill -9 the controller refuses the broker's return until its old session ends (9 s by default).
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=$((BROKERS == 1 ? 4000 : 3000))
PROPERTIES
    [[ $ENCRYPTED == no ]] || kafka_security
    # Of a property that stands twice the last one counts.
    [[ -z ${KAFKA_PROPERTIES:-} ]] || cat "$KAFKA_PROPERTIES"
}

# TLS with a password for clients, and among brokers.
kafka_security() {
    local password listener
    password=$(<"$TLS_FOLDER/kafka.password")
    printf '%s=%s\n' ssl.keystore.type PEM ssl.keystore.location "$TLS_FOLDER/kafka.both.pem" \
        ssl.truststore.type PEM ssl.truststore.location "$TLS_FOLDER/ca.pem" \
        sasl.enabled.mechanisms PLAIN sasl.mechanism.inter.broker.protocol PLAIN sasl.mechanism.controller.protocol PLAIN
    for listener in secured controller; do
        printf '%s=%s required username="understudy" password="%s" user_understudy="%s";\n' \
            "listener.name.$listener.plain.sasl.jaas.config" \
            org.apache.kafka.common.security.plain.PlainLoginModule "$password" "$password"
    done
}

node_id() { if [[ $1 == kafka ]]; then echo 1; else echo "${1#kafka-}"; fi; }

voters() {
    local part controller all=
    for part in $(nodes_of kafka); do
        read -r _ controller <<<"$(ports_of "$part")"
        all+=,$(node_id "$part")@127.0.0.1:${!controller}
    done
    printf '%s' "${all#,}"
}

# 16 random bytes in Kafka's spelling: base64 for URLs, without padding. All brokers have the same, whoever comes first
# makes it; it is wiped with the data.
cluster_id() {
    local id file=$RUN/data/kafka-id-of-$BROKERS lock
    exec {lock}>>"$file.lock"
    flock "$lock"
    if [[ ! -s $file ]]; then
        # A leading '-' would read as an option.
        while id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '='); [[ $id == -* ]]; do :; done
        printf '%s' "$id" >"$file"
    fi
    exec {lock}>&-
    cat "$file"
}
