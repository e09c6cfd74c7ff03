//! The tests before the 220: permanent access list, greet wait and DNS lists.
//!
//! This module alone makes [`Passed`] and [`Screened`], and nothing behind it works without one of them. What it
//! needs to know of the client's past comes in as a record, and goes out as one: the tests look into no store.
//!
//! - A fault of DNS, of a table or of a list never counts against a client; what was not learnt is not remembered.
//! - The first enforced failure stands, and ends the tests. A client that is out is not looked up.
//! - A failure earns nothing and is not remembered either: a client that was repaired passes at once.

mod access;
mod action;
mod case;
pub mod dnsbl;
mod finding;
mod greet;
mod health;
mod list;
pub mod lists;
mod recheck;
pub mod score;
mod self_test;
mod settings;
mod site;
mod statistics;
mod verdict;

pub use access::Access;
pub use action::{Action, Consequence, Failure, Mode};
pub use finding::Finding;
pub use health::Ailment;
pub use list::{ListFilter, Listing, Malfunction, list_query, list_query_ipv6};
pub use recheck::Rechecked;
pub use score::{Hit, Opinion, Score};
pub use settings::{DeepTest, Settings};
pub use site::Site;
pub use statistics::{ListStatistics, Overlap};
pub use verdict::{History, Passed, Screened, Verdict};

use std::mem;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::allowlist::{Record, Test};
use crate::dns::Resolver;
use crate::limits::Pressure;
use crate::smtp::line::LineBuffer;
use crate::table::{Live, LoadError, MatchList, Refresh};
use access::AccessList;
use case::{Case, Fate};
use dnsbl::Dnsbl;
use greet::{Silence, Wait};
use recheck::Rechecks;

/// Who is to be tested, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its address.
    pub address: IpAddr,
    /// What [`Screen::access`], or whoever stands above it, says of the client.
    pub access: Access,
    /// What the allowlist knows of it: nothing where the store is down, or where a connection from the same client is
    /// still unproven.
    pub remembered: Option<Record>,
}

/// The tests of one configuration.
pub struct Screen {
    settings: Arc<Settings>,
    dnsbl_action: Action,
    access: Arc<Live<AccessList>>,
    mynetworks: Arc<Live<MatchList>>,
    dnsbl: Dnsbl,
    rechecks: Arc<Rechecks>,
    /// The tests that are on.
    tests: Vec<Test>,
    /// What tempts early talkers; empty for nothing.
    teaser: String,
    /// What completes a greeting that ends in a refusal.
    greeting: String,
}

/// What is still to be tested before the greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ToDo {
    silence: Silence,
    dnsbl: bool,
}

/// Where the tests of a client begin.
enum Begun<'t, S> {
    Permitted,
    Decided(Fate),
    Waiting(Wait<'t, S>),
}

impl Screen {
    /// Loads what the settings name; relative file names are taken from `base`. All errors are told at once.
    pub fn new(
        settings: Settings,
        dnsbl: &dnsbl::Settings,
        hostname: &str,
        mynetworks: Arc<Live<MatchList>>,
        resolver: Resolver,
        base: &Path,
    ) -> Result<Self, Vec<LoadError>> {
        let (text, folder) = (settings.access_list.clone(), base.to_owned());
        let access = Live::new(move || AccessList::load(&text, &folder));
        let lists = Dnsbl::new(dnsbl, resolver, base);
        let (access, lists) = match (access, lists) {
            (Ok(access), Ok(lists)) => (access, lists),
            (access, lists) => {
                return Err([access.err(), lists.err()].into_iter().flatten().flatten().collect());
            }
        };
        let greeting = format!("{hostname} ESMTP");
        Ok(Self {
            tests: tests_in_use(&settings, &lists),
            teaser: settings.greet_banner.clone().unwrap_or_else(|| greeting.clone()),
            greeting,
            settings: Arc::new(settings),
            dnsbl_action: dnsbl.action,
            access: Arc::new(access),
            mynetworks,
            dnsbl: lists,
            rechecks: Arc::default(),
        })
    }

    /// Lets no answer of a DNS list count before its first check-up, for whoever
    /// [runs them](Self::run_self_tests): one that has died would refuse everybody until then.
    #[must_use]
    pub fn testing_first(self) -> Self {
        self.dnsbl.test_first();
        self
    }

    /// Takes over the health and the counters of the lists that `before` asked too, and the clients that are to be
    /// asked about again, so that a reload neither believes a dead list again nor forgets what a list was good for. How
    /// often lists knew the same client is counted anew: that is of one set of lists.
    #[must_use]
    pub fn succeeding(mut self, before: &Self) -> Self {
        self.dnsbl.inherit(&before.dnsbl);
        self.rechecks = Arc::clone(&before.rechecks);
        self
    }

    /// Tests a client that has connected.
    ///
    /// `input` is what it has sent behind a PROXY header, and takes what it sends during the wait. Nobody is kept waiting
    /// once `stop` is ready. `note` hears each finding at once.
    pub fn test<'t, S, F>(
        &'t self,
        stream: &'t mut S,
        input: &'t mut LineBuffer,
        candidate: Candidate,
        pressure: Pressure,
        stop: Pin<&'t mut F>,
        note: &'t mut (dyn FnMut(Finding) + Send),
    ) -> impl Future<Output = Verdict> + use<'t, S, F>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        F: Future<Output = ()>,
    {
        // What needs no waiting is done at once, so that the future, which thousands hold, has no room for it.
        let mut case = Case::new(candidate.remembered, self.settings.mode, note);
        let mut begun = self.begin(stream, input, &candidate, pressure, &mut case);
        async move {
            let fate = match &mut begun {
                Begun::Permitted => return Verdict::Forward(Passed(())),
                Begun::Decided(fate) => mem::replace(fate, Fate::Decided),
                Begun::Waiting(wait) => {
                    let fate = self.wait(wait, &mut case, stop).await;
                    // Given and given back: one that is lent would have room of its own while the client waits.
                    let fate = wait.ended(fate, &mut case);
                    if case.teased && matches!(fate, Fate::Refused(_) | Fate::Stopped) {
                        Box::pin(self.complete_greeting(wait)).await;
                    }
                    fate
                }
            };
            self.verdict(fate, case)
        }
    }

    fn begin<'t, S>(
        &'t self,
        stream: &'t mut S,
        input: &'t mut LineBuffer,
        candidate: &Candidate,
        pressure: Pressure,
        case: &mut Case<'_>,
    ) -> Begun<'t, S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if candidate.access == Access::Permit {
            case.note(Finding::Permitted);
            return Begun::Permitted;
        }
        match self.to_do(candidate.access, pressure, case) {
            ControlFlow::Break(fate) => Begun::Decided(fate),
            ControlFlow::Continue(ToDo { silence, dnsbl }) => {
                let lookups = dnsbl.then(|| self.dnsbl.look_up(candidate.address.to_canonical()));
                Begun::Waiting(Wait::new(stream, input, pressure, silence, lookups))
            }
        }
    }

    /// What is to be tested before the greeting; or what needs no test.
    fn to_do(&self, access: Access, pressure: Pressure, case: &mut Case<'_>) -> ControlFlow<Fate, ToDo> {
        if access == Access::Reject {
            case.note(Finding::Rejected);
            let fate = case.fail(&Failure::Denylisted, self.settings.denylist_action);
            if fate != Fate::GoOn {
                return ControlFlow::Break(fate);
            }
        }
        let silence = match self.greet_wait(pressure) {
            Duration::ZERO => Silence::Over,
            _ if case.has_passed(Test::Pregreet) => Silence::Expected,
            _ => Silence::Tested,
        };
        let dnsbl = !self.dnsbl.lists.is_empty() && !case.has_passed(Test::Dnsbl);
        if silence == Silence::Tested || dnsbl {
            return ControlFlow::Continue(ToDo { silence, dnsbl });
        }
        if case.is_known(&self.tests) {
            case.note(Finding::Known);
        }
        ControlFlow::Break(Fate::GoOn)
    }

    /// What the permanent access list says of a client.
    pub fn access(&self, client: IpAddr) -> Access {
        self.access.current().judge(client, &self.mynetworks.current())
    }

    /// A trusted proxy has connected for itself, to see whether we are alive: there is nobody to test, and nothing to
    /// be earned.
    pub fn health_check(&self) -> Screened {
        Screened {
            standing: None,
            record: Record::default(),
            deep: Vec::new(),
            proven: Vec::new(),
            teased: false,
            history: History::Old,
            failed: true,
            permitted: false,
            settings: Arc::clone(&self.settings),
        }
    }

    /// A client that is permanently permitted, and yet to be talked to here: nothing is tested, nothing to be earned.
    pub fn permitted(&self, _: Passed) -> Screened {
        Screened { permitted: true, ..self.health_check() }
    }

    /// Asks the DNS lists about a client that is on the allowlist already: what passed may have been listed since.
    /// Nobody waits for this, so all lists are heard, whatever the first say; `note` hears each answer.
    pub async fn recheck(&self, client: IpAddr, note: &mut (dyn FnMut(Finding) + Send)) -> Score {
        let mut lookups = self.dnsbl.look_up(client.to_canonical());
        while let Some(reply) = lookups.next().await {
            note(Finding::Answered(Box::new(reply)));
        }
        lookups.conclude()
    }

    /// Tests each DNS list once. Whoever waits for this believes no list that is dead.
    pub async fn self_test(&self) {
        self.dnsbl.self_test().await;
    }

    /// Tests DNS lists for ever, and sooner when one of them fails; returns at once if there is none.
    pub async fn run_self_tests(&self) {
        self.dnsbl.run_self_tests().await;
    }

    /// What each DNS list has been good for, in the order of configuration.
    pub fn list_statistics(&self) -> Vec<ListStatistics> {
        self.dnsbl.statistics()
    }

    /// What came of asking about clients again, in the order of [`Rechecked::ALL`].
    pub fn rechecked(&self) -> [u64; Rechecked::ALL.len()] {
        self.rechecks.results()
    }

    /// The settings, for what is tested in the dialogue.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What happens to a client that DNS lists fail.
    pub fn dnsbl_action(&self) -> Action {
        self.dnsbl_action
    }

    /// The score from which on DNS lists fail a client.
    pub fn dnsbl_threshold(&self) -> i64 {
        self.dnsbl.threshold()
    }

    /// What follows its files; to be refreshed from time to time.
    pub fn tables(&self) -> Vec<Arc<dyn Refresh>> {
        vec![Arc::clone(&self.access) as Arc<dyn Refresh>]
    }

    /// Closes a case.
    fn verdict(&self, fate: Fate, case: Case<'_>) -> Verdict {
        match fate {
            Fate::GoOn | Fate::Decided => Verdict::Converse(case.screened(&self.settings, &self.tests)),
            Fate::HungUp => Verdict::HungUp,
            Fate::Stopped => Verdict::Stopped,
            Fate::Refused(reply) => Verdict::Refuse(reply),
        }
    }
}

fn tests_in_use(settings: &Settings, dnsbl: &Dnsbl) -> Vec<Test> {
    let pregreet = (!settings.greet_wait.is_zero()).then_some(Test::Pregreet);
    let dnsbl = (!dnsbl.lists.is_empty()).then_some(Test::Dnsbl);
    let deep = settings.deep_tests().into_iter().filter(|(_, deep)| deep.enable).map(|(test, _)| test);
    pregreet.into_iter().chain(dnsbl).chain(deep).collect()
}

/// Whether `address` may be that of a gateway instead of a client's own: private, shared, link-local or loopback
/// networks. Behind a container's bridge the whole Internet has one such address, so one pass would let everybody
/// in, and one listing would shut everybody out.
pub fn is_gateway_like(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let is_shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64; // RFC 6598
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || is_shared
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests;
