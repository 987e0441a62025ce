//! Builds small BTF blobs for tests.
//!
//! In: types, one by one. Out: the bytes of a blob. It must not share a line with
//! the parser, else both could be wrong alike.

/// A member of a structure.
pub struct Member {
    /// Its name, empty for none.
    pub name: &'static str,
    /// Number of its type.
    pub id: u32,
    /// Bits from the start.
    pub bits: u32,
    /// Width of a bit field, bits; 0 for none.
    pub width: u32,
}

/// A member that is no bit field, `bytes` from the start.
pub const fn member(name: &'static str, id: u32, bytes: u32) -> Member {
    Member {
        name,
        id,
        bits: bytes * 8,
        width: 0,
    }
}

/// A blob under construction.
pub struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
    layout: Vec<u8>,
    next: u32,
}

impl Builder {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            types: Vec::new(),
            strings: vec![0],
            layout: Vec::new(),
            next: 1,
        }
    }

    /// Adds a type of any kind with the words that follow its head; its number.
    pub fn raw(&mut self, name: &str, info: u32, size_or_type: u32, words: &[u32]) -> u32 {
        let name = self.string(name);
        for word in [name, info, size_or_type].iter().chain(words) {
            self.types.extend(word.to_ne_bytes());
        }
        self.next += 1;
        self.next - 1
    }

    /// An integer of four bytes.
    pub fn int(&mut self) -> u32 {
        self.raw("unsigned int", 1 << 24, 4, &[32])
    }

    /// A pointer.
    pub fn pointer(&mut self, to: u32) -> u32 {
        self.raw("", 2 << 24, to, &[])
    }

    /// A typedef.
    pub fn typedef(&mut self, name: &str, of: u32) -> u32 {
        self.raw(name, 8 << 24, of, &[])
    }

    /// A structure of `size` bytes.
    pub fn structure(&mut self, name: &str, size: u32, members: &[Member]) -> u32 {
        self.composite(4, name, size, members)
    }

    /// A union of `size` bytes.
    pub fn union(&mut self, name: &str, size: u32, members: &[Member]) -> u32 {
        self.composite(5, name, size, members)
    }

    fn composite(&mut self, kind: u32, name: &str, size: u32, members: &[Member]) -> u32 {
        let has_fields = members.iter().any(|member| member.width > 0);
        let mut words = Vec::new();
        for member in members {
            words.extend([
                self.string(member.name),
                member.id,
                member.width << 24 | member.bits,
            ]);
        }
        let count = u32::try_from(members.len()).expect("few members");
        let info = u32::from(has_fields) << 31 | kind << 24 | count;
        self.raw(name, info, size, &words)
    }

    /// A function with parameters of these types.
    pub fn function(&mut self, name: &str, params: &[u32]) -> u32 {
        let words: Vec<u32> = params.iter().flat_map(|&id| [0, id]).collect();
        let count = u32::try_from(params.len()).expect("few parameters");
        let prototype = self.raw("", 13 << 24 | count, 0, &words);
        self.raw(name, 12 << 24 | 1, prototype, &[])
    }

    /// Tells the length of a kind in a layout section: of what comes once, and of each element.
    pub fn layout(&mut self, kind: usize, once: u8, each: u8) {
        self.layout.resize((kind + 1) * 4, 0);
        self.layout[kind * 4] = once;
        self.layout[kind * 4 + 1] = each;
    }

    /// The blob.
    pub fn build(&self) -> Vec<u8> {
        let length = |section: &[u8]| u32::try_from(section.len()).expect("a small section");
        let (types, strings, layout) = (
            length(&self.types),
            length(&self.strings),
            length(&self.layout),
        );
        let mut header = vec![if layout == 0 { 24 } else { 32 }, 0, types, types, strings];
        if layout > 0 {
            header.extend([types + strings, layout]);
        }
        let mut blob = 0xeb9f_u16.to_ne_bytes().to_vec();
        blob.extend([1, 0]);
        blob.extend(header.iter().flat_map(|word: &u32| word.to_ne_bytes()));
        blob.extend(&self.types);
        blob.extend(&self.strings);
        blob.extend(&self.layout);
        blob
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let offset = u32::try_from(self.strings.len()).expect("few strings");
        self.strings.extend(text.as_bytes());
        self.strings.push(0);
        offset
    }
}
