//! Places outside the data folder: where files of history go when they are new and when they are old, and how object
//! stores are reached.

use crate::Config;
use anyhow::{Context, bail};
use drover_history::Tier;
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
