//! A stream in clear, or inside TLS: a client's, or the way to a server.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::{CipherSuite, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// A stream in clear, or inside TLS; a client's is one of TCP.
#[derive(Debug)]
pub enum Stream<S = TcpStream> {
    /// A socket, which the kernel can splice.
    Plain(S),
    /// After STARTTLS. Boxed: a waiting connection should be small.
    Tls(Box<TlsStream<S>>),
}

impl<S> Stream<S> {
    /// The socket below.
    pub fn socket(&self) -> &S {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    /// What TLS was agreed on, in OpenSSL's words: protocol, cipher suite and key bits.
    pub fn agreed(&self) -> Option<(String, String, u16)> {
        let Self::Tls(tls) = self else { return None };
        let connection = tls.get_ref().1;
        let version = match connection.protocol_version()? {
            ProtocolVersion::TLSv1_2 => "TLSv1.2",
            ProtocolVersion::TLSv1_3 => "TLSv1.3",
            _ => "TLS",
        };
        let suite = openssl_name(connection.negotiated_cipher_suite()?.suite());
        let bits = if suite.contains("AES128") || suite.contains("AES_128") { 128 } else { 256 };
        Some((version.to_owned(), suite, bits))
    }
}

/// The name that logs, policy servers and PROXY headers know a suite by.
fn openssl_name(suite: CipherSuite) -> String {
    let Some(name) = suite.as_str() else { return "unknown".to_owned() };
    if let Some(rest) = name.strip_prefix("TLS13_") {
        return format!("TLS_{rest}");
    }
    let name =
        name.trim_start_matches("TLS_").replace("_WITH_", "-").replace('_', "-").replace("AES-", "AES");
    name.strip_suffix("POLY1305-SHA256").map(|rest| format!("{rest}POLY1305")).unwrap_or(name)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            // Few say goodbye in TLS. In SMTP a message that is cut off is told by the dot that is missing, and a reply
            // says by itself where it ends, so the end of the connection is as good an end as any.
            Self::Tls(tls) => match ready!(Pin::new(tls).poll_read(cx, buf)) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
                read => Poll::Ready(read),
            },
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_have_the_names_that_openssl_gives_them() {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let names: Vec<_> = provider.cipher_suites.iter().map(|suite| openssl_name(suite.suite())).collect();
        let known = [
            "TLS_AES_256_GCM_SHA384",
            "TLS_AES_128_GCM_SHA256",
            "TLS_CHACHA20_POLY1305_SHA256",
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-CHACHA20-POLY1305",
            "ECDHE-RSA-AES256-GCM-SHA384",
            "ECDHE-RSA-AES128-GCM-SHA256",
            "ECDHE-RSA-CHACHA20-POLY1305",
        ];
        assert_eq!(names, known);
    }
}
