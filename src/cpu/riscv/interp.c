/* The interpreter: the reference meaning of every instruction, and the portable engine.
 *
 *   interp_run ── code_enter ─> run ──> handler ──> handler ──> ... ──> exit
 *                                         │  ^          (each jumps straight to the next one's address)
 *                          taken branch   v  │
 *                                   link in the cell ──(unresolved)──> code_find ──> predecode
 *
 * Every handler is written once, under the name of its row of riscv.isa; a row without one does not compile. */
#include "cpu/riscv/unit.h"

#include "base/util.h"
#include "cpu/riscv/csr.h"
#include "cpu/riscv/fp.h"
#include "host/atomic.h"
#include "host/sanitize.h"

#include <signal.h>
#include <stddef.h>

/* Guest memory is accessed as the guest says, aligned or not, once, whole, and never left out. */
#define MEM_TYPE(name, type) typedef type __attribute__((may_alias, aligned(1))) name
MEM_TYPE(mem_u8, volatile uint8_t);
MEM_TYPE(mem_u16, volatile uint16_t);
MEM_TYPE(mem_u32, volatile uint32_t);
MEM_TYPE(mem_u64, volatile uint64_t);

static const struct interp_table *run(struct hart *hart, const union cell *c);

const struct interp_table *interp_table(void)
{
    return run(NULL, NULL);
}

static int64_t high_signed(uint64_t a, uint64_t b)
{
    return (int64_t)((__int128)(int64_t)a * (int64_t)b >> 64);
}

static int64_t high_mixed(uint64_t a, uint64_t b)
{
    return (int64_t)((__int128)(int64_t)a * (__int128)b >> 64);
}

static uint64_t high_unsigned(uint64_t a, uint64_t b)
{
    return (uint64_t)((unsigned __int128)a * b >> 64);
}

static uint64_t orc_b(uint64_t a)
{
    uint64_t low = a & 0x7f7f7f7f7f7f7f7f;
    uint64_t ones = ((low + 0x7f7f7f7f7f7f7f7f) | a) & 0x8080808080808080;
    return (ones >> 7) * 0xff;
}

static uint64_t rotate_right(uint64_t a, unsigned n)
{
    return a >> (n & 63) | a << (-n & 63);
}

static uint32_t rotate_right_w(uint32_t a, unsigned n)
{
    return a >> (n & 31) | a << (-n & 31);
}

static unsigned __int128 carryless(uint64_t a, uint64_t b)
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

#define ACCESS_ALIGNED(guest_address, size) \
    ACCESS(guest_address);                  \
    if (unlikely(address & ((size)-1))) {   \
        bad_address = address;              \
        goto misaligned;                    \
    }                                       \
    (void)0

#define LOAD(row, mem, type)                                \
    op_##row:                                               \
    {                                                       \
        ACCESS(X1 + IMM);                                   \
        x[c->rd] = (uint64_t)(int64_t)(type) * (mem *)host; \
    }                                                       \
    NEXT;

#define STORE(row, mem, value)  \
    op_##row:                   \
    {                           \
        ACCESS(X1 + IMM);       \
        *(mem *)host = (value); \
    }                           \
    NEXT;

#define LOAD_F(row, mem, box)            \
    op_##row:                            \
    {                                    \
        ACCESS(X1 + IMM);                \
        f[c->rd] = (box) | *(mem *)host; \
    }                                    \
    NEXT;

/* Host atomics that write are sequentially consistent: stronger than any aq and rl ask for. */
#define AMO(row, type, operation, get)                                                          \
    op_##row:                                                                                   \
    {                                                                                           \
        ACCESS_ALIGNED(X1, sizeof(type));                                                       \
        x[c->rd] = (uint64_t)(int64_t)(get)operation((type *)host, (type)X2, __ATOMIC_SEQ_CST); \
    }                                                                                           \
    NEXT;

#define AMO_SELECT(row, type, compare)                                                                     \
    op_##row:                                                                                              \
    {                                                                                                      \
        ACCESS_ALIGNED(X1, sizeof(type));                                                                  \
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
        ACCESS_ALIGNED(X1, sizeof(type));                             \
        if (c->aux & ORDER_RELEASE)                                   \
            atomic_thread_fence(memory_order_seq_cst);                \
        type value = __atomic_load_n((type *)host, __ATOMIC_SEQ_CST); \
        h->reserve_address = address;                                 \
        h->reserve_value = value;                                     \
        x[c->rd] = (uint64_t)(int64_t)(get)value;                     \
    }                                                                 \
    NEXT;

/* The reservation is a value: SC succeeds when memory still, or again, holds what LR saw. */
#define STORE_CONDITIONAL(row, type)                                                               \
    op_##row:                                                                                      \
    {                                                                                              \
        ACCESS_ALIGNED(X1, sizeof(type));                                                          \
        type expected = (type)h->reserve_value;                                                    \
        bool ours = h->reserve_address == address;                                                 \
        h->reserve_address = HART_NO_RESERVE;                                                      \
        x[c->rd] = !(ours && __atomic_compare_exchange_n((type *)host, &expected, (type)X2, false, \
                                                         __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));     \
    }                                                                                              \
    NEXT;

#define COMPARE_AND_SWAP(row, type, get)                                                        \
    op_##row:                                                                                   \
    {                                                                                           \
        ACCESS_ALIGNED(X1, sizeof(type));                                                       \
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
        ROUNDING;                      \
        target[c->rd] = (value);       \
    }                                  \
    NEXT;

#define FP_PLAIN(row, target, value)    \
    op_##row : target[c->rd] = (value); \
    NEXT;

#define F1 f[c->rs1]
#define F2 f[c->rs2]
#define F3 f[c->imm]

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

/* Leaves pc and the count of instructions as they are before the cell's instruction. */
static void exit_at(struct hart *h, const union cell *c)
{
    struct cell_info info;
    const struct unit *unit = code_locate(c, &info);
    h->pc = unit->pc + info.offset;
    h->instret += info.retired;
}

/* Whose first cell it is. */
static const struct unit *unit_of(const union cell *first)
{
    return (const struct unit *)((const char *)first - offsetof(struct unit, cells));
}

/* Harts may count at the same time and lose a step. Another hart may have made the cell: run() acquired the link that led
 * here, which the sanitizer has not seen. */
HOST_NO_TSAN static bool count_down(union cell *c)
{
    int32_t left = __atomic_load_n(&c->imm, __ATOMIC_RELAXED);
    if (left <= 0)
        return false;
    __atomic_store_n(&c->imm, left - 1, __ATOMIC_RELAXED);
    return true;
}

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

    /* ---- RV64I ---- */
op_LUI: /* never made: the predecoder turns both into constants */
op_AUIPC:
    goto cell_li;
op_JAL:
    x[c->rd] = c[1].target + IMM;
    h->instret += c->aux;
    FOLLOW((union cell *)c + 1);
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
    BRANCH(BEQ, X1 == X2)
    BRANCH(BNE, X1 != X2)
    BRANCH(BLT, S1 < S2)
    BRANCH(BGE, S1 >= S2)
    BRANCH(BLTU, X1 < X2)
    BRANCH(BGEU, X1 >= X2)
    LOAD(LB, mem_u8, int8_t)
    LOAD(LH, mem_u16, int16_t)
    LOAD(LW, mem_u32, int32_t)
    LOAD(LD, mem_u64, int64_t)
    LOAD(LBU, mem_u8, uint8_t)
    LOAD(LHU, mem_u16, uint16_t)
    LOAD(LWU, mem_u32, uint32_t)
    STORE(SB, mem_u8, (uint8_t)X2)
    STORE(SH, mem_u16, (uint16_t)X2)
    STORE(SW, mem_u32, W2)
    STORE(SD, mem_u64, X2)
    COMPUTE(ADDI, X1 + IMM)
    COMPUTE(SLTI, S1 < c->imm)
    COMPUTE(SLTIU, X1 < IMM)
    COMPUTE(XORI, X1 ^ IMM)
    COMPUTE(ORI, X1 | IMM)
    COMPUTE(ANDI, X1 & IMM)
    COMPUTE(SLLI, X1 << c->imm)
    COMPUTE(SRLI, X1 >> c->imm)
    COMPUTE(SRAI, S1 >> c->imm)
    COMPUTE(ADD, X1 + X2)
    COMPUTE(SUB, X1 - X2)
    COMPUTE(SLL, X1 << (X2 & 63))
    COMPUTE(SLT, S1 < S2)
    COMPUTE(SLTU, X1 < X2)
    COMPUTE(XOR, X1 ^ X2)
    COMPUTE(SRL, X1 >> (X2 & 63))
    COMPUTE(SRA, S1 >> (X2 & 63))
    COMPUTE(OR, X1 | X2)
    COMPUTE(AND, X1 & X2)
    COMPUTE(ADDIW, SEXT(X1 + IMM))
    COMPUTE(SLLIW, SEXT(W1 << c->imm))
    COMPUTE(SRLIW, SEXT(W1 >> c->imm))
    COMPUTE(SRAIW, SEXT(SW1 >> c->imm))
    COMPUTE(ADDW, SEXT(X1 + X2))
    COMPUTE(SUBW, SEXT(X1 - X2))
    COMPUTE(SLLW, SEXT(W1 << (X2 & 31)))
    COMPUTE(SRLW, SEXT(W1 >> (X2 & 31)))
    COMPUTE(SRAW, SEXT(SW1 >> (X2 & 31)))
op_FENCE:
    atomic_thread_fence(memory_order_seq_cst);
    NEXT;
op_FENCE_TSO: /* the host keeps every order but that of a store before a load */
    atomic_signal_fence(memory_order_seq_cst);
    NEXT;
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

    /* ---- M ---- */
    COMPUTE(MUL, X1 * X2)
    COMPUTE(MULH, high_signed(X1, X2))
    COMPUTE(MULHSU, high_mixed(X1, X2))
    COMPUTE(MULHU, high_unsigned(X1, X2))
    COMPUTE(DIV, X2 == 0 ? ~(uint64_t)0 : S2 == -1 ? 0 - X1 : (uint64_t)(S1 / S2))
    COMPUTE(DIVU, X2 == 0 ? ~(uint64_t)0 : X1 / X2)
    COMPUTE(REM, X2 == 0 ? X1 : S2 == -1 ? 0 : (uint64_t)(S1 % S2))
    COMPUTE(REMU, X2 == 0 ? X1 : X1 % X2)
    COMPUTE(MULW, SEXT(W1 * W2))
    COMPUTE(DIVW, W2 == 0 ? ~(uint64_t)0 : SW2 == -1 ? SEXT(0 - W1) : SEXT(SW1 / SW2))
    COMPUTE(DIVUW, W2 == 0 ? ~(uint64_t)0 : SEXT(W1 / W2))
    COMPUTE(REMW, W2 == 0 ? SEXT(W1) : SW2 == -1 ? 0 : SEXT(SW1 % SW2))
    COMPUTE(REMUW, W2 == 0 ? SEXT(W1) : SEXT(W1 % W2))

    /* ---- A, Zacas, Zawrs ---- */
    LOAD_RESERVED(LR_W, uint32_t, int32_t)
    LOAD_RESERVED(LR_D, uint64_t, int64_t)
    STORE_CONDITIONAL(SC_W, uint32_t)
    STORE_CONDITIONAL(SC_D, uint64_t)
    AMO(AMOSWAP_W, uint32_t, __atomic_exchange_n, int32_t)
    AMO(AMOADD_W, uint32_t, __atomic_fetch_add, int32_t)
    AMO(AMOXOR_W, uint32_t, __atomic_fetch_xor, int32_t)
    AMO(AMOAND_W, uint32_t, __atomic_fetch_and, int32_t)
    AMO(AMOOR_W, uint32_t, __atomic_fetch_or, int32_t)
    AMO_SELECT(AMOMIN_W, int32_t, <)
    AMO_SELECT(AMOMAX_W, int32_t, >)
    AMO_SELECT(AMOMINU_W, uint32_t, <)
    AMO_SELECT(AMOMAXU_W, uint32_t, >)
    AMO(AMOSWAP_D, uint64_t, __atomic_exchange_n, int64_t)
    AMO(AMOADD_D, uint64_t, __atomic_fetch_add, int64_t)
    AMO(AMOXOR_D, uint64_t, __atomic_fetch_xor, int64_t)
    AMO(AMOAND_D, uint64_t, __atomic_fetch_and, int64_t)
    AMO(AMOOR_D, uint64_t, __atomic_fetch_or, int64_t)
    AMO_SELECT(AMOMIN_D, int64_t, <)
    AMO_SELECT(AMOMAX_D, int64_t, >)
    AMO_SELECT(AMOMINU_D, uint64_t, <)
    AMO_SELECT(AMOMAXU_D, uint64_t, >)
    COMPARE_AND_SWAP(AMOCAS_W, uint32_t, int32_t)
    COMPARE_AND_SWAP(AMOCAS_D, uint64_t, int64_t)
op_AMOCAS_Q : {
    ACCESS_ALIGNED(X1, 16);
    /* A pair is an even register and the next; the pair of x0 reads as zero and is not written. */
    bool has_target = c->rd != HART_X_SINK;
    uint64_t expected[2] = {has_target ? x[c->rd] : 0, has_target ? x[c->rd + 1] : 0};
    const uint64_t desired[2] = {X2, c->rs2 ? x[c->rs2 + 1] : 0};
    host_compare_exchange_16((void *)host, expected, desired);
    if (has_target) {
        x[c->rd] = expected[0];
        x[c->rd + 1] = expected[1];
    }
}
    NEXT;
op_WRS_NTO: /* may end for any reason: the guest looks again */
op_WRS_STO:
op_PAUSE:
    host_pause();
    NEXT;

    /* ---- Hints, may-be-operations, cache blocks (of 64 bytes) ---- */
op_NTL_P1:
op_NTL_PALL:
op_NTL_S1:
op_NTL_ALL:
op_PREFETCH_I:
op_PREFETCH_R:
op_PREFETCH_W:
    NEXT;
    COMPUTE(MOP_R, 0)
    COMPUTE(MOP_RR, 0)
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

    /* ---- Zba, Zbb, Zbc, Zbs, Zicond ---- */
    COMPUTE(SH1ADD, (X1 << 1) + X2)
    COMPUTE(SH2ADD, (X1 << 2) + X2)
    COMPUTE(SH3ADD, (X1 << 3) + X2)
    COMPUTE(ADD_UW, W1 + X2)
    COMPUTE(SH1ADD_UW, ((uint64_t)W1 << 1) + X2)
    COMPUTE(SH2ADD_UW, ((uint64_t)W1 << 2) + X2)
    COMPUTE(SH3ADD_UW, ((uint64_t)W1 << 3) + X2)
    COMPUTE(SLLI_UW, (uint64_t)W1 << c->imm)
    COMPUTE(ANDN, X1 & ~X2)
    COMPUTE(ORN, X1 | ~X2)
    COMPUTE(XNOR, ~(X1 ^ X2))
    COMPUTE(CLZ, X1 ? __builtin_clzll(X1) : 64)
    COMPUTE(CLZW, W1 ? __builtin_clz(W1) : 32)
    COMPUTE(CTZ, X1 ? __builtin_ctzll(X1) : 64)
    COMPUTE(CTZW, W1 ? __builtin_ctz(W1) : 32)
    COMPUTE(CPOP, __builtin_popcountll(X1))
    COMPUTE(CPOPW, __builtin_popcount(W1))
    COMPUTE(MAX, S1 > S2 ? X1 : X2)
    COMPUTE(MAXU, X1 > X2 ? X1 : X2)
    COMPUTE(MIN, S1 < S2 ? X1 : X2)
    COMPUTE(MINU, X1 < X2 ? X1 : X2)
    COMPUTE(SEXT_B, (int64_t)(int8_t)X1)
    COMPUTE(SEXT_H, (int64_t)(int16_t)X1)
    COMPUTE(ZEXT_H, (uint16_t)X1)
    COMPUTE(ROL, rotate_right(X1, 0 - (unsigned)X2))
    COMPUTE(ROR, rotate_right(X1, (unsigned)X2))
    COMPUTE(RORI, rotate_right(X1, (unsigned)c->imm))
    COMPUTE(ROLW, SEXT(rotate_right_w(W1, 0 - (unsigned)X2)))
    COMPUTE(RORW, SEXT(rotate_right_w(W1, (unsigned)X2)))
    COMPUTE(RORIW, SEXT(rotate_right_w(W1, (unsigned)c->imm)))
    COMPUTE(ORC_B, orc_b(X1))
    COMPUTE(REV8, __builtin_bswap64(X1))
    COMPUTE(CLMUL, carryless(X1, X2))
    COMPUTE(CLMULH, carryless(X1, X2) >> 64)
    COMPUTE(CLMULR, carryless(X1, X2) >> 63)
    COMPUTE(BCLR, X1 & ~((uint64_t)1 << (X2 & 63)))
    COMPUTE(BCLRI, X1 & ~((uint64_t)1 << c->imm))
    COMPUTE(BEXT, X1 >> (X2 & 63) & 1)
    COMPUTE(BEXTI, X1 >> c->imm & 1)
    COMPUTE(BINV, X1 ^ (uint64_t)1 << (X2 & 63))
    COMPUTE(BINVI, X1 ^ (uint64_t)1 << c->imm)
    COMPUTE(BSET, X1 | (uint64_t)1 << (X2 & 63))
    COMPUTE(BSETI, X1 | (uint64_t)1 << c->imm)
    COMPUTE(CZERO_EQZ, X2 == 0 ? 0 : X1)
    COMPUTE(CZERO_NEZ, X2 != 0 ? 0 : X1)

    /* ---- F, D, Zfhmin: memory and moves ---- */
    LOAD_F(FLW, mem_u32, FP_BOX_S)
    LOAD_F(FLD, mem_u64, 0)
    LOAD_F(FLH, mem_u16, FP_BOX_H)
    STORE(FSW, mem_u32, (uint32_t)F2)
    STORE(FSD, mem_u64, F2)
    STORE(FSH, mem_u16, (uint16_t)F2)
    FP_PLAIN(FMV_X_W, x, SEXT(F1))
    FP_PLAIN(FMV_X_D, x, F1)
    FP_PLAIN(FMV_X_H, x, (uint64_t)(int64_t)(int16_t)F1)
    FP_PLAIN(FMV_W_X, f, FP_BOX_S | W1)
    FP_PLAIN(FMV_D_X, f, X1)
    FP_PLAIN(FMV_H_X, f, FP_BOX_H | (uint16_t)X1)

    /* ---- F and D: the same rows for both precisions ---- */
#define FP_ROWS(P, p)                                          \
    FP_ROUNDED(FMADD_##P, f, fp_madd_##p(h, rm, F1, F2, F3))   \
    FP_ROUNDED(FMSUB_##P, f, fp_msub_##p(h, rm, F1, F2, F3))   \
    FP_ROUNDED(FNMSUB_##P, f, fp_nmsub_##p(h, rm, F1, F2, F3)) \
    FP_ROUNDED(FNMADD_##P, f, fp_nmadd_##p(h, rm, F1, F2, F3)) \
    FP_ROUNDED(FADD_##P, f, fp_add_##p(h, rm, F1, F2))         \
    FP_ROUNDED(FSUB_##P, f, fp_sub_##p(h, rm, F1, F2))         \
    FP_ROUNDED(FMUL_##P, f, fp_mul_##p(h, rm, F1, F2))         \
    FP_ROUNDED(FDIV_##P, f, fp_div_##p(h, rm, F1, F2))         \
    FP_ROUNDED(FSQRT_##P, f, fp_sqrt_##p(h, rm, F1))           \
    FP_PLAIN(FSGNJ_##P, f, fp_sgnj_##p(F1, F2))                \
    FP_PLAIN(FSGNJN_##P, f, fp_sgnjn_##p(F1, F2))              \
    FP_PLAIN(FSGNJX_##P, f, fp_sgnjx_##p(F1, F2))              \
    FP_PLAIN(FMIN_##P, f, fp_min_##p(h, F1, F2))               \
    FP_PLAIN(FMAX_##P, f, fp_max_##p(h, F1, F2))               \
    FP_PLAIN(FMINM_##P, f, fp_minm_##p(h, F1, F2))             \
    FP_PLAIN(FMAXM_##P, f, fp_maxm_##p(h, F1, F2))             \
    FP_PLAIN(FLI_##P, f, fp_li_##p(c->rs1))                    \
    FP_ROUNDED(FROUND_##P, f, fp_round_##p(h, rm, F1))         \
    FP_ROUNDED(FROUNDNX_##P, f, fp_roundnx_##p(h, rm, F1))     \
    FP_PLAIN(FCLASS_##P, x, fp_class_##p(F1))                  \
    FP_PLAIN(FEQ_##P, x, fp_eq_##p(F1, F2))                    \
    FP_PLAIN(FLT_##P, x, fp_lt_##p(F1, F2))                    \
    FP_PLAIN(FLE_##P, x, fp_le_##p(F1, F2))                    \
    FP_PLAIN(FLTQ_##P, x, fp_ltq_##p(F1, F2))                  \
    FP_PLAIN(FLEQ_##P, x, fp_leq_##p(F1, F2))                  \
    FP_ROUNDED(FCVT_W_##P, x, fp_cvt_w_##p(h, rm, F1))         \
    FP_ROUNDED(FCVT_WU_##P, x, fp_cvt_wu_##p(h, rm, F1))       \
    FP_ROUNDED(FCVT_L_##P, x, fp_cvt_l_##p(h, rm, F1))         \
    FP_ROUNDED(FCVT_LU_##P, x, fp_cvt_lu_##p(h, rm, F1))       \
    FP_ROUNDED(FCVT_##P##_W, f, fp_cvt_##p##_w(h, rm, X1))     \
    FP_ROUNDED(FCVT_##P##_WU, f, fp_cvt_##p##_wu(h, rm, X1))   \
    FP_ROUNDED(FCVT_##P##_L, f, fp_cvt_##p##_l(h, rm, X1))     \
    FP_ROUNDED(FCVT_##P##_LU, f, fp_cvt_##p##_lu(h, rm, X1))
    FP_ROWS(S, s)
    FP_ROWS(D, d)
#undef FP_ROWS
    FP_ROUNDED(FCVT_S_D, f, fp_cvt_s_d(h, rm, F1))
    FP_ROUNDED(FCVT_D_S, f, fp_cvt_d_s(h, rm, F1))
    FP_ROUNDED(FCVT_S_H, f, fp_cvt_s_h(h, rm, F1))
    FP_ROUNDED(FCVT_D_H, f, fp_cvt_d_h(h, rm, F1))
    FP_ROUNDED(FCVT_H_S, f, fp_cvt_h_s(h, rm, F1))
    FP_ROUNDED(FCVT_H_D, f, fp_cvt_h_d(h, rm, F1))
    FP_PLAIN(FCVTMOD_W_D, x, fp_cvtmod_w_d(h, F1))

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
