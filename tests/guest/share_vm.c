/* Processes that share one memory: vfork, and clone with CLONE_VM but without CLONE_THREAD.
 * reference: native qemu-user 7.2 copies the memory
 */
#include "test.h"
#include <linux/futex.h>

static char stack[65536] __attribute__((aligned(16)));
static int value;

static int add_one(void *arg)
{
    *(int *)arg += 1;
    return 12;
}

static int hand_over(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++) {
        while (__atomic_load_n(&value, __ATOMIC_SEQ_CST) != 2 * i + 1)
            syscall(SYS_futex, &value, FUTEX_WAIT, 2 * i, NULL, NULL, 0);
        __atomic_add_fetch(&value, 1, __ATOMIC_SEQ_CST);
        syscall(SYS_futex, &value, FUTEX_WAKE, 1, NULL, NULL, 0);
    }
    return 0;
}

int main(void)
{
    int status;
    pid_t child = (pid_t)MUST(clone(add_one, stack + sizeof stack, CLONE_VM | SIGCHLD, &value));
    EQ("CLONE_VM: wait", waitpid(child, &status, 0), child);
    EQ("CLONE_VM: status", WEXITSTATUS(status), 12);
    EQ("CLONE_VM: memory is shared", value, 1);
    child = clone(add_one, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &value);
    EQ("CLONE_VFORK: has run", value, 2);
    waitpid(child, &status, 0);
    child = vfork();
    if (child == 0) {
        value = 7;
        _exit(3);
    }
    EQ("vfork: memory is shared", value, 7);
    waitpid(child, &status, 0);
    EQ("vfork: status", WEXITSTATUS(status), 3);
    value = 0;
    bool stuck = false;
    child = (pid_t)MUST(clone(hand_over, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL));
    for (int i = 0; i < 100 && !stuck; i++) {
        __atomic_add_fetch(&value, 1, __ATOMIC_SEQ_CST);
        syscall(SYS_futex, &value, FUTEX_WAKE, 1, NULL, NULL, 0);
        struct timespec limit = {5, 0};
        while (!stuck && __atomic_load_n(&value, __ATOMIC_SEQ_CST) != 2 * i + 2)
            stuck = syscall(SYS_futex, &value, FUTEX_WAIT, 2 * i + 1, &limit, NULL, 0) == -1 &&
                    errno == ETIMEDOUT;
    }
    if (stuck)
        kill(child, SIGKILL);
    waitpid(child, &status, 0);
    EQ("two processes take turns in one memory", status, 0);
    return test_end();
}
