#!/bin/sh
# A host with the real auditd and STIG rules; `prepare`, and then `run KIND PROGRAM:VARIANT LIMIT WAIT_MS`,
# which prints its arguments and the summary of a trace.
set -u

prepare() {
    mkdir -p /var/log/audit
    auditd -n > /dev/null 2>&1 &
    auditd=$!
    for try in $(seq 100); do
        auditctl -s | grep -q "^pid $auditd\$" && break
        usleep 100000
    done
    auditctl -e 1 > /dev/null
    auditctl -D > /dev/null
    auditctl -c -R /usr/share/audit-rules/30-stig.rules > /dev/null 2>&1
    of_user="-F arch=b64 -F auid=1000"
    calls=open,openat,unlink,unlinkat,rename,renameat,mkdir,chmod,fchmodat
    auditctl -a always,exit $of_user -S $calls -k files
    auditctl -a always,exit $of_user -S execve -k exec
    auditctl -a always,exit $of_user -S connect -k net
    auditctl -a always,exit $of_user -S write -F exe=/bin/busybox -k write
    mkdir -p /sys/fs/cgroup/auditd
    echo +cpu > /sys/fs/cgroup/cgroup.subtree_control
    echo $auditd > /sys/fs/cgroup/auditd/cgroup.procs
}

quota() {
    echo "$1" > /sys/fs/cgroup/auditd/cpu.max
}

settle() {
    for try in $(seq 300); do
        auditctl -s | grep -q '^backlog 0$' && break
        usleep 100000
    done
}

hiccups() {
    while :; do
        usleep 500000
        kill -STOP $auditd
        usleep 350000
        kill -CONT $auditd
    done
}

run() {
    quota max
    settle
    : > /var/log/audit/audit.log
    auditctl -b "$3" --backlog_wait_time "$4" > /dev/null
    stopper=
    case "$2" in
    *:quota) quota "4000 100000" ;;
    *:hiccup) hiccups & stopper=$! ;;
    esac
    as_user='echo 1000 > /proc/self/loginuid; exec sh /mnt/programs.sh '
    auditwatch trace --json -- sh -c "$as_user${2%:*}" > /tmp/report 2> /tmp/errors < /dev/null
    if [ -n "$stopper" ]; then
        kill $stopper
        kill -CONT $auditd
    fi
    [ -s /tmp/report ] || { cat /tmp/errors >&2; exit 1; }
    echo "$1 $3 $4 $(tail -n 1 /tmp/report)"
}
