# Which server stands behind `primary` and `backup`. Sourced, never run.

SEARCH_KINDS=(elasticsearch-7.10 elasticsearch-7.17 elasticsearch-8.19 opensearch-2.19)
DEFAULT_KIND=elasticsearch-7.10
declare -A ASKED_KINDS=([primary]=${PRIMARY:-} [backup]=${BACKUP:-})
declare -A KINDS=()

load_kinds() {
    local part kind
    KINDS=()
    if [[ -f $RUN/kinds ]]; then
        while IFS='=' read -r part kind; do KINDS[$part]=$kind; done <"$RUN/kinds"
    fi
    for part in primary backup; do KINDS[$part]=${KINDS[$part]:-${ASKED_KINDS[$part]:-$DEFAULT_KIND}}; done
}

# Decides the kinds for a start and remembers them. Call with the run lock held.
choose_kinds() {
    local part asked
    load_kinds
    for part in primary backup; do
        asked=${ASKED_KINDS[$part]:-${KINDS[$part]}}
        if [[ $asked != "${KINDS[$part]}" ]] && part_alive "$part"; then
            die "$part runs as ${KINDS[$part]}, not $asked: stop it first"
        fi
        KINDS[$part]=$asked
    done
    printf '%s=%s\n' primary "${KINDS[primary]}" backup "${KINDS[backup]}" | write_file "$RUN/kinds"
}

# A wrong name is refused before anything else happens, whatever the verb.
refuse_unknown_kinds() {
    local part
    for part in primary backup; do
        [[ -z ${ASKED_KINDS[$part]} || " ${SEARCH_KINDS[*]} " == *" ${ASKED_KINDS[$part]} "* ]] ||
            die "${part^^}=${ASKED_KINDS[$part]} is unknown; the choices are: ${SEARCH_KINDS[*]}"
    done
}

kind_of() {
    case $1 in
    kafka) echo kafka-3.9 ;;
    primary | backup) echo "${KINDS[$1]}" ;;
    gateway-*) echo understudy-gateway ;;
    consumer-*) echo understudy-consumer ;;
    lb) echo haproxy ;;
    esac
}

# Data stays with the kind that wrote it, so that changing kinds back and forth is safe.
data_of() {
    case $1 in
    kafka) echo "$RUN/data/kafka" ;;
    primary | backup) echo "$RUN/data/$1-${KINDS[$1]}" ;;
    esac
}
