/* The form of the tables that isagen makes from riscv.isa, for the code that reads them and for isagen itself.
 *
 * Decoding an instruction is: find its pattern in a bucket, then gather its operands. Gathering rotates masked pieces of
 * the word so that each operand lands in its lane of one 64-bit number:
 *
 *     63                32 31         24 23         16 15          8 7           0
 *    +--------------------+-------------+-------------+-------------+-------------+
 *    |     imm or rs3     |  rm or aux  |     rs2     |     rs1     |     rd      |
 *    +--------------------+-------------+-------------+-------------+-------------+
 *
 * That is how they lie in struct rv_insn, so that a decoder stores them at once. No row has both of what shares a lane. rd and rs1
 * are as far apart as in a 32-bit word, so that one piece moves both. Rows whose operands lie alike share a shape. Encoding runs
 * the same pieces backwards.
 *
 * All tables are constant. */
#ifndef ISA_RISCV_TABLES_H
#define ISA_RISCV_TABLES_H

#include <stdint.h>

/* Slots: X(name, name in riscv.isa, lowest bit of its lane, width of its lane). */
#define RV_SLOTS(X)      \
    X(RD, "rd", 0, 5)    \
    X(RM, "rm", 24, 3)   \
    X(RS1, "rs1", 8, 5)  \
    X(RS2, "rs2", 16, 5) \
    X(RS3, "rs3", 32, 5) \
    X(AUX, "aux", 24, 8) \
    X(IMM, "imm", 32, 32)

/* Operand classes: X(name, name in riscv.isa). */
#define RV_CLASSES(X)   \
    X(XREG, "x")        \
    X(FREG, "f")        \
    X(INT, "int")       \
    X(HEX, "hex")       \
    X(UPPER, "upper")   \
    X(TARGET, "target") \
    X(CSR, "csr")       \
    X(ROUND, "round")   \
    X(FENCE, "fence")   \
    X(ORDER, "order")   \
    X(NUMBER, "number") \
    X(FLI, "fli")

#define RV_SLOT_ENUM(name, text, lane, width)  RV_SLOT_##name,
#define RV_LANE_ENUM(name, text, lane, width)  RV_LANE_##name = (lane),
#define RV_WIDTH_ENUM(name, text, lane, width) RV_WIDTH_##name = (width),
#define RV_CLASS_ENUM(name, text)              RV_CLASS_##name,
enum rv_slot { RV_SLOTS(RV_SLOT_ENUM) RV_SLOT_COUNT };
enum rv_lane { RV_SLOTS(RV_LANE_ENUM) };
enum rv_width { RV_SLOTS(RV_WIDTH_ENUM) };
enum rv_class { RV_CLASSES(RV_CLASS_ENUM) RV_CLASS_COUNT };

enum {
    RV_PIECES = 6,   /* most pieces of a shape */
    RV_OPERANDS = 6, /* most operands written out */
    RV_NO_OMIT = -1, /* the operand is always written */
    RV_BUCKETS16 = 1024,
    RV_BUCKETS = RV_BUCKETS16 + 1024,
};

/* Words of 16 bits are bucketed by quadrant, funct3 and the bits that choose most among the rest (12 to 10, 6 and 5),
 * those of 32 by opcode (without its two low bits), funct3 and bits 30 and 25: the first pattern is nearly always it. */
static inline uint32_t rv_bucket32(uint32_t word)
{
    return RV_BUCKETS16 +
           ((word >> 2 & 31) | (word >> 12 & 7) << 5 | (word >> 25 & 1) << 8 | (word >> 30 & 1) << 9);
}

static inline uint32_t rv_bucket16(uint32_t word)
{
    return (word & 3) | (word >> 5 & 3) << 2 | (word >> 10 & 63) << 4;
}

/* A word is this row's if its bits under `mask` are `match` and those under `checked` are not `reserved`. A bucket's
 * patterns are in order of precedence and end with one that every word matches, of row RV_INVALID. */
struct rv_pattern {
    uint32_t mask, match, checked;
    uint16_t reserved, shape;
    uint16_t op, row; /* as in struct rv_insn, so that they are copied at once */
};

struct rv_shape {
    uint64_t fixed;           /* lanes of operands that the word does not hold */
    uint32_t sign;            /* sign bit of imm, 0 when it has none */
    uint32_t mask[RV_PIECES]; /* bits of the word, ... */
    uint8_t left[RV_PIECES];  /* ... how far they are rotated left */
};

struct rv_operand {
    char before[6]; /* text between the operand before and this one */
    uint8_t class;  /* enum rv_class */
    uint8_t slot;   /* enum rv_slot */
    int8_t omit;    /* not written when it has this value, or RV_NO_OMIT */
};

struct rv_syntax {
    uint8_t suffixes; /* this many operands belong to the mnemonic */
    uint8_t operands; /* all */
    struct rv_operand operand[RV_OPERANDS];
    char after[6]; /* text after the last */
};

struct rv_row {
    uint32_t mask, match;
    const char *name;
    uint16_t op, shape, syntax;
    uint8_t flags, ext, length;
};

struct rv_csr_name {
    uint16_t number;
    const char *name;
};

extern const uint16_t rv_buckets[RV_BUCKETS]; /* indices of rv_patterns */
extern const struct rv_pattern rv_patterns[];
extern const struct rv_shape rv_shapes[];
extern const struct rv_syntax rv_syntaxes[];
extern const struct rv_row rv_rows[];
extern const char *const rv_ext_names[];
extern const struct rv_csr_name rv_csr_names[]; /* in ascending order */
extern const unsigned rv_csr_name_count;

#endif
