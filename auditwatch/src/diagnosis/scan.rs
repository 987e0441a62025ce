//! Small pieces of text: numbers, words. In: bytes. Out: what stands at their beginning, and the rest.

use crate::untrusted::Untrusted;

/// Digits at the beginning, and what stands behind them.
pub fn digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 || length > 19 {
        return None;
    }
    let value = text[..length]
        .iter()
        .fold(0_u64, |value, &digit| value * 10 + u64::from(digit - b'0'));
    Some((value, &text[length..]))
}

/// A number that fits a field of audit: digits, or a negative number where an old kernel printed its
/// counter as a signed one (`%d` up to 3.13), and what stands behind it.
pub fn counter(text: &[u8]) -> Option<(u32, &[u8])> {
    if let Some(text) = text.strip_prefix(b"-") {
        let (value, rest) = digits(text)?;
        let value = i32::try_from(value).ok()?;
        return Some(((-value).cast_unsigned(), rest));
    }
    let (value, rest) = digits(text)?;
    Some((u32::try_from(value).ok()?, rest))
}

/// Without the spaces and tabs at the beginning.
pub fn skip_spaces(text: &[u8]) -> &[u8] {
    let spaces = text
        .iter()
        .take_while(|&&byte| byte == b' ' || byte == b'\t')
        .count();
    &text[spaces..]
}

/// The value of `key=` in a record's text; `key` has the equals sign.
pub fn value_of<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut words = text.split(|&byte| byte == b' ');
    words.find_map(|word| word.strip_prefix(key))
}

/// Text of a log, cut to so many characters.
pub fn readable(text: &[u8], longest: usize) -> Untrusted {
    // A character takes four bytes at most, and a line may be long.
    let beginning = text.get(..longest * 4 + 4).unwrap_or(text);
    Untrusted::from_bytes(beginning).cut(longest, "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_may_be_printed_as_signed() {
        assert_eq!(counter(b"44393 x"), Some((44_393, &b" x"[..])));
        assert_eq!(counter(b"-295739022"), Some((3_999_228_274, &b""[..])));
        assert_eq!(counter(b"4294967295"), Some((u32::MAX, &b""[..])));
        assert_eq!(counter(b"4294967296"), None);
        assert_eq!(counter(b"-2147483649"), None);
        assert_eq!(digits(b"99999999999999999999"), None);
    }

    #[test]
    fn values_are_found_by_word() {
        let text = b"op=set audit_backlog_limit=8192 old=64";
        assert_eq!(value_of(text, b"old="), Some(&b"64"[..]));
        assert_eq!(value_of(text, b"backlog_limit="), None);
        assert_eq!(readable(b"a\x1b\nb", 3), "a\x1b\n..");
        assert_eq!(readable(b"a\xff", 9), r"a\xff");
        assert_eq!(readable(b"abc", 3), "abc");
        assert_eq!(readable(b"abcd", 3), "abc..");
    }
}
