//! The places of the lake's files: its own folder, and stores for new files and for old days. The catalogue names files
//! in the lake's folder relative to it and all others by their whole address, so that a place may be changed at any
//! time: what is elsewhere stays readable where it is.

use super::calendar::civil;
use super::{Error, TABLE};
use crate::file_bytes::{Blocks, Stored};
use crate::{LakeFile, Settings};
use drover_objects::{Objects, Place, S3};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How addresses of objects begin.
const SCHEME: &str = "s3://";

/// Where the days of some age are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// `warm` or `cold`.
    pub name: &'static str,
    /// Days whose last moment is so many days ago belong here.
    pub after_days: u32,
    /// Where.
    pub place: Place,
}

/// The open places.
#[derive(Debug)]
pub(crate) struct Stores {
    s3: S3,
    blocks: Arc<Blocks>,
    buckets: Mutex<HashMap<String, Objects>>,
    /// Where new files go; none: the lake's folder.
    pub(crate) new: Option<Objects>,
    /// Where older days go, the youngest first.
    pub(crate) tiers: Vec<(Tier, Objects)>,
}

impl Stores {
    /// Opens the places of a lake. Asks none of them anything.
    pub(crate) fn open(settings: &Settings) -> Result<Stores, Error> {
        let open = |place: &Place| {
            Objects::open(place, &settings.s3).map_err(Error::objects(&PathBuf::from(place.to_string())))
        };
        let mut tiers = Vec::with_capacity(settings.tiers.len());
        for tier in &settings.tiers {
            tiers.push((tier.clone(), open(&tier.place)?));
        }
        tiers.sort_by_key(|(tier, _)| tier.after_days);
        let new = settings.store.as_ref().map(open).transpose()?;
        Ok(Stores { new, tiers, ..Stores::to_read(&settings.s3, settings.store_cache_bytes) })
    }

    /// For reading only.
    pub(crate) fn to_read(s3: &S3, cache_bytes: usize) -> Stores {
        let blocks = Arc::new(Blocks::new(cache_bytes));
        Stores { s3: s3.clone(), blocks, buckets: Mutex::default(), new: None, tiers: Vec::new() }
    }

    /// The object that an absolute path of the catalogue stands for; none, if it is a file.
    pub(crate) fn locate(&self, path: &Path) -> Result<Option<Stored>, Error> {
        let text = path.to_string_lossy();
        let Some((bucket, key)) = text.strip_prefix(SCHEME).and_then(|rest| rest.split_once('/')) else {
            return Ok(None);
        };
        let mut buckets = self.buckets.lock();
        let objects = match buckets.get(bucket) {
            Some(objects) => objects.clone(),
            None => {
                let place = Place::Bucket { bucket: bucket.to_owned(), prefix: String::new() };
                let objects = Objects::open(&place, &self.s3).map_err(Error::objects(path))?;
                buckets.insert(bucket.to_owned(), objects.clone());
                objects
            }
        };
        Ok(Some(Stored::new(objects, key, self.blocks.clone())))
    }

    /// Says in the log which of the places does not work: better now than when the first file is to go there.
    pub(crate) fn try_out(&self) {
        for objects in self.new.iter().chain(self.tiers.iter().map(|(_, objects)| objects)) {
            if let Err(error) = objects.check() {
                tracing::error!(%error, "a place for files of history does not work; it is tried again when it is needed");
            }
        }
    }

    /// The address of a file of this name and day in a place.
    pub(crate) fn address(objects: &Objects, day: i32, name: &str) -> PathBuf {
        objects.place().of_key(&key(day, name)).into()
    }

    /// The last place where a file of such an age belongs, days; none: where new files go.
    pub(crate) fn tier_of_age(&self, days: i64) -> Option<&(Tier, Objects)> {
        self.tiers.iter().rev().find(|(tier, _)| days >= i64::from(tier.after_days))
    }

    /// Whether new files go where this one is, so that it may be merged with them.
    pub(crate) fn is_new_place(&self, file: &LakeFile) -> bool {
        let Some(name) = file.path.file_name() else { return false };
        match &self.new {
            Some(objects) => file.path == Stores::address(objects, file.day, &name.to_string_lossy()),
            None => file.stored.is_none() && !self.is_in_tier(file),
        }
    }

    fn is_in_tier(&self, file: &LakeFile) -> bool {
        let Some(name) = file.path.file_name() else { return false };
        let name = name.to_string_lossy();
        self.tiers.iter().any(|(_, objects)| file.path == Stores::address(objects, file.day, &name))
    }
}

/// The key of a file in any place.
pub(crate) fn key(day: i32, name: &str) -> String {
    let (year, month, of_month) = civil(day);
    format!("{TABLE}/year={year}/month={month}/day={of_month}/{name}")
}

/// Deletes a file wherever it is; one that is gone already counts as deleted.
pub(crate) fn delete(stores: &Stores, path: &Path) -> Result<(), Error> {
    match stores.locate(path)? {
        Some(stored) => stored.objects().delete(stored.key()).map_err(Error::objects(path)),
        None => super::expire::delete_file(path),
    }
}
