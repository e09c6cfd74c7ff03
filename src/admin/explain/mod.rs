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

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::allowlist::{Record, Test};
use crate::config::Config;
use crate::dialogue;
use crate::limits::Pressure;
use crate::policy::Policy;
use crate::proxy_protocol::Endpoints;
use crate::screen::{self, Action, Candidate, Finding, Screen};
use crate::smtp::line::LineBuffer;
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

impl Explainer {
    /// Explains what `config` does, from which `screen` and `policy` were built.
    pub fn new(config: &Config, screen: Screen, policy: Policy) -> Self {
        Self {
            screen,
            policy,
            dialogue: Arc::new(config.dialogue.clone()),
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
        let mut conversations = Vec::new();
        let mut rest = case.to.as_slice();
        loop {
            let (verdict, failed) = self.screened(case.client).await;
            let conversation = match verdict {
                screen::Verdict::Forward(_) => return Course::Forwarded,
                screen::Verdict::Refuse(reply) => Conversation::over(vec![reply], failed),
                screen::Verdict::HungUp => Conversation::over(Vec::new(), failed),
                screen::Verdict::Converse(screened) => {
                    Talk::new(self, case, screened, failed, detail).with(rest).await
                }
            };
            let reached = conversation.recipients.len();
            conversations.push(conversation);
            // A session that ends early takes the other recipients with it; the client comes again for those.
            rest = rest.get(reached..).unwrap_or_default();
            if reached == 0 || rest.is_empty() {
                return Course::Talked(conversations);
            }
        }
    }

    /// What the tests before the greeting say of a client that waits for it, and which of them it fails.
    async fn screened(&self, client: IpAddr) -> (screen::Verdict, Option<Refusal>) {
        let mut waited = Record::default();
        waited.pass(Test::Pregreet, SystemTime::now(), A_DAY);
        let mut failed = None;
        let mut note = |finding| {
            if let Finding::Failed { test, action } = finding
                && action != Action::Ignore
            {
                failed.get_or_insert(Refusal::Test(test));
            }
        };
        // It says nothing on its own: its end is held, and never written to.
        let (mut stream, _client) = tokio::io::duplex(1);
        let mut input = LineBuffer::new();
        let access = self.screen.access(client);
        let candidate = Candidate { address: client, access, remembered: Some(waited) };
        let verdict = self.screen.test(&mut stream, &mut input, candidate, Pressure::Normal, &mut note);
        let verdict = verdict.await;
        (verdict, failed)
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
