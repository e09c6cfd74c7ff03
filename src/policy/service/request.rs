//! What a policy server is told.

use std::fmt::Write;

use crate::policy::facts::{Facts, Stage};
use crate::policy::names::Names;
use crate::smtp::address::Address;
use crate::smtp::envelope::Mail;

/// The attributes of one request, in Postfix's order, with the empty line that ends them.
///
/// `names` are the client's; what only a mail system with a queue has is sent empty.
pub(in crate::policy) fn request(stage: Stage, facts: &Facts<'_>, names: &Names, context: &str) -> String {
    let protocol = facts.helo.map_or("SMTP", |helo| helo.protocol.as_str());
    let state = match stage {
        Stage::Connect => "CONNECT",
        Stage::Helo if protocol == "ESMTP" => "EHLO",
        Stage::Helo => "HELO",
        Stage::Mail => "MAIL",
        Stage::Rcpt => "RCPT",
        Stage::Data => "DATA",
        Stage::Vrfy => "VRFY",
        Stage::Etrn => "ETRN",
        // Postfix has no such states: it does not ask at these commands.
        Stage::StartTls => "STARTTLS",
        Stage::Auth => "AUTH",
    };
    let recipient = facts.recipient(stage).map(Address::unquoted).unwrap_or_default();
    let sender = facts.sender().map(Address::unquoted).unwrap_or_default();
    let count = if stage == Stage::Data { facts.accepted } else { 0 };
    let size = facts.mail.and_then(Mail::size).unwrap_or(0);
    let tls = facts.tls;

    let mut text = String::with_capacity(1024);
    let mut tell = |name: &str, value: &str| {
        let value = value.replace(['\r', '\n', '\0'], "?");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}={value}");
    };
    tell("request", "smtpd_access_policy");
    tell("protocol_state", state);
    tell("protocol_name", protocol);
    tell("client_address", &facts.client.ip().to_canonical().to_string());
    tell("client_name", names.name());
    tell("client_port", &facts.client.port().to_string());
    tell("reverse_client_name", names.reverse());
    tell("server_address", &facts.server.ip().to_canonical().to_string());
    tell("server_port", &facts.server.port().to_string());
    tell("helo_name", facts.helo.map_or("", |helo| &helo.name));
    tell("sender", &sender);
    tell("recipient", &recipient);
    tell("recipient_count", &count.to_string());
    tell("queue_id", "");
    tell("instance", &format!("{}.{}", facts.id, facts.transaction));
    tell("size", &size.to_string());
    tell("etrn_domain", facts.etrn.unwrap_or(""));
    tell("stress", "");
    for nobody_has_logged_in in ["sasl_method", "sasl_username", "sasl_sender"] {
        tell(nobody_has_logged_in, "");
    }
    for no_certificate_was_asked_for in
        ["ccert_subject", "ccert_issuer", "ccert_fingerprint", "ccert_pubkey_fingerprint"]
    {
        tell(no_certificate_was_asked_for, "");
    }
    tell("encryption_protocol", tls.map_or("", |tls| &tls.protocol));
    tell("encryption_cipher", tls.map_or("", |tls| &tls.cipher));
    tell("encryption_keysize", &tls.map_or(0, |tls| tls.bits).to_string());
    tell("tls_sni", "");
    tell("policy_context", context);
    tell("compatibility_level", "3.6");
    tell("mail_version", env!("CARGO_PKG_VERSION"));
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::facts::TlsFacts;
    use crate::policy::names::{ClientNames, NameStatus};
    use crate::smtp::command::Command;
    use crate::smtp::envelope::{Helo, Protocol, Rcpt};

    fn mail(line: &str) -> Mail {
        match Command::parse(line.as_bytes(), Default::default()) {
            Ok(Command::Mail(mail)) => mail,
            other => panic!("{other:?}"),
        }
    }

    fn rcpt(line: &str) -> Rcpt {
        match Command::parse(line.as_bytes(), Default::default()) {
            Ok(Command::Rcpt(rcpt)) => rcpt,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_attribute_is_told_in_order() {
        let names = Names {
            name: None,
            reverse: Some("claimed.example".into()),
            status: NameStatus::Forged,
            reverse_status: NameStatus::Ok,
        };
        let cell = ClientNames::default();
        let (helo, mail, rcpt) = (
            Helo::new(Protocol::Esmtp, "h\n"),
            mail("MAIL FROM:<\"A b\"@c.d> SIZE=123"),
            rcpt("RCPT TO:<R@e.f>"),
        );
        let tls = TlsFacts { protocol: "TLSv1.3".into(), cipher: "TLS_AES_256_GCM_SHA384".into(), bits: 256 };
        let facts = Facts {
            client: "[2001:db8::1]:1025".parse().unwrap(),
            server: "192.0.2.25:25".parse().unwrap(),
            names: &cell,
            helo: Some(&helo),
            mail: Some(&mail),
            rcpt: Some(&rcpt),
            etrn: None,
            accepted: 2,
            tls: Some(&tls),
            pipelined: false,
            id: "00000000000A".parse().unwrap(),
            transaction: 3,
        };
        let wanted = "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n\
            client_address=2001:db8::1\nclient_name=unknown\nclient_port=1025\nreverse_client_name=claimed.example\n\
            server_address=192.0.2.25\nserver_port=25\nhelo_name=h?\nsender=A b@c.d\nrecipient=R@e.f\n\
            recipient_count=0\nqueue_id=\ninstance=00000000000A.3\nsize=123\netrn_domain=\nstress=\nsasl_method=\n\
            sasl_username=\nsasl_sender=\nccert_subject=\nccert_issuer=\nccert_fingerprint=\n\
            ccert_pubkey_fingerprint=\nencryption_protocol=TLSv1.3\nencryption_cipher=TLS_AES_256_GCM_SHA384\n\
            encryption_keysize=256\ntls_sni=\npolicy_context=inbound\ncompatibility_level=3.6\n";
        let told = request(Stage::Rcpt, &facts, &names, "inbound");
        assert!(told.starts_with(wanted), "{told}");
        assert!(told.ends_with("\n\n"));

        let at_data = request(Stage::Data, &facts, &names, "");
        assert!(at_data.contains("protocol_state=DATA\n") && at_data.contains("recipient_count=2\n"));
        assert!(at_data.contains("\nrecipient=\n"), "of two recipients none is named");
    }
}
