//! The cache of downloads and built tools: a key comes in, the path of a complete directory goes out.
//!
//! Lives outside of `target/`, so `cargo clean` does not cost a download. Must never hand out anything half-written:
//! a directory is made under `staging/` and renamed when it is complete, under a lock of its own.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// The cache directory of this user.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    root: PathBuf,
}

/// Held while one run makes something that others must not make at the same time.
#[derive(Debug)]
pub(crate) struct CacheLock {
    // The kernel lets go of the lock when the file is closed, even when we are killed.
    _file: File,
}

impl Cache {
    /// Opens `$AUDITWATCH_CACHE`, else `$XDG_CACHE_HOME/auditwatch`, else `~/.cache/auditwatch`; makes it if needed.
    pub(crate) fn open() -> Result<Self> {
        let root = root_from(|name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        })
        .context("none of AUDITWATCH_CACHE, XDG_CACHE_HOME and HOME is set")?;
        Self::at(&root)
    }

    fn at(root: &Path) -> Result<Self> {
        for directory in ["locks", "staging", "run"] {
            let directory = root.join(directory);
            fs::create_dir_all(&directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        let root = root
            .canonicalize()
            .with_context(|| format!("cannot resolve {}", root.display()))?;
        Ok(Self { root })
    }

    /// The path of `key` within the cache, whether or not it exists.
    pub(crate) fn path(&self, key: impl AsRef<Path>) -> PathBuf {
        self.root.join(key)
    }

    /// Where tools that `cargo install` built live; `bin` below it belongs on `PATH`.
    pub(crate) fn tools(&self) -> PathBuf {
        self.path("tools")
    }

    /// Waits until no other run holds `key`.
    pub(crate) fn lock(&self, key: &str) -> Result<CacheLock> {
        let path = self.path("locks").join(flat(key));
        let file =
            File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        file.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(CacheLock { _file: file })
    }

    /// The directory `key`, made by `fill` in an empty directory if it does not exist yet.
    pub(crate) fn directory(
        &self,
        key: &str,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let finished = self.path(key);
        if finished.is_dir() {
            return Ok(finished);
        }
        let _lock = self.lock(key)?;
        if finished.is_dir() {
            return Ok(finished);
        }
        let staging = self.path("staging").join(flat(key));
        // What a killed run left behind; the lock says that nobody works on it now.
        if staging.exists() {
            fs::remove_dir_all(&staging)
                .with_context(|| format!("cannot remove {}", staging.display()))?;
        }
        fs::create_dir_all(&staging)
            .with_context(|| format!("cannot create {}", staging.display()))?;
        fill(&staging)?;
        if let Some(parent) = finished.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot create {}", parent.display()))?;
        }
        fs::rename(&staging, &finished).with_context(|| {
            format!(
                "cannot move {} to {}",
                staging.display(),
                finished.display()
            )
        })?;
        Ok(finished)
    }
}

fn root_from(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    variable("AUDITWATCH_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|path| path.join("auditwatch")))
        .or_else(|| variable("HOME").map(|path| path.join(".cache/auditwatch")))
}

fn flat(key: &str) -> String {
    key.replace('/', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_explicit_variable_wins_over_xdg_and_xdg_over_home() {
        let all = |name: &str| Some(PathBuf::from(format!("/{name}")));
        assert_eq!(root_from(all), Some(PathBuf::from("/AUDITWATCH_CACHE")));
        let xdg = |name: &str| (name != "AUDITWATCH_CACHE").then(|| PathBuf::from("/x"));
        assert_eq!(root_from(xdg), Some(PathBuf::from("/x/auditwatch")));
        let home = |name: &str| (name == "HOME").then(|| PathBuf::from("/home/me"));
        assert_eq!(
            root_from(home),
            Some(PathBuf::from("/home/me/.cache/auditwatch"))
        );
        assert_eq!(root_from(|_| None), None);
    }

    #[test]
    fn a_directory_that_failed_to_fill_does_not_exist() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let cache =
            Cache::at(&root.path().join("new")).expect("a cache in the temporary directory");
        let failed = cache.directory("a/b", |staging| {
            fs::write(staging.join("half"), "x")?;
            anyhow::bail!("torn off")
        });
        assert!(failed.is_err());
        assert!(!cache.path("a/b").exists());

        let made = cache.directory("a/b", |staging| {
            assert!(
                !staging.join("half").exists(),
                "left over from the failed run"
            );
            Ok(fs::write(staging.join("whole"), "x")?)
        });
        assert!(made.expect("a filled directory").join("whole").is_file());
        let again = cache.directory("a/b", |_| anyhow::bail!("must not be made twice"));
        assert!(again.is_ok());
    }
}
