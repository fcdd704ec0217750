# program: bash
# reference: expected
# needs: /usr/lib/python3.13/test/test_int.py
# timeout: 1200
# A slice of Python's own regression tests: those that say something about the machine and the kernel underneath.
export LC_ALL=C
tests=$(printf 'test_%s ' int float cmath complex struct array time select poll epoll fork1 wait4 thread threadsignals mmap fcntl queue eintr)
# shellcheck disable=SC2086 # the list is meant to split
python3 -m test -q --timeout 600 $tests >log 2>&1
grep '^Result:' log || tail -n 30 log
grep -E '^(ERROR|FAIL): |^test_[a-z0-9_]+ (failed|crashed)' log | sort -u
