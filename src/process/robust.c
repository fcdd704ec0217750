/* Robust futexes. Where guest addresses are the host's, the host's kernel knows the guest's list too and looks after it
 * when the process is killed. Not in lockstep, whose own lock is on the C library's list. */
#include "process/thread.h"

#include "host/exchange.h"
#include "process/serve.h"
#include "process/uaccess.h"

#include <linux/futex.h>

/* As the kernel's: a circular list must not hang it. */
#define ROBUST_LIMIT 2048

struct guest_robust_head {
    uint64_t next;
    int64_t futex_offset;
    uint64_t pending;
};

static bool is_known_to_host(const struct thread *t)
{
    return !t->hart.mem_base && t->process->config->engine.kind != ENGINE_LOCKSTEP;
}

static void tell_host(const struct thread *t)
{
    if (is_known_to_host(t))
        host_call_now(SYS_set_robust_list, guest_pointer(t, t->robust_list, sizeof(struct guest_robust_head)),
                      sizeof(struct guest_robust_head));
}

int64_t sys_set_robust_list(struct thread *t, uint64_t head, uint64_t size)
{
    if (size != sizeof(struct guest_robust_head))
        return -EINVAL;
    t->robust_list = head;
    tell_host(t);
    return 0;
}

/* The list head of the thread `tid` of this process; -EPERM for another process's, whose list the host does not know. */
static int64_t find_head(struct thread *t, int tid, uint64_t *head)
{
    struct process *p = t->process;
    int64_t error = host_call_now(SYS_kill, tid, 0) == -ESRCH ? -ESRCH : -EPERM;
    pthread_mutex_lock(&p->lock);
    for (const struct thread *other = p->threads; other; other = other->next)
        if (other->tid == tid || (tid == 0 && other == t)) {
            *head = other->robust_list;
            error = 0;
        }
    pthread_mutex_unlock(&p->lock);
    return error;
}

int64_t sys_get_robust_list(struct thread *t, uint64_t pid, uint64_t head, uint64_t size)
{
    const uint64_t length = sizeof(struct guest_robust_head);
    uint64_t found = 0;
    int64_t error = find_head(t, (int)pid, &found);
    if (error)
        return error;
    if (copy_to_guest(t, size, &length, sizeof(length)) || copy_to_guest(t, head, &found, sizeof(found)))
        return -EFAULT;
    return 0;
}

static void wake_one(const struct thread *t, uint64_t address)
{
    host_call_now(SYS_futex, guest_pointer(t, address, sizeof(uint32_t)), FUTEX_WAKE, 1);
}

/* One futex of the list. `pending`: the thread was about to take or leave it, so it may not be the owner. */
static void leave_futex(const struct thread *t, uint64_t address, bool pi, bool pending)
{
    uint32_t *futex = guest_pointer(t, address, sizeof(uint32_t)), value;
    if (!futex || (address & 3) || copy_from_guest(t, &value, address, sizeof(value)))
        return;
    if (pending && !pi && !value) {
        wake_one(t, address);
        return;
    }
    for (uint32_t seen; (value & FUTEX_TID_MASK) == (uint32_t)t->tid; value = seen) {
        if (host_exchange32(futex, value, (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED, &seen))
            return;
        if (seen != value)
            continue;
        if (!pi && (value & FUTEX_WAITERS))
            wake_one(t, address);
        return;
    }
}

/* Bit 0 of a link says that the futex it leads to is a priority-inheritance one. */
static void leave_entry(const struct thread *t, uint64_t link, int64_t offset, bool pending)
{
    leave_futex(t, (link & ~(uint64_t)1) + (uint64_t)offset, link & 1, pending);
}

void robust_list_leave(struct thread *t)
{
    uint64_t list = t->robust_list;
    struct guest_robust_head head;
    if (!list)
        return;
    t->robust_list = 0;
    tell_host(t); /* after this the guest may reuse the memory of the list */
    if (copy_from_guest(t, &head, list, sizeof(head)))
        return;
    uint64_t link = head.next;
    for (int i = 0; i < ROBUST_LIMIT && (link & ~(uint64_t)1) != list; i++) {
        uint64_t next;
        int bad = copy_from_guest(t, &next, link & ~(uint64_t)1, sizeof(next));
        if (link != head.pending)
            leave_entry(t, link, head.futex_offset, false);
        if (bad)
            break;
        link = next;
    }
    if (head.pending)
        leave_entry(t, head.pending, head.futex_offset, true);
}

void robust_list_leave_group(struct thread *t)
{
    if (!is_known_to_host(t))
        robust_list_leave(t);
}
