//! TLS: who we are and whom we trust, from PEM files, read anew when they change.

mod ends;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

pub use ends::{Ends, Sections, register_ends};
use ends::{earliest, latest};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

/// Files with what one end of TLS connections shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    /// Its certificate, and those that lead to the root (PEM).
    pub cert_file: PathBuf,
    /// Its private key (PEM; PKCS#8, PKCS#1 or SEC1).
    pub key_file: PathBuf,
}

/// What a client of TLS needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFiles {
    /// Roots to trust; without it those of the system.
    pub ca_file: Option<PathBuf>,
    /// What the client shows to servers that ask for it.
    pub identity: Option<IdentityFiles>,
}

/// What a server of TLS needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFiles {
    /// What it shows.
    pub identity: IdentityFiles,
    /// Roots of the clients' certificates; without it clients need none, with it they must show one.
    pub client_ca_file: Option<PathBuf>,
}

/// What can be read from files.
pub trait Material: Clone + Send + Sync + 'static {
    /// What is made of it.
    type Built: Send + Sync;

    /// The files.
    fn files(&self) -> Vec<&Path>;

    /// Reads them.
    ///
    /// # Errors
    /// With the file and what is wrong with it.
    fn build(&self) -> Result<Self::Built, String>;

    /// When the certificates in the files end.
    fn ends(&self) -> Ends;
}

impl Material for ClientFiles {
    type Built = ClientConfig;

    fn files(&self) -> Vec<&Path> {
        let identity = self.identity.iter().flat_map(|files| [&files.cert_file, &files.key_file]);
        self.ca_file.iter().chain(identity).map(PathBuf::as_path).collect()
    }

    fn build(&self) -> Result<ClientConfig, String> {
        let roots = match &self.ca_file {
            Some(file) => roots(file)?,
            None => system_roots()?,
        };
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        match &self.identity {
            None => Ok(config.with_no_client_auth()),
            Some(files) => config
                .with_client_auth_cert(certificates(&files.cert_file)?, key(&files.key_file)?)
                .map_err(|error| unfit(files, &error)),
        }
    }

    fn ends(&self) -> Ends {
        let shown = self.identity.iter().map(|files| ("cert_file", earliest(&files.cert_file)));
        self.ca_file.iter().map(|file| ("ca_file", latest(file))).chain(shown).collect()
    }
}

impl Material for ServerFiles {
    type Built = ServerConfig;

    fn files(&self) -> Vec<&Path> {
        let IdentityFiles { cert_file, key_file } = &self.identity;
        [cert_file, key_file].into_iter().chain(&self.client_ca_file).map(PathBuf::as_path).collect()
    }

    /// Protocols for ALPN are for the one who serves to add.
    fn build(&self) -> Result<ServerConfig, String> {
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let config = match &self.client_ca_file {
            None => config.with_no_client_auth(),
            Some(file) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(file)?), provider()).build();
                config.with_client_cert_verifier(verifier.map_err(|error| format!("{}: {error}", file.display()))?)
            }
        };
        let files = &self.identity;
        config
            .with_single_cert(certificates(&files.cert_file)?, key(&files.key_file)?)
            .map_err(|error| unfit(files, &error))
    }

    fn ends(&self) -> Ends {
        let trusted = self.client_ca_file.iter().map(|file| ("client_ca_file", latest(file)));
        trusted.chain([("cert_file", earliest(&self.identity.cert_file))]).collect()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn unfit(files: &IdentityFiles, error: &rustls::Error) -> String {
    format!("{} and {} do not fit together: {error}", files.cert_file.display(), files.key_file.display())
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(format!("{} holds no certificate (PEM)", file.display())),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("cannot read certificates from {}: {error}", file.display())),
    }
}

fn key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| format!("cannot read a key from {}: {error}", file.display()))
}

fn roots(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| format!("{} holds no usable root: {error}", file.display()))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err("this system has no root certificates; name a ca_file".to_owned());
    }
    Ok(roots)
}

/// What was built from files, as they are now. Cheap to clone.
pub struct Reloading<M: Material> {
    material: M,
    current: Arc<RwLock<Read<M::Built>>>,
}

/// What was read, and when its files had been changed last.
struct Read<B> {
    times: Vec<Option<SystemTime>>,
    built: Arc<B>,
    ends: Ends,
}

impl<M: Material> Clone for Reloading<M> {
    fn clone(&self) -> Self {
        Self { material: self.material.clone(), current: self.current.clone() }
    }
}

impl<M: Material + std::fmt::Debug> std::fmt::Debug for Reloading<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.material.fmt(f)
    }
}

impl<M: Material> Reloading<M> {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// With the file and what is wrong with it.
    pub fn new(material: M) -> Result<Self, String> {
        let times = times(&material);
        let (built, ends) = (Arc::new(material.build()?), material.ends());
        Ok(Self { material, current: Arc::new(RwLock::new(Read { times, built, ends })) })
    }

    /// As they were read last.
    #[must_use]
    pub fn current(&self) -> Arc<M::Built> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).built.clone()
    }

    /// When the certificates that are used end.
    #[must_use]
    pub fn ends(&self) -> Ends {
        self.current.read().unwrap_or_else(PoisonError::into_inner).ends.clone()
    }

    /// Reads the files anew if one of them has changed; says whether they were. What was there stays where they cannot be
    /// read, as while somebody replaces one after the other. Blocks.
    ///
    /// # Errors
    /// With the file and what is wrong with it.
    pub fn reload(&self) -> Result<bool, String> {
        let times = times(&self.material);
        if self.current.read().unwrap_or_else(PoisonError::into_inner).times == times {
            return Ok(false);
        }
        let (built, ends) = (Arc::new(self.material.build()?), self.material.ends());
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Read { times, built, ends };
        Ok(true)
    }

    /// Looks every `interval` whether a file has changed, for as long as it is polled.
    pub async fn watch(self, interval: Duration) {
        let mut said = None;
        loop {
            tokio::time::sleep(interval).await;
            let look = self.clone();
            match tokio::task::spawn_blocking(move || look.reload()).await {
                Ok(Ok(true)) => {
                    said = None;
                    tracing::info!(files = ?self.material.files(), "certificates were read anew");
                }
                Ok(Err(error)) if said.as_ref() != Some(&error) => {
                    tracing::error!(error, "certificates have changed and cannot be used; the former ones stay");
                    said = Some(error);
                }
                _ => {}
            }
        }
    }
}

fn times(material: &impl Material) -> Vec<Option<SystemTime>> {
    material.files().into_iter().map(|file| std::fs::metadata(file).and_then(|data| data.modified()).ok()).collect()
}

#[cfg(test)]
pub(crate) mod tests;
