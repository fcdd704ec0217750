/* Asynchronous signals: delivery, masks, queues, flags of sigaction, alternate stacks, signalfd, threads.
 * reference: native qemu-user 7.2 loses queued values and does not know SS_AUTODISARM */
#include "test.h"
#include <pthread.h>
#include <sys/signalfd.h>

static volatile int count, budget, last, last_code, last_value, depth, max_depth;
static volatile int order[16], order_length;
static __thread volatile int hits;

static void on_count(int number, siginfo_t *info, void *context)
{
    (void)context;
    hits++;
    count++;
    last = number;
    last_code = info->si_code;
    last_value = info->si_value.sival_int;
    if (order_length < 16)
        order[order_length++] = number * 1000 + info->si_value.sival_int;
}

static void on_nested(int number, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    if (++depth > max_depth)
        max_depth = depth;
    if (budget-- > 0)
        raise(number);
    depth--;
}

static sigset_t set_of(int a, int b)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, a);
    if (b)
        sigaddset(&set, b);
    return set;
}

static void test_basic(void)
{
    handle(SIGUSR1, on_count, 0);
    kill(getpid(), SIGUSR1);
    EQ("kill: delivered", count, 1);
    EQ("kill: code", last_code, SI_USER);
    raise(SIGUSR1);
    EQ("raise: code", last_code, SI_TKILL);
    union sigval value = {.sival_int = 77};
    sigqueue(getpid(), SIGUSR1, value);
    EQ("sigqueue: code", last_code, SI_QUEUE);
    EQ("sigqueue: value", last_value, 77);
    syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
    EQ("tgkill: delivered", count, 4);
    ERR("tgkill: no such thread", syscall(SYS_tgkill, getpid(), 0x3ffffff, SIGUSR1), ESRCH);
    ERR("tgkill: bad signal", syscall(SYS_tgkill, getpid(), gettid(), 65), EINVAL);
    ERR("kill: bad signal", kill(getpid(), 65), EINVAL);
    ERR("kill: no such process", kill(0x3ffffff, 0), ESRCH);
    EQ("kill 0 checks only", kill(getpid(), 0), 0);
    EQ("kill 0 delivered nothing", count, 4);
    struct sigaction action = {.sa_handler = SIG_IGN};
    ERR("SIGKILL cannot be caught", sigaction(SIGKILL, &action, NULL), EINVAL);
    ERR("SIGSTOP cannot be caught", sigaction(SIGSTOP, &action, NULL), EINVAL);
    ERR("no signal 0", sigaction(0, &action, NULL), EINVAL);
    ERR("no signal 65", sigaction(65, &action, NULL), EINVAL);
    struct sigaction old;
    sigaction(SIGUSR1, NULL, &old);
    OK("sigaction returns the handler", old.sa_sigaction == on_count);
    OK("sigaction returns the flags", (old.sa_flags & SA_SIGINFO) != 0);
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    EQ("ignored", count, 4);
    OK("signal returns the old one", signal(SIGUSR1, SIG_DFL) == SIG_IGN);
}

static void test_mask(void)
{
    sigset_t set = set_of(SIGUSR1, SIGUSR2), old, pending;
    handle(SIGUSR1, on_count, 0);
    count = 0;
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 3; i++)
        kill(getpid(), SIGUSR1);
    EQ("blocked", count, 0);
    sigpending(&pending);
    OK("pending", sigismember(&pending, SIGUSR1) && !sigismember(&pending, SIGUSR2));
    sigprocmask(SIG_UNBLOCK, &set, &old);
    EQ("a standard signal is queued once", count, 1);
    OK("old mask", sigismember(&old, SIGUSR2));
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    sigprocmask(SIG_SETMASK, NULL, &old);
    OK("SIGKILL and SIGSTOP are never blocked", !sigismember(&old, SIGKILL) && !sigismember(&old, SIGSTOP));
    kill(getpid(), SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    sigpending(&pending);
    OK("ignoring drops what is pending", !sigismember(&pending, SIGUSR1));
    sigemptyset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    ERR("bad how", sigprocmask(9, &all, NULL), EINVAL);
    ERR("bad set size", syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, 16), EINVAL);
}

static void test_realtime(void)
{
    sigset_t set;
    sigemptyset(&set);
    int low = SIGRTMIN + 1, high = SIGRTMIN + 2;
    sigaddset(&set, low);
    sigaddset(&set, high);
    sigprocmask(SIG_BLOCK, &set, NULL);
    handle(low, on_count, 0);
    handle(high, on_count, 0);
    order_length = 0;
    for (int i = 1; i <= 3; i++) {
        union sigval value = {.sival_int = i};
        sigqueue(getpid(), high, value);
        sigqueue(getpid(), low, value);
    }
    siginfo_t info;
    struct timespec zero = {0, 0};
    EQ("sigtimedwait takes the lowest first", sigtimedwait(&set, &info, &zero), low);
    EQ("and its oldest value", info.si_value.sival_int, 1);
    EQ("code", info.si_code, SI_QUEUE);
    EQ("sender", info.si_pid, getpid());
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    EQ("the rest is delivered", order_length, 5);
    bool each[6] = {0};
    for (int i = 0; i < order_length; i++)
        for (int k = 0; k < 5; k++)
            each[k] |= order[i] == (k < 2 ? low * 1000 + 2 + k : high * 1000 + k - 1);
    OK("every value once", each[0] && each[1] && each[2] && each[3] && each[4]);
}

static void test_flags(void)
{
    handle(SIGUSR1, on_nested, SA_NODEFER);
    budget = 4;
    raise(SIGUSR1);
    EQ("SA_NODEFER nests", max_depth, 5);
    handle(SIGUSR1, on_nested, 0);
    max_depth = 0;
    budget = 4;
    raise(SIGUSR1);
    EQ("without it the second waits", max_depth, 1);
    EQ("and all of them run", budget, -1);
    handle(SIGUSR1, on_count, SA_RESETHAND);
    raise(SIGUSR1);
    struct sigaction old;
    sigaction(SIGUSR1, NULL, &old);
    OK("SA_RESETHAND resets", old.sa_handler == SIG_DFL);
    OK("SA_RESETHAND keeps the flags", (old.sa_flags & (int)SA_RESETHAND) != 0);
}

static volatile int in_order[4], in_order_length;

static void on_outer(int number, siginfo_t *info, void *context)
{
    (void)info, (void)context;
    in_order[in_order_length++] = number;
    if (number == SIGUSR1) {
        raise(SIGUSR2);
        in_order[in_order_length++] = -number;
    }
}

static void test_sa_mask(void)
{
    struct sigaction action = {.sa_sigaction = on_outer, .sa_flags = SA_SIGINFO};
    sigaddset(&action.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &action, NULL);
    handle(SIGUSR2, on_outer, 0);
    raise(SIGUSR1);
    OK("sa_mask holds the other signal back",
       in_order[0] == SIGUSR1 && in_order[1] == -SIGUSR1 && in_order[2] == SIGUSR2);
}

static void test_wait(void)
{
    sigset_t set = set_of(SIGUSR1, SIGALRM), empty, old;
    sigemptyset(&empty);
    sigprocmask(SIG_BLOCK, &set, NULL);
    handle(SIGUSR1, on_count, 0);
    count = 0;
    kill(getpid(), SIGUSR1);
    ERR("sigsuspend", sigsuspend(&empty), EINTR);
    EQ("sigsuspend ran the handler", count, 1);
    sigprocmask(SIG_BLOCK, NULL, &old);
    OK("sigsuspend restored the mask", sigismember(&old, SIGUSR1));
    struct timespec short_time = {0, 20000000};
    siginfo_t info;
    ERR("sigtimedwait times out", sigtimedwait(&set, &info, &short_time), EAGAIN);
    struct timespec bad_time = {0, 1000000000};
    ERR("sigtimedwait: bad time", sigtimedwait(&set, &info, &bad_time), EINVAL);
    kill(getpid(), SIGUSR1);
    EQ("sigwaitinfo", sigwaitinfo(&set, &info), SIGUSR1);
    EQ("sigwaitinfo: code", info.si_code, SI_USER);
    EQ("sigwaitinfo: uid", info.si_uid, getuid());
    pid_t child = fork();
    if (child == 0) {
        sleep_ms(50);
        kill(getppid(), SIGUSR1);
        _exit(0);
    }
    EQ("sigwaitinfo waits", sigwaitinfo(&set, &info), SIGUSR1);
    EQ("sigwaitinfo: sender", info.si_pid, child);
    waitpid(child, NULL, 0);
    EQ("no handler ran", count, 1);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void test_signalfd(void)
{
    sigset_t set = set_of(SIGUSR1, SIGRTMIN + 3);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    struct signalfd_siginfo info[3];
    EQ("size of signalfd_siginfo", sizeof info[0], 128);
    ERR("signalfd is empty", read(fd, info, sizeof info), EAGAIN);
    union sigval value = {.sival_int = -5};
    sigqueue(getpid(), SIGRTMIN + 3, value);
    kill(getpid(), SIGUSR1);
    EQ("signalfd gives both", read(fd, info, sizeof info), 256);
    EQ("first", info[0].ssi_signo, (unsigned)SIGUSR1);
    EQ("first code", info[0].ssi_code, SI_USER);
    EQ("first pid", info[0].ssi_pid, (unsigned)getpid());
    EQ("second", info[1].ssi_signo, (unsigned)SIGRTMIN + 3);
    EQ("second value", info[1].ssi_int, -5);
    sigset_t other = set_of(SIGUSR2, 0);
    EQ("signalfd changes its set", signalfd(fd, &other, 0), fd);
    raise(SIGUSR1);
    ERR("now it does not want SIGUSR1", read(fd, info, sizeof info), EAGAIN);
    ERR("signalfd: short buffer", read(fd, info, 64), EINVAL);
    ERR("signalfd: bad flags", signalfd(-1, &set, 0x123), EINVAL);
    close(fd);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static char alternate[65536] __attribute__((aligned(16)));
static volatile bool on_alternate, reported_on, inner_error;

static void on_stack(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    char here;
    on_alternate = &here >= alternate && &here < alternate + sizeof alternate;
    stack_t now_stack, other = {.ss_sp = alternate, .ss_size = sizeof alternate};
    sigaltstack(NULL, &now_stack);
    reported_on = (now_stack.ss_flags & SS_ONSTACK) != 0;
    errno = 0;
    inner_error = sigaltstack(&other, NULL) == -1 && errno == EPERM;
}

static void test_altstack(void)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, old;
    sigaltstack(NULL, &old);
    EQ("no alternate stack at first", old.ss_flags, SS_DISABLE);
    EQ("set", sigaltstack(&stack, NULL), 0);
    sigaltstack(NULL, &old);
    OK("read back", old.ss_sp == alternate && old.ss_size == sizeof alternate && old.ss_flags == 0);
    handle(SIGUSR1, on_stack, SA_ONSTACK);
    raise(SIGUSR1);
    OK("SA_ONSTACK switches", on_alternate);
    OK("SS_ONSTACK is reported", reported_on);
    OK("changing it from there is EPERM", inner_error);
    handle(SIGUSR1, on_stack, 0);
    raise(SIGUSR1);
    OK("without SA_ONSTACK it stays", !on_alternate && !reported_on);
    stack.ss_size = 1000;
    ERR("too small", sigaltstack(&stack, NULL), ENOMEM);
    stack.ss_flags = 0x77;
    ERR("bad flags", sigaltstack(&stack, NULL), EINVAL);
    stack.ss_flags = (int)(1U << 31);
    stack.ss_size = sizeof alternate;
    EQ("SS_AUTODISARM", sigaltstack(&stack, NULL), 0);
    handle(SIGUSR1, on_stack, SA_ONSTACK);
    raise(SIGUSR1);
    OK("SS_AUTODISARM switches", on_alternate);
    OK("and disarms meanwhile", !reported_on && !inner_error);
    sigaltstack(NULL, &old);
    stack.ss_flags = SS_DISABLE;
    EQ("disable", sigaltstack(&stack, NULL), 0);
    raise(SIGUSR1);
    OK("disabled", !on_alternate);
}

static volatile int ready;

static void *blocked_thread(void *arg)
{
    sigset_t set = set_of(SIGUSR1, 0);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    __atomic_store_n(&ready, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) == 1)
        sched_yield();
    *(int *)arg = hits;
    sigset_t pending;
    sigpending(&pending);
    *(int *)arg += 100 * sigismember(&pending, SIGUSR1);
    return NULL;
}

static void *target_thread(void *arg)
{
    __atomic_store_n(&ready, 1, __ATOMIC_SEQ_CST);
    while (!hits)
        ;
    *(int *)arg = hits;
    return NULL;
}

static void test_threads(void)
{
    pthread_t thread;
    int result = -1;
    handle(SIGUSR1, on_count, 0);
    hits = 0;
    pthread_create(&thread, NULL, blocked_thread, &result);
    while (!__atomic_load_n(&ready, __ATOMIC_SEQ_CST))
        sched_yield();
    kill(getpid(), SIGUSR1);
    EQ("a process signal goes to a thread that lets it in", hits, 1);
    pthread_kill(thread, SIGUSR1);
    __atomic_store_n(&ready, 2, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    EQ("the blocked thread got none and has one pending", result, 100);
    ready = 0;
    pthread_create(&thread, NULL, target_thread, &result);
    while (!__atomic_load_n(&ready, __ATOMIC_SEQ_CST))
        sched_yield();
    pthread_kill(thread, SIGUSR1);
    pthread_join(thread, NULL);
    EQ("pthread_kill stops a busy loop in that thread", result, 1);
    EQ("and not in this one", hits, 1);
}

int main(void)
{
    test_basic();
    test_mask();
    test_realtime();
    test_flags();
    test_sa_mask();
    test_wait();
    test_signalfd();
    test_altstack();
    test_threads();
    return test_end();
}
