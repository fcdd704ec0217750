#include "process/own_fds.h"

#include "base/util.h"
#include "host/signal.h"
#include "host/syscall.h"
#include "process/serve.h"
#include "process/signal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <time.h>

int64_t own_fd_between(const struct process *p, uint64_t first, uint64_t last)
{
    const int own[] = {p->config->monitor_fd, p->config->report_fd, p->sysroot_fd};
    int64_t lowest = -1;
    for (size_t i = 0; i < ARRAY_SIZE(own); i++)
        if (own[i] >= 0 && (uint64_t)own[i] >= first && (uint64_t)own[i] <= last &&
            (lowest < 0 || own[i] < lowest))
            lowest = own[i];
    return lowest;
}

bool own_fd(const struct process *p, int fd)
{
    return fd >= 0 && (fd == p->config->monitor_fd || fd == p->config->report_fd || fd == p->sysroot_fd);
}

/* The signal is taken back, unless the guest had one waiting. */
void own_fds_report(const struct process *p, const struct iovec *parts, int count)
{
    const uint64_t pipe_bit = SIGNAL_BIT(SIGPIPE);
    const struct timespec at_once = {0};
    uint64_t pending = 0, old = host_sigmask(host_sigmask_now() | pipe_bit);
    host_call_now(SYS_rt_sigpending, &pending, sizeof(pending));
    if (host_call_now(SYS_writev, p->config->report_fd, parts, count) == -EPIPE && !(pending & pipe_bit))
        host_call_now(SYS_rt_sigtimedwait, &pipe_bit, NULL, &at_once, sizeof(pipe_bit));
    host_sigmask(old);
}

void own_fds_inherit(const struct process *p, bool inherit)
{
    const int inherited[] = {p->config->monitor_fd, p->config->report_fd};
    for (size_t i = 0; i < ARRAY_SIZE(inherited); i++)
        if (inherited[i] >= 0)
            fcntl(inherited[i], F_SETFD, inherit ? 0 : FD_CLOEXEC);
}
