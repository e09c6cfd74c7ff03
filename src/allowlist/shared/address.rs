//! Where the server is: `redis://host:6379/0`, `rediss://user@host`, `unix:///run/valkey/valkey.sock`.

use std::fmt;
use std::str::FromStr;

use redis::{ConnectionInfo, IntoConnectionInfo};

/// `allowlist.shared`: a URL without a password, which has a file of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(String);

const SCHEMES: [&str; 3] = ["redis://", "rediss://", "unix://"];

impl Address {
    /// What the client library makes of it.
    pub(super) fn info(&self) -> redis::RedisResult<ConnectionInfo> {
        self.0.as_str().into_connection_info()
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!("{why}; write redis://host:6379/0, rediss://user@host (TLS) or unix:///path/to/socket")
        };
        if !SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
            return Err(wrong("no address of a Redis or Valkey server"));
        }
        let info = text.into_connection_info().map_err(|_| wrong("cannot be understood"))?;
        if info.redis_settings().password().is_some() {
            return Err(
                "holds a password; write that into a file and name the file in allowlist.shared_password_file"
                    .to_owned(),
            );
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_servers() {
        for text in [
            "redis://127.0.0.1",
            "redis://prescreen@valkey.example.org:6380/3",
            "rediss://[2001:db8::1]:6379",
            "unix:///run/valkey/valkey.sock",
            "unix:///run/valkey/valkey.sock?user=prescreen",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_none_says_what_would_be_right() {
        for text in ["", "127.0.0.1:6379", "http://127.0.0.1", "redis://", "redis://host:99999"] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.contains("; write redis://"), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_is_turned_away_without_being_repeated() {
        for text in ["redis://:s3cret@host", "rediss://me:s3cret@host", "unix:///socket?user=me&pass=s3cret"]
        {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.contains("shared_password_file") && !error.contains("s3cret"), "{error}");
        }
    }
}
