/* Descriptors: open, close, fcntl. */
#include "process/own_fds.h"
#include "process/procfs.h"
#include "process/serve.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <unistd.h>

/* Commands that libc's header does not have. */
#define FCNTL_GETOWNER_UIDS 17
#define FCNTL_DUPFD_QUERY   1027
#define FCNTL_CREATED_QUERY 1028
#define FCNTL_CANCELLK      1029

/* ---- Opening ---- */

/* The path of a file to be opened becomes the one to hand to the host. */
static void find_target(struct process *p, int dirfd, char *path, uint64_t flags)
{
    char target[PATH_SIZE];
    if (!(flags & O_NOFOLLOW) && procfs_follow(p, dirfd, path, target))
        strcpy(path, target);
    else if (p->sysroot_fd >= 0 && !(flags & O_CREAT))
        path_resolve(p, path);
}

int64_t call_openat(struct thread *t, const struct sysargs *args)
{
    char path[PATH_SIZE];
    int dirfd = (int)args->a[0];
    int error = path_from_guest(t, path, args->a[1]);
    if (error)
        return error;
    int64_t result;
    if (procfs_open(t->process, dirfd, path, (int)args->a[2], &result))
        return result;
    find_target(t->process, dirfd, path, args->a[2]);
    return host_call(t, SYS_openat, dirfd, path, args->a[2], args->a[3]);
}

int64_t call_openat2(struct thread *t, const struct sysargs *args)
{
    char path[PATH_SIZE];
    struct open_how how;
    int dirfd = (int)args->a[0];
    if (args->a[3] < sizeof how)
        return -EINVAL;
    if (args->a[3] > MM_PAGE)
        return -E2BIG;
    if (copy_from_guest(t, &how, args->a[2], sizeof how))
        return -EFAULT;
    int error = path_from_guest(t, path, args->a[1]);
    if (error)
        return error;
    int64_t result;
    if (!how.resolve && procfs_open(t->process, dirfd, path, (int)how.flags, &result))
        return result;
    if (!how.resolve)
        find_target(t->process, dirfd, path, how.flags);
    return host_call(t, SYS_openat2, dirfd, path, guest_pointer(t, args->a[2], args->a[3]), args->a[3]);
}

/* ---- Closing ---- */

int64_t call_close(struct thread *t, const struct sysargs *args)
{
    (void)t;
    int64_t result = host_call_now(SYS_close, (int)args->a[0]);
    /* The descriptor is gone even so, and doing it anew might close another thread's. */
    return result == -EINTR ? 0 : result;
}

int64_t call_close_range(struct thread *t, const struct sysargs *args)
{
    uint64_t first = (uint32_t)args->a[0], last = (uint32_t)args->a[1];
    int64_t own, result = first > last ? -EINVAL : 0;
    while (!result && (own = own_fd_between(t->process, first, last)) >= 0) {
        if ((uint64_t)own > first)
            result = host_call_now(SYS_close_range, first, own - 1, args->a[2]);
        first = (uint64_t)own + 1;
    }
    if (result || first > last)
        return result;
    return host_call_now(SYS_close_range, first, last, args->a[2]);
}

/* ---- fcntl ---- */

/* The size of what the argument of a command points to, 0 when it is a value, -1 when the command is not known. */
static int fcntl_size(int command)
{
    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
    case F_GETFD:
    case F_SETFD:
    case F_GETFL:
    case F_SETFL:
    case F_GETOWN:
    case F_SETOWN:
    case F_GETSIG:
    case F_SETSIG:
    case F_GETLEASE:
    case F_SETLEASE:
    case F_NOTIFY:
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ:
    case F_ADD_SEALS:
    case F_GET_SEALS:
    case FCNTL_DUPFD_QUERY:
    case FCNTL_CREATED_QUERY:
    case FCNTL_CANCELLK: return 0;
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW: return sizeof(struct flock);
    case F_GETOWN_EX:
    case F_SETOWN_EX: return sizeof(struct f_owner_ex);
    case F_GET_RW_HINT:
    case F_SET_RW_HINT:
    case F_GET_FILE_RW_HINT:
    case F_SET_FILE_RW_HINT:
    case FCNTL_GETOWNER_UIDS: return 8;
    default: return -1;
    }
}

int64_t call_fcntl(struct thread *t, const struct sysargs *args)
{
    int fd = (int)args->a[0], command = (int)args->a[1], size = fcntl_size(command);
    if (size < 0) {
        int64_t result = host_call_now(SYS_fcntl, fd, F_GETFD);
        return result < 0 ? result : -EINVAL;
    }
    if (!size)
        return host_call(t, SYS_fcntl, fd, command, args->a[2]);
    return host_call(t, SYS_fcntl, fd, command, guest_pointer(t, args->a[2], (uint64_t)size));
}
