# TLS=yes: HTTPS and passwords everywhere. Sourced, never run.
#
# Certificates, passwords and users lie in the run directory. They are made by its first start and go with `wipe`; whether a
# run directory speaks TLS is decided then and stays (kinds.sh).

TLS_FOLDER=$RUN/tls

# x-pack has TLS and users; 7.17 comes with it as well, and was not tried.
can_tls() { [[ $1 == elasticsearch-8.19 ]]; }

# Call with the run lock held.
make_certificates() {
    local name
    local -a names=()
    [[ $ENCRYPTED == yes ]] || return 0
    for name in kafka primary backup gateway lb; do names+=("$name=127.0.0.1,localhost"); done
    "$REPO/deploy/tls/certificates" "$TLS_FOLDER" "${names[@]}"
    "$REPO/deploy/tls/users" "$TLS_FOLDER"
    (umask 077 && kafka_client_options | sed 's/"//g; s/ = /=/' | write_file "$TLS_FOLDER/kcat.conf")
}

# What clients of Kafka are told, as TOML.
kafka_client_options() {
    printf '%s = "%s"\n' '"security.protocol"' sasl_ssl '"sasl.mechanism"' PLAIN '"sasl.username"' understudy \
        '"sasl.password"' "$(<"$TLS_FOLDER/kafka.password")" '"ssl.ca.location"' "$TLS_FOLDER/ca.pem"
}

# Where a cluster's certificate (http.pem, or one of its own name) and users lie; nothing where it speaks plain HTTP.
security_folder() { if [[ $ENCRYPTED == yes ]]; then printf '%s' "$TLS_FOLDER"; else printf '%s' "${ES_SECURITY:-}"; fi; }

# user:password of who may do everything on the clusters; nothing where nobody is asked.
operator_of_clusters() {
    if [[ $ENCRYPTED == yes ]]; then printf 'operator:%s' "$(<"$TLS_FOLDER/operator.password")"; else printf '%s' "${ES_AUTH:-}"; fi
}

# curl, with the authority and the user of the stack where it has them; the address comes last. They go by a file: arguments
# are seen by everybody.
ask() {
    local folder user=
    folder=$(security_folder)
    # No password of TLS=yes goes to an admin port, which speaks plain HTTP.
    [[ $ENCRYPTED == yes && ${!#} != https:* ]] || user=$(operator_of_clusters)
    curl --noproxy '*' -s --max-time 3 --config <(
        [[ -z $folder ]] || printf 'cacert = "%s/ca.pem"\n' "$folder"
        [[ -z $user ]] || printf 'user = "%s"\n' "$user"
    ) "$@"
}
