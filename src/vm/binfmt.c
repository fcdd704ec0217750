/* Registers Guise with binfmt_misc, so that the host's kernel runs riscv64 programs by itself.
 *
 * Flags: F opens the interpreter now, so that it works in other roots and mount namespaces; P hands down argv[0]. O and C
 * are left out on purpose: with them a riscv64 program's set-user-id bit would make the whole monitor run with rights
 * that it does not need.
 * Source: Linux Documentation/admin-guide/binfmt-misc.rst; binfmt.d(5). */
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <guise.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME      "guise-riscv64"
#define CONF_DIR  "/etc/binfmt.d"
#define CONF_FILE CONF_DIR "/" NAME ".conf"
#define MISC_DIR  "/proc/sys/fs/binfmt_misc"
#define FLAGS     "PF"

/* The first 20 bytes of a 64-bit little-endian ELF file for RISC-V: any OS ABI, an executable or a shared object. */
#define MAGIC "\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xf3\\x00"
#define MASK \
    "\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff"

/* The name by which the kernel starts the monitor: guise-binfmt, beside the command. */
static int interpreter_path(const char *monitor, char path[PATH_MAX], struct guise_error *err)
{
    if (!realpath(monitor, path))
        return error_set_errno(err, GUISE_E_NOTFOUND, errno, "cannot find the guise command %s", monitor);
    char *slash = strrchr(path, '/');
    size_t room = PATH_MAX - (size_t)(slash + 1 - path);
    if (strlen("guise-binfmt") >= room || strchr(path, ':'))
        return error_set(err, GUISE_E_UNSUPPORTED, "binfmt_misc cannot name the path %s", path);
    strcpy(slash + 1, "guise-binfmt");
    return 0;
}

static int registration(const char *monitor, char *line, size_t size, struct guise_error *err)
{
    char path[PATH_MAX];
    int r = interpreter_path(monitor, path, err);
    if (r)
        return r;
    int n = snprintf(line, size, ":%s:M::%s:%s:%s:%s", NAME, MAGIC, MASK, path, FLAGS);
    /* The kernel takes no longer a line than this. */
    return n < 1920 && (size_t)n < size
               ? 0
               : error_set(err, GUISE_E_UNSUPPORTED, "the path %s is too long", path);
}

/* `flags` are added to those of open(). */
static int write_text(const char *path, const char *text, int flags, struct guise_error *err)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (n == (ssize_t)strlen(text))
        return 0;
    bool rights = error == EACCES || error == EPERM;
    return error_set_errno(err, GUISE_E_SYSTEM, error, "cannot write %s%s", path,
                           rights ? " (are you root?)" : "");
}

static bool misc_mounted(void)
{
    return access(MISC_DIR "/register", F_OK) == 0;
}

/* Undoes a registration with the running kernel; there may be none. */
static int unregister(struct guise_error *err)
{
    if (access(MISC_DIR "/" NAME, F_OK))
        return 0;
    return write_text(MISC_DIR "/" NAME, "-1", 0, err);
}

static int make_link(const char *monitor, FILE *report, struct guise_error *err)
{
    char path[PATH_MAX], program[PATH_MAX];
    int r = interpreter_path(monitor, path, err);
    if (r || access(path, X_OK) == 0)
        return r;
    if (!realpath(monitor, program) || symlink(strrchr(program, '/') + 1, path))
        return error_set_errno(err, GUISE_E_IO, errno, "cannot make the link %s", path);
    fprintf(report, "made %s\n", path);
    return 0;
}

int guise_binfmt_print(const char *monitor, FILE *out, struct guise_error *err)
{
    char line[8192];
    int r = registration(monitor, line, sizeof(line), err);
    if (r == 0 && fprintf(out, "%s\n", line) < 0)
        r = error_set_errno(err, GUISE_E_IO, errno, "cannot write");
    return r;
}

int guise_binfmt_install(const char *monitor, FILE *report, struct guise_error *err)
{
    char line[8192], file[8192 + 128];
    int r = registration(monitor, line, sizeof(line), err);
    if (r)
        return r;
    snprintf(file, sizeof(file),
             "# riscv64 programs are run by Guise (guise binfmt --remove undoes this)\n%s\n", line);
    if (mkdir(CONF_DIR, 0755) && errno != EEXIST)
        return error_set_errno(err, GUISE_E_SYSTEM, errno, "cannot make %s (are you root?)", CONF_DIR);
    r = write_text(CONF_FILE, file, O_CREAT | O_TRUNC, err);
    if (r == 0)
        r = make_link(monitor, report, err);
    if (r)
        return r;
    fprintf(report, "wrote %s\n", CONF_FILE);
    if (!misc_mounted())
        return error_set(
            err, GUISE_E_SYSTEM,
            "the kernel has no binfmt_misc now: mount -t binfmt_misc binfmt_misc %s, then try again",
            MISC_DIR);
    r = unregister(err);
    if (r == 0)
        r = write_text(MISC_DIR "/register", line, 0, err);
    if (r == 0)
        fprintf(report, "registered %s with the kernel\n", NAME);
    return r;
}

int guise_binfmt_remove(FILE *report, struct guise_error *err)
{
    bool registered = access(MISC_DIR "/" NAME, F_OK) == 0;
    int r = unregister(err);
    if (r)
        return r;
    if (registered)
        fprintf(report, "removed %s from the kernel\n", NAME);
    if (unlink(CONF_FILE) == 0)
        fprintf(report, "removed %s\n", CONF_FILE);
    else if (errno != ENOENT)
        return error_set_errno(err, GUISE_E_SYSTEM, errno, "cannot remove %s (are you root?)", CONF_FILE);
    else if (!registered)
        fprintf(report, "nothing is registered\n");
    return 0;
}
