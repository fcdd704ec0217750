/* clone() and clone3(): which flags go together, what is shared, who is told, and how children end.
 * reference: native qemu-user 7.2 refuses most of these flags
 */
#include "test.h"
#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif

static char stack[65536] __attribute__((aligned(16)));
static volatile int value;
static int parent_tid, child_tid, pidfd;

/* The order of clone()'s arguments is the machine's. */
static long raw_clone(unsigned long flags, int *parent, int *child)
{
#ifdef __riscv
    return syscall(SYS_clone, flags, NULL, parent, NULL, child);
#else
    return syscall(SYS_clone, flags, NULL, parent, child, NULL);
#endif
}

static long raw_clone3(const struct clone_args *args, size_t size)
{
    return syscall(SYS_clone3, args, size);
}

static int wait_for(long pid, int options)
{
    int status = -1;
    long got;
    while ((got = waitpid((pid_t)pid, &status, options)) < 0 && errno == EINTR)
        ;
    return got == pid ? shell_status(status) : -1;
}

static int set_value(void *arg)
{
    value = (int)(intptr_t)arg;
    return 9;
}

static long with_stack(int flags, int number)
{
    return clone(set_value, stack + sizeof stack, flags, (void *)(intptr_t)number, &parent_tid, NULL,
                 &child_tid);
}

static void test_memory(void)
{
    EQ("a stack of its own", wait_for(with_stack(SIGCHLD, 5), 0), 9);
    EQ("its memory is its own", value, 0);
    EQ("CLONE_VM and CLONE_VFORK", wait_for(with_stack(CLONE_VM | CLONE_VFORK | SIGCHLD, 6), 0), 9);
    EQ("shared memory", value, 6);
    EQ("CLONE_VM", wait_for(with_stack(CLONE_VM | SIGCHLD, 7), 0), 9);
    EQ("shared memory", value, 7);
    child_tid = -1;
    long pid = with_stack(CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID |
                              CLONE_CHILD_CLEARTID | SIGCHLD,
                          8);
    EQ("the parent is told", parent_tid, pid);
    EQ("and told of the end", child_tid, 0);
    EQ("its end", wait_for(pid, 0), 9);
    double start = now();
    long child = raw_clone(CLONE_VFORK | SIGCHLD, NULL, NULL);
    if (child == 0) {
        sleep_ms(50);
        _exit(3);
    }
    OK("CLONE_VFORK alone waits too", now() - start >= 0.05);
    EQ("its end", wait_for(child, 0), 3);
}

static void test_ids(void)
{
    long pid = raw_clone(CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, &parent_tid, &child_tid);
    if (pid == 0)
        _exit(child_tid == getpid() ? 1 : 2);
    EQ("CLONE_PARENT_SETTID", parent_tid, pid);
    EQ("CLONE_CHILD_SETTID", wait_for(pid, 0), 1);
    pid = raw_clone(CLONE_PIDFD | SIGCHLD, &pidfd, NULL);
    if (pid == 0)
        _exit(2);
    siginfo_t info = {0};
    EQ("CLONE_PIDFD", waitid((idtype_t)3 /* P_PIDFD */, (id_t)pidfd, &info, WEXITED), 0);
    EQ("its status", info.si_status, 2);
    close(pidfd);
    pidfd = -1;
    pid =
        clone(set_value, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, NULL, &pidfd);
    OK("CLONE_PIDFD of a vfork child", pidfd > 2);
    wait_for(pid, 0);
    close(pidfd);
    ERR("CLONE_PIDFD with CLONE_PARENT_SETTID",
        raw_clone(CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, &pidfd, NULL), EINVAL);
    ERR("CLONE_PIDFD to nowhere", raw_clone(CLONE_PIDFD | SIGCHLD, (int *)8, NULL), EFAULT);
    pid = raw_clone(CLONE_PARENT_SETTID | SIGCHLD, (int *)8, NULL);
    if (pid == 0)
        _exit(4);
    EQ("CLONE_PARENT_SETTID to nowhere", wait_for(pid, 0), 4);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    value++;
}

static void test_ends(void)
{
    handle(SIGUSR1, on_signal, 0);
    value = 0;
    long pid = raw_clone(SIGUSR1, NULL, NULL);
    if (pid == 0)
        _exit(2);
    while (!value)
        sleep_ms(1);
    ERR("another exit signal: not seen by wait", waitpid((pid_t)pid, NULL, 0), ECHILD);
    EQ("but by __WCLONE", wait_for(pid, __WCLONE), 2);
    EQ("the signal came once", value, 1);
    pid = raw_clone(0, NULL, NULL);
    if (pid == 0)
        _exit(3);
    EQ("no exit signal, __WALL", wait_for(pid, __WALL), 3);
    pid = vfork();
    if (pid == 0) {
        kill(getpid(), SIGKILL);
        _exit(1);
    }
    EQ("a vfork child is killed", wait_for(pid, 0), 128 + SIGKILL);
    pid = vfork();
    if (pid == 0) {
        *(volatile int *)8 = 0;
        _exit(1);
    }
    EQ("a vfork child dies by its own fault", wait_for(pid, 0), 128 + SIGSEGV);
}

/* Children of vfork children. */
static void test_nested(void)
{
    long pid = vfork();
    if (pid == 0) {
        pid_t child = fork();
        if (child == 0)
            _exit(11);
        _exit(wait_for(child, 0) + 1);
    }
    EQ("fork in a vfork child", wait_for(pid, 0), 12);
    pid = vfork();
    if (pid == 0) {
        pid_t child = vfork();
        if (child == 0)
            _exit(21);
        _exit(wait_for(child, 0) + 1);
    }
    EQ("vfork in a vfork child", wait_for(pid, 0), 22);
    value = 0;
    pid = vfork();
    if (pid == 0) {
        signal(SIGUSR1, SIG_IGN);
        _exit(0);
    }
    wait_for(pid, 0);
    raise(SIGUSR1);
    EQ("a vfork child's handlers are its own", value, 1);
}

static void test_sharing(void)
{
    char place[256] = "";
    long pid = raw_clone(CLONE_FILES | SIGCHLD, NULL, NULL);
    if (pid == 0) {
        dup2(1, 55);
        _exit(3);
    }
    EQ("CLONE_FILES", wait_for(pid, 0), 3);
    OK("its descriptor is ours", fcntl(55, F_GETFD) >= 0);
    close(55);
    pid = raw_clone(CLONE_FS | SIGCHLD, NULL, NULL);
    if (pid == 0)
        _exit(chdir("/usr") ? 1 : 4);
    EQ("CLONE_FS", wait_for(pid, 0), 4);
    STR("its directory is ours", getcwd(place, sizeof place) ? place : "", "/usr");
    if (chdir("/"))
        say("BAD chdir");
}

static void test_wrong(void)
{
    ERR("CLONE_THREAD alone", raw_clone(CLONE_THREAD, NULL, NULL), EINVAL);
    ERR("CLONE_SIGHAND alone", raw_clone(CLONE_SIGHAND, NULL, NULL), EINVAL);
    ERR("CLONE_NEWNS with CLONE_FS", raw_clone(CLONE_NEWNS | CLONE_FS, NULL, NULL), EINVAL);
    ERR("CLONE_NEWUSER with CLONE_FS", raw_clone(CLONE_NEWUSER | CLONE_FS, NULL, NULL), EINVAL);
    ERR("set_robust_list: wrong size", syscall(SYS_set_robust_list, NULL, 10), EINVAL);
}

static void check_clone3(const char *what, struct clone_args args, int error)
{
    ERR(what, raw_clone3(&args, sizeof args), error);
}

static void test_clone3(void)
{
    struct clone_args args = {.exit_signal = SIGCHLD};
    char large[200] = {0};
    long pid = raw_clone3(&args, sizeof args);
    if (pid == 0)
        _exit(4);
    EQ("clone3", wait_for(pid, 0), 4);
    ERR("too small", raw_clone3(&args, 10), EINVAL);
    ERR("too large", raw_clone3(&args, 5000), E2BIG);
    ERR("nowhere", raw_clone3((struct clone_args *)8, sizeof args), EFAULT);
    memcpy(large, &args, sizeof args);
    pid = raw_clone3((struct clone_args *)large, sizeof large);
    if (pid == 0)
        _exit(5);
    EQ("longer, with zeros", wait_for(pid, 0), 5);
    large[150] = 1;
    ERR("longer, with something", raw_clone3((struct clone_args *)large, sizeof large), E2BIG);
    check_clone3("wrong signal", (struct clone_args){.exit_signal = 100}, EINVAL);
    check_clone3("a stack without a size", (struct clone_args){.exit_signal = SIGCHLD, .stack = 4096},
                 EINVAL);
    check_clone3("a size without a stack", (struct clone_args){.exit_signal = SIGCHLD, .stack_size = 4096},
                 EINVAL);
    check_clone3("CLONE_DETACHED", (struct clone_args){.flags = CLONE_DETACHED, .exit_signal = SIGCHLD},
                 EINVAL);
    check_clone3("ids without a count",
                 (struct clone_args){.exit_signal = SIGCHLD, .set_tid = (uintptr_t)large}, EINVAL);
    check_clone3("CLONE_CLEAR_SIGHAND with CLONE_SIGHAND",
                 (struct clone_args){.flags = CLONE_CLEAR_SIGHAND | CLONE_SIGHAND | CLONE_VM}, EINVAL);
}

static void test_clear_handlers(void)
{
    struct clone_args args = {.flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
    struct sigaction one, two;
    handle(SIGUSR1, on_signal, 0);
    signal(SIGUSR2, SIG_IGN);
    long pid = raw_clone3(&args, sizeof args);
    if (pid == 0) {
        sigaction(SIGUSR1, NULL, &one);
        sigaction(SIGUSR2, NULL, &two);
        _exit((one.sa_handler == SIG_DFL) + 2 * (two.sa_handler == SIG_IGN));
    }
    EQ("CLONE_CLEAR_SIGHAND", wait_for(pid, 0), 3);
}

int main(void)
{
    prctl(PR_SET_DUMPABLE, 0);
    test_memory();
    test_ids();
    test_ends();
    test_nested();
    test_sharing();
    test_wrong();
    test_clone3();
    test_clear_handlers();
    return test_end();
}
