/* SIGSEGV, SIGBUS and SIGTRAP as ordinary signals: sent, blocked, pending, waited for. The monitor cannot have them blocked at the
 * host, so all of this is its own work.
 * reference: native qemu-user 7.2 delivers a blocked SIGSEGV
 */
#include "test.h"
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/time.h>

static volatile int count, last_signal, last_code;
static volatile unsigned long last_address;

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)context;
    count++;
    last_signal = number;
    last_code = info->si_code;
    last_address = (unsigned long)info->si_addr;
}

static sigset_t set_of(int number)
{
    sigset_t set;
    sigemptyset(&set);
    if (number)
        sigaddset(&set, number);
    return set;
}

static void mask(int how, int number)
{
    sigset_t set = set_of(number);
    sigprocmask(how, &set, NULL);
}

static bool pending(int number)
{
    sigset_t set;
    sigpending(&set);
    return sigismember(&set, number);
}

static void test_blocked(int number)
{
    handle(number, on_signal, 0);
    mask(SIG_BLOCK, number);
    count = 0;
    EQ("raised", raise(number), 0);
    EQ("raised again", raise(number), 0);
    EQ("held back", count, 0);
    OK("pending", pending(number));
    mask(SIG_UNBLOCK, number);
    EQ("delivered when unblocked, once", count, 1);
    EQ("its number", last_signal, number);
    OK("gone", !pending(number));
}

static int wait_with_ppoll(const sigset_t *set)
{
    return ppoll(NULL, 0, &(struct timespec){10, 0}, set);
}

static int wait_with_pselect(const sigset_t *set)
{
    return pselect(0, NULL, NULL, NULL, &(struct timespec){10, 0}, set);
}

static int wait_with_epoll(const sigset_t *set)
{
    struct epoll_event event;
    int epoll = epoll_create1(EPOLL_CLOEXEC), result = epoll_pwait(epoll, &event, 1, 10000, set);
    int error = errno;
    close(epoll);
    errno = error;
    return result;
}

static int wait_with_suspend(const sigset_t *set)
{
    return sigsuspend(set);
}

/* The signal is pending; the wait's mask lets it in: the wait ends at once, and the mask is as before. */
static void test_wait(const char *name, int (*wait)(const sigset_t *), int number)
{
    sigset_t none = set_of(0), now_blocked;
    mask(SIG_BLOCK, number);
    count = 0;
    raise(number);
    double start = now();
    errno = 0;
    int result = wait(&none);
    int error = errno;
    say("%s, signal %d", name, number);
    EQ("fails", result, -1);
    EQ("EINTR", error, EINTR);
    OK("at once", now() - start < 5);
    EQ("one signal", count, 1);
    sigprocmask(SIG_BLOCK, NULL, &now_blocked);
    OK("blocked again", sigismember(&now_blocked, number));
    mask(SIG_UNBLOCK, number);
    EQ("still one", count, 1);
}

/* The wait's mask does not let it in: a timeout. */
static void test_wait_blocked(void)
{
    sigset_t set = set_of(SIGSEGV);
    mask(SIG_BLOCK, SIGSEGV);
    count = 0;
    raise(SIGSEGV);
    EQ("ppoll with the signal blocked", ppoll(NULL, 0, &(struct timespec){0, 1000000}, &set), 0);
    EQ("no handler", count, 0);
    mask(SIG_UNBLOCK, SIGSEGV);
    EQ("later", count, 1);
}

static void test_wait_info(void)
{
    sigset_t set = set_of(SIGBUS);
    siginfo_t info = {0};
    mask(SIG_BLOCK, SIGBUS);
    count = 0;
    raise(SIGBUS);
    EQ("sigwaitinfo", sigwaitinfo(&set, &info), SIGBUS);
    OK("who sent it", info.si_pid == getpid() && info.si_signo == SIGBUS);
    ERR("no second", sigtimedwait(&set, NULL, &(struct timespec){0, 1000}), EAGAIN);
    mask(SIG_UNBLOCK, SIGBUS);
    EQ("no handler", count, 0);
}

/* A stop ends such a wait, as it does no other. The child goes on until it has: nobody knows when the wait has begun. */
static void test_wait_stopped(void)
{
    sigset_t set = set_of(SIGUSR1);
    atomic_bool *ended =
        mmap(NULL, sizeof(*ended), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t parent = getpid();
    mask(SIG_BLOCK, SIGUSR1);
    pid_t child = (pid_t)MUST(fork());
    if (child == 0) {
        for (int i = 0; i < 100 && !atomic_load(ended); i++) {
            usleep(50000);
            kill(parent, SIGSTOP);
            usleep(10000);
            kill(parent, SIGCONT);
        }
        _exit(0);
    }
    ERR("sigtimedwait() of who is stopped and goes on", sigtimedwait(&set, NULL, &(struct timespec){5, 0}),
        EINTR);
    atomic_store(ended, true);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    munmap(ended, sizeof(*ended));
    mask(SIG_UNBLOCK, SIGUSR1);
}

/* With what other processes and hand-made signals say. */
static void test_senders(void)
{
    siginfo_t info = {.si_signo = SIGSEGV, .si_code = SEGV_MAPERR, .si_addr = (void *)0x1234};
    count = 0;
    EQ("a hand-made fault", syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGSEGV, &info), 0);
    OK("arrives as it is", count == 1 && last_code == SEGV_MAPERR && last_address == 0x1234);
    info = (siginfo_t){.si_signo = SIGTRAP, .si_code = TRAP_TRACE};
    EQ("a hand-made trap", syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGTRAP, &info), 0);
    OK("arrives as it is", count == 2 && last_signal == SIGTRAP && last_code == TRAP_TRACE);
    pid_t child = fork();
    if (child == 0) {
        kill(getppid(), SIGSEGV);
        kill(getppid(), SIGBUS);
        kill(getppid(), SIGTRAP);
        _exit(0);
    }
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    EQ("three of another process", count, 5);
    EQ("si_code", last_code, SI_USER);
}

/* Another process sends it while a read sleeps. */
static void test_sleeper(int number, int flags)
{
    int ends[2];
    char byte = 0;
    pid_t parent = getpid();
    MUST(pipe(ends));
    handle(number, on_signal, flags);
    count = 0;
    pid_t child = fork();
    if (child == 0) {
        usleep(100000);
        kill(parent, number);
        usleep(100000);
        _exit(write(ends[1], "x", 1) != 1);
    }
    errno = 0;
    ssize_t got = read(ends[0], &byte, 1);
    say("a read that signal %d stops, flags %#x: %zd %s", number, (unsigned)flags, got, errno_name(errno));
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    EQ("one signal", count, 1);
    close(ends[0]);
    close(ends[1]);
}

/* ---- Sent to the process, whose first thread blocks it ---- */

static volatile int sent_number, handled_by;
static sem_t ready;

static void on_thread(int number)
{
    (void)number;
    handled_by = gettid();
}

static void *wait_for_it(void *argument)
{
    sigset_t set = set_of(sent_number);
    siginfo_t info = {0};
    (void)argument;
    sem_post(&ready);
    bool got = sigtimedwait(&set, &info, &(struct timespec){5, 0}) == sent_number;
    return (void *)(long)(got && info.si_code == SI_USER);
}

static void *sleep_until_it(void *argument)
{
    (void)argument;
    mask(SIG_UNBLOCK, sent_number);
    sem_post(&ready);
    for (double start = now(); !handled_by && now() - start < 5;)
        usleep(10000000);
    return (void *)(long)(handled_by == gettid());
}

static void *run_until_it(void *argument)
{
    (void)argument;
    mask(SIG_UNBLOCK, sent_number);
    sem_post(&ready);
    for (double start = now(); !handled_by && now() - start < 5;)
        ;
    return (void *)(long)(handled_by == gettid());
}

static void send_to_process(int number)
{
    pid_t parent = getpid(), child = (pid_t)MUST(fork());
    if (child == 0)
        _exit(kill(parent, number));
    MUST(waitpid(child, NULL, 0));
}

/* `early`: before there is a thread that lets it in. */
static void test_thread(const char *what, void *(*body)(void *), int number, bool early)
{
    pthread_t thread;
    void *result = NULL;
    sent_number = number;
    handled_by = 0;
    sem_init(&ready, 0, 0);
    signal(number, on_thread);
    mask(SIG_BLOCK, number);
    if (early)
        send_to_process(number);
    pthread_create(&thread, NULL, body, NULL);
    while (sem_wait(&ready))
        ;
    if (!early) {
        usleep(50000);
        send_to_process(number);
    }
    pthread_join(thread, &result);
    say("signal %d, %s:", number, early ? "pending" : "sent");
    OK(what, result);
    OK("gone", !pending(number));
    mask(SIG_UNBLOCK, number);
}

static void test_threads(int number)
{
    for (int early = 0; early < 2; early++) {
        test_thread("another thread waits", wait_for_it, number, early);
        test_thread("another thread sleeps", sleep_until_it, number, early);
        test_thread("another thread runs", run_until_it, number, early);
    }
}

/* ---- None is lost, whatever thread the host has chosen for it ---- */

static int answers[2];
static atomic_bool over;

static void answer(int number, siginfo_t *info, void *context)
{
    (void)context;
    char byte = (char)(number == sent_number && info->si_code == SI_USER && info->si_pid != getpid());
    if (write(answers[1], &byte, 1) != 1)
        _exit(1);
}

static void *block_and_unblock(void *argument)
{
    (void)argument;
    while (!atomic_load(&over)) {
        mask(SIG_BLOCK, sent_number);
        mask(SIG_UNBLOCK, sent_number);
    }
    mask(SIG_BLOCK, sent_number);
    return NULL;
}

static void *end_at_once(void *argument)
{
    return argument;
}

static void *start_and_join(void *argument)
{
    (void)argument;
    mask(SIG_BLOCK, sent_number);
    for (pthread_t thread; !atomic_load(&over);) {
        pthread_create(&thread, NULL, end_at_once, NULL);
        pthread_join(thread, NULL);
    }
    return NULL;
}

/* Each signal is sent when the one before it was answered. Returns whether all were answered well. */
static bool ask(pid_t parent, int rounds)
{
    char byte = 1;
    for (int i = 0; i < rounds && byte == 1; i++) {
        kill(parent, sent_number);
        if (poll(&(struct pollfd){.fd = answers[0], .events = POLLIN}, 1, 10000) != 1 ||
            read(answers[0], &byte, 1) != 1)
            return false;
    }
    return byte == 1;
}

static void test_lost(const char *what, void *(*body)(void *), int number)
{
    enum { ROUNDS = 300 };
    pthread_t threads[2];
    int status = -1;
    pid_t parent = getpid();
    MUST(pipe(answers));
    sent_number = number;
    atomic_store(&over, false);
    handle(number, answer, SA_RESTART);
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, body, NULL);
    pid_t child = (pid_t)MUST(fork());
    if (child == 0)
        _exit(!ask(parent, ROUNDS));
    waitpid(child, &status, 0);
    atomic_store(&over, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    say("signal %d one by one, while threads %s", number, what);
    EQ("each is answered", status, 0);
    close(answers[0]);
    close(answers[1]);
}

/* ---- Ends ---- */

static void hit_blocked(void)
{
    mask(SIG_BLOCK, SIGSEGV);
    *(volatile int *)8 = 1;
}

static void chain(int number, siginfo_t *info, void *context)
{
    (void)context;
    signal(number, SIG_DFL);
    syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), number, info);
}

/* As crash reporters do it. */
static void hit_chained(void)
{
    handle(SIGSEGV, chain, 0);
    *(volatile int *)8 = 1;
}

static void ignore_sent(void)
{
    signal(SIGSEGV, SIG_IGN);
    raise(SIGSEGV);
    _exit(5);
}

static void default_sent(void)
{
    signal(SIGTRAP, SIG_DFL);
    raise(SIGTRAP);
}

static void block_and_exec(void)
{
    handle(SIGSEGV, on_signal, 0);
    mask(SIG_BLOCK, SIGSEGV);
    raise(SIGSEGV);
    execl("/proc/self/exe", "sig_held", "again", (char *)NULL);
    _exit(99);
}

/* The mask and the pending signal have come through; its default action ends this. */
static int again(void)
{
    sigset_t blocked;
    struct sigaction segv;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    sigaction(SIGSEGV, NULL, &segv);
    if (!sigismember(&blocked, SIGSEGV) || !pending(SIGSEGV) || segv.sa_handler != SIG_DFL)
        return 98;
    mask(SIG_UNBLOCK, SIGSEGV);
    return 97;
}

/* Many at once from another process while code runs. */
static void test_flood(void)
{
    enum { ROUNDS = 3000 };
    pid_t parent = getpid();
    handle(SIGSEGV, on_signal, 0);
    handle(SIGBUS, on_signal, 0);
    handle(SIGUSR1, on_signal, 0);
    count = 0;
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < ROUNDS; i++) {
            kill(parent, SIGSEGV);
            kill(parent, SIGBUS);
            kill(parent, SIGUSR1);
        }
        _exit(0);
    }
    int status = -1;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    OK("a flood", status == 0 && count >= 3 && count <= 3 * ROUNDS);
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return again();
    prctl(PR_SET_DUMPABLE, 0);
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGTRAP, SIGUSR1};
    for (unsigned i = 0; i < 4; i++) {
        test_blocked(numbers[i]);
        test_wait("ppoll", wait_with_ppoll, numbers[i]);
        test_wait("pselect", wait_with_pselect, numbers[i]);
        test_wait("epoll_pwait", wait_with_epoll, numbers[i]);
        test_wait("sigsuspend", wait_with_suspend, numbers[i]);
        test_sleeper(numbers[i], 0);
        test_sleeper(numbers[i], SA_RESTART);
    }
    test_wait_blocked();
    test_wait_info();
    test_wait_stopped();
    test_senders();
    test_flood();
    for (unsigned i = 0; i < 4; i++)
        test_threads(numbers[i]);
    for (unsigned i = 0; i < 4; i++) {
        test_lost("block and unblock", block_and_unblock, numbers[i]);
        test_lost("come and go", start_and_join, numbers[i]);
    }
    EQ("a fault while it is blocked kills", in_child(hit_blocked) & 0x7f, SIGSEGV);
    EQ("a fault that is sent on kills", in_child(hit_chained) & 0x7f, SIGSEGV);
    EQ("ignored when sent", shell_status(in_child(ignore_sent)), 5);
    EQ("default when sent", in_child(default_sent) & 0x7f, SIGTRAP);
    EQ("pending across exec", in_child(block_and_exec) & 0x7f, SIGSEGV);
    return test_end();
}
