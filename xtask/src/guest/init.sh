#!/usr/bin/busybox sh
# PID 1 of the guest: prepares the usual file systems, runs /command, reports its exit status, powers off.
# ttyS0 is the kernel's console, ttyS1 and ttyS2 carry the command's stdout and stderr, ttyS3 its status.

export PATH=/usr/sbin:/usr/bin HOME=/root LANG=C.UTF-8 USER=root SHELL=/bin/sh

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
mount -t securityfs securityfs /sys/kernel/security
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/lock /run/audit
hostname auditwatch-guest
ip link set lo up
# Not the limit of locked memory: a loader that forgets to raise it on kernels before 5.11 must fail here too.
ulimit -c 0
ulimit -n 65536

for port in 1 2 3; do
    stty -F /dev/ttyS$port raw -echo
done

# The command writes to pipes, as it would under a test: a serial line would pass for a terminal.
mkfifo /run/stdout /run/stderr
cat /run/stdout >/dev/ttyS1 &
stdout=$!
cat /run/stderr >/dev/ttyS2 &
stderr=$!

cd /root || exit
sh /command </dev/null >/run/stdout 2>/run/stderr
status=$?

# Whatever the command left running holds the pipes open. The guest ends here, so nothing is lost by ending them.
for process in /proc/[0-9]*; do
    pid=${process#/proc/}
    case $pid in
    1 | "$stdout" | "$stderr") ;;
    *) kill -KILL "$pid" 2>/dev/null ;;
    esac
done
wait "$stdout" "$stderr"

# The console is quiet, and a test may have made it mute: what the kernel warned of comes now.
dmesg -r | grep '^<[0-4]>' >/dev/ttyS0

echo "$status" >/dev/ttyS3
poweroff -f
