//! Places where a test stops a write. Only builds with the feature `failpoints` have them.
//!
//! `UNDERSTUDY_FAILPOINTS` names a folder. When it holds a file with the name of a place, a write that comes there makes
//! `<place>.held` (with the id of its request in it) and waits until the file is gone.

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!("the feature `failpoints` is for tests, and no release has it");

/// Between the primary's answer and everything that follows from it.
#[cfg(feature = "failpoints")]
pub async fn answered(request: &str) {
    hold("answered", request).await;
}

#[cfg(feature = "failpoints")]
async fn hold(place: &str, request: &str) {
    let Some(folder) = std::env::var_os(understudy_common::config::FAILPOINTS) else { return };
    let wanted = std::path::Path::new(&folder).join(place);
    if !wanted.exists() {
        return;
    }
    tracing::warn!(place, request, "a test holds this write");
    let _ = tokio::fs::write(wanted.with_extension("held"), request).await;
    while wanted.exists() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Nothing, outside of tests.
#[cfg(not(feature = "failpoints"))]
pub async fn answered(_request: &str) {}
