/* SIGCHLD and the wait family: what a parent learns about its children.
 * reference: native qemu-user 7.2 passes some si_status values on untranslated */
#include "test.h"
#include <sys/resource.h>

static volatile int seen_code, seen_status, seen_pid, seen;

static void on_child(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    seen_code = info->si_code;
    seen_status = info->si_status;
    seen_pid = info->si_pid;
    seen++;
}

static void await(int wanted)
{
    for (int i = 0; i < 4000 && seen < wanted; i++)
        sleep_ms(2);
}

static void die_exit(void)
{
    _exit(300);
}
static void die_term(void)
{
    raise(SIGTERM);
}
static void die_realtime(void)
{
    raise(SIGRTMIN + 5);
}

static void test_statuses(void)
{
    int status = in_child(die_exit);
    OK("exit status is cut to 8 bits", WIFEXITED(status) && WEXITSTATUS(status) == 44);
    status = in_child(die_term);
    OK("death by SIGTERM", WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    status = in_child(die_realtime);
    OK("death by a real-time signal", WIFSIGNALED(status) && WTERMSIG(status) == SIGRTMIN + 5);
}

static void test_sigchld(void)
{
    handle(SIGCHLD, on_child, 0);
    seen = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(7);
    await(1);
    OK("CLD_EXITED", seen_code == CLD_EXITED && seen_status == 7 && seen_pid == child);
    waitpid(child, NULL, 0);
    child = fork();
    if (child == 0)
        for (;;)
            pause();
    kill(child, SIGSTOP);
    await(2);
    OK("CLD_STOPPED", seen_code == CLD_STOPPED && seen_status == SIGSTOP && seen_pid == child);
    siginfo_t info = {0};
    EQ("waitid WSTOPPED", waitid(P_PID, (id_t)child, &info, WSTOPPED), 0);
    OK("its siginfo", info.si_code == CLD_STOPPED && info.si_status == SIGSTOP && info.si_pid == child);
    kill(child, SIGCONT);
    await(3);
    EQ("CLD_CONTINUED", seen_code, CLD_CONTINUED);
    int status;
    EQ("WCONTINUED", waitpid(child, &status, WCONTINUED), child);
    OK("WIFCONTINUED", WIFCONTINUED(status));
    EQ("WNOHANG: still running", waitpid(child, &status, WNOHANG), 0);
    kill(child, SIGKILL);
    await(4);
    OK("CLD_KILLED", seen_code == CLD_KILLED && seen_status == SIGKILL);
    memset(&info, 0, sizeof info);
    EQ("waitid WNOWAIT", waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    OK("WNOWAIT: siginfo",
       info.si_signo == SIGCHLD && info.si_code == CLD_KILLED && info.si_status == SIGKILL);
    struct rusage usage;
    memset(&usage, 0xff, sizeof usage);
    EQ("wait4", wait4(child, &status, 0, &usage), child);
    OK("rusage is filled", usage.ru_utime.tv_sec >= 0 && usage.ru_maxrss > 0);
    ERR("nobody left", waitpid(-1, &status, 0), ECHILD);
    ERR("not a child", waitpid(1, &status, 0), ECHILD);
    ERR("bad options", waitpid(-1, &status, 0x40000), EINVAL);
    ERR("waitid without any of its options", waitid(P_ALL, 0, &info, 0), EINVAL);
    handle(SIGCHLD, on_child, SA_NOCLDSTOP);
    seen = 0;
    child = fork();
    if (child == 0)
        for (;;)
            pause();
    kill(child, SIGSTOP);
    waitpid(child, &status, WUNTRACED);
    sleep_ms(50);
    EQ("SA_NOCLDSTOP", seen, 0);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    await(1);
    EQ("but death is told", seen, 1);
}

static void test_automatic(void)
{
    handle(SIGCHLD, on_child, SA_NOCLDWAIT);
    seen = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    await(1);
    ERR("SA_NOCLDWAIT leaves no zombie", waitpid(child, NULL, 0), ECHILD);
    signal(SIGCHLD, SIG_IGN);
    child = fork();
    if (child == 0)
        _exit(0);
    ERR("nor does SIG_IGN", waitpid(child, NULL, 0), ECHILD);
    signal(SIGCHLD, SIG_DFL);
}

static void test_groups(void)
{
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        _exit(getpgrp() == getpid() ? 3 : 4);
    }
    setpgid(child, child);
    int status;
    EQ("wait for a process group", waitpid(-child, &status, 0), child);
    EQ("status", WEXITSTATUS(status), 3);
    int fd = -1;
    child = fork();
    if (child == 0)
        _exit(9);
    fd = (int)syscall(SYS_pidfd_open, child, 0);
    OK("pidfd_open", fd >= 0);
    siginfo_t info = {0};
    EQ("waitid P_PIDFD", waitid(3, (id_t)fd, &info, WEXITED), 0);
    EQ("its status", info.si_status, 9);
    close(fd);
    child = fork();
    if (child == 0)
        for (;;)
            pause();
    fd = (int)syscall(SYS_pidfd_open, child, 0);
    EQ("pidfd_send_signal", syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0), 0);
    waitpid(child, &status, 0);
    EQ("killed through its pidfd", WTERMSIG(status), SIGTERM);
    close(fd);
}

/* The parent of an orphan is init or a subreaper, never the process that is gone. */
static void test_orphan(void)
{
    int tube[2];
    MUST(pipe(tube));
    pid_t child = fork();
    if (child == 0) {
        pid_t me = getpid();
        if (fork() == 0) {
            while (getppid() == me)
                sleep_ms(2);
            _exit(write(tube[1], "o", 1) == 1 ? 0 : 1);
        }
        _exit(0);
    }
    close(tube[1]);
    waitpid(child, NULL, 0);
    char c = 0;
    EQ("the orphan lives on", read(tube[0], &c, 1), 1);
    EQ("and ends", read(tube[0], &c, 1), 0);
}

int main(void)
{
    test_statuses();
    test_sigchld();
    test_automatic();
    test_groups();
    test_orphan();
    return test_end();
}
