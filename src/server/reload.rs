//! Another configuration: built and checked beside the one in force, then swapped whole, or refused whole.
//!
//! Everything that can fail comes first: files, tables, certificates, sockets. From the swap on nothing can.

use std::sync::Arc;
use std::time::SystemTime;

use super::house::Front;
use super::inherited::Inherited;
use super::{Fault, Server, fit_into_descriptors, site};
use crate::config::{Config, Problem};

impl Server {
    /// Goes on with another configuration, or says why not and goes on with the one there is: as if it had not been
    /// asked, but for the metrics. Running connections keep what they began with.
    ///
    /// Waits for the disk.
    pub async fn reload(&mut self, read: Result<Config, Vec<Problem>>) -> Result<(), Vec<Fault>> {
        let swapped = match read {
            Ok(config) => self.swap(config).await,
            Err(problems) => Err(problems.into_iter().map(Fault::new).collect()),
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
        let site = site::build(&config, &house.allowlist, &house.rates, Some(&before));
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
