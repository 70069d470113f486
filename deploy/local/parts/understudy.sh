# A gateway or a consumer. Sourced by run-part; ends in exec.

run_understudy() {
    local part=$1 binary admin address
    binary=$(binary_of "$part")
    admin=$(admin_of "$part")
    address=$(address_of "$part")
    # Not a setting of theirs: they refuse variables that they do not know.
    unset UNDERSTUDY_BIN
    # Without a terminal a panic's trace is all that is left.
    export RUST_BACKTRACE=${RUST_BACKTRACE:-1}
    case $part in
    gateway-*)
        # Of its own, so that a test can hold one gateway and not the other.
        [[ -z ${UNDERSTUDY_FAILPOINTS:-} ]] || export UNDERSTUDY_FAILPOINTS=$UNDERSTUDY_FAILPOINTS/$part
        export UNDERSTUDY_GATEWAY__NAME=$part \
            UNDERSTUDY_GATEWAY__LISTEN=${address#*://} UNDERSTUDY_GATEWAY__ADMIN_LISTEN=${admin#http://}
        exec "$binary" --config "$RUN/understudy.toml"
        ;;
    consumer-*)
        unset UNDERSTUDY_FAILPOINTS
        export UNDERSTUDY_CONSUMER__NAME=$part UNDERSTUDY_CONSUMER__ADMIN_LISTEN=${admin#http://}
        exec "$binary" --config "$RUN/understudy.toml" --target backup
        ;;
    esac
}
