/* How a word is taken apart is drawn in tables.h. */
#include "base/util.h"
#include "isa/riscv/isa.h"
#include "isa/riscv/tables.h"

static uint64_t rotate_left(uint64_t value, unsigned by)
{
    return value << (by & 63) | value >> (-by & 63);
}

static uint64_t piece(const struct rv_shape *shape, uint32_t word, unsigned i)
{
    return rotate_left(word & shape->mask[i], shape->left[i]);
}

/* Written out because the loop is not unrolled everywhere; most time of a decode is spent here. */
static uint64_t gather(const struct rv_shape *shape, uint32_t word)
{
    _Static_assert(RV_PIECES == 6, "each piece is listed");
    return shape->fixed | piece(shape, word, 0) | piece(shape, word, 1) | piece(shape, word, 2) |
           piece(shape, word, 3) | piece(shape, word, 4) | piece(shape, word, 5);
}

int rv_decode(uint32_t word, struct rv_insn *insn)
{
    /* Without branches: which of both it is cannot be predicted. */
    uint32_t is_long = (word & 3) == 3, long_mask = -is_long;
    word &= long_mask | UINT16_MAX;
    uint32_t bucket = (rv_bucket32(word) & long_mask) | (rv_bucket16(word) & ~long_mask);
    const struct rv_pattern *pattern = &rv_patterns[rv_buckets[bucket]];
    while ((word & pattern->mask) != pattern->match || (word & pattern->checked) == pattern->reserved)
        pattern++;

    const struct rv_shape *shape = &rv_shapes[pattern->shape];
    uint64_t lanes = gather(shape, word);
    *insn = (struct rv_insn){
        .op = pattern->op,
        .row = pattern->row,
        .rd = (uint8_t)(lanes >> RV_LANE_RD),
        .rs1 = (uint8_t)(lanes >> RV_LANE_RS1),
        .rs2 = (uint8_t)(lanes >> RV_LANE_RS2),
        .rm = (uint8_t)(lanes >> RV_LANE_RM),
        .imm = (int32_t)(((uint32_t)(lanes >> RV_LANE_IMM) ^ shape->sign) - shape->sign),
        .length = (uint8_t)(2 + 2 * is_long),
        .word = word,
    };
    if (unlikely(pattern->row == RV_INVALID))
        return 0;
    return (int)(2 + 2 * is_long); /* not from memory: the caller's next fetch waits for it */
}
