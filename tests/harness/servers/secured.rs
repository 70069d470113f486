//! A primary with HTTPS and users of its own.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::{Http, Stack};

/// An authority that signs certificates of servers on this machine, as files.
pub struct Authority {
    folder: PathBuf,
}

impl Authority {
    /// A new one. Its folder gets `ca.pem`, and a certificate `http.pem` with its key `http.key`.
    ///
    /// # Panics
    /// When the folder cannot be written.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let mut params = CertificateParams::new(vec![]).expect("no names are good names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate whose issuer has its own name for a root.
        params.distinguished_name.push(DnType::CommonName, "Understudy tests");
        let key = || KeyPair::generate().expect("a key");
        let root = CertifiedIssuer::self_signed(params, key()).expect("a root");
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let leaf_key = key();
        let mut params = CertificateParams::new(names).expect("good names");
        params.distinguished_name.push(DnType::CommonName, "localhost");
        let leaf = params.signed_by(&leaf_key, &root).expect("a leaf");
        for (name, text) in [("ca.pem", root.pem()), ("http.pem", leaf.pem()), ("http.key", leaf_key.serialize_pem())] {
            std::fs::write(folder.join(name), text).expect("the folder can be written");
        }
        Self { folder }
    }

    /// Its own certificate.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// An Elasticsearch 8.19 with x-pack security: HTTPS, and the users `operator` (everything), `understudy` (the service
/// account), `writer` (writes only) and `reader` (reads only).
///
/// It stands alone beside the stack that tests share, for one test; it stops with it, and its log stays.
pub struct Secured {
    stack: Stack,
    authority: Authority,
}

impl Secured {
    /// The password of every user.
    pub const PASSWORD: &str = "understudy-tests";

    /// Starts it.
    ///
    /// # Panics
    /// When there is no stack beside which it could stand, or when it does not start.
    pub async fn start() -> Self {
        let shared = Stack::of_tests();
        let name = shared.run().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let run = shared.run().with_file_name(format!("{name}-secured"));
        let authority = Authority::new(run.with_extension("tls"));
        let stack = Stack::at(run)
            .with("PORTS", "free")
            .with("PRIMARY", "elasticsearch-8.19")
            .with("ES_AUTH", format!("operator:{}", Self::PASSWORD))
            .with("ES_SECURITY", authority.folder().display().to_string());
        let secured = Self { stack, authority };
        for (verb, parts) in [("down", &[][..]), ("wipe", &[]), ("up", &["primary"])] {
            if let Err(error) = secured.stack.run_script(verb, parts).await {
                panic!("{error:#}");
            }
        }
        secured
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> String {
        self.stack.address("primary")
    }

    /// Who signed its certificate.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The server itself, for the user who may do everything.
    #[must_use]
    pub fn operator(&self) -> Http {
        Http::trusting(&self.address(), &self.authority.ca_file()).as_user("operator", Self::PASSWORD)
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        let down = self.stack.script("down", &[]).stdout(std::process::Stdio::null()).status();
        if !down.as_ref().is_ok_and(std::process::ExitStatus::success) {
            eprintln!("the secured server could not be stopped: {down:?}");
        }
    }
}
