/* A hart that is to leave its engine gets a SIGTRAP that no kernel makes. One that comes late, when the hart sleeps in a
 * system call, is nothing that the guest hears of.
 * reference: self natively that signal is the guest's
 */
#include "test.h"
#include <poll.h>

enum { KICK = -0x6775, KICKS = 5 };

/* The child's number; it kicks this process some times while that sleeps, then writes a byte. */
static pid_t kick_later(int fd)
{
    siginfo_t info = {.si_signo = SIGTRAP, .si_code = KICK};
    pid_t parent = getpid(), child = (pid_t)MUST(fork());
    if (child)
        return child;
    for (int i = 0; i < KICKS; i++) {
        usleep(20000);
        syscall(SYS_rt_tgsigqueueinfo, parent, parent, SIGTRAP, &info);
    }
    _exit(fd >= 0 && write(fd, "x", 1) != 1);
}

static void end_of(pid_t child)
{
    int status = -1;
    MUST(waitpid(child, &status, 0));
    EQ("the other process", status, 0);
}

static void on_signal(int number)
{
    say("BAD signal %d", number);
}

int main(void)
{
    int ends[2];
    char byte;
    signal(SIGTRAP, on_signal);
    MUST(pipe(ends));
    pid_t child = kick_later(ends[1]);
    EQ("a read", read(ends[0], &byte, 1), 1);
    end_of(child);
    child = kick_later(-1);
    EQ("a wait with a timeout", poll(NULL, 0, 200), 0);
    end_of(child);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTRAP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    child = kick_later(-1);
    ERR("a wait for the guest's own", sigtimedwait(&set, NULL, &(struct timespec){0, 200000000}), EAGAIN);
    end_of(child);
    return test_end();
}
