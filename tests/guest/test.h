/* What every guest test is made of.
 *
 * A test prints one line for each fact it checks: "ok FACT", or "BAD FACT: ..." with what it saw. The runner compares
 * these lines with a reference run, so the first line that differs names what broke. Each line is one write(2): it
 * survives fork, and nothing is lost when a program dies by a signal. Only one thread at a time may check facts. */
#ifndef GUEST_TEST_H
#define GUEST_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int test_failures;
static int test_facts;

__attribute__((format(printf, 1, 2), unused)) static void say(const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    if (n > (int)sizeof line - 2)
        n = (int)sizeof line - 2;
    line[n++] = '\n';
    if (write(1, line, (size_t)n) != n)
        _exit(99);
}

__attribute__((unused)) static const char *errno_name(int error)
{
    const char *name = strerrorname_np(error);
    return name ? name : "?";
}

__attribute__((unused)) static bool check_true(const char *what, bool holds)
{
    test_facts++;
    if (!holds)
        test_failures++;
    say("%s %s", holds ? "ok" : "BAD", what);
    return holds;
}

__attribute__((unused)) static bool check_equal(const char *what, long got, long want)
{
    if (got == want)
        return check_true(what, true);
    test_facts++;
    test_failures++;
    say("BAD %s: got %ld (%#lx), want %ld (%#lx)", what, got, (unsigned long)got, want, (unsigned long)want);
    return false;
}

__attribute__((unused)) static bool check_error(const char *what, long result, int error, int want)
{
    if (result == -1 && error == want)
        return check_true(what, true);
    test_facts++;
    test_failures++;
    say("BAD %s: returned %ld %s, want -1 %s", what, result, result == -1 ? errno_name(error) : "",
        errno_name(want));
    return false;
}

/* Facts that the test cannot go on without. */
__attribute__((unused)) static long must_succeed(const char *what, long result)
{
    if (result != -1)
        return result;
    say("BAD %s: %s", what, errno_name(errno));
    exit(98);
}

/* A mistake in a test (or in what runs it) must not become a signal to every process of the machine. */
__attribute__((unused)) static int kill_one(pid_t pid, int signal_number)
{
    if (pid > 1)
        return kill(pid, signal_number);
    say("BAD kill of process %d", pid);
    exit(98);
}
#define kill                 kill_one

#define OK(what, condition)  check_true(what, condition)
#define EQ(what, got, want)  check_equal(what, (long)(got), (long)(want))
#define STR(what, got, want) check_true(what, strcmp(got, want) == 0)
#define ERR(what, call, want)                    \
    do {                                         \
        errno = 0;                               \
        long result_ = (long)(call);             \
        check_error(what, result_, errno, want); \
    } while (0)
#define MUST(call) must_succeed(#call, (long)(call))

/* The last statement of main(). */
__attribute__((unused)) static int test_end(void)
{
    say("%d facts, %d bad", test_facts, test_failures);
    return test_failures != 0;
}

/* Runs `body` in a child process and returns its wait status. */
__attribute__((unused)) static int in_child(void (*body)(void))
{
    pid_t pid = (pid_t)MUST(fork());
    if (pid == 0) {
        body();
        _exit(0);
    }
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* What a shell would call the end of a child: the exit status, or 128 and the signal. */
__attribute__((unused)) static int shell_status(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : WIFSIGNALED(status) ? 128 + WTERMSIG(status) : -1;
}

__attribute__((unused)) static void sleep_ms(long ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

__attribute__((unused)) static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Waits until thread `tid` of process `pid` sleeps in the kernel, so that a signal really interrupts a call. */
__attribute__((unused)) static void wait_asleep(pid_t pid, pid_t tid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", pid, tid);
    for (int i = 0; i < 2000; i++) {
        char text[512] = "";
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return;
        ssize_t n = read(fd, text, sizeof text - 1);
        close(fd);
        const char *end = n > 0 ? strrchr(text, ')') : NULL;
        if (end && end[1] == ' ' && (end[2] == 'S' || end[2] == 'T'))
            break;
        sleep_ms(5);
    }
    sleep_ms(20);
}

__attribute__((unused)) static void handle(int signal_number, void (*handler)(int, siginfo_t *, void *),
                                           int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&action.sa_mask);
    MUST(sigaction(signal_number, &action, NULL));
}

/* A scratch directory that the test works in; removed by leave_scratch(). */
static char scratch_path[256];

__attribute__((unused)) static void enter_scratch(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(scratch_path, sizeof scratch_path, "%s/guest-test-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(scratch_path) || chdir(scratch_path) < 0) {
        say("BAD scratch directory %s: %s", scratch_path, errno_name(errno));
        exit(98);
    }
    umask(022);
}

__attribute__((unused)) static void leave_scratch(void)
{
    char command[300];
    if (chdir("/") < 0)
        return;
    snprintf(command, sizeof command, "rm -rf '%s'", scratch_path);
    if (system(command) != 0)
        say("BAD cannot remove %s", scratch_path);
}

#endif
