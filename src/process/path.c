#include "process/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int path_open_in_root(int root_fd, const char *path, int flags)
{
    struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC), .resolve = RESOLVE_IN_ROOT};
    long fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
    if (fd < 0 && errno == ENOSYS) { /* before Linux 5.6: absolute symbolic links are not followed inside */
        path += strspn(path, "/");
        fd = openat(root_fd, *path ? path : ".", flags | O_CLOEXEC);
    }
    return fd < 0 ? -errno : (int)fd;
}

bool path_of_fd(int fd, char path[PATH_SIZE])
{
    char link[32];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_SIZE - 1);
    path[length > 0 ? length : 0] = 0;
    return length > 0;
}

void path_resolve(const struct process *p, char *path)
{
    char real[PATH_SIZE];
    if (p->sysroot_fd < 0 || *path != '/')
        return;
    int fd = path_open_in_root(p->sysroot_fd, path, O_PATH);
    if (fd < 0)
        return;
    bool known = path_of_fd(fd, real);
    close(fd);
    /* A link to nowhere in particular (a file that was just removed) is not a path. */
    if (known && *real == '/' && !access(real, F_OK))
        strcpy(path, real);
}
