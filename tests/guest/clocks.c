/* Time: every clock, through the vDSO and through system calls; sleeping; usage; the counters of the hart.
 * reference: self the host has other counters, and qemu-user 7.2 has no vDSO
 */
#include "test.h"
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>

#define CSR(name)                                      \
    ({                                                 \
        unsigned long v_;                              \
        __asm__ volatile("csrr %0, " name : "=r"(v_)); \
        v_;                                            \
    })

static double seconds(struct timespec t)
{
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* libc asks the vDSO; the two must tell the same time. */
static void test_clocks(void)
{
    static const struct {
        clockid_t id;
        const char *name;
    } clocks[] = {{CLOCK_REALTIME, "REALTIME"},
                  {CLOCK_MONOTONIC, "MONOTONIC"},
                  {CLOCK_PROCESS_CPUTIME_ID, "PROCESS_CPUTIME_ID"},
                  {CLOCK_THREAD_CPUTIME_ID, "THREAD_CPUTIME_ID"},
                  {CLOCK_MONOTONIC_RAW, "MONOTONIC_RAW"},
                  {CLOCK_REALTIME_COARSE, "REALTIME_COARSE"},
                  {CLOCK_MONOTONIC_COARSE, "MONOTONIC_COARSE"},
                  {CLOCK_BOOTTIME, "BOOTTIME"},
                  {CLOCK_TAI, "TAI"}};
    for (unsigned i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
        struct timespec a, b, c, resolution;
        char fact[64];
        int r1 = clock_gettime(clocks[i].id, &a);
        long r2 = syscall(SYS_clock_gettime, clocks[i].id, &b);
        int r3 = clock_gettime(clocks[i].id, &c);
        snprintf(fact, sizeof fact, "CLOCK_%s", clocks[i].name);
        OK(fact, r1 == 0 && r2 == 0 && r3 == 0 && seconds(a) <= seconds(b) + 0.01 &&
                     seconds(b) <= seconds(c) + 0.01);
        snprintf(fact, sizeof fact, "resolution of CLOCK_%s", clocks[i].name);
        OK(fact, clock_getres(clocks[i].id, &resolution) == 0 && resolution.tv_sec == 0 &&
                     resolution.tv_nsec >= 1 && resolution.tv_nsec <= 10000000);
    }
    struct timespec t;
    ERR("no such clock", clock_gettime(77, &t), EINVAL);
    ERR("clock_settime of a running clock", clock_settime(CLOCK_MONOTONIC, &t), EINVAL);
    struct timeval tv;
    gettimeofday(&tv, NULL);
    clock_gettime(CLOCK_REALTIME, &t);
    OK("gettimeofday", t.tv_sec - tv.tv_sec <= 5 && t.tv_sec >= tv.tv_sec);
    OK("time", time(NULL) - t.tv_sec <= 5);
    struct timespec last = {0, 0};
    bool monotonic = true;
    for (int i = 0; i < 20000; i++) {
        clock_gettime(CLOCK_MONOTONIC, &t);
        monotonic &= t.tv_sec > last.tv_sec || (t.tv_sec == last.tv_sec && t.tv_nsec >= last.tv_nsec);
        last = t;
    }
    OK("CLOCK_MONOTONIC never goes back", monotonic);
    OK("a vDSO is there", getauxval(AT_SYSINFO_EHDR) != 0);
}

static void test_sleep(void)
{
    struct timespec t = {0, 30000000}, bad = {0, 1000000000}, negative = {-1, 0};
    double start = now();
    EQ("nanosleep", nanosleep(&t, NULL), 0);
    OK("long enough", now() - start >= 0.0299);
    ERR("bad nanoseconds", nanosleep(&bad, NULL), EINVAL);
    ERR("negative", nanosleep(&negative, NULL), EINVAL);
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += 20000000;
    if (t.tv_nsec >= 1000000000)
        t.tv_sec++, t.tv_nsec -= 1000000000;
    EQ("clock_nanosleep until", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL), 0);
    OK("not before", now() >= seconds(t));
    EQ("a time that is over", clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &(struct timespec){1, 0}, NULL),
       0);
    EQ("CLOCK_THREAD_CPUTIME_ID cannot sleep", clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &t, NULL), EINVAL);
    EQ("usleep", usleep(1000), 0);
}

static void burn(double cpu_seconds)
{
    struct timespec t;
    double start;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    start = seconds(t);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    while (seconds(t) - start < cpu_seconds);
}

static void *burn_thread(void *arg)
{
    burn(0.05);
    return arg;
}

static void burn_process(void)
{
    burn(0.05);
}

static void test_usage(void)
{
    struct rusage self, thread, children;
    struct tms ticks;
    struct timespec process;
    burn(0.05);
    pthread_t other;
    pthread_create(&other, NULL, burn_thread, NULL);
    pthread_join(other, NULL);
    in_child(burn_process);
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_THREAD, &thread);
    getrusage(RUSAGE_CHILDREN, &children);
    double self_time = (double)(self.ru_utime.tv_sec + self.ru_stime.tv_sec) +
                       (double)(self.ru_utime.tv_usec + self.ru_stime.tv_usec) / 1e6;
    double thread_time = (double)(thread.ru_utime.tv_sec + thread.ru_stime.tv_sec) +
                         (double)(thread.ru_utime.tv_usec + thread.ru_stime.tv_usec) / 1e6;
    double child_time = (double)(children.ru_utime.tv_sec + children.ru_stime.tv_sec) +
                        (double)(children.ru_utime.tv_usec + children.ru_stime.tv_usec) / 1e6;
    OK("RUSAGE_SELF covers both threads", self_time >= 0.08);
    OK("RUSAGE_THREAD covers one", thread_time >= 0.04 && thread_time < self_time);
    OK("RUSAGE_CHILDREN", child_time >= 0.04);
    OK("ru_maxrss", self.ru_maxrss > 100);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &process);
    OK("CLOCK_PROCESS_CPUTIME_ID agrees", seconds(process) >= self_time - 0.05);
    OK("times", times(&ticks) != -1 && ticks.tms_utime + ticks.tms_stime > 0 &&
                    ticks.tms_cutime + ticks.tms_cstime > 0);
    OK("clock", clock() > 0);
    clockid_t id;
    EQ("clock_getcpuclockid", clock_getcpuclockid(getpid(), &id), 0);
    EQ("its time", clock_gettime(id, &process), 0);
    pthread_getcpuclockid(pthread_self(), &id);
    EQ("pthread_getcpuclockid", clock_gettime(id, &process), 0);
    ERR("getrusage: bad target", getrusage(17, &self), EINVAL);
    struct timex timex = {.modes = 0};
    OK("adjtimex reads", adjtimex(&timex) >= 0 && timex.tick > 0);
}

static void test_counters(void)
{
    unsigned long c1 = CSR("cycle"), t1 = CSR("time"), i1 = CSR("instret");
    for (volatile int i = 0; i < 100000; i++)
        ;
    sleep_ms(2);
    unsigned long c2 = CSR("cycle"), t2 = CSR("time"), i2 = CSR("instret");
    OK("cycle moves on", c2 > c1);
    OK("time moves on", t2 > t1);
    OK("instret moves on", i2 > i1);
}

int main(void)
{
    test_clocks();
    test_sleep();
    test_usage();
    test_counters();
    return test_end();
}
