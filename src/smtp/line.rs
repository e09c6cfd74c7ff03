//! From bytes to lines: bounded, and honest about how a line ended.

/// How a line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// CR LF, as RFC 5321 §2.3.8 demands.
    CrLf,
    /// A bare LF: what the bare newline test looks for.
    BareLf,
}
