//! Another configuration: built and checked beside the one in force, then swapped whole, or refused whole.
//!
//! Everything that can fail comes first: files, tables, certificates, sockets. From the swap on nothing can.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::spawn_blocking;

use super::house::Front;
use super::inherited::Inherited;
use super::{Fault, Server, fit_into_descriptors, site};
use crate::config::{Config, Problem};

impl Server {
    /// Goes on with another configuration, or says why not and goes on with the one there is: as if it had not been
    /// asked, but for the metrics. Running connections keep what they began with.
    ///
    /// `read` and all that the configuration names are read in a thread of their own: tables may be large, their disk
    /// slow, and connections share this one.
    pub(super) async fn reload(
        &mut self,
        read: impl FnOnce() -> Result<Config, Vec<Problem>> + Send + 'static,
    ) -> Result<(), Vec<Fault>> {
        let swapped = match aside(read).await {
            Ok(Ok(config)) => self.swap(config).await,
            Ok(Err(problems)) => Err(problems.into_iter().map(Fault::new).collect()),
            Err(fault) => Err(vec![fault]),
        };
        let mut configuration = self.house.configuration.lock();
        match &swapped {
            Ok(()) => configuration.renewed(SystemTime::now()),
            Err(_) => configuration.kept(),
        }
        swapped
    }

    async fn swap(&mut self, mut config: Config) -> Result<(), Vec<Fault>> {
        fit_into_descriptors(&mut config);
        let house = &self.house;
        let before = house.front.load_full();
        let mut faults: Vec<_> = fixed(&before.config, &config);
        let (allowlist, rates) = (Arc::clone(&house.allowlist), house.rates.clone());
        let build = move || {
            let site = site::build(&config, &allowlist, &rates, Some(&before));
            (config, site)
        };
        let (config, site) = aside(build).await.map_err(|fault| vec![fault])?;
        let plan = self.doors.plan(&config, &mut Inherited::default());
        let (site, plan) = match (site, plan) {
            (Ok(site), Ok(plan)) if faults.is_empty() => (Arc::new(site), plan),
            (site, plan) => {
                faults.extend(site.err().into_iter().flatten());
                faults.extend(plan.err().into_iter().flatten().map(Fault::new));
                return Err(faults);
            }
        };
        house.rates.configure(config.rate.clone());
        house.allowlist.configure(&config.allowlist);
        house.history.resize(config.admin.history_size);
        if let Some(log) = &house.log {
            log.configure(&config.log);
        }
        self.background = site::background(&site, &config);
        house.front.store(Arc::new(Front::new(config, site)));
        // Whoever wants an address back shall find it free.
        for closing in self.doors.follow(plan, house) {
            let _ = closing.await;
        }
        Ok(())
    }
}

/// Has `work`, which may wait for a disk, done where nobody else has to wait with it.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    spawn_blocking(work).await.map_err(Fault::new)
}

/// What a running process cannot change. To keep the old value would be to run something that is written nowhere.
fn fixed(before: &Config, after: &Config) -> Vec<Fault> {
    let mut keys: Vec<_> =
        before.allowlist.fixed_keys_changed(&after.allowlist).map(|key| format!("allowlist.{key}")).collect();
    let log = |config: &Config| (config.log.output.clone(), config.log.syslog_format);
    if log(before) != log(after) {
        keys.push("log.output, and how it is written to,".to_owned());
    }
    let cannot = "cannot change while prescreen runs; restart or upgrade it";
    keys.into_iter().map(|key| Fault::new(format_args!("{key} {cannot}"))).collect()
}
