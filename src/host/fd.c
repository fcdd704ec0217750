#include "host/fd.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

int host_fd_copy_up(int fd)
{
    struct rlimit limit;
    int floor = 1000; /* below 1024 the kernel's table stays one page */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 1024)
        floor = limit.rlim_cur > 32 ? (int)limit.rlim_cur - 16 : 3;
    return fcntl(fd, F_DUPFD_CLOEXEC, floor);
}

int host_fd_move_up(int fd)
{
    int moved = host_fd_copy_up(fd);
    if (moved < 0)
        return fd;
    close(fd);
    return moved;
}
