//! What a storm can ask of auditd.conf: keys that change how auditd handles records, and nothing else.
//!
//! In: a key and its value. Out: the value, or why it is refused. auditd runs as root, so that no key may be
//! allowed that runs a program, names a file, opens the network, or stops the host.

/// What a key can be set to.
enum Values {
    /// A whole number up to this.
    Number(u32),
    /// One of these words, in any case.
    Word(&'static [&'static str]),
}

/// Actions that neither run a program nor stop the host.
const ACTIONS: Values = Values::Word(&["ignore", "syslog", "suspend"]);
/// Those of a log that grows.
const LOG_ACTIONS: Values = Values::Word(&["ignore", "syslog", "suspend", "rotate", "keep_logs"]);

const KEYS: [(&str, Values); 15] = [
    ("admin_space_left", Values::Number(1_000_000)),
    ("admin_space_left_action", ACTIONS),
    ("disk_error_action", ACTIONS),
    ("disk_full_action", ACTIONS),
    (
        "flush",
        Values::Word(&["none", "incremental", "incremental_async", "data", "sync"]),
    ),
    ("freq", Values::Number(1_000_000)),
    ("log_format", Values::Word(&["raw", "enriched"])),
    ("max_log_file", Values::Number(4_000)),
    ("max_log_file_action", LOG_ACTIONS),
    ("num_logs", Values::Number(999)),
    ("overflow_action", ACTIONS),
    ("priority_boost", Values::Number(20)),
    ("q_depth", Values::Number(99_999)),
    ("space_left", Values::Number(1_000_000)),
    ("space_left_action", ACTIONS),
];

/// Checks a line of auditd.conf.
pub(super) fn check(key: &str, value: &str) -> Result<(), String> {
    let Some((_, values)) = KEYS.iter().find(|(known, _)| *known == key) else {
        let known: Vec<&str> = KEYS.iter().map(|(known, _)| *known).collect();
        return Err(format!(
            "conf.{key:?} is not allowed in a storm; allowed are {}",
            known.join(", ")
        ));
    };
    let expected = match values {
        Values::Number(most) => {
            if value.parse::<u32>().is_ok_and(|number| number <= *most) {
                return Ok(());
            }
            format!("a whole number up to {most}")
        }
        Values::Word(words) => {
            if words.iter().any(|word| value.eq_ignore_ascii_case(word)) {
                return Ok(());
            }
            format!("one of {}", words.join(", "))
        }
    };
    Err(format!(
        "conf.{key} = {value:?} is not allowed in a storm; allowed is {expected}"
    ))
}
