/* Futexes. Guest addresses become host addresses, so that the host's kernel does all the work: threads of a guest are
 * threads of the host, with the same ids, and shared memory of guests is shared memory of the host. */
#include "process/serve.h"

#include <linux/futex.h>
#include <time.h>

/* Is the fourth argument a timeout? Elsewhere it is a count. */
static bool has_timeout(int command)
{
    switch (command) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
    case FUTEX_WAIT_REQUEUE_PI: return true;
    default: return false;
    }
}

int64_t call_futex(struct thread *t, const struct sysargs *args)
{
    int operation = (int)args->a[1];
    uint64_t fourth = args->a[3];
    if (has_timeout(operation & FUTEX_CMD_MASK))
        fourth = (uint64_t)guest_pointer(t, fourth, sizeof(struct timespec));
    return host_call(t, SYS_futex, guest_pointer(t, args->a[0], 4), operation, args->a[2], fourth,
                     guest_pointer(t, args->a[4], 4), args->a[5]);
}

static int waiters_from_guest(const struct thread *t, struct futex_waitv *waiters, uint64_t gva,
                              uint32_t count)
{
    if (copy_from_guest(t, waiters, gva, count * sizeof *waiters))
        return -EFAULT;
    for (uint32_t i = 0; i < count; i++)
        waiters[i].uaddr = (uint64_t)guest_pointer(t, waiters[i].uaddr, 4);
    return 0;
}

int64_t call_futex_waitv(struct thread *t, const struct sysargs *args)
{
    struct futex_waitv waiters[FUTEX_WAITV_MAX];
    uint32_t count = (uint32_t)args->a[1];
    if (!count || count > FUTEX_WAITV_MAX)
        return -EINVAL;
    int error = waiters_from_guest(t, waiters, args->a[0], count);
    if (error)
        return error;
    return host_call(t, SYS_futex_waitv, waiters, count, args->a[2],
                     guest_pointer(t, args->a[3], sizeof(struct timespec)), args->a[4]);
}

int64_t call_futex_requeue(struct thread *t, const struct sysargs *args)
{
    struct futex_waitv waiters[2];
    int error = waiters_from_guest(t, waiters, args->a[0], 2);
    if (error)
        return error;
    return host_call(t, HOST_FUTEX_REQUEUE, waiters, args->a[1], args->a[2], args->a[3]);
}
