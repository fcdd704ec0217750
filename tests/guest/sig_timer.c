/* Timers that send signals, and loops without system calls that must notice them.
 * reference: native the host's own kernel is the judge */
#include "test.h"
#include <poll.h>
#include <pthread.h>
#include <sys/time.h>
#include <sys/timerfd.h>

static volatile sig_atomic_t ticks, last_code, last_value;
static volatile pid_t last_tid;

static void on_tick(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    ticks++;
    last_code = info->si_code;
    last_value = info->si_value.sival_int;
    last_tid = gettid();
}

static void spin_until(int wanted)
{
    while (ticks < wanted)
        ;
}

/* A loop that never leaves its registers: only the engine can end it. */
static void spin_in_registers(void)
{
    unsigned long x = 1;
    while (!ticks)
        for (int i = 0; i < 1000000; i++) {
            x = x * 6364136223846793005UL + 1;
            __asm__ volatile("" : "+r"(x));
        }
}

static void test_itimers(void)
{
    handle(SIGALRM, on_tick, 0);
    handle(SIGVTALRM, on_tick, 0);
    handle(SIGPROF, on_tick, 0);
    struct itimerval timer = {.it_interval = {0, 5000}, .it_value = {0, 5000}}, left, off = {0};
    MUST(setitimer(ITIMER_REAL, &timer, NULL));
    spin_until(10);
    MUST(setitimer(ITIMER_REAL, &off, &left));
    OK("ITIMER_REAL interrupts a loop ten times", ticks >= 10);
    EQ("its code", last_code, SI_KERNEL);
    EQ("its interval", left.it_interval.tv_usec, 5000);
    ticks = 0;
    MUST(setitimer(ITIMER_VIRTUAL, &timer, NULL));
    spin_until(3);
    MUST(setitimer(ITIMER_VIRTUAL, &off, NULL));
    OK("ITIMER_VIRTUAL", ticks >= 3);
    ticks = 0;
    MUST(setitimer(ITIMER_PROF, &timer, NULL));
    spin_until(3);
    MUST(setitimer(ITIMER_PROF, &off, NULL));
    OK("ITIMER_PROF", ticks >= 3);
    ticks = 0;
    timer = (struct itimerval){.it_value = {0, 50000}};
    MUST(setitimer(ITIMER_REAL, &timer, NULL));
    spin_in_registers();
    EQ("a one-shot timer ends a loop in registers", ticks, 1);
    MUST(getitimer(ITIMER_REAL, &left));
    EQ("and is over", left.it_value.tv_sec + left.it_value.tv_usec, 0);
    EQ("alarm returns 0", alarm(100), 0);
    OK("alarm returns what was left", alarm(0) >= 99);
    ERR("bad itimer", setitimer(9, &timer, NULL), EINVAL);
    timer.it_value.tv_usec = 1000000;
    ERR("bad microseconds", setitimer(ITIMER_REAL, &timer, NULL), EINVAL);
}

static void test_posix_timers(void)
{
    timer_t timer;
    struct sigevent event = {
        .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 123};
    struct itimerspec when = {.it_value = {0, 5000000}, .it_interval = {0, 5000000}}, old;
    handle(SIGRTMIN, on_tick, 0);
    ticks = 0;
    MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
    MUST(timer_settime(timer, 0, &when, NULL));
    spin_until(5);
    MUST(timer_gettime(timer, &old));
    EQ("interval", old.it_interval.tv_nsec, 5000000);
    EQ("code", last_code, SI_TIMER);
    EQ("value", last_value, 123);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    siginfo_t info;
    struct timespec zero = {0, 0};
    while (sigtimedwait(&set, &info, &zero) > 0)
        ;
    sleep_ms(60);
    EQ("pending once", sigtimedwait(&set, &info, &zero), SIGRTMIN);
    OK("overrun counted", info.si_overrun >= 5 && timer_getoverrun(timer) >= 5);
    MUST(timer_delete(timer));
    ERR("deleted", timer_gettime(timer, &old), EINVAL);
    while (sigtimedwait(&set, &info, &zero) > 0)
        ;
    sigprocmask(SIG_UNBLOCK, &set, NULL);

    event = (struct sigevent){.sigev_notify = SIGEV_NONE};
    MUST(timer_create(CLOCK_REALTIME, &event, &timer));
    when = (struct itimerspec){.it_value = {100, 0}};
    MUST(timer_settime(timer, 0, &when, NULL));
    MUST(timer_gettime(timer, &old));
    OK("SIGEV_NONE counts down", old.it_value.tv_sec >= 90 && old.it_value.tv_sec <= 100);
    MUST(timer_delete(timer));

    ticks = 0;
    event = (struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    MUST(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer));
    when = (struct itimerspec){.it_value = {0, 20000000}};
    MUST(timer_settime(timer, 0, &when, NULL));
    spin_until(1);
    EQ("CPU-time timer", ticks, 1);
    MUST(timer_delete(timer));
    ERR("bad clock", timer_create(99, NULL, &timer), EINVAL);
}

static volatile int notified;

static void on_thread(union sigval value)
{
    __atomic_store_n(&notified, value.sival_int, __ATOMIC_SEQ_CST);
}

static void *other_thread(void *arg)
{
    *(pid_t *)arg = gettid();
    while (!ticks)
        ;
    return NULL;
}

static void test_threads(void)
{
    timer_t timer;
    struct sigevent event = {
        .sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_thread, .sigev_value.sival_int = 9};
    struct itimerspec when = {.it_value = {0, 1000000}};
    MUST(timer_create(CLOCK_REALTIME, &event, &timer));
    MUST(timer_settime(timer, 0, &when, NULL));
    for (int i = 0; i < 2000 && !__atomic_load_n(&notified, __ATOMIC_SEQ_CST); i++)
        sleep_ms(5);
    EQ("SIGEV_THREAD", notified, 9);
    timer_delete(timer);

    pthread_t thread;
    volatile pid_t tid = 0;
    ticks = 0;
    pthread_create(&thread, NULL, other_thread, (void *)&tid);
    while (!tid)
        sched_yield();
    event = (struct sigevent){.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN};
    event._sigev_un._tid = tid;
    MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
    MUST(timer_settime(timer, 0, &when, NULL));
    pthread_join(thread, NULL);
    EQ("SIGEV_THREAD_ID reaches that thread", last_tid, tid);
    timer_delete(timer);
}

static void test_timerfd(void)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    uint64_t expirations = 0;
    ERR("timerfd: disarmed", read(fd, &expirations, 8), EAGAIN);
    struct itimerspec when = {.it_value = {0, 1000000}, .it_interval = {0, 1000000}}, old;
    MUST(timerfd_settime(fd, 0, &when, NULL));
    sleep_ms(30);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    EQ("timerfd: readable", poll(&p, 1, 10000), 1);
    EQ("timerfd: read", read(fd, &expirations, 8), 8);
    OK("timerfd: expirations", expirations >= 20);
    MUST(timerfd_gettime(fd, &old));
    EQ("timerfd: interval", old.it_interval.tv_nsec, 1000000);
    ERR("timerfd: short read", read(fd, &expirations, 4), EINVAL);
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    when = (struct itimerspec){.it_value = t};
    MUST(timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, &old));
    EQ("timerfd: absolute time that is over", poll(&p, 1, 10000), 1);
    EQ("timerfd: once", read(fd, &expirations, 8) == 8 ? (long)expirations : -1, 1);
    ERR("timerfd: bad clock", timerfd_create(77, 0), EINVAL);
    ERR("timerfd: bad flags", timerfd_create(CLOCK_MONOTONIC, 0x7), EINVAL);
    close(fd);
}

int main(void)
{
    test_itimers();
    test_posix_timers();
    test_threads();
    test_timerfd();
    return test_end();
}
