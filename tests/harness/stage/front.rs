//! HTTPS for clients.

use rcgen::{CertificateParams, KeyPair};

use crate::Stage;

impl Stage {
    /// Has gateways that start from now on show a certificate of their own, for `localhost`. `change` may change what it says.
    ///
    /// # Panics
    /// When it cannot be made or written.
    #[must_use]
    pub fn with_certificate(self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let [cert_file, key_file] = ["front.pem", "front.key"].map(|name| self.folder().join(name));
        std::fs::write(&cert_file, params.self_signed(&key).expect("a certificate").pem()).expect("a file");
        std::fs::write(&key_file, key.serialize_pem()).expect("a file");
        self.set("gateway.tls.cert_file", cert_file.display().to_string())
            .set("gateway.tls.key_file", key_file.display().to_string())
    }
}
