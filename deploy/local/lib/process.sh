# Starting and ending processes, by recorded pid only. Sourced, never run.
#
# Each part is a session of its own (setsid); its leader's pid and start time stand in pids/PART.
# A pid alone may belong to somebody else after a crash or a reboot, so nothing is signalled unless
# its start time matches, or, for a child that outlived its leader, unless it is in that session
# and carries this run's mark in its environment.

mark_of() { printf 'STACK_PART=%s:%s' "$RUN" "$1"; }

# Sets STAT_STATE, STAT_SESSION and STAT_START of a process; fails where there is none. A zombie counts as none,
# unless some of its threads still end: until they have, they hold its ports and file locks.
read_stat() {
    local line
    local -a field
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
    read -ra field <<<"${line##*) }" # the name in parentheses may contain spaces
    STAT_STATE=${field[0]} STAT_SESSION=${field[3]} STAT_START=${field[19]}
    [[ $STAT_STATE != [ZX] ]] || ((field[17] > 1))
}

# Sets PID and START from the record of a part; fails where there is none.
read_record() {
    PID='' START=''
    { read -r PID START <"$RUN/pids/$1"; } 2>/dev/null && [[ -n $PID && -n $START ]]
}

part_alive() {
    read_record "$1" && read_stat "$PID" && [[ $STAT_START == "$START" ]]
}

# Whether the part that part_alive has just looked at is stopped by a signal.
part_frozen() { [[ $STAT_STATE == T ]]; }

any_alive() {
    local part
    for part in "${PARTS[@]}"; do part_alive "$part" && return 0; done
    return 1
}

# Prints the pids of a part that live, given the pid and start time of its leader.
members_of() {
    local part=$1 leader=$2 start=$3 dir pid
    for dir in /proc/[0-9]*; do
        pid=${dir#/proc/}
        read_stat "$pid" || continue
        [[ $STAT_SESSION == "$leader" ]] || continue
        if [[ $pid == "$leader" ]]; then
            [[ $STAT_START == "$start" ]] || continue
        else
            grep -qzxF -- "$(mark_of "$part")" "$dir/environ" 2>/dev/null || continue
        fi
        printf '%s\n' "$pid"
    done
}

signal_members() {
    local pids
    pids=$(members_of "$2" "$3" "$4")
    [[ -z $pids ]] && return 1
    # shellcheck disable=SC2086 # one word for each pid
    kill "-$1" $pids 2>/dev/null || true
}

# Waits up to $1 seconds until no process of the part is left.
wait_gone() {
    local end=$(($(now_ms) + $1 * 1000))
    while [[ -n $(members_of "$2" "$3" "$4") ]]; do
        (($(now_ms) < end)) || return 1
        sleep 0.1
    done
}

# Starts a part in a session of its own that holds none of our descriptors: not the caller's pipe
# (a `make up | tee` would never end), not our lock.
launch() {
    local part=$1 pid fd log
    log=$(log_of "$part")
    end_leftovers "$part"
    printf -- '--- %s: start of %s\n' "$(date '+%F %T')" "$(kind_of "$part")" >>"$log"
    (
        for fd in /proc/self/fd/*; do
            fd=${fd##*/}
            ((fd > 2)) && eval "exec $fd>&-" 2>/dev/null
        done
        STACK_RUN=$RUN STACK_CACHE=$CACHE STACK_PART=$RUN:$part exec setsid "$LOCAL/run-part" "$part"
    ) </dev/null >>"$log" 2>&1 &
    pid=$!
    disown "$pid"
    # The pid stays the same through setsid and exec; it is ours once it leads its own session.
    STAT_START=
    while read_stat "$pid" && [[ $STAT_SESSION != "$pid" ]]; do sleep 0.01; done
    printf '%s %s\n' "$pid" "${STAT_START:-0}" | write_file "$RUN/pids/$part"
}

# A launcher may have died and left its child behind, which would hold ports and data.
end_leftovers() {
    read_record "$1" || return 0
    while signal_members KILL "$1" "$PID" "$START"; do sleep 0.05; done
    rm -f "$RUN/pids/$1"
}

STOP_SECONDS=${STOP_SECONDS:-30}

# Ends the named parts side by side, orderly, and by force those that take too long.
stop_parts() {
    local part end
    local -A pids=() starts=()
    lock_run
    for part in "$@"; do
        read_record "$part" || continue
        pids[$part]=$PID starts[$part]=$START
        signal_members TERM "$part" "$PID" "$START" || true
        # A frozen one hears it only when it goes on.
        signal_members CONT "$part" "$PID" "$START" || true
    done
    unlock_run
    end=$(($(now_ms) + STOP_SECONDS * 1000))
    for part in "$@"; do
        [[ -n ${pids[$part]:-} ]] || continue
        if ! wait_gone $(((end - $(now_ms)) / 1000)) "$part" "${pids[$part]}" "${starts[$part]}"; then
            note "$part" "does not end by itself: killed"
            while signal_members KILL "$part" "${pids[$part]}" "${starts[$part]}"; do sleep 0.05; done
        fi
        # Only the record of what was stopped: a new start may have written its own by now.
        if read_record "$part" && [[ $PID == "${pids[$part]}" ]]; then rm -f "$RUN/pids/$part"; fi
        note "$part" stopped
    done
}

# kill -9, without a chance to tidy up. The record stays: the part shows as dead.
kill_part() {
    part_alive "$1" || die "$1 does not run"
    while signal_members KILL "$1" "$PID" "$START"; do sleep 0.02; done
    note "$1" "killed (pid $PID)"
}

# Its processes stand still, and its connections stay: nobody answers, and nobody says so.
freeze_part() {
    part_alive "$1" || die "$1 does not run"
    signal_members STOP "$1" "$PID" "$START" || true
    note "$1" "frozen (pid $PID)"
}

thaw_part() {
    part_alive "$1" || die "$1 does not run"
    signal_members CONT "$1" "$PID" "$START" || true
    note "$1" "goes on (pid $PID)"
}
