# The load balancer in front of the gateways. Sourced by run-part, where it ends in exec; tests/rolling takes its
# configuration for gateways of its own.

run_lb() {
    local config=$RUN/config/haproxy.cfg bind='' server=''
    if [[ $ENCRYPTED == yes ]]; then
        bind=" ssl crt $TLS_FOLDER/lb.both.pem alpn h2,http/1.1"
        # Their names are checked. The admin ports, which health checks ask, speak plain HTTP.
        server=" ssl verify required ca-file $TLS_FOLDER/ca.pem verifyhost localhost"
    fi
    lb_config "127.0.0.1:$LB_PORT$bind" "gateway-1 127.0.0.1:$GATEWAY_1_PORT $GATEWAY_1_ADMIN_PORT$server" \
        "gateway-2 127.0.0.1:$GATEWAY_2_PORT $GATEWAY_2_ADMIN_PORT$server" >"$config"
    # In the foreground (-db): one process, which has the recorded pid.
    exec "$(haproxy_program)" -f "$config" -db
}

# Where it listens, and of each gateway its name, its address, its admin port, and what else stands in its line.
lb_config() {
    local listen=$1 gateway name address admin
    shift
    cat <<HAPROXY
global
    maxconn 1000

defaults
    mode http
    log stdout format raw local0 notice
    timeout connect 2s
    timeout client 120s
    timeout server 120s
    timeout http-keep-alive 120s
    option http-keep-alive
    http-reuse safe
    # A request moves to the other gateway only while nothing of it was sent: a write that a gateway
    # may have seen must never be sent again.
    retries 3
    retry-on conn-failure
    option redispatch 1

frontend applications
    bind $listen
    default_backend gateways

backend gateways
    balance roundrobin
    option httpchk GET /readyz
    http-check expect status 200
    default-server check inter 500ms fall 2 rise 1 observe layer4
HAPROXY
    for gateway in "$@"; do
        read -r name address admin <<<"$gateway"
        printf '    server %s %s port %s\n' "$name" "$address" "$admin"
    done
}

# Debian keeps it where only root's PATH looks.
haproxy_program() { PATH=$PATH:/usr/sbin:/usr/local/sbin command -v haproxy; }
