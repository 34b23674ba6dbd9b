//! Credentials of a run whose devices and watchers each have their own, read from files before it starts.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::SimulateOptions;
use crate::error::{Error, Result};

/// Who shows what. Without files, everybody shows the one token of the run, if there is one.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    devices: HashMap<String, String>,
    watchers: Vec<String>,
}

impl Tokens {
    /// Reads lines `KIND/ID TOKEN` for devices and `TOKEN` for watchers.
    ///
    /// # Errors
    /// When a file cannot be read, or its tokens are not enough for the run.
    pub(super) fn read(options: &SimulateOptions) -> Result<Tokens> {
        let devices = match &options.device_tokens {
            Some(path) => read_devices(path, options)?,
            None => HashMap::new(),
        };
        let watchers = match &options.watch_tokens {
            Some(path) => lines(path)?,
            None => Vec::new(),
        };
        if options.watch_tokens.is_some() && watchers.is_empty() && options.watchers > 0 {
            return Err(Error::Unfit("the file of watchers' tokens is empty".into()));
        }
        Ok(Tokens { devices, watchers })
    }

    pub(super) fn of_device(&self, kind: &str, id: &str) -> Option<&str> {
        self.devices.get(&format!("{kind}/{id}")).map(String::as_str)
    }

    /// Fewer tokens than watchers go round.
    pub(super) fn of_watcher(&self, watcher: usize) -> Option<&str> {
        self.watchers.get(watcher % self.watchers.len().max(1)).map(String::as_str)
    }
}

fn read_devices(path: &Path, options: &SimulateOptions) -> Result<HashMap<String, String>> {
    let devices = options.drivers + options.stations;
    if options.connections < devices {
        let connections = options.connections;
        return Err(Error::Unfit(format!(
            "a device's token is good for that device only: {devices} devices need as many connections, not {connections}"
        )));
    }
    let pairs = lines(path)?.into_iter().map(|line| {
        let pair = line.split_once(' ').map(|(name, token)| (name.to_owned(), token.trim().to_owned()));
        pair.ok_or_else(|| Error::Unfit(format!("{}: '{line}' is not KIND/ID TOKEN", path.display())))
    });
    let tokens = pairs.collect::<Result<HashMap<_, _>>>()?;
    if tokens.len() < devices {
        let known = tokens.len();
        return Err(Error::Unfit(format!("{} has {known} tokens for {devices} devices", path.display())));
    }
    Ok(tokens)
}

fn lines(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(devices: &Path) -> SimulateOptions {
        let device_tokens = Some(devices.to_owned());
        SimulateOptions { drivers: 2, connections: 2, device_tokens, ..SimulateOptions::new("") }
    }

    #[test]
    fn each_device_has_the_token_of_its_line_and_watchers_take_turns() {
        let folder = tempfile::tempdir().unwrap();
        let (devices, watchers) = (folder.path().join("devices"), folder.path().join("watchers"));
        fs::write(&devices, "driver/d000001 dt_one\ndriver/d000002 dt_two\n").unwrap();
        fs::write(&watchers, "first\nsecond\n\n").unwrap();
        let options = SimulateOptions { watchers: 3, watch_tokens: Some(watchers), ..options(&devices) };
        let tokens = Tokens::read(&options).unwrap();
        assert_eq!(tokens.of_device("driver", "d000002"), Some("dt_two"));
        assert_eq!(tokens.of_device("driver", "d000003"), None);
        assert_eq!((tokens.of_watcher(1), tokens.of_watcher(2)), (Some("second"), Some("first")));
        assert_eq!(Tokens::default().of_watcher(5), None);
    }

    #[test]
    fn shared_connections_and_missing_tokens_are_refused_before_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let devices = folder.path().join("devices");
        fs::write(&devices, "driver/d000001 dt_one\n").unwrap();
        let few = Tokens::read(&options(&devices)).unwrap_err().to_string();
        assert!(few.contains("1 tokens for 2 devices"), "{few}");
        let shared = SimulateOptions { connections: 1, ..options(&devices) };
        let shared = Tokens::read(&shared).unwrap_err().to_string();
        assert!(shared.contains("as many connections"), "{shared}");
    }
}
