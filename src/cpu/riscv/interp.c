/* The interpreter: the reference meaning of every instruction, and the portable engine.
 *
 *   interp_run ── code_enter ─> run ──> handler ──> handler ──> ... ──> exit
 *                                         │  ^          (each jumps straight to the next one's address)
 *                          taken branch   v  │
 *                                   link in the cell ──(unresolved)──> code_find ──> predecode
 *
 * Every handler is written once, under the name of its row of riscv.isa; a row without one does not compile. Most are
 * in interp_rows.inc, for the interpreter of computers (interp_system.c) has them, too. */
#include "cpu/riscv/unit.h"

#define INTERP_BIAS(hart) 0

#include "cpu/riscv/csr.h"
#include "cpu/riscv/interp_common.h"

#include <signal.h>

static const struct interp_table *run(struct hart *hart, const union cell *c);

const struct interp_table *interp_table(void)
{
    return run(NULL, NULL);
}

/* The host address of a guest access. Registers are in place before it and the cell is noted, for it may fault. */
#define ACCESS(guest_address)                \
    uint64_t address = (guest_address);      \
    h->cell = c;                             \
    if (unlikely(address >= h->mem_limit)) { \
        bad_address = address;               \
        goto out_of_range;                   \
    }                                        \
    uint64_t host = h->mem_base + address;   \
    __asm__ volatile("" ::: "memory")

#define GUEST_LOAD(mem, guest_address) \
    ({                                 \
        ACCESS(guest_address);         \
        *(mem *)host;                  \
    })

#define GUEST_STORE(mem, guest_address, value) \
    do {                                       \
        ACCESS(guest_address);                 \
        *(mem *)host = (value);                \
    } while (0)

#define GUEST_ATOMIC(guest_address, size, access) \
    ACCESS(guest_address);                        \
    if (unlikely(address & ((size)-1))) {         \
        bad_address = address;                    \
        goto misaligned;                          \
    }                                             \
    (void)0

#define RESERVATION address
#define FP_IS_ON    (void)0
#define FP_CHANGES  (void)0

#define CSR(row, operand, writes, operation)                               \
    op_##row:                                                              \
    {                                                                      \
        uint64_t value, set = (operand);                                   \
        if (!csr_read(h, (unsigned)c->imm, h->instret + c->aux, &value) || \
            ((writes) && !csr_write(h, (unsigned)c->imm, (operation))))    \
            goto illegal;                                                  \
        x[c->rd] = value;                                                  \
    }                                                                      \
    NEXT;

/* Runs from the cell or, without one, from the hart's pc until an exit, which it leaves in the hart. With a NULL hart it only tells where its handlers are: their addresses
 * are known in this function alone. */
__attribute__((noinline)) HOST_GUEST_ACCESS static const struct interp_table *run(struct hart *h,
                                                                                  const union cell *c)
{
#define RV_X(row, name, ext) [RV_##row] = &&op_##row,
    static const struct interp_table table = {
        .handlers = {[RV_INVALID] = &&illegal,
                     RV_ROWS(RV_X)[CELL_LI] = &&cell_li,
                     [CELL_LI64] = &&cell_li64,
                     [CELL_NEXT] = &&cell_next,
                     [CELL_DEAD] = &&cell_dead,
                     [CELL_COUNT] = &&cell_count},
        .unresolved = {{.handler = &&cell_resolve}},
    };
#undef RV_X
    if (!h)
        return &table;

    uint64_t *const x = h->x, *const f = h->f;
    union cell *from = NULL; /* the operand cell whose link was followed last */
    uint64_t target = h->pc & ~(uint64_t)1, bad_address;
    if (!c)
        goto find;
    DISPATCH;

    /* ---- Cells of our own ---- */
cell_li:
    x[c->rd] = IMM;
    NEXT;
cell_li64:
    x[c->rd] = c[1].constant;
    c += 2;
    DISPATCH;
cell_next:
    h->instret += c->aux;
    FOLLOW((union cell *)c + 1);
cell_count:
    if (unlikely(!count_down((union cell *)c))) {
        h->exit.kind = EXIT_NONE;
        h->cell = c;
        h->pc = unit_of(c)->pc;
        return NULL;
    }
    NEXT;
cell_dead:
    exit_at(h, c);
    target = h->pc;
    if (!from || __atomic_load_n(&from->link, __ATOMIC_RELAXED) != c)
        goto find;
    /* The link led here: it gets its new end. */
cell_resolve:
    c = code_find(h->code, from->target);
    if (!c) {
        target = from->target;
        goto fetch_fault;
    }
    __atomic_store_n(&from->link, c, __ATOMIC_RELEASE);
    DISPATCH;

    /* ---- Jumps ---- */
op_JALR:
    target = (X1 + IMM) & ~(uint64_t)1;
    x[c->rd] = c[1].constant;
    h->instret += c->aux;
    if (unlikely(host_is_set(h->pending)))
        goto pending_at_target;
    {
        const struct jump_entry *jump = jump_slot(h->jumps, target);
        if (unlikely(jump->pc != target))
            goto find;
        c = jump->cell;
    }
    DISPATCH;
op_FENCE_I:
    h->instret += c->aux;
    code_fence(h->code);
    FOLLOW((union cell *)c + 1);
op_ECALL:
    h->instret += c->aux;
    h->pc = c[1].constant;
    h->exit.kind = EXIT_ECALL;
    return NULL;
op_EBREAK:
    h->exit.kind = EXIT_EBREAK;
    goto exit_at_cell;

    /* ---- Privileged: no program may ---- */
op_MRET:
op_WFI:
op_SRET:
op_SFENCE_VMA:
op_SINVAL_VMA:
op_SFENCE_W_INVAL:
op_SFENCE_INVAL_IR:
    goto illegal;

    /* ---- Zicsr ---- */
    CSR(CSRRW, X1, true, set)
    CSR(CSRRS, X1, c->rs1 != 0, value | set)
    CSR(CSRRC, X1, c->rs1 != 0, value & ~set)
    CSR(CSRRWI, c->rs1, true, set)
    CSR(CSRRSI, c->rs1, c->rs1 != 0, value | set)
    CSR(CSRRCI, c->rs1, c->rs1 != 0, value & ~set)

    /* ---- Cache blocks, of 64 bytes ---- */
op_CBO_CLEAN: /* host caches are coherent: what is left is the check of the address */
op_CBO_FLUSH:
op_CBO_INVAL : {
    ACCESS(X1);
    (void)*(mem_u8 *)host;
}
    NEXT;
op_CBO_ZERO : {
    ACCESS(X1 & ~(uint64_t)63);
    for (unsigned i = 0; i < 64; i += 8)
        *(mem_u64 *)(host + i) = 0;
}
    NEXT;

#include "cpu/riscv/interp_rows.inc"

    /* ---- Ways out ---- */
find:
    c = code_find(h->code, target);
    if (!c)
        goto fetch_fault;
    *jump_slot(h->jumps, target) = (struct jump_entry){target, c};
    if (unlikely(host_is_set(h->pending)))
        goto pending_at_target;
    DISPATCH;
pending:
    target = from->target;
pending_at_target:
    h->pc = target;
    h->exit.kind = EXIT_PENDING;
    return NULL;
fetch_fault:
    h->pc = target;
    h->exit.kind = EXIT_FETCH;
    h->exit.address = code_fetch_fault(h->code, target, &h->exit.host_signal);
    return NULL;
out_of_range:
    h->exit = (struct hart_exit){EXIT_FAULT, bad_address, SIGSEGV};
    goto exit_at_cell;
misaligned:
    h->exit = (struct hart_exit){EXIT_MISALIGNED, bad_address, SIGBUS};
    goto exit_at_cell;
illegal:
    h->exit.kind = EXIT_ILLEGAL;
exit_at_cell:
    exit_at(h, c);
    return NULL;
}

const struct unit *interp_go(struct hart *h, const union cell *cell)
{
    if (host_unwind_mark(&h->unwind))
        exit_at(h, h->cell); /* interp_fault() has filled in h->exit */
    else
        run(h, cell);
    const struct unit *unit = h->exit.kind == EXIT_NONE ? unit_of(h->cell) : NULL;
    h->cell = NULL;
    return unit;
}

void interp_run(struct hart *h)
{
    code_enter(h->code, h);
    h->reserve_address = HART_NO_RESERVE; /* as a kernel does on its way back from any trap */
    interp_go(h, NULL);
    code_leave(h);
}

HOST_NO_TSAN bool interp_fault(struct hart *h, int host_signal, uint64_t host_address, void *ucontext)
{
    const uint64_t widest = 16; /* an access may begin below the limit and end above it */
    if (!h->cell || host_address - h->mem_base >= h->mem_limit + widest)
        return false;
    h->exit = (struct hart_exit){EXIT_FAULT, host_address - h->mem_base, host_signal};
    host_unwind_to(&h->unwind, ucontext);
    return true;
}
