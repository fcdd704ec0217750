#include "vm/stage.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

static void ending_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
}

void stage_signals_hold(sigset_t *before)
{
    sigset_t set;
    ending_signals(&set);
    sigprocmask(SIG_BLOCK, &set, before);
}

static _Noreturn void child(const struct stage *stage, int out)
{
    struct guise_error err = {0};
    sigset_t set;
    ending_signals(&set);
    setpgid(0, 0);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0)
        dup2(null, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    if (stage->run(stage->context, &err))
        dprintf(STDERR_FILENO, "%s\n", err.text);
    _exit(125);
}

struct line_reader {
    const struct stage *stage;
    size_t length;
    char text[1024];
};

/* Cuts what came into lines; one that is too long is cut in pieces. */
static void take(struct line_reader *reader, const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] != '\n')
            reader->text[reader->length++] = data[i];
        if (data[i] == '\n' || reader->length + 1 == sizeof(reader->text)) {
            reader->text[reader->length] = '\0';
            reader->length = 0;
            reader->stage->line(reader->stage->line_context, reader->text);
        }
    }
}

/* Reads until every process of the stage has closed its output, or a signal says to stop. True at the end of file. */
static bool follow(const struct stage *stage, int in, int signals)
{
    struct line_reader reader = {.stage = stage};
    struct pollfd fds[] = {{.fd = in, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
    for (;;) {
        char data[4096];
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return false;
        if (fds[1].revents) /* not read: it takes effect when the caller unblocks it */
            return false;
        if (!fds[0].revents)
            continue;
        ssize_t n = read(in, data, sizeof(data));
        if (n == 0)
            return true;
        if (n > 0)
            take(&reader, data, (size_t)n);
    }
}

/* Waits, for a while, until all that the stage started is gone and lets go of the pipe. */
static void drain(int in)
{
    struct pollfd fd = {.fd = in, .events = POLLIN};
    char data[4096];
    while (poll(&fd, 1, 5000) > 0 && read(in, data, sizeof(data)) > 0)
        ;
}

static int supervise(const struct stage *stage, int in, int signals, int pid, struct guise_error *err)
{
    int status = 0;
    bool finished = follow(stage, in, signals);
    if (!finished) {
        kill(-pid, SIGKILL);
        drain(in);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!finished)
        return error_set(err, GUISE_E_SYSTEM, "interrupted");
    return status == 0 ? 0 : GUISE_E_GUEST;
}

int stage_run(const struct stage *stage, struct guise_error *err)
{
    int fds[2];
    sigset_t set;
    ending_signals(&set);
    int signals = signalfd(-1, &set, SFD_CLOEXEC);
    if (signals < 0 || pipe2(fds, O_CLOEXEC)) {
        int error = errno;
        if (signals >= 0)
            close(signals);
        return error_set_errno(err, GUISE_E_SYSTEM, error, "cannot start a process");
    }
    int pid = fork(), error = errno;
    if (pid == 0)
        child(stage, fds[1]);
    close(fds[1]);
    if (pid > 0)
        setpgid(pid, pid);
    int r = pid < 0 ? error_set_errno(err, GUISE_E_SYSTEM, error, "cannot start a process")
                    : supervise(stage, fds[0], signals, pid, err);
    close(fds[0]);
    close(signals);
    return r;
}
