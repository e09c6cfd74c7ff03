//! A limit that was exceeded, and what is said of it.

use std::net::IpAddr;

use crate::smtp::reply::Reply;

/// Which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// `client_connection_count_limit`: connections at once.
    ConnectionCount,
    /// `client_connection_rate_limit`: connections per unit of time.
    ConnectionRate,
    /// `client_message_rate_limit`: MAIL commands per unit of time.
    MessageRate,
    /// `client_recipient_rate_limit`: RCPT and VRFY commands per unit of time.
    RecipientRate,
}

impl Limit {
    /// All limits.
    pub const ALL: [Self; 4] =
        [Self::ConnectionCount, Self::ConnectionRate, Self::MessageRate, Self::RecipientRate];

    /// The limit's name for metrics: `connection_rate`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionCount => "connection_count",
            Self::ConnectionRate => "connection_rate",
            Self::MessageRate => "message_rate",
            Self::RecipientRate => "recipient_rate",
        }
    }
}

/// A client is over a limit. At connect: say the reply and close. At MAIL, RCPT or VRFY: say it, which counts as an
/// error of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Which limit.
    pub limit: Limit,
    /// How many there are, this one included.
    pub count: u32,
    /// How many there may be.
    pub allowed: u32,
    /// The client's own address, be its network counted as one or not.
    pub client: IpAddr,
}

impl Exceeded {
    /// Postfix's reply; `hostname` is ours.
    pub fn reply(&self, hostname: &str) -> Reply {
        let client = self.client;
        match self.limit {
            Limit::ConnectionCount | Limit::ConnectionRate => {
                Reply::new(421, format!("4.7.0 {hostname} Error: too many connections from {client}"))
            }
            Limit::MessageRate => Reply::new(450, format!("4.7.1 Error: too much mail from {client}")),
            Limit::RecipientRate => {
                Reply::new(450, format!("4.7.1 Error: too many recipients from {client}"))
            }
        }
    }

    /// Postfix's log text; `client` is `name[address]`, `service` the listener's name (`smtp`).
    pub fn log_text(&self, client: &str, service: &str) -> String {
        let what = match self.limit {
            Limit::ConnectionCount => "Connection concurrency limit",
            Limit::ConnectionRate => "Connection rate limit",
            Limit::MessageRate => "Message delivery request rate limit",
            Limit::RecipientRate => "Recipient address rate limit",
        };
        format!("{what} exceeded: {} from {client} for service {service}", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_and_log_texts_are_those_of_postfix() {
        let client = "192.0.2.1".parse().unwrap();
        for (limit, reply, text) in [
            (
                Limit::ConnectionCount,
                "421 4.7.0 mx.example.com Error: too many connections from 192.0.2.1",
                "Connection concurrency limit exceeded: 51 from unknown[192.0.2.1] for service smtp",
            ),
            (
                Limit::ConnectionRate,
                "421 4.7.0 mx.example.com Error: too many connections from 192.0.2.1",
                "Connection rate limit exceeded: 51 from unknown[192.0.2.1] for service smtp",
            ),
            (
                Limit::MessageRate,
                "450 4.7.1 Error: too much mail from 192.0.2.1",
                "Message delivery request rate limit exceeded: 51 from unknown[192.0.2.1] for service smtp",
            ),
            (
                Limit::RecipientRate,
                "450 4.7.1 Error: too many recipients from 192.0.2.1",
                "Recipient address rate limit exceeded: 51 from unknown[192.0.2.1] for service smtp",
            ),
        ] {
            let exceeded = Exceeded { limit, count: 51, allowed: 50, client };
            assert_eq!(exceeded.reply("mx.example.com").to_string(), reply);
            assert_eq!(exceeded.log_text("unknown[192.0.2.1]", "smtp"), text);
        }
    }
}
