# Guest side of `cargo xtask bench overhead`: the host appends `measure` and `programs` lines to it.
# Stdout: lines `tool NAME VERSION`, `calls NAME JSON`, `said NAME LAST-LINE`, `programs NAME JSON` and `failed NAME REASON`.

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

# beside [OPTION...] -- COMMAND...: runs the command while auditwatch looks on; prints its summary.
beside() {
    options=
    while [ "$1" != -- ]; do
        options="$options $1"
        shift
    done
    shift
    rm -f /tmp/lines
    auditwatch trace --format json --interval 100ms $options >/tmp/lines &
    tracer=$!
    until grep -qs interval /tmp/lines; do
        kill -0 $tracer || return
        sleep 0.05
    done
    alone "$@"
    status=$?
    kill -TERM $tracer
    wait $tracer || status=$?
    tail -n 1 /tmp/lines
    return $status
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

# The functions that tools on probe events look at.
functions='audit_log_start audit_log_end audit_log_lost kauditd_send_multicast_skb'
tracing=/sys/kernel/tracing

# event FUNCTION ARGUMENT...: a probe event at the function, with these arguments.
event() {
    function=$1
    shift
    echo "p:overhead/$function $function $*" >>$tracing/kprobe_events
}

# no_events: takes them all away again.
no_events() {
    for function in $functions; do
        echo "-:overhead/$function" >>$tracing/kprobe_events
    done
}

# perf_stat COMMAND: counts hits of four probes on the whole machine while the command runs.
perf_stat() {
    events=
    for function in $functions; do
        event $function || return
        events=$events,overhead:$function
    done
    perf stat -a -e "${events#,}" "$@"
    status=$?
    no_events
    return $status
}

# ftrace_hist KEYS COMMAND: the kernel keeps histograms of four probes while the command runs: one for each of these keys,
# which stand apart by commas, of records that are begun; losses by message; of the others, one by command.
ftrace_hist() {
    keys=$(echo "$1" | tr , ' ')
    shift
    event audit_log_start depth=@audit_queue+16:u32 &&
        event audit_log_end &&
        event audit_log_lost 'message=+0($arg1):string' &&
        event kauditd_send_multicast_skb || return
    for key in $keys; do
        trigger audit_log_start $key || return
    done
    trigger audit_log_end common_pid.execname &&
        trigger audit_log_lost message &&
        trigger kauditd_send_multicast_skb common_pid.execname || return
    "$@"
    status=$?
    # Each has to have seen what it is there for.
    for function in audit_log_start audit_log_end kauditd_send_multicast_skb; do
        grep -q 'Hits: [1-9]' $tracing/events/overhead/$function/hist || status=1
        [ $status = 0 ] || echo "no hits of $function" >&2
    done
    for function in $functions; do
        sed '/^#/d; s/^/!/; s/ \[[a-z]*\]$//' $tracing/events/overhead/$function/trigger >/tmp/triggers
        while read -r line; do
            echo "$line" >$tracing/events/overhead/$function/trigger
        done </tmp/triggers
    done
    no_events
    return $status
}

# trigger FUNCTION KEY: a histogram of the function's hits by this key.
trigger() {
    echo "hist:keys=$2" >$tracing/events/overhead/$1/trigger
}

# The versions of the tools, where they are there.
for tool in bpftrace perf; do
    command -v $tool >/dev/null && echo "tool $tool $($tool --version)"
done
