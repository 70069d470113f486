# Which ports the stack uses. Sourced, never run.
#
# A port comes from, first match wins: what is remembered in the run directory while a part runs,
# the environment variable, what is remembered, the default.

declare -A DEFAULT_PORTS=(
    [LB_PORT]=9200 [PRIMARY_PORT]=9201 [BACKUP_PORT]=9202 [PRIMARY_2_PORT]=9203 [PRIMARY_3_PORT]=9204
    [KAFKA_PORT]=9092 [KAFKA_CONTROLLER_PORT]=9093
    [KAFKA_2_PORT]=9094 [KAFKA_2_CONTROLLER_PORT]=9095 [KAFKA_3_PORT]=9096 [KAFKA_3_CONTROLLER_PORT]=9097
    [PRIMARY_TRANSPORT_PORT]=9301 [BACKUP_TRANSPORT_PORT]=9302
    [PRIMARY_2_TRANSPORT_PORT]=9303 [PRIMARY_3_TRANSPORT_PORT]=9304
    [GATEWAY_1_PORT]=9211 [GATEWAY_2_PORT]=9212
    [GATEWAY_1_ADMIN_PORT]=9311 [GATEWAY_2_ADMIN_PORT]=9312
    [CONSUMER_1_ADMIN_PORT]=9321 [CONSUMER_2_ADMIN_PORT]=9322
)
PORT_NAMES=(LB_PORT PRIMARY_PORT BACKUP_PORT KAFKA_PORT KAFKA_CONTROLLER_PORT
    PRIMARY_TRANSPORT_PORT BACKUP_TRANSPORT_PORT GATEWAY_1_PORT GATEWAY_2_PORT
    GATEWAY_1_ADMIN_PORT GATEWAY_2_ADMIN_PORT CONSUMER_1_ADMIN_PORT CONSUMER_2_ADMIN_PORT
    PRIMARY_2_PORT PRIMARY_3_PORT PRIMARY_2_TRANSPORT_PORT PRIMARY_3_TRANSPORT_PORT
    KAFKA_2_PORT KAFKA_2_CONTROLLER_PORT KAFKA_3_PORT KAFKA_3_CONTROLLER_PORT)

# The variables of one part; the first is the port that its users talk to.
ports_of() {
    case $1 in
    kafka) echo KAFKA_PORT KAFKA_CONTROLLER_PORT ;;
    kafka-2) echo KAFKA_2_PORT KAFKA_2_CONTROLLER_PORT ;;
    kafka-3) echo KAFKA_3_PORT KAFKA_3_CONTROLLER_PORT ;;
    primary) echo PRIMARY_PORT PRIMARY_TRANSPORT_PORT ;;
    primary-2) echo PRIMARY_2_PORT PRIMARY_2_TRANSPORT_PORT ;;
    primary-3) echo PRIMARY_3_PORT PRIMARY_3_TRANSPORT_PORT ;;
    backup) echo BACKUP_PORT BACKUP_TRANSPORT_PORT ;;
    gateway-1) echo GATEWAY_1_PORT GATEWAY_1_ADMIN_PORT ;;
    gateway-2) echo GATEWAY_2_PORT GATEWAY_2_ADMIN_PORT ;;
    consumer-1) echo CONSUMER_1_ADMIN_PORT ;;
    consumer-2) echo CONSUMER_2_ADMIN_PORT ;;
    lb) echo LB_PORT ;;
    esac
}

# What was asked for, before the variables take their final values.
declare -A ASKED_PORTS=()
for name in "${PORT_NAMES[@]}"; do
    [[ -z ${!name:-} ]] && continue
    [[ ${!name} =~ ^[1-9][0-9]{0,4}$ ]] || die "$name=${!name} is not a port"
    ASKED_PORTS[$name]=${!name}
done
unset name

# Reads what the run directory remembers into the port variables, and fills the gaps.
load_ports() {
    local name value
    declare -gA REMEMBERED_PORTS=()
    REMEMBERED_MODE=
    if [[ -f $RUN/ports ]]; then
        while IFS='=' read -r name value; do
            if [[ $name == MODE ]]; then REMEMBERED_MODE=$value; else REMEMBERED_PORTS[$name]=$value; fi
        done <"$RUN/ports"
    fi
    for name in "${PORT_NAMES[@]}"; do
        printf -v "$name" '%s' "${REMEMBERED_PORTS[$name]:-${ASKED_PORTS[$name]:-${DEFAULT_PORTS[$name]}}}"
    done
}

# bash's /dev/tcp is enough to ask whether somebody listens, and needs no other tool.
port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Decides the ports for a start and remembers them. Call with the run lock held.
choose_ports() {
    local name part
    load_ports
    if any_alive; then
        for part in "${PARTS[@]}"; do
            for name in $(ports_of "$part"); do
                [[ ${ASKED_PORTS[$name]:-${!name}} == "${!name}" ]] && continue
                part_alive "$part" && die "$part runs with $name=${!name}, not ${ASKED_PORTS[$name]}: stop it first"
                printf -v "$name" '%s' "${ASKED_PORTS[$name]}"
            done
        done
    else
        case ${PORTS:-} in
        free) if [[ $REMEMBERED_MODE != free ]] || ! all_ports_free; then pick_free_ports; fi ;;
        '' | default) [[ -z ${PORTS:-} ]] || REMEMBERED_PORTS=() REMEMBERED_MODE= ;;
        *) die "PORTS=$PORTS: the choices are free and default" ;;
        esac
        for name in "${PORT_NAMES[@]}"; do
            printf -v "$name" '%s' "${ASKED_PORTS[$name]:-${REMEMBERED_PORTS[$name]:-${DEFAULT_PORTS[$name]}}}"
        done
    fi
    refuse_equal_ports
    {
        for name in "${PORT_NAMES[@]}"; do printf '%s=%s\n' "$name" "${!name}"; done
        printf 'MODE=%s\n' "$REMEMBERED_MODE"
    } | write_file "$RUN/ports"
}

refuse_equal_ports() {
    local name
    local -A owner=()
    for name in "${PORT_NAMES[@]}"; do
        [[ -z ${owner[${!name}]:-} ]] || die "${owner[${!name}]} and $name are both ${!name}"
        owner[${!name}]=$name
    done
}

all_ports_free() {
    local name
    for name in "${PORT_NAMES[@]}"; do
        # One that is not remembered is newer than the run directory.
        [[ -n ${REMEMBERED_PORTS[$name]:-} ]] || return 1
        port_taken "${REMEMBERED_PORTS[$name]}" && return 1
    done
    return 0
}

PORT_CLAIMS=${TMPDIR:-/tmp}/understudy-ports-$(id -u)

# Takes a block of 32 ports below the range that the kernel gives to outgoing connections. Blocks
# are claimed in a directory that all stacks of this user share, so that stacks that start at the
# same moment, before any of them listens, get different ones.
pick_free_ports() {
    local claims=$PORT_CLAIMS base tries name port owner lock
    mkdir -p "$claims"
    exec {lock}>"$claims/lock"
    flock "$lock"
    for ((tries = 0; tries < 200; tries++)); do
        base=$((20000 + RANDOM % 375 * 32))
        if [[ -f $claims/$base ]]; then
            owner=$(<"$claims/$base")
            [[ $owner == "$RUN" || ! -f $owner/ports ]] || continue
        fi
        port=$base
        for name in "${PORT_NAMES[@]}"; do
            REMEMBERED_PORTS[$name]=$port
            port=$((port + 1))
        done
        all_ports_free || continue
        printf '%s\n' "$RUN" >"$claims/$base"
        REMEMBERED_MODE=free
        : >>"$RUN/ports" # makes the claim valid from now on
        exec {lock}>&-
        return 0
    done
    die "found no block of free ports"
}

release_ports() {
    local claim
    for claim in "$PORT_CLAIMS"/[0-9]*; do
        if [[ -f $claim && $(<"$claim") == "$RUN" ]]; then rm -f "$claim"; fi
    done
}

# Nothing is started while a port of any part that is to start is in somebody else's hands.
refuse_taken_ports() {
    local part name
    for part in "$@"; do
        for name in $(ports_of "$part"); do
            port_taken "${!name}" || continue
            die "port ${!name} for $part is taken by another process: free it, or set $name to another port (PORTS=free picks free ones for all)"
        done
    done
}

address_of() {
    local name
    read -r name _ <<<"$(ports_of "$1")"
    case $1 in
    kafka*) printf '127.0.0.1:%s' "${!name}" ;;
    primary* | backup) printf '%s://127.0.0.1:%s' "$(if [[ -n $(security_folder) ]]; then echo https; else echo http; fi)" "${!name}" ;;
    gateway-* | lb) printf '%s://127.0.0.1:%s' "$(if [[ $ENCRYPTED == yes ]]; then echo https; else echo http; fi)" "${!name}" ;;
    *) printf 'http://127.0.0.1:%s' "${!name}" ;;
    esac
}

# The address of health and metrics, for the parts that have one.
admin_of() {
    local name=
    case $1 in gateway-* | consumer-*) name=${1^^}_ADMIN_PORT ;; *) return 0 ;; esac
    name=${name/-/_}
    printf 'http://127.0.0.1:%s' "${!name}"
}
