//! The live table: a row for each interval, as wide as the output and no wider.
//!
//! In: intervals in order. Out: a row each, and a head where one is due. Columns for what is rare (records to be sent
//! again, tasks that wait) are there from the first interval on that has any.

use super::style::Style;
use crate::{
    trace::report::Interval,
    units::{count, count_within, duration_within},
};

/// Cells of the gauge at most, and at least: `FULL` is to fit.
const MOST_CELLS: usize = 40;
const LEAST_CELLS: usize = 4;
/// What the gauge takes beside its cells: a space and its ends.
const AROUND_CELLS: usize = 3;
/// What stands in the gauge of a queue that was full.
const FULL: &str = "FULL";

/// What a column shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Time,
    Made,
    Lost,
    Sent,
    /// The greatest depth and the limit; the gauge follows.
    Peak,
    Stalls,
    Stalled,
    Retry,
    Hold,
    Waiting,
}

impl Column {
    const ALL: [Self; 10] = [
        Self::Time,
        Self::Made,
        Self::Lost,
        Self::Sent,
        Self::Peak,
        Self::Stalls,
        Self::Stalled,
        Self::Retry,
        Self::Hold,
        Self::Waiting,
    ];
    /// What is left out first where there is no room for all.
    const LEAST_FIRST: [Self; 7] = [
        Self::Hold,
        Self::Retry,
        Self::Sent,
        Self::Stalls,
        Self::Waiting,
        Self::Stalled,
        Self::Made,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Made => "made/s",
            Self::Lost => "lost/s",
            Self::Sent => "sent/s",
            Self::Peak => "peak/limit",
            Self::Stalls => "stalls",
            Self::Stalled => "stalled",
            Self::Retry => "retry",
            Self::Hold => "hold",
            Self::Waiting => "waiting",
        }
    }

    /// How many there are, for the columns that are there only where there are any.
    fn rare(self, interval: &Interval) -> Option<u64> {
        match self {
            Self::Retry => interval.depth.retry.map(u64::from),
            Self::Hold => interval.depth.hold.map(u64::from),
            Self::Waiting => interval.stalls.as_ref().map(|stalls| stalls.waiting),
            _ => None,
        }
    }
}

/// How generous the columns are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Wide,
    Usual,
    Tight,
}

impl Size {
    const fn width(self, column: Column) -> usize {
        let [wide, usual, tight] = match column {
            Column::Time | Column::Stalled => [11, 10, 7],
            Column::Made | Column::Lost | Column::Sent => [9, 7, 6],
            Column::Peak => [15, 11, 11],
            Column::Stalls => [7, 6, 6],
            Column::Retry | Column::Hold => [6, 5, 5],
            Column::Waiting => [7, 7, 7],
        };
        match self {
            Self::Wide => wide,
            Self::Usual => usual,
            Self::Tight => tight,
        }
    }

    const fn gap(self) -> usize {
        match self {
            Self::Wide => 2,
            Self::Usual | Self::Tight => 1,
        }
    }

    /// Cells of the gauge that it is not taken for the sake of.
    const fn least_cells(self) -> usize {
        match self {
            Self::Wide => 20,
            Self::Usual => 8,
            Self::Tight => LEAST_CELLS,
        }
    }

    fn total(self, columns: &[Column]) -> usize {
        let cells: usize = columns.iter().map(|&column| self.width(column)).sum();
        cells + self.gap() * columns.len().saturating_sub(1)
    }
}

/// Which columns there are, how wide.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Layout {
    size: Size,
    columns: Vec<Column>,
    /// Cells of the gauge; 0: there is none.
    cells: usize,
}

impl Layout {
    fn new(width: usize, rare: &[Column]) -> Self {
        let is_rare =
            |column: &Column| matches!(column, Column::Retry | Column::Hold | Column::Waiting);
        let mut columns: Vec<Column> = Column::ALL
            .into_iter()
            .filter(|column| !is_rare(column) || rare.contains(column))
            .collect();
        let size = [Size::Wide, Size::Usual]
            .into_iter()
            .find(|size| size.total(&columns) + AROUND_CELLS + size.least_cells() <= width)
            .unwrap_or(Size::Tight);
        for column in Column::LEAST_FIRST {
            // The gauge is worth more than any of these.
            if size.total(&columns) + AROUND_CELLS + LEAST_CELLS <= width {
                break;
            }
            columns.retain(|&kept| kept != column);
        }
        let cells = width.saturating_sub(size.total(&columns) + AROUND_CELLS);
        Self {
            size,
            columns,
            cells: if cells < LEAST_CELLS {
                0
            } else {
                cells.min(MOST_CELLS)
            },
        }
    }

    fn head(&self, style: Style) -> String {
        let gauge = match self.cells {
            0 => String::new(),
            cells => " ".repeat(cells + AROUND_CELLS),
        };
        let names = self.columns.iter().map(|&column| {
            let width = self.size.width(column);
            let name = column.name();
            match column {
                Column::Peak => format!("{name:>width$}{gauge}"),
                _ => format!("{name:>width$}"),
            }
        });
        let names: Vec<String> = names.collect();
        let line = names.join(&" ".repeat(self.size.gap()));
        format!("{}\n", style.dim(line.trim_end()))
    }

    fn row(&self, interval: &Interval, style: Style) -> String {
        let cells = self
            .columns
            .iter()
            .map(|&column| self.cell(column, interval, style));
        let cells: Vec<String> = cells.collect();
        format!("{}\n", cells.join(&" ".repeat(self.size.gap())))
    }

    fn cell(&self, column: Column, interval: &Interval, style: Style) -> String {
        let width = self.size.width(column);
        let number = |value: Option<u64>| {
            let text = value.map_or_else(|| "-".to_owned(), |value| count_within(value, width));
            format!("{text:>width$}")
        };
        let yellow = |text: String, value: Option<u64>| match value {
            Some(1..) => style.yellow(&text),
            _ => text,
        };
        let stalls = interval.stalls.as_ref();
        match column {
            Column::Time => format!("{:>width$}", duration_within(interval.at_ns, width)),
            Column::Made => number(interval.attempted_per_s),
            Column::Sent => number(interval.delivered_per_s),
            Column::Lost => match (interval.lost, interval.dropped_per_s) {
                // Few in a long interval are still some.
                (Some(1..), Some(per_s)) => style.red(&number(Some(per_s.max(1)))),
                (_, per_s) => number(per_s),
            },
            Column::Peak => self.peak(interval, style),
            Column::Stalls => {
                let many = stalls.map(|stalls| stalls.count);
                yellow(number(many), many)
            }
            Column::Stalled => {
                let text = stalls.map_or_else(
                    || "-".to_owned(),
                    |stalls| duration_within(stalls.total_ns, width),
                );
                yellow(
                    format!("{text:>width$}"),
                    stalls.map(|stalls| stalls.total_ns),
                )
            }
            Column::Retry | Column::Hold | Column::Waiting => {
                let many = column.rare(interval);
                yellow(number(many), many)
            }
        }
    }

    /// `65/64 [####FULL####]`
    fn peak(&self, interval: &Interval, style: Style) -> String {
        let width = self.size.width(Column::Peak);
        let peak = interval.depth.interval_max;
        let limit = interval.limit.map(u64::from);
        let text = format!("{:>width$}", of_limit(peak, limit, width));
        let is_full =
            matches!((peak, limit), (Some(peak), Some(limit)) if limit > 0 && peak > limit);
        let paint = |text: &str| match (interval.lost, peak, limit) {
            (Some(1..), ..) => style.red(text),
            (_, Some(peak), Some(limit @ 1..)) if peak.saturating_mul(2) > limit => {
                style.yellow(text)
            }
            (_, Some(_), Some(_)) => style.green(text),
            _ => text.to_owned(),
        };
        // What is well needs no colour in numbers.
        let text = if matches!(interval.lost, Some(1..)) || is_full {
            paint(&text)
        } else {
            text
        };
        match self.cells {
            0 => text,
            cells => format!("{text} [{}]", paint(&bar(peak, limit, is_full, cells))),
        }
    }
}

/// `65/64`, as exact as there is room for.
fn of_limit(peak: Option<u64>, limit: Option<u64>, width: usize) -> String {
    let spelled = |number: &dyn Fn(u64) -> String| {
        let peak = peak.map_or_else(|| "-".to_owned(), number);
        let limit = match limit {
            Some(0) => "none".to_owned(),
            Some(limit) => number(limit),
            None => "?".to_owned(),
        };
        format!("{peak}/{limit}")
    };
    let half = width.saturating_sub(1) / 2;
    [
        spelled(&count),
        spelled(&|value| value.to_string()),
        spelled(&|value| count_within(value, half)),
    ]
    .into_iter()
    .find(|text| text.len() <= width)
    .unwrap_or_default()
}

fn bar(peak: Option<u64>, limit: Option<u64>, is_full: bool, cells: usize) -> String {
    let filled = match (peak, limit) {
        (Some(peak), Some(limit @ 1..)) => {
            let filled = (u128::from(peak) * cells as u128).div_ceil(u128::from(limit));
            usize::try_from(filled).unwrap_or(cells).min(cells)
        }
        _ => 0,
    };
    if is_full {
        return format!("{FULL:#^cells$}");
    }
    format!("{}{}", "#".repeat(filled), "-".repeat(cells - filled))
}

/// The table as it goes on.
#[derive(Debug, Default)]
pub struct LiveTable {
    rare: Vec<Column>,
    layout: Option<Layout>,
    rows: u32,
    /// Rows between two heads; `None`: one head does.
    head_every: Option<u32>,
}

impl LiveTable {
    /// A table with a head for each so many rows.
    #[must_use]
    pub fn with_head_every(rows: Option<u32>) -> Self {
        Self {
            head_every: rows,
            ..Self::default()
        }
    }

    /// The next row, behind a head where it is the first, where columns have changed, or where one is due.
    pub fn row(&mut self, interval: &Interval, style: Style) -> String {
        for column in [Column::Retry, Column::Hold, Column::Waiting] {
            if column.rare(interval).is_some_and(|many| many > 0) && !self.rare.contains(&column) {
                self.rare.push(column);
            }
        }
        let layout = Layout::new(style.table_width(), &self.rare);
        let is_due = self
            .head_every
            .is_some_and(|every| self.rows > 0 && self.rows.is_multiple_of(every));
        let mut text = String::new();
        if is_due || self.layout.as_ref() != Some(&layout) {
            text.push_str(&layout.head(style));
        }
        text.push_str(&layout.row(interval, style));
        self.rows = self.rows.wrapping_add(1);
        self.layout = Some(layout);
        text
    }
}
