# Elasticsearch 7.17 and 8.19 from the makers' own distribution. Sourced by run-part; ends in exec.
#
# They refuse to run as root, so root gives them a user. That user must be able to read the program
# and to write the data, which it cannot where one of the folders above is closed to it (/root is);
# then they live under /var/lib instead.

ES_USER=understudy-es
ES_AWAY=/var/lib/$ES_USER

run_distribution() {
    local part=$1 kind=$2 program data heap
    heap=$(heap_of "$part")
    local -a as=()
    program=$(cached "$kind")
    data=$(data_of "$part")
    if ((EUID == 0)); then
        id "$ES_USER" >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin "$ES_USER"
        program=$(readable_program "$program")
        data=$(reachable_data "$data")
        as=(setpriv "--reuid=$ES_USER" "--regid=$ES_USER" --clear-groups)
    fi
    mkdir -p "$data"/{config,data,logs,tmp}
    search_settings "$part" | sed 's/=/: /' >"$data/config/elasticsearch.yml"
    printf '%s: %s\n' path.data "$data/data" path.logs "$data/logs" >>"$data/config/elasticsearch.yml"
    security_settings "$data/config" >>"$data/config/elasticsearch.yml"
    printf '%s\n' "-Xms$heap" "-Xmx$heap" -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError \
        "-Djava.io.tmpdir=$data/tmp" "${JAVA_FLAGS[@]}" >"$data/config/jvm.options"
    cp "$LOCAL/servers/log4j2.properties" "$data/config/"
    ((EUID != 0)) || chown -R "$ES_USER:" "$data"
    cd "$data" || die "cannot enter $data"
    exec "${as[@]}" env HOME="$data" ES_JAVA_HOME="$(java_home)" ES_PATH_CONF="$data/config" \
        ES_TMPDIR="$data/tmp" "$program/bin/elasticsearch"
}

# With a folder of certificates, HTTPS. Users are those of TLS=yes, which lie in it, or those of servers/elasticsearch-secured.
security_settings() {
    local folder cluster
    folder=$(security_folder)
    if [[ -z $folder ]]; then
        echo xpack.security.enabled: false
        return
    fi
    if [[ $ENCRYPTED == yes ]]; then
        cluster=$(cluster_of "$part")
        cp "$folder"/{users,users_roles,roles.yml,ca.pem} "$1/"
        cp "$folder/$cluster.pem" "$1/http.pem"
        cp "$folder/$cluster.key" "$1/http.key"
        printf '%s: %s\n' xpack.security.transport.ssl.enabled true xpack.security.transport.ssl.verification_mode full \
            xpack.security.transport.ssl.certificate http.pem xpack.security.transport.ssl.key http.key \
            xpack.security.transport.ssl.certificate_authorities ca.pem
    else
        cp "$LOCAL"/servers/elasticsearch-secured/* "$folder"/http.{pem,key} "$1/"
    fi
    printf '%s: %s\n' xpack.security.enabled true xpack.security.enrollment.enabled false \
        xpack.security.autoconfiguration.enabled false xpack.security.http.ssl.enabled true \
        xpack.security.http.ssl.certificate http.pem xpack.security.http.ssl.key http.key
}

user_can() { setpriv "--reuid=$ES_USER" "--regid=$ES_USER" --clear-groups test "$1" "$2"; }

readable_program() {
    local away
    if user_can -r "$1/bin/elasticsearch"; then
        printf '%s' "$1"
        return
    fi
    away=$ES_AWAY/${1##*/}
    if [[ ! -d $away ]]; then
        mkdir -p "$ES_AWAY"
        cp -r "$1" "$away.$BASHPID"
        # Two nodes that start together may both copy; the first one wins.
        mv -T "$away.$BASHPID" "$away" 2>/dev/null || rm -rf "$away.$BASHPID"
    fi
    printf '%s' "$away"
}

reachable_data() {
    local away
    mkdir -p "$1"
    if user_can -x "$1/."; then
        printf '%s' "$1"
        return
    fi
    # `wipe` follows this note.
    away=$ES_AWAY/$(printf '%s' "$RUN" | cksum | cut -d' ' -f1)/${1##*/}
    mkdir -p "$away"
    printf '%s\n' "$away" >"$1/moved-to"
    printf '%s' "$away"
}
