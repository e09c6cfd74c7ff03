//! Text on its way into a page.

use std::fmt::{self, Write};

/// A page being written.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// Markup; whatever comes from elsewhere stands in it as [`Text`].
    pub(super) fn put(&mut self, markup: fmt::Arguments<'_>) {
        // A String takes everything.
        let _ = self.0.write_fmt(markup);
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// Text that is no markup, whatever is in it.
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            other => f.write_char(other),
        })
    }
}
