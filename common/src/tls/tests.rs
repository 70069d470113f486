use std::{fs, path::PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::*;

/// A folder for certificates, which is removed in the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("understudy-{name}-{}", crate::process::random_id()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.join(name);
        fs::write(&file, text).unwrap();
        file
    }

    /// A root, and a certificate of it with its key.
    pub(crate) fn identity(&self, name: &str) -> (PathBuf, IdentityFiles) {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &root).unwrap();
        let cert_file = self.write(&format!("{name}.pem"), &leaf.pem());
        let key_file = self.write(&format!("{name}.key"), &key.serialize_pem());
        (self.write(&format!("{name}-ca.pem"), &root.pem()), IdentityFiles { cert_file, key_file })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_are_read_and_what_is_wrong_with_them_is_said() {
    let folder = Folder::new("tls-files");
    let (ca, identity) = folder.identity("a");
    let (_, other) = folder.identity("b");
    let client = |ca_file: &PathBuf, identity: Option<&IdentityFiles>| {
        ClientFiles { ca_file: Some(ca_file.clone()), identity: identity.cloned() }.build().map(drop)
    };
    client(&ca, None).unwrap();
    client(&ca, Some(&identity)).unwrap();
    ServerFiles { identity: identity.clone(), client_ca_file: Some(ca.clone()) }.build().unwrap();
    let missing = folder.0.join("missing.pem");
    assert!(client(&missing, None).unwrap_err().contains("missing.pem"));
    assert!(client(&identity.key_file, None).unwrap_err().contains("holds no certificate"));
    let mixed = IdentityFiles { key_file: other.key_file, ..identity.clone() };
    assert!(client(&ca, Some(&mixed)).unwrap_err().contains("do not fit together"));
    let turned = IdentityFiles { cert_file: identity.key_file, key_file: identity.cert_file };
    let error = ServerFiles { identity: turned, client_ca_file: None }.build().map(drop).unwrap_err();
    assert!(error.contains("a.key"), "{error}");
}

#[test]
fn what_was_there_stays_until_the_new_files_are_whole() {
    let folder = Folder::new("tls-reload");
    let (_, identity) = folder.identity("a");
    let files = Reloading::new(ServerFiles { identity: identity.clone(), client_ca_file: None }).unwrap();
    let before = files.current();
    assert_eq!(files.reload(), Ok(false));
    let later = |file: &PathBuf, seconds| {
        let time = SystemTime::now() + Duration::from_secs(seconds);
        fs::File::options().write(true).open(file).unwrap().set_modified(time).unwrap();
    };
    let (_, other) = folder.identity("b");
    fs::copy(&other.cert_file, &identity.cert_file).unwrap();
    later(&identity.cert_file, 5);
    assert!(files.reload().unwrap_err().contains("do not fit together"));
    assert!(Arc::ptr_eq(&before, &files.current()));
    fs::copy(&other.key_file, &identity.key_file).unwrap();
    later(&identity.key_file, 5);
    assert_eq!(files.reload(), Ok(true));
    assert!(!Arc::ptr_eq(&before, &files.current()));
}
