//! A kernel's type information: its bootable image (x86, as Debian packs it) comes in, the BTF section goes out. Pure.
//!
//! The image has the kernel's ELF file in a compressed payload; Documentation/arch/x86/boot.rst has the layout.

use std::io::Read as _;

use anyhow::{Context as _, Result, bail};
use object::{Object as _, ObjectSection as _};

/// Where the header has the number of its own sectors, and the place and length of the payload.
const SETUP_SECTORS: usize = 0x1f1;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const SECTOR_BYTES: usize = 512;

const LZ4_LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// What a block of the legacy format of lz4 holds at most.
const LZ4_BLOCK_BYTES: usize = 8 << 20;

/// The BTF of the kernel in this image.
///
/// # Errors
/// When it is not such an image, or its kernel has no BTF.
pub(super) fn btf_of(image: &[u8]) -> Result<Vec<u8>> {
    let kernel = unpacked(payload(image).context("not a bootable image of x86")?)?;
    let kernel = object::File::parse(&*kernel).context("the payload is not an ELF file")?;
    let section = kernel
        .section_by_name(".BTF")
        .context("the kernel has no .BTF section")?;
    Ok(section.data()?.to_vec())
}

fn payload(image: &[u8]) -> Option<&[u8]> {
    let sectors = usize::from(*image.get(SETUP_SECTORS)?).max(1) + 1;
    let start = sectors * SECTOR_BYTES + word(image, PAYLOAD_OFFSET)?;
    // Its last four bytes are the size of the unpacked kernel.
    image.get(start..start + word(image, PAYLOAD_LENGTH)?.checked_sub(4)?)
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(word)).ok()
}

fn unpacked(payload: &[u8]) -> Result<Vec<u8>> {
    if payload.starts_with(&ZSTD) {
        let mut kernel = Vec::new();
        zstd::Decoder::new(payload)?
            .single_frame()
            .read_to_end(&mut kernel)
            .context("cannot unpack the payload (zstd)")?;
        return Ok(kernel);
    }
    let Some(mut blocks) = payload.strip_prefix(&LZ4_LEGACY) else {
        bail!("the payload is neither zstd nor lz4")
    };
    let mut kernel = Vec::new();
    while !blocks.is_empty() {
        let length = word(blocks, 0).context("an lz4 block has no length")?;
        let block = blocks.get(4..4 + length).context("an lz4 block is cut")?;
        kernel.extend(
            lz4_flex::block::decompress(block, LZ4_BLOCK_BYTES)
                .context("cannot unpack the payload (lz4)")?,
        );
        blocks = &blocks[4 + length..];
    }
    Ok(kernel)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 2 * SECTOR_BYTES];
        image[SETUP_SECTORS] = 1;
        let length = u32::try_from(payload.len() + 4).expect("short");
        image[PAYLOAD_LENGTH..][..4].copy_from_slice(&length.to_le_bytes());
        image.extend(payload);
        image.extend([0; 4]);
        image
    }

    #[test]
    fn payload_is_unpacked_from_both_formats() {
        let block = lz4_flex::block::compress(b"kernel");
        let length = u32::try_from(block.len()).expect("short").to_le_bytes();
        let lz4 = [&LZ4_LEGACY[..], &length, &block].concat();
        let zstd = zstd::encode_all(&b"kernel"[..], 1).expect("packed");
        for packed in [lz4, zstd] {
            let image = image(&packed);
            let payload = payload(&image).expect("a payload");
            assert_eq!(unpacked(payload).expect("unpacked"), b"kernel");
        }
    }

    #[test]
    fn anything_else_is_an_error_with_its_cause() {
        let cause = |image: &[u8]| format!("{:#}", btf_of(image).expect_err("an error"));
        assert_eq!(cause(b"short"), "not a bootable image of x86");
        assert_eq!(
            cause(&image(b"gzip")),
            "the payload is neither zstd nor lz4"
        );
    }
}
