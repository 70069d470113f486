# Names, paths and messages that every other file uses. Sourced, never run.

LOCAL=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
REPO=$(cd "$LOCAL/../.." && pwd -P)
RUN=$(realpath -m "${STACK_RUN:-$LOCAL/run}")
CACHE=$(realpath -m "${STACK_CACHE:-$LOCAL/cache}")
TIMEOUT=${STACK_TIMEOUT:-120}

# In the order in which they start. The second wave talks to the first one; a primary of several
# nodes has a part for each (see kinds.sh).
SERVERS=(kafka primary backup)
CLIENTS=(gateway-1 gateway-2 consumer-1 consumer-2 lb)
PARTS=("${SERVERS[@]}" "${CLIENTS[@]}")

say() { printf '%s\n' "$*"; }
note() { printf '  %-11s %s\n' "$1" "$2"; }
die() {
    printf 'stack: %s\n' "$*" >&2
    exit 1
}

now_ms() { local t=${EPOCHREALTIME/[.,]/}; printf '%s' "${t%???}"; }
seconds_since() {
    local ms=$(($(now_ms) - $1))
    printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100))
}

is_part() {
    local part
    for part in "${PARTS[@]}"; do [[ $part == "$1" ]] && return 0; done
    return 1
}

# Sets WANTED to the named parts, each once and in start order; all parts where none is named.
want_parts() {
    local name part
    for name in "$@"; do
        is_part "$name" || die "there is no part '$name'; the parts are: ${PARTS[*]}"
    done
    WANTED=()
    for part in "${PARTS[@]}"; do
        (($# == 0)) || [[ " $* " == *" $part "* ]] || continue
        WANTED+=("$part")
    done
}

log_of() { printf '%s' "$RUN/logs/$1.log"; }

# A file that others read while we write it is replaced in one step.
write_file() {
    local path=$1 work=$1.$BASHPID.tmp
    cat >"$work"
    mv -f "$work" "$path"
}

# One holder at a time per run directory; held for moments only (decide, launch, signal), never
# while something is waited for, so that `stop` works while `up` is waiting.
lock_run() {
    mkdir -p "$RUN"/{pids,logs,data,config}
    exec {RUN_LOCK}>"$RUN/lock"
    flock "$RUN_LOCK"
}
unlock_run() { exec {RUN_LOCK}>&-; }
