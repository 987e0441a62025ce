//! Initramfs archives: files, directories, links and device nodes come in, a newc cpio archive goes out.
//!
//! Pure: reads nothing, writes to the given writer only. The bytes depend on the entries alone (fixed times and
//! owners), so equal contents make equal archives.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

/// All times in the archive: 2026-01-01T00:00:00Z in seconds since the epoch, the clock that a guest starts with.
const TIME_S: u32 = 1_767_225_600;

/// One entry of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Directory,
    File { content: Vec<u8>, executable: bool },
    Symlink { target: String },
    CharDevice { major: u32, minor: u32 },
}

/// A file tree, kept in the order in which it must be unpacked: each directory before what it holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Archive {
    nodes: BTreeMap<String, Node>,
}

impl Archive {
    /// Adds the directory `path` and those above it.
    pub(crate) fn directory(&mut self, path: &str) {
        self.insert(path, Node::Directory);
    }

    /// Adds a file, replacing an older entry of that name.
    pub(crate) fn file(&mut self, path: &str, content: Vec<u8>, executable: bool) {
        self.insert(
            path,
            Node::File {
                content,
                executable,
            },
        );
    }

    /// Adds a symbolic link.
    pub(crate) fn symlink(&mut self, path: &str, target: &str) {
        let target = target.to_owned();
        self.insert(path, Node::Symlink { target });
    }

    /// Adds a character device.
    pub(crate) fn char_device(&mut self, path: &str, major: u32, minor: u32) {
        self.insert(path, Node::CharDevice { major, minor });
    }

    /// Whether something stands at `path`.
    pub(crate) fn contains(&self, path: &str) -> bool {
        self.nodes.contains_key(path.trim_start_matches('/'))
    }

    fn insert(&mut self, path: &str, node: Node) {
        let path = path.trim_matches('/');
        for (end, _) in path.match_indices('/') {
            let parent = path.get(..end).unwrap_or_default();
            self.nodes
                .entry(parent.to_owned())
                .or_insert(Node::Directory);
        }
        self.nodes.insert(path.to_owned(), node);
    }

    /// Writes the archive with its trailer, padded so that another archive may follow.
    pub(crate) fn write_to(&self, writer: &mut impl Write) -> io::Result<()> {
        for (number, (path, node)) in (1..).zip(&self.nodes) {
            write_entry(writer, number, path, node)?;
        }
        write_header(
            writer,
            &Header {
                name_len: TRAILER.len() + 1,
                ..Header::default()
            },
        )?;
        write_name(writer, TRAILER)
    }
}

const TRAILER: &str = "TRAILER!!!";

/// The fields of a newc header that differ between our entries.
#[derive(Default)]
struct Header {
    inode: u32,
    mode: u32,
    content_len: usize,
    device: (u32, u32),
    name_len: usize,
}

fn write_entry(writer: &mut impl Write, inode: u32, path: &str, node: &Node) -> io::Result<()> {
    let (mode, content, device): (u32, &[u8], (u32, u32)) = match node {
        Node::Directory => (0o040_755, &[], (0, 0)),
        Node::File {
            content,
            executable: true,
        } => (0o100_755, content, (0, 0)),
        Node::File {
            content,
            executable: false,
        } => (0o100_644, content, (0, 0)),
        Node::Symlink { target } => (0o120_777, target.as_bytes(), (0, 0)),
        Node::CharDevice { major, minor } => (0o020_600, &[], (*major, *minor)),
    };
    let header = Header {
        inode,
        mode,
        content_len: content.len(),
        device,
        name_len: path.len() + 1,
    };
    write_header(writer, &header)?;
    write_name(writer, path)?;
    writer.write_all(content)?;
    pad(writer, content.len())
}

fn write_header(writer: &mut impl Write, header: &Header) -> io::Result<()> {
    let too_big = |_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "more than 4 GiB in one cpio entry",
        )
    };
    let content_len = u32::try_from(header.content_len).map_err(too_big)?;
    let name_len = u32::try_from(header.name_len).map_err(too_big)?;
    let links: u32 = if header.mode & 0o170_000 == 0o040_000 {
        2
    } else {
        1
    };
    let fields = [
        header.inode,
        header.mode,
        0, // owner
        0, // group
        links,
        TIME_S,
        content_len,
        0, // the device that holds the file, major and minor
        0,
        header.device.0,
        header.device.1,
        name_len,
        0, // checksum, unused in this format
    ];
    writer.write_all(b"070701")?;
    for field in fields {
        write!(writer, "{field:08x}")?;
    }
    Ok(())
}

/// Writes a name with its NUL; header (110 bytes) and name together are padded to a multiple of 4.
fn write_name(writer: &mut impl Write, name: &str) -> io::Result<()> {
    writer.write_all(name.as_bytes())?;
    writer.write_all(&[0])?;
    pad(writer, 110 + name.len() + 1)
}

fn pad(writer: &mut impl Write, len: usize) -> io::Result<()> {
    writer.write_all(&[0; 3][..len.wrapping_neg() % 4])
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use ::cpio::NewcReader;

    use super::*;

    fn bytes(archive: &Archive) -> Vec<u8> {
        let mut bytes = Vec::new();
        archive
            .write_to(&mut bytes)
            .expect("a Vec takes everything");
        bytes
    }

    fn sample() -> Archive {
        let mut archive = Archive::default();
        archive.file("/usr/bin/tool", b"12345".to_vec(), true);
        archive.file("etc/conf", b"x=1\n".to_vec(), false);
        archive.symlink("/bin", "usr/bin");
        archive.char_device("dev/console", 5, 1);
        archive.directory("proc");
        archive
    }

    #[test]
    fn an_empty_archive_is_the_trailer() {
        let bytes = bytes(&Archive::default());
        assert_eq!(bytes.len(), 124);
        assert!(bytes.starts_with(b"07070100000000"));
        assert!(bytes.ends_with(b"TRAILER!!!\0\0\0\0"));
    }

    #[test]
    fn a_header_has_its_fields_where_newc_wants_them() {
        let mut archive = Archive::default();
        archive.file("abc", b"hello".to_vec(), true);
        let bytes = bytes(&archive);
        let field = |index: usize| {
            std::str::from_utf8(&bytes[6 + 8 * index..14 + 8 * index]).expect("hex digits")
        };
        assert_eq!(field(1), "000081ed", "mode");
        assert_eq!(field(6), "00000005", "size");
        assert_eq!(field(11), "00000004", "length of the name with its NUL");
        assert_eq!(&bytes[110..116], b"abc\0\0\0");
        assert_eq!(&bytes[116..121], b"hello");
        assert_eq!(&bytes[124..130], b"070701");
    }

    #[test]
    fn parents_come_first_and_lengths_stay_aligned() {
        let archive = sample();
        let names: Vec<_> = archive.nodes.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "bin",
                "dev",
                "dev/console",
                "etc",
                "etc/conf",
                "proc",
                "usr",
                "usr/bin",
                "usr/bin/tool"
            ]
        );
        assert_eq!(bytes(&archive).len() % 4, 0);
        assert_eq!(bytes(&archive), bytes(&archive));
    }

    #[test]
    fn another_reader_of_the_format_lists_the_same_entries() {
        let mut rest = Cursor::new(bytes(&sample()));
        let mut names = Vec::new();
        loop {
            let reader = NewcReader::new(rest).expect("an entry");
            if reader.entry().is_trailer() {
                break;
            }
            names.push(reader.entry().name().to_owned());
            rest = reader.finish().expect("the rest of the archive");
        }
        assert_eq!(
            names,
            [
                "bin",
                "dev",
                "dev/console",
                "etc",
                "etc/conf",
                "proc",
                "usr",
                "usr/bin",
                "usr/bin/tool"
            ]
        );
    }
}
