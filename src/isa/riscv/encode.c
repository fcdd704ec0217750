/* Decoding backwards: see tables.h. */
#include "isa/riscv/isa.h"
#include "isa/riscv/tables.h"

static uint64_t lane(uint32_t value, enum rv_lane low, enum rv_width width)
{
    return (uint64_t)(value & (UINT32_MAX >> (32 - width))) << low;
}

static uint64_t lanes_of(const struct rv_insn *insn)
{
    return lane(insn->rd, RV_LANE_RD, RV_WIDTH_RD) | lane(insn->rm, RV_LANE_RM, RV_WIDTH_RM) |
           lane(insn->rs1, RV_LANE_RS1, RV_WIDTH_RS1) | lane(insn->rs2, RV_LANE_RS2, RV_WIDTH_RS2) |
           lane(insn->rs3, RV_LANE_RS3, RV_WIDTH_RS3) | lane(insn->aux, RV_LANE_AUX, RV_WIDTH_AUX) |
           lane((uint32_t)insn->imm, RV_LANE_IMM, RV_WIDTH_IMM);
}

static uint64_t rotate_right(uint64_t value, unsigned by)
{
    return value >> (by & 63) | value << (-by & 63);
}

uint32_t rv_encode(const struct rv_insn *insn)
{
    if (insn->row == RV_INVALID || insn->row >= RV_ROW_COUNT)
        return insn->word;
    const struct rv_row *row = &rv_rows[insn->row];
    const struct rv_shape *shape = &rv_shapes[row->shape];
    uint64_t lanes = lanes_of(insn);
    uint32_t word = row->match, done = row->mask;
    for (unsigned i = 0; i < RV_PIECES; i++) {
        word |= (uint32_t)rotate_right(lanes, shape->left[i]) & shape->mask[i] & ~done;
        done |= shape->mask[i]; /* a field that went to two lanes comes from the first */
    }
    return word;
}
