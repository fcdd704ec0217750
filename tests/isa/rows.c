/* Every row of riscv.isa: patterns, precedence, operands, and words that objdump does not know. */
#include "expand.h"
#include "isa/riscv/isa.h"
#include "isa/riscv/tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ROUNDS 2000

/* splitmix64 */
static uint64_t random_next(uint64_t *seed)
{
    uint64_t z = *seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static bool is_row(unsigned row)
{
    return rv_rows[row].length != 0;
}

/* ---- patterns ---- */

static bool is_declared(unsigned inner, unsigned outer)
{
    static const uint16_t within[][2] = {
        {RV_FENCE_TSO, RV_FENCE}, {RV_PAUSE, RV_FENCE},      {RV_PREFETCH_I, RV_ORI},
        {RV_PREFETCH_R, RV_ORI},  {RV_PREFETCH_W, RV_ORI},   {RV_NTL_P1, RV_ADD},
        {RV_NTL_PALL, RV_ADD},    {RV_NTL_S1, RV_ADD},       {RV_NTL_ALL, RV_ADD},
        {RV_C_NOP, RV_C_ADDI},    {RV_C_ADDI16SP, RV_C_LUI}, {RV_C_MOP, RV_C_LUI},
        {RV_C_JR, RV_C_MV},       {RV_C_JALR, RV_C_ADD},     {RV_C_EBREAK, RV_C_JALR},
        {RV_C_EBREAK, RV_C_ADD},  {RV_C_NTL_P1, RV_C_ADD},   {RV_C_NTL_PALL, RV_C_ADD},
        {RV_C_NTL_S1, RV_C_ADD},  {RV_C_NTL_ALL, RV_C_ADD},
    };
    for (size_t i = 0; i < sizeof within / sizeof within[0]; i++)
        if (within[i][0] == inner && within[i][1] == outer)
            return true;
    return false;
}

static void patterns_do_not_overlap(void **state)
{
    (void)state;
    for (unsigned i = RV_INVALID + 1; i < RV_ROW_COUNT; i++)
        for (unsigned j = RV_INVALID + 1; j < i; j++) {
            const struct rv_row *a = &rv_rows[i], *b = &rv_rows[j];
            bool overlap = a->length == b->length && !((a->match ^ b->match) & a->mask & b->mask);
            if (overlap != (is_declared(i, j) || is_declared(j, i)))
                fail_msg("%s and %s", a->name, b->name);
        }
}

static void lengths_follow_the_low_bits(void **state)
{
    (void)state;
    for (unsigned row = RV_INVALID + 1; row < RV_ROW_COUNT; row++) {
        assert_true(is_row(row));
        assert_int_equal(rv_rows[row].length, (rv_rows[row].match & 3) == 3 ? 4 : 2);
        assert_int_equal(rv_rows[row].length, row < RV_OP_COUNT ? 4 : 2);
        assert_true(rv_rows[row].op < RV_OP_COUNT);
        assert_int_equal(rv_op_flags(row), rv_op_flags(rv_rows[row].op));
    }
}

/* ---- operands ---- */

/* Decodes a word of this row; when it is the row's (not reserved, not a special case), encoding gives it back. */
static unsigned check_word(unsigned row, uint32_t word)
{
    struct rv_insn insn;
    int length = rv_decode(word, &insn);
    assert_int_equal(insn.word, word);
    assert_int_equal(insn.length, rv_rows[row].length);
    assert_int_equal(length, insn.op == RV_INVALID ? 0 : insn.length);
    if (rv_encode(&insn) != word)
        fail_msg("%s: 0x%08x became 0x%08x", rv_op_name(row), word, rv_encode(&insn));
    if (insn.row == row)
        return 1;
    assert_true(insn.row == RV_INVALID || is_declared(insn.row, row));
    return 0;
}

static uint32_t row_word(unsigned row, uint32_t fill)
{
    uint32_t all = rv_rows[row].length == 4 ? UINT32_MAX : UINT16_MAX;
    return rv_rows[row].match | (fill & ~rv_rows[row].mask & all);
}

static void encoding_inverts_decoding(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (unsigned row = RV_INVALID + 1; row < RV_ROW_COUNT; row++) {
        unsigned found = check_word(row, row_word(row, 0)) + check_word(row, row_word(row, UINT32_MAX));
        for (unsigned bit = 0; bit < 32; bit++) {
            found += check_word(row, row_word(row, 1u << bit));
            found += check_word(row, row_word(row, ~(1u << bit)));
        }
        for (int i = 0; i < ROUNDS; i++)
            found += check_word(row, row_word(row, (uint32_t)random_next(&seed)));
        if (!found)
            fail_msg("%s is never decoded", rv_op_name(row));
    }
}

/* Operands that do not fit never spill into the rest of the word. */
static void operands_are_cut_to_their_fields(void **state)
{
    (void)state;
    uint64_t seed = 2;
    for (unsigned row = RV_INVALID + 1; row < RV_ROW_COUNT; row++)
        for (int i = 0; i < ROUNDS; i++) {
            uint64_t a = random_next(&seed), b = random_next(&seed);
            struct rv_insn insn = {.row = (uint16_t)row,
                                   .op = rv_rows[row].op,
                                   .rd = (uint8_t)a,
                                   .rs1 = (uint8_t)(a >> 8),
                                   .rs2 = (uint8_t)(a >> 16),
                                   .rm = (uint8_t)(a >> 24), /* or aux */
                                   .imm = (int32_t)b};       /* or rs3 */
            uint32_t word = rv_encode(&insn);
            assert_int_equal(word & rv_rows[row].mask, rv_rows[row].match);
            assert_true(rv_rows[row].length == 4 || word <= UINT16_MAX);
        }
}

struct expected {
    uint32_t word;
    struct rv_insn insn;
};

static bool is_same(const struct rv_insn *a, const struct rv_insn *b)
{
    return a->op == b->op && a->row == b->row && a->length == b->length && a->rd == b->rd &&
           a->rs1 == b->rs1 && a->rs2 == b->rs2 && a->rm == b->rm && a->imm == b->imm && a->word == b->word;
}

/* Where each kind of operand goes. */
static void operands_are_where_the_header_says(void **state)
{
    (void)state;
    static const struct expected expected[] = {
        {0xfff5f513, {.op = RV_ANDI, .rd = 10, .rs1 = 11, .imm = -1}},
        {0x800005b7, {.op = RV_LUI, .rd = 11, .imm = INT32_MIN}},
        {0x7ffff597, {.op = RV_AUIPC, .rd = 11, .imm = 0x7ffff000}},
        {0x8000006f, {.op = RV_JAL, .imm = -0x100000}},
        {0x7ffff0ef, {.op = RV_JAL, .rd = 1, .imm = 0xffffe}},
        {0x80b50063, {.op = RV_BEQ, .rs1 = 10, .rs2 = 11, .imm = -4096}},
        {0x7eb51fe3, {.op = RV_BNE, .rs1 = 10, .rs2 = 11, .imm = 4094}},
        {0x80b53023, {.op = RV_SD, .rs1 = 10, .rs2 = 11, .imm = -2048}},
        {0x43f5d513, {.op = RV_SRAI, .rd = 10, .rs1 = 11, .imm = 63}},
        {0xfffff573, {.op = RV_CSRRCI, .rd = 10, .rs1 = 31, .imm = 4095}},
        {0x00359573, {.op = RV_CSRRW, .rd = 10, .rs1 = 11, .imm = RV_CSR_FCSR}},
        {0x1605b52f, {.op = RV_LR_D, .rd = 10, .rs1 = 11, .rm = 3}},
        {0x04c5a52f, {.op = RV_AMOADD_W, .rd = 10, .rs1 = 11, .rs2 = 12, .rm = 2}},
        {0x6ac5f543, {.op = RV_FMADD_D, .rd = 10, .rs1 = 11, .rs2 = 12, .rs3 = 13, .rm = 7}},
        {0xc2051553, {.op = RV_FCVT_W_D, .rd = 10, .rs1 = 10, .rm = 1}},
        {0x0330000f, {.op = RV_FENCE, .aux = 0x33}},
        {0x30200073, {.op = RV_MRET}},
        {0x10200073, {.op = RV_SRET}},
        {0x10500073, {.op = RV_WFI}},
        {0x13f58073, {.op = RV_SFENCE_VMA, .rs1 = 11, .rs2 = 31}},
        {0x160f8073, {.op = RV_SINVAL_VMA, .rs1 = 31}},
        {0x18000073, {.op = RV_SFENCE_W_INVAL}},
        {0x18100073, {.op = RV_SFENCE_INVAL_IR}},
        {0xf3358f8f, {.op = RV_FENCE, .rd = 31, .rs1 = 11, .aux = 0x33, .imm = 15}},
        {0x8330000f, {.op = RV_FENCE_TSO}},
        {0x0100000f, {.op = RV_PAUSE}},
        {0xfe35e013, {.op = RV_PREFETCH_W, .rs1 = 11, .imm = -32}},
        {0xf0148553, {.op = RV_FLI_S, .rd = 10, .rs1 = 9}},
        {0xcdff4ff3, {.op = RV_MOP_R, .rd = 31, .rs1 = 30, .aux = 31}},
        {0xcec5c573, {.op = RV_MOP_RR, .rd = 10, .rs1 = 11, .rs2 = 12, .aux = 7}},
        {0x6281, {.op = RV_ADDI, .aux = 5}},
        {0x717d, {.op = RV_ADDI, .rd = 2, .rs1 = 2, .imm = -16}},
        {0x77fd, {.op = RV_LUI, .rd = 15, .imm = -4096}},
        {0x9982, {.op = RV_JALR, .rd = 1, .rs1 = 19}},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        struct rv_insn want = expected[i].insn, insn;
        rv_decode(expected[i].word, &insn);
        want.word = expected[i].word;
        want.length = (want.word & 3) == 3 ? 4 : 2;
        want.row = want.length == 4 ? want.op : insn.row;
        if (!is_same(&insn, &want))
            fail_msg("0x%08x", want.word);
    }
}

/* ---- compressed ---- */

static void every_compressed_word_expands_as_by_hand(void **state)
{
    (void)state;
    for (uint32_t word = 0; word <= UINT16_MAX; word++) {
        struct rv_insn insn;
        if ((word & 3) == 3)
            continue;
        int length = rv_decode(word | 0xabcd0000, &insn);
        uint32_t expanded = expand((uint16_t)word);
        assert_int_equal(insn.word, word);
        if (length != (expanded ? 2 : 0))
            fail_msg("0x%04x: decoded %d bytes, by hand 0x%08x", word, length, expanded);
        if (!length)
            continue;
        assert_int_equal(rv_encode(&insn), word);
        insn.row = insn.op;
        if (rv_encode(&insn) != expanded)
            fail_msg("0x%04x: became 0x%08x, by hand 0x%08x", word, rv_encode(&insn), expanded);
    }
}

/* ---- reserved ---- */

static void reserved_words_are_illegal(void **state)
{
    (void)state;
    static const uint32_t words[] = {
        0x00000000,
        0xffffffff,
        0x0000007f,
        0x00005067,
        0x0000401b,           /* OP-IMM-32, funct3 4 */
        0x1005a52f | 1 << 20, /* lr.w with rs2 */
        0x0205151b,           /* slliw by 32 */
        0x02c5d553,
        0x02c5e553, /* fadd.d, rounding modes 5 and 6 */
        0x28c745af,
        0x28d7452f,           /* amocas.q with an odd register */
        0x2001,               /* c.addiw to x0 */
        0x6101,               /* c.addi16sp by 0 */
        0x6501,               /* c.lui x10, 0 */
        0x6801,               /* c.lui x16, 0 */
        0x4002,               /* c.lwsp to x0 */
        0x6002,               /* c.ldsp to x0 */
        0x8002,               /* c.jr x0 */
        0x00200073,           /* uret */
        0x30200073 | 1 << 7,  /* mret, rd not 0 */
        0x10500073 | 1 << 15, /* wfi, rs1 not 0 */
        0x12000073 | 1 << 7,  /* sfence.vma, rd not 0 */
        0x18200073,           /* sfence.w.inval with rs2 2 */
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        struct rv_insn insn;
        if (rv_decode(words[i], &insn) || insn.op != RV_INVALID || insn.row != RV_INVALID)
            fail_msg("0x%08x is %s", words[i], rv_op_name(insn.row));
        assert_int_equal(rv_encode(&insn), insn.word);
    }
}

/* ---- text ---- */

struct text {
    uint32_t word;
    const char *text;
};

static void texts_that_objdump_does_not_know(void **state)
{
    (void)state;
    static const struct text texts[] = {
        {0x0ec5d533, "czero.eqz\ta0,a1,a2"},
        {0x0e147fb3, "czero.nez\tt6,s0,ra"},
        {0xf0100553, "fli.s\tfa0,-0x1p+0"},
        {0xf0108053, "fli.s\tft0,min"},
        {0xf01100d3, "fli.s\tft1,0x1p-16"},
        {0xf0148553, "fli.s\tfa0,0x1.4p-2"},
        {0xf01985d3, "fli.s\tfa1,0x1.cp+0"},
        {0xf21d0dd3, "fli.d\tfs11,0x1p+7"},
        {0xf21e8553, "fli.d\tfa0,0x1p+16"},
        {0xf21f0553, "fli.d\tfa0,inf"},
        {0xf21f8e53, "fli.d\tft8,nan"},
        {0x28c5a553, "fminm.s\tfa0,fa1,fa2"},
        {0x28c5b553, "fmaxm.s\tfa0,fa1,fa2"},
        {0x2ac5a553, "fminm.d\tfa0,fa1,fa2"},
        {0x2ac5b553, "fmaxm.d\tfa0,fa1,fa2"},
        {0x40459553, "fround.s\tfa0,fa1,rtz"},
        {0x4045f553, "fround.s\tfa0,fa1"},
        {0x4055b553, "froundnx.s\tfa0,fa1,rup"},
        {0x4055f553, "froundnx.s\tfa0,fa1"},
        {0x4245c553, "fround.d\tfa0,fa1,rmm"},
        {0x4245f553, "fround.d\tfa0,fa1"},
        {0x4255a553, "froundnx.d\tfa0,fa1,rdn"},
        {0x4255f553, "froundnx.d\tfa0,fa1"},
        {0xa0c5c553, "fleq.s\ta0,fa1,fa2"},
        {0xa0c5d553, "fltq.s\ta0,fa1,fa2"},
        {0xa2c5c553, "fleq.d\ta0,fa1,fa2"},
        {0xa2c5d553, "fltq.d\ta0,fa1,fa2"},
        {0xc2859553, "fcvtmod.w.d\ta0,fa1,rtz"},
        {0x28b6252f, "amocas.w\ta0,a1,(a2)"},
        {0x2e6122af, "amocas.w.aqrl\tt0,t1,(sp)"},
        {0x28b6352f, "amocas.d\ta0,a1,(a2)"},
        {0x2c00b4af, "amocas.d.aq\ts1,zero,(ra)"},
        {0x28c7452f, "amocas.q\ta0,a2,(a4)"},
        {0x2b29cf2f, "amocas.q.rl\tt5,s2,(s3)"},
        {0x81c5c573, "mop.r.0\ta0,a1"},
        {0x85d5c573, "mop.r.5\ta0,a1"},
        {0xcdff4ff3, "mop.r.31\tt6,t5"},
        {0xc1ef4ff3, "mop.r.18\tt6,t5"},
        {0x82c5c573, "mop.rr.0\ta0,a1,a2"},
        {0xc654c473, "mop.rr.5\ts0,s1,t0"},
        {0xcec5c573, "mop.rr.7\ta0,a1,a2"},
        {0x00200033, "ntl.p1"},
        {0x00300033, "ntl.pall"},
        {0x00400033, "ntl.s1"},
        {0x00500033, "ntl.all"},
        {0x900a, "c.ntl.p1"},
        {0x900e, "c.ntl.pall"},
        {0x9012, "c.ntl.s1"},
        {0x9016, "c.ntl.all"},
        {0x6081, "c.mop.1"},
        {0x6281, "c.mop.5"},
        {0x6781, "c.mop.15"},
        {0x81e8, "c.lbu\ta0,3(a1)"},
        {0x83c0, "c.lbu\ts0,1(a5)"},
        {0x85a8, "c.lhu\ta0,2(a1)"},
        {0x8744, "c.lh\ts1,0(a4)"},
        {0x8764, "c.lh\ts1,2(a4)"},
        {0x89a8, "c.sb\ta0,2(a1)"},
        {0x8c3c, "c.sh\ta5,2(s0)"},
        {0x9d61, "c.zext.b\ta0"},
        {0x9c65, "c.sext.b\ts0"},
        {0x9fe9, "c.zext.h\ta5"},
        {0x9ced, "c.sext.h\ts1"},
        {0x9e71, "c.zext.w\ta2"},
        {0x9ef5, "c.not\ta3"},
        {0x9c5d, "c.mul\ts0,a5"},
        {0x9fc1, "c.mul\ta5,s0"},
        {0x3001, ".short\t0x3001"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct rv_insn insn;
        char text[64];
        rv_decode(texts[i].word, &insn);
        rv_disasm(&insn, 0, text, sizeof text);
        assert_string_equal(text, texts[i].text);
    }
}

static void targets_are_absolute(void **state)
{
    (void)state;
    struct rv_insn insn;
    char text[64];
    rv_decode(0xfe0008e3, &insn);
    rv_disasm(&insn, 0x10000, text, sizeof text);
    assert_string_equal(text, "beq\tzero,zero,0xfff0");
    rv_disasm(&insn, 0, text, sizeof text);
    assert_string_equal(text, "beq\tzero,zero,0xfffffffffffffff0");
}

static void text_is_cut_off_as_by_snprintf(void **state)
{
    (void)state;
    struct rv_insn insn;
    char whole[64];
    rv_decode(0x6ac5f543, &insn);
    int length = rv_disasm(&insn, 0, whole, sizeof whole);
    assert_string_equal(whole, "fmadd.d\tfa0,fa1,fa2,fa3");
    assert_int_equal(length, strlen(whole));
    assert_int_equal(rv_disasm(&insn, 0, NULL, 0), length);
    for (size_t size = 1; size <= sizeof whole; size++) {
        char text[64];
        memset(text, 'x', sizeof text);
        assert_int_equal(rv_disasm(&insn, 0, text, size), length);
        assert_int_equal(strlen(text), size - 1 < (size_t)length ? size - 1 : (size_t)length);
        assert_true(size == sizeof text || text[size] == 'x');
    }
}

/* ---- names ---- */

static void names_and_extensions(void **state)
{
    (void)state;
    assert_string_equal(rv_op_name(RV_C_ADDI4SPN), "c.addi4spn");
    assert_string_equal(rv_op_name(RV_ROW_COUNT + 1), "unknown");
    assert_int_equal(rv_op_ext(RV_SH1ADD_UW), RV_EXT_ZBA);
    assert_string_equal(rv_ext_name(RV_EXT_ZIHINTNTL), "zihintntl");
    assert_string_equal(rv_ext_name(RV_EXT_COUNT), "unknown");
    assert_int_equal(rv_op_flags(RV_C_J), RV_JUMP | RV_END);
    assert_int_equal(rv_op_flags(RV_FSD), RV_STORE | RV_FP);
    assert_int_equal(rv_op_flags(RV_INVALID), 0);
}

#define ONE(op, name, ext) +1
static void lists_are_complete(void **state)
{
    (void)state;
    assert_int_equal(RV_OP_COUNT, 1 RV_ROWS(ONE));
    assert_int_equal(RV_ROW_COUNT - RV_OP_COUNT, 0 RV_COMPRESSED_ROWS(ONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_do_not_overlap),
        cmocka_unit_test(lengths_follow_the_low_bits),
        cmocka_unit_test(encoding_inverts_decoding),
        cmocka_unit_test(operands_are_cut_to_their_fields),
        cmocka_unit_test(operands_are_where_the_header_says),
        cmocka_unit_test(every_compressed_word_expands_as_by_hand),
        cmocka_unit_test(reserved_words_are_illegal),
        cmocka_unit_test(texts_that_objdump_does_not_know),
        cmocka_unit_test(targets_are_absolute),
        cmocka_unit_test(text_is_cut_off_as_by_snprintf),
        cmocka_unit_test(names_and_extensions),
        cmocka_unit_test(lists_are_complete),
    };
    return cmocka_run_group_tests_name("isa rows", tests, NULL, NULL);
}
