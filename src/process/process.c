/* From a configuration to a running guest: find the program, make the address space, load, build the stack, run. */
#include "process/process.h"

#include "base/error.h"
#include "base/util.h"
#include "cpu/riscv/code.h"
#include "host/clock.h"
#include "host/fd.h"
#include "host/signal.h"
#include "process/elf.h"
#include "process/ids.h"
#include "process/program.h"
#include "process/serve.h"
#include "process/signal.h"
#include "process/stack.h"
#include "process/thread.h"
#include "process/vdso.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* ---- The program ---- */

/* A program handed over by a descriptor: execve() found it through one, which the name for the guest tells apart from
 * a path that the guest itself has given. The descriptor is taken. */
static int open_passed(const struct process_config *config)
{
    int fd, named;
    if (!config->execfn || sscanf(config->program, PROGRAM_PASSED, &fd) != 1)
        return -1;
    if (sscanf(config->execfn, "/dev/fd/%d", &named) != 1 || named == fd || fcntl(fd, F_SETFD, FD_CLOEXEC))
        return -1;
    return fd;
}

static int find_failed(const struct process_config *config, int error, struct guise_error *err)
{
    if (error == ENOENT || error == ENOTDIR)
        return error_set(err, GUISE_E_NOTFOUND, "%s: no such file", config->program);
    if (error == ENOEXEC)
        return error_set(err, GUISE_E_EXEC, "%s: its #! line names no interpreter", config->program);
    return error_set_errno(err, GUISE_E_EXEC, error, "%s", config->program);
}

/* A script's interpreter may be a program of the host. Anything else that is not for Guise is elf_load()'s to explain. */
static int run_on_host(const struct program *program, const struct process_config *config,
                       struct guise_error *err)
{
    const char *interpreter = program->path;
    execve(interpreter, config->argv, config->envp);
    int error = errno;
    return error_set_errno(err, error == ENOENT ? GUISE_E_NOTFOUND : GUISE_E_EXEC, error,
                           "%s: its interpreter %s", config->program, interpreter);
}

/* The configuration as it is after #! lines were followed. Owned by the process, which ends with the host's. */
static struct process_config *follow_config(const struct program *program,
                                            const struct process_config *config)
{
    size_t argc = 0;
    while (config->argv[argc])
        argc++;
    struct process_config *own = malloc(sizeof(*own));
    const char **argv = calloc(argc + PROGRAM_PREFIX + 1, sizeof(*argv));
    if (!own || !argv) {
        free(own);
        free(argv);
        return NULL;
    }
    *own = *config;
    own->execfn = config->execfn ? config->execfn : config->program;
    program_arguments(program, own->execfn, (const char *const *)config->argv, argv);
    own->argv = (char **)argv;
    return own;
}

static int open_program(struct process *p, struct program *program, struct guise_error *err)
{
    const struct process_config *config = p->config;
    int fd = open_passed(config);
    int error = fd >= 0 ? 0 : program_find(program, p, AT_FDCWD, config->program, 0, false);
    if (error)
        return find_failed(config, -error, err);
    if (fd >= 0)
        program->fd = fd;
    struct process_config *own = follow_config(program, config);
    if (!own)
        return error_set(err, GUISE_E_NOMEM, "%s: no memory for its arguments", config->program);
    p->config = own;
    if (program->fd >= 0)
        return 0;
    if (program->depth)
        return run_on_host(program, own, err);
    program->fd = open(program->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return program->fd < 0 ? find_failed(config, errno, err) : 0;
}

/* What /proc/self/exe leads to. Returns owned, NULL when memory is short. */
static char *exe_of(const struct program *program)
{
    char path[PATH_SIZE];
    return strdup(path_of_fd(program->fd, path) ? path : program->path);
}

/* ---- Names for the host's ps and top ---- */

static void set_name(const struct process_config *config)
{
    const char *slash = strrchr(config->execfn, '/');
    prctl(PR_SET_NAME, slash ? slash + 1 : config->execfn, 0, 0, 0);
}

/* Lets /proc/PID/cmdline and environ of the host show the guest's, from the guest's own memory. Where the kernel does not
 * allow it (it is built without checkpoints) they show the monitor's. */
static void show_guest_arguments(const struct process *p)
{
    uint64_t base = mm_base(p->mm), heap = (uint64_t)sbrk(0);
    struct prctl_mm_map map = {
        .start_code = base + p->start_code,
        .end_code = base + p->end_code,
        .start_data = base + p->end_code,
        .end_data = base + p->end_code,
        .start_brk = heap, /* libc's malloc stands on the true one: it keeps its end */
        .brk = heap,
        .start_stack = base + p->stack_start,
        .arg_start = base + p->arg_start,
        .arg_end = base + p->arg_end,
        .env_start = base + p->env_start,
        .env_end = base + p->env_end,
        .exe_fd = (uint32_t)-1,
    };
    prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0);
}

/* ---- The start ---- */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int open_sysroot(struct process *p, struct guise_error *err)
{
    const char *sysroot = p->config->sysroot;
    p->sysroot_fd = -1;
    if (!sysroot)
        return 0;
    int fd = open(sysroot, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set_errno(err, GUISE_E_NOTFOUND, errno, "sysroot %s", sysroot);
    p->sysroot_fd = host_fd_move_up(fd);
    return 0;
}

static int make_memory(struct process *p, struct guise_error *err)
{
    static const struct code_ops ops = {
        .executable = mm_executable, .protect = mm_protect, .unprotect = mm_unprotect};
    int status = mm_new(&p->mm, p->config->address_bits, err);
    if (!status)
        status = code_new(&p->code, &ops, p->mm, mm_base(p->mm), p->config->extensions, err);
    if (!status)
        status = code_set_engine(p->code, &p->config->engine, err);
    if (!status)
        mm_set_code(p->mm, p->code);
    return status;
}

static int load(struct process *p, const struct program *program, struct elf_image *image, uint64_t *sp,
                struct guise_error *err)
{
    const struct process_config *config = p->config;
    int status = elf_load(p->mm, program->fd, program->path, p->sysroot_fd, config->sysroot, image, err);
    if (status)
        return status;
    mm_set_brk(p->mm, image->brk);
    status = vdso_map(p->mm, &p->vdso_base, &p->vdso_sigreturn, err);
    return status ? status : stack_build(p, image, sp, err);
}

/* Everything that can fail. */
static int prepare(struct process *p, struct thread **thread, struct guise_error *err)
{
    struct elf_image image = {0};
    struct program program = {.fd = -1};
    uint64_t sp = 0;
    int status = open_sysroot(p, err);
    if (!status && p->config->ids && ids_inherit(p, p->config->ids))
        status = error_set(err, GUISE_E_CONFIG, "--ids is for Guise itself");
    if (!status)
        status = open_program(p, &program, err);
    if (!status)
        status = make_memory(p, err);
    if (!status)
        status = load(p, &program, &image, &sp, err);
    if (status) {
        program_release(&program);
        return status;
    }
    p->exe = exe_of(&program);
    program_release(&program);
    struct thread *t = p->exe ? thread_new(p, NULL, p->inherited_mask) : NULL;
    if (!t)
        return error_set(err, GUISE_E_NOMEM, "no memory for a thread");
    t->hart.pc = image.entry;
    t->hart.x[2] = sp;
    *thread = t;
    return 0;
}

/* What a vfork child shares with its parent is no thread of its own. */
static bool may_have_thread(const struct process *p)
{
    return p->code && !p->vforked;
}

void process_pause_own_thread(const struct process *p)
{
    if (may_have_thread(p))
        code_pause_thread(p->code);
}

void process_resume_own_thread(const struct process *p)
{
    if (may_have_thread(p))
        code_resume_thread(p->code);
}

/* Undoes what a program that could not be loaded has left. */
static void process_free(struct process *p, const struct process_config *config)
{
    if (p->code)
        code_free(p->code);
    mm_free(p->mm);
    if (p->sysroot_fd >= 0)
        close(p->sysroot_fd);
    if (p->config != config) {
        free((void *)p->config->argv);
        free((void *)p->config);
    }
    free(p->exe);
    free(p);
}

int process_exec(const struct process_config *config, struct guise_error *err)
{
    struct process *p = calloc(1, sizeof(*p));
    struct thread *t;
    if (!p)
        return error_set(err, GUISE_E_NOMEM, "no memory for a process");
    /* The monitor's threads seldom need memory at the same time: an arena for each would cost more than it gives. */
    mallopt(M_ARENA_MAX, 1);
    /* Large tables of which little is used: what the kernel has cleared, calloc() does not touch. */
    mallopt(M_MMAP_THRESHOLD, 32 << 10);
    p->config = config;
    p->sysroot_fd = -1;
    p->start_ns = now_ns();
    p->start_ticks = host_ticks();
    p->several = config->report_is_shared;
    pthread_mutex_init(&p->lock, NULL);
    signal_start_process(p); /* a fault while the program is loaded is that of its file */
    int status = prepare(p, &t, err);
    if (status) {
        signal_cancel_process(p);
        process_free(p, config);
        return status;
    }
    thread_adopt(t);
    set_name(p->config);
    show_guest_arguments(p);
    if (config->started)
        config->started(config->started_context);
    signal_set_mask(t, t->sigmask);
    thread_run(t);
}
