/* The table of system calls and the way through it. */
#include "process/own_fds.h"
#include "process/serve.h"
#include "process/strace.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

/* Names that the host's headers may lack. */
#define __NR_cachestat             HOST_CACHESTAT
#define __NR_fchmodat2             HOST_FCHMODAT2
#define __NR_futex_wake            HOST_FUTEX_WAKE
#define __NR_futex_wait            HOST_FUTEX_WAIT
#define __NR_statmount             HOST_STATMOUNT
#define __NR_listmount             HOST_LISTMOUNT
#define __NR_lsm_get_self_attr     HOST_LSM_GET_SELF_ATTR
#define __NR_lsm_set_self_attr     HOST_LSM_SET_SELF_ATTR
#define __NR_lsm_list_modules      HOST_LSM_LIST_MODULES

#define MASK(is, a, b, c, d, e, f) (is(a) | is(b) << 1 | is(c) << 2 | is(d) << 3 | is(e) << 4 | is(f) << 5)
#define ARGUMENTS(...)             ARGUMENTS_(__VA_ARGS__, NONE, NONE, NONE, NONE, NONE, NONE)
#define ARGUMENTS_(a, b, c, d, e, f, ...)                                                         \
    .pointers = MASK(ARG_IS_POINTER, a, b, c, d, e, f), .fds = MASK(ARG_IS_FD, a, b, c, d, e, f), \
    .arg = {a, b, c, d, e, f}

#define PASS(number, row, when, ...) \
    [number] = {.name = #row, .host = __NR_##row, .restart = RESTART_##when, ARGUMENTS(__VA_ARGS__)},
#define CALL(number, row, when, ...) \
    [number] = {                     \
        .name = #row, .host = -1, .handler = call_##row, .restart = RESTART_##when, ARGUMENTS(__VA_ARGS__)},
#define ANSWER(number, row, code, ...) \
    [number] = {.name = #row, .host = -1, .error = code, ARGUMENTS(__VA_ARGS__)},

static const struct syscall_row rows[SYSCALL_COUNT] = {
#include "process/syscalls.def"
};

static const struct syscall_row unknown_row = {
    .host = -1, .error = ENOSYS, ARGUMENTS(HEX, HEX, HEX, HEX, HEX, HEX)};

const struct syscall_row *syscall_row(uint64_t number)
{
    return number < SYSCALL_COUNT && rows[number].name ? &rows[number] : &unknown_row;
}

static bool names_own_fd(const struct process *p, const struct syscall_row *row, const struct sysargs *args)
{
    for (unsigned mask = row->fds; mask; mask &= mask - 1)
        if (own_fd(p, (int)args->a[__builtin_ctz(mask)]))
            return true;
    return false;
}

/* How many bytes a pointer argument names. A product that overflows is more than any guest has: EFAULT. */
static uint64_t argument_size(uint32_t arg, const struct sysargs *args)
{
    uint64_t count = args->a[ARG_INDEX(arg)], size = ARG_SIZE(arg);
    switch (ARG_CLASS(arg)) {
    case CLASS_COUNTED32: return (uint32_t)count * size;
    case CLASS_COUNTED: return __builtin_mul_overflow(count, size, &size) ? UINT64_MAX : size;
    case CLASS_BITS: return count / 64 * 8 + (count % 64 ? 8 : 0);
    case CLASS_MESSAGE: return count > UINT64_MAX - 8 ? count : count + 8;
    default: return size;
    }
}

static void *argument_pointer(const struct thread *t, const struct syscall_row *row,
                              const struct sysargs *args, int i)
{
    uint32_t arg = row->arg[i];
    if (ARG_CLASS(arg) == CLASS_MEASURED)
        return guest_pointer_up_to(t, args->a[i], ARG_SIZE(arg));
    return guest_pointer(t, args->a[i], argument_size(arg, args));
}

static int64_t pass(struct thread *t, const struct syscall_row *row, const struct sysargs *args)
{
    struct sysargs host = *args;
    for (unsigned mask = row->pointers; mask; mask &= mask - 1) {
        int i = __builtin_ctz(mask);
        host.a[i] = (uint64_t)argument_pointer(t, row, args, i);
    }
    return host_call(t, row->host, host.a[0], host.a[1], host.a[2], host.a[3], host.a[4], host.a[5]);
}

static int64_t serve_alone(struct thread *t, const struct syscall_row *row, const struct sysargs *args)
{
    process_pause_own_thread(t->process);
    int64_t result = row->handler ? row->handler(t, args) : pass(t, row, args);
    process_resume_own_thread(t->process);
    return result;
}

static int64_t serve(struct thread *t, const struct syscall_row *row, const struct sysargs *args)
{
    if (row->fds && unlikely(names_own_fd(t->process, row, args)))
        return -EBADF;
    if (unlikely(row->restart == RESTART_NEVER_ALONE))
        return serve_alone(t, row, args);
    if (row->handler)
        return row->handler(t, args);
    if (row->host >= 0)
        return pass(t, row, args);
    return -row->error;
}

static __attribute__((noinline)) int64_t serve_traced(struct thread *t, const struct syscall_row *row,
                                                      const struct sysargs *args)
{
    struct strace_line line;
    strace_enter(&line, t, row, args);
    int64_t result = serve(t, row, args);
    strace_leave(&line, t, row, args, result);
    return result;
}

/* Has the socket no timeout of this kind? A call on one that has is not begun anew. */
static bool socket_waits_for_ever(int fd, int option)
{
    struct timeval timeout = {0, 0};
    socklen_t size = sizeof timeout;
    long error = host_call_now(SYS_getsockopt, fd, SOL_SOCKET, option, &timeout, &size);
    return error || (!timeout.tv_sec && !timeout.tv_usec);
}

static bool begins_anew(const struct syscall_row *row, const struct sysargs *args)
{
    switch ((enum restart)row->restart) {
    case RESTART_NEVER:
    case RESTART_NEVER_ALONE: return false;
    case RESTART_ALWAYS: return true;
    case RESTART_RECEIVE: return socket_waits_for_ever((int)args->a[0], SO_RCVTIMEO);
    case RESTART_SEND: return socket_waits_for_ever((int)args->a[0], SO_SNDTIMEO);
    case RESTART_FUTEX: return !args->a[3];
    }
    return false;
}

int64_t syscall_serve(struct thread *t, bool *restartable)
{
    const uint64_t *x = t->hart.x;
    const struct sysargs args = {{x[10], x[11], x[12], x[13], x[14], x[15]}};
    const struct syscall_row *row = syscall_row(x[17]);

    t->syscall_number = x[17];
    int64_t result = likely(!t->process->config->strace) ? serve(t, row, &args) : serve_traced(t, row, &args);
    *restartable = result == -EINTR && begins_anew(row, &args);
    return result;
}

int vector_from_guest(const struct thread *t, uint64_t gva, uint64_t count, struct iovec *vector)
{
    if (count > VECTOR_MAX)
        return -EINVAL;
    if (count && copy_from_guest(t, vector, gva, count * sizeof *vector))
        return -EFAULT;
    for (uint64_t i = 0; i < count; i++)
        vector[i].iov_base = guest_pointer(t, (uint64_t)vector[i].iov_base, vector[i].iov_len);
    return 0;
}

int path_from_guest(const struct thread *t, char *path, uint64_t gva)
{
    long length = copy_string_from_guest(t, path, gva, PATH_SIZE);
    return length < 0 ? (int)length : 0;
}
