# Which servers stand behind `primary` and `backup`, how many nodes the primary and Kafka have, and whether all of it speaks
# TLS.
# Sourced, never run.

SEARCH_KINDS=(elasticsearch-7.10 elasticsearch-7.17 elasticsearch-8.19 opensearch-2.19)
DEFAULT_KIND=elasticsearch-7.10
DEFAULT_KIND_OF_TLS=elasticsearch-8.19
declare -A ASKED_KINDS=([primary]=${PRIMARY:-} [backup]=${BACKUP:-})
declare -A KINDS=()
ASKED_NODES=${PRIMARY_NODES:-}
NODES=1
ASKED_BROKERS=${KAFKA_BROKERS:-}
BROKERS=1
ASKED_TLS=${TLS:-}
ENCRYPTED=no

load_kinds() {
    local part kind nodes= brokers= default=$DEFAULT_KIND
    KINDS=() ENCRYPTED=${ASKED_TLS:-no}
    if [[ -f $RUN/kinds ]]; then
        ENCRYPTED=no
        while IFS='=' read -r part kind; do
            case $part in
            nodes) nodes=$kind ;;
            brokers) brokers=$kind ;;
            tls) ENCRYPTED=$kind ;;
            *) KINDS[$part]=$kind ;;
            esac
        done <"$RUN/kinds"
    fi
    [[ $ENCRYPTED == no ]] || default=$DEFAULT_KIND_OF_TLS
    for part in primary backup; do KINDS[$part]=${KINDS[$part]:-${ASKED_KINDS[$part]:-$default}}; done
    set_nodes "${nodes:-1}" "${brokers:-1}"
    # What runs stays as it is, so that it can be stopped.
    if [[ -n $ASKED_NODES$ASKED_BROKERS ]] && ! any_alive; then
        set_nodes "${ASKED_NODES:-$NODES}" "${ASKED_BROKERS:-$BROKERS}"
    fi
}

# One node is the part `primary`; of three it is the first, beside `primary-2` and `primary-3`. So are brokers.
set_nodes() {
    NODES=$1 BROKERS=$2
    # shellcheck disable=SC2207 # names without spaces
    SERVERS=($(nodes_of kafka) $(nodes_of primary) backup)
    PARTS=("${SERVERS[@]}" "${CLIENTS[@]}")
}

# The nodes of the cluster that a part belongs to.
nodes_of() {
    case $1 in
    kafka*) if ((BROKERS == 1)); then echo kafka; else echo kafka kafka-2 kafka-3; fi ;;
    primary*) if ((NODES == 1)); then echo primary; else echo primary primary-2 primary-3; fi ;;
    *) echo "$1" ;;
    esac
}

# The cluster that a node belongs to.
cluster_of() { printf '%s' "${1%-[23]}"; }

# Decides the kinds for a start and remembers them. Call with the run lock held.
choose_kinds() {
    local part asked
    load_kinds
    [[ ${ASKED_NODES:-$NODES} == "$NODES" ]] ||
        die "the stack runs with PRIMARY_NODES=$NODES, not $ASKED_NODES: stop it first"
    [[ ${ASKED_BROKERS:-$BROKERS} == "$BROKERS" ]] ||
        die "the stack runs with KAFKA_BROKERS=$BROKERS, not $ASKED_BROKERS: stop it first"
    [[ ${ASKED_TLS:-$ENCRYPTED} == "$ENCRYPTED" ]] ||
        die "$RUN was made with TLS=$ENCRYPTED: wipe it first (stack down, stack wipe), or take another one (STACK_RUN)"
    for part in primary backup; do
        asked=${ASKED_KINDS[$part]:-${KINDS[$part]}}
        if [[ $asked != "${KINDS[$part]}" ]] && part_alive "$part"; then
            die "$part runs as ${KINDS[$part]}, not $asked: stop it first"
        fi
        [[ $ENCRYPTED == no ]] || can_tls "$asked" ||
            die "with TLS=yes ${part^^} is elasticsearch-8.19, and not $asked: it has no TLS here"
        KINDS[$part]=$asked
    done
    printf '%s=%s\n' primary "${KINDS[primary]}" backup "${KINDS[backup]}" nodes "$NODES" \
        brokers "$BROKERS" tls "$ENCRYPTED" | write_file "$RUN/kinds"
}

# A wrong name is refused before anything else happens, whatever the verb.
refuse_unknown_kinds() {
    local part
    for part in primary backup; do
        [[ -z ${ASKED_KINDS[$part]} || " ${SEARCH_KINDS[*]} " == *" ${ASKED_KINDS[$part]} "* ]] ||
            die "${part^^}=${ASKED_KINDS[$part]} is unknown; the choices are: ${SEARCH_KINDS[*]}"
    done
    [[ $ASKED_TLS =~ ^(yes|no|)$ ]] || die "TLS=$ASKED_TLS is unknown; the choices are: yes no"
    [[ $ASKED_BROKERS =~ ^[13]?$ ]] || die "KAFKA_BROKERS=$ASKED_BROKERS is unknown; the choices are: 1 3"
    [[ $ASKED_NODES =~ ^[13]?$ ]] || die "PRIMARY_NODES=$ASKED_NODES is unknown; the choices are: 1 3"
}

kind_of() {
    case $1 in
    kafka*) echo kafka-3.9 ;;
    primary* | backup) echo "${KINDS[$(cluster_of "$1")]}" ;;
    gateway-*) echo understudy-gateway ;;
    consumer-*) echo understudy-consumer ;;
    lb) echo haproxy ;;
    esac
}

# Data stays with the kind that wrote it and with the number of nodes, so that changing them back and
# forth is safe.
data_of() {
    case $1 in
    kafka*) echo "$RUN/data/$1$( ((BROKERS == 1)) || printf -- '-of-%s' "$BROKERS")" ;;
    primary*) echo "$RUN/data/$1$( ((NODES == 1)) || printf -- '-of-%s' "$NODES")-${KINDS[primary]}" ;;
    backup) echo "$RUN/data/$1-${KINDS[$1]}" ;;
    esac
}
