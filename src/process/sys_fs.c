/* What files are: stat, access, readlink, chown; what is in directories. */
#include "process/guest_abi.h"
#include "process/own_fds.h"
#include "process/procfs.h"
#include "process/serve.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int existing_path_from_guest(const struct thread *t, int dirfd, char *path, uint64_t gva)
{
    struct process *p = t->process;
    int error = path_from_guest(t, path, gva);
    if (error)
        return error;
    char target[PATH_SIZE];
    if (procfs_follow(p, dirfd, path, target))
        strcpy(path, target);
    else if (p->sysroot_fd >= 0)
        path_resolve(p, path);
    return 0;
}

/* A call about a file, made by lookup_file() for the path (NULL: none was given). */
struct lookup {
    struct thread *t;
    const struct sysargs *args;
    void *result; /* where the host puts what it finds */
};

typedef int64_t lookup_fn(const struct lookup *l, const char *path);

/* Makes a call about the file that args->a[0] and a[1] name. A link itself is looked for on the host first: what a
 * sysroot has is known by the files that its links lead to. */
static int64_t lookup_file(const struct lookup *l, lookup_fn *call, bool follow)
{
    const struct process *p = l->t->process;
    int dirfd = (int)l->args->a[0];
    char path[PATH_SIZE];
    int error = follow ? existing_path_from_guest(l->t, dirfd, path, l->args->a[1])
                       : path_from_guest(l->t, path, l->args->a[1]);
    if (error)
        return error;
    int64_t result = call(l, path);
    if (result != -ENOENT || follow || p->sysroot_fd < 0)
        return result;
    path_resolve(p, path);
    return call(l, path);
}

/* ---- access ---- */

static int64_t access_file(const struct lookup *l, const char *path)
{
    return host_call(l->t, SYS_faccessat, (int)l->args->a[0], path, l->args->a[2]);
}

int64_t call_faccessat(struct thread *t, const struct sysargs *args)
{
    return lookup_file(&(struct lookup){t, args, NULL}, access_file, true);
}

static int64_t access_file2(const struct lookup *l, const char *path)
{
    return host_call(l->t, SYS_faccessat2, (int)l->args->a[0], path, l->args->a[2], l->args->a[3]);
}

int64_t call_faccessat2(struct thread *t, const struct sysargs *args)
{
    return lookup_file(&(struct lookup){t, args, NULL}, access_file2, !(args->a[3] & AT_SYMLINK_NOFOLLOW));
}

/* ---- stat ---- */

static int64_t put_stat(struct thread *t, uint64_t gva, const struct stat *host)
{
    struct guest_stat guest = guest_stat(host);
    return copy_to_guest(t, gva, &guest, sizeof guest);
}

static int64_t stat_file(const struct lookup *l, const char *path)
{
    return host_call(l->t, SYS_newfstatat, (int)l->args->a[0], path, l->result, (int)l->args->a[3]);
}

/* Linux takes a NULL path for an empty one since 6.11, where AT_EMPTY_PATH allows that. */
static bool no_path(uint64_t path, uint64_t flags)
{
    return !path && flags & AT_EMPTY_PATH;
}

int64_t call_newfstatat(struct thread *t, const struct sysargs *args)
{
    struct stat host;
    const struct lookup l = {t, args, &host};
    int64_t result = no_path(args->a[1], args->a[3])
                         ? stat_file(&l, "")
                         : lookup_file(&l, stat_file, !(args->a[3] & AT_SYMLINK_NOFOLLOW));
    return result ? result : put_stat(t, args->a[2], &host);
}

int64_t call_fstat(struct thread *t, const struct sysargs *args)
{
    struct stat host;
    int64_t result = host_call(t, SYS_fstat, (int)args->a[0], &host);
    return result ? result : put_stat(t, args->a[1], &host);
}

static int64_t statx_file(const struct lookup *l, const char *path)
{
    return host_call(l->t, SYS_statx, (int)l->args->a[0], path, (int)l->args->a[2], l->args->a[3], l->result);
}

int64_t call_statx(struct thread *t, const struct sysargs *args)
{
    const struct lookup l = {t, args, guest_pointer(t, args->a[4], sizeof(struct statx))};
    if (no_path(args->a[1], args->a[2]))
        return statx_file(&l, "");
    return lookup_file(&l, statx_file, !(args->a[2] & AT_SYMLINK_NOFOLLOW));
}

/* ---- readlink ---- */

static int64_t read_link(const struct lookup *l, const char *path)
{
    return host_call(l->t, SYS_readlinkat, (int)l->args->a[0], path, l->result, (int)l->args->a[3]);
}

int64_t call_readlinkat(struct thread *t, const struct sysargs *args)
{
    char path[PATH_SIZE], target[PATH_SIZE];
    int size = (int)args->a[3];
    if (size <= 0)
        return -EINVAL;
    int error = path_from_guest(t, path, args->a[1]);
    if (error)
        return error;
    int64_t length;
    if (!procfs_readlink(t->process, (int)args->a[0], path, target, MIN((size_t)size, sizeof target),
                         &length))
        return lookup_file(&(struct lookup){t, args, guest_pointer(t, args->a[2], (uint64_t)size)}, read_link,
                           false);
    if (length > 0 && copy_to_guest(t, args->a[2], target, (size_t)length))
        return -EFAULT;
    return length;
}

/* ---- chown ---- */

/* Inside a user namespace with one id, the others do not exist: giving them a file succeeds without effect. */
static int64_t forgive_owner(const struct thread *t, int64_t result)
{
    return t->process->config->fake_ids && (result == -EINVAL || result == -EPERM) ? 0 : result;
}

int64_t call_fchownat(struct thread *t, const struct sysargs *args)
{
    return forgive_owner(t, host_call(t, SYS_fchownat, (int)args->a[0], guest_pointer(t, args->a[1], 1),
                                      args->a[2], args->a[3], (int)args->a[4]));
}

int64_t call_fchown(struct thread *t, const struct sysargs *args)
{
    return forgive_owner(t, host_call(t, SYS_fchown, (int)args->a[0], args->a[1], args->a[2]));
}

/* ---- Directories ---- */

/* Takes the monitor's descriptors out of directory entries. Returns how many bytes are left. */
static size_t drop_own_fds(const struct process *p, char *entries, size_t size)
{
    size_t kept = 0;
    for (size_t at = 0, length; at < size; at += length) {
        const struct dirent64 *entry = (const struct dirent64 *)(entries + at);
        length = entry->d_reclen;
        if (isdigit((unsigned char)entry->d_name[0]) && own_fd(p, atoi(entry->d_name)))
            continue;
        memmove(entries + kept, entry, length);
        kept += length;
    }
    return kept;
}

/* No entries at all would mean the end of the directory. */
static int64_t list_own_fds(struct thread *t, int fd, uint64_t gva, uint32_t size)
{
    _Alignas(struct dirent64) char entries[4096];
    int64_t result;
    size_t kept = 0;
    do {
        result = host_call(t, SYS_getdents64, fd, entries, MIN(size, sizeof entries));
        if (result > 0)
            kept = drop_own_fds(t->process, entries, (size_t)result);
    } while (result > 0 && !kept);
    if (result <= 0)
        return result;
    return copy_to_guest(t, gva, entries, kept) ? -EFAULT : (int64_t)kept;
}

static int64_t list_directory(struct thread *t, int fd, uint64_t gva, uint32_t size)
{
    return host_call(t, SYS_getdents64, fd, guest_pointer(t, gva, size), size);
}

static int64_t list_threads(struct thread *t, int fd, uint64_t gva, uint32_t size)
{
    process_pause_own_thread(t->process);
    int64_t result = list_directory(t, fd, gva, size);
    process_resume_own_thread(t->process);
    return result;
}

int64_t call_getdents64(struct thread *t, const struct sysargs *args)
{
    int fd = (int)args->a[0];
    uint32_t size = (uint32_t)args->a[2];
    switch (procfs_lists(fd)) {
    case PROCFS_LISTS_FDS: return list_own_fds(t, fd, args->a[1], size);
    case PROCFS_LISTS_THREADS: return list_threads(t, fd, args->a[1], size);
    case PROCFS_LISTS_NOTHING: break;
    }
    return list_directory(t, fd, args->a[1], size);
}
