/* Lifting of quick units: what is taken and refused, what becomes of pairs, where units end, and that the same comes of
 * their bytes again. What the instructions do is for test_quick.c. */
#include "base/util.h"
#include "cpu/riscv/lift_row.h"
#include "insns.h"
#include "isa/riscv/tables.h"

#include "../diff/rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CODE = 0x10000, SIZE = 0x1000, NONE = JIT_QUICK_NONE, ZERO = JIT_QUICK_ZERO };
enum { RA = 1, SP = 2, T0 = 5, T1 = 6, A0 = 10, A1 = 11, A5 = 15, S2 = 18 };

/* The usual end: a jump that cannot be followed. */
#define END JALR(0, A5, 0)

struct fixture {
    uint8_t bytes[SIZE];
    unsigned used;  /* bytes that may be executed */
    unsigned begin; /* where in them the unit begins */
    uint64_t known; /* where another unit begins, or 0 */
    uint64_t far;   /* where the bytes are once more, or 0 */
    struct lift_limits limits;
    struct jit_quick_code code, again;
    struct lift_result result;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->limits = (struct lift_limits){.extensions = ~UINT64_C(0), .max_insns = 64, .has_fma = true};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

/* ---- Lifting ---- */

static unsigned fetch(void *context, uint64_t pc, uint8_t *bytes, unsigned size)
{
    const struct fixture *f = context;
    uint64_t offset = pc - (f->far && pc - f->far < SIZE ? f->far : CODE);
    if (offset >= f->used)
        return 0;
    size = MIN(size, (unsigned)(f->used - offset));
    memcpy(bytes, f->bytes + offset, size);
    return size;
}

static bool known(void *context, uint64_t pc)
{
    return pc == ((const struct fixture *)context)->known;
}

static unsigned fetch_pieces(void *context, uint64_t pc, uint8_t *bytes, unsigned size)
{
    const struct lift_result *r = context;
    return lift_fetch(r->pieces, r->piece_count, r->bytes, pc, bytes, size);
}

static bool computes(const struct ir_exit *exit)
{
    return exit->kind == IR_EXIT_INDIRECT || exit->kind == IR_EXIT_INDIRECT_CALL ||
           exit->kind == IR_EXIT_RETURN;
}

static void assert_same_code(const struct jit_quick_code *a, const struct jit_quick_code *b)
{
    assert_int_equal(a->pc, b->pc);
    assert_int_equal(a->reason, b->reason);
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->ins, b->ins, a->count * sizeof(a->ins[0]));
    assert_int_equal(a->exit.kind, b->exit.kind);
    assert_int_equal(a->exit.pc, b->exit.pc);
    assert_int_equal(a->exit.return_pc, b->exit.return_pc);
    assert_int_equal(a->exit.check, b->exit.check);
    if (!computes(&a->exit))
        return;
    assert_int_equal(a->target, b->target);
    assert_int_equal(a->link, b->link);
    assert_int_equal(a->target_offset, b->target_offset);
}

/* As recovery after a fault does it: from the unit's own bytes, and no unit is known. */
static void lift_again(struct fixture *f)
{
    const struct lift_source source = {.fetch = fetch_pieces, .context = &f->result};
    struct lift_limits limits = f->limits;
    struct lift_result second;
    if (f->result.cut)
        limits.max_insns = f->result.insns;
    memset(&f->again, 0xa5, sizeof(f->again));
    assert_true(lift_quick(&f->again, &source, &limits, f->code.pc, &second));
    assert_same_code(&f->code, &f->again);
    assert_int_equal(second.insns, f->result.insns);
    assert_int_equal(second.byte_count, f->result.byte_count);
    assert_memory_equal(second.bytes, f->result.bytes, second.byte_count);
    assert_int_equal(second.piece_count, f->result.piece_count);
    for (unsigned i = 0; i < second.piece_count; i++) {
        assert_int_equal(second.pieces[i].pc, f->result.pieces[i].pc);
        assert_int_equal(second.pieces[i].bytes, f->result.pieces[i].bytes);
    }
}

/* The result has the bytes that are there. */
static void check_pieces(struct fixture *f)
{
    const struct lift_result *r = &f->result;
    unsigned done = 0;
    assert_in_range(r->piece_count, 1, LIFT_MAX_PIECES);
    assert_int_equal(r->pieces[0].pc, CODE + f->begin);
    for (unsigned i = 0; i < r->piece_count; i++) {
        uint8_t bytes[SIZE];
        unsigned size = r->pieces[i].bytes;
        assert_in_range(size, 2, SIZE);
        assert_int_equal(fetch(f, r->pieces[i].pc, bytes, size), size);
        assert_memory_equal(r->bytes + done, bytes, size);
        done += size;
    }
    assert_int_equal(done, r->byte_count);
}

static bool lift(struct fixture *f)
{
    const struct lift_source source = {.fetch = fetch, .known = known, .context = f};
    memset(&f->code, 0x5a, sizeof(f->code));
    if (!lift_quick(&f->code, &source, &f->limits, CODE + f->begin, &f->result))
        return false;
    assert_int_equal(f->code.pc, CODE + f->begin);
    assert_int_equal(f->code.reason, LIFT_ENTERED);
    check_pieces(f);
    lift_again(f);
    return true;
}

static void put(struct fixture *f, struct rv_insn insn)
{
    uint32_t word = rv_encode(&insn);
    unsigned length = (word & 3) == 3 ? 4 : 2;
    memcpy(f->bytes + f->used, &word, length);
    f->used += length;
}

static bool lift_all(struct fixture *f, const struct rv_insn *insns, unsigned count)
{
    f->used = 0;
    for (unsigned i = 0; i < count; i++)
        put(f, insns[i]);
    return lift(f);
}
#define LIFT(f, ...)                                   \
    lift_all(f, (const struct rv_insn[]){__VA_ARGS__}, \
             (unsigned)(sizeof((const struct rv_insn[]){__VA_ARGS__}) / sizeof(struct rv_insn)))

static const struct jit_quick_ins *ins_at(const struct fixture *f, unsigned i)
{
    assert_in_range(i, 0, f->code.count - 1);
    return &f->code.ins[i];
}

static void assert_constant(const struct fixture *f, unsigned i, unsigned rd, uint64_t number)
{
    assert_int_equal(ins_at(f, i)->kind, JIT_QUICK_CONSTANT);
    assert_int_equal(ins_at(f, i)->to, lift_x_slot[rd]);
    assert_int_equal(ins_at(f, i)->number, number);
}

/* Whatever the number is. */
static void assert_compute(const struct fixture *f, unsigned i, enum ir_op op, unsigned to, unsigned a,
                           unsigned b)
{
    const struct jit_quick_ins *ins = ins_at(f, i);
    assert_int_equal(ins->kind, JIT_QUICK_COMPUTE);
    assert_int_equal(ins->op, op);
    assert_int_equal(ins->to, to);
    assert_int_equal(ins->a, a);
    assert_int_equal(ins->b, b);
}

static void assert_exit(const struct fixture *f, enum ir_exit_kind kind, uint64_t pc)
{
    assert_int_equal(f->code.exit.kind, kind);
    assert_int_equal(f->code.exit.pc, pc);
}

static void assert_computed(const struct fixture *f, enum ir_exit_kind kind, unsigned target, int32_t offset,
                            unsigned link)
{
    assert_int_equal(f->code.exit.kind, kind);
    assert_int_equal(f->code.target, target);
    assert_int_equal(f->code.target_offset, offset);
    assert_int_equal(f->code.link, link);
}

/* ---- What is taken ---- */

static bool is_quick(unsigned op)
{
    switch (op) {
    case RV_LUI:
    case RV_AUIPC:
    case RV_JAL:
    case RV_JALR:
    case RV_BEQ:
    case RV_BNE:
    case RV_BLT:
    case RV_BGE:
    case RV_BLTU:
    case RV_BGEU:
    case RV_LB:
    case RV_LH:
    case RV_LW:
    case RV_LD:
    case RV_LBU:
    case RV_LHU:
    case RV_LWU:
    case RV_SB:
    case RV_SH:
    case RV_SW:
    case RV_SD:
    case RV_ADDI:
    case RV_SLTI:
    case RV_SLTIU:
    case RV_XORI:
    case RV_ORI:
    case RV_ANDI:
    case RV_SLLI:
    case RV_SRLI:
    case RV_SRAI:
    case RV_ADDIW:
    case RV_SLLIW:
    case RV_SRLIW:
    case RV_SRAIW:
    case RV_ADD:
    case RV_SUB:
    case RV_SLL:
    case RV_SLT:
    case RV_SLTU:
    case RV_XOR:
    case RV_SRL:
    case RV_SRA:
    case RV_OR:
    case RV_AND:
    case RV_ADDW:
    case RV_SUBW:
    case RV_SLLW:
    case RV_SRLW:
    case RV_SRAW:
    case RV_MUL:
    case RV_MULW:
    case RV_FENCE_TSO: return true;
    default: return false;
    }
}

/* FP, atomics, CSRs, system calls, division and all others are for units of IR, wherever in the unit they are. */
static void rows_are_taken_or_refused(void **state)
{
    struct fixture *f = *state;
    struct rng rng = rng_make(1, 0);
    unsigned taken = 0, refused = 0;
    for (unsigned row = 1; row < RV_ROW_COUNT; row++)
        for (unsigned i = 0; i < 20; i++) {
            struct rv_insn insn;
            row_random(row, &rng, &insn);
            bool right = is_quick(insn.op);
            if (insn.op == RV_JAL) { /* which is followed where it sets no register */
                insn.imm = row == RV_JAL ? 4 : 2;
                assert_true(row_adjust(&insn));
            }
            for (unsigned before = 0; before < 2; before++) {
                f->used = 0;
                if (before)
                    put(f, (struct rv_insn)ADDI(A0, A0, 1));
                put(f, insn);
                put(f, (struct rv_insn)JAL(RA, 8)); /* wherever registers lead */
                if (lift(f) != right)
                    fail_msg("%s is %s", rv_op_name(row), right ? "refused" : "taken");
                *(right ? &taken : &refused) += 1;
            }
        }
    assert_true(taken > 1000 && refused > 1000);
    static const uint16_t others[] = {RV_FADD_D, RV_FLD,    RV_FSW, RV_AMOADD_W, RV_LR_D,    RV_CSRRS,
                                      RV_ECALL,  RV_EBREAK, RV_DIV, RV_REMUW,    RV_FENCE_I, RV_FENCE};
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        assert_false(is_quick(others[i]));
}

static void nothing_is_made_of_what_is_not_there(void **state)
{
    struct fixture *f = *state;
    f->used = 0;
    assert_false(lift(f));
    put(f, (struct rv_insn)ADDI(A0, A0, 1));
    assert_false(lift(f)); /* and what follows? */
    put(f, (struct rv_insn)END);
    assert_true(lift(f));
    f->used -= 2;
    assert_false(lift(f));
    f->used -= 4;
    assert_false(lift(f));
    memset(f->bytes, 0, 8); /* illegal */
    f->used = 8;
    assert_false(lift(f));
}

static void missing_extensions_are_refused(void **state)
{
    struct fixture *f = *state;
    const struct rv_insn mul = INSN(MUL, .rd = A0, .rs1 = A0, .rs2 = A1), jump = END;
    const uint16_t c_li = 0x4501; /* li a0, 0 */
    f->limits.extensions = UINT64_C(1) << RV_EXT_I;
    assert_true(LIFT(f, ADDI(A0, A0, 1), jump));
    assert_false(LIFT(f, mul, jump));
    memcpy(f->bytes, &c_li, sizeof(c_li));
    f->used = 2;
    put(f, jump);
    assert_false(lift(f));
    f->limits.extensions = ~UINT64_C(0);
    assert_true(lift(f));
    assert_constant(f, 0, A0, 0);
    assert_true(LIFT(f, mul, jump));
}

/* ---- Instructions ---- */

static void places_are_told(void **state)
{
    struct fixture *f = *state;
    const uint16_t c_nop = 1;
    f->used = 0;
    put(f, (struct rv_insn)LW(A0, SP, 4));
    memcpy(f->bytes + 4, &c_nop, sizeof(c_nop));
    f->used = 6;
    put(f, (struct rv_insn)SW(A0, SP, -8));
    put(f, (struct rv_insn)BNE(A0, A1, -6));
    put(f, (struct rv_insn)JAL(RA, 0x100));
    assert_true(lift(f));
    assert_int_equal(f->code.count, 4);
    assert_int_equal(f->result.insns, 5);
    static const uint16_t places[] = {0, 6, 10, 14};
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(f->code.ins[i].place, places[i]);
    assert_int_equal(f->code.ins[0].kind, JIT_QUICK_LOAD);
    assert_int_equal(f->code.ins[0].op, IR_LDS32);
    assert_int_equal(f->code.ins[0].to, lift_x_slot[A0]);
    assert_int_equal(f->code.ins[0].a, lift_x_slot[SP]);
    assert_int_equal(f->code.ins[0].number, 4);
    assert_int_equal(f->code.ins[1].kind, JIT_QUICK_STORE);
    assert_int_equal(f->code.ins[1].op, IR_ST32);
    assert_int_equal(f->code.ins[1].a, lift_x_slot[SP]);
    assert_int_equal(f->code.ins[1].b, lift_x_slot[A0]);
    assert_int_equal(f->code.ins[1].number, -8);
    assert_int_equal(f->code.ins[2].kind, JIT_QUICK_BRANCH);
    assert_int_equal(f->code.ins[2].op, IR_NE);
    assert_int_equal(f->code.ins[2].a, lift_x_slot[A0]);
    assert_int_equal(f->code.ins[2].b, lift_x_slot[A1]);
    assert_int_equal(f->code.ins[2].number, CODE + 4);
    assert_constant(f, 3, RA, CODE + 18);
    assert_exit(f, IR_EXIT_CALL, CODE + 14 + 0x100);
}

static void x0_is_neither_written_nor_read(void **state)
{
    struct fixture *f = *state;
    assert_true(LIFT(f, ADDI(0, A0, 1), LUI(0, 0x1000), AUIPC(0, 0x1000),
                     INSN(ADD, .rd = 0, .rs1 = A0, .rs2 = A1), INSN(SLLIW, .rd = 0, .rs1 = A0, .imm = 3),
                     INSN(FENCE_TSO, .rd = 0), END));
    assert_int_equal(f->code.count, 0);
    assert_int_equal(f->result.insns, 7);
    assert_computed(f, IR_EXIT_INDIRECT, lift_x_slot[A5], 0, NONE);
    assert_true(LIFT(f, LW(0, A0, 8), SW(0, 0, 8), LW(A0, 0, 8), BNE(0, A0, 16), BEQ(A0, 0, 16),
                     INSN(SUB, .rd = A0, .rs1 = 0, .rs2 = A1), INSN(ADD, .rd = A0, .rs1 = A1, .rs2 = 0),
                     INSN(ADDIW, .rd = A0, .rs1 = 0, .imm = 5), ADDI(A0, 0, 5), END));
    assert_int_equal(f->code.count, 9);
    assert_int_equal(f->code.ins[0].kind, JIT_QUICK_LOAD);
    assert_int_equal(f->code.ins[0].to, NONE);
    assert_int_equal(f->code.ins[1].a, ZERO);
    assert_int_equal(f->code.ins[1].b, ZERO);
    assert_int_equal(f->code.ins[2].a, ZERO);
    assert_int_equal(f->code.ins[3].a, ZERO);
    assert_int_equal(f->code.ins[4].b, ZERO);
    assert_compute(f, 5, IR_SUB, lift_x_slot[A0], ZERO, lift_x_slot[A1]);
    assert_compute(f, 6, IR_ADD, lift_x_slot[A0], lift_x_slot[A1], NONE);
    assert_compute(f, 7, IR_ADD, lift_x_slot[A0], ZERO, NONE);
    assert_int_equal(f->code.ins[7].type, IR_I32);
    assert_constant(f, 8, A0, 5);
}

/* A sum with x0, which c.mv is, too. */
static void copies_are_sums_with_zero(void **state)
{
    struct fixture *f = *state;
    const unsigned a0 = lift_x_slot[A0], a1 = lift_x_slot[A1];
    assert_true(LIFT(f, INSN(ADD, .rd = A0, .rs1 = 0, .rs2 = A1), INSN(ADD, .rd = A0, .rs1 = A1, .rs2 = 0),
                     INSN(ADDW, .rd = A0, .rs1 = 0, .rs2 = A1), INSN(ADDW, .rd = A0, .rs1 = A1, .rs2 = 0),
                     INSN(C_MV, .rd = A0, .rs2 = A1), END));
    assert_int_equal(f->code.count, 5);
    for (unsigned i = 0; i < 5; i++) {
        assert_compute(f, i, IR_ADD, a0, a1, NONE);
        assert_int_equal(f->code.ins[i].number, 0);
        assert_int_equal(f->code.ins[i].type, i == 2 || i == 3 ? IR_I32 : IR_I64);
    }
    assert_true(LIFT(f, INSN(ADD, .rd = A0, .rs1 = 0, .rs2 = 0), INSN(ADDW, .rd = A0, .rs1 = 0, .rs2 = 0),
                     INSN(ADD, .rd = A0, .rs1 = A0, .rs2 = A1), INSN(OR, .rd = A0, .rs1 = 0, .rs2 = A1),
                     INSN(SUB, .rd = A0, .rs1 = A1, .rs2 = 0), END));
    assert_int_equal(f->code.count, 5);
    assert_compute(f, 0, IR_ADD, a0, ZERO, NONE);
    assert_compute(f, 1, IR_ADD, a0, ZERO, NONE);
    assert_compute(f, 2, IR_ADD, a0, a0, a1);
    assert_compute(f, 3, IR_OR, a0, ZERO, a1);
    assert_compute(f, 4, IR_SUB, a0, a1, ZERO);
}

static void pairs_are_one_constant(void **state)
{
    struct fixture *f = *state;
    const struct rv_insn jump = END;
    const int32_t min = INT32_MIN;
    assert_true(LIFT(f, LUI(A0, 0x12345000), ADDI(A0, A0, -1), jump));
    assert_int_equal(f->code.count, 1);
    assert_int_equal(f->result.insns, 3);
    assert_constant(f, 0, A0, 0x12344fff);
    assert_true(LIFT(f, LUI(A0, min), ADDI(A0, A0, -1), jump));
    assert_int_equal(f->code.count, 1);
    assert_constant(f, 0, A0, 0xffffffff7fffffff);
    assert_true(LIFT(f, LUI(A0, min), INSN(ADDIW, .rd = A0, .rs1 = A0, .imm = -1), jump));
    assert_int_equal(f->code.count, 1);
    assert_constant(f, 0, A0, 0x7fffffff);
    assert_true(LIFT(f, ADDI(A1, A1, 1), AUIPC(S2, 0x2000), ADDI(S2, S2, 12), jump));
    assert_int_equal(f->code.count, 2);
    assert_constant(f, 1, S2, CODE + 4 + 0x2000 + 12);
    assert_true(LIFT(f, AUIPC(S2, min), INSN(ADDIW, .rd = S2, .rs1 = S2, .imm = 12), jump));
    assert_int_equal(f->code.count, 1);
    assert_constant(f, 0, S2, (uint64_t)(int64_t)(int32_t)(CODE + 0x80000000u + 12));
    /* What comes after the two is no part of it. */
    assert_true(LIFT(f, LUI(A0, 0x1000), ADDI(A0, A0, 1), ADDI(A0, A0, 2), jump));
    assert_int_equal(f->code.count, 2);
    assert_constant(f, 0, A0, 0x1001);
    assert_compute(f, 1, IR_ADD, lift_x_slot[A0], lift_x_slot[A0], NONE);
}

static void others_stay_two(void **state)
{
    struct fixture *f = *state;
    const struct rv_insn jump = END;
    assert_true(LIFT(f, LUI(A0, 0x1000), ADDI(A1, A0, 1), jump)); /* the first register lives on */
    assert_int_equal(f->code.count, 2);
    assert_constant(f, 0, A0, 0x1000);
    assert_compute(f, 1, IR_ADD, lift_x_slot[A1], lift_x_slot[A0], NONE);
    assert_true(LIFT(f, LUI(A0, 0x1000), ADDI(A0, A1, 1), jump));
    assert_int_equal(f->code.count, 2);
    assert_true(LIFT(f, LUI(A0, 0x1000), INSN(XORI, .rd = A0, .rs1 = A0, .imm = 1), jump));
    assert_int_equal(f->code.count, 2);
    assert_compute(f, 1, IR_XOR, lift_x_slot[A0], lift_x_slot[A0], NONE);
    assert_true(
        LIFT(f, LUI(A0, 0x1000), LW(A0, SP, 0), ADDI(A0, A0, 1), jump)); /* it is not known any more */
    assert_int_equal(f->code.count, 3);
    assert_true(LIFT(f, LUI(A0, 0x1000), LUI(A1, 0x2000), ADDI(A0, A0, 1), jump));
    assert_int_equal(f->code.count, 3);
    assert_true(LIFT(f, LUI(0, 0x1000), ADDI(A0, 0, 1), jump));
    assert_int_equal(f->code.count, 1);
    assert_constant(f, 0, A0, 1);
}

/* ---- Ends ---- */

static void units_end_with_jumps(void **state)
{
    struct fixture *f = *state;
    assert_true(LIFT(f, ADDI(A0, A0, 1), JAL(T0, -0x100)));
    assert_int_equal(f->code.count, 2);
    assert_exit(f, IR_EXIT_GO, CODE + 4 - 0x100);
    assert_false(f->result.cut);
    assert_true(LIFT(f, JAL(T0, 0x100)));
    assert_constant(f, 0, T0, CODE + 4);
    assert_exit(f, IR_EXIT_GO, CODE + 0x100);
    assert_true(LIFT(f, JAL(RA, 0x100)));
    assert_constant(f, 0, RA, CODE + 4);
    assert_exit(f, IR_EXIT_CALL, CODE + 0x100);
    assert_int_equal(f->code.exit.return_pc, CODE + 4);
    assert_int_equal(f->code.exit.check, lift_x_slot[RA]);
}

static void units_end_with_computed_jumps(void **state)
{
    struct fixture *f = *state;
    const unsigned ra = lift_x_slot[RA], a5 = lift_x_slot[A5];
    assert_true(LIFT(f, JALR(0, RA, 0)));
    assert_computed(f, IR_EXIT_RETURN, ra, 0, NONE);
    assert_int_equal(f->code.exit.check, ra);
    assert_true(LIFT(f, JALR(0, RA, 4)));
    assert_computed(f, IR_EXIT_INDIRECT, ra, 4, NONE);
    assert_true(LIFT(f, JALR(0, A5, -8)));
    assert_computed(f, IR_EXIT_INDIRECT, a5, -8, NONE);
    assert_true(LIFT(f, JALR(T0, A5, 0)));
    assert_computed(f, IR_EXIT_INDIRECT, a5, 0, lift_x_slot[T0]);
    assert_int_equal(f->code.exit.return_pc, CODE + 4);
    assert_true(LIFT(f, JALR(T0, RA, 0)));
    assert_computed(f, IR_EXIT_INDIRECT, ra, 0, lift_x_slot[T0]);
    assert_true(LIFT(f, JALR(RA, A5, 12)));
    assert_computed(f, IR_EXIT_INDIRECT_CALL, a5, 12, ra);
    assert_int_equal(f->code.exit.return_pc, CODE + 4);
    assert_int_equal(f->code.exit.check, ra);
    assert_true(LIFT(f, JALR(RA, RA, 0)));
    assert_computed(f, IR_EXIT_INDIRECT_CALL, ra, 0, ra);
    assert_true(LIFT(f, JALR(0, 0, 16)));
    assert_computed(f, IR_EXIT_INDIRECT, ZERO, 16, NONE);
    const uint16_t c_jalr = 0x9782; /* jalr a5 */
    memcpy(f->bytes, &c_jalr, sizeof(c_jalr));
    f->used = 2;
    assert_true(lift(f));
    assert_computed(f, IR_EXIT_INDIRECT_CALL, a5, 0, ra);
    assert_int_equal(f->code.exit.return_pc, CODE + 2);
}

static void jumps_to_known_places_are_direct(void **state)
{
    struct fixture *f = *state;
    assert_true(LIFT(f, AUIPC(T1, 0x3000), JALR(T0, T1, 0x21)));
    assert_int_equal(f->code.count, 2);
    assert_constant(f, 0, T1, CODE + 0x3000);
    assert_constant(f, 1, T0, CODE + 8);
    assert_exit(f, IR_EXIT_GO, CODE + 0x3020);
    assert_true(LIFT(f, AUIPC(RA, 0x3000), JALR(RA, RA, -0x20)));
    assert_int_equal(f->code.count, 2);
    assert_constant(f, 1, RA, CODE + 8);
    assert_exit(f, IR_EXIT_CALL, CODE + 0x3000 - 0x20);
    assert_int_equal(f->code.exit.return_pc, CODE + 8);
    assert_int_equal(f->code.exit.check, lift_x_slot[RA]);
    f->known = f->far = CODE + 0x3000;
    assert_true(LIFT(f, AUIPC(RA, 0x3000), JALR(0, RA, 0))); /* no return */
    assert_exit(f, IR_EXIT_GO, CODE + 0x3000);
    f->known = f->far = 0;
    assert_true(LIFT(f, LUI(T1, 0x3000), JALR(T0, T1, 0)));
    assert_constant(f, 0, T1, 0x3000);
    assert_constant(f, 1, T0, CODE + 8);
    assert_exit(f, IR_EXIT_GO, 0x3000);
    assert_true(LIFT(f, AUIPC(T1, 0x3000), JALR(0, A5, 0))); /* another's */
    assert_computed(f, IR_EXIT_INDIRECT, lift_x_slot[A5], 0, NONE);
    assert_true(LIFT(f, AUIPC(T1, 0x3000), LW(T1, T1, 0), JALR(0, T1, 0))); /* overwritten */
    assert_computed(f, IR_EXIT_INDIRECT, lift_x_slot[T1], 0, NONE);
    assert_true(LIFT(f, AUIPC(0, 0x3000), JALR(0, 0, 0)));
    assert_computed(f, IR_EXIT_INDIRECT, ZERO, 0, NONE);
}

static void units_are_cut_where_they_are_long(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < SIZE / 4 - 1; i++)
        put(f, (struct rv_insn)ADDI(A0, A0, 1));
    for (unsigned max = 1; max <= LIFT_MAX_INSNS; max++) {
        unsigned right = MIN(max, JIT_QUICK_MAX - 1u);
        f->limits.max_insns = max;
        assert_true(lift(f));
        assert_true(f->result.cut);
        assert_int_equal(f->result.insns, right);
        assert_int_equal(f->code.count, right);
        assert_exit(f, IR_EXIT_GO, CODE + 4 * right);
    }
    /* A call is two instructions: it has room as the last one. */
    f->used = 4 * (JIT_QUICK_MAX - 2);
    put(f, (struct rv_insn)JAL(RA, 0x100));
    assert_true(lift(f));
    assert_false(f->result.cut);
    assert_int_equal(f->code.count, JIT_QUICK_MAX - 1);
    assert_exit(f, IR_EXIT_CALL, CODE + 4 * (JIT_QUICK_MAX - 2) + 0x100);
    /* Between the two of a pair, which are a constant and a sum then. */
    f->limits.max_insns = 1;
    assert_true(LIFT(f, LUI(A0, 0x1000), ADDI(A0, A0, 1), END));
    assert_true(f->result.cut);
    assert_constant(f, 0, A0, 0x1000);
    assert_exit(f, IR_EXIT_GO, CODE + 4);
}

static void units_are_cut_where_another_begins(void **state)
{
    struct fixture *f = *state;
    for (unsigned place = 4; place <= 16; place += 4) {
        f->known = CODE + place;
        assert_true(LIFT(f, LUI(A0, 0x1000), ADDI(A0, A0, 1), BEQ(A0, 0, 8), LW(A0, A0, 0), END));
        assert_true(f->result.cut);
        assert_int_equal(f->result.insns, place / 4);
        assert_exit(f, IR_EXIT_GO, CODE + place);
    }
    f->known = CODE; /* itself, or what it is to take the place of */
    assert_true(LIFT(f, ADDI(A0, A0, 1), END));
    assert_false(f->result.cut);
    /* A refused one behind it is not seen. */
    f->known = CODE + 4;
    assert_true(LIFT(f, ADDI(A0, A0, 1), ECALL));
    assert_true(f->result.cut);
}

/* ---- Jumps that are followed ---- */

static void put_at(struct fixture *f, unsigned offset, struct rv_insn insn)
{
    unsigned used = f->used;
    f->used = offset;
    put(f, insn);
    f->used = MAX(f->used, used);
}

static void assert_piece(const struct fixture *f, unsigned i, uint64_t pc, unsigned bytes)
{
    assert_in_range(i, 0, f->result.piece_count - 1);
    assert_int_equal(f->result.pieces[i].pc, pc);
    assert_int_equal(f->result.pieces[i].bytes, bytes);
}

/* Forward, and back to before the unit's pc: what is between them belongs to it as little as what is behind it. */
static void jumps_are_followed(void **state)
{
    struct fixture *f = *state;
    f->begin = 0x100;
    put_at(f, 0x80, (struct rv_insn)AUIPC(S2, 0x1000));
    put_at(f, 0x84, (struct rv_insn)BNE(A0, A1, 0x20));
    put_at(f, 0x88, (struct rv_insn)JAL(RA, 0x40));
    put_at(f, 0x100, (struct rv_insn)ADDI(A0, A0, 1));
    put_at(f, 0x104, (struct rv_insn)JAL(0, 0x100));
    put_at(f, 0x108, (struct rv_insn)ECALL);
    put_at(f, 0x204, (struct rv_insn)LW(A1, SP, 4));
    put_at(f, 0x208, (struct rv_insn)JAL(0, -0x188));
    put_at(f, 0x20c, (struct rv_insn)ECALL);
    assert_true(lift(f));
    assert_false(f->result.cut);
    assert_int_equal(f->result.insns, 7);
    assert_int_equal(f->result.piece_count, 3);
    assert_int_equal(f->result.byte_count, 28);
    assert_piece(f, 0, CODE + 0x100, 8);
    assert_piece(f, 1, CODE + 0x204, 8);
    assert_piece(f, 2, CODE + 0x80, 12);
    static const int32_t places[] = {0, 0x104, -0x80, -0x7c, -0x78};
    assert_int_equal(f->code.count, ARRAY_SIZE(places)); /* the jumps are none */
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
        assert_int_equal(f->code.ins[i].place, places[i]);
    assert_compute(f, 0, IR_ADD, lift_x_slot[A0], lift_x_slot[A0], NONE);
    assert_int_equal(f->code.ins[1].kind, JIT_QUICK_LOAD);
    assert_constant(f, 2, S2, CODE + 0x80 + 0x1000);
    assert_int_equal(f->code.ins[3].kind, JIT_QUICK_BRANCH);
    assert_int_equal(f->code.ins[3].number, CODE + 0x84 + 0x20);
    assert_constant(f, 4, RA, CODE + 0x8c);
    assert_exit(f, IR_EXIT_CALL, CODE + 0x88 + 0x40);
    assert_int_equal(f->code.exit.return_pc, CODE + 0x8c);
}

/* All that lead to a known place and set no register do so. */
static void others_are_followed_as_well(void **state)
{
    struct fixture *f = *state;
    assert_true(LIFT(f, AUIPC(T1, 0), JALR(0, T1, 0x11), ECALL, ECALL, ADDI(T1, T1, 1), END));
    assert_int_equal(f->result.piece_count, 2);
    assert_piece(f, 0, CODE, 8);
    assert_piece(f, 1, CODE + 0x10, 8);
    assert_int_equal(f->code.count, 2);
    assert_constant(f, 0, T1, CODE); /* which is no pair with what follows the jump */
    assert_compute(f, 1, IR_ADD, lift_x_slot[T1], lift_x_slot[T1], NONE);
    assert_true(LIFT(f, AUIPC(RA, 0), JALR(0, RA, 12), ECALL, END)); /* no return */
    assert_piece(f, 1, CODE + 12, 4);
    assert_true(LIFT(f, INSN(C_J, .imm = 4), INSN(C_EBREAK, .rd = 0), END));
    assert_piece(f, 0, CODE, 2);
    assert_piece(f, 1, CODE + 4, 4);
    /* Neither those that set one. */
    assert_true(LIFT(f, AUIPC(T1, 0), JALR(T0, T1, 12), ECALL, END));
    assert_int_equal(f->result.piece_count, 1);
    assert_exit(f, IR_EXIT_GO, CODE + 12);
    /* Nor what is known of a register before the jump is known behind it. */
    assert_true(LIFT(f, LUI(A0, 0x1000), JAL(0, 8), ECALL, ADDI(A0, A0, 1), END));
    assert_int_equal(f->code.count, 2);
    assert_constant(f, 0, A0, 0x1000);
    assert_compute(f, 1, IR_ADD, lift_x_slot[A0], lift_x_slot[A0], NONE);
}

/* Refused, wherever the instruction is: the piece behind the jump is the unit's, too. */
static void refused_ones_are_found_in_all_pieces(void **state)
{
    struct fixture *f = *state;
    assert_false(LIFT(f, JAL(0, 8), END, ECALL, END));
    assert_false(LIFT(f, JAL(0, 8), END, ADDI(A0, A0, 1), ECALL));
    assert_false(LIFT(f, JAL(0, 8), END)); /* nothing is there */
    assert_true(LIFT(f, JAL(0, 8), ECALL, END));
}

static void jumps_into_the_unit_end_it(void **state)
{
    struct fixture *f = *state;
    assert_true(LIFT(f, JAL(0, 0)));
    assert_int_equal(f->code.count, 0);
    assert_int_equal(f->result.piece_count, 1);
    assert_exit(f, IR_EXIT_GO, CODE);
    for (unsigned to = 0; to <= 8; to += 2) { /* into the middle of instructions, too */
        assert_true(LIFT(f, ADDI(A0, A0, 1), ADDI(A0, A0, 1), JAL(0, (int32_t)to - 8), END));
        assert_int_equal(f->result.piece_count, 1);
        assert_int_equal(f->result.insns, 3);
        assert_false(f->result.cut);
        assert_exit(f, IR_EXIT_GO, CODE + to);
    }
    /* From a second piece into the first, itself, and where neither is any more. */
    static const unsigned targets[] = {0, 4, 16, 20}, others[] = {8, 24};
    for (unsigned i = 0; i < ARRAY_SIZE(targets); i++) {
        assert_true(LIFT(f, ADDI(A0, A0, 1), JAL(0, 12), END, END, ADDI(A0, A0, 1),
                         JAL(0, (int32_t)targets[i] - 20), END));
        assert_int_equal(f->result.piece_count, 2);
        assert_int_equal(f->result.insns, 4);
        assert_exit(f, IR_EXIT_GO, CODE + targets[i]);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
        assert_true(LIFT(f, ADDI(A0, A0, 1), JAL(0, 12), END, END, ADDI(A0, A0, 1),
                         JAL(0, (int32_t)others[i] - 20), END));
        assert_int_equal(f->result.piece_count, 3);
        assert_piece(f, 2, CODE + others[i], 4);
        assert_computed(f, IR_EXIT_INDIRECT, lift_x_slot[A5], 0, NONE);
    }
}

static void pieces_are_limited(void **state)
{
    struct fixture *f = *state;
    for (unsigned jumps = 1; jumps <= LIFT_MAX_PIECES + 1; jumps++) {
        f->used = 0;
        for (unsigned i = 0; i < jumps; i++) {
            put(f, (struct rv_insn)JAL(0, 8));
            put(f, (struct rv_insn)ECALL);
        }
        put(f, (struct rv_insn)END);
        assert_true(lift(f));
        assert_false(f->result.cut);
        assert_int_equal(f->result.piece_count, MIN(jumps + 1, (unsigned)LIFT_MAX_PIECES));
        if (jumps < LIFT_MAX_PIECES)
            assert_computed(f, IR_EXIT_INDIRECT, lift_x_slot[A5], 0, NONE);
        else
            assert_exit(f, IR_EXIT_GO, CODE + 8 * LIFT_MAX_PIECES);
    }
}

/* From below, into one that was there first; be it the middle of an instruction that leads there. */
static void pieces_end_where_others_begin(void **state)
{
    struct fixture *f = *state;
    const uint16_t c_nop = 1;
    for (unsigned odd = 0; odd < 2; odd++) {
        f->used = 0;
        f->begin = 0x100;
        put_at(f, 0x100, (struct rv_insn)ADDI(A0, A0, 1));
        put_at(f, 0x104, (struct rv_insn)JAL(0, -12 - 2 * (int32_t)odd));
        put_at(f, 0xf8, (struct rv_insn)ADDI(A1, A1, 1));
        put_at(f, 0xfc, (struct rv_insn)ADDI(A1, A1, 2));
        if (odd) { /* c.nop, addi; what is at 0xfe is an instruction with the first half of that at 0x100 */
            memcpy(f->bytes + 0xf6, &c_nop, sizeof(c_nop));
            memcpy(f->bytes + 0xf8, &c_nop, sizeof(c_nop));
            put_at(f, 0xfa, (struct rv_insn)ADDI(A1, A1, 1));
            memcpy(f->bytes + 0xfe, (const uint8_t[]){0x13, 0x05}, 2);
        }
        assert_true(lift(f));
        assert_true(f->result.cut);
        assert_int_equal(f->result.piece_count, 2);
        assert_piece(f, 0, CODE + 0x100, 8);
        assert_piece(f, 1, CODE + 0xf8 - 2 * odd, 8 + 4 * odd);
        assert_int_equal(f->result.insns, 4 + 2 * odd);
        assert_exit(f, IR_EXIT_GO, CODE + 0x100 + 2 * odd);
    }
    /* Of several, where the nearest begins, which is neither the first one nor the last. */
    f->begin = 0;
    assert_true(LIFT(f, JAL(0, 32), ECALL, ECALL, ECALL, /* 16: */ ADDI(A1, A1, 1), ADDI(A1, A1, 2),
                     /* 24: */ JAL(0, 16), ECALL, /* 32: */ JAL(0, -8), ECALL, /* 40: */ JAL(0, -24), END));
    assert_true(f->result.cut);
    assert_int_equal(f->result.insns, 6);
    assert_int_equal(f->result.piece_count, 5);
    assert_piece(f, 1, CODE + 32, 4);
    assert_piece(f, 2, CODE + 24, 4);
    assert_piece(f, 3, CODE + 40, 4);
    assert_piece(f, 4, CODE + 16, 8);
    assert_exit(f, IR_EXIT_GO, CODE + 24);
}

/* A unit that is known where the jump leads: nothing of it belongs to this one. Nor is a piece without bytes one. */
static void jumps_to_known_units_are_cuts(void **state)
{
    struct fixture *f = *state;
    f->known = CODE + 12;
    assert_true(LIFT(f, ADDI(A0, A0, 1), JAL(0, 8), ECALL, ECALL, END));
    assert_true(f->result.cut);
    assert_int_equal(f->result.insns, 2);
    assert_int_equal(f->result.piece_count, 1);
    assert_piece(f, 0, CODE, 8);
    assert_exit(f, IR_EXIT_GO, CODE + 12);
    f->known = CODE + 16; /* behind it */
    assert_true(LIFT(f, ADDI(A0, A0, 1), JAL(0, 8), ECALL, ADDI(A0, A0, 1), ECALL));
    assert_true(f->result.cut);
    assert_int_equal(f->result.piece_count, 2);
    assert_piece(f, 1, CODE + 12, 4);
    assert_exit(f, IR_EXIT_GO, CODE + 16);
    f->known = 0;
    f->limits.max_insns = 2; /* the jump is the last one */
    assert_true(LIFT(f, ADDI(A0, A0, 1), JAL(0, 8), ECALL, ECALL, END));
    assert_true(f->result.cut);
    assert_int_equal(f->result.piece_count, 1);
    assert_exit(f, IR_EXIT_GO, CODE + 12);
}

/* To a copy of the code that is so far away: `hi`, by a jump in two instructions. */
static bool lift_to_far(struct fixture *f, uint32_t hi, int32_t lo)
{
    f->far = CODE + (uint64_t)(int64_t)(int32_t)hi;
    return LIFT(f, AUIPC(T1, (int32_t)hi), JALR(0, T1, lo), ECALL, END, END);
}

static void far_jumps_are_not_followed(void **state)
{
    struct fixture *f = *state;
    const uint32_t reach = UINT32_C(1) << 30;
    f->used = 0;
    assert_true(lift_to_far(f, reach - SIZE, 12));
    assert_int_equal(f->result.piece_count, 2);
    assert_piece(f, 1, CODE + reach - SIZE + 12, 4);
    assert_true(lift_to_far(f, 0u - reach, 12));
    assert_int_equal(f->result.piece_count, 2);
    assert_piece(f, 1, CODE - (uint64_t)reach + 12, 4);
    assert_true(lift_to_far(f, reach, 12));
    assert_int_equal(f->result.piece_count, 1);
    assert_int_equal(f->result.insns, 2);
    assert_false(f->result.cut);
    assert_constant(f, 0, T1, CODE + (uint64_t)reach);
    assert_exit(f, IR_EXIT_GO, CODE + (uint64_t)reach + 12);
    assert_true(lift_to_far(f, 0u - reach - SIZE, 12));
    assert_int_equal(f->result.piece_count, 1);
    assert_exit(f, IR_EXIT_GO, CODE - (uint64_t)reach - SIZE + 12);
}

/* Whatever the bytes are: lift() compares it with what comes of the unit's own bytes. */
static void lifts_any_bytes(void **state)
{
    struct fixture *f = *state;
    struct rng rng = rng_make(2, 0);
    unsigned lifted = 0, pieces[LIFT_MAX_PIECES + 1] = {0};
    for (unsigned round = 0; round < 20000; round++) {
        f->used = 0;
        while (f->used < 256) {
            static const uint16_t often[] = {RV_LUI,    RV_AUIPC, RV_ADDI, RV_C_LUI,
                                             RV_C_ADDI, RV_ADDIW, RV_C_LD, RV_BEQ};
            unsigned row = often[rng_below(&rng, 8)];
            struct rv_insn insn;
            if (rng_percent(&rng, 10))
                row = 1 + rng_below(&rng, RV_ROW_COUNT - 1);
            row_random(row, &rng, &insn);
            if (rng_percent(&rng, 12))
                insn = (struct rv_insn)JAL(0, (int32_t)(2 * rng_below(&rng, 128)) - (int32_t)f->used);
            put(f, insn);
        }
        f->begin = 2 * rng_below(&rng, 128);
        f->limits.max_insns = 1 + rng_below(&rng, LIFT_MAX_INSNS);
        f->known = rng_percent(&rng, 50) ? CODE + 2 * rng_below(&rng, 128) : 0;
        if (!lift(f))
            continue;
        lifted++;
        pieces[f->result.piece_count]++;
        assert_in_range(f->result.insns, 1, MIN(f->limits.max_insns, JIT_QUICK_MAX - 1u));
    }
    assert_true(lifted > 1000);
    for (unsigned i = 1; i <= 4; i++)
        assert_true(pieces[i] > 50);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(rows_are_taken_or_refused),
        TEST(nothing_is_made_of_what_is_not_there),
        TEST(missing_extensions_are_refused),
        TEST(places_are_told),
        TEST(x0_is_neither_written_nor_read),
        TEST(copies_are_sums_with_zero),
        TEST(pairs_are_one_constant),
        TEST(others_stay_two),
        TEST(units_end_with_jumps),
        TEST(units_end_with_computed_jumps),
        TEST(jumps_to_known_places_are_direct),
        TEST(units_are_cut_where_they_are_long),
        TEST(units_are_cut_where_another_begins),
        TEST(jumps_are_followed),
        TEST(others_are_followed_as_well),
        TEST(refused_ones_are_found_in_all_pieces),
        TEST(jumps_into_the_unit_end_it),
        TEST(pieces_are_limited),
        TEST(pieces_end_where_others_begin),
        TEST(jumps_to_known_units_are_cuts),
        TEST(far_jumps_are_not_followed),
        TEST(lifts_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
