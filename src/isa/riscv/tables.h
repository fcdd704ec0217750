/* The form of the tables that isagen makes from riscv.isa, for the code that reads them and for isagen itself.
 *
 * Decoding an instruction is: find its pattern in a bucket, then gather its operands. Gathering moves the bits of the
 * word so that each operand lands in its lane of one 64-bit number:
 *
 *     63                32 31         24 23         16 15          8 7           0
 *    +--------------------+-------------+-------------+-------------+-------------+
 *    |     imm or rs3     |  rm or aux  |     rs2     |     rd      |     rs1     |
 *    +--------------------+-------------+-------------+-------------+-------------+
 *
 * That is how they lie in struct rv_insn, so that a decoder stores them at once. No row has both of what shares a lane.
 * Rows whose operands lie alike share a shape.
 *
 * One multiplication moves many pieces: (word & from) * by adds copies of the chosen bits, one for each bit of `by` and
 * shifted left by its number, and `to` takes from each copy what is wanted. Two products and one piece that is merely
 * rotated are enough for every row: isagen spreads the pieces over them so that no other copy reaches a wanted bit. As
 * copies only go up, the first product is rotated to reach the low lanes; the distance and the order of the lanes are
 * ones with which all rows fit.
 *
 * All tables are constant. */
#ifndef ISA_RISCV_TABLES_H
#define ISA_RISCV_TABLES_H

#include <stdint.h>

/* Slots: X(name, name in riscv.isa, lowest bit of its lane, width of its lane). */
#define RV_SLOTS(X)      \
    X(RD, "rd", 8, 5)    \
    X(RM, "rm", 24, 3)   \
    X(RS1, "rs1", 0, 5)  \
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
    RV_PRODUCTS = 2,
    RV_PRODUCT_LEFT = 28, /* how far the first is rotated left */
    RV_OPERANDS = 6,      /* most operands written out */
    RV_NO_OMIT = -1,      /* the operand is always written */
    RV_BUCKETS16 = 1024,
    RV_BUCKETS = RV_BUCKETS16 + 1024,
    RV_BUCKET_BITS16 = 0xfc63,
    RV_BUCKET_BITS32 = 0x4200707c,
};

/* All ones for a word of 32 bits, whose low two are ones; 0 for one of 16. */
static inline uint32_t rv_long_mask(uint32_t word)
{
    return (uint32_t)((int32_t)((word & word << 1) << 30) >> 31);
}

/* Words of 16 bits are bucketed by quadrant, funct3 and the bits that choose most among the rest (12 to 10, 6 and 5),
 * those of 32 by opcode (without its two low bits), funct3 and bits 30 and 25: the first pattern is nearly always it. The
 * multiplication mixes the bits at the top of the product. Of the factors that give each value of theirs a number of its
 * own, which isagen checks, this one touches the fewest lines of the cache in real code. */
static inline uint32_t rv_bucket(uint32_t word, uint32_t long_mask)
{
    uint64_t bits = word & ((RV_BUCKET_BITS32 & long_mask) | (RV_BUCKET_BITS16 & ~long_mask));
    return (uint32_t)(bits * 0x2a00100022000000 >> 54) + (RV_BUCKETS16 & long_mask);
}

/* The row of a word is that of the first pattern of its bucket whose `match` are its bits under `mask`, unless all its
 * bits under `nonzero` are 0: then it is reserved. Rows that reserve nothing have all ones there: only the word 0, which
 * is no instruction, has none of them. Patterns are in order of precedence; every word matches the last, which reserves
 * all. */
struct rv_pattern {
    uint32_t mask, match;
    uint16_t op, row; /* as in struct rv_insn, so that they are copied at once */
    uint16_t nonzero;
    uint16_t shape;
};

/* As long as a line of the cache, and aligned to it. */
struct rv_shape {
    uint64_t flip; /* lanes of operands that the word does not hold, and the sign bit of imm, which ... */
    uint64_t sign; /* ... is here alone, 0 when it has none */
    uint64_t by[RV_PRODUCTS], to[RV_PRODUCTS];
    uint32_t from[RV_PRODUCTS];
    uint32_t mask; /* the piece that is rotated left ... */
    uint32_t left; /* ... by this */
};

static inline uint64_t rv_rotate_left(uint64_t value, unsigned by)
{
    return value << (by & 63) | value >> (-by & 63);
}

static inline uint64_t rv_product(const struct rv_shape *shape, uint32_t word, unsigned i)
{
    return (word & shape->from[i]) * shape->by[i] & shape->to[i];
}

/* The lanes of a word, but for what `flip` and `sign` do. */
static inline uint64_t rv_gather(const struct rv_shape *shape, uint32_t word)
{
    return rv_rotate_left(rv_product(shape, word, 0), RV_PRODUCT_LEFT) | rv_product(shape, word, 1) |
           rv_rotate_left(word & shape->mask, shape->left);
}

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
