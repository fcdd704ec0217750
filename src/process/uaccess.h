/* Access to guest memory for the system calls: the only door, and it checks every pointer.
 * All return 0 or -EFAULT unless they say otherwise. Threads: any; a mapping that vanishes meanwhile is a fault too. */
#ifndef PROCESS_UACCESS_H
#define PROCESS_UACCESS_H

#include "base/util.h"
#include "host/copy.h"
#include "process/process.h"

#include <errno.h>

static inline bool guest_range_ok(const struct thread *t, uint64_t gva, uint64_t size)
{
    return gva < t->hart.mem_limit && size <= t->hart.mem_limit - gva;
}

/* The host pointer for a range that the host's kernel will check: it must never fall on the monitor, so a range that
 * is not the guest's becomes a non-canonical address, for which every kernel answers EFAULT. NULL stays NULL. The
 * kernel may write there as long as it likes: the pages keep the guest's own rights as long as they are mapped (mm_guard.c). */
static inline void *guest_pointer(const struct thread *t, uint64_t gva, uint64_t size)
{
    const struct mm_span *wx = mm_wx_span(t->process->mm);
    if (!gva)
        return NULL;
    if (unlikely(gva < atomic_load_explicit(&wx->high, memory_order_relaxed)) &&
        guest_range_ok(t, gva, size) && gva + size > atomic_load_explicit(&wx->low, memory_order_relaxed))
        mm_give(t->process->mm, gva, size);
    return (void *)(guest_range_ok(t, gva, size) ? t->hart.mem_base + gva : (uint64_t)1 << 63);
}

/* The same for what the kernel measures itself, from the start on: only that must be the guest's, what lies above is not
 * accessible. */
static inline void *guest_pointer_up_to(const struct thread *t, uint64_t gva, uint64_t most)
{
    bool inside = guest_range_ok(t, gva, 1);
    return guest_pointer(t, gva, inside ? MIN(most, t->hart.mem_limit - gva) : 1);
}

static inline int copy_from_guest(const struct thread *t, void *to, uint64_t gva, size_t size)
{
    if (!guest_range_ok(t, gva, size))
        return -EFAULT;
    return host_copy(to, (const void *)(t->hart.mem_base + gva), size) ? -EFAULT : 0;
}

static inline int copy_to_guest(const struct thread *t, uint64_t gva, const void *from, size_t size)
{
    if (!guest_range_ok(t, gva, size))
        return -EFAULT;
    return host_copy((void *)(t->hart.mem_base + gva), from, size) ? -EFAULT : 0;
}

/* Copies a string with its NUL. Returns its length, -EFAULT, or -ENAMETOOLONG when it does not fit `size`. */
static inline long copy_string_from_guest(const struct thread *t, char *to, uint64_t gva, size_t size)
{
    if (gva >= t->hart.mem_limit)
        return -EFAULT;
    uint64_t room = t->hart.mem_limit - gva;
    long n = host_copy_string(to, (const char *)(t->hart.mem_base + gva), size < room ? size : room);
    if (n < 0)
        return -EFAULT;
    return (size_t)n == size ? -ENAMETOOLONG : n;
}

#endif
