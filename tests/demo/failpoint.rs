//! The moment between the primary's answer and the publish, held still.
//!
//! A gateway that was built with the feature `failpoints` stops each write there while a file exists.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

/// Names the folder that a gateway watches. The stack's script gives each gateway a folder of its own below ours.
pub const VARIABLE: &str = "UNDERSTUDY_FAILPOINTS";

/// The folder of all gateways.
pub fn folder(run: &Path) -> PathBuf {
    run.join("failpoints")
}

/// Writes of one gateway stop when they have the primary's answer, until this goes out of scope.
pub struct Held {
    armed: PathBuf,
    held: PathBuf,
}

impl Held {
    /// From now on.
    pub fn new(run: &Path, gateway: &str) -> anyhow::Result<Self> {
        let folder = folder(run).join(gateway);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let point = Self { armed: folder.join("answered"), held: folder.join("answered.held") };
        point.remove();
        fs::write(&point.armed, "").with_context(|| point.armed.display().to_string())?;
        Ok(point)
    }

    /// Whether a write stands there.
    pub fn holds(&self) -> bool {
        self.held.exists()
    }

    fn remove(&self) {
        // They may not be there.
        let _ = fs::remove_file(&self.armed);
        let _ = fs::remove_file(&self.held);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.remove();
    }
}
