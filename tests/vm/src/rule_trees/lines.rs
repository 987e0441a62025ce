//! Lines of rules files, good and bad: each class of line that the loader treats in a way of its own has its maker.

use crate::rule_trees::random::Random;

/// Numbers as people write them, and as they should not.
const NUMBERS: &[&str] = &[
    "64",
    "320",
    "1024",
    "8192",
    "8192",
    "16384",
    "65536",
    "100000",
    "0",
    "1",
    "08192",
    "010",
    "0x2000",
    "0X40",
    "0x",
    "0xzz",
    "8,192",
    "8192.",
    "8192;",
    "1e4",
    "1_000",
    "8k",
    "4294967295",
    "4294967296",
    "4294967360",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999",
    "-1",
    "+64",
    "-0",
    "many",
    "=8192",
    "\"8192\"",
    "''",
    "0b101",
    "00",
    "000000000000000000000000000077",
    "1\t",
    "\t1",
    "8192\\",
    "8\\ 192",
    "１",
    "5#",
    "5-b6",
];

const WAITS: &[&str] = &[
    "0",
    "1",
    "60000",
    "15000",
    "150000",
    "150001",
    "149999",
    "4294967295",
    "4294967296",
    "010",
    "0x3a98",
    "60000x",
    "-1",
    "x",
    "",
    "1e9",
    "600000",
    "18446744073709551616",
];

/// Rules that load, given the files of the guest.
const GOOD: &[&str] = &[
    "-a always,exit -F arch=b64 -S open -F key=files",
    "-a exit,always -F arch=b32 -S open,openat -k files",
    "-a always,exit -F arch=b64 -S adjtimex -S settimeofday -k time",
    "-w /etc/passwd -p wa -k identity",
    "-w /etc/shadow -p wa -k identity",
    "-w /etc/ -p wa",
    "-w /etc",
    "-w /nosuch -k missing",
    "-w /tmp/ -p rwxa -k tmp -k more",
    "-a never,task -F uid=1000",
    "-a always,task -F pid=77",
    "-a never,user -F msgtype=USER_LOGIN",
    "-a always,exclude -F msgtype=CWD",
    "-a never,exclude -F msgtype>=1400 -F msgtype<=1499",
    "-a never,filesystem -F fstype=tracefs",
    "-a always,exit -F path=/usr/bin/vmtest -F perm=x -F auid>=1000 -F auid!=4294967295 -k privileged",
    "-a always,exit -F path=/usr/bin/bash -F perm=x -F auid!=unset",
    "-a always,exit -F dir=/etc -F perm=wa -F uid=root",
    "-a always,exit -F arch=b64 -S execve -C uid!=euid -F euid=0 -k escalation",
    "-a always,exit -F arch=b64 -S all -F exe=/usr/bin/nothing -k prog",
    "-a always,exit -S 77 -F exit=-EPERM",
    "-a always,exit -F arch=b64 -S getsid -S 9999999",
    "-A always,exit -F arch=b64 -S rename -F success=0",
    "-a always,exit -F arch=b64 -S connect -F saddr_fam=2",
    "-a always,exit -F arch=b64 -S kill -F a1&=9 -F a0>0x10",
    "-a always,exit -F arch=aarch64 -S openat -k arm",
    "-a always,exit -F arch=c000003e -S mount -F sessionid!=unset",
    "-a always,exit -F perm=w -F filetype=file -F devmajor=8 -F devminor&3",
    "-a always,exit -F inode=5 -S unlink -F obj_uid=0 -F gid!=adm",
    "-a always,exit -F subj_type=unconfined_t -F obj_lev_low=s0 -S open",
    "-a always,exit",
    "-d always,exit -F arch=b64 -S open -F key=files",
    "-W /etc/passwd -p wa -k identity",
    "-W /etc/shadow",
    "-D -k identity",
    "-a possible,exit -S open",
    "-a exit,possible -S open",
    "--loginuid-immutable",
    "--reset-lost",
    "--reset_backlog_wait_time_actual",
    "--reset_b",
    "-r 100",
    "-r 0",
    "-s",
    "-l",
    "-v",
    "-t",
    "-q /etc,/tmp",
    "-m hello",
    "-i",
    "-c",
    "--",
];

/// Rules that are refused, each for a reason of its own.
const BAD: &[&str] = &[
    "-a always,exit -F arch=b64 -S opne -k typo",
    "-a always,exit -S open -F arch=b64",
    "-a always,exit -F arch=b65 -S open",
    "-a always,entry -S open",
    "-a always exit -S open",
    "-a always,exit,always -S open",
    "-a always,exit -a always,exit -S open",
    "-a always,task -S open",
    "-a never,user -S open",
    "-a always,exclude -F path=/etc/passwd",
    "-a always,filesystem -F uid=0",
    "-w etc/passwd -p wa",
    "-w /no/such/file -p wa",
    "-w /etc/passwd/x",
    "-w /etc/passwd -p wz",
    "-w /etc/passwd -p rwxar",
    "-w /etc/passwd -w /etc/group",
    "-w",
    "-p wa -k x",
    "-k alone",
    "-F uid=0",
    "-S open",
    "-a always,exit -F dir=/no/such -F perm=w",
    "-a always,exit -F path=/etc/ -F perm=w",
    "-a always,exit -F exe=/no/such/prog -S open",
    "-a always,exit -F uid=nosuchuser -S open",
    "-a always,exit -F gid=-1 -S open",
    "-a always,exit -F uid=-1 -S open",
    "-a always,exit -F auid>=unset -S open",
    "-a always,exit -F auid>=4294967295 -S open",
    "-a always,exit -F nosuch=1 -S open",
    "-a always,exit -F uid -S open",
    "-a always,exit -F =5 -S open",
    "-a always,exit -F uid= -S open",
    "-a always,exit -F uid&4 -S open",
    "-a always,exit -F perm!=w -F path=/etc/passwd",
    "-a always,exit -F success=yes -S open",
    "-a always,exit -F exit=-EFOO -S open",
    "-a always,exit -F msgtype=CWD",
    "-a always,exclude -F msgtype=NOSUCH",
    "-a always,exit -F path=/etc/passwd -F path=/etc/group",
    "-a always,exit -F path=/etc/passwd -F inode=7",
    "-a always,exit -F filetype=files -S open",
    "-a always,exit -F saddr_fam=99 -S open",
    "-a always,exit -C uid=gid -S open",
    "-a always,exit -C uid>euid -S open",
    "-a always,exit -S open -k a!=b",
    "-a always,exit -S open -F key!=x",
    "-d always,exit -S openat2",
    "-D x",
    "-D -k",
    "-D -b 5",
    "-b 77 -D",
    "-l -D",
    "-R /etc/audit/audit.rules",
    "-h",
    "-x",
    "-z 5",
    "--nonsense",
    "--reset",
    "--signal FOO",
    "-e 3",
    "-e",
    "-f 9",
    "-f",
    "-b",
    "-r x",
    "-q /etc",
    "-q /etc,/no/such",
    "-m two words",
    "-",
    "foo",
    "b 8192",
    "-B 8192",
    "–b 8192",
    "<<<<<<< HEAD",
    "{% if x %}",
    "auditctl -b 8192",
];

/// What may stand before a line that should not.
const PREFIXES: &[&str] = &[
    " ", "  ", "    ", "\t", " \t", "\t ", "s", "ss", "\u{b}", "\u{c}", "\r", "\u{3000}", "\u{a0}",
    "\u{2003}", "\u{feff}", "\\s", "#", " #", "\t#", "s#",
];

/// What may stand behind one. None has the kernel refuse a second setting of a line: whether auditctl notices that is a race
/// within auditctl, and no two loads need agree.
const SUFFIXES: &[&str] = &[
    " ",
    "   ",
    "\t",
    "\r",
    " \r",
    " #",
    " # as CIS wants it",
    "#",
    " -i",
    " -c",
    " --",
    " -- x",
    " -",
    " x",
    " -b 77",
    " -f 1",
    " -e 1",
    " --backlog_wait_time 5",
    " --backlog_wait_time=x",
    "\\",
    "\u{3000}",
    " \u{0}x",
    "\u{0}",
    "s",
    " -k late",
    " -D",
];

/// A line that sets the limit.
fn backlog(random: &mut Random) -> String {
    let number = random.of(NUMBERS);
    match random.below(12) {
        0 => format!("-b{number}"),
        1 => format!("-b  {number}"),
        2 => format!("-b\t{number}"),
        3 => format!("-i -b {number}"),
        4 => format!("-f 1 -b {number}"),
        5 => format!("-b {} -b {number}", random.of(NUMBERS)),
        _ => format!("-b {number}"),
    }
}

fn wait(random: &mut Random) -> String {
    let number = random.of(WAITS);
    let option = random.of(&[
        "--backlog_wait_time ",
        "--backlog_wait_time ",
        "--backlog_wait_time=",
        "--b ",
        "--backlog ",
        "--b=",
        "-backlog_wait_time ",
        "--backlog-wait-time ",
    ]);
    format!("{option}{number}")
}

/// `-e`, `-f` and `-D` in their variants.
fn switch(random: &mut Random) -> String {
    random
        .of(&[
            "-e 1",
            "-e 0",
            "-e 2",
            "-e 2",
            "-e2",
            "-e  2",
            "-e 1 -e 2",
            "-e 02",
            "-e 2 # lock",
            "-enable",
            "-f 0",
            "-f 1",
            "-f1",
            "-f 1 ",
            "-f 01",
            "-D",
            "-D",
            "-D ",
            "-D\t",
            "-Dx",
            "-D -k x",
            "-ic",
            "-i -f 1",
        ])
        .to_owned()
}

fn comment(random: &mut Random) -> String {
    random
        .of(&[
            "# a comment",
            "## -b 99",
            "#-b 99",
            "",
            "",
            "   ",
            "\t",
            " # indented",
            "\t# by a tab",
            "# -e 2",
            "s# letters",
            "\r",
            "\u{0}",
            "\\# escaped",
        ])
        .to_owned()
}

/// Lines that are longer than auditctl's buffer.
fn long(random: &mut Random) -> String {
    let filler = random.of(&["x", "/", " ", "-i "]);
    let head = random.of(&["# ", "-w /", "-b ", "-a always,exit -F path=/", " "]);
    let length = random.of(&[
        250, 255, 256, 257, 300, 4095, 4096, 4100, 6140, 6141, 6142, 6143, 6144, 6150, 12_300,
    ]);
    let mut line = head.to_owned();
    while line.len() + filler.len() <= length {
        line.push_str(filler);
    }
    line.push_str(random.of(&["", "-b 4242", " -b 4242", " -x"]));
    line
}

/// A key or a path near its longest.
fn bounds(random: &mut Random) -> String {
    let length = random.of(&[31, 32, 127, 254, 255, 256, 257]);
    let text = "k".repeat(length);
    match random.below(4) {
        0 => format!("-w /etc/passwd -p wa -k {text}"),
        1 => format!("-a always,exit -S open -F key={text} -k x"),
        2 => format!("-w /{text} -p wa"),
        _ => format!(
            "-a always,exit -S open{}",
            " -F a0=1".repeat(random.of(&[61, 62, 63, 64]))
        ),
    }
}

/// One byte changed, put in or left out.
fn mutated(line: &[u8], random: &mut Random) -> Vec<u8> {
    let mut line = line.to_vec();
    if line.is_empty() {
        return line;
    }
    let at = random.below(line.len());
    let byte = random.of(b" -\t,=!<>&#s0129bDefik\\\r.x\x00\x07\xe3");
    match random.below(4) {
        0 => {
            line.remove(at);
        }
        1 => line.insert(at, byte),
        2 => line[at] = byte,
        _ => {
            let other = random.below(line.len());
            line.swap(at, other);
        }
    }
    line
}

/// A line that is well made; `is_good` says whether it must load.
fn plain(random: &mut Random, is_good: bool) -> String {
    if is_good {
        return match random.below(10) {
            0 | 1 => format!(
                "-b {}",
                random.of(&["64", "320", "8192", "8192", "16384", "70000"])
            ),
            2 => format!(
                "--backlog_wait_time {}",
                random.of(&["0", "15000", "60000"])
            ),
            3 => random
                .of(&["-f 1", "-f 0", "-D", "-e 1", "-e 2", "-r 50"])
                .to_owned(),
            4 => comment(random),
            _ => random.of(&GOOD[..30]).to_owned(),
        };
    }
    match random.below(20) {
        0..=5 => backlog(random),
        6..=8 => wait(random),
        9 | 10 => switch(random),
        11 | 12 => comment(random),
        13..=15 => random.of(GOOD).to_owned(),
        16 | 17 => random.of(BAD).to_owned(),
        18 => bounds(random),
        _ => long(random),
    }
}

/// A line of a file; of a sound file only good ones.
pub fn line(random: &mut Random, is_sound: bool) -> Vec<u8> {
    let is_good = is_sound || random.percent(55);
    let mut line = plain(random, is_good).into_bytes();
    if is_sound {
        return line;
    }
    if random.percent(10) {
        let prefix = random.of(PREFIXES);
        line.splice(0..0, prefix.bytes());
    }
    if random.percent(10) {
        line.extend(random.of(SUFFIXES).bytes());
    }
    if random.percent(4) {
        line = mutated(&line, random);
    }
    line
}
