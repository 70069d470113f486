# The load balancer in front of the gateways. Sourced by run-part; ends in exec.

run_lb() {
    local config=$RUN/config/haproxy.cfg bind='' server=''
    if [[ $ENCRYPTED == yes ]]; then
        bind=" ssl crt $TLS_FOLDER/lb.both.pem alpn h2,http/1.1"
        # Their names are checked. The admin ports, which health checks ask, speak plain HTTP.
        server=" ssl verify required ca-file $TLS_FOLDER/ca.pem verifyhost localhost"
    fi
    cat >"$config" <<HAPROXY
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
    bind 127.0.0.1:$LB_PORT$bind
    default_backend gateways

backend gateways
    balance roundrobin
    option httpchk GET /readyz
    http-check expect status 200
    default-server check inter 500ms fall 2 rise 1 observe layer4
    server gateway-1 127.0.0.1:$GATEWAY_1_PORT port $GATEWAY_1_ADMIN_PORT$server
    server gateway-2 127.0.0.1:$GATEWAY_2_PORT port $GATEWAY_2_ADMIN_PORT$server
HAPROXY
    # In the foreground (-db): one process, which has the recorded pid.
    exec "$(haproxy_program)" -f "$config" -db
}

# Debian keeps it where only root's PATH looks.
haproxy_program() { PATH=$PATH:/usr/sbin:/usr/local/sbin command -v haproxy; }
