/* Reading and writing in pieces, and waiting for descriptors. */
#include "process/guest_abi.h"
#include "process/serve.h"
#include "process/signal.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

/* ---- Vectors ---- */

static int64_t vector_call(struct thread *t, long number, const struct sysargs *args)
{
    struct iovec vector[VECTOR_MAX];
    int error = vector_from_guest(t, args->a[1], args->a[2], vector);
    if (error)
        return error;
    return host_call(t, number, (int)args->a[0], vector, args->a[2], args->a[3], args->a[4], args->a[5]);
}

int64_t call_readv(struct thread *t, const struct sysargs *args)
{
    return vector_call(t, SYS_readv, args);
}

int64_t call_writev(struct thread *t, const struct sysargs *args)
{
    return vector_call(t, SYS_writev, args);
}

int64_t call_preadv(struct thread *t, const struct sysargs *args)
{
    return vector_call(t, SYS_preadv, args);
}

int64_t call_pwritev(struct thread *t, const struct sysargs *args)
{
    return vector_call(t, SYS_pwritev, args);
}

int64_t call_preadv2(struct thread *t, const struct sysargs *args)
{
    return vector_call(t, SYS_preadv2, args);
}

int64_t call_pwritev2(struct thread *t, const struct sysargs *args)
{
    return vector_call(t, SYS_pwritev2, args);
}

int64_t call_vmsplice(struct thread *t, const struct sysargs *args)
{
    return vector_call(t, SYS_vmsplice, args);
}

/* ---- Waiting with another signal mask ---- */

/* The mask of signals for the time of a wait, or none.
 *
 * It goes to the host's kernel with the call, which is exact and costs nothing: the kernel sets it, waits, and puts the
 * former one back, or runs the monitor's handler with all that a signal needs. For signal_deliver() the mask stays the
 * thread's own in that case, and the former one is what the guest's frame saves. A signal that came before the call is
 * delivered with the former mask, and the call is made anew. */
struct wait_mask {
    uint64_t bits;
    bool given;
};

static int wait_begin(struct thread *t, struct wait_mask *mask, uint64_t gva, uint64_t size)
{
    mask->given = gva != 0;
    if (!gva)
        return 0;
    if (size != sizeof mask->bits)
        return -EINVAL;
    if (copy_from_guest(t, &mask->bits, gva, sizeof mask->bits))
        return -EFAULT;
    if (unlikely(signal_is_held(
            t, ~mask->bits))) { /* the host does not know of it: the call ends before it begins */
        signal_swap_mask(t, mask->bits);
        mask->given = false;
        return 0;
    }
    t->saved_sigmask = t->sigmask;
    t->restore_sigmask = true;
    t->sigmask = mask->bits & ~(SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP));
    mask->bits &= ~MONITOR_SIGNALS;
    return 0;
}

static const uint64_t *wait_mask(const struct wait_mask *mask)
{
    return mask->given ? &mask->bits : NULL;
}

static int64_t wait_end(struct thread *t, const struct wait_mask *mask, int64_t result)
{
    if (mask->given && result != -EINTR) {
        t->sigmask = t->saved_sigmask;
        t->restore_sigmask = false;
    }
    return result;
}

/* ---- poll, select ---- */

int64_t call_ppoll(struct thread *t, const struct sysargs *args)
{
    struct wait_mask mask;
    int error = wait_begin(t, &mask, args->a[3], args->a[4]);
    if (error)
        return error;
    uint32_t count = (uint32_t)args->a[1];
    int64_t result =
        host_call(t, SYS_ppoll, guest_pointer(t, args->a[0], (uint64_t)count * sizeof(struct pollfd)), count,
                  guest_pointer(t, args->a[2], sizeof(struct timespec)), wait_mask(&mask), sizeof mask.bits);
    return wait_end(t, &mask, result);
}

/* A set of select(): the kernel cuts the count to its table of descriptors, so sets may be shorter than it says. */
static void *descriptor_set(const struct thread *t, uint64_t gva)
{
    return guest_pointer(t, gva, sizeof(uint64_t));
}

int64_t call_pselect6(struct thread *t, const struct sysargs *args)
{
    struct {
        uint64_t set, size;
    } guest = {0, 0}, host;
    struct wait_mask mask;
    if ((int)args->a[0] < 0)
        return -EINVAL;
    if (args->a[5] && copy_from_guest(t, &guest, args->a[5], sizeof guest))
        return -EFAULT;
    int error = wait_begin(t, &mask, guest.set, guest.size);
    if (error)
        return error;
    host.set = (uint64_t)wait_mask(&mask);
    host.size = sizeof mask.bits;
    int64_t result = host_call(t, SYS_pselect6, (int)args->a[0], descriptor_set(t, args->a[1]),
                               descriptor_set(t, args->a[2]), descriptor_set(t, args->a[3]),
                               guest_pointer(t, args->a[4], sizeof(struct timespec)), &host);
    return wait_end(t, &mask, result);
}

/* ---- epoll ---- */

int64_t call_epoll_ctl(struct thread *t, const struct sysargs *args)
{
    struct guest_epoll_event guest;
    struct epoll_event host = {0};
    if ((int)args->a[1] != EPOLL_CTL_DEL) {
        if (copy_from_guest(t, &guest, args->a[3], sizeof guest))
            return -EFAULT;
        host = host_epoll_event(&guest);
    }
    return host_call(t, SYS_epoll_ctl, (int)args->a[0], (int)args->a[1], (int)args->a[2], &host);
}

/* The host's kernel has put packed events into the guest's buffer: makes them the guest's, from the last to the first,
 * so that none is overwritten before it is read. */
static int64_t spread_events(const struct thread *t, uint64_t gva, int64_t count)
{
    enum { STEP = 32 };
    struct epoll_event host[STEP];
    struct guest_epoll_event guest[STEP];
    for (int64_t end = count; end > 0;) {
        int64_t start = end > STEP ? end - STEP : 0;
        size_t n = (size_t)(end - start);
        if (copy_from_guest(t, host, gva + (uint64_t)start * sizeof *host, n * sizeof *host))
            return -EFAULT;
        for (size_t i = 0; i < n; i++)
            guest[i] = guest_epoll_event(&host[i]);
        if (copy_to_guest(t, gva + (uint64_t)start * sizeof *guest, guest, n * sizeof *guest))
            return -EFAULT;
        end = start;
    }
    return count;
}

static int64_t epoll_wait_call(struct thread *t, long number, const struct sysargs *args, uint64_t timeout)
{
    struct wait_mask mask;
    int count = (int)args->a[2];
    if (count <= 0 || (size_t)count > INT_MAX / sizeof(struct guest_epoll_event))
        return -EINVAL;
    int error = wait_begin(t, &mask, args->a[4], args->a[5]);
    if (error)
        return error;
    void *events = guest_pointer(t, args->a[1], (uint64_t)count * sizeof(struct guest_epoll_event));
    int64_t result =
        host_call(t, number, (int)args->a[0], events, count, timeout, wait_mask(&mask), sizeof mask.bits);
    wait_end(t, &mask, result);
    return result <= 0 ? result : spread_events(t, args->a[1], result);
}

int64_t call_epoll_pwait(struct thread *t, const struct sysargs *args)
{
    return epoll_wait_call(t, SYS_epoll_pwait, args, (uint64_t)(int64_t)(int)args->a[3]);
}

int64_t call_epoll_pwait2(struct thread *t, const struct sysargs *args)
{
    uint64_t timeout = (uint64_t)guest_pointer(t, args->a[3], sizeof(struct timespec));
    return epoll_wait_call(t, SYS_epoll_pwait2, args, timeout);
}
