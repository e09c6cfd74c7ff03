//! Who comes too often, or asks for too much: counted here, and by the hosts that count together.

use std::time::Instant;

use super::{Ended, Visit};
use crate::policy::Stage;
use crate::rate::{self, Exceeded, Limit};
use crate::report::Outcome;

impl Visit<'_> {
    /// Counts the connection. Who is here too often is told so.
    pub(super) async fn counted(self: Box<Self>) -> Result<(Box<Self>, rate::Connection), Ended> {
        match self.place().await {
            Ok(place) => Ok((self, place)),
            Err(exceeded) => Err(Box::pin(self.too_many(exceeded)).await),
        }
    }

    async fn place(&self) -> Result<rate::Connection, Exceeded> {
        let place = self.site.rates.connect(self.client(), Instant::now())?;
        self.counted_together(&place, Limit::ConnectionRate).await?;
        Ok(place)
    }

    /// Counts what the other limits are about: MAIL, and recipients.
    pub(super) async fn within_rates(&self, place: &rate::Connection, stage: Stage) -> Result<(), Exceeded> {
        let limit = match stage {
            Stage::Mail => {
                place.mail(Instant::now())?;
                Limit::MessageRate
            }
            Stage::Rcpt | Stage::Vrfy => {
                place.rcpt(Instant::now())?;
                Limit::RecipientRate
            }
            Stage::Connect | Stage::Helo | Stage::Data => return Ok(()),
            Stage::Etrn | Stage::StartTls | Stage::Auth => return Ok(()),
        };
        self.counted_together(place, limit).await
    }

    /// What the hosts that count together say of it.
    async fn counted_together(&self, place: &rate::Connection, limit: Limit) -> Result<(), Exceeded> {
        let Some(together) = place.together(limit) else { return Ok(()) };
        let allowlist = &self.site.allowlist;
        let count = Box::pin(allowlist.count(limit.as_str(), together.client(), together.unit())).await;
        together.check(count)
    }

    async fn too_many(self: Box<Self>, exceeded: Exceeded) -> Ended {
        let reply = exceeded.reply(&self.site.dialogue.hostname);
        self.report.exceeded(exceeded);
        self.refuse(reply, Outcome::TooManyConnections).await
    }
}
