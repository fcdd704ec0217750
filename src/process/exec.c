/* read path and pointers from the guest -> follow scripts -> check what can be checked -> execveat() of the host:
 *
 *   riscv64 program   guise run OPTIONS [--ids IDS] --argv0 ARGV0 --execfn NAME -- PROGRAM ARG...
 *   anything else     the file itself: the host's kernel runs it or knows the right error
 */
#include "process/exec.h"

#include "base/util.h"
#include "process/ids.h"
#include "process/own_fds.h"
#include "process/program.h"
#include "process/serve.h"
#include "process/signal.h"
#include "process/uaccess.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Pointers alone may take as much as Linux grants to all arguments: three quarters of the usual 8 MiB stack. */
#define MAX_POINTERS ((size_t)(6 << 20) / sizeof(char *))

/* One call of execve(). It is one block, so that the parent of a vfork child can free what its child has left. */
struct execution {
    struct program program;
    char name[PATH_SIZE];        /* as the guest gave it */
    char execfn[PATH_SIZE + 32]; /* AT_EXECFN, and the file that a script's interpreter is told to read */
    char ids[IDS_TEXT];          /* when the guest's are not the host's */
    int passed_fd;               /* without O_CLOEXEC, for a program that has no path; or -1 */
    const char **envp;           /* this and the following point into `pointers` */
    const char **guest_argv;     /* as the guest gave it */
    const char **argv;           /* with what #! lines put in front */
    const char **monitor_argv;   /* runs on into argv */
    const char *pointers[];
};

/* ---- Arguments ---- */

/* The length of an array of strings in guest memory, without its NULL; or -errno. */
static int64_t count_strings(const struct thread *t, uint64_t gva)
{
    uint64_t string = 0;
    for (size_t i = 0; gva && i <= MAX_POINTERS; i++) {
        if (copy_from_guest(t, &string, gva + i * sizeof(string), sizeof(string)))
            return -EFAULT;
        if (!string)
            return (int64_t)i;
    }
    return gva ? -E2BIG : 0;
}

/* The strings stay in guest memory: the host's kernel copies them from there, and says EFAULT and E2BIG itself. */
static int read_strings(const struct thread *t, uint64_t gva, size_t count, const char **to)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t string;
        if (copy_from_guest(t, &string, gva + i * sizeof(string), sizeof(string)))
            return -EFAULT;
        to[i] = guest_pointer(t, string, 1);
    }
    to[count] = NULL;
    return 0;
}

/* What stands before the guest's arguments: the monitor's own and what fill_monitor_argv() adds. */
static size_t monitor_words(const struct process *p)
{
    size_t n = 0;
    while (p->config->monitor_argv[n])
        n++;
    return n + 5 + (p->config->fake_ids ? 2 : 0);
}

/* Takes room for everything: envp, the guest's argv, the monitor's words, argv. */
static int allocate(struct thread *t, uint64_t argv, uint64_t envp, struct execution **out)
{
    int64_t argc = count_strings(t, argv), envc = count_strings(t, envp);
    if (argc < 0 || envc < 0)
        return (int)MIN(argc, envc);
    size_t own = monitor_words(t->process), arguments = (size_t)MAX(argc, 1) + 1;
    size_t words = (size_t)envc + 1 + arguments + own + PROGRAM_PREFIX + arguments;
    struct execution *x = malloc(sizeof(*x) + words * sizeof(x->pointers[0]));
    if (!x)
        return -ENOMEM;
    t->exec_vector = x;
    x->program.fd = x->passed_fd = -1;
    x->envp = x->pointers;
    x->guest_argv = x->envp + envc + 1;
    x->monitor_argv = x->guest_argv + arguments;
    x->argv = x->monitor_argv + own;
    *out = x;
    int error = read_strings(t, envp, (size_t)envc, x->envp);
    if (!error)
        error = read_strings(t, argv, (size_t)argc, x->guest_argv);
    if (!error && !argc) { /* Linux lets no program start without a name */
        x->guest_argv[0] = "";
        x->guest_argv[1] = NULL;
    }
    return error;
}

/* ---- Names ---- */

static bool is_relative_to_fd(int dirfd, const char *name)
{
    return dirfd != AT_FDCWD && *name != '/';
}

/* As Linux names a file that was found through a descriptor. */
static void name_file(struct execution *x, int dirfd)
{
    if (!is_relative_to_fd(dirfd, x->name))
        snprintf(x->execfn, sizeof(x->execfn), "%s", x->name);
    else if (!*x->name)
        snprintf(x->execfn, sizeof(x->execfn), "/dev/fd/%d", dirfd);
    else
        snprintf(x->execfn, sizeof(x->execfn), "/dev/fd/%d/%s", dirfd, x->name);
}

/* Stores where the file really is in `path`, PATH_SIZE bytes. */
static int find_names(struct thread *t, struct execution *x, int dirfd, uint64_t path, uint64_t flags,
                      char *real)
{
    int error = path_from_guest(t, x->name, path);
    if (!error)
        error = existing_path_from_guest(t, dirfd, real, path);
    if (error)
        return error;
    if (!*x->name && !(flags & AT_EMPTY_PATH))
        return -ENOENT;
    name_file(x, dirfd);
    return 0;
}

/* A script that was found through a descriptor which execve() closes cannot be read by its interpreter. */
static bool script_is_lost(const struct execution *x, int dirfd)
{
    return x->program.depth && is_relative_to_fd(dirfd, x->name) && (fcntl(dirfd, F_GETFD) & FD_CLOEXEC);
}

/* ---- The last step ---- */

/* The monitor is told of a program without a path by a descriptor that it closes (program_open_passed()). */
static int pass_fd(struct execution *x, int dirfd)
{
    if (x->program.depth || !is_relative_to_fd(dirfd, x->name))
        return 0;
    x->passed_fd = fcntl(x->program.fd, F_DUPFD, 0);
    if (x->passed_fd < 0)
        return -errno;
    snprintf(x->program.path, sizeof(x->program.path), PROGRAM_PASSED, x->passed_fd);
    return 0;
}

static void fill_monitor_argv(struct process *p, struct execution *x)
{
    const char **to = x->monitor_argv;
    for (char **from = p->config->monitor_argv; *from; from++)
        *to++ = *from;
    if (p->config->fake_ids) {
        ids_print(p, x->program.fd, x->ids);
        *to++ = "--ids";
        *to++ = x->ids;
    }
    *to++ = "--argv0";
    *to++ = x->argv[0];
    *to++ = "--execfn";
    *to++ = x->execfn;
    *to++ = "--";
    *to = x->program.path; /* in the place of argv[0] */
}

/* Returns only when it fails, or when a signal comes first. */
static int64_t run_monitor(struct thread *t, struct execution *x)
{
    struct process *p = t->process;
    int fd = p->config->monitor_fd;
    if (fd < 0)
        return -ENOEXEC;
    fill_monitor_argv(p, x);
    signal_exec_prepare(t);
    pthread_mutex_lock(&p->lock);
    own_fds_inherit(p, true);
    int64_t result = host_call(t, SYS_execveat, fd, "", x->monitor_argv, x->envp, AT_EMPTY_PATH);
    own_fds_inherit(p, false);
    pthread_mutex_unlock(&p->lock);
    signal_exec_failed(t);
    return result;
}

static int64_t run_on_host(struct thread *t, struct execution *x)
{
    const struct program *program = &x->program;
    signal_exec_prepare(t);
    int64_t result =
        host_call(t, SYS_execveat, program->dirfd, program->path, x->argv, x->envp, program->flags);
    signal_exec_failed(t);
    return result;
}

static int64_t execute(struct thread *t, struct execution *x, int dirfd, const char *real, int flags)
{
    int64_t result = program_find(&x->program, t->process, dirfd, real, flags, true);
    if (result)
        return result;
    if (script_is_lost(x, dirfd))
        return -ENOENT;
    program_arguments(&x->program, x->execfn, x->guest_argv, x->argv);
    if (x->program.fd < 0)
        return run_on_host(t, x);
    result = program_check(&x->program, t->process);
    if (!result)
        result = pass_fd(x, dirfd);
    return result ? result : run_monitor(t, x);
}

int64_t sys_execveat(struct thread *t, int64_t dirfd, uint64_t path, uint64_t argv, uint64_t envp,
                     uint64_t flags)
{
    struct execution *x = NULL;
    char real[PATH_SIZE];
    if (flags & ~(uint64_t)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    int64_t result = allocate(t, argv, envp, &x);
    if (!result)
        result = find_names(t, x, (int)dirfd, path, flags, real);
    if (!result)
        result = execute(t, x, (int)dirfd, real, (int)flags);
    if (x) {
        program_release(&x->program);
        if (x->passed_fd >= 0)
            close(x->passed_fd);
        t->exec_vector = NULL;
        free(x);
    }
    return result;
}

int64_t sys_execve(struct thread *t, uint64_t path, uint64_t argv, uint64_t envp)
{
    return sys_execveat(t, AT_FDCWD, path, argv, envp, 0);
}
