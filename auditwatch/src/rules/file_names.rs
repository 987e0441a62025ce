//! The order in which augenrules takes the files of rules.d. Names come in as they stand in the directory,
//! names go out as the shell loops over them: sorted by version as `ls -1v` does, those that end in `.rules`,
//! split at blanks.

use std::cmp::Ordering;

/// The names that augenrules hands to `cat`, in its order. A name with a blank in it is several, which mostly name
/// nothing.
#[must_use]
pub fn in_order(names: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut visible: Vec<&[u8]> = names
        .iter()
        .copied()
        .filter(|name| !name.starts_with(b"."))
        .collect();
    visible.sort_by(|a, b| by_version(a, b));
    visible
        .iter()
        // A line break in a name makes lines of it, and grep looks at each.
        .flat_map(|name| name.split(|&byte| byte == b'\n'))
        .filter(|line| line.ends_with(b".rules"))
        .flat_map(|line| line.split(|byte| b" \t".contains(byte)))
        .filter(|word| !word.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

/// The order of `ls -v`, coreutils 9.1: by version without what looks like a file's suffix, then with it, then by
/// bytes.
#[must_use]
pub fn by_version(a: &[u8], b: &[u8]) -> Ordering {
    let (a_stem, b_stem) = (stem(a), stem(b));
    compare(a_stem, b_stem)
        .then_with(|| compare(a, b))
        .then_with(|| a.cmp(b))
}

/// A name without its suffixes: a dot and a letter or `~`, then letters, digits or `~`, repeated up to the end.
fn stem(name: &[u8]) -> &[u8] {
    let mut end = 0;
    let mut at = 0;
    while at < name.len() {
        at += 1;
        end = at;
        while let [b'.', first, ..] = name[at..]
            && (first.is_ascii_alphabetic() || first == b'~')
        {
            at += 2;
            at += name[at..]
                .iter()
                .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'~')
                .count();
        }
    }
    &name[..end]
}

/// Runs of other characters and runs of digits in turn; digits as numbers of any length.
fn compare(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !(a.is_empty() && b.is_empty()) {
        loop {
            let (first_a, first_b) = (a.first(), b.first());
            let is_text = |byte: Option<&u8>| byte.is_some_and(|byte| !byte.is_ascii_digit());
            if !is_text(first_a) && !is_text(first_b) {
                break;
            }
            match rank(first_a).cmp(&rank(first_b)) {
                Ordering::Equal => {}
                unequal => return unequal,
            }
            a = a.get(1..).unwrap_or_default();
            b = b.get(1..).unwrap_or_default();
        }
        let (digits_a, rest_a) = number(a);
        let (digits_b, rest_b) = number(b);
        let by_number = digits_a
            .len()
            .cmp(&digits_b.len())
            .then_with(|| digits_a.cmp(digits_b));
        if by_number != Ordering::Equal {
            return by_number;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// Where a character stands among those that are no digits: `~` first, then the end, digits, letters, all others.
fn rank(byte: Option<&u8>) -> i32 {
    match byte {
        None => -1,
        Some(b'~') => -2,
        Some(byte) if byte.is_ascii_digit() => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

/// The number at the start, without its leading zeros, and what follows it.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let zeros = text.iter().take_while(|&&byte| byte == b'0').count();
    let text = &text[zeros..];
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.split_at(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(names: &[&str]) -> Vec<String> {
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        in_order(&names)
            .into_iter()
            .map(|name| String::from_utf8(name).expect("text"))
            .collect()
    }

    #[test]
    fn digits_sort_before_letters_and_as_numbers() {
        assert_eq!(
            ordered(&[
                "zz-auditwatch.rules",
                "audit.rules",
                "99-auditwatch.rules",
                "100-late.rules",
                "10-base.rules",
                "9-early.rules",
                "readme",
                ".hidden.rules",
            ]),
            [
                "9-early.rules",
                "10-base.rules",
                "99-auditwatch.rules",
                "100-late.rules",
                "audit.rules",
                "zz-auditwatch.rules",
            ]
        );
    }

    #[test]
    fn suffixes_are_compared_last() {
        assert_eq!(
            ordered(&["a-b.rules", "a.rules", "a.b.rules", "a~.rules", "a1.rules"]),
            ["a~.rules", "a.b.rules", "a.rules", "a1.rules", "a-b.rules"]
        );
    }

    #[test]
    fn blanks_split_names() {
        assert_eq!(ordered(&["my file.rules"]), ["my", "file.rules"]);
        assert_eq!(ordered(&["my.rules file"]), Vec::<String>::new());
    }
}
