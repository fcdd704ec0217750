#include "process/thread.h"

#include "base/util.h"
#include "process/serve.h"
#include "process/signal.h"
#include "process/syscall.h"
#include "process/uaccess.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <sys/mman.h>

_Thread_local struct thread *current;

#define GUEST_NR_RT_SIGRETURN 139
#define MONITOR_FAILED        125 /* exit status, as of the guise command */

/* ---- The dispatcher ---- */

/* A system call that came back with `result`, one of the two that tell of a signal: should it be left undone until the
 * signal is delivered? */
static bool interrupted(struct thread *t, int64_t result, bool restartable)
{
    if (t->syscall_number == GUEST_NR_RT_SIGRETURN)
        return false; /* only what the guest had in a0 */
    if (!atomic_load_explicit(&t->hart.pending, memory_order_acquire))
        return result == -HOST_ERESTART;
    if (t->restore_sigmask)
        t->interrupted = INTERRUPTED_FAIL;
    else if (result == -HOST_ERESTART)
        t->interrupted = INTERRUPTED_REDO;
    else
        t->interrupted = restartable ? INTERRUPTED_RESTART : INTERRUPTED_FAIL;
    return true;
}

static void serve_syscall(struct thread *t)
{
    bool restartable;
    t->syscalls++;
    int64_t result = syscall_serve(t, &restartable);
    if (unlikely(result == -EINTR || result == -HOST_ERESTART) && interrupted(t, result, restartable))
        return;
    t->hart.x[10] = (uint64_t)result;
    t->hart.pc += 4;
    if (unlikely(t->restore_sigmask)) {
        t->restore_sigmask = false;
        signal_set_mask(t, t->saved_sigmask);
    }
}

/* A fault where the guest may read and write: another thread has changed the mapping since. Tried again, but not for ever:
 * a page which the host will never give must not hang the guest. */
static bool worth_another_try(struct thread *t, const struct mm_region *region)
{
    const int access = PROT_READ | PROT_WRITE;
    const unsigned limit = 1000; /* of such accidents one right after the other */
    struct fault_retry *retry = &t->retry;
    if ((region->prot & access) != access)
        return false;
    if (retry->pc != t->hart.pc || retry->address != t->hart.exit.address)
        *retry = (struct fault_retry){.pc = t->hart.pc, .address = t->hart.exit.address};
    return retry->count++ < limit;
}

static void serve_fault(struct thread *t)
{
    const struct hart_exit *exit = &t->hart.exit;
    struct mm_region region;
    if (exit->host_signal == SIGBUS) {
        signal_force(t, SIGBUS, BUS_ADRERR, exit->address);
        return;
    }
    bool mapped = mm_find(t->process->mm, exit->address, &region) && region.start <= exit->address;
    if (exit->kind == EXIT_FAULT &&
        (mapped ? worth_another_try(t, &region) : mm_grow(t->process->mm, exit->address)))
        return;
    signal_force(t, SIGSEGV, mapped ? SEGV_ACCERR : SEGV_MAPERR, exit->address);
}

static void serve_exit(struct thread *t)
{
    struct hart *hart = &t->hart;
    if (hart->exit.kind != EXIT_FAULT)
        t->retry.count = 0;
    switch (hart->exit.kind) {
    case EXIT_ECALL: serve_syscall(t); break;
    case EXIT_NONE:
    case EXIT_PENDING: break;
    case EXIT_FETCH:
    case EXIT_FAULT: serve_fault(t); break;
    case EXIT_MISALIGNED: signal_force(t, SIGBUS, BUS_ADRALN, hart->exit.address); break;
    case EXIT_ILLEGAL: signal_force(t, SIGILL, ILL_ILLOPC, hart->pc); break;
    case EXIT_EBREAK: signal_force(t, SIGTRAP, TRAP_BRKPT, hart->pc); break;
    case EXIT_WFI: /* a computer's alone */
    case EXIT_WRONG: thread_exit_group(t, MONITOR_FAILED);
    }
}

_Noreturn void thread_run(struct thread *t)
{
    engine_enter_thread(&t->hart);
    hart_fpu_enter(&t->hart);
    for (;;) {
        engine_run(&t->hart);
        serve_exit(t);
        while (unlikely(atomic_load_explicit(&t->hart.pending, memory_order_acquire)))
            signal_deliver(t);
    }
}

/* ---- Life ---- */

struct thread *thread_new(struct process *p, const struct thread *parent, uint64_t sigmask)
{
    struct thread *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->process = p;
    t->altstack.flags = SS_DISABLE;
    if (hart_init(&t->hart, p->code, mm_base(p->mm), mm_limit(p->mm), NULL)) {
        free(t);
        return NULL;
    }
    if (parent)
        hart_copy_state(&t->hart, &parent->hart);
    if (signal_start_thread(t, sigmask)) {
        thread_free(t);
        return NULL;
    }
    return t;
}

void thread_free(struct thread *t)
{
    signal_end_thread(t);
    hart_release(&t->hart);
    free(t->exec_vector);
    free(t);
}

void thread_adopt(struct thread *t)
{
    struct process *p = t->process;
    current = t;
    signal_block_guest();
    t->tid = (int)host_call_now(SYS_gettid);
    pthread_mutex_lock(&p->lock);
    t->next = p->threads;
    p->threads = t;
    p->thread_count++;
    pthread_mutex_unlock(&p->lock);
}

/* Returns whether it was the process's last thread. */
static bool thread_leave(struct thread *t, int status)
{
    struct process *p = t->process;
    pthread_mutex_lock(&p->lock);
    if (!t->end)
        p->exit_status = status;
    struct thread **link = &p->threads;
    while (*link != t)
        link = &(*link)->next;
    *link = t->next;
    bool last = --p->thread_count == 0;
    process_count(p, &t->hart);
    p->syscalls += t->syscalls;
    pthread_mutex_unlock(&p->lock);
    return last;
}

void thread_clear_tid(const struct thread *t, uint64_t address)
{
    const uint32_t zero = 0;
    if (copy_to_guest(t, address, &zero, sizeof(zero)) == 0)
        host_call_now(SYS_futex, guest_pointer(t, address, sizeof(zero)), FUTEX_WAKE, 1);
}

_Noreturn void thread_exit(struct thread *t, int status)
{
    struct process *p = t->process;
    jmp_buf *end = t->end;
    signal_block_guest();
    hart_fpu_leave(&t->hart);
    engine_leave_thread(&t->hart);
    robust_list_leave(t);
    bool last = thread_leave(t, status);
    if (last)
        process_print_stats(p);
    if (t->clear_child_tid && !p->vforked)
        thread_clear_tid(t, t->clear_child_tid);
    signal_block_all();
    if (!last) {
        signal_give_back(t);
        thread_free(t);
        current = NULL;
    }
    while (last) /* host threads of the monitor's own may be left */
        host_call_now(SYS_exit_group, p->exit_status);
    while (!end)
        host_call_now(SYS_exit, status);
    longjmp(*end, 1);
}

_Noreturn void thread_exit_group(struct thread *t, int status)
{
    process_print_stats(t->process);
    robust_list_leave_group(t);
    for (;;)
        host_call_now(SYS_exit_group, status);
}

int64_t sys_set_tid_address(struct thread *t, uint64_t address)
{
    t->clear_child_tid = address;
    return t->tid;
}
