/* Processes and threads: adapters for thread.h, exec.h and signal.h; resource limits, prctl, and what a process may learn of
 * itself and of others. */
#include "cpu/riscv/code.h"
#include "process/exec.h"
#include "process/limits.h"
#include "process/serve.h"
#include "process/signal.h"
#include "process/thread.h"

#include <linux/kcmp.h>
#include <linux/membarrier.h>
#include <linux/prctl.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

/* ---- Life ---- */

int64_t call_exit(struct thread *t, const struct sysargs *args)
{
    thread_exit(t, (int)args->a[0]);
}

int64_t call_exit_group(struct thread *t, const struct sysargs *args)
{
    thread_exit_group(t, (int)args->a[0]);
}

int64_t call_clone(struct thread *t, const struct sysargs *args)
{
    return sys_clone(t, args->a[0], args->a[1], args->a[2], args->a[3], args->a[4]);
}

int64_t call_clone3(struct thread *t, const struct sysargs *args)
{
    return sys_clone3(t, args->a[0], args->a[1]);
}

int64_t call_execve(struct thread *t, const struct sysargs *args)
{
    return sys_execve(t, args->a[0], args->a[1], args->a[2]);
}

int64_t call_execveat(struct thread *t, const struct sysargs *args)
{
    return sys_execveat(t, (int)args->a[0], args->a[1], args->a[2], args->a[3], args->a[4]);
}

int64_t call_set_tid_address(struct thread *t, const struct sysargs *args)
{
    return sys_set_tid_address(t, args->a[0]);
}

int64_t call_set_robust_list(struct thread *t, const struct sysargs *args)
{
    return sys_set_robust_list(t, args->a[0], args->a[1]);
}

int64_t call_get_robust_list(struct thread *t, const struct sysargs *args)
{
    return sys_get_robust_list(t, args->a[0], args->a[1], args->a[2]);
}

/* ---- Signals ---- */

int64_t call_sigaltstack(struct thread *t, const struct sysargs *args)
{
    return sys_sigaltstack(t, args->a[0], args->a[1]);
}

int64_t call_rt_sigsuspend(struct thread *t, const struct sysargs *args)
{
    return sys_rt_sigsuspend(t, args->a[0], args->a[1]);
}

int64_t call_rt_sigaction(struct thread *t, const struct sysargs *args)
{
    return sys_rt_sigaction(t, args->a[0], args->a[1], args->a[2], args->a[3]);
}

int64_t call_rt_sigprocmask(struct thread *t, const struct sysargs *args)
{
    return sys_rt_sigprocmask(t, args->a[0], args->a[1], args->a[2], args->a[3]);
}

int64_t call_rt_sigpending(struct thread *t, const struct sysargs *args)
{
    return sys_rt_sigpending(t, args->a[0], args->a[1]);
}

int64_t call_rt_sigtimedwait(struct thread *t, const struct sysargs *args)
{
    return sys_rt_sigtimedwait(t, args->a[0], args->a[1], args->a[2], args->a[3]);
}

int64_t call_rt_sigreturn(struct thread *t, const struct sysargs *args)
{
    (void)args;
    return sys_rt_sigreturn(t);
}

/* ---- What the guest runs on ---- */

/* The first release that riscv64's libc accepts. */
#define OLDEST_RELEASE "4.15.0"

static bool release_is_old(const char *release)
{
    unsigned major = 0, minor = 0;
    return sscanf(release, "%u.%u", &major, &minor) == 2 && (major < 4 || (major == 4 && minor < 15));
}

int64_t call_uname(struct thread *t, const struct sysargs *args)
{
    struct utsname name;
    int64_t result = host_call_now(SYS_uname, &name);
    if (result)
        return result;
    snprintf(name.machine, sizeof name.machine, "riscv64");
    if (release_is_old(name.release))
        snprintf(name.release, sizeof name.release, OLDEST_RELEASE);
    return copy_to_guest(t, args->a[0], &name, sizeof name);
}

/* Personalities that change how the host's kernel places or protects memory are the monitor's affair. */
int64_t call_personality(struct thread *t, const struct sysargs *args)
{
    const uint32_t memory =
        READ_IMPLIES_EXEC | ADDR_COMPAT_LAYOUT | MMAP_PAGE_ZERO | ADDR_LIMIT_32BIT | ADDR_LIMIT_3GB;
    uint32_t wanted = (uint32_t)args->a[0];
    return host_call(t, SYS_personality, wanted == UINT32_MAX ? wanted : wanted & ~memory);
}

int64_t call_membarrier(struct thread *t, const struct sysargs *args)
{
    const int rseq = MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ;
    int command = (int)args->a[0];
    if (command & rseq)
        return -EINVAL;
    int64_t result = host_call(t, SYS_membarrier, command, args->a[1], args->a[2]);
    if (result >= 0 && command == MEMBARRIER_CMD_QUERY)
        return result & ~(int64_t)rseq;
    if (!result && command == MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE)
        code_fence(t->process->code);
    return result;
}

/* ---- Resource limits ----
 *
 * The host has them all, so that they hold across fork() and execve(): RLIMIT_AS and RLIMIT_DATA with the monitor's share
 * on top (limits.h), RLIMIT_STACK with no less than the monitor needs for its own stack. A smaller one is kept for the
 * guest to read back. */

#define MONITOR_STACK ((uint64_t)1 << 20)

static struct rlimit stack_limit_to_host(const struct rlimit *guest)
{
    return (struct rlimit){MAX(guest->rlim_cur, MONITOR_STACK), MAX(guest->rlim_max, MONITOR_STACK)};
}

static void keep_stack_limit(struct process *p, const struct rlimit *guest)
{
    bool keep = guest->rlim_cur < MONITOR_STACK;
    p->stack_limit = (struct guest_limit){keep, guest->rlim_cur, guest->rlim_max};
}

/* Whether the host can have this limit, which counts addresses. Where it cannot (only builds with sanitizers have the
 * guest's memory elsewhere) the limit is forgotten. */
static bool prepare_memory_limit(struct process *p, uint32_t resource, const struct rlimit *limit)
{
    if (limit->rlim_cur == RLIM_INFINITY)
        return true;
    mm_watch_limits(p->mm);
    return resource != RLIMIT_AS || mm_unreserve(p->mm);
}

static int64_t look_at_own_limit(const struct process *p, uint32_t resource, struct rlimit *limit)
{
    struct rlimit host;
    int64_t result = host_call_now(SYS_prlimit64, 0, resource, NULL, &host);
    if (!result)
        *limit = limit_to_guest(resource, &host);
    if (!result && resource == RLIMIT_STACK && p->stack_limit.set)
        *limit = (struct rlimit){p->stack_limit.soft, p->stack_limit.hard};
    return result;
}

static int64_t set_stack_limit(struct process *p, const struct rlimit *new, const struct rlimit *old)
{
    struct rlimit host = stack_limit_to_host(new);
    if (new->rlim_cur > new->rlim_max)
        return -EINVAL;
    if (p->stack_limit.set && new->rlim_max > old->rlim_max && geteuid())
        return -EPERM;
    int64_t result = host_call_now(SYS_prlimit64, 0, RLIMIT_STACK, &host, NULL);
    if (!result)
        keep_stack_limit(p, new);
    return result;
}

static int64_t set_own_limit(struct process *p, uint32_t resource, const struct rlimit *new,
                             const struct rlimit *old)
{
    struct rlimit host = limit_to_host(resource, new);
    if (resource == RLIMIT_STACK)
        return set_stack_limit(p, new, old);
    if (limit_is_shared(resource) && !prepare_memory_limit(p, resource, new))
        return 0;
    return host_call_now(SYS_prlimit64, 0, resource, &host, NULL);
}

/* `new` may be NULL. */
static int64_t change_own_limit(struct process *p, uint32_t resource, const struct rlimit *new,
                                struct rlimit *old)
{
    pthread_mutex_lock(&p->lock);
    int64_t result = look_at_own_limit(p, resource, old);
    if (!result && new)
        result = set_own_limit(p, resource, new, old);
    pthread_mutex_unlock(&p->lock);
    return result;
}

/* Another process is taken for a guest too. */
static int64_t change_other_limit(int pid, uint32_t resource, const struct rlimit *new, struct rlimit *old)
{
    struct rlimit host = {0}, was;
    if (new)
        host = limit_to_host(resource, new);
    int64_t result = host_call_now(SYS_prlimit64, pid, resource, new ? &host : NULL, &was);
    if (!result)
        *old = limit_to_guest(resource, &was);
    return result;
}

static int64_t change_limit(struct thread *t, uint64_t pid, uint64_t resource, uint64_t new_gva,
                            uint64_t old_gva)
{
    struct rlimit new, old;
    if (new_gva && copy_from_guest(t, &new, new_gva, sizeof new))
        return -EFAULT;
    const struct rlimit *wanted = new_gva ? &new : NULL;
    bool own = !(int)pid || (int)pid == host_call_now(SYS_getpid);
    int64_t result = own ? change_own_limit(t->process, (uint32_t)resource, wanted, &old)
                         : change_other_limit((int)pid, (uint32_t)resource, wanted, &old);
    if (result || !old_gva)
        return result;
    return copy_to_guest(t, old_gva, &old, sizeof old);
}

int64_t call_prlimit64(struct thread *t, const struct sysargs *args)
{
    return change_limit(t, args->a[0], args->a[1], args->a[2], args->a[3]);
}

/* A NULL pointer is an error here, for prlimit64() it is not. */
int64_t call_getrlimit(struct thread *t, const struct sysargs *args)
{
    return args->a[1] ? change_limit(t, 0, args->a[0], 0, args->a[1]) : -EFAULT;
}

int64_t call_setrlimit(struct thread *t, const struct sysargs *args)
{
    return args->a[1] ? change_limit(t, 0, args->a[0], args->a[1], 0) : -EFAULT;
}

/* ---- prctl ---- */

/* Options that libc's or the host's headers may not have. */
enum {
    PRCTL_RISCV_SET_ICACHE_FLUSH_CTX = 71,
    PRCTL_GET_AUXV = 0x41555856,
    ICACHE_FLUSH_SCOPES = 2, /* per process, per thread */
    ICACHE_FLUSH_MODES = 2,  /* on, off */
};

static int64_t get_auxv(const struct thread *t, const struct sysargs *args)
{
    const struct process *p = t->process;
    uint64_t size = p->auxv_words * sizeof p->auxv[0];
    if (args->a[3] || args->a[4])
        return -EINVAL;
    if (copy_to_guest(t, args->a[1], p->auxv, MIN(size, args->a[2])))
        return -EFAULT;
    return (int64_t)size;
}

static int64_t get_tid_address(const struct thread *t, uint64_t gva)
{
    return copy_to_guest(t, gva, &t->clear_child_tid, sizeof t->clear_child_tid);
}

/* Options whose second argument points to so many bytes; 0 for those that have values only, -1 for the others. */
static int prctl_pointer_size(int option)
{
    switch (option) {
    case PR_SET_PDEATHSIG:
    case PR_GET_DUMPABLE:
    case PR_SET_DUMPABLE:
    case PR_GET_KEEPCAPS:
    case PR_SET_KEEPCAPS:
    case PR_GET_TIMING:
    case PR_SET_TIMING:
    case PR_CAPBSET_READ:
    case PR_CAPBSET_DROP:
    case PR_GET_SECUREBITS:
    case PR_SET_SECUREBITS:
    case PR_GET_TIMERSLACK:
    case PR_SET_TIMERSLACK:
    case PR_TASK_PERF_EVENTS_DISABLE:
    case PR_TASK_PERF_EVENTS_ENABLE:
    case PR_MCE_KILL:
    case PR_MCE_KILL_GET:
    case PR_SET_CHILD_SUBREAPER:
    case PR_SET_NO_NEW_PRIVS:
    case PR_GET_NO_NEW_PRIVS:
    case PR_SET_THP_DISABLE:
    case PR_GET_THP_DISABLE:
    case PR_CAP_AMBIENT:
    case PR_GET_SPECULATION_CTRL:
    case PR_SET_SPECULATION_CTRL:
    case PR_SET_IO_FLUSHER:
    case PR_GET_IO_FLUSHER:
    case PR_SET_PTRACER: return 0;
    case PR_GET_PDEATHSIG:
    case PR_GET_CHILD_SUBREAPER: return 4;
    case PR_GET_NAME: return 16;
    case PR_SET_NAME: return 1; /* a string */
    default: return -1;
    }
}

int64_t call_prctl(struct thread *t, const struct sysargs *args)
{
    int option = (int)args->a[0];
    switch (option) {
    case PR_SET_MM: return -EPERM;
    case PRCTL_GET_AUXV: return get_auxv(t, args);
    case PR_GET_TID_ADDRESS: return get_tid_address(t, args->a[1]);
    case PRCTL_RISCV_SET_ICACHE_FLUSH_CTX: /* a fence.i of any thread holds for all, so there is nothing to switch */
        return args->a[1] < ICACHE_FLUSH_MODES && args->a[2] < ICACHE_FLUSH_SCOPES ? 0 : -EINVAL;
    }
    /* All others, seccomp, vector and pointer control among them, are as on a kernel that is built without them. */
    int size = prctl_pointer_size(option);
    if (size < 0)
        return -EINVAL;
    uint64_t second = size ? (uint64_t)guest_pointer(t, args->a[1], (uint64_t)size) : args->a[1];
    return host_call(t, SYS_prctl, option, second, args->a[2], args->a[3], args->a[4]);
}

/* ---- Other processes ---- */

int64_t call_kcmp(struct thread *t, const struct sysargs *args)
{
    uint64_t second = args->a[4];
    if ((int)args->a[2] == KCMP_EPOLL_TFD)
        second = (uint64_t)guest_pointer(t, second, sizeof(struct kcmp_epoll_slot));
    return host_call(t, SYS_kcmp, (int)args->a[0], (int)args->a[1], (int)args->a[2], args->a[3], second);
}

/* Addresses of the other process are checked as one's own: all guests have their memory at the same place, and what lies
 * above it there is a monitor. */
static int64_t copy_between_processes(struct thread *t, long number, const struct sysargs *args)
{
    struct iovec local[VECTOR_MAX], remote[VECTOR_MAX];
    int error = vector_from_guest(t, args->a[1], args->a[2], local);
    if (!error)
        error = vector_from_guest(t, args->a[3], args->a[4], remote);
    if (error)
        return error;
    return host_call(t, number, (int)args->a[0], local, args->a[2], remote, args->a[4], args->a[5]);
}

int64_t call_process_vm_readv(struct thread *t, const struct sysargs *args)
{
    return copy_between_processes(t, SYS_process_vm_readv, args);
}

int64_t call_process_vm_writev(struct thread *t, const struct sysargs *args)
{
    return copy_between_processes(t, SYS_process_vm_writev, args);
}
