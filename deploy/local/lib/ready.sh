# When is a part ready, and waiting for it. Sourced, never run.

# Prints the HTTP status, 000 where nothing answers.
http_status() {
    ask -o /dev/null -w '%{http_code}' "$1" 2>/dev/null || true
}

is_ready() {
    local status
    case $1 in
    # Metadata that names the broker, and all others that run: it listens, and the controller has admitted them.
    kafka*) (($(brokers_known_to "$1") >= $(running_nodes "$1"))) ;;
    # 8.19 as distributed here has no `GET /`, but all kinds have this. A node is ready when it is in one
    # cluster with all others that run.
    primary* | backup)
        [[ $(http_status "$(address_of "$1")/_cluster/health?wait_for_status=yellow&wait_for_nodes=ge($(running_nodes "$1"))&timeout=1s") == 200 ]] ;;
    gateway-* | consumer-*) [[ $(http_status "$(admin_of "$1")/readyz") == 200 ]] ;;
    # Alone it is ready when it answers at all; with gateways, when it has found one that is ready.
    # (A 503 of the load balancer's own is told by its text: a gateway may answer 503 as well.)
    lb)
        status=$(http_status "$(address_of lb)/")
        [[ $status != 000 ]] || return 1
        [[ $status == 503 && -n ${LB_NEEDS_GATEWAY:-} ]] || return 0
        ! ask "$(address_of lb)/" | grep -q 'No server is available' ;;
    esac
}

# How many brokers a broker knows, itself included; 0 when it does not answer.
brokers_known_to() {
    local known
    local -a how=()
    [[ $ENCRYPTED == no ]] || how=(-F "$TLS_FOLDER/kcat.conf")
    known=$(kcat "${how[@]}" -L -m 1 -b "$(address_of "$1")" 2>/dev/null | sed -n 's/^ \([0-9]*\) brokers.*/\1/p') || true
    printf '%s' "${known:-0}"
}

# How many nodes of a part's cluster run and are not frozen.
running_nodes() {
    local node running=0
    for node in $(nodes_of "$1"); do
        if part_alive "$node" && ! part_frozen; then running=$((running + 1)); fi
    done
    printf '%s' "$running"
}

# ready, running (started, not ready), frozen, stopped, dead (ended, but not by `stop`)
state_of() {
    if part_alive "$1" && part_frozen; then
        echo frozen
    elif part_alive "$1"; then
        if is_ready "$1"; then echo ready; else echo running; fi
    elif [[ -f $RUN/pids/$1 ]]; then
        echo dead
    else
        echo stopped
    fi
}

show_log() {
    say "--- the last lines of $(log_of "$1"):" >&2
    # Of this start only: what an earlier one said would mislead.
    tail -n 30 "$(log_of "$1")" | awk '/^--- .*: start of / { n = 0 } { line[n++] = $0 }
        END { for (i = 0; i < n; i++) print line[i] }' >&2 || true
    say "---" >&2
}

# Waits until all named parts are ready; fails with the log of the first one that does not get there.
wait_ready() {
    local began said part left
    local -a waiting=("$@")
    began=$(now_ms)
    said=$began
    while ((${#waiting[@]})); do
        left=()
        for part in "${waiting[@]}"; do
            if ! part_alive "$part"; then
                [[ -f $RUN/pids/$part ]] || { note "$part" "was stopped while starting" >&2; return 1; }
                note "$part" "ended while starting" >&2
                show_log "$part"
                return 1
            elif is_ready "$part"; then
                note "$part" "ready after $(seconds_since "$began") at $(address_of "$part")"
            elif (($(now_ms) - began > TIMEOUT * 1000)); then
                note "$part" "not ready after $TIMEOUT s" >&2
                show_log "$part"
                return 1
            else
                left+=("$part")
            fi
        done
        waiting=("${left[@]}")
        ((${#waiting[@]})) || break
        if (($(now_ms) - said > 10000)); then
            say "  still waiting for: ${waiting[*]}"
            said=$(now_ms)
        fi
        sleep 0.2
    done
}
