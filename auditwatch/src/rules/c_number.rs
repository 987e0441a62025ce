//! Numbers as C's strtoul and strtol read them: as much as looks like a number, and the rest is passed over.
//! Text comes in, a number goes out, or the word that it is too large.

/// `strtoul(text, NULL, base)` of a text that begins with a digit, base 0 or 16; `None` when it does not fit into
/// 64 bits (`ERANGE`).
#[must_use]
pub fn unsigned(text: &[u8], base: u32) -> Option<u64> {
    let (digits, radix) = digits(text, base);
    digits
        .iter()
        .map_while(|&byte| char::from(byte).to_digit(radix))
        .try_fold(0_u64, |number, digit| {
            number.checked_mul(radix.into())?.checked_add(digit.into())
        })
}

/// `(int) strtol(text, NULL, 0)` in its 32 bits: cut, as storing it into a field of a rule does.
#[must_use]
pub fn signed(text: &[u8]) -> u32 {
    let (is_negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let most = i64::MAX as u64;
    let magnitude = unsigned(text, 0).unwrap_or(u64::MAX);
    let number = if is_negative {
        // The least number is one further from 0 than the largest.
        magnitude.min(most + 1).wrapping_neg()
    } else {
        magnitude.min(most)
    };
    cut(number)
}

/// `strtoul(text, NULL, 0)` in 32 bits: what is too large is all ones before it is cut.
#[must_use]
pub fn unsigned_cut(text: &[u8]) -> u32 {
    cut(unsigned(text, 0).unwrap_or(u64::MAX))
}

/// The lower half, as an assignment to `uint32_t` leaves it.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the tools cut numbers in the same way"
)]
pub const fn cut(number: u64) -> u32 {
    number as u32
}

/// Where the digits begin, and their radix.
fn digits(text: &[u8], base: u32) -> (&[u8], u32) {
    let hexadecimal = match text {
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => {
            Some(rest)
        }
        _ => None,
    };
    match (base, hexadecimal, text.first()) {
        (16 | 0, Some(rest), _) => (rest, 16),
        (16, None, _) => (text, 16),
        (_, None, Some(b'0')) => (text, 8),
        _ => (text, 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_in_the_text_and_the_tail_is_passed_over() {
        for (text, number) in [
            ("8192", 8192),
            ("08192", 0),
            ("010", 8),
            ("0x2000", 8192),
            ("0x", 0),
            ("0xg", 0),
            ("8,192", 8),
            ("1e4", 1),
            ("1_000", 1),
            ("0b11", 0),
            ("4294967296", 4_294_967_296),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(unsigned(text.as_bytes(), 0), Some(number), "{text}");
        }
        assert_eq!(unsigned(b"18446744073709551616", 0), None);
        assert_eq!(unsigned(b"c000003e", 16), Some(0xc000_003e));
        assert_eq!(unsigned(b"b65", 16), Some(0xb65));
    }

    #[test]
    fn fields_keep_the_lower_half() {
        assert_eq!(unsigned_cut(b"4294967296"), 0);
        assert_eq!(unsigned_cut(b"99999999999999999999"), u32::MAX);
        assert_eq!(signed(b"-1"), u32::MAX);
        assert_eq!(signed(b"-13"), 13_u32.wrapping_neg());
        assert_eq!(signed(b"99999999999999999999"), u32::MAX);
        assert_eq!(signed(b"-99999999999999999999"), 0);
    }
}
