# Class archives (the JVM's CDS) that halve the time and the work of a server's start. Sourced, never run.
#
# The JVM writes an archive at the end of a run that it is told to observe. So after a download the
# servers run once in a small stack of their own, on free ports. Without an archive, or with one
# that no longer fits the JVM, everything works as well, only slower.

# The distributions (7.17, 8.19) have launchers of their own, which are left as they are.
archivable() { [[ -z $(version_of "$1") ]]; }

archive_of() {
    local jdk
    jdk=$(cksum <"$(java_home)/release" | cut -d' ' -f1) || jdk=unknown
    printf '%s/start-%s.jsa' "$(cached "$1")" "$jdk"
}

java_home() {
    local java
    java=$(readlink -f "$(command -v java)")
    printf '%s' "${java%/bin/java}"
}

# Flags that the caller wants for every server.
read -ra JAVA_FLAGS <<<"${STACK_JAVA_FLAGS:-}"

# Sets ARCHIVE_FLAGS, what a server's JVM is told about its archive.
choose_archive_flags() {
    local archive
    archive=$(archive_of "$1")
    ARCHIVE_FLAGS=()
    if [[ -n ${STACK_OBSERVE:-} ]]; then
        ARCHIVE_FLAGS=("-XX:ArchiveClassesAtExit=$archive.new" -Xlog:cds=off -Xlog:cds+dynamic=off)
    elif [[ -s $archive ]]; then
        ARCHIVE_FLAGS=("-XX:SharedArchiveFile=$archive" -Xlog:cds=off -Xlog:cds+dynamic=off)
    fi
}

# Makes the archives that the named parts lack.
archive_parts() {
    local part kind lock began
    local -a parts=() kinds=()
    [[ -z ${STACK_OBSERVE:-} ]] || return 0
    missing_archives "$@"
    ((${#parts[@]})) || return 0
    exec {lock}>"$CACHE/archive.lock"
    flock "$lock"
    missing_archives "$@" # again: another stack may have made them while we waited
    if ((${#parts[@]})); then
        began=$(now_ms)
        note "${kinds[*]}" "one run to observe, for faster starts"
        observe "${parts[@]}" || true
        for kind in "${kinds[@]}"; do
            # An empty archive says: tried, did not work, do not try again.
            if [[ -s $(archive_of "$kind").new ]]; then
                mv -f "$(archive_of "$kind").new" "$(archive_of "$kind")"
            else
                : >"$(archive_of "$kind")"
                note "$kind" "no archive, starts stay slower (see $CACHE/archive.log)"
            fi
        done
        note "${kinds[*]}" "observed in $(seconds_since "$began")"
    fi
    exec {lock}>&-
}

# Fills the caller's `parts` and `kinds`: one part for each kind that has no archive.
missing_archives() {
    local part kind
    parts=() kinds=()
    for part in "$@"; do
        kind=$(kind_of "$part")
        case $part in kafka | primary | backup) ;; *) continue ;; esac
        archivable "$kind" || continue
        [[ -f $(archive_of "$kind") || " ${kinds[*]} " == *" $kind "* ]] && continue
        parts+=("$part") kinds+=("$kind")
    done
}

observe() (
    unset "${PORT_NAMES[@]}" PRIMARY_NODES TLS
    export STACK_RUN=$CACHE/.observed STACK_CACHE=$CACHE STACK_OBSERVE=yes PORTS=free
    export PRIMARY=${KINDS[primary]} BACKUP=${KINDS[backup]}
    exec >"$CACHE/archive.log" 2>&1
    rm -f "$CACHE"/*/*.jsa.new
    # Also when this is interrupted: the servers are detached and would stay.
    trap '"$LOCAL/stack" down && "$LOCAL/stack" wipe' EXIT
    STOP_SECONDS=300 "$LOCAL/stack" up "$@"
    STOP_SECONDS=300 "$LOCAL/stack" down
)
