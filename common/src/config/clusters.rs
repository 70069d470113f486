//! `[clusters.<name>]`: where a cluster is and how it is spoken to.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{
    index_settings,
    reader::{Errors, Section},
};
use crate::tls::{ClientFiles, IdentityFiles, Material, Reloading};

/// A cluster of Elasticsearch or OpenSearch.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Base addresses of its nodes, without a path at the end; at least one, all `http` or all `https`.
    pub urls: Vec<String>,
    /// Whom to trust and what to show where they are `https`. All clients of the cluster share it, and what is read anew.
    pub tls: Option<Reloading<ClientFiles>>,
    /// The service account: for probes, metadata and (on targets) writes.
    pub credentials: Option<Credentials>,
    /// Settings that indices get on this cluster instead of the primary's, when it is a target.
    pub index_settings: BTreeMap<String, String>,
    /// Whether it is used although this build was not tested with its version.
    pub allow_untested_version: bool,
}

/// A user and his password.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// User.
    pub username: String,
    /// Password.
    pub password: Secret,
}

/// A text that is never printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one who must send it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

pub(super) fn read_all(section: Section<'_>, errors: &Errors) -> BTreeMap<String, ClusterConfig> {
    let mut clusters = BTreeMap::new();
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for (name, section) in section.into_named() {
        let path = section.path.clone();
        check_name(&path, &name, errors);
        let cluster = read(section);
        for url in &cluster.urls {
            if let Some(other) = owners.insert(url.clone(), name.clone()).filter(|other| *other != name) {
                let url = shown(url);
                errors.note(&path, format!("{url} is an address of cluster {other} as well; a cluster has one name"));
            }
        }
        clusters.insert(name, cluster);
    }
    if clusters.is_empty() {
        errors
            .note("clusters", "none is configured; at least a primary and a target are needed ([clusters.primary], …)");
    }
    clusters
}

/// Names become parts of topic names and of environment variables, which are folded to lower case.
pub(super) fn check_name(path: &str, name: &str, errors: &Errors) {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) || name.contains("__") {
        errors.note(path, format!("the name {name:?} must be 1 to 64 of a-z, 0-9, - and single _"));
    }
}

fn read(mut section: Section<'_>) -> ClusterConfig {
    let urls: Vec<String> = section.texts("urls").into_iter().map(|url| url.trim_end_matches('/').to_owned()).collect();
    if urls.is_empty() {
        section.note("urls", "must name at least one address such as \"http://127.0.0.1:9201\"");
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = urls.iter().find(|url| !seen.insert(*url)) {
        section.note("urls", format!("{} stands twice", shown(twice)));
    }
    for url in &urls {
        check_url(&section, url);
    }
    let credentials = read_credentials(&mut section);
    let tls = read_tls(&mut section, &urls);
    let index_settings = index_settings::read(section.section("index_settings"));
    let allow_untested_version = section.boolean("allow_untested_version", false);
    section.finish();
    ClusterConfig { urls, tls, credentials, index_settings, allow_untested_version }
}

/// An address without the credentials that somebody put into it.
fn shown(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => url.to_owned(),
    }
}

fn check_url(section: &Section<'_>, url: &str) {
    let parsed: Result<hyper::Uri, _> = url.parse();
    match parsed {
        Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() => {
            if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
                section.note("urls", "must not hold credentials; use username and password_file");
            } else if uri.query().is_some() || uri.path() != "/" {
                section.note("urls", format!("{} must have neither path nor query", shown(url)));
            }
        }
        _ => section.note("urls", format!("{:?} is no address such as \"http://127.0.0.1:9201\"", shown(url))),
    }
}

/// Reads the files, so that what is wrong with them is known before anything starts.
fn read_tls(section: &mut Section<'_>, urls: &[String]) -> Option<Reloading<ClientFiles>> {
    let ca_file = section.text("ca_file");
    let (cert_file, key_file) = (section.text("cert_file"), section.text("key_file"));
    let secure = urls.iter().filter(|url| url.starts_with("https:")).count();
    if secure == 0 {
        for (key, file) in [("ca_file", &ca_file), ("cert_file", &cert_file), ("key_file", &key_file)] {
            if file.is_some() {
                section.note(key, "is for https addresses, and urls has none");
            }
        }
        return None;
    }
    if secure < urls.len() {
        section.note("urls", "must be all http or all https: nodes of one cluster are spoken to alike");
    }
    let roots = ClientFiles { ca_file: ca_file.map(Into::into), identity: None };
    if let Err(error) = roots.build() {
        section.note("ca_file", error);
        return None;
    }
    let identity = match (cert_file, key_file) {
        (Some(cert_file), Some(key_file)) => {
            Some(IdentityFiles { cert_file: cert_file.into(), key_file: key_file.into() })
        }
        (None, None) => None,
        (Some(_), None) => {
            section.note("key_file", "is needed with cert_file");
            None
        }
        (None, Some(_)) => {
            section.note("cert_file", "is needed with key_file");
            None
        }
    };
    let tls = Reloading::new(ClientFiles { identity, ..roots });
    tls.map_err(|error| section.note("cert_file", error)).ok()
}

fn read_credentials(section: &mut Section<'_>) -> Option<Credentials> {
    let username = section.text("username");
    let given = section.secret("password");
    let from_file = section.text("password_file").and_then(|file| match std::fs::read_to_string(&file) {
        Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => {
            section.note("password_file", format!("cannot read {file}: {error}"));
            None
        }
    });
    if given.is_some() && from_file.is_some() {
        section.note("password", "stands beside password_file; give one of them");
    }
    match (username, given.or(from_file)) {
        (Some(username), Some(password)) => Some(Credentials { username, password: Secret(password) }),
        (Some(_), None) => {
            section.note("password_file", "is needed with username (or password, best from the environment)");
            None
        }
        (None, Some(_)) => {
            section.note("username", "is needed with a password");
            None
        }
        (None, None) => None,
    }
}
