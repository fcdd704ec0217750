#include "host/exchange.h"
#include "host/sanitize.h"
#include "host/signal.h"
#include "host/syscall.h"

#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>

#define KERNEL_SA_RESTORER 0x04000000u
#define KERNEL_MASK_SIZE   8

/* Labels of calls_x86_64.S. */
extern const char host_syscall_returned[];
extern const char host_syscall_look[], host_syscall_entered[], host_syscall_not_begun[];
extern const char host_exchange_access[], host_exchange_failed[];
extern const char host_signal_restorer[];

int host_sigaction(int number, const struct host_sigaction *action, struct host_sigaction *old)
{
    struct host_sigaction a;
    if (action) {
        a = *action;
        a.flags |= KERNEL_SA_RESTORER | SA_SIGINFO;
        a.restorer = (uint64_t)host_signal_restorer;
    }
    return (int)host_syscall(SYS_rt_sigaction, number, (long)(action ? &a : NULL), (long)old,
                             KERNEL_MASK_SIZE, 0, 0);
}

static uint64_t change_mask(int how, const uint64_t *mask)
{
    uint64_t old = 0;
    host_syscall(SYS_rt_sigprocmask, how, (long)mask, (long)&old, KERNEL_MASK_SIZE, 0, 0);
    return old;
}

uint64_t host_sigmask(uint64_t mask)
{
    return change_mask(SIG_SETMASK, &mask);
}

uint64_t host_sigmask_now(void)
{
    return change_mask(SIG_BLOCK, NULL);
}

HOST_NO_TSAN static greg_t *pc_of(void *ucontext)
{
    return &((ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RIP];
}

HOST_NO_TSAN uint64_t host_context_pc(const void *ucontext)
{
    return (uint64_t)((const ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RIP];
}

HOST_NO_TSAN bool host_context_writes(const void *ucontext)
{
    const greg_t write = 2; /* Intel SDM volume 3, "Page-Fault Exception" */
    return ((const ucontext_t *)ucontext)->uc_mcontext.gregs[REG_ERR] & write;
}

HOST_NO_TSAN bool host_context_at_call(const void *ucontext)
{
    uint64_t pc = host_context_pc(ucontext);
    return pc == (uint64_t)host_syscall_returned || pc == (uint64_t)host_syscall_entered;
}

HOST_NO_TSAN void host_context_set_mask(void *ucontext, uint64_t mask)
{
    /* libc's sigset_t is larger than what the kernel has put here. */
    memcpy(&((ucontext_t *)ucontext)->uc_sigmask, &mask, KERNEL_MASK_SIZE);
}

HOST_NO_TSAN void host_context_registers(const void *ucontext, uint64_t integer[16], uint64_t fp[16])
{
    static const uint8_t order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                      REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    const mcontext_t *context = &((const ucontext_t *)ucontext)->uc_mcontext;
    for (unsigned i = 0; i < 16; i++) {
        integer[i] = (uint64_t)context->gregs[order[i]];
        memcpy(&fp[i], context->fpregs->_xmm[i].element, sizeof(fp[i]));
    }
}

HOST_NO_TSAN void host_context_set_pc(void *ucontext, const void *pc)
{
    *pc_of(ucontext) = (greg_t)pc;
}

HOST_NO_TSAN void host_context_set_sp(void *ucontext, const void *sp)
{
    ((ucontext_t *)ucontext)->uc_mcontext.gregs[REG_RSP] = (greg_t)sp;
}

HOST_NO_TSAN void host_context_set_step(void *ucontext, bool step)
{
    const greg_t trap_flag = 0x100;
    greg_t *flags = &((ucontext_t *)ucontext)->uc_mcontext.gregs[REG_EFL];
    *flags = step ? *flags | trap_flag : *flags & ~trap_flag;
}

HOST_NO_TSAN void host_syscall_rewind(void *ucontext)
{
    greg_t *pc = pc_of(ucontext);
    if (*pc >= (greg_t)host_syscall_look && *pc < (greg_t)host_syscall_entered)
        *pc = (greg_t)host_syscall_not_begun;
}

HOST_NO_TSAN bool host_exchange_fault(void *ucontext)
{
    greg_t *pc = pc_of(ucontext);
    if (*pc != (greg_t)host_exchange_access)
        return false;
    *pc = (greg_t)host_exchange_failed;
    return true;
}
