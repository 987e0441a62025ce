# Guest side of `cargo xtask bench overhead`: the host appends `measure` and `programs` lines to it.
# Stdout: lines `calls NAME JSON`, `said NAME LAST-LINE`, `programs NAME JSON` and `failed NAME REASON`.

gen=/usr/bin/overhead-gen
export OVERHEAD_OUTPUT=/tmp/calls

# Pinned, because they are printed into every record: the digits of process ids.
pin() {
    echo 2000 >/proc/sys/kernel/ns_last_pid
}

# alone COMMAND...: runs it as the child of a process with an id of four digits, as a tracer's child is.
alone() {
    sh -c '"$@"; exit $?' sh "$@"
}

# quiet [OPTION...]: the queue runs empty, kauditd falls asleep, the sink has taken all.
quiet() {
    vmtest quiet --board /tmp/board "$@"
}

# run NAME COMMAND...: runs the command, which runs the generator.
run() {
    name=$1
    shift
    rm -f "$OVERHEAD_OUTPUT" /tmp/programs
    quiet --programs "$kept" >/dev/null || exit
    pin
    "$@" >/tmp/said 2>/tmp/complaint
    status=$?
    if [ "$status" != 0 ] || ! [ -s "$OVERHEAD_OUTPUT" ]; then
        echo "failed $name exit status $status: $(grep -v '^[ ~]*$' /tmp/complaint | head -n 3 | tr '\n' ' ')"
        return 1
    fi
}

# measure NAME COMMAND...: what an audited call costs while the command looks on.
measure() {
    run "$@" || return 0
    echo "calls $name $(cat "$OVERHEAD_OUTPUT")"
    case $(tail -n 1 /tmp/said) in
    '{'*) echo "said $name $(tail -n 1 /tmp/said)" ;;
    esac
}

# programs NAME COMMAND...: what each BPF program costs by the kernel's own count, which costs by itself.
programs() {
    echo 1 >/proc/sys/kernel/bpf_stats_enabled
    run "$@" && echo "programs $name $(cat /tmp/programs)"
    echo 0 >/proc/sys/kernel/bpf_stats_enabled
}

# The generator has seen kauditd fall asleep: the last records are counted.
cat >/tmp/count.sh <<END
$gen
bpftool prog show --json >/tmp/programs
END

vmtest control failure=1 rate_limit=0 backlog_limit=200000 backlog_wait_time=0 getppid-rule || exit
vmtest sink --shm /tmp/board --rcvbuf 67108864 &
# The kernel's own programs, which stay; those of a variant are gone before the next one.
kept=$(quiet) || exit
vmtest control enabled=1 || exit
OVERHEAD_WARM_ONLY=1 $gen || exit

# perf_stat COMMAND: counts hits of four probes on the whole machine while the command runs.
perf_stat() {
    events=
    for function in audit_log_start audit_log_end audit_log_lost kauditd_send_multicast_skb; do
        echo "p:overhead/$function $function" >>/sys/kernel/tracing/kprobe_events || return
        events=$events,overhead:$function
    done
    perf stat -a -e "${events#,}" "$@"
}
