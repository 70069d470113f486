# Brings the servers' jars into the cache with Maven. Sourced, never run.

MAVEN_DEPENDENCY=org.apache.maven.plugins:maven-dependency-plugin:3.6.1

# Elasticsearch as its makers distribute it for integration tests: the real program, few modules.
version_of() {
    case $1 in
    elasticsearch-7.17) echo 7.17.29 ;;
    elasticsearch-8.19) echo 8.19.0 ;;
    esac
}

# Where a server lies in the cache. The name contains a checksum of what it is made from, so that a
# changed pom or launcher never meets old jars.
cached() {
    local kind=$1 version
    version=$(version_of "$kind")
    if [[ -n $version ]]; then
        printf '%s/elasticsearch-%s' "$CACHE" "$version"
    else
        printf '%s/%s-%s' "$CACHE" "$kind" "$(cat "$LOCAL/servers/$kind"/* | cksum | cut -d' ' -f1)"
    fi
}

servers_of() {
    local part
    for part in "$@"; do
        case $part in kafka* | primary* | backup) kind_of "$part" ;; esac
    done | sort -u
}

fetch_parts() {
    local kind
    for kind in $(servers_of "$@"); do
        [[ -d $(cached "$kind") ]] || fetch_server "$kind"
    done
}

fetch_server() {
    local kind=$1 began lock target work
    target=$(cached "$kind")
    mkdir -p "$CACHE"
    # One for all of this user's stacks: they share Maven's own repository, which is not made for
    # two at a time.
    exec {lock}>"${TMPDIR:-/tmp}/understudy-maven-$(id -u).lock"
    if ! flock -n "$lock"; then
        note "$kind" "waits for another download to end"
        flock "$lock"
    fi
    if [[ ! -d $target ]]; then
        began=$(now_ms)
        note "$kind" "fetching with Maven"
        work=$CACHE/.incoming-$kind
        rm -rf "$work"
        mkdir -p "$work"
        if [[ -n $(version_of "$kind") ]]; then fetch_zip "$kind" "$work"; else fetch_jars "$kind" "$work"; fi
        # Complete or not there at all.
        mv -T "$work/server" "$target"
        rm -rf "$work"
        note "$kind" "fetched $(du -sh "$target" | cut -f1) in $(seconds_since "$began")"
    fi
    exec {lock}>&-
}

fetch_jars() {
    local kind=$1 work=$2
    mkdir -p "$work/server"
    maven "$kind" "$work" -f "$LOCAL/servers/$kind/pom.xml" "$MAVEN_DEPENDENCY:copy-dependencies" \
        -DincludeScope=runtime -DoutputDirectory="$work/server/lib"
    if compgen -G "$LOCAL/servers/$kind/*.java" >/dev/null; then
        javac -nowarn -cp "$work/server/lib/*" -d "$work/classes" "$LOCAL/servers/$kind"/*.java ||
            die "cannot compile the launcher of $kind"
        # A jar, for class archives do not take folders.
        jar --create --file "$work/server/lib/launcher.jar" -C "$work/classes" .
    fi
}

fetch_zip() {
    local kind=$1 work=$2 version
    version=$(version_of "$kind")
    maven "$kind" "$work" "$MAVEN_DEPENDENCY:copy" -DoutputDirectory="$work" \
        -Dartifact="org.elasticsearch.distribution.integ-test-zip:elasticsearch:$version:zip"
    unzip -q "$work/elasticsearch-$version.zip" -d "$work" || die "the archive of $kind is damaged"
    mv "$work/elasticsearch-$version" "$work/server"
    # It runs as another user where we are root.
    chmod -R go+rX "$work/server"
}

# Downloads fail for a moment now and then; what arrived is kept in Maven's repository, so a retry
# goes on where the last try ended.
maven() {
    local kind=$1 work=$2 try
    shift 2
    for try in 1 2 3 4; do
        if (cd "$work" && mvn -q -B "$@") >"$work/maven.log" 2>&1; then return 0; fi
        ((try == 4)) && break
        note "$kind" "Maven failed (try $try of 4), next try in $((try * 3)) s"
        sleep $((try * 3))
    done
    tail -n 20 "$work/maven.log" >&2
    die "cannot fetch $kind"
}
