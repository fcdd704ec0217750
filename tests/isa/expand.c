#include "expand.h"

enum { LOAD = 0x03, LOAD_FP = 0x07, OP_IMM = 0x13, OP_IMM_32 = 0x1b, STORE = 0x23, STORE_FP = 0x27 };
enum { OP = 0x33, LUI = 0x37, OP_32 = 0x3b, BRANCH = 0x63, JALR = 0x67, JAL = 0x6f };

#define EBREAK 0x00100073u
#define NOP    0x00000013u

/* Bits high..low of the word, moved to position `to`. */
static uint32_t cut(uint32_t word, unsigned high, unsigned low, unsigned to)
{
    return (word >> low & ((2u << (high - low)) - 1)) << to;
}

static uint32_t sign_extend(uint32_t value, unsigned bits)
{
    return (value ^ 1u << (bits - 1)) - (1u << (bits - 1));
}

static uint32_t r_type(uint32_t opcode, uint32_t funct3, uint32_t funct7, uint32_t rd, uint32_t rs1,
                       uint32_t rs2)
{
    return funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode;
}

static uint32_t i_type(uint32_t opcode, uint32_t funct3, uint32_t rd, uint32_t rs1, uint32_t imm)
{
    return imm << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode;
}

static uint32_t s_type(uint32_t opcode, uint32_t funct3, uint32_t rs1, uint32_t rs2, uint32_t imm)
{
    return cut(imm, 11, 5, 25) | rs2 << 20 | rs1 << 15 | funct3 << 12 | cut(imm, 4, 0, 7) | opcode;
}

static uint32_t b_type(uint32_t funct3, uint32_t rs1, uint32_t imm)
{
    return cut(imm, 12, 12, 31) | cut(imm, 10, 5, 25) | rs1 << 15 | funct3 << 12 | cut(imm, 4, 1, 8) |
           cut(imm, 11, 11, 7) | BRANCH;
}

static uint32_t j_type(uint32_t rd, uint32_t imm)
{
    return cut(imm, 20, 20, 31) | cut(imm, 10, 1, 21) | cut(imm, 11, 11, 20) | cut(imm, 19, 12, 12) |
           rd << 7 | JAL;
}

/* Zcb loads and stores. */
static uint32_t expand_small_memory(uint32_t w, uint32_t base, uint32_t data)
{
    uint32_t byte_offset = cut(w, 6, 6, 0) | cut(w, 5, 5, 1), half_offset = cut(w, 5, 5, 1);
    switch (cut(w, 12, 10, 0)) {
    case 0: return i_type(LOAD, 4, data, base, byte_offset);
    case 1: return i_type(LOAD, w & 0x40 ? 1 : 5, data, base, half_offset);
    case 2: return s_type(STORE, 0, base, data, byte_offset);
    case 3: return w & 0x40 ? 0 : s_type(STORE, 1, base, data, half_offset);
    default: return 0;
    }
}

static uint32_t expand_quadrant0(uint32_t w)
{
    uint32_t base = cut(w, 9, 7, 0) + 8, data = cut(w, 4, 2, 0) + 8;
    uint32_t word_offset = cut(w, 12, 10, 3) | cut(w, 6, 6, 2) | cut(w, 5, 5, 6);
    uint32_t double_offset = cut(w, 12, 10, 3) | cut(w, 6, 5, 6);
    uint32_t stack_offset = cut(w, 12, 11, 4) | cut(w, 10, 7, 6) | cut(w, 6, 6, 2) | cut(w, 5, 5, 3);
    switch (w >> 13) {
    case 0: return stack_offset ? i_type(OP_IMM, 0, data, 2, stack_offset) : 0;
    case 1: return i_type(LOAD_FP, 3, data, base, double_offset);
    case 2: return i_type(LOAD, 2, data, base, word_offset);
    case 3: return i_type(LOAD, 3, data, base, double_offset);
    case 4: return expand_small_memory(w, base, data);
    case 5: return s_type(STORE_FP, 3, base, data, double_offset);
    case 6: return s_type(STORE, 2, base, data, word_offset);
    default: return s_type(STORE, 3, base, data, double_offset);
    }
}

/* Zcb: one register. */
static uint32_t expand_unary(uint32_t which, uint32_t rd)
{
    switch (which) {
    case 0: return i_type(OP_IMM, 7, rd, rd, 0xff);         /* zext.b */
    case 1: return i_type(OP_IMM, 1, rd, rd, 0x604);        /* sext.b */
    case 2: return r_type(OP_32, 4, 0x04, rd, rd, 0);       /* zext.h */
    case 3: return i_type(OP_IMM, 1, rd, rd, 0x605);        /* sext.h */
    case 4: return r_type(OP_32, 0, 0x04, rd, rd, 0);       /* zext.w */
    case 5: return i_type(OP_IMM, 4, rd, rd, (uint32_t)-1); /* not */
    default: return 0;
    }
}

static uint32_t expand_arithmetic(uint32_t w)
{
    uint32_t rd = cut(w, 9, 7, 0) + 8, rs2 = cut(w, 4, 2, 0) + 8;
    uint32_t imm = cut(w, 12, 12, 5) | cut(w, 6, 2, 0);
    switch (cut(w, 11, 10, 0)) {
    case 0: return i_type(OP_IMM, 5, rd, rd, imm);
    case 1: return i_type(OP_IMM, 5, rd, rd, imm | 0x400);
    case 2: return i_type(OP_IMM, 7, rd, rd, sign_extend(imm, 6));
    default: break;
    }
    switch (cut(w, 12, 12, 2) | cut(w, 6, 5, 0)) {
    case 0: return r_type(OP, 0, 0x20, rd, rd, rs2);
    case 1: return r_type(OP, 4, 0, rd, rd, rs2);
    case 2: return r_type(OP, 6, 0, rd, rd, rs2);
    case 3: return r_type(OP, 7, 0, rd, rd, rs2);
    case 4: return r_type(OP_32, 0, 0x20, rd, rd, rs2);
    case 5: return r_type(OP_32, 0, 0, rd, rd, rs2);
    case 6: return r_type(OP, 0, 1, rd, rd, rs2); /* Zcb: mul */
    default: return expand_unary(rs2 - 8, rd);
    }
}

static uint32_t expand_lui(uint32_t w, uint32_t rd, uint32_t imm)
{
    uint32_t stack =
        cut(w, 12, 12, 9) | cut(w, 6, 6, 4) | cut(w, 5, 5, 6) | cut(w, 4, 3, 7) | cut(w, 2, 2, 5);
    if (imm == 0) /* Zcmop: odd registers up to 15; the others are reserved */
        return rd & 1 && rd < 16 ? NOP : 0;
    return rd == 2 ? i_type(OP_IMM, 0, 2, 2, sign_extend(stack, 10)) : imm << 12 | rd << 7 | LUI;
}

static uint32_t expand_quadrant1(uint32_t w)
{
    uint32_t rd = cut(w, 11, 7, 0), low = cut(w, 9, 7, 0) + 8;
    uint32_t imm = sign_extend(cut(w, 12, 12, 5) | cut(w, 6, 2, 0), 6);
    uint32_t jump = cut(w, 12, 12, 11) | cut(w, 11, 11, 4) | cut(w, 10, 9, 8) | cut(w, 8, 8, 10) |
                    cut(w, 7, 7, 6) | cut(w, 6, 6, 7) | cut(w, 5, 3, 1) | cut(w, 2, 2, 5);
    uint32_t branch = sign_extend(
        cut(w, 12, 12, 8) | cut(w, 11, 10, 3) | cut(w, 6, 5, 6) | cut(w, 4, 3, 1) | cut(w, 2, 2, 5), 9);
    switch (w >> 13) {
    case 0: return i_type(OP_IMM, 0, rd, rd, imm);
    case 1: return rd ? i_type(OP_IMM_32, 0, rd, rd, imm) : 0;
    case 2: return i_type(OP_IMM, 0, rd, 0, imm);
    case 3: return expand_lui(w, rd, imm);
    case 4: return expand_arithmetic(w);
    case 5: return j_type(0, sign_extend(jump, 12));
    case 6: return b_type(0, low, branch);
    default: return b_type(1, low, branch);
    }
}

static uint32_t expand_jump_or_move(uint32_t w, uint32_t rd, uint32_t rs2)
{
    uint32_t second = cut(w, 12, 12, 0);
    if (rs2)
        return r_type(OP, 0, 0, rd, second ? rd : 0, rs2);
    if (rd)
        return i_type(JALR, 0, second, rd, 0);
    return second ? EBREAK : 0;
}

static uint32_t expand_quadrant2(uint32_t w)
{
    uint32_t rd = cut(w, 11, 7, 0), rs2 = cut(w, 6, 2, 0);
    uint32_t load_word = cut(w, 12, 12, 5) | cut(w, 6, 4, 2) | cut(w, 3, 2, 6);
    uint32_t load_double = cut(w, 12, 12, 5) | cut(w, 6, 5, 3) | cut(w, 4, 2, 6);
    uint32_t store_word = cut(w, 12, 9, 2) | cut(w, 8, 7, 6);
    uint32_t store_double = cut(w, 12, 10, 3) | cut(w, 9, 7, 6);
    switch (w >> 13) {
    case 0: return i_type(OP_IMM, 1, rd, rd, cut(w, 12, 12, 5) | rs2);
    case 1: return i_type(LOAD_FP, 3, rd, 2, load_double);
    case 2: return rd ? i_type(LOAD, 2, rd, 2, load_word) : 0;
    case 3: return rd ? i_type(LOAD, 3, rd, 2, load_double) : 0;
    case 4: return expand_jump_or_move(w, rd, rs2);
    case 5: return s_type(STORE_FP, 3, 2, rs2, store_double);
    case 6: return s_type(STORE, 2, 2, rs2, store_word);
    default: return s_type(STORE, 3, 2, rs2, store_double);
    }
}

uint32_t expand(uint16_t word)
{
    switch (word & 3) {
    case 0: return expand_quadrant0(word);
    case 1: return expand_quadrant1(word);
    case 2: return expand_quadrant2(word);
    default: return 0;
    }
}
