/* What the two interpreters have in common, a process VM's (interp.c) and a computer's (interp_system.c): helpers,
 * and the macros that interp_rows.inc is made of. Private to the two, which define before they include it:
 *
 *   INTERP_BIAS(hart)                  gva - pc of the unit that is executed
 *
 * and before they include interp_rows.inc:
 *
 *   GUEST_LOAD(mem, address)           an expression; where there is nothing to be read, the instruction is left
 *   GUEST_STORE(mem, address, value)
 *   GUEST_ATOMIC(address, size, access)  declares `host`, where an atomic may access `size` bytes
 *   RESERVATION                        what stands for the place of the last GUEST_ATOMIC()
 *   FP_IS_ON, FP_CHANGES               floating-point state may be used; and written */
#ifndef CPU_RISCV_INTERP_COMMON_H
#define CPU_RISCV_INTERP_COMMON_H

#include "base/util.h"
#include "cpu/riscv/fp.h"
#include "cpu/riscv/unit.h"
#include "host/atomic.h"
#include "host/sanitize.h"

#include <stddef.h>

/* Guest memory is accessed as the guest says, aligned or not, once, whole, and never left out. */
#define MEM_TYPE(name, type) typedef type __attribute__((may_alias, aligned(1))) name
MEM_TYPE(mem_u8, volatile uint8_t);
MEM_TYPE(mem_u16, volatile uint16_t);
MEM_TYPE(mem_u32, volatile uint32_t);
MEM_TYPE(mem_u64, volatile uint64_t);

static inline int64_t high_signed(uint64_t a, uint64_t b)
{
    return (int64_t)((__int128)(int64_t)a * (int64_t)b >> 64);
}

static inline int64_t high_mixed(uint64_t a, uint64_t b)
{
    return (int64_t)((__int128)(int64_t)a * (__int128)b >> 64);
}

static inline uint64_t high_unsigned(uint64_t a, uint64_t b)
{
    return (uint64_t)((unsigned __int128)a * b >> 64);
}

static inline uint64_t orc_b(uint64_t a)
{
    uint64_t low = a & 0x7f7f7f7f7f7f7f7f;
    uint64_t ones = ((low + 0x7f7f7f7f7f7f7f7f) | a) & 0x8080808080808080;
    return (ones >> 7) * 0xff;
}

static inline uint64_t rotate_right(uint64_t a, unsigned n)
{
    return a >> (n & 63) | a << (-n & 63);
}

static inline uint32_t rotate_right_w(uint32_t a, unsigned n)
{
    return a >> (n & 31) | a << (-n & 31);
}

static inline unsigned __int128 carryless(uint64_t a, uint64_t b)
{
    unsigned __int128 product = 0;
    for (unsigned i = 0; i < 64; i++)
        if (b >> i & 1)
            product ^= (unsigned __int128)a << i;
    return product;
}

/* Register values as the row reads them. X2 and friends are macros of the handlers. */
#define X1          x[c->rs1]
#define X2          x[c->rs2]
#define W1          (uint32_t) x[c->rs1]
#define W2          (uint32_t) x[c->rs2]
#define S1          (int64_t) x[c->rs1]
#define S2          (int64_t) x[c->rs2]
#define SW1         (int32_t) x[c->rs1]
#define SW2         (int32_t) x[c->rs2]
#define IMM         (uint64_t)(int64_t) c->imm
#define SEXT(value) (uint64_t)(int64_t)(int32_t)(value)

#define DISPATCH    goto *__atomic_load_n(&c->handler, __ATOMIC_RELAXED)
#define NEXT      \
    do {          \
        c++;      \
        DISPATCH; \
    } while (0)

/* One row of plain integer computation. */
#define COMPUTE(row, value)                  \
    op_##row : x[c->rd] = (uint64_t)(value); \
    NEXT;

/* Follows a link. Every taken branch polls `pending`, so a request is noticed within one unit. */
#define FOLLOW(operand_cell)                                \
    do {                                                    \
        from = (operand_cell);                              \
        if (unlikely(host_is_set(h->pending)))              \
            goto pending;                                   \
        c = __atomic_load_n(&from->link, __ATOMIC_ACQUIRE); \
        DISPATCH;                                           \
    } while (0)

#define BRANCH(row, condition)       \
    op_##row : if (condition)        \
    {                                \
        h->instret += c->aux;        \
        FOLLOW((union cell *)c + 1); \
    }                                \
    c += 2;                          \
    DISPATCH;

#define LOAD(row, mem, type)                                                  \
    op_##row : x[c->rd] = (uint64_t)(int64_t)(type)GUEST_LOAD(mem, X1 + IMM); \
    NEXT;

#define STORE(row, mem, value)                    \
    op_##row : GUEST_STORE(mem, X1 + IMM, value); \
    NEXT;

#define LOAD_F(row, mem, box)                     \
    op_##row : FP_CHANGES;                        \
    f[c->rd] = (box) | GUEST_LOAD(mem, X1 + IMM); \
    NEXT;

#define STORE_F(row, mem, value)       \
    op_##row : FP_IS_ON;               \
    GUEST_STORE(mem, X1 + IMM, value); \
    NEXT;

/* Host atomics that write are sequentially consistent: stronger than any aq and rl ask for. */
#define AMO(row, type, operation, get)                                                          \
    op_##row:                                                                                   \
    {                                                                                           \
        GUEST_ATOMIC(X1, sizeof(type), MMU_STORE);                                              \
        x[c->rd] = (uint64_t)(int64_t)(get)operation((type *)host, (type)X2, __ATOMIC_SEQ_CST); \
    }                                                                                           \
    NEXT;

#define AMO_SELECT(row, type, compare)                                                                     \
    op_##row:                                                                                              \
    {                                                                                                      \
        GUEST_ATOMIC(X1, sizeof(type), MMU_STORE);                                                         \
        type old = __atomic_load_n((type *)host, __ATOMIC_RELAXED), operand = (type)X2;                    \
        while (!__atomic_compare_exchange_n((type *)host, &old, old compare operand ? old : operand, true, \
                                            __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))                           \
            ;                                                                                              \
        x[c->rd] = sizeof(type) == 4 ? SEXT(old) : (uint64_t)old;                                          \
    }                                                                                                      \
    NEXT;

#define ORDER_RELEASE 1

/* With rl (a sequentially consistent compare-and-swap that fails is this LR alone) no earlier store may be later. */
#define LOAD_RESERVED(row, type, get)                                 \
    op_##row:                                                         \
    {                                                                 \
        GUEST_ATOMIC(X1, sizeof(type), MMU_LOAD);                     \
        if (c->aux & ORDER_RELEASE)                                   \
            atomic_thread_fence(memory_order_seq_cst);                \
        type value = __atomic_load_n((type *)host, __ATOMIC_SEQ_CST); \
        h->reserve_address = RESERVATION;                             \
        h->reserve_value = value;                                     \
        x[c->rd] = (uint64_t)(int64_t)(get)value;                     \
    }                                                                 \
    NEXT;

/* The reservation is a value: SC succeeds when memory still, or again, holds what LR saw. */
#define STORE_CONDITIONAL(row, type)                                                               \
    op_##row:                                                                                      \
    {                                                                                              \
        GUEST_ATOMIC(X1, sizeof(type), MMU_STORE);                                                 \
        type expected = (type)h->reserve_value;                                                    \
        bool ours = h->reserve_address == RESERVATION;                                             \
        h->reserve_address = HART_NO_RESERVE;                                                      \
        x[c->rd] = !(ours && __atomic_compare_exchange_n((type *)host, &expected, (type)X2, false, \
                                                         __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));     \
    }                                                                                              \
    NEXT;

#define COMPARE_AND_SWAP(row, type, get)                                                        \
    op_##row:                                                                                   \
    {                                                                                           \
        GUEST_ATOMIC(X1, sizeof(type), MMU_STORE);                                              \
        type expected = (type)x[c->rd == HART_X_SINK ? 0 : c->rd];                              \
        __atomic_compare_exchange_n((type *)host, &expected, (type)X2, false, __ATOMIC_SEQ_CST, \
                                    __ATOMIC_SEQ_CST);                                          \
        x[c->rd] = (uint64_t)(int64_t)(get)expected;                                            \
    }                                                                                           \
    NEXT;

/* The rounding mode of an instruction, checked. */
#define ROUNDING                                 \
    unsigned rm = c->aux == 7 ? h->frm : c->aux; \
    if (unlikely(rm > 4))                        \
    goto illegal

#define FP_ROUNDED(row, target, value) \
    op_##row:                          \
    {                                  \
        FP_CHANGES;                    \
        ROUNDING;                      \
        target[c->rd] = (value);       \
    }                                  \
    NEXT;

#define FP_PLAIN(row, target, value) \
    op_##row : FP_CHANGES;           \
    target[c->rd] = (value);         \
    NEXT;

#define F1 f[c->rs1]
#define F2 f[c->rs2]
#define F3 f[c->imm]

/* Leaves pc and the count of instructions as they are before the cell's instruction. */
static inline void exit_at(struct hart *h, const union cell *c)
{
    struct cell_info info;
    const struct unit *unit = code_locate(c, &info);
    h->pc = unit->pc + info.offset + INTERP_BIAS(h);
    h->instret += info.retired;
}

/* Whose first cell it is. */
static inline const struct unit *unit_of(const union cell *first)
{
    return (const struct unit *)((const char *)first - offsetof(struct unit, cells));
}

/* Harts may count at the same time and lose a step. Another hart may have made the cell: run() acquired the link that
 * led here, which the sanitizer has not seen. */
HOST_NO_TSAN static inline bool count_down(union cell *c)
{
    int32_t left = __atomic_load_n(&c->imm, __ATOMIC_RELAXED);
    if (left <= 0)
        return false;
    __atomic_store_n(&c->imm, left - 1, __ATOMIC_RELAXED);
    return true;
}

#endif
