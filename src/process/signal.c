/* The way of a signal that the guest handles:
 *
 *   host's kernel -> on_signal(): queue of the thread, everything blocked, hart kicked, sleeping call rewound
 *                 -> dispatcher: signal_deliver() -> sigframe_push() -> the guest's mask is the host's again
 *
 * A queued signal that turns out to be blocked, or to have its default action, goes back to the host's kernel, which
 * then keeps it pending or acts. SIGSEGV, SIGBUS and SIGTRAP are never blocked at the host, so those wait in the monitor. */
#include "process/signal.h"

#include "base/util.h"
#include "cpu/riscv/code.h"
#include "cpu/riscv/engine.h"
#include "host/copy.h"
#include "host/exchange.h"
#include "host/sanitize.h"
#include "host/signal.h"
#include "host/syscall.h"
#include "process/serve.h"
#include "process/sigframe.h"
#include "process/strace.h"
#include "process/thread.h"
#include "process/uaccess.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int monitor_signals[MONITOR_SIGNAL_COUNT] = {SIGSEGV, SIGBUS, SIGTRAP};

#define GUEST_SIG_DFL           0
#define GUEST_SIG_IGN           1
#define GUEST_SA_EXPOSE_TAGBITS 0x800u
#define GUEST_SA_FLAGS                                                                                \
    (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER | SA_RESETHAND | \
     GUEST_SA_EXPOSE_TAGBITS)

/* A handler blocks all signals until they are delivered, so one entry would do, if a system call that changes the mask
 * did not let in another one before that. */
#define QUEUE_SIZE 8u

/* Filled by handlers on its own thread, emptied by that thread. */
struct signal_queue {
    _Atomic uint32_t head, tail;
    union guest_siginfo ring[QUEUE_SIZE];
    struct held_signals held; /* for this thread alone */
};

HOST_NO_TSAN static bool queue_push(struct signal_queue *q, const siginfo_t *info)
{
    uint32_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
    if (tail - atomic_load_explicit(&q->head, memory_order_relaxed) == QUEUE_SIZE)
        return false;
    memcpy(&q->ring[tail % QUEUE_SIZE], info, sizeof(q->ring[0]));
    atomic_store_explicit(&q->tail, tail + 1, memory_order_release);
    return true;
}

static bool queue_pop(struct signal_queue *q, union guest_siginfo *info)
{
    uint32_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
    if (head == atomic_load_explicit(&q->tail, memory_order_acquire))
        return false;
    *info = q->ring[head % QUEUE_SIZE];
    atomic_store_explicit(&q->head, head + 1, memory_order_release);
    return true;
}

/* ---- Signals that wait in the monitor ---- */

static siginfo_t *held_slot(struct held_signals *held, int number)
{
    unsigned i = 0;
    while (monitor_signals[i] != number)
        i++;
    return &held->info[i];
}

/* As Linux does with a signal that is pending already, a second one is dropped. */
static void hold(struct held_signals *held, const siginfo_t *info)
{
    if (!(held->set & SIGNAL_BIT(info->si_signo)))
        *held_slot(held, info->si_signo) = *info;
    held->set |= SIGNAL_BIT(info->si_signo);
}

static bool take(struct held_signals *held, uint64_t set, siginfo_t *info)
{
    uint64_t found = held->set & set;
    if (!found)
        return false;
    int number = __builtin_ctzll(found) + 1;
    *info = *held_slot(held, number);
    held->set &= ~SIGNAL_BIT(number);
    return true;
}

/* Those that wait for this thread and, since no thread has let them in yet, for any. */
static uint64_t held_for(const struct thread *t)
{
    return t->signals->held.set | t->process->sighand.held.set;
}

static bool take_held(struct thread *t, uint64_t set, union guest_siginfo *info)
{
    struct sighand *sighand = &t->process->sighand;
    if (!(held_for(t) & set))
        return false;
    if (take(&t->signals->held, set, &info->info))
        return true;
    pthread_mutex_lock(&sighand->lock);
    bool found = take(&sighand->held, set, &info->info);
    pthread_mutex_unlock(&sighand->lock);
    return found;
}

/* Makes the dispatcher of each other thread look what waits for it. */
static void call_others(struct thread *t)
{
    int pid = (int)host_call_now(SYS_getpid);
    for (struct thread *other = t->process->threads; other; other = other->next) {
        if (other == t)
            continue;
        hart_kick(&other->hart);
        host_guest_thread_interrupt(pid, other->tid);
    }
}

/* The host has chosen this thread, which the guest has blocking the signal, for one that was sent to the process. */
static void hold_for_all(struct thread *t, const siginfo_t *info)
{
    struct process *p = t->process;
    pthread_mutex_lock(&p->lock);
    pthread_mutex_lock(&p->sighand.lock);
    hold(&p->sighand.held, info);
    pthread_mutex_unlock(&p->sighand.lock);
    call_others(t);
    pthread_mutex_unlock(&p->lock);
}

/* As far as it can be told: kill() and sigqueue(), but pthread_sigqueue() too. */
static bool is_for_process(const siginfo_t *info)
{
    return info->si_code <= 0 && info->si_code != SI_TKILL;
}

/* ---- Handlers of the host ---- */

/* Only a process's first thread may queue for the process what says that the kernel or kill() has sent it. The others give
 * it a code of their own, as many below this as the real one is above 0; what a program gives is never so low. */
#define CODE_GIVEN_BACK (-0x67760000)

HOST_NO_TSAN static void restore_code(siginfo_t *info)
{
    if (info->si_code <= CODE_GIVEN_BACK)
        info->si_code = CODE_GIVEN_BACK - info->si_code;
}

/* Queues the signal at the host again. To the thread if it was meant for it, else to the process: another thread may be
 * waiting for it. */
HOST_NO_TSAN static void give_back(const siginfo_t *info)
{
    long pid = host_call_now(SYS_getpid);
    if (info->si_code == SI_TKILL) {
        host_call_now(SYS_rt_tgsigqueueinfo, pid, host_call_now(SYS_gettid), info->si_signo, info);
    } else if (host_call_now(SYS_rt_sigqueueinfo, pid, info->si_signo, info) == -EPERM) {
        union guest_siginfo marked;
        memcpy(&marked, info, sizeof(marked));
        marked.info.si_code = CODE_GIVEN_BACK - info->si_code;
        host_call_now(SYS_rt_sigqueueinfo, pid, info->si_signo, &marked);
    }
}

HOST_NO_TSAN static void on_signal(int number, siginfo_t *info, void *ucontext)
{
    struct thread *t = current;
    if (!t) { /* the guest has no thread here yet, or no longer */
        host_context_set_mask(ucontext, UINT64_MAX);
        give_back(info);
        return;
    }
    restore_code(info);
    host_context_set_mask(ucontext, ~MONITOR_SIGNALS);
    if (!queue_push(t->signals, info)) {
        if (!(SIGNAL_BIT(number) &
              MONITOR_SIGNALS)) /* not blocked, it would come at once; and it is queued already */
            give_back(info);
        return;
    }
    hart_kick(&t->hart);
    engine_interrupt(&t->hart, ucontext);
    host_syscall_rewind(ucontext);
}

/* A fault of the monitor itself. The signal comes again, with its default action, when the handler returns. */
static void internal_error(int number, uint64_t address, const void *ucontext)
{
    char text[128];
    int n = snprintf(text, sizeof(text), "guise: internal error: %s at pc %#llx, address %#llx\n",
                     number == SIGBUS ? "SIGBUS" : "SIGSEGV", (unsigned long long)host_context_pc(ucontext),
                     (unsigned long long)address);
    host_call_now(SYS_write, STDERR_FILENO, text, n);
    host_sigaction(number, &(struct host_sigaction){.handler = GUEST_SIG_DFL}, NULL);
}

HOST_NO_TSAN static void on_fault(int number, siginfo_t *info, void *ucontext)
{
    struct thread *t = current;
    if (info->si_code <= 0 || host_context_at_call(ucontext)) { /* sent, by others or by the guest itself */
        on_signal(number, info, ucontext);
        return;
    }
    uint64_t address = (uint64_t)info->si_addr;
    if (t && number == SIGSEGV && host_context_writes(ucontext) &&
        code_write_fault(t->process->code, address - t->hart.mem_base))
        return;
    if (host_copy_fault(ucontext) || host_exchange_fault(ucontext))
        return;
    if (t && engine_fault(&t->hart, number, address, ucontext))
        return;
    internal_error(number, address, ucontext);
}

/* A kick that comes late, when the request to stop has been answered, must not look like the end of a system call:
 * that is made again. */
HOST_NO_TSAN static void on_trap(int number, siginfo_t *info, void *ucontext)
{
    struct thread *t = current;
    if (!engine_owns_trap(info, ucontext)) {
        on_signal(number, info, ucontext);
        return;
    }
    if (!t)
        return;
    engine_interrupt(&t->hart, ucontext);
    if (host_context_at_call(ucontext))
        hart_kick(&t->hart);
    host_syscall_rewind(ucontext);
}

/* ---- Dispositions and masks at the host ---- */

/* Gives the host the disposition that makes its kernel do what the guest's action asks for. */
static void mirror_action(int number, const struct guest_sigaction *action)
{
    if (SIGNAL_BIT(number) & MONITOR_SIGNALS)
        return;
    struct host_sigaction host = {.handler = action->handler,
                                  .flags = SA_ONSTACK | (action->flags & (SA_NOCLDSTOP | SA_NOCLDWAIT)),
                                  .mask = UINT64_MAX};
    if (action->handler > GUEST_SIG_IGN)
        host.handler = (uint64_t)on_signal;
    host_sigaction(number, &host, NULL);
}

static void install_monitor_handlers(void)
{
    struct host_sigaction action = {.handler = (uint64_t)on_fault, .flags = SA_ONSTACK, .mask = UINT64_MAX};
    host_sigaction(SIGSEGV, &action, NULL);
    host_sigaction(SIGBUS, &action, NULL);
    action.handler = (uint64_t)on_trap;
    host_sigaction(SIGTRAP, &action, NULL);
}

void signal_block_guest(void)
{
    host_sigmask(~MONITOR_SIGNALS);
}

void signal_block_all(void)
{
    host_sigmask(UINT64_MAX);
}

static void apply_mask(const struct thread *t)
{
    host_sigmask(t->sigmask & ~MONITOR_SIGNALS);
}

void signal_set_mask(struct thread *t, uint64_t mask)
{
    t->sigmask = mask & ~SIGNAL_UNBLOCKABLE;
    apply_mask(t);
    if (held_for(t) & ~t->sigmask)
        hart_kick(&t->hart);
}

bool signal_is_held(const struct thread *t, uint64_t set)
{
    return held_for(t) & set;
}

void signal_swap_mask(struct thread *t, uint64_t mask)
{
    t->saved_sigmask = t->sigmask;
    t->restore_sigmask = true;
    signal_set_mask(t, mask);
}

/* ---- Life ---- */

void signal_start_process(struct process *p)
{
    p->inherited_mask = host_sigmask_now();
    for (unsigned i = 0; i < MONITOR_SIGNAL_COUNT; i++)
        sigaction(monitor_signals[i], NULL, &p->inherited_actions[i]);
    pthread_mutex_init(&p->sighand.lock, NULL);
    for (int number = 1; number <= GUEST_NSIG; number++) {
        struct host_sigaction old;
        bool ignored = host_sigaction(number, NULL, &old) == 0 && old.handler == GUEST_SIG_IGN;
        p->sighand.actions[number] =
            (struct guest_sigaction){.handler = ignored ? GUEST_SIG_IGN : GUEST_SIG_DFL};
    }
    install_monitor_handlers();
    host_sigmask(p->inherited_mask & ~MONITOR_SIGNALS);
}

void signal_cancel_process(struct process *p)
{
    for (unsigned i = 0; i < MONITOR_SIGNAL_COUNT; i++)
        sigaction(monitor_signals[i], &p->inherited_actions[i], NULL);
    host_sigmask(p->inherited_mask);
    pthread_mutex_destroy(&p->sighand.lock);
}

int signal_start_thread(struct thread *t, uint64_t mask)
{
    t->signals = calloc(1, sizeof(*t->signals));
    t->sigmask = mask & ~SIGNAL_UNBLOCKABLE;
    return t->signals ? 0 : -ENOMEM;
}

void signal_end_thread(struct thread *t)
{
    free(t->signals);
    t->signals = NULL;
}

void signal_fork_child(struct thread *t)
{
    struct signal_queue *q = t->signals;
    atomic_store(&q->head, atomic_load(&q->tail));
    q->held.set = t->process->sighand.held.set = 0;
}

void signal_clear_handlers(struct process *p)
{
    for (int number = 1; number <= GUEST_NSIG; number++) {
        struct guest_sigaction *action = &p->sighand.actions[number];
        *action = (struct guest_sigaction){.handler = action->handler == GUEST_SIG_IGN};
        mirror_action(number, action);
    }
}

static void give_back_held(struct held_signals *held)
{
    siginfo_t info;
    while (take(held, MONITOR_SIGNALS, &info))
        give_back(&info);
}

void signal_give_back(struct thread *t)
{
    union guest_siginfo info;
    while (queue_pop(t->signals, &info))
        give_back(&info.info);
    give_back_held(&t->signals->held);
}

void signal_exec_prepare(struct thread *t)
{
    for (unsigned i = 0; i < MONITOR_SIGNAL_COUNT; i++)
        if (t->process->sighand.actions[monitor_signals[i]].handler == GUEST_SIG_IGN)
            host_sigaction(monitor_signals[i], &(struct host_sigaction){.handler = GUEST_SIG_IGN}, NULL);
    host_sigmask(t->sigmask);
    give_back_held(&t->signals->held);
    pthread_mutex_lock(&t->process->sighand.lock);
    give_back_held(&t->process->sighand.held);
    pthread_mutex_unlock(&t->process->sighand.lock);
}

void signal_exec_failed(struct thread *t)
{
    install_monitor_handlers();
    signal_set_mask(t, t->sigmask);
}

_Noreturn void signal_die(struct thread *t, int number)
{
    process_print_stats(t->process);
    signal_block_all();
    host_sigaction(number, &(struct host_sigaction){.handler = GUEST_SIG_DFL}, NULL);
    host_call_now(SYS_tgkill, host_call_now(SYS_getpid), host_call_now(SYS_gettid), number);
    host_sigmask(~SIGNAL_BIT(number));
    for (;;) /* only a debugger can take the signal away */
        host_call_now(SYS_exit_group, 128 + number);
}

/* ---- Delivery ---- */

/* A handler is about to run: what becomes of the system call that its signal has stopped. */
static void settle_syscall(struct thread *t, const struct guest_sigaction *action)
{
    enum interruption how = t->interrupted;
    t->interrupted = INTERRUPTED_NOT;
    if (how == INTERRUPTED_NOT || how == INTERRUPTED_REDO)
        return;
    if (how == INTERRUPTED_RESTART && (action->flags & SA_RESTART))
        return;
    t->hart.x[10] = (uint64_t)-EINTR;
    t->hart.pc += 4;
}

static void run_handler(struct thread *t, const struct guest_sigaction *action, int number,
                        const union guest_siginfo *info)
{
    uint64_t bit = action->flags & SA_NODEFER ? 0 : SIGNAL_BIT(number);
    strace_signal(t, &info->info);
    settle_syscall(t, action);
    if (sigframe_push(t, action, number, info, t->restore_sigmask ? t->saved_sigmask : t->sigmask)) {
        if (number == SIGSEGV)
            signal_die(t, SIGSEGV);
        signal_force(t, SIGSEGV, SI_KERNEL, 0);
        return;
    }
    t->restore_sigmask = false;
    t->sigmask = (t->sigmask | action->mask | bit) & ~SIGNAL_UNBLOCKABLE;
}

/* The action as it is now; one that is for once is the default from now on. */
static struct guest_sigaction take_action(struct process *p, int number)
{
    pthread_mutex_lock(&p->sighand.lock);
    struct guest_sigaction *entry = &p->sighand.actions[number], action = *entry;
    if (action.handler > GUEST_SIG_IGN && (action.flags & SA_RESETHAND)) {
        entry->handler = GUEST_SIG_DFL;
        mirror_action(number, entry);
    }
    pthread_mutex_unlock(&p->sighand.lock);
    return action;
}

static void deliver_one(struct thread *t, const union guest_siginfo *info)
{
    int number = info->info.si_signo;
    struct guest_sigaction action = take_action(t->process, number);
    if (action.handler > GUEST_SIG_IGN)
        run_handler(t, &action, number, info);
    else if (action.handler == GUEST_SIG_DFL && (SIGNAL_BIT(number) & MONITOR_SIGNALS))
        signal_die(t, number);
    else if (action.handler == GUEST_SIG_DFL)
        give_back(&info->info); /* changed since it was queued: now the host's kernel knows what to do */
}

/* The next signal that the guest does not block. */
static bool take_deliverable(struct thread *t, union guest_siginfo *info)
{
    if (take_held(t, ~t->sigmask, info))
        return true;
    while (queue_pop(t->signals, info)) {
        uint64_t bit = SIGNAL_BIT(info->info.si_signo);
        if (!(bit & t->sigmask))
            return true;
        if (bit & MONITOR_SIGNALS && is_for_process(&info->info)) {
            hold_for_all(t, &info->info);
        } else if (bit & MONITOR_SIGNALS) {
            hold(&t->signals->held, &info->info);
        } else {
            signal_block_guest(); /* or it would come back at once */
            give_back(&info->info);
        }
    }
    return false;
}

void signal_deliver(struct thread *t)
{
    union guest_siginfo info;
    atomic_store(&t->hart.pending, 0);
    while (take_deliverable(t, &info))
        deliver_one(t, &info);
    t->interrupted = INTERRUPTED_NOT;
    if (t->restore_sigmask) {
        t->restore_sigmask = false;
        t->sigmask = t->saved_sigmask;
    }
    signal_set_mask(t, t->sigmask);
}

void signal_force(struct thread *t, int number, int code, uint64_t address)
{
    union guest_siginfo info = {.bytes = {0}};
    info.info.si_signo = number;
    info.info.si_code = code;
    info.info.si_addr = (void *)address;
    struct guest_sigaction action = take_action(t->process, number);
    if (action.handler <= GUEST_SIG_IGN || (t->sigmask & SIGNAL_BIT(number)))
        signal_die(t, number);
    run_handler(t, &action, number, &info);
    apply_mask(t);
}

/* ---- System calls ---- */

int64_t sys_rt_sigaction(struct thread *t, uint64_t number, uint64_t act, uint64_t old, uint64_t size)
{
    struct sighand *sighand = &t->process->sighand;
    struct guest_sigaction new, was;
    if (size != sizeof(uint64_t))
        return -EINVAL;
    if (act && copy_from_guest(t, &new, act, sizeof(new)))
        return -EFAULT;
    int n = (int)number;
    if (n < 1 || n > GUEST_NSIG || (act && (SIGNAL_BIT(n) & SIGNAL_UNBLOCKABLE)))
        return -EINVAL;
    pthread_mutex_lock(&sighand->lock);
    was = sighand->actions[n];
    if (act) {
        new.flags &= GUEST_SA_FLAGS;
        new.mask &= ~SIGNAL_UNBLOCKABLE;
        sighand->actions[n] = new;
        mirror_action(n, &new);
    }
    pthread_mutex_unlock(&sighand->lock);
    return old ? copy_to_guest(t, old, &was, sizeof(was)) : 0;
}

int64_t sys_rt_sigprocmask(struct thread *t, uint64_t how, uint64_t set, uint64_t old, uint64_t size)
{
    uint64_t was = t->sigmask, bits, mask;
    if (size != sizeof(uint64_t))
        return -EINVAL;
    if (set) {
        if (copy_from_guest(t, &bits, set, sizeof(bits)))
            return -EFAULT;
        switch ((int)how) {
        case SIG_BLOCK: mask = was | bits; break;
        case SIG_UNBLOCK: mask = was & ~bits; break;
        case SIG_SETMASK: mask = bits; break;
        default: return -EINVAL;
        }
        signal_set_mask(t, mask);
    }
    return old ? copy_to_guest(t, old, &was, sizeof(was)) : 0;
}

int64_t sys_rt_sigreturn(struct thread *t)
{
    uint64_t mask;
    if (sigframe_pop(t, &mask))
        signal_force(t, SIGSEGV, SI_KERNEL, 0);
    else
        signal_set_mask(t, mask);
    t->hart.pc -= 4; /* the dispatcher is about to step over the ecall */
    return (int64_t)t->hart.x[10];
}

int64_t sys_rt_sigsuspend(struct thread *t, uint64_t set, uint64_t size)
{
    uint64_t mask;
    if (size != sizeof(mask))
        return -EINVAL;
    if (copy_from_guest(t, &mask, set, sizeof(mask)))
        return -EFAULT;
    signal_swap_mask(t, mask);
    return host_call(t, SYS_pause);
}

int64_t sys_rt_sigpending(struct thread *t, uint64_t set, uint64_t size)
{
    uint64_t pending = 0;
    if (size > sizeof(pending))
        return -EINVAL;
    host_call_now(SYS_rt_sigpending, &pending, sizeof(pending));
    pending = (pending | held_for(t)) & t->sigmask;
    return copy_to_guest(t, set, &pending, size);
}

/* The host's own wait. A kick may be what it was waiting for. Since MONITOR_SIGNALS are not blocked at the host, the host may
 * wake this thread for one that another thread takes then: no reason to end the wait. Other waits end as the host says:
 * being stopped ends them, too. */
static int64_t wait_at_host(struct thread *t, const uint64_t *wanted, uint64_t timeout,
                            union guest_siginfo *info)
{
    int64_t result = host_call(t, SYS_rt_sigtimedwait, wanted, info,
                               guest_pointer(t, timeout, sizeof(struct timespec)), sizeof(*wanted));
    if (result > 0)
        restore_code(&info->info);
    bool kicked = result == SIGTRAP && host_guest_thread_interrupted(&info->info);
    bool missed = result == -EINTR && *wanted & MONITOR_SIGNALS &&
                  !atomic_load_explicit(&t->hart.pending, memory_order_acquire);
    return kicked || missed ? -HOST_ERESTART : result;
}

int64_t sys_rt_sigtimedwait(struct thread *t, uint64_t set, uint64_t info, uint64_t timeout, uint64_t size)
{
    uint64_t wanted;
    union guest_siginfo found;
    if (size != sizeof(wanted))
        return -EINVAL;
    if (copy_from_guest(t, &wanted, set, sizeof(wanted)))
        return -EFAULT;
    int64_t result =
        take_held(t, wanted, &found) ? found.info.si_signo : wait_at_host(t, &wanted, timeout, &found);
    if (result > 0 && info && copy_to_guest(t, info, &found, sizeof(found)))
        return -EFAULT;
    return result;
}
