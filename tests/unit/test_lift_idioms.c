/* What the lifter makes of common sequences, and where units end: the text of the IR. */
#include "cpu/riscv/hart.h"
#include "cpu/riscv/lift.h"
#include "insns.h"
#include "jit/text.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CODE = 0x1000, MAX_INSNS = 8 };
enum { RA = 1, SP = 2, T0 = 5, T1 = 6, S1 = 9, A0 = 10, A1, A2, A3, A4, A5, S3 = 19 };
enum { FA0 = 10, FA4 = 14, FA5 = 15 };
enum { DYNAMIC = 7, RTZ = 1 };

#define OP2(name, d, a, b) INSN(name, .rd = d, .rs1 = a, .rs2 = b)
#define OPI(name, d, a, i) INSN(name, .rd = d, .rs1 = a, .imm = i)
#define FP2(name, d, a, b) INSN(name, .rd = d, .rs1 = a, .rs2 = b, .rm = DYNAMIC)

struct idiom {
    const char *name;
    struct rv_insn insns[MAX_INSNS];
    const char *text;
};

static const struct idiom idioms[] = {
    /* clang-format off */
    {"a word sum and its use as an index",
     {OP2(ADDW, A5, A5, A4), OPI(SLLI, A5, A5, 3), OP2(ADD, A5, A0, A5), OPI(LD, A5, A5, 16), ECALL},
     "v0 i32 add a4, a5\n"
     "v1 i64 sext32 v0 for a5\n"
     "nop\n"
     "v3 i64 shl v1, 3 for a5\n"
     "nop\n"
     "v5 i64 add v3, a0 for a5\n"
     "set a5, v5\n"
     "v7 i64 add v5, 16\n"
     "pc 0x100c\n"
     "v9 i64 ld64 v7 for a5\n"
     "set a5, v9\n"
     "pc 0x1010\n"
     "exit -> stop 0 0x1010\n"},
    {"a constant of two parts",
     {LUI(A0, 0x12345000), OPI(ADDIW, A0, A0, 0x678), AUIPC(A1, 0x1000), ADDI(A1, A1, -8), ECALL},
     "nop\n"
     "set a0, 0x12345678\n"
     "nop\n"
     "set a1, 8192\n"
     "pc 0x1010\n"
     "exit -> stop 0 0x1010\n"},
    {"zero extension by two shifts",
     {OPI(SLLI, A5, A4, 32), OPI(SRLI, A5, A5, 32), ECALL},
     "v0 i64 shl a4, 32 for a5\n"
     "nop\n"
     "v2 i64 zext32 a4 for a5\n"
     "set a5, v2\n"
     "pc 0x1008\n"
     "exit -> stop 0 0x1008\n"},
    {"x0",
     {ADDI(0, A0, 1), OP2(ADD, A0, 0, 0), OPI(LB, 0, A1, 0), ECALL},
     "v0 i64 add a0, 1\n"
     "set a0, 0\n"
     "pc 0x1008\n"
     "v3 i64 lds8 a1\n"
     "pc 0x100c\n"
     "exit -> stop 0 0x100c\n"},
    {"registers in memory",
     {ADDI(S3, T0, 1), OP2(ADD, T0, S3, S3), ECALL},
     "v0 i64 get t0\n"
     "v1 i64 add v0, 1\n"
     "set s3, v1\n"
     "v3 i64 add v1, v1\n"
     "set t0, v3\n"
     "pc 0x1008\n"
     "exit -> stop 0 0x1008\n"},
    {"a loop",
     {ADDI(A5, A5, -1), BNE(A5, 0, -4), ECALL},
     "v0 i64 add a5, -1 for a5\n"
     "set a5, v0\n"
     "v2 i64 ne v0, 0\n"
     "pc 0x1004\n"
     "br v2 -> go 0x1000\n"
     "exit -> go 0x1008\n"},
    {"branches back and forward",
     {BEQ(A0, A1, 8), BLT(A0, A1, -16), ECALL},
     "v0 i64 eq a1, a0\n"
     "pc 0x1000\n"
     "br v0 -> go 0x1008\n"
     "v3 i64 lt a0, a1\n"
     "pc 0x1004\n"
     "br v3 -> go 0xff4\n"
     "exit -> go 0x1008\n"},
    {"a jump within the unit",
     {JAL(0, 8), EBREAK, ADDI(A0, A0, 1), ECALL},
     "v0 i64 add a0, 1 for a0\n"
     "set a0, v0\n"
     "pc 0x100c\n"
     "exit -> stop 0 0x100c\n"},
    {"a jump back inside the unit: what leads on from there need not look",
     {JAL(0, 8), BEQ(A0, A1, 12), JAL(0, -4), EBREAK},
     "v0 i64 eq a1, a0\n"
     "pc 0x1004\n"
     "br v0 -> go 0x1010\n"
     "exit -> go 0x1008\n"},
    {"jumps to known places, near and too far for the unit",
     {AUIPC(T1, 0), JALR(0, T1, 12), EBREAK, LUI(T1, 0x60000000), JALR(0, T1, 0)},
     "nop\n"
     "set t1, 0x60000000\n"
     "pc 0x1010\n"
     "exit -> go 0x60000000\n"},
    {"an endless loop",
     {JAL(0, 0)},
     "pc 0x1000\n"
     "exit -> go 0x1000\n"},
    {"a call",
     {ADDI(SP, SP, -16), JAL(RA, 0x100)},
     "v0 i64 add sp, -16 for sp\n"
     "set sp, v0\n"
     "set ra, 4104\n"
     "pc 0x1004\n"
     "exit -> call 0x1104 return 0x1008 check ra\n"},
    {"a far call",
     {AUIPC(RA, 0x10000), JALR(RA, RA, 4)},
     "nop\n"
     "set ra, 4104\n"
     "pc 0x1004\n"
     "exit -> call 0x11004 return 0x1008 check ra\n"},
    {"a return",
     {ADDI(SP, SP, 16), JALR(0, RA, 0)},
     "v0 i64 add sp, 16 for sp\n"
     "set sp, v0\n"
     "pc 0x1004\n"
     "exit ra -> return check ra\n"},
    {"an indirect call through ra",
     {JALR(RA, RA, 8)},
     "v0 i64 add ra, 8\n"
     "set ra, 4100\n"
     "pc 0x1000\n"
     "exit v0 -> indirect-call return 0x1004 check ra\n"},
    {"a tail call",
     {JALR(0, A5, 0)},
     "pc 0x1000\n"
     "exit a5 -> indirect\n"},
    {"another link register",
     {JALR(T0, T1, 0)},
     "v0 i64 get t1\n"
     "set t0, 4100\n"
     "pc 0x1000\n"
     "exit v0 -> indirect\n"},
    {"an atomic",
     {INSN(AMOADD_W, .rd = A0, .rs1 = A1, .rs2 = A2), ECALL},
     "v0 i64 and a1, 3\n"
     "pc 0x1000\n"
     "br v0 -> stop 4 0x1000\n"
     "v3 i32 aadd a1, a2\n"
     "v4 i64 sext32 v3 for a0\n"
     "set a0, v4\n"
     "pc 0x1004\n"
     "exit -> stop 0 0x1004\n"},
    {"load reserved, store conditional",
     {INSN(LR_W, .rd = A5, .rs1 = A0), INSN(SC_W, .rd = A4, .rs1 = A0, .rs2 = A1), ECALL},
     "v0 i64 and a0, 3\n"
     "pc 0x1000\n"
     "br v0 -> stop 4 0x1000\n"
     "v3 i64 ldu32 a0\n"
     "set reserve_address, a0\n"
     "set reserve_value, v3\n"
     "v6 i64 sext32 v3 for a5\n"
     "set a5, v6\n"
     "pc 0x1004\n"
     "br v0 -> stop 4 0x1004\n"
     "v10 pair v3, a1\n"
     "v11 i32 acas a0, v10\n"
     "set reserve_address, -1\n"
     "v13 i32 ne v11, v3 for a4\n"
     "set a4, v13\n"
     "pc 0x1008\n"
     "exit -> stop 0 0x1008\n"},
    {"fences",
     {INSN(FENCE, .aux = 0x33), INSN(FENCE, .aux = 0x23), INSN(FENCE, .aux = 0x11), ECALL},
     "fence\n"
     "pc 0x100c\n"
     "exit -> stop 0 0x100c\n"},
    {"minimum",
     {OP2(MIN, A0, A1, A2), OP2(CZERO_EQZ, A3, A4, A5), ECALL},
     "v0 i64 lt a1, a2\n"
     "v1 pair a1, a2\n"
     "v2 i64 select v0, v1 for a0\n"
     "set a0, v2\n"
     "v4 pair a4, 0\n"
     "v5 i64 select a5, v4 for a3\n"
     "set a3, v5\n"
     "pc 0x1008\n"
     "exit -> stop 0 0x1008\n"},
    {"double precision: canonical where it is seen",
     {FP2(FMUL_D, FA5, FA5, FA4), FP2(FADD_D, FA0, FA0, FA5), INSN(FSD, .rs1 = A0, .rs2 = FA0), ECALL},
     "v0 f64 fmul fa4, fa5\n"
     "v1 f64 canon v0 for fa5\n"
     "set fa5, v1\n"
     "v3 f64 fadd v1, fa0\n"
     "v4 f64 canon v3 for fa0\n"
     "set fa0, v4\n"
     "pc 0x1008\n"
     "f64 stf a0, v4\n"
     "pc 0x100c\n"
     "exit -> stop 0 0x100c\n"},
    {"single precision: what is loaded or made is boxed, what comes in is checked once",
     {INSN(FLW, .rd = FA4, .rs1 = A0), FP2(FADD_S, FA4, FA4, FA5), FP2(FMUL_S, FA4, FA4, FA5), ECALL},
     "pc 0x1000\n"
     "v1 f32 ldf a0\n"
     "v2 f32 box v1 for fa4\n"
     "set fa4, v2\n"
     "v4 f32 unboxed fa5\n"
     "pc 0x1004\n"
     "br v4 -> stop 4 0x1004\n"
     "v7 f32 fadd v2, fa5\n"
     "v8 f32 canon v7 for fa4\n"
     "nop\n"
     "v10 f32 fmul v8, fa5\n"
     "v11 f32 canon v10 for fa4\n"
     "set fa4, v11\n"
     "pc 0x100c\n"
     "exit -> stop 0 0x100c\n"},
    {"a copy keeps what is known",
     {FP2(FADD_D, FA5, FA5, FA4), OP2(FSGNJ_D, FA0, FA5, FA5), FP2(FMUL_D, FA0, FA0, FA0), ECALL},
     "v0 f64 fadd fa4, fa5\n"
     "v1 f64 canon v0 for fa5\n"
     "set fa5, v1\n"
     "nop\n"
     "v4 f64 fmul v1, v1\n"
     "v5 f64 canon v4 for fa0\n"
     "set fa0, v5\n"
     "pc 0x100c\n"
     "exit -> stop 0 0x100c\n"},
    {"fused multiplication",
     {INSN(FMADD_D, .rd = FA0, .rs1 = FA5, .rs2 = FA4, .rs3 = FA0, .rm = DYNAMIC), ECALL},
     "v0 f64 feq fa0, fa0\n"
     "v1 i32 eq v0, 0\n"
     "pc 0x1000\n"
     "br v1 -> stop 4 0x1000\n"
     "v4 pair fa4, fa0\n"
     "v5 f64 fmadd fa5, v4\n"
     "v6 f64 canon v5 for fa0\n"
     "set fa0, v6\n"
     "pc 0x1004\n"
     "exit -> stop 0 0x1004\n"},
    {"to integer toward zero, in the dynamic mode, in another",
     {INSN(FCVT_W_D, .rd = A0, .rs1 = FA0, .rm = RTZ), INSN(FCVT_L_D, .rd = A1, .rs1 = FA0, .rm = DYNAMIC), INSN(FCVT_L_D, .rd = A2, .rs1 = FA0, .rm = 2), ECALL},
     "v0 f64 truncw fa0 for a0\n"
     "set a0, v0\n"
     "v2 f64 roundl fa0 for a1\n"
     "set a1, v2\n"
     "v4 i64 bits fa0\n"
     "v5 pair 2, 0\n"
     "v6 pair v4, v5\n"
     "v7 i64 call 16, v6 for a2\n"
     "set a2, v7\n"
     "pc 0x100c\n"
     "exit -> stop 0 0x100c\n"},
    {"left to the interpreter",
     {ADDI(A0, A0, 1), CSRRW(0, 2, A0)},
     "v0 i64 add a0, 1 for a0\n"
     "set a0, v0\n"
     "pc 0x1004\n"
     "exit -> stop 4 0x1004\n"},
    /* clang-format on */
};

struct code {
    uint8_t bytes[4 * MAX_INSNS];
    unsigned size;
};

static unsigned fetch(void *context, uint64_t pc, uint8_t *bytes, unsigned size)
{
    const struct code *code = context;
    if (pc - CODE >= code->size)
        return 0;
    if (size > code->size - (pc - CODE))
        size = (unsigned)(code->size - (pc - CODE));
    memcpy(bytes, code->bytes + (pc - CODE), size);
    return size;
}

static void put_code(struct code *code, const struct rv_insn *insns)
{
    code->size = 0;
    for (unsigned i = 0; i < MAX_INSNS && insns[i].op; i++) {
        uint32_t word = rv_encode(&insns[i]);
        memcpy(code->bytes + code->size, &word, sizeof(word));
        code->size += (unsigned)sizeof(word);
    }
}

/* The text without the lines of the unit and the pinned registers; these go by their names, other values are numbered from v0. */
static void normalize(const char *text, struct buf *out)
{
    unsigned pinned = lift_machine.pin_count;
    for (unsigned i = 0; i < 1 + pinned; i++)
        text = strchr(text, '\n') + 1;
    for (char before = '\n'; *text; before = text[-1]) {
        if (*text != 'r' || isalnum(before) || !isdigit(text[1])) {
            buf_add(out, text++, 1);
            continue;
        }
        char *end;
        unsigned long number = strtoul(text + 1, &end, 10);
        if (number < pinned)
            buf_printf(out, "%s", lift_machine.slots[number].name);
        else
            buf_printf(out, "v%lu", number - pinned);
        text = end;
    }
}

static void lifts_idioms(void **state)
{
    (void)state;
    struct ir *ir = calloc(1, sizeof(*ir));
    bool same = true;
    for (size_t i = 0; i < sizeof(idioms) / sizeof(idioms[0]); i++) {
        struct code code;
        struct buf text = {0}, own = {0};
        struct lift_result result;
        const struct lift_source source = {.fetch = fetch, .context = &code};
        const struct lift_limits limits = {
            .extensions = ~UINT64_C(0), .max_insns = MAX_INSNS, .has_fma = true};
        put_code(&code, idioms[i].insns);
        assert_true(lift_unit(ir, &source, &limits, CODE, &result));
        ir_print(ir, &text);
        normalize(text.data, &own);
        if (strcmp(own.data, idioms[i].text)) {
            print_error("%s:\n%s", idioms[i].name, own.data);
            same = false;
        }
        buf_release(&text);
        buf_release(&own);
    }
    free(ir);
    assert_true(same);
}

/* Limits end a unit where they say, and what there is not cannot be lifted. */
static void ends_at_limits(void **state)
{
    (void)state;
    struct ir *ir = calloc(1, sizeof(*ir));
    struct code code;
    struct lift_result result;
    const struct lift_source source = {.fetch = fetch, .context = &code};
    struct lift_limits limits = {.extensions = ~UINT64_C(0), .max_insns = 2};
    const struct rv_insn insns[MAX_INSNS] = {ADDI(A0, A0, 1), ADDI(A0, A0, 1), OP2(MUL, A0, A0, A0),
                                             ADDI(A0, A0, 1)};
    put_code(&code, insns);
    assert_true(lift_unit(ir, &source, &limits, CODE, &result));
    assert_int_equal(result.insns, 2);
    assert_int_equal(ir->exits[0].kind, IR_EXIT_GO);
    assert_int_equal(ir->exits[0].pc, CODE + 8);
    limits = (struct lift_limits){.extensions = ~(UINT64_C(1) << RV_EXT_M), .max_insns = MAX_INSNS};
    assert_true(lift_unit(ir, &source, &limits, CODE, &result));
    assert_int_equal(result.insns, 3);
    assert_int_equal(ir->exits[0].reason, LIFT_ILLEGAL);
    assert_int_equal(ir->exits[0].pc, CODE + 8);
    code.size = 6;
    assert_true(lift_unit(ir, &source, &limits, CODE, &result));
    assert_int_equal(result.insns, 1);
    assert_int_equal(result.byte_count, 4);
    assert_int_equal(ir->exits[0].reason, LIFT_FETCH);
    assert_int_equal(ir->exits[0].pc, CODE + 4);
    code.size = 2;
    assert_false(lift_unit(ir, &source, &limits, CODE, &result));
    free(ir);
}

static void names_every_register_once(void **state)
{
    (void)state;
    bool used[IR_MAX_SLOTS] = {false};
    for (unsigned i = 1; i < 64; i++) { /* x0 is no slot */
        unsigned slot = i < 32 ? lift_x_slot[i] : lift_f_slot[i - 32];
        int32_t offset = i < 32 ? LIFT_OFFSET(x) + 8 * (int32_t)i : LIFT_OFFSET(f) + 8 * (int32_t)(i - 32);
        assert_false(used[slot]);
        used[slot] = true;
        assert_int_equal(lift_machine.slots[slot].offset, offset);
        assert_int_equal(lift_machine.slots[slot].type, i < 32 ? IR_I64 : IR_F64);
        if (i >= 4 && i < 32)
            assert_in_range(offset + 128, 0, 255 - 7); /* a byte reaches it */
    }
    for (unsigned i = 0, pins[2] = {0, 0}; i < lift_machine.slot_count; i++) {
        const struct ir_slot *slot = &lift_machine.slots[i];
        assert_int_equal(slot->pin, i < lift_machine.pin_count ? ++pins[slot->type == IR_F64] : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lifts_idioms), cmocka_unit_test(ends_at_limits),
                                       cmocka_unit_test(names_every_register_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
