/* From a configured VM to a running guest:
 *
 *   monitor_open   a descriptor of the guise command, before its path may be out of sight
 *   enter_place    root directory, working directory
 *   make_env, find_program, make_monitor_argv
 *   process_exec   this process becomes the guest */
#include "base/error.h"
#include "base/util.h"
#include "host/fd.h"
#include "process/process.h"
#include "vm/image.h"
#include "vm/root.h"
#include "vm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What process_exec() is given, and what it borrows from. */
struct launch {
    struct process_config config;
    struct list env, argv, monitor_argv;
    char *program, *sysroot;
};

static void launch_release(struct launch *launch)
{
    if (launch->config.monitor_fd >= 0)
        close(launch->config.monitor_fd);
    if (launch->config.report_fd >= 0)
        close(launch->config.report_fd);
    list_release(&launch->env);
    list_release(&launch->argv);
    list_release(&launch->monitor_argv);
    free(launch->program);
    free(launch->sysroot);
}

static int out_of_memory(struct guise_error *err)
{
    return error_set(err, GUISE_E_NOMEM, "out of memory");
}

/* ---- Finding programs ---- */

/* 0 if `path` is a file that may be executed, else an errno value. */
static int program_check(const char *path)
{
    struct stat st;
    if (stat(path, &st))
        return errno;
    if (!S_ISREG(st.st_mode))
        return EACCES;
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) ? errno : 0;
}

/* Looks for `name` in the directories of `search`, as execvp() does. Stores an owned path and returns 0, or returns an
 * errno value. */
static int program_search(const char *name, const char *search, char **found)
{
    int result = ENOENT;
    for (const char *at = search;; at++) {
        size_t length = strcspn(at, ":");
        char *path;
        if (asprintf(&path, "%.*s%s%s", (int)length, at, length ? "/" : "", name) < 0)
            return ENOMEM;
        int error = program_check(path);
        if (error == 0) {
            *found = path;
            return 0;
        }
        free(path);
        if (error == EACCES)
            result = EACCES;
        at += length;
        if (!*at)
            return result;
    }
}

static int find_program(const struct guise_vm *vm, struct launch *launch, struct guise_error *err)
{
    if (!vm->program)
        return error_set(err, GUISE_E_CONFIG, "no program to run");
    if (vm->execfn || strchr(vm->program, '/')) { /* what execve() was given is a path in any case */
        launch->program = strdup(vm->program);
        return launch->program ? 0 : out_of_memory(err);
    }
    const char *search = list_getenv(&launch->env, "PATH");
    int error = program_search(vm->program, search ? search : "/bin:/usr/bin", &launch->program);
    if (error == ENOMEM)
        return out_of_memory(err);
    if (error == EACCES)
        return error_set(err, GUISE_E_EXEC, "%s: permission denied", vm->program);
    if (error)
        return error_set(err, GUISE_E_NOTFOUND, "%s: not found in PATH%s%s", vm->program,
                         vm->root ? " of " : "", vm->root ? vm->root : "");
    return 0;
}

/* ---- The monitor's own file ---- */

/* A descriptor that the monitor before this one has left open for it. */
static int inherited_fd(const char *number)
{
    int fd = atoi(number);
    return fcntl(fd, F_SETFD, FD_CLOEXEC) ? -1 : fd;
}

/* -1 when there is no guise command: execve() of riscv64 programs then fails in the guest. */
static int monitor_open(const struct guise_vm *vm)
{
    if (vm->monitor_fd)
        return inherited_fd(vm->monitor_fd);
    char *found = NULL;
    const char *path = vm->monitor, *search = getenv("PATH");
    if (!path && search && program_search("guise", search, &found) == 0)
        path = found;
    int fd = path ? open(path, O_PATH | O_CLOEXEC) : -1;
    free(found);
    return fd < 0 ? -1 : host_fd_move_up(fd);
}

/* What standard error is at the start: the guest may close or redirect its own. */
static int report_open(const struct guise_vm *vm, const struct process_config *config)
{
    if (vm->report_fd)
        return inherited_fd(vm->report_fd);
    return config->strace || config->stats != STATS_OFF ? host_fd_copy_up(STDERR_FILENO) : -1;
}

/* What a monitor that is started again must know. The root was entered and the environment made: they are inherited. */
static int make_monitor_argv(const struct guise_vm *vm, struct launch *launch, struct guise_error *err)
{
    struct list *argv = &launch->monitor_argv;
    bool made = list_add(argv, "guise") && list_add(argv, "run");
    if (launch->sysroot)
        made = made && list_addf(argv, "--sysroot=%s", launch->sysroot);
    if (vm->engine)
        made = made && list_addf(argv, "--engine=%s", vm->engine);
    if (vm->engine_options)
        made = made && list_addf(argv, "--engine-options=%s", vm->engine_options);
    if (vm->dump)
        made = made && list_addf(argv, "--dump=%s", vm->dump);
    if (vm->cpu)
        made = made && list_addf(argv, "--cpu=%s", vm->cpu);
    if (vm->address_bits)
        made = made && list_addf(argv, "--address-bits=%s", vm->address_bits);
    if (launch->config.strace)
        made = made && list_add(argv, "--strace");
    if (vm->stats)
        made = made && list_addf(argv, "--stats=%s", vm->stats);
    if (launch->config.fake_ids)
        made = made && list_add(argv, "--fake-ids");
    /* Its own file may be out of its sight, inside a root without /proc or after a chroot() of the guest. */
    if (launch->config.monitor_fd >= 0)
        made = made && list_addf(argv, "--monitor-fd=%d", launch->config.monitor_fd);
    if (launch->config.report_fd >= 0)
        made = made && list_addf(argv, "--report-fd=%d", launch->config.report_fd);
    launch->config.monitor_argv = argv->items;
    return made ? 0 : out_of_memory(err);
}

/* ---- Place and environment ---- */

static int enter_root(const struct guise_vm *vm, struct launch *launch, struct guise_error *err)
{
    struct root_spec spec = {.binds = vm->binds.items};
    char *directory;
    int r = image_find_root(vm->root, &directory, err);
    if (r)
        return r;
    spec.directory = directory;
    bool single_id = false;
    if (strcmp(directory, "/") != 0 || vm->binds.count)
        r = root_enter(&spec, &single_id, err);
    if (single_id)
        launch->config.fake_ids = true;
    if (r == 0 && vm->hold_mounts)
        root_hold_mounts();
    free(directory);
    return r;
}

/* The sysroot as an absolute path: inside the root when there is one, else from where the caller is. */
static int find_sysroot(const struct guise_vm *vm, struct launch *launch, struct guise_error *err)
{
    if (!vm->sysroot)
        return 0;
    launch->sysroot = realpath(vm->sysroot, NULL);
    launch->config.sysroot = launch->sysroot;
    return launch->sysroot ? 0 : error_set_errno(err, GUISE_E_NOTFOUND, errno, "--sysroot %s", vm->sysroot);
}

static int enter_place(const struct guise_vm *vm, struct launch *launch, struct guise_error *err)
{
    int r = 0;
    if (vm->root)
        r = enter_root(vm, launch, err);
    else if (vm->binds.count)
        r = error_set(err, GUISE_E_CONFIG, "--bind shows a file inside a root: it needs --root");
    if (r == 0)
        r = find_sysroot(vm, launch, err);
    if (r == 0 && vm->cwd && chdir(vm->cwd))
        r = error_set_errno(err, GUISE_E_NOTFOUND, errno, "--cwd %s", vm->cwd);
    return r;
}

/* The host's paths and locale mean nothing inside a root. */
static bool set_root_env(struct list *env)
{
    static const char *const changes[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/root",
        "LANG=C.UTF-8",
        "LANGUAGE",
        "TMPDIR",
        "SHELL",
        "PWD",
        "OLDPWD",
    };
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++)
        if (!list_setenv(env, changes[i]))
            return false;
    for (size_t i = 0; i < env->count;) {
        char name[32];
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(env->items[i], "="), env->items[i]);
        if (strncmp(name, "LC_", 3) == 0 && list_getenv(env, name))
            list_setenv(env, name);
        else
            i++;
    }
    return true;
}

static int make_env(const struct guise_vm *vm, struct launch *launch, struct guise_error *err)
{
    struct list *env = &launch->env;
    bool made = list_start(env);
    for (char **variable = environ; made && variable && *variable; variable++)
        made = list_add(env, *variable);
    if (made && vm->root)
        made = set_root_env(env);
    for (size_t i = 0; made && i < vm->env.count; i++)
        made = list_setenv(env, vm->env.items[i]);
    return made ? 0 : out_of_memory(err);
}

static int make_argv(const struct guise_vm *vm, struct launch *launch, struct guise_error *err)
{
    const char *first = vm->args.count ? vm->args.items[0] : vm->program;
    bool made = list_add(&launch->argv, vm->argv0 ? vm->argv0 : first);
    for (size_t i = 1; made && i < vm->args.count; i++)
        made = list_add(&launch->argv, vm->args.items[i]);
    return made ? 0 : out_of_memory(err);
}

/* ---- Running ---- */

static void configure(const struct guise_vm *vm, struct process_config *config)
{
    config->execfn = vm->execfn;
    config->extensions = vm->extensions;
    config->engine = vm->engine_parsed;
    config->address_bits = vm->bits;
    config->strace = vm->strace && strcmp(vm->strace, "on") == 0;
    config->fake_ids = vm->fake_ids && strcmp(vm->fake_ids, "on") == 0;
    config->ids = vm->ids;
    if (vm->stats)
        config->stats = strcmp(vm->stats, "json") == 0 ? STATS_JSON : STATS_TEXT;
    config->engine.timed = vm->stats != NULL;
}

static int prepare(const struct guise_vm *vm, struct launch *launch, struct guise_error *err)
{
    configure(vm, &launch->config);
    launch->config.monitor_fd = monitor_open(vm);
    launch->config.report_fd = report_open(vm, &launch->config);
    launch->config.report_is_shared = vm->report_fd != NULL;
    int r = enter_place(vm, launch, err);
    if (r == 0)
        r = make_env(vm, launch, err);
    if (r == 0)
        r = find_program(vm, launch, err);
    if (r == 0)
        r = make_argv(vm, launch, err);
    if (r == 0)
        r = make_monitor_argv(vm, launch, err);
    launch->config.program = launch->program;
    launch->config.argv = launch->argv.items;
    launch->config.envp = launch->env.items;
    return r;
}

/* Calls started(context), if not NULL, when nothing can fail any more. */
static int become_guest(struct guise_vm *vm, void (*started)(void *context), void *context,
                        struct guise_error *err)
{
    struct launch launch = {
        .config = {.started = started, .started_context = context, .monitor_fd = -1, .report_fd = -1}};
    int r = prepare(vm, &launch, err);
    if (r == 0)
        r = process_exec(&launch.config, err);
    launch_release(&launch);
    return r;
}

int guise_vm_exec(struct guise_vm *vm, struct guise_error *err)
{
    return become_guest(vm, NULL, NULL, err);
}

/* The pipe's other end sees the end of file: the guest runs. */
static void report_started(void *context)
{
    close(*(int *)context);
}

static _Noreturn void start_child(struct guise_vm *vm, int report)
{
    struct guise_error failure = {0};
    become_guest(vm, report_started, &report, &failure);
    ssize_t written = write(report, &failure, sizeof(failure));
    _exit(written == (ssize_t)sizeof(failure) ? guise_error_status(failure.code) : 125);
}

int guise_vm_start(struct guise_vm *vm, struct guise_error *err)
{
    int fds[2];
    struct guise_error failure;
    if (vm->pid)
        return error_set(err, GUISE_E_CONFIG, "the VM runs already");
    if (pipe2(fds, O_CLOEXEC))
        return error_set_errno(err, GUISE_E_SYSTEM, errno, "cannot start a process");
    vm->pid = fork();
    if (vm->pid == 0) {
        close(fds[0]);
        start_child(vm, fds[1]);
    }
    int error = errno;
    close(fds[1]);
    ssize_t n = 0;
    while (vm->pid > 0 && (n = read(fds[0], &failure, sizeof(failure))) < 0 && errno == EINTR)
        ;
    close(fds[0]);
    if (vm->pid < 0) {
        vm->pid = 0;
        return error_set_errno(err, GUISE_E_SYSTEM, error, "cannot start a process");
    }
    if (n != (ssize_t)sizeof(failure))
        return 0;
    waitpid(vm->pid, NULL, 0);
    vm->pid = 0;
    return error_set(err, failure.code, "%s", failure.text);
}

int guise_vm_wait(struct guise_vm *vm, int *status, struct guise_error *err)
{
    if (!vm->pid)
        return error_set(err, GUISE_E_CONFIG, "the VM does not run");
    int r;
    while ((r = waitpid(vm->pid, status, 0)) < 0 && errno == EINTR)
        ;
    vm->pid = 0;
    return r < 0 ? error_set_errno(err, GUISE_E_SYSTEM, errno, "cannot wait for the guest") : 0;
}
