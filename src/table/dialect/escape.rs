//! What a letter or digit behind a backslash means to PCRE.

use super::{Rest, take, take_number, take_until};

/// The classes that have a letter.
pub(super) fn class_of(letter: char) -> Option<&'static str> {
    Some(match letter {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        's' => r"[\x20\t\n\x0B\f\r]",
        'S' => r"[^\x20\t\n\x0B\f\r]",
        'h' => r"[\t\x20\xA0]",
        'H' => r"[^\t\x20\xA0]",
        'v' => r"[\n\x0B\f\r\x85]",
        'V' => r"[^\n\x0B\f\r\x85]",
        _ => return None,
    })
}

/// The one character that a letter, a code or an escaped sign behind a backslash stands for.
pub(super) fn character(c: char, rest: &mut Rest<'_>) -> Result<char, String> {
    Ok(match c {
        'a' => '\x07',
        'e' => '\x1b',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        '0' => octal(c, rest)?,
        'o' => {
            let digits = take(rest, '{').then(|| take_until(rest, '}')).flatten();
            code(&digits.ok_or("write \\o{…} with octal digits")?, 8)?
        }
        'x' if take(rest, '{') => code(&take_until(rest, '}').ok_or("a \\x{ is not closed")?, 16)?,
        'x' => {
            let mut digits = "0".to_owned();
            while let Some(digit) = rest.next_if(|c| digits.len() < 3 && c.is_ascii_hexdigit()) {
                digits.push(digit);
            }
            code(&digits, 16)?
        }
        'c' => match rest.next() {
            Some(c) if c.is_ascii_graphic() => char::from((c.to_ascii_uppercase() as u8) ^ 0x40),
            _ => return Err("\\c needs a printable character behind it".to_owned()),
        },
        'p' | 'P' => return Err(format!("`\\{c}` is not supported: write a class such as [[:upper:]]")),
        c if c.is_ascii_alphanumeric() => return Err(format!("`\\{c}` is not supported")),
        c => c,
    })
}

/// Up to three octal digits, of which `first` is gone already.
pub(super) fn octal(first: char, rest: &mut Rest<'_>) -> Result<char, String> {
    let mut digits = first.to_string();
    while let Some(digit) = rest.next_if(|c| digits.len() < 3 && matches!(c, '0'..='7')) {
        digits.push(digit);
    }
    code(&digits, 8)
}

fn code(digits: &str, radix: u32) -> Result<char, String> {
    let octet = u8::from_str_radix(digits, radix).map(char::from);
    octet.map_err(|_| format!("`{digits}` is no octet's code: patterns run on octets, 0 to {{FF}}"))
}

/// `\g{1}`, `\g1`, `\g{-1}`, `\k<name>`, `\k'name'`, `\k{name}`: a group's text again. `\g<1>`: its pattern again.
pub(super) fn group_reference(letter: char, rest: &mut Rest<'_>) -> Result<String, String> {
    let incomplete = || format!("\\{letter} needs a group behind it, such as \\{letter}{{1}}");
    let (close, kind) = match rest.peek() {
        Some('{') => ('}', 'k'),
        Some('<') => ('>', letter),
        Some('\'') => ('\'', letter),
        _ if letter == 'g' => {
            let sign = if take(rest, '-') { "-" } else { "" };
            let number = take_number(rest).ok_or_else(incomplete)?;
            return Ok(format!("(?:\\k<{sign}{number}>)"));
        }
        _ => return Err(incomplete()),
    };
    rest.next();
    let group = take_until(rest, close).filter(|group| !group.is_empty()).ok_or_else(incomplete)?;
    Ok(format!("(?:\\{kind}<{group}>)"))
}
