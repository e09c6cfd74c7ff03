//! Rules in the order of their file, with `if … endif` around some of them.

/// What a table of rules runs through for each key, first match wins. `C` is what an `if` asks, `R` a rule.
#[derive(Debug)]
pub(super) struct Program<C, R> {
    steps: Vec<Step<C, R>>,
}

#[derive(Debug)]
enum Step<C, R> {
    Rule(R),
    /// Go on behind `end` unless the condition holds.
    If {
        condition: C,
        end: usize,
    },
}

impl<C, R> Program<C, R> {
    /// The first answer of a rule; what stands under an `if` that does not hold is passed over.
    pub(super) fn first<'p, T, E>(
        &'p self,
        mut holds: impl FnMut(&'p C) -> Result<bool, E>,
        mut answer: impl FnMut(&'p R) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        let mut at = 0;
        while let Some(step) = self.steps.get(at) {
            at += 1;
            match step {
                Step::Rule(rule) => {
                    if let Some(found) = answer(rule)? {
                        return Ok(Some(found));
                    }
                }
                Step::If { condition, end } => {
                    if !holds(condition)? {
                        at = *end;
                    }
                }
            }
        }
        Ok(None)
    }
}

/// Builds a [`Program`] line by line.
#[derive(Debug)]
pub(super) struct Builder<C, R> {
    steps: Vec<Step<C, R>>,
    /// The `if`s without `endif` so far: which step, which line.
    open: Vec<(usize, usize)>,
    /// Steps up to here are led around by some `if`, and must stay as they are.
    sealed: usize,
}

impl<C, R> Builder<C, R> {
    pub(super) fn new() -> Self {
        Self { steps: Vec::new(), open: Vec::new(), sealed: 0 }
    }

    pub(super) fn rule(&mut self, rule: R) {
        self.steps.push(Step::Rule(rule));
    }

    /// The rule before, if nothing stands between it and the next one.
    pub(super) fn last_rule(&mut self) -> Option<&mut R> {
        match self.steps.get_mut(self.sealed..)?.last_mut()? {
            Step::Rule(rule) => Some(rule),
            Step::If { .. } => None,
        }
    }

    pub(super) fn begin(&mut self, condition: C, line: usize) {
        self.open.push((self.steps.len(), line));
        // Without `endif` it reaches to the end of the file.
        self.steps.push(Step::If { condition, end: usize::MAX });
    }

    pub(super) fn end(&mut self) -> Result<(), String> {
        let Some((begun, _)) = self.open.pop() else {
            return Err("`endif` without `if`: remove it, or write the `if` above".to_owned());
        };
        self.sealed = self.steps.len();
        if let Some(Step::If { end, .. }) = self.steps.get_mut(begun) {
            *end = self.sealed;
        }
        Ok(())
    }

    /// The program, and the lines of those `if`s that have no `endif`.
    pub(super) fn finish(mut self) -> (Program<C, R>, Vec<usize>) {
        self.steps.shrink_to_fit();
        (Program { steps: self.steps }, self.open.into_iter().map(|(_, line)| line).collect())
    }
}

/// How a line of a rule file begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Statement<'a> {
    /// `if`, with what follows it.
    If(&'a str),
    /// `endif`, with what follows it.
    EndIf(&'a str),
    /// Anything else.
    Rule(&'a str),
}

/// Takes `if` and `endif` off, in any case; a letter or digit behind them makes another word of them.
pub(super) fn statement(line: &str) -> Statement<'_> {
    let behind = |word: &str| {
        let (head, tail) = line.split_at_checked(word.len())?;
        let ends = !tail.starts_with(|c: char| c.is_ascii_alphanumeric());
        (head.eq_ignore_ascii_case(word) && ends).then(|| tail.trim_start_matches(super::words::is_space))
    };
    if let Some(tail) = behind("endif") {
        Statement::EndIf(tail)
    } else if let Some(tail) = behind("if") {
        Statement::If(tail)
    } else {
        Statement::Rule(line)
    }
}

/// What is said of an `if` that is never closed.
pub(super) const NO_ENDIF: &str = "`if` without `endif` reaches to the end of the table";

/// Refuses text where none belongs. Often it is a rule that was indented under its `if`, and so continues that line.
pub(super) fn nothing_behind(word: &str, extra: &str) -> Result<(), String> {
    if extra.is_empty() {
        return Ok(());
    }
    Err(format!("`{extra}` behind `{word}` would be ignored: start it in the first column of its own line"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Runs a program whose conditions are booleans and whose rules answer with themselves when `wanted`.
    fn first(builder: Builder<bool, u32>, wanted: &[u32]) -> Option<u32> {
        let (program, _) = builder.finish();
        let Ok(found) = program.first::<_, Infallible>(
            |condition| Ok(*condition),
            |rule| Ok(wanted.contains(rule).then_some(*rule)),
        );
        found
    }

    fn nested(outer: bool, inner: bool) -> Builder<bool, u32> {
        let mut builder = Builder::new();
        builder.rule(1);
        builder.begin(outer, 2);
        builder.rule(2);
        builder.begin(inner, 3);
        builder.rule(3);
        builder.end().unwrap();
        builder.rule(4);
        builder.end().unwrap();
        builder.rule(5);
        builder
    }

    #[test]
    fn the_first_rule_that_answers_wins() {
        assert_eq!(first(nested(true, true), &[5, 3, 4]), Some(3));
        assert_eq!(first(nested(true, true), &[]), None);
    }

    #[test]
    fn an_if_that_does_not_hold_hides_what_it_encloses() {
        assert_eq!(first(nested(true, false), &[3, 4]), Some(4));
        assert_eq!(first(nested(false, true), &[2, 3, 4, 5]), Some(5));
    }

    #[test]
    fn an_if_without_endif_reaches_to_the_end() {
        let mut builder = Builder::new();
        builder.begin(false, 7);
        builder.rule(1);
        let (program, open) = builder.finish();
        assert_eq!(open, [7]);
        let Ok(found) = program.first::<_, Infallible>(|c| Ok(*c), |rule| Ok(Some(*rule)));
        assert_eq!(found, None::<i32>);
    }

    #[test]
    fn endif_without_if_is_an_error() {
        assert!(Builder::<bool, u32>::new().end().is_err());
    }

    #[test]
    fn a_rule_behind_endif_is_not_joined_to_the_one_before() {
        let mut builder = Builder::new();
        builder.begin(true, 1);
        builder.rule(1);
        assert_eq!(builder.last_rule(), Some(&mut 1));
        builder.end().unwrap();
        assert_eq!(builder.last_rule(), None);
        builder.begin(true, 2);
        assert_eq!(builder.last_rule(), None);
    }

    #[test]
    fn if_and_endif_are_words_in_any_case() {
        assert_eq!(statement("IF /x/"), Statement::If("/x/"));
        assert_eq!(statement("if!/x/"), Statement::If("!/x/"));
        assert_eq!(statement("EndIf"), Statement::EndIf(""));
        assert_eq!(statement("endif x"), Statement::EndIf("x"));
        assert_eq!(statement("ifx"), Statement::Rule("ifx"));
        assert_eq!(statement("é"), Statement::Rule("é"));
    }
}
