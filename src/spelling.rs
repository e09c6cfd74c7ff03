//! How the words of a configuration are spelled, and which one was meant by one that is none of them.

use std::fmt::Display;
use std::str::FromStr;

/// An enum that a configuration writes as one of a few words; made by [`spelled`].
pub(crate) trait Spelled: FromStr<Err = String> + Display + 'static {
    /// The words.
    const WORDS: &'static [&'static str];

    /// The words as a sentence has them: `one, two or three`.
    fn words() -> String {
        match Self::WORDS {
            [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
            words => words.concat(),
        }
    }
}

/// Spells the variants of an enum: it is read and shown in the same words.
macro_rules! spelled {
    ($name:ident { $($variant:ident = $word:literal),+ }) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $word,)+
                })
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("unknown; write {}", <Self as $crate::spelling::Spelled>::words())),
                }
            }
        }

        impl $crate::spelling::Spelled for $name {
            const WORDS: &'static [&'static str] = &[$($word),+];
        }
    };
}

pub(crate) use spelled;

/// The nearest of `known` to `word`, if any is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bearable = (word.chars().count() / 3).clamp(1, 4);
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= bearable)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be added, removed, replaced or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut two_back = vec![0; b.len() + 1];
    let mut back: Vec<usize> = (0..=b.len()).collect();
    let mut before = None;
    for (i, x) in a.chars().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (back[j] + usize::from(x != *y)).min(back[j + 1] + 1).min(row[j] + 1);
            if j > 0 && Some(*y) == before && b[j - 1] == x {
                least = least.min(two_back[j - 1] + 1);
            }
            row.push(least);
        }
        two_back = std::mem::replace(&mut back, row);
        before = Some(x);
    }
    back[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Colour {
        Red,
        DarkGreen,
        Blue,
    }

    spelled!(Colour { Red = "red", DarkGreen = "dark-green", Blue = "blue" });

    #[test]
    fn what_is_spelled_is_read_as_it_is_shown() {
        for (colour, word) in
            [(Colour::Red, "red"), (Colour::DarkGreen, "dark-green"), (Colour::Blue, "blue")]
        {
            assert_eq!((word.parse(), colour.to_string()), (Ok(colour), word.to_owned()));
        }
        for wrong in ["", "Red", "dark green", "blue "] {
            assert_eq!(wrong.parse::<Colour>(), Err("unknown; write red, dark-green or blue".to_owned()));
        }
    }

    #[test]
    fn counts_letters_added_removed_replaced_swapped() {
        assert_eq!(distance("greet_wait", "greet_wait"), 0);
        assert_eq!(distance("greet_wiat", "greet_wait"), 1);
        assert_eq!(distance("gret_wait", "greet_wait"), 1);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn suggests_only_what_is_near() {
        let known = ["screen.greet_wait", "screen.greet_ttl", "dnsbl.sites"];
        assert_eq!(nearest("screen.gret_wait", known), Some("screen.greet_wait"));
        assert_eq!(nearest("dnsbl.site", known), Some("dnsbl.sites"));
        assert_eq!(nearest("colour", known), None);
    }
}
