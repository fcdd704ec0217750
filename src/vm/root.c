#include "vm/root.h"

#include "base/error.h"
#include "base/util.h"
#include "vm/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define AT_TREE_RECURSIVE 0x8000 /* AT_RECURSIVE of <linux/fcntl.h>, which does not go with <fcntl.h> */

/* A mount of the host, cloned while its path can still be named, to be put into the root. */
struct shown {
    int tree; /* from open_tree(), -1: nothing to show */
    const char *source, *target;
    char *copy;    /* owned: the text that source and target point into */
    bool required; /* asked for by the user: a missing mount point is made, a failure is an error */
    bool directory;
};

#define RESOLV_CONF "/etc/resolv.conf"

static const char *const usual[] = {"/proc", "/sys", "/dev", RESOLV_CONF};

static int clone_tree(const char *path)
{
    return open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_TREE_RECURSIVE);
}

/* The host's file is for reading: what root in the guest configures is not the host's network. */
static int clone_usual(const char *path)
{
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
    int fd = clone_tree(path);
    if (fd >= 0 && strcmp(path, RESOLV_CONF) == 0 &&
        mount_setattr(fd, "", AT_EMPTY_PATH, &read_only, sizeof(read_only))) {
        close(fd);
        return -1;
    }
    return fd;
}

static int shown_bind(struct shown *shown, const char *bind, struct guise_error *err)
{
    struct stat st;
    shown->copy = strdup(bind);
    if (!shown->copy)
        return error_set(err, GUISE_E_NOMEM, "out of memory");
    char *colon = strchr(shown->copy, ':');
    if (colon)
        *colon = '\0';
    shown->source = shown->copy;
    shown->target = colon ? colon + 1 : shown->copy;
    shown->required = true;
    if (shown->target[0] != '/')
        return error_set(err, GUISE_E_CONFIG, "--bind %s: the path inside the root must begin with /", bind);
    if (stat(shown->source, &st))
        return error_set_errno(err, GUISE_E_NOTFOUND, errno, "--bind %s", shown->source);
    shown->directory = S_ISDIR(st.st_mode);
    shown->tree = clone_tree(shown->source);
    if (shown->tree < 0)
        return error_set_errno(err, GUISE_E_SYSTEM, errno, "--bind %s: it cannot be shown elsewhere",
                               shown->source);
    return 0;
}

/* Makes the parents of `path`, an absolute path inside the root we are in. */
static int make_parents(const char *path)
{
    char *copy = strdup(path);
    int r = copy ? 0 : -1;
    for (char *at = copy ? strchr(copy + 1, '/') : NULL; at && r == 0; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(copy, 0755) && errno != EEXIST)
            r = -1;
        *at = '/';
    }
    free(copy);
    return r;
}

static int make_mount_point(const struct shown *shown)
{
    if (access(shown->target, F_OK) == 0)
        return 0;
    if (make_parents(shown->target))
        return -1;
    if (shown->directory)
        return mkdir(shown->target, 0755);
    int fd = open(shown->target, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    return fd < 0 ? -1 : close(fd);
}

/* Called inside the root, so that no symbolic link in it can lead the mount out. */
static int shown_attach(const struct shown *shown, struct guise_error *err)
{
    if (shown->tree < 0)
        return 0;
    if (shown->required && make_mount_point(shown))
        return error_set_errno(err, GUISE_E_SYSTEM, errno, "--bind: cannot make %s in the root",
                               shown->target);
    int r =
        move_mount(shown->tree, "", AT_FDCWD, shown->target, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS);
    if (r && shown->required)
        return error_set_errno(err, GUISE_E_SYSTEM, errno, "--bind %s: cannot be shown at %s", shown->source,
                               shown->target);
    return 0;
}

static void shown_release(struct shown *shown, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (shown[i].tree >= 0)
            close(shown[i].tree);
        free(shown[i].copy);
    }
    free(shown);
}

/* The process's root becomes `directory`. pivot_root() leaves nothing of the old root behind, and user namespaces can
 * still be made inside; where it is impossible (we are in a chroot already), chroot() does. */
static int change_root(const char *directory, struct guise_error *err)
{
    if (mount(directory, directory, NULL, MS_BIND | MS_REC, NULL) || chdir(directory))
        return error_set_errno(err, GUISE_E_SYSTEM, errno, "cannot use %s as root directory", directory);
    if (syscall(SYS_pivot_root, ".", ".") == 0) {
        if (umount2(".", MNT_DETACH))
            return error_set_errno(err, GUISE_E_SYSTEM, errno, "cannot leave the host's root directory");
    } else if (chroot(".")) {
        return error_set_errno(err, GUISE_E_SYSTEM, errno, "cannot change the root directory to %s",
                               directory);
    }
    return chdir("/") ? error_set_errno(err, GUISE_E_SYSTEM, errno, "cannot enter the root directory") : 0;
}

static int enter(const struct root_spec *spec, struct shown *shown, size_t count, struct guise_error *err)
{
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
        shown[i] = (struct shown){.tree = clone_usual(usual[i]), .source = usual[i], .target = usual[i]};
    for (size_t i = ARRAY_SIZE(usual); i < count; i++) {
        r = shown_bind(&shown[i], spec->binds[i - ARRAY_SIZE(usual)], err);
        if (r)
            return r;
    }
    r = change_root(spec->directory, err);
    for (size_t i = 0; i < count && r == 0; i++)
        r = shown_attach(&shown[i], err);
    return r;
}

int root_enter(const struct root_spec *spec, bool *single_id, struct guise_error *err)
{
    int r = userns_enter(single_id, err);
    if (r)
        return r;
    size_t count = ARRAY_SIZE(usual);
    for (char *const *bind = spec->binds; bind && *bind; bind++)
        count++;
    struct shown *shown = calloc(count, sizeof(*shown));
    if (!shown)
        return error_set(err, GUISE_E_NOMEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        shown[i].tree = -1;
    r = enter(spec, shown, count, err);
    shown_release(shown, count);
    return r;
}

void root_hold_mounts(void)
{
    static const char *const held[] = {"/proc", "/sys", "/dev", "/dev/pts", "/dev/shm"};
    for (size_t i = 0; i < ARRAY_SIZE(held); i++) {
        int fd = open(held[i], O_PATH | O_CLOEXEC);
        if (fd >= 0 && fcntl(fd, F_DUPFD_CLOEXEC, 512) >= 0)
            close(fd);
    }
}
