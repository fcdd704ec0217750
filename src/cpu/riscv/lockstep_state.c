#include "cpu/riscv/lockstep.h"

#include "base/buf.h"

#include <string.h>

#define FCSR_FLAGS 0x1fu

static void note_integer(const struct hart *hart, struct lockstep_state *s)
{
    memcpy(s->x, hart->x, sizeof(s->x));
    s->pc = hart->pc;
    s->reserve_address = hart->reserve_address;
    s->reserve_value = hart->reserve_value;
    memset(s->privileged, 0, sizeof(s->privileged));
}

void lockstep_note(const struct hart *hart, struct lockstep_state *s, struct lockstep_fp *fp)
{
    note_integer(hart, s);
    memcpy(fp->f, hart->f, sizeof(fp->f));
    fp->fcsr = hart_fcsr(hart);
    s->fp = fp;
}

void lockstep_restore(struct hart *hart, const struct lockstep_state *s)
{
    memcpy(hart->x, s->x, sizeof(s->x));
    memcpy(hart->f, s->fp->f, sizeof(s->fp->f));
    hart->pc = s->pc;
    hart->reserve_address = s->reserve_address;
    hart->reserve_value = s->reserve_value;
    hart_set_fcsr(hart, s->fp->fcsr);
}

void lockstep_begin(struct lockstep_path *path, const struct hart *hart)
{
    path->steps = 0;
    lockstep_note(hart, &path->states[0], &path->fps[0]);
}

void lockstep_step(struct lockstep_path *path, const struct hart *hart, const struct rv_insn *insn)
{
    bool is_fp = rv_op_flags(insn->op) & RV_FP || rv_op_ext(insn->op) == RV_EXT_ZICSR;
    struct lockstep_state *s = &path->states[++path->steps];
    if (is_fp) {
        lockstep_note(hart, s, &path->fps[path->steps]);
        return;
    }
    note_integer(hart, s);
    s->fp = s[-1].fp;
}

static bool same_reservation(const struct lockstep_state *a, const struct lockstep_state *b)
{
    return a->reserve_address == b->reserve_address &&
           (a->reserve_address == HART_NO_RESERVE || a->reserve_value == b->reserve_value);
}

static uint32_t early_flags(const struct lockstep_path *path, unsigned steps, enum lift_stop stop)
{
    return stop == LIFT_INTERPRET && steps < path->steps ? path->states[steps + 1].fp->fcsr & FCSR_FLAGS : 0;
}

bool lockstep_agrees(const struct lockstep_path *path, unsigned steps, const struct lockstep_state *jit,
                     enum lift_stop stop)
{
    const struct lockstep_state *interp = &path->states[steps];
    uint32_t fcsr = jit->fp->fcsr & (interp->fp->fcsr | ~early_flags(path, steps, stop));
    return interp->pc == jit->pc && interp->fp->fcsr == fcsr &&
           memcmp(interp->privileged, jit->privileged, sizeof(jit->privileged)) == 0 &&
           same_reservation(interp, jit) && memcmp(interp->x, jit->x, sizeof(jit->x)) == 0 &&
           memcmp(interp->fp->f, jit->fp->f, sizeof(jit->fp->f)) == 0;
}

bool lockstep_find(const struct lockstep_path *path, unsigned from, uint64_t pc, unsigned *steps)
{
    for (unsigned i = from; i <= path->steps; i++)
        if (path->states[i].pc == pc) {
            *steps = i;
            return true;
        }
    return false;
}

static void print_value(struct buf *out, const char *kind, unsigned number, uint64_t interp, uint64_t jit)
{
    if (interp != jit)
        buf_printf(out, "  %s%-2u  interpreter %#018llx  translation %#018llx\n", kind, number,
                   (unsigned long long)interp, (unsigned long long)jit);
}

static void print_start(struct buf *out, const struct lockstep_state *start)
{
    buf_printf(out, "registers at the start:\n");
    for (unsigned i = 0; i < 32; i++)
        buf_printf(out, "  x%-2u %016llx  f%-2u %016llx\n", i, (unsigned long long)start->x[i], i,
                   (unsigned long long)start->fp->f[i]);
    buf_printf(out, "fcsr at the start: %#x\n", start->fp->fcsr);
}

void lockstep_print(struct buf *out, const struct lockstep_path *path, unsigned from, unsigned steps,
                    const struct lockstep_state *jit)
{
    static const char *const privileged[] = {"mode", "mstatus", "sscratch", "sepc", "scause", "stval"};
    const struct lockstep_state *interp = &path->states[steps];
    print_start(out, &path->states[from]);
    buf_printf(out, "differences:\n");
    print_value(out, "pc", 0, interp->pc, jit->pc);
    for (unsigned i = 0; i < 32; i++)
        print_value(out, "x", i, interp->x[i], jit->x[i]);
    for (unsigned i = 0; i < 32; i++)
        print_value(out, "f", i, interp->fp->f[i], jit->fp->f[i]);
    print_value(out, "fcsr", 0, interp->fp->fcsr, jit->fp->fcsr);
    for (unsigned i = 0; i < LOCKSTEP_PRIVILEGED_COUNT; i++)
        print_value(out, privileged[i], 0, interp->privileged[i], jit->privileged[i]);
    print_value(out, "reservation", 0, interp->reserve_address, jit->reserve_address);
    if (interp->reserve_address != HART_NO_RESERVE)
        print_value(out, "reserved value", 0, interp->reserve_value, jit->reserve_value);
}

/* Where the encoding has the width: in the low bits of funct3, for loads beside the sign. */
unsigned lockstep_access_size(const struct rv_insn *insn)
{
    enum { BLOCK = 64, WIDTH = 7, LOAD_WIDTH = 3 };
    struct rv_insn plain = *insn;
    if (insn->op == RV_CBO_ZERO)
        return BLOCK;
    plain.row = plain.op;
    plain.length = 4;
    bool is_store = rv_op_flags(insn->op) & RV_STORE;
    return 1u << (rv_encode(&plain) >> 12 & (is_store ? WIDTH : LOAD_WIDTH));
}
