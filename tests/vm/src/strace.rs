//! strace's output: which messages went to audit netlink, and when. Pure.

use std::collections::BTreeSet;

/// A message sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Send {
    /// When, of the real-time clock.
    pub at_ns: u64,
    /// The line.
    pub line: String,
}

/// Finds them in the output of `strace -f -ttt -o FILE`. A descriptor counts as an audit socket
/// from the `socket` call on that made it, whoever of the traced uses that number later: rather
/// one message too many than one too few.
pub fn audit_sends(text: &str) -> Vec<Send> {
    let mut sockets = BTreeSet::new();
    let mut sends = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ' ').filter(|p| !p.is_empty());
        let (Some(_pid), Some(time), Some(call)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let call = call.trim_start();
        if call.starts_with("socket(") && call.contains("NETLINK_AUDIT") {
            if let Some(fd) = result(call) {
                sockets.insert(fd);
            }
        } else if let Some(arguments) = ["sendto(", "sendmsg(", "sendmmsg(", "write("]
            .iter()
            .find_map(|name| call.strip_prefix(name))
            && let Some(fd) = leading_number(arguments)
            && sockets.contains(&fd)
        {
            sends.push(Send {
                at_ns: nanoseconds(time).unwrap_or(0),
                line: line.to_owned(),
            });
        } else if let Some(arguments) = call.strip_prefix("close(")
            && let Some(fd) = leading_number(arguments)
        {
            sockets.remove(&fd);
        }
    }
    sends
}

fn leading_number(text: &str) -> Option<u32> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..digits].parse().ok()
}

fn result(call: &str) -> Option<u32> {
    leading_number(call.rsplit("= ").next()?.trim())
}

/// `1700000000.123456` in nanoseconds.
fn nanoseconds(time: &str) -> Option<u64> {
    let (seconds, micros) = time.split_once('.')?;
    let seconds: u64 = seconds.parse().ok()?;
    let micros: u64 = micros.parse().ok()?;
    Some(seconds * 1_000_000_000 + micros * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_to_audit_sockets_only() {
        let text = "\
12 1700000000.000001 socket(AF_NETLINK, SOCK_RAW|SOCK_CLOEXEC, NETLINK_AUDIT) = 5
12 1700000000.000002 socket(AF_UNIX, SOCK_STREAM, 0) = 6
12 1700000000.000003 sendto(5, [{nlmsg_len=16, nlmsg_type=AUDIT_GET}], 16, 0, NULL, 0) = 16
12 1700000000.000004 sendto(6, \"x\", 1, 0, NULL, 0) = 1
13 1700000000.000005 write(5, \"x\", 1) = 1
12 1700000000.000006 close(5) = 0
12 1700000000.000007 write(5, \"x\", 1) = 1
12 1700000000.000008 +++ exited with 0 +++
";
        let sends = audit_sends(text);
        let times: Vec<u64> = sends.iter().map(|s| s.at_ns % 1_000_000).collect();
        assert_eq!(times, [3000, 5000]);
    }
}
