/* How a word is taken apart is drawn in tables.h. */
#include "base/util.h"
#include "isa/riscv/isa.h"
#include "isa/riscv/tables.h"

#include <string.h>

/* At once, as the lanes are in the order of the members. */
static void store_lanes(struct rv_insn *insn, uint64_t lanes)
{
    enum { FIRST = offsetof(struct rv_insn, rs1) };
    _Static_assert(offsetof(struct rv_insn, rd) == FIRST + RV_LANE_RD / 8, "");
    _Static_assert(offsetof(struct rv_insn, rs2) == FIRST + RV_LANE_RS2 / 8, "");
    _Static_assert(offsetof(struct rv_insn, rm) == FIRST + RV_LANE_RM / 8, "");
    _Static_assert(offsetof(struct rv_insn, imm) == FIRST + RV_LANE_IMM / 8, "");
    memcpy((char *)insn + FIRST, &lanes, sizeof(lanes));
}

int rv_decode(uint32_t word, struct rv_insn *insn)
{
    /* Without branches: whether it has 16 bits or 32 cannot be predicted. Of 16, nothing below looks at the others. */
    uint32_t long_mask = rv_long_mask(word);
    unsigned length = 2 + (long_mask & 2); /* not from memory: the caller's next fetch waits for it */
    insn->length = (uint8_t)length;
    insn->word = word & (long_mask | UINT16_MAX);

    const struct rv_pattern *pattern = &rv_patterns[rv_buckets[rv_bucket(word, long_mask)]];
    while ((word & pattern->mask) != pattern->match)
        pattern++;
    if (unlikely(!((uint16_t)word & pattern->nonzero))) {
        insn->op = insn->row = RV_INVALID;
        store_lanes(insn, 0);
        return 0;
    }
    const struct rv_shape *shape = &rv_shapes[pattern->shape];
    insn->op = pattern->op;
    insn->row = pattern->row;
    store_lanes(insn, (rv_gather(shape, word) ^ shape->flip) - shape->sign);
    return (int)length;
}
