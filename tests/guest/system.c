/* What a program learns about the system and itself: names, limits, identities, scheduling, prctl, random numbers.
 * reference: native the host's own kernel is the judge
 */
#include "test.h"
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

static void test_uname(void)
{
    struct utsname u;
    EQ("uname", uname(&u), 0);
    STR("sysname", u.sysname, "Linux");
    int major = 0, minor = 0;
    OK("release", sscanf(u.release, "%d.%d", &major, &minor) == 2 && major >= 4);
    OK("nodename", u.nodename[0] != 0);
    struct sysinfo info;
    EQ("sysinfo", sysinfo(&info), 0);
    OK("its fields", info.totalram > 0 && info.uptime > 0 && info.procs > 0 && info.mem_unit >= 1);
    EQ("page size", sysconf(_SC_PAGESIZE), 4096);
    OK("processors", sysconf(_SC_NPROCESSORS_ONLN) >= 1 && get_nprocs() == sysconf(_SC_NPROCESSORS_ONLN));
    EQ("clock ticks", sysconf(_SC_CLK_TCK), 100);
}

static void test_random(void)
{
    unsigned char a[64] = {0}, b[64] = {0};
    EQ("getrandom", getrandom(a, 64, 0), 64);
    EQ("getrandom again", getrandom(b, 64, GRND_NONBLOCK), 64);
    OK("they differ", memcmp(a, b, 64) != 0);
    ERR("bad flags", getrandom(a, 8, 0x80), EINVAL);
    EQ("getentropy", getentropy(a, 32), 0);
    int fd = open("/dev/urandom", O_RDONLY);
    EQ("/dev/urandom", read(fd, a, 64), 64);
    close(fd);
}

static void test_limits(void)
{
    struct rlimit limit, old;
    static const int kinds[] = {RLIMIT_AS,         RLIMIT_CORE,     RLIMIT_CPU,   RLIMIT_DATA,  RLIMIT_FSIZE,
                                RLIMIT_MEMLOCK,    RLIMIT_NOFILE,   RLIMIT_NPROC, RLIMIT_RSS,   RLIMIT_STACK,
                                RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE, RLIMIT_NICE,  RLIMIT_RTPRIO};
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char fact[40];
        snprintf(fact, sizeof fact, "getrlimit %d", kinds[i]);
        OK(fact, getrlimit((__rlimit_resource_t)kinds[i], &limit) == 0 && limit.rlim_cur <= limit.rlim_max);
    }
    ERR("getrlimit: bad kind", getrlimit((__rlimit_resource_t)99, &limit), EINVAL);
    getrlimit(RLIMIT_NOFILE, &old);
    limit = (struct rlimit){77, old.rlim_max};
    EQ("setrlimit", setrlimit(RLIMIT_NOFILE, &limit), 0);
    getrlimit(RLIMIT_NOFILE, &limit);
    EQ("took effect", limit.rlim_cur, 77);
    pid_t child = fork();
    if (child == 0) {
        getrlimit(RLIMIT_NOFILE, &limit);
        _exit(limit.rlim_cur == 77);
    }
    int status;
    waitpid(child, &status, 0);
    EQ("is inherited", WEXITSTATUS(status), 1);
    setrlimit(RLIMIT_NOFILE, &old);
    limit = (struct rlimit){10, 5};
    ERR("soft above hard", setrlimit(RLIMIT_NOFILE, &limit), EINVAL);
    EQ("prlimit of oneself", prlimit(getpid(), RLIMIT_STACK, NULL, &limit), 0);
    getrlimit(RLIMIT_CORE, &old);
    EQ("no core files", setrlimit(RLIMIT_CORE, &(struct rlimit){0, old.rlim_max}), 0);
}

static void limit_file_size(void)
{
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){1000, 1000});
    signal(SIGXFSZ, SIG_IGN);
    static char block[2000];
    int fd = open("limited", O_CREAT | O_WRONLY | O_TRUNC, 0600);
    ssize_t first = write(fd, block, 2000);
    ssize_t second = write(fd, block, 10);
    _exit(first == 1000 && second == -1 && errno == EFBIG ? 1 : 2);
}

static void limit_cpu(void)
{
    setrlimit(RLIMIT_CPU, &(struct rlimit){1, 2});
    for (;;)
        ;
}

static void test_enforcement(void)
{
    enter_scratch();
    EQ("RLIMIT_FSIZE", shell_status(in_child(limit_file_size)), 1);
    EQ("RLIMIT_CPU", shell_status(in_child(limit_cpu)), 128 + SIGXCPU);
    leave_scratch();
}

static void test_identity(void)
{
    uid_t r, e, s;
    EQ("getresuid", getresuid(&r, &e, &s), 0);
    OK("agrees", r == getuid() && e == geteuid());
    EQ("getresgid", getresgid(&r, &e, &s), 0);
    EQ("setuid to oneself", setuid(getuid()), 0);
    gid_t groups[256];
    OK("getgroups", getgroups(256, groups) >= 0);
    OK("getpid, getppid", getpid() > 1 && getppid() > 0);
    EQ("getpgid", getpgid(0), getpgrp());
    EQ("getsid", getsid(0), getsid(getpid()));
    ERR("getpgid: no such process", getpgid(0x3ffffff), ESRCH);
    EQ("setfsuid returns the old one", setfsuid(geteuid()), geteuid());
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    EQ("capget", syscall(SYS_capget, &header, data), 0);
    header.version = 1;
    ERR("capget: bad version", syscall(SYS_capget, &header, data), EINVAL);
    EQ("and the right one", header.version, _LINUX_CAPABILITY_VERSION_3);
}

static void test_scheduling(void)
{
    cpu_set_t set, one;
    unsigned cpu = 9999, node = 9999;
    OK("sched_getaffinity", sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) >= 1);
    EQ("getcpu", (long)syscall(SYS_getcpu, &cpu, &node, NULL), 0);
    OK("a cpu of the set", CPU_ISSET(cpu, &set));
    OK("sched_getcpu", sched_getcpu() >= 0);
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    EQ("sched_setaffinity", sched_setaffinity(0, sizeof one, &one), 0);
    EQ("pinned", sched_getcpu(), cpu);
    sched_setaffinity(0, sizeof set, &set);
    CPU_ZERO(&one);
    ERR("empty set", sched_setaffinity(0, sizeof one, &one), EINVAL);
    EQ("policy", sched_getscheduler(0), SCHED_OTHER);
    EQ("highest priority", sched_get_priority_max(SCHED_FIFO), 99);
    EQ("lowest priority", sched_get_priority_min(SCHED_RR), 1);
    ERR("bad policy", sched_get_priority_max(99), EINVAL);
    struct timespec t;
    EQ("sched_rr_get_interval", sched_rr_get_interval(0, &t), 0);
    EQ("sched_yield", sched_yield(), 0);
    struct sched_param p = {0};
    EQ("SCHED_BATCH", sched_setscheduler(0, SCHED_BATCH, &p), 0);
    EQ("policy", sched_getscheduler(0), SCHED_BATCH);
    errno = 0;
    int nice_before = getpriority(PRIO_PROCESS, 0);
    EQ("setpriority", setpriority(PRIO_PROCESS, 0, nice_before + 3), 0);
    EQ("getpriority", getpriority(PRIO_PROCESS, 0), nice_before + 3);
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attr;
    EQ("sched_getattr", syscall(SYS_sched_getattr, 0, &attr, 48, 0), 0);
    OK("its fields", attr.size == 48 && attr.policy == SCHED_BATCH && attr.nice == nice_before + 3);
}

static void test_prctl(void)
{
    char name[17] = {0};
    EQ("PR_SET_NAME", prctl(PR_SET_NAME, "a-name-that-is-too-long"), 0);
    EQ("PR_GET_NAME", prctl(PR_GET_NAME, name), 0);
    STR("cut to 15", name, "a-name-that-is-");
    EQ("PR_GET_DUMPABLE", prctl(PR_GET_DUMPABLE) >= 0, 1);
    EQ("PR_SET_NO_NEW_PRIVS", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    EQ("PR_GET_NO_NEW_PRIVS", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    EQ("PR_SET_CHILD_SUBREAPER", prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    int reaper = 0;
    prctl(PR_GET_CHILD_SUBREAPER, &reaper);
    EQ("PR_GET_CHILD_SUBREAPER", reaper, 1);
    EQ("PR_SET_TIMERSLACK", prctl(PR_SET_TIMERSLACK, 60000), 0);
    EQ("PR_GET_TIMERSLACK", prctl(PR_GET_TIMERSLACK), 60000);
    ERR("unknown option", prctl(9999), EINVAL);
    ERR("unknown system call", syscall(1023), ENOSYS);
    ERR("a negative one", syscall(-5), ENOSYS);
    EQ("membarrier: query", syscall(SYS_membarrier, 0, 0, 0) >= 0, 1);
    ERR("membarrier: bad command", syscall(SYS_membarrier, 0x40000000, 0, 0), EINVAL);
}

int main(void)
{
    test_uname();
    test_random();
    test_limits();
    test_enforcement();
    test_identity();
    test_scheduling();
    test_prctl();
    return test_end();
}
