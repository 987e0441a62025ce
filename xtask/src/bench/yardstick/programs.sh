#!/bin/sh
# Programs as people run them, for the accuracy bench: `programs.sh NAME` runs one of them.
# Each one works in its own directory and ends by itself.
set -e
work=/tmp/work.$$
mkdir -p $work
cd $work
tree() { # a tree of so many directories with five files each
    for d in $(seq "$1"); do
        mkdir -p t/$d
        for f in 1 2 3 4 5; do echo "$d $f" > t/$d/$f; done
    done
}
case "$1" in
churn) # a package manager: unpack, set modes, move into place, remove the old
    tree 12
    for d in t/*; do
        cp -r $d $d.new
        chmod -R 640 $d.new/*
        for f in $d.new/*; do mv $f $d/; done
        rm -r $d.new
    done ;;
compile) # steps that each read, write and follow each other
    for i in $(seq 25); do
        echo "int f$i;" > $i.c
        sed s/int/long/ $i.c > $i.i
        awk '{ print $0 }' $i.i > $i.s
        cat $i.s > $i.o
        rm $i.i $i.s
    done
    cat ./*.o > all ;;
find) # a search that reads what it finds
    tree 30
    find / -xdev -name '*.rules' > /dev/null
    find t -type f | xargs cat > /dev/null ;;
tar) # an archive, and its contents back
    tree 25
    tar cf - t | gzip > a.tgz
    gunzip < a.tgz | tar xf - ;;
chmod) # modes of a whole tree, three times
    tree 25
    for m in 700 750 755; do chmod -R $m t; done ;;
fork) # a program after another
    for i in $(seq 120); do /bin/true; done ;;
xargs) # four at a time
    seq 120 | xargs -P 4 -n 1 true ;;
dd) # a byte at a time
    dd if=/dev/zero of=out bs=1 count=700 2> /dev/null ;;
logins) # bursts of log-ins: a message, a shell, a few files
    for round in 1 2 3; do
        for i in $(seq 12); do
            auditctl -m "op=login acct=u$i res=success"
            sh -c 'cat /etc/passwd > /dev/null; id > /dev/null'
        done
        usleep 400000
    done ;;
messages) # messages by user space
    for i in $(seq 150); do auditctl -m "message $i of a service that talks a lot"; done ;;
connects) # connections to a port that nobody listens on
    for i in $(seq 100); do nc -w 1 127.0.0.1 9 < /dev/null 2> /dev/null || true; done ;;
mix) # three at once
    sh "$0" churn & sh "$0" fork & sh "$0" tar &
    wait ;;
*) echo "no program $1" >&2; exit 2 ;;
esac
cd /
rm -rf $work
