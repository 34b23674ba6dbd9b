//! Places outside the data folder: where files of history go when they are new and when they are old, and how object
//! stores are reached.

use crate::Config;
use anyhow::{Context, bail};
use drover_history::Tier;
use drover_imports::{RawTier, WatchedStore};
use drover_objects::{Place, S3};

impl Config {
    /// How object stores are reached.
    pub fn s3(&self) -> anyhow::Result<S3> {
        let secret = |path: &std::path::PathBuf| {
            let text = std::fs::read_to_string(path);
            text.with_context(|| format!("s3_secret_access_key_file {}", path.display()))
        };
        let secret = self.s3_secret_access_key_file.as_ref().map(secret).transpose()?;
        if self.s3_access_key_id.is_some() != secret.is_some() {
            bail!("s3_access_key_id and s3_secret_access_key_file go together; one of them is missing");
        }
        Ok(S3 {
            endpoint: self.s3_endpoint.clone(),
            region: self.s3_region.clone(),
            access_key_id: self.s3_access_key_id.clone(),
            secret_access_key: secret.map(|text| text.trim().to_owned()),
            ca: self.s3_ca.clone(),
            ..S3::default()
        })
    }

    /// Where new files of history go, if not to the lake's folder.
    pub(crate) fn new_files(&self) -> anyhow::Result<Option<Place>> {
        self.history_store.as_deref().map(|text| place("history_store", text)).transpose()
    }

    /// The place whose objects are imported.
    pub(crate) fn watched_store(&self) -> anyhow::Result<Option<WatchedStore>> {
        let Some(text) = &self.import_store else { return Ok(None) };
        let (place, profile) = (place("import_store", text)?, self.import_store_profile.clone());
        Ok(Some(WatchedStore { place, s3: self.s3()?, profile, interval: WatchedStore::INTERVAL }))
    }

    /// What becomes of imported files as they came.
    pub(crate) fn raw_tier(&self) -> anyhow::Result<RawTier> {
        let cold = match (self.raw_cold_days, &self.raw_cold_store) {
            (None, None) => None,
            (Some(days), Some(text)) => Some((days, place("raw_cold_store", text)?)),
            _ => bail!("raw_cold_days and raw_cold_store go together; one of them is missing"),
        };
        if let (Some((days, _)), Some(keep_days)) = (&cold, self.raw_keep_days)
            && *days >= keep_days
        {
            bail!("raw_keep_days is {keep_days}; it must be more than raw_cold_days");
        }
        let (keep_days, s3, dry_run) = (self.raw_keep_days, self.s3()?, self.tiers_dry_run);
        Ok(RawTier { cold, keep_days, s3, dry_run, ..RawTier::default() })
    }

    /// Where old days of history go.
    pub(crate) fn tiers(&self) -> anyhow::Result<Vec<Tier>> {
        let warm = tier("warm", self.history_warm_days, self.history_warm_store.as_deref())?;
        let cold = tier("cold", self.history_cold_days, self.history_cold_store.as_deref())?;
        let tiers: Vec<Tier> = warm.into_iter().chain(cold).collect();
        if let [warm, cold] = tiers.as_slice()
            && warm.after_days >= cold.after_days
        {
            bail!("history_cold_days is {}; it must be more than history_warm_days", cold.after_days);
        }
        if let (Some(last), Some(keep_days)) = (tiers.last(), self.history_keep_days)
            && last.after_days >= keep_days
        {
            bail!("history_keep_days is {keep_days}; it must be more than history_{}_days", last.name);
        }
        Ok(tiers)
    }
}

fn tier(name: &'static str, days: Option<u32>, store: Option<&str>) -> anyhow::Result<Option<Tier>> {
    match (days, store) {
        (None, None) => Ok(None),
        (Some(after_days), Some(store)) => {
            let place = place(&format!("history_{name}_store"), store)?;
            Ok(Some(Tier { name, after_days, place }))
        }
        _ => bail!("history_{name}_days and history_{name}_store go together; one of them is missing"),
    }
}

fn place(key: &str, text: &str) -> anyhow::Result<Place> {
    let place = Place::parse(text).with_context(|| key.to_owned())?;
    match place {
        // The catalogue names it, and other readers may stand elsewhere.
        Place::Folder(folder) => Ok(Place::Folder(std::path::absolute(folder)?)),
        bucket => Ok(bucket),
    }
}
