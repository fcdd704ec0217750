#include "vm/userns.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

/* Ids of the caller, and the range of further ids that belong to him (count 0: none). */
struct id_range {
    unsigned own;
    uint64_t first, count;
};

/* The user's name in /etc/passwd, read directly: a static program cannot load name service modules. */
static bool user_name(unsigned uid, char *name, size_t size)
{
    FILE *file = fopen("/etc/passwd", "re");
    char line[1024];
    bool found = false;
    while (file && !found && fgets(line, sizeof(line), file)) {
        char *save = NULL;
        const char *login = strtok_r(line, ":", &save);
        strtok_r(NULL, ":", &save);
        const char *id = strtok_r(NULL, ":", &save);
        if (login && id && strtoul(id, NULL, 10) == uid)
            found = (size_t)snprintf(name, size, "%s", login) < size;
    }
    if (file)
        fclose(file);
    return found;
}

/* The first range that /etc/subuid or /etc/subgid gives to the user, by name or by number. */
static struct id_range read_range(const char *path, const char *user, unsigned uid, unsigned own)
{
    struct id_range range = {.own = own};
    FILE *file = fopen(path, "re");
    char line[1024], number[16];
    snprintf(number, sizeof(number), "%u", uid);
    while (file && range.count == 0 && fgets(line, sizeof(line), file)) {
        char *save = NULL;
        const char *owner = strtok_r(line, ":", &save);
        const char *first = strtok_r(NULL, ":", &save);
        const char *count = strtok_r(NULL, ":\n", &save);
        if (!count || (strcmp(owner, user) != 0 && strcmp(owner, number) != 0))
            continue;
        range.first = strtoull(first, NULL, 10);
        range.count = strtoull(count, NULL, 10);
    }
    if (file)
        fclose(file);
    return range;
}

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    int error = errno;
    close(fd);
    errno = error;
    return written;
}

/* Runs newuidmap or newgidmap, which may map ids that are not the caller's own. */
static bool run_idmap(const char *tool, int pid, const struct id_range *range)
{
    char target[16], own[16], first[24], count[24];
    snprintf(target, sizeof(target), "%d", pid);
    snprintf(own, sizeof(own), "%u", range->own);
    snprintf(first, sizeof(first), "%llu", (unsigned long long)range->first);
    snprintf(count, sizeof(count), "%llu", (unsigned long long)range->count);
    int child = fork();
    if (child == 0) {
        char *argv[] = {(char *)tool, target, "0", own, "1", "1", first, count, NULL};
        int null = open("/dev/null", O_RDWR);
        if (null >= 0) {
            dup2(null, STDOUT_FILENO);
            dup2(null, STDERR_FILENO); /* refusal is not an error here: one id is mapped then */
        }
        execvp(tool, argv);
        _exit(127);
    }
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* Real root that may not make a mount namespace, as in some containers: every id stays what it is. */
static bool map_all(int pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
    if (!write_file(path, "0 0 4294967295"))
        return false;
    snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
    return write_file(path, "0 0 4294967295");
}

/* A process outside the new namespace that fills its maps once told to: inside, there is no right to do it. */
struct mapper {
    int pid;
    int tell; /* write end of a pipe */
};

static void mapper_start(struct mapper *mapper, const struct id_range *uids, const struct id_range *gids)
{
    int pipe_fds[2], target = getpid();
    mapper->pid = -1;
    if (pipe2(pipe_fds, O_CLOEXEC))
        return;
    mapper->tell = pipe_fds[1];
    mapper->pid = fork();
    if (mapper->pid == 0) {
        char go;
        close(pipe_fds[1]);
        if (read(pipe_fds[0], &go, 1) != 1)
            _exit(1);
        bool mapped = uids->own == 0
                          ? map_all(target)
                          : run_idmap("newuidmap", target, uids) && run_idmap("newgidmap", target, gids);
        _exit(mapped ? 0 : 1);
    }
    close(pipe_fds[0]);
    if (mapper->pid < 0)
        close(mapper->tell);
}

static bool mapper_finish(const struct mapper *mapper, bool map)
{
    int status = -1;
    if (mapper->pid < 0)
        return false;
    if (map && write(mapper->tell, "g", 1) != 1)
        map = false;
    close(mapper->tell);
    waitpid(mapper->pid, &status, 0);
    return map && status == 0;
}

static int map_own(unsigned uid, unsigned gid, struct guise_error *err)
{
    char map[32];
    snprintf(map, sizeof(map), "0 %u 1", uid);
    if (!write_file("/proc/self/uid_map", map))
        return error_set_errno(err, GUISE_E_SYSTEM, errno, "cannot map the user id in a user namespace");
    snprintf(map, sizeof(map), "0 %u 1", gid);
    if (!write_file("/proc/self/setgroups", "deny") || !write_file("/proc/self/gid_map", map))
        return error_set_errno(err, GUISE_E_SYSTEM, errno, "cannot map the group id in a user namespace");
    return 0;
}

/* True if /etc/subuid and /etc/subgid have ranges for the caller and the tools that map them are there. */
static bool find_ranges(struct id_range *uids, struct id_range *gids)
{
    char name[256];
    if (access("/usr/bin/newuidmap", X_OK) || access("/usr/bin/newgidmap", X_OK))
        return false;
    if (!user_name(uids->own, name, sizeof(name)))
        snprintf(name, sizeof(name), "%u", uids->own);
    *uids = read_range("/etc/subuid", name, uids->own, uids->own);
    *gids = read_range("/etc/subgid", name, uids->own, gids->own);
    return uids->count && gids->count;
}

static int enter_user_namespace(bool *single_id, struct guise_error *err)
{
    struct id_range uids = {.own = geteuid()}, gids = {.own = getegid()};
    struct mapper mapper = {.pid = -1};
    if (uids.own == 0 || find_ranges(&uids, &gids))
        mapper_start(&mapper, &uids, &gids);
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS)) {
        int error = errno;
        mapper_finish(&mapper, false);
        return error_set_errno(err, GUISE_E_SYSTEM, error,
                               "cannot make a user namespace (see the sysctls user.max_user_namespaces and "
                               "kernel.unprivileged_userns_clone)");
    }
    if (mapper_finish(&mapper, true))
        return 0;
    *single_id = true;
    return map_own(uids.own, gids.own, err);
}

int userns_enter(bool *single_id, struct guise_error *err)
{
    *single_id = false;
    if (geteuid() != 0 || unshare(CLONE_NEWNS)) {
        int r = enter_user_namespace(single_id, err);
        if (r)
            return r;
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return error_set_errno(err, GUISE_E_SYSTEM, errno,
                               "cannot use a mount namespace of its own (a security module may forbid it)");
    return 0;
}
