//! A whole stack with `TLS=yes`: everything speaks TLS and asks for a password, and nothing tells a secret.

mod encrypted;
mod extra;
mod secrets;
mod system;

use secrets::Arguments;
use system::System;

/// One stack serves both, for its servers take long to start; what the first provokes is what the second looks through.
#[tokio::test(flavor = "multi_thread")]
async fn everything_speaks_tls_and_nothing_tells_a_secret() {
    let arguments = Arguments::watch();
    let system = System::start().await;
    let mut heard = encrypted::documents_come_through_https(&system).await;
    encrypted::plain_connections_are_refused(&system).await;
    heard.extend(encrypted::wrong_certificates_and_passwords_are_refused(&system).await);
    heard.extend(secrets::programs_say(&system).await);
    heard.extend(secrets::admin_ports_show(&system).await);
    heard.extend(secrets::logs_have(&system));
    heard.extend(secrets::kafka_has(&system).await);
    heard.extend(arguments.seen());
    secrets::assert_none(&system, &heard);
}
