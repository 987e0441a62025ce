//! Lines of Android's logcat. In: a line. Out: its date, its tag and its message.

use super::scan::{digits, skip_spaces};

/// `11-03 04:10:34.747 W/audit   (    0): message` (time), or `11-03 04:10:34.747     0     0 W audit   : message`
/// (threadtime).
#[must_use]
pub fn line(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let two = |text: &'_ [u8]| text.len() >= 2 && text[..2].iter().all(u8::is_ascii_digit);
    if !(two(text) && text.get(2) == Some(&b'-') && two(&text[3..]) && text.get(5) == Some(&b' ')) {
        return None;
    }
    let end = 6 + memchr::memchr(b' ', text.get(6..)?)?;
    let (wall, rest) = (&text[..end], skip_spaces(&text[end..]));
    if !wall[6..].iter().all(|byte| b"0123456789:.".contains(byte)) {
        return None;
    }
    if let [level, b'/', rest @ ..] = rest
        && level.is_ascii_uppercase()
    {
        let open = memchr::memchr(b'(', &rest[..rest.len().min(64)])?;
        let (_, after) = digits(skip_spaces(&rest[open + 1..]))?;
        let message = after.strip_prefix(b"):")?;
        return Some((wall, rest[..open].trim_ascii(), skip_spaces(message)));
    }
    let (_, rest) = digits(rest)?;
    let (_, rest) = digits(skip_spaces(rest))?;
    let [level, b' ', rest @ ..] = skip_spaces(rest) else {
        return None;
    };
    let colon = memchr::memchr(b':', &rest[..rest.len().min(64)])?;
    level.is_ascii_uppercase().then_some(())?;
    Some((
        wall,
        rest[..colon].trim_ascii(),
        skip_spaces(&rest[colon + 1..]),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_read() {
        let message: &[u8] = b"audit_lost=7 audit_rate_limit=5 audit_backlog_limit=64";
        for before in [
            "11-03 04:10:34.747 W/audit   (    0): ",
            "11-03 04:10:34.747     0     0 W audit   : ",
        ] {
            let text = [before.as_bytes(), message].concat();
            let found = line(&text).expect("a line of logcat");
            assert_eq!(found, (&b"11-03 04:10:34.747"[..], &b"audit"[..], message));
        }
        assert_eq!(line(b"2021-08-14 10:00:01 h kernel: x"), None);
    }
}
