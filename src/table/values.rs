//! The right-hand sides of a table, each text once: a million clients share a handful of actions.

use std::collections::HashMap;

/// A right-hand side as it stands in the table, for whoever wants to check it before it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'t> {
    /// The text; `$1` and `$$` of a pattern table are still in it.
    pub text: &'t str,
    /// The line that has it first, counted as in [`LoadError::Line`](super::LoadError::Line).
    pub line: usize,
}

/// Which text; an index into [`Values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ValueId(u32);

/// The distinct texts of a table.
#[derive(Debug, Default)]
pub(super) struct Values {
    texts: Vec<(Box<str>, usize)>,
}

impl Values {
    pub(super) fn text(&self, id: ValueId) -> &str {
        self.texts.get(id.0 as usize).map_or("", |(text, _)| text)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Value<'_>> {
        self.texts.iter().map(|(text, line)| Value { text, line: *line })
    }
}

/// Builds [`Values`].
#[derive(Debug, Default)]
pub(super) struct Interner {
    ids: HashMap<Box<str>, (ValueId, usize)>,
}

impl Interner {
    /// The id of `text`, which stands in `line`.
    pub(super) fn intern(&mut self, text: &str, line: usize) -> Result<ValueId, String> {
        if let Some((id, _)) = self.ids.get(text) {
            return Ok(*id);
        }
        let next =
            u32::try_from(self.ids.len()).map_err(|_| "more than 4 billion different values".to_owned())?;
        self.ids.insert(text.into(), (ValueId(next), line));
        Ok(ValueId(next))
    }

    pub(super) fn finish(self) -> Values {
        let mut texts: Vec<_> = self.ids.into_iter().map(|(text, (id, line))| (id.0, text, line)).collect();
        texts.sort_unstable_by_key(|(id, ..)| *id);
        Values { texts: texts.into_iter().map(|(_, text, line)| (text, line)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_with_its_first_line() {
        let mut interner = Interner::default();
        let ok = interner.intern("OK", 1).unwrap();
        let reject = interner.intern("REJECT", 2).unwrap();
        assert_eq!(interner.intern("OK", 3).unwrap(), ok);
        let values = interner.finish();
        assert_eq!(values.text(ok), "OK");
        assert_eq!(values.text(reject), "REJECT");
        let wanted = [Value { text: "OK", line: 1 }, Value { text: "REJECT", line: 2 }];
        assert_eq!(values.iter().collect::<Vec<_>>(), wanted);
    }
}
