//! Tests of the netlink client: what counts as an answer, and whose.

use super::*;

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn datagram(kind: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    request(kind, 0, sequence, payload)
}

#[test]
fn only_the_answer_to_this_request_counts() {
    let payload = words(&[0; 11]);
    let read = |bytes: &[u8]| match answer(bytes, AUDIT_GET, 3) {
        Answer::Payload(payload) => format!("{} bytes", payload.len()),
        Answer::Error(number) => format!("error {number}"),
        Answer::Done => "done".to_owned(),
        Answer::Other => "other".to_owned(),
    };
    assert_eq!(read(&datagram(DONE, 3, &[])), "done");
    assert_eq!(read(&datagram(AUDIT_GET, 3, &payload)), "44 bytes");
    assert_eq!(read(&datagram(AUDIT_GET, 2, &payload)), "other");
    assert_eq!(read(&datagram(1300, 3, b"audit(1:2): x")), "other");
    assert_eq!(
        read(&datagram(ERROR, 3, &(-1_i32).to_ne_bytes())),
        "error -1"
    );
    assert_eq!(read(&datagram(ERROR, 3, &[1])), "other");
    assert_eq!(read(&[1, 2, 3]), "other");
}

#[test]
fn message_shorter_than_its_header_says_is_an_error() {
    let mut bytes = datagram(AUDIT_GET, 3, &words(&[0; 11]));
    let whole = u32::try_from(bytes.len()).expect("few");
    for (length, payload) in [
        (whole, Some(44)),
        (whole - 4, Some(40)),
        (16, Some(0)),
        (15, None),
        (0, None),
        (whole + 1, None),
        (u32::MAX, None),
    ] {
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        let found = match answer(&bytes, AUDIT_GET, 3) {
            Answer::Payload(payload) => Some(payload.len()),
            _ => None,
        };
        assert_eq!(found, payload, "{length} of {whole}");
    }
}

/// A socket of the protocol that processes may talk to each other by, and its port.
fn user_socket() -> (OwnedFd, u32) {
    // SAFETY: a system call without memory arguments.
    let fd = unsafe {
        libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::NETLINK_USERSOCK,
        )
    };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the descriptor is new and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: the structure is plain integers, for which zeroes are valid.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::sa_family_t::try_from(libc::AF_NETLINK).expect("a family");
    let mut bytes = socklen::<libc::sockaddr_nl>();
    // SAFETY: the kernel reads `address` during the call.
    let bound = unsafe { libc::bind(fd, (&raw const address).cast(), bytes) };
    assert_eq!(bound, 0);
    // SAFETY: the kernel writes to both during the call.
    let named = unsafe { libc::getsockname(fd, (&raw mut address).cast(), &raw mut bytes) };
    assert_eq!(named, 0);
    (socket, address.nl_pid)
}

#[test]
fn message_of_another_process_is_ignored_and_does_not_extend_the_deadline() {
    let (receiver, port) = user_socket();
    let (sender, sender_port) = user_socket();
    let forged = datagram(AUDIT_GET, 3, &words(&[7; 11]));
    let send = || {
        // SAFETY: the structure is plain integers, for which zeroes are valid.
        let mut to: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        to.nl_family = libc::sa_family_t::try_from(libc::AF_NETLINK).expect("a family");
        to.nl_pid = port;
        // SAFETY: the kernel reads both during the call.
        let sent = unsafe {
            libc::sendto(
                sender.as_raw_fd(),
                forged.as_ptr().cast(),
                forged.len(),
                libc::MSG_DONTWAIT,
                (&raw const to).cast(),
                socklen::<libc::sockaddr_nl>(),
            )
        };
        // The receiver may be full.
        sent.cast_unsigned() == forged.len()
    };
    assert!(send());
    let mut buffer = vec![0; 9000];
    let first = receive(receiver.as_fd(), &mut buffer).expect("received");
    let expected = Received {
        length: forged.len(),
        from: sender_port,
    };
    assert_eq!(first, Some(expected));
    assert_ne!(sender_port, KERNEL);
    // The whole length is told where the end is cut off.
    assert!(send());
    let cut = receive(receiver.as_fd(), &mut buffer[..20]).expect("received");
    assert_eq!(cut.map(|received| received.length), Some(forged.len()));

    let socket = AuditSocket::over(receiver);
    let began = Instant::now();
    let patience = Duration::from_millis(300);
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while is_done.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                send();
            }
        });
        let heard = socket.receive(&mut buffer, began + patience);
        drop(done);
        assert!(matches!(heard, Err(NetlinkError::Silent)), "{heard:?}");
    });
    assert!(began.elapsed() >= patience);
    assert!(began.elapsed() < PATIENCE);
}

#[test]
fn first_sequence_number_is_random() {
    let first: Vec<u32> = (0..8).map(|_| first_sequence()).collect();
    assert!(first.iter().any(|number| *number != first[0]), "{first:?}");
    // It wraps where it is near the end.
    let (socket, _) = user_socket();
    let mut socket = AuditSocket::over(socket);
    socket.sequence = u32::MAX;
    drop(socket.post(AUDIT_GET, &[], false));
    assert_eq!(socket.sequence, 0);
}

#[test]
fn a_refusal_names_its_cause() {
    assert!(matches!(refusal(-libc::EPERM), NetlinkError::NotPermitted));
    assert!(matches!(
        refusal(-libc::ECONNREFUSED),
        NetlinkError::UserNamespace
    ));
    assert!(matches!(refusal(i32::MIN), NetlinkError::Refused(_)));
}
