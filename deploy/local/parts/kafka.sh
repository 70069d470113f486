# One Kafka node, broker and controller in one process. Sourced by run-part; ends in exec.

run_kafka() {
    local home config=$RUN/config/kafka.properties data
    home=$(cached kafka-3.9)
    data=$(data_of kafka)
    mkdir -p "$data"
    cat >"$config" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$KAFKA_CONTROLLER_PORT
listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT,CONTROLLER://127.0.0.1:$KAFKA_CONTROLLER_PORT
advertised.listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$data
auto.create.topics.enable=false
# Records carry whole documents.
message.max.bytes=33554432
replica.fetch.max.bytes=33554432
log.cleaner.enable=true
# A single node has nobody to replicate to, and few groups: it starts faster like this.
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
# After kill -9 the controller refuses the broker's return until its old session ends (9 s by default).
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=4000
PROPERTIES
    # Of a property that stands twice the last one counts.
    [[ -z ${KAFKA_PROPERTIES:-} ]] || cat "$KAFKA_PROPERTIES" >>"$config"
    choose_archive_flags kafka-3.9
    # The id belongs to the data: a restart finds it there and formats nothing.
    local -a flags=()
    if [[ ! -f $data/meta.properties ]]; then
        [[ -n ${STACK_OBSERVE:-} ]] || flags=("${ARCHIVE_FLAGS[@]}")
        java "${flags[@]}" -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j.configuration="file:$LOCAL/servers/kafka-3.9/log4j.properties" \
            -cp "$home/lib/*" kafka.tools.StorageTool format -t "$(cluster_id)" -c "$config" --ignore-formatted
    fi
    local heap=${KAFKA_HEAP:-512m}
    exec java "${ARCHIVE_FLAGS[@]}" "-Xms$heap" "-Xmx$heap" -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError "${JAVA_FLAGS[@]}" \
        -Dlog4j.configuration="file:$LOCAL/servers/kafka-3.9/log4j.properties" \
        -cp "$home/lib/*" kafka.Kafka "$config"
}

# 16 random bytes in Kafka's spelling: base64 for URLs, without padding.
cluster_id() {
    local id
    # A leading '-' would read as an option.
    while id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '='); [[ $id == -* ]]; do :; done
    printf '%s' "$id"
}
