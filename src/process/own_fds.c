#include "process/own_fds.h"

#include "base/util.h"

#include <fcntl.h>

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

void own_fds_inherit(const struct process *p, bool inherit)
{
    const int inherited[] = {p->config->monitor_fd, p->config->report_fd};
    for (size_t i = 0; i < ARRAY_SIZE(inherited); i++)
        if (inherited[i] >= 0)
            fcntl(inherited[i], F_SETFD, inherit ? 0 : FD_CLOEXEC);
}
