# Guest side of `cargo xtask demo`: a real auditd, real rules, and three acts.
# Stdout: what people see, and lines `@act NUMBER JSON` and `@kernel-lost NUMBER` for the host.

color=$1
# A user who makes, changes, renames and removes files, many threads at once.
storm="vmtest storm --files 2 --threads 64 --uid 1000 --loginuid 1000"
# The same user in no hurry, who stays until kauditd has nothing left to do.
trickle="vmtest storm --files 60 --gap-us 20000 --uid 1000 --loginuid 1000 --settle 20000"

fail() {
    echo "demo: $*" >&2
    exit 1
}

# await WHAT COMMAND...: waits until the command succeeds, for 20 s at most.
await() {
    what=$1
    shift
    looks=400
    until "$@"; do
        looks=$((looks - 1))
        [ "$looks" -gt 0 ] || fail "waited in vain: $what"
        sleep 0.05
    done
}

# status KEY: a number of the kernel's audit status.
status() {
    auditctl -s | awk -v key="$1" '$1 == key { print $2 }'
}

is_registered() {
    [ "$(status pid)" = "$(pidof auditd)" ]
}

is_drained() {
    [ "$(status backlog)" = 0 ]
}

# show LINE...: prints a line as people would type it.
show() {
    echo "# $*"
}

# act NUMBER COMMAND: runs it under a trace for people, and that under one for the host.
act() {
    await "the queue is empty" is_drained
    show "auditwatch trace -- $2"
    auditwatch trace --format json -- sh -c "
        auditwatch trace --color $color -- $2 >&3" 3>&1 >/tmp/act 2>/tmp/complaint
    # 3: records were lost.
    case $? in
    0 | 3) ;;
    *) fail "auditwatch failed: $(tail -n 1 /tmp/complaint)" ;;
    esac
    echo
    echo "@act $1 $(tail -n 1 /tmp/act)"
}

cp /usr/share/audit-rules/30-pci-dss-v31.rules /usr/share/audit-rules/30-ospp-v42-*success.rules \
    /etc/audit/rules.d/ || fail "no sample rules"
# They name files that this guest has not.
printf -- '-i\n-e 1\n' >/etc/audit/rules.d/00-demo.rules
auditd -s enable || fail "auditd does not start"
await "auditd is registered" is_registered
augenrules --load >/tmp/augenrules 2>&1
rules=$(auditctl -l | wc -l)
[ "$rules" -gt 20 ] || fail "the rules were not loaded: $(tail -n 1 /tmp/augenrules)"
auditd=$(pidof auditd) || fail "auditd has ended"

echo "Act 1: a host with auditd $auditd, $rules rules, and a backlog limit of 320 that nobody waits for."
show "auditctl -b 320 --backlog_wait_time 0"
auditctl -b 320 --backlog_wait_time 0 >/dev/null || fail "auditctl -b 320 failed"
act 1 "$storm"

echo "Act 2: the same after auditwatch has watched that storm, and has applied what it would have needed, or what CIS asks for."
await "the queue is empty" is_drained
show "auditwatch apply --recommended --policy cis --for 12s --yes"
auditwatch apply --recommended --policy cis --for 12s --yes 2>/tmp/complaint &
applying=$!
await "apply watches" grep -q 'tracing for' /tmp/complaint
$storm >/dev/null 2>&1
wait $applying || fail "apply failed: $(tail -n 1 /tmp/complaint)"
echo
act 2 "$storm"

echo "Act 3: auditd hangs, and the kernel counts nothing."
show "kill -STOP $auditd"
before=$(status lost)
kill -STOP "$auditd" || fail "auditd has ended"
act 3 "$trickle"
after=$(status lost)
kill -CONT "$auditd"
show "auditctl -s"
echo "lost $((after - before)) more than before"
echo "@kernel-lost $((after - before))"
exit 0
