//! Sentences on lines that are as wide as the output, with a hanging indent.
//!
//! In: text, perhaps with colour. Out: whole lines. Words stay whole: one that is wider than the output sticks out.

use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm, fill};

use super::style::Style;

/// The text behind what it begins with; further lines are indented by so many columns. It ends with a newline.
pub(super) fn hang(begin: &str, text: &str, indent: usize, style: Style) -> String {
    let Some(width) = style.width() else {
        return format!("{begin}{text}\n");
    };
    // In a narrow output an indent leaves half of it.
    let further = " ".repeat(indent.min(width / 2));
    let options = Options::new(width)
        .initial_indent(begin)
        .subsequent_indent(&further)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    let lines = if text.is_empty() {
        begin.trim_end().to_owned()
    } else {
        fill(text, options)
    };
    lines + "\n"
}

/// A command behind what it begins with. It stays one that can be pasted: where it is continued on another line, the
/// shell is told so; one with quotes is not broken.
pub(super) fn command(begin: &str, command: &str, indent: usize, style: Style) -> String {
    let quoted = command.contains(['\'', '"', '\\', '#']);
    let Some(width) = style
        .width()
        .filter(|&width| !quoted && indent + command.chars().count() > width)
    else {
        return format!("{begin}{command}\n");
    };
    let within = width.saturating_sub(2).max(1);
    let lines = hang(begin, command, indent, style.with_width(within));
    let mut lines = lines.trim_end().replace('\n', " \\\n");
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::{command, hang};
    use crate::render::style::Style;

    #[test]
    fn sentences_hang_under_their_label_and_words_stay_whole() {
        let style = Style::plain().with_width(30);
        assert_eq!(
            hang("note       ", "the queue was over its limit", 11, style),
            "note       the queue was over\n           its limit\n"
        );
        assert_eq!(
            hang(
                "note       ",
                "a/path/that/is/much/too/long here",
                11,
                style
            ),
            "note       a/path/that/is/much/too/long\n           here\n"
        );
        assert_eq!(
            hang("note       ", "well-known words", 11, style),
            "note       well-known words\n"
        );
        assert_eq!(
            hang("", "the queue was over its limit", 0, Style::plain()),
            "the queue was over its limit\n"
        );
    }

    #[test]
    fn colour_takes_no_room() {
        let style = Style::colored().with_width(20);
        let text = style.red("0123456789 012345678");
        assert_eq!(hang("", &text, 0, style), format!("{text}\n"));
    }

    #[test]
    fn a_command_can_be_pasted_however_wide_the_output_is() {
        let style = Style::plain().with_width(24);
        assert_eq!(
            command("  ", "auditctl -b 8192 --backlog_wait_time 0", 4, style),
            "  auditctl -b 8192 \\\n    --backlog_wait_time \\\n    0\n"
        );
        let quoted = "sed -i 's/-b 320/-b 8192/' /etc/audit/audit.rules";
        assert_eq!(command("  ", quoted, 4, style), format!("  {quoted}\n"));
        assert_eq!(command("  ", "auditctl -s", 4, style), "  auditctl -s\n");
    }
}
