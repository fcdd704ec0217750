/* System calls that a signal can always stop, and the exchange that survives a bad address. */
#include "host/entry.h"
#include "host/exchange.h"
#include "host/signal.h"
#include "host/syscall.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Atomic uint32_t pending;
static _Atomic int signals;

/* What the monitor's own handler does. */
static void on_signal(int number, siginfo_t *info, void *ucontext)
{
    (void)number, (void)info;
    signals++;
    pending = 1;
    host_syscall_rewind(ucontext);
}

static void on_fault(int number, siginfo_t *info, void *ucontext)
{
    (void)info;
    if (!host_exchange_fault(ucontext))
        host_sigaction(number, &(struct host_sigaction){0}, NULL);
}

static void handle(int number, host_signal_fn *handler)
{
    assert_int_equal(host_sigaction(number, &(struct host_sigaction){.handler = (uint64_t)handler}, NULL), 0);
}

static long sleep_for(const struct timespec *time)
{
    return host_syscall_interruptible(&pending, SYS_ppoll, 0, 0, (long)time, 0, 8, 0);
}

/* ---- Calls ---- */

static void returns_what_the_kernel_says(void **state)
{
    (void)state;
    char text[4] = "";
    int tube[2];
    pending = 0;
    assert_int_equal(pipe(tube), 0);
    assert_int_equal(host_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0), getpid());
    assert_int_equal(host_syscall(-1, 0, 0, 0, 0, 0, 0), -ENOSYS);
    assert_int_equal(host_syscall_interruptible(&pending, SYS_write, tube[1], (long)"abc", 3, 0, 0, 0), 3);
    assert_int_equal(host_syscall_interruptible(&pending, SYS_read, tube[0], (long)text, 3, 0, 0, 0), 3);
    assert_memory_equal(text, "abc", 3);
    assert_int_equal(host_syscall_interruptible(&pending, SYS_close, -1, 0, 0, 0, 0, 0), -EBADF);
    close(tube[0]);
    close(tube[1]);
}

static void hands_over_six_arguments(void **state)
{
    (void)state;
    const long flags = MAP_PRIVATE | MAP_ANONYMOUS;
    pending = 0;
    long plain = host_syscall(SYS_mmap, 0, 4096, PROT_READ, flags, -1, 0);
    long other = host_syscall_interruptible(&pending, SYS_mmap, 0, 4096, PROT_READ, flags, -1, 0);
    assert_true(plain > 0 && other > 0 && plain != other);
    /* The last argument matters: an offset that is no multiple of a page. */
    assert_int_equal(host_syscall(SYS_mmap, 0, 4096, PROT_READ, flags, -1, 1), -EINVAL);
    assert_int_equal(host_syscall_interruptible(&pending, SYS_mmap, 0, 4096, PROT_READ, flags, -1, 1),
                     -EINVAL);
    munmap((void *)plain, 4096);
    munmap((void *)other, 4096);
}

static void does_nothing_when_a_signal_is_pending(void **state)
{
    (void)state;
    int tube[2];
    assert_int_equal(pipe(tube), 0);
    pending = 1;
    assert_int_equal(host_syscall_interruptible(&pending, SYS_write, tube[1], (long)"abc", 3, 0, 0, 0),
                     -HOST_ERESTART);
    struct pollfd fd = {.fd = tube[0], .events = POLLIN};
    assert_int_equal(poll(&fd, 1, 0), 0);
    close(tube[0]);
    close(tube[1]);
}

static void start_timer(timer_t *timer, long nanoseconds)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    const struct itimerspec once = {.it_value = {0, nanoseconds}};
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, timer), 0);
    assert_int_equal(timer_settime(*timer, 0, &once, NULL), 0);
}

static void ends_a_sleep(void **state)
{
    (void)state;
    timer_t timer;
    handle(SIGUSR1, on_signal);
    pending = 0;
    signals = 0;
    start_timer(&timer, 20000000);
    assert_int_equal(sleep_for(&(struct timespec){10, 0}), -EINTR);
    assert_int_equal(signals, 1);
    timer_delete(timer);
}

/* The signal comes before, while and after the call looks and enters, at every instruction sooner or later. A call that
 * slept through it would sleep for 10 seconds. */
static void loses_no_signal(void **state)
{
    (void)state;
    timer_t timer;
    struct timespec start, now;
    const struct timespec long_time = {10, 0};
    unsigned random = 12345, stopped = 0, interrupted = 0;
    handle(SIGUSR1, on_signal);
    start_timer(&timer, 1);
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        random = random * 1103515245 + 12345;
        const struct itimerspec soon = {.it_value = {0, 1 + (random >> 16) % 3000}};
        signals = 0;
        pending = 0;
        timer_settime(timer, 0, &soon, NULL);
        long result = sleep_for(&long_time);
        assert_true(result == -EINTR || result == -HOST_ERESTART);
        assert_int_equal(signals, 1);
        stopped += result == -HOST_ERESTART;
        interrupted += result == -EINTR;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < 1000);
    timer_delete(timer);
    assert_true(stopped + interrupted > 10);
}

/* A handler that is entered elsewhere changes nothing. */
static void rewinds_nothing_else(void **state)
{
    (void)state;
    handle(SIGUSR1, on_signal);
    pending = 0;
    signals = 0;
    raise(SIGUSR1);
    assert_int_equal(signals, 1);
    assert_int_equal(host_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0), getpid());
}

/* ---- Signals ---- */

static void changes_masks(void **state)
{
    (void)state;
    const uint64_t bit = (uint64_t)1 << (SIGUSR2 - 1);
    uint64_t before = host_sigmask_now();
    assert_int_equal(host_sigmask(before | bit), before);
    assert_int_equal(host_sigmask_now(), before | bit);
    assert_int_equal(host_sigmask(before), before | bit);
    assert_int_equal(host_sigaction(65, NULL, NULL), -EINVAL);
    assert_int_equal(host_sigaction(SIGKILL, &(struct host_sigaction){0}, NULL), -EINVAL);
}

/* ---- The exchange ---- */

static void exchanges_what_is_expected(void **state)
{
    (void)state;
    uint32_t word = 5, seen = 0;
    assert_int_equal(host_exchange32(&word, 5, 6, &seen), 0);
    assert_int_equal(word, 6);
    assert_int_equal(seen, 5);
    assert_int_equal(host_exchange32(&word, 5, 7, &seen), 0);
    assert_int_equal(word, 6);
    assert_int_equal(seen, 6);
}

static void survives_bad_addresses(void **state)
{
    (void)state;
    uint32_t seen = 42;
    uint32_t *constant = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    handle(SIGSEGV, on_fault);
    handle(SIGBUS, on_fault);
    assert_int_equal(host_exchange32((uint32_t *)8, 1, 2, &seen), -EFAULT);
    assert_int_equal(host_exchange32((uint32_t *)0x7ffffffff000, 1, 2, &seen), -EFAULT);
    assert_int_equal(host_exchange32(constant, 0, 2, &seen), -EFAULT);
    assert_int_equal(host_exchange32(constant, 1, 2, &seen), -EFAULT); /* it writes in any case */
    assert_int_equal(seen, 42);
    munmap(constant, 4096);
    assert_int_equal(host_exchange32(constant, 0, 2, &seen), -EFAULT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(returns_what_the_kernel_says),
        cmocka_unit_test(hands_over_six_arguments),
        cmocka_unit_test(does_nothing_when_a_signal_is_pending),
        cmocka_unit_test(ends_a_sleep),
        cmocka_unit_test(loses_no_signal),
        cmocka_unit_test(rewinds_nothing_else),
        cmocka_unit_test(changes_masks),
        cmocka_unit_test(exchanges_what_is_expected),
        cmocka_unit_test(survives_bad_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
