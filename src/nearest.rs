//! "Did you mean …": the known word nearest to one that was mistyped.

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
