//! Asking a server what it offers.

use std::sync::Arc;

use super::backend::{Backend, Greeting, Outcome, is_done};
use super::encryption::Encryption;
use super::introduction::Client;
use super::server::Server;
use super::settings::Settings;
use super::trouble::{Failure, Phase};
use crate::smtp::reply::Reply;

/// Connects, announces ourselves as the client, says EHLO and leaves; returns the reply to EHLO.
///
/// A server that does not understand the announcement answers it as if it were a command, and is out of step at once:
/// so this is also the test of `identity`.
pub(super) async fn ask(
    server: &Arc<Server>,
    settings: &Arc<Settings>,
    encryption: &Encryption,
    hostname: &str,
) -> Outcome<Reply> {
    let ourselves = Client::ourselves(hostname);
    let mut backend = Backend::open(server, settings, encryption, &ourselves, Greeting::Read).await?;
    let reply = backend.ask(Phase::Helo, &format!("EHLO {hostname}")).await?;
    if !is_done(&reply) {
        return Err(Failure::rejected(Phase::Helo, reply));
    }
    backend.quit();
    Ok(reply)
}
