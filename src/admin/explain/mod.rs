//! What would happen to a client, and why: its connection, played through without one.
//!
//! Nothing is imitated. The tests before the greeting, the dialogue and the restriction lists are those that serve
//! clients; only the two ends are made up: a client that waits for its greeting and speaks in turn, and a backend that
//! takes every recipient. So what is said here is what would be said on the wire.
//!
//! It looks into no allowlist, counts no rates and asks no backend: those belong to the server that runs.

mod batch;
mod case;
mod course;
mod json;
mod story;
mod talk;

pub use batch::{Tally, batch};
pub use case::{BadCase, Case};
pub use course::{Conversation, Course, Exchange, Refusal, Ruling, Verdict};

use std::future::pending;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::allowlist::{Record, Test};
use crate::config::Config;
use crate::dialogue;
use crate::id::Id;
use crate::limits::Pressure;
use crate::policy::Policy;
use crate::proxy_protocol::Endpoints;
use crate::screen::{self, Access, Action, Candidate, Finding, Opinion, Screen};
use crate::smtp::line::LineBuffer;
use crate::table::Refresh;
use talk::Talk;

/// Where a site listens that does not say so.
const PORT: u16 = 25;

/// For how long an imagined client has waited its time; any that does not end meanwhile.
const A_DAY: Duration = Duration::from_secs(86_400);

/// What decides about a client, ready to be asked.
pub struct Explainer {
    screen: Screen,
    policy: Policy,
    dialogue: Arc<dialogue::Settings>,
    listen: Vec<SocketAddr>,
}

/// How much shall be written down on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What is decided.
    Verdict,
    /// Also every restriction that was considered.
    Trace,
}

/// What the tests before the greeting make of a client that waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is permitted for good, and no test is made.
    Permitted,
    /// DNS lists vouch for it: it skips all other tests.
    Trusted,
    /// It is refused, now or at each recipient, because of a test; none: because of the permanent access list.
    Failed(Option<Test>),
    /// Nothing is held against it.
    Clean,
}

impl Explainer {
    /// Explains what `config` does, from which `screen` and `policy` were built.
    pub fn new(config: &Config, screen: Screen, policy: Policy) -> Self {
        let mut dialogue = config.dialogue.clone();
        // A connection that is none has no name to show.
        let usual = dialogue::Settings::default().reject_footer;
        dialogue.reject_footer = dialogue.reject_footer.filter(|footer| Some(footer) != usual.as_ref());
        Self {
            screen,
            policy,
            dialogue: Arc::new(dialogue),
            listen: config.listen.iter().map(|listener| listener.address).collect(),
        }
    }

    /// Tests the DNS lists, as the server does when it starts: one that is dead will count nothing here either.
    pub async fn test_lists(&self) {
        if !self.screen.list_statistics().is_empty() {
            self.screen.self_test().await;
        }
    }

    /// How `case` goes.
    pub async fn explain(&self, case: &Case, detail: Detail) -> Course {
        self.play(case, self.access(case.client), detail).await.0
    }

    /// How `case` goes with a client of which the permanent access list, or whoever stands above it, says `access`; and
    /// what the tests before the greeting make of it.
    pub async fn play(&self, case: &Case, access: Access, detail: Detail) -> (Course, Standing) {
        let mut conversations = Vec::new();
        let mut rest = case.to.as_slice();
        loop {
            let (verdict, standing) = self.screened(case.client, access).await;
            let failed = match &standing {
                Standing::Failed(test) => Some(Refusal::Test(*test)),
                Standing::Permitted | Standing::Trusted | Standing::Clean => None,
            };
            let conversation = match verdict {
                screen::Verdict::Forward(_) => return (Course::Forwarded, standing),
                screen::Verdict::Refuse(reply) => {
                    let id = Id::new(SystemTime::now());
                    Conversation::over(vec![self.dialogue.dress(reply, self.ends(case.client), id)], failed)
                }
                screen::Verdict::HungUp | screen::Verdict::Stopped => Conversation::over(Vec::new(), failed),
                screen::Verdict::Converse(screened) => {
                    Talk::new(self, case, screened, failed, detail).with(rest).await
                }
            };
            let reached = conversation.recipients.len();
            conversations.push(conversation);
            // A session that ends early takes the other recipients with it; the client comes again for those.
            rest = rest.get(reached..).unwrap_or_default();
            if reached == 0 || rest.is_empty() {
                return (Course::Talked(conversations), standing);
            }
        }
    }

    /// What the permanent access list says of a client.
    pub fn access(&self, client: IpAddr) -> Access {
        self.screen.access(client)
    }

    /// The settings of the tests.
    pub fn tests(&self) -> &screen::Settings {
        self.screen.settings()
    }

    /// Tests the DNS lists again and again, for ever; returns at once if there is none.
    pub async fn run_self_tests(&self) {
        self.screen.run_self_tests().await;
    }

    /// What follows its files; to be refreshed from time to time.
    pub fn files(&self) -> Vec<Arc<dyn Refresh>> {
        self.screen.tables().into_iter().chain(self.policy.files().iter().cloned()).collect()
    }

    /// What the tests before the greeting say of a client that waits for it.
    async fn screened(&self, client: IpAddr, access: Access) -> (screen::Verdict, Standing) {
        let mut waited = Record::default();
        waited.pass(Test::Pregreet, SystemTime::now(), A_DAY);
        let mut standing = Standing::Clean;
        let mut note = |finding| match finding {
            Finding::Permitted => standing = Standing::Permitted,
            Finding::Scored(score) if score.opinion == Opinion::Trusted && standing == Standing::Clean => {
                standing = Standing::Trusted;
            }
            Finding::Failed { test, action } if action != Action::Ignore && standing == Standing::Clean => {
                standing = Standing::Failed(test);
            }
            _ => {}
        };
        // It says nothing on its own: its end is held, and never written to.
        let (mut stream, _client) = tokio::io::duplex(1);
        let mut input = LineBuffer::new();
        let candidate = Candidate { address: client, access, remembered: Some(waited) };
        let (pressure, stop) = (Pressure::Normal, pin!(pending()));
        let verdict = self.screen.test(&mut stream, &mut input, candidate, pressure, stop, &mut note).await;
        (verdict, standing)
    }

    /// The client's address, and that of the listener which it would come to.
    fn ends(&self, client: IpAddr) -> Endpoints {
        let client = client.to_canonical();
        let unspecified = match client {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let of_its_family = |address: &&SocketAddr| address.is_ipv4() == client.is_ipv4();
        let server = self.listen.iter().find(of_its_family).copied();
        Endpoints {
            client: SocketAddr::new(client, 0),
            server: server.unwrap_or(SocketAddr::new(unspecified, PORT)),
        }
    }
}
