# What a person (status) and a program (stack.json) see of the stack. Sourced, never run.

json_text() {
    local s=${1//\\/\\\\}
    printf '"%s"' "${s//\"/\\\"}"
}
json_text_or_null() { if [[ -n $1 ]]; then json_text "$1"; else printf null; fi; }

# Fills STATES once, so that a verb that shows and writes asks each part only once.
look() {
    local part
    declare -gA STATES=()
    for part in "${PARTS[@]}"; do STATES[$part]=$(state_of "$part"); done
}

pid_of() { if part_alive "$1"; then printf '%s' "$PID"; fi; }

show_status() {
    local part pid all=0
    printf '%-11s %-8s %-8s %-23s %s\n' PART STATE PID ADDRESS LOG
    for part in "${PARTS[@]}"; do
        pid=$(pid_of "$part")
        printf '%-11s %-8s %-8s %-23s %s\n' "$part" "${STATES[$part]}" "${pid:--}" "$(address_of "$part")" "$(log_of "$part")"
        [[ ${STATES[$part]} == ready ]] || all=1
    done
    return "$all"
}

write_json() {
    local part pid comma=
    [[ -d $RUN ]] || return 0
    {
        printf '{\n  "run": %s,\n  "config": %s,\n' "$(json_text "$RUN")" "$(json_text "$RUN/understudy.toml")"
        for part in primary backup; do
            printf '  "%s": {"kind": %s},\n' "$part" "$(json_text "${KINDS[$part]}")"
        done
        printf '  "parts": {'
        for part in "${PARTS[@]}"; do
            pid=$(pid_of "$part")
            printf '%s\n    "%s": {"kind": %s, "state": "%s", "pid": %s, "address": %s, "admin": %s, "log": %s}' \
                "$comma" "$part" "$(json_text "$(kind_of "$part")")" "${STATES[$part]}" "${pid:-null}" \
                "$(json_text "$(address_of "$part")")" "$(json_text_or_null "$(admin_of "$part")")" \
                "$(json_text "$(log_of "$part")")"
            comma=,
        done
        printf '\n  }\n}\n'
    } | write_file "$RUN/stack.json"
}
