#include "process/sigframe.h"

#include "base/util.h"
#include "process/uaccess.h"

#include <string.h>

#define GUEST_MINSIGSTKSZ   2048
#define GUEST_SS_ONSTACK    1
#define GUEST_SS_DISABLE    2
#define GUEST_SS_AUTODISARM ((int32_t)(1u << 31))

struct guest_stack_t {
    uint64_t sp;
    int32_t flags;
    uint32_t padding;
    uint64_t size;
};

/* Room for a Q extension; a hart with D uses its beginning. What is reserved is a list of extension records: zero ends it
 * at once. */
struct guest_fp_state {
    uint64_t f[32];
    uint32_t fcsr;
    uint32_t q_room[64];
    uint32_t reserved[3];
};

struct guest_ucontext {
    uint64_t flags, link;
    struct guest_stack_t stack;
    uint64_t mask;
    uint8_t mask_room[120];
    uint64_t alignment;
    uint64_t regs[32]; /* pc in the place of x0 */
    struct guest_fp_state fp;
};

struct guest_rt_sigframe {
    union guest_siginfo info;
    struct guest_ucontext uc;
};

_Static_assert(offsetof(struct guest_ucontext, regs) == 176, "uc_mcontext is aligned to 16");
_Static_assert(sizeof(struct guest_fp_state) == 528, "as union __riscv_fp_state");
_Static_assert(sizeof(struct guest_rt_sigframe) == 1088, "as the kernel's");

/* ---- The alternate stack ---- */

static bool on_altstack(const struct thread *t, uint64_t sp)
{
    const struct guest_stack *s = &t->altstack;
    return !(s->flags & GUEST_SS_AUTODISARM) && sp > s->sp && sp - s->sp <= s->size;
}

static int32_t altstack_state(const struct thread *t, uint64_t sp)
{
    if (!t->altstack.size)
        return GUEST_SS_DISABLE;
    return on_altstack(t, sp) ? GUEST_SS_ONSTACK : 0;
}

static int altstack_set(struct thread *t, const struct guest_stack_t *stack, uint64_t sp)
{
    int32_t mode = stack->flags & ~GUEST_SS_AUTODISARM;
    if (on_altstack(t, sp))
        return -EPERM;
    if (mode != GUEST_SS_DISABLE && mode != GUEST_SS_ONSTACK && mode != 0)
        return -EINVAL;
    if (mode == GUEST_SS_DISABLE)
        t->altstack = (struct guest_stack){.flags = stack->flags};
    else if (stack->size < GUEST_MINSIGSTKSZ)
        return -ENOMEM;
    else
        t->altstack = (struct guest_stack){stack->sp, stack->flags, stack->size};
    return 0;
}

int64_t sys_sigaltstack(struct thread *t, uint64_t stack, uint64_t old)
{
    uint64_t sp = t->hart.x[2];
    struct guest_stack_t new, was = {
                                  .sp = t->altstack.sp,
                                  .flags = altstack_state(t, sp) | (t->altstack.flags & GUEST_SS_AUTODISARM),
                                  .size = t->altstack.size,
                              };
    if (stack && copy_from_guest(t, &new, stack, sizeof(new)))
        return -EFAULT;
    int error = stack ? altstack_set(t, &new, sp) : 0;
    if (!error && old)
        error = copy_to_guest(t, old, &was, sizeof(was));
    return error;
}

/* ---- Frames ---- */

/* Where the frame goes; false when the alternate stack would overflow. */
static bool frame_place(const struct thread *t, const struct guest_sigaction *action, uint64_t *place)
{
    uint64_t sp = t->hart.x[2];
    const uint64_t size = sizeof(struct guest_rt_sigframe);
    if (on_altstack(t, sp) && !on_altstack(t, sp - size))
        return false;
    if ((action->flags & SA_ONSTACK) && altstack_state(t, sp) == 0)
        sp = t->altstack.sp + t->altstack.size;
    *place = ALIGN_DOWN(sp - size, 16);
    return true;
}

static void save_hart(struct guest_ucontext *uc, struct hart *hart)
{
    uc->regs[0] = hart->pc;
    memcpy(&uc->regs[1], &hart->x[1], 31 * sizeof(uc->regs[0]));
    memcpy(uc->fp.f, hart->f, sizeof(uc->fp.f));
    uc->fp.fcsr = hart_fcsr(hart);
}

static void restore_hart(const struct guest_ucontext *uc, struct hart *hart)
{
    hart->pc = uc->regs[0];
    memcpy(&hart->x[1], &uc->regs[1], 31 * sizeof(uc->regs[0]));
    memcpy(hart->f, uc->fp.f, sizeof(uc->fp.f));
    hart_set_fcsr(hart, uc->fp.fcsr);
    hart->reserve_address = HART_NO_RESERVE;
}

static void enter_handler(struct thread *t, uint64_t handler, int number, uint64_t frame)
{
    struct hart *hart = &t->hart;
    hart->pc = handler;
    hart->x[1] = t->process->vdso_sigreturn;
    hart->x[2] = frame;
    hart->x[10] = (uint64_t)number;
    hart->x[11] = frame + offsetof(struct guest_rt_sigframe, info);
    hart->x[12] = frame + offsetof(struct guest_rt_sigframe, uc);
    hart->reserve_address = HART_NO_RESERVE;
}

int sigframe_push(struct thread *t, const struct guest_sigaction *action, int number,
                  const union guest_siginfo *info, uint64_t mask)
{
    uint64_t place;
    struct guest_rt_sigframe frame = {.info = *info};
    if (!frame_place(t, action, &place))
        return -EFAULT;
    frame.uc.stack = (struct guest_stack_t){t->altstack.sp, t->altstack.flags, 0, t->altstack.size};
    frame.uc.mask = mask;
    save_hart(&frame.uc, &t->hart);
    if (copy_to_guest(t, place, &frame, sizeof(frame)))
        return -EFAULT;
    enter_handler(t, action->handler, number, place);
    if (t->altstack.flags & GUEST_SS_AUTODISARM)
        t->altstack = (struct guest_stack){.flags = GUEST_SS_DISABLE};
    return 0;
}

int sigframe_pop(struct thread *t, uint64_t *mask)
{
    struct guest_rt_sigframe frame;
    if (copy_from_guest(t, &frame, t->hart.x[2], sizeof(frame)))
        return -EFAULT;
    const uint32_t *reserved = frame.uc.fp.reserved;
    if (reserved[0] | reserved[1] | reserved[2])
        return -EINVAL;
    restore_hart(&frame.uc, &t->hart);
    altstack_set(t, &frame.uc.stack, t->hart.x[2]); /* as Linux, a bad one is passed over */
    *mask = frame.uc.mask;
    return 0;
}
