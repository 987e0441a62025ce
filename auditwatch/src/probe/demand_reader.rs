//! Reading the bins of demand: what came to each since the last time.

use auditwatch_ebpf::{BIN_CHUNK, BIN_CHUNKS, BINS_MAP, Bin, BinChunk};
use aya::maps::{Array, MapData};

use super::{error::ProbeError, maps::typed, object::Object, wire::Wire};
use crate::sample::{Demand, DemandBin};

/// The ring of bins, and what it held when it was read last.
pub(super) struct DemandReader {
    chunks: Array<MapData, Wire<BinChunk>>,
    ticks_per_bin: u32,
    seen: Vec<Bin>,
    /// Number of the newest bin that may have been read.
    newest: Option<u64>,
}

impl DemandReader {
    /// Takes the ring out of the object.
    pub(super) fn take(object: &mut Object, ticks_per_bin: u32) -> Result<Self, ProbeError> {
        Ok(Self {
            chunks: typed(object, BINS_MAP)?,
            ticks_per_bin,
            seen: vec![Bin::default(); (BIN_CHUNK * BIN_CHUNKS) as usize],
            newest: None,
        })
    }

    /// Reads what came until the given tick. Only where a task's clock lags do bins change that
    /// are not the newest.
    pub(super) fn read(&mut self, ticks: u64, lagging: bool) -> Result<Demand, ProbeError> {
        let newest = ticks / u64::from(self.ticks_per_bin);
        let since = self.newest.replace(newest).unwrap_or(newest);
        let (from, to) = (chunk_number(since), chunk_number(newest) + 1);
        let count = u64::from(BIN_CHUNKS);
        let numbers = if lagging || to - from >= count {
            to.saturating_sub(count)..to
        } else {
            from..to
        };
        let mut bins = Vec::new();
        for number in numbers {
            self.read_chunk(number % count, newest, &mut bins)?;
        }
        bins.sort_unstable();
        Ok(Demand {
            ticks_per_bin: self.ticks_per_bin,
            bins,
        })
    }

    fn read_chunk(
        &mut self,
        index: u64,
        newest: u64,
        bins: &mut Vec<DemandBin>,
    ) -> Result<(), ProbeError> {
        let index = u32::try_from(index).unwrap_or(0);
        let Wire(chunk) = self
            .chunks
            .get(&index, 0)
            .map_err(|source| ProbeError::Map {
                name: BINS_MAP,
                source,
            })?;
        let first = (index * BIN_CHUNK) as usize;
        for (now, before) in chunk.bins.iter().zip(&mut self.seen[first..]) {
            if now == before {
                continue;
            }
            let arrivals = growth(before.arrivals, now.arrivals);
            let suppressed = if number_of(now.suppressed) == number_of(now.arrivals) {
                growth(before.suppressed, now.suppressed)
            } else {
                0
            };
            *before = *now;
            if arrivals > 0 || suppressed > 0 {
                bins.push((whole_number(now.arrivals, newest), arrivals, suppressed));
            }
        }
        Ok(())
    }
}

const fn chunk_number(bin: u64) -> u64 {
    bin / BIN_CHUNK as u64
}

const fn number_of(word: u64) -> u64 {
    word >> 32
}

/// What was added to a word; all of it where it bears another bin's number now.
fn growth(before: u64, now: u64) -> u32 {
    let count = |word: u64| u32::try_from(word & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    if number_of(before) == number_of(now) {
        count(now).saturating_sub(count(before))
    } else {
        count(now)
    }
}

/// A bin's number since boot, of which a word has the lower half: one that is not long past.
const fn whole_number(word: u64, newest: u64) -> u64 {
    let number = (newest >> 32 << 32) | number_of(word);
    if number > newest + 1 && number >= 1 << 32 {
        number - (1 << 32)
    } else {
        number
    }
}

#[cfg(test)]
mod tests {
    use super::{growth, whole_number};

    const fn word(number: u64, count: u64) -> u64 {
        (number << 32) + count
    }

    #[test]
    fn a_slot_that_is_used_again_begins_anew() {
        assert_eq!(growth(word(7, 10), word(7, 12)), 2);
        assert_eq!(growth(word(7, 10), word(9, 3)), 3);
        assert_eq!(growth(0, word(7, 1)), 1);
    }

    #[test]
    fn numbers_are_whole_beyond_half_a_word() {
        let newest = word(5, 2);
        assert_eq!(whole_number(word(1, 0), newest), word(5, 1));
        assert_eq!(
            whole_number(word(0xffff_fff0, 0), newest),
            word(4, 0xffff_fff0)
        );
        assert_eq!(whole_number(word(3, 0), 3), 3);
    }
}
