# program: bash
# reference: expected
# timeout: 1500
# A slice of Python's own regression tests, those that say something about the machine and the kernel underneath.
export LC_ALL=C
for name in int float math cmath struct array complex fractions time zlib json hashlib mmap select poll epoll fork1 wait4 thread \
    threadsignals posixpath fcntl memoryview unicode_file_functions binascii sched queue eintr; do
    timeout 600 python3 -m test -q --timeout 500 "test_$name" >log 2>&1
    status=$?
    if [ $status = 0 ] || grep -q '^Result: SUCCESS' log; then echo "test_$name ok"; else echo "test_$name $status"; grep -E '^(ERROR|FAIL|Assert|test.*(crashed|failed))' log | head -n 20; fi
done
