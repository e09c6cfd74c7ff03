//! `cidr:` tables: `[!]network value`, first match wins.
//!
//! Neighbouring rules without `!` share a trie, so a million of them cost one walk of at most 32 or 128 steps. All
//! networks on that walk cover the address; of those, the rule that stands first in the file answers, be it the
//! longest or not.

use std::convert::Infallible;
use std::net::IpAddr;

use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;

use super::error::Findings;
use super::network::network;
use super::program::{Builder, NO_ENDIF, Program, Statement, nothing_behind, statement};
use super::values::{Interner, ValueId, Values};
use super::words::is_space;

/// The rules of a `cidr:` table.
#[derive(Debug)]
pub(super) struct Networks {
    program: Program<Pattern, Rule>,
    values: Values,
}

/// A network, or the rest of its address family.
#[derive(Debug)]
struct Pattern {
    net: IpNet,
    negated: bool,
}

#[derive(Debug)]
enum Rule {
    /// Rules without `!` that follow one another.
    Nets(Nets),
    /// A rule with `!`.
    Others(Pattern, ValueId),
}

impl Networks {
    /// The value of the first rule that matches `address`.
    pub(super) fn get(&self, address: IpAddr) -> Option<&str> {
        let Ok(found) = self.program.first::<_, Infallible>(
            |pattern| Ok(pattern.matches(address)),
            |rule| {
                Ok(match rule {
                    Rule::Nets(nets) => nets.first(address),
                    Rule::Others(pattern, value) => pattern.matches(address).then_some(*value),
                })
            },
        );
        found.map(|id| self.values.text(id))
    }

    pub(super) fn values(&self) -> &Values {
        &self.values
    }
}

impl Pattern {
    /// `net`, `!net`; a `!` may be repeated, and blanks may stand between.
    fn parse(text: &str) -> Result<Self, String> {
        let net = text.trim_start_matches(|c| c == '!' || is_space(c));
        let negations = text.len() - text.replace('!', "").len();
        Ok(Self { net: network(net)?, negated: negations % 2 == 1 })
    }

    /// An address of the other family matches neither `net` nor `!net`.
    fn matches(&self, address: IpAddr) -> bool {
        self.net.addr().is_ipv4() == address.is_ipv4() && self.net.contains(&address) != self.negated
    }
}

/// Networks, each with the rank of its rule.
#[derive(Debug, Default)]
struct Nets {
    ranks: JointPrefixMap<IpNet, u32>,
    values: Vec<ValueId>,
}

impl Nets {
    /// A rule whose network stands further up already can never answer, and is left out.
    fn push(&mut self, net: IpNet, value: ValueId) -> Result<(), String> {
        let rank = u32::try_from(self.values.len()).map_err(|_| "more than 4 billion rules".to_owned())?;
        if *self.ranks.entry(net).or_insert(rank) == rank {
            self.values.push(value);
        }
        Ok(())
    }

    fn first(&self, address: IpAddr) -> Option<ValueId> {
        let rank = self.ranks.cover_values(&address.into()).min()?;
        self.values.get(*rank as usize).copied()
    }
}

/// Reads rules one by one.
#[derive(Debug)]
pub(super) struct Reader {
    program: Builder<Pattern, Rule>,
    values: Interner,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { program: Builder::new(), values: Interner::default() }
    }

    pub(super) fn line(&mut self, line: usize, text: &str) -> Result<(), String> {
        match statement(text) {
            Statement::If(rest) => {
                let (pattern, extra) = split_pattern(rest);
                nothing_behind("if", extra)?;
                self.program.begin(Pattern::parse(pattern)?, line);
                Ok(())
            }
            Statement::EndIf(extra) => {
                nothing_behind("endif", extra)?;
                self.program.end()
            }
            Statement::Rule(rule) => self.rule(line, rule),
        }
    }

    fn rule(&mut self, line: usize, rule: &str) -> Result<(), String> {
        let (pattern, value) = split_pattern(rule);
        if value.is_empty() {
            return Err(format!("`{rule}` has no value: write `network value`, such as `10.0.0.0/8 OK`"));
        }
        let pattern = Pattern::parse(pattern)?;
        let value = self.values.intern(value, line)?;
        if pattern.negated {
            self.program.rule(Rule::Others(pattern, value));
            return Ok(());
        }
        if let Some(Rule::Nets(nets)) = self.program.last_rule() {
            return nets.push(pattern.net, value);
        }
        let mut nets = Nets::default();
        nets.push(pattern.net, value)?;
        self.program.rule(Rule::Nets(nets));
        Ok(())
    }

    pub(super) fn finish(self, findings: &mut Findings) -> Networks {
        let (program, open) = self.program.finish();
        open.into_iter().for_each(|line| findings.warn(line, NO_ENDIF));
        Networks { program, values: self.values.finish() }
    }
}

/// The pattern with its `!`, and what follows it.
fn split_pattern(rule: &str) -> (&str, &str) {
    let start = rule.len() - rule.trim_start_matches(|c| c == '!' || is_space(c)).len();
    let end = rule[start..].find(is_space).map_or(rule.len(), |at| start + at);
    let (pattern, value) = rule.split_at(end);
    (pattern, value.trim_matches(is_space))
}
