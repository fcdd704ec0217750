/* Decoding backwards: see tables.h. */
#include "isa/riscv/isa.h"
#include "isa/riscv/tables.h"

static uint64_t lanes_of(const struct rv_insn *insn)
{
    return (uint64_t)insn->rd << RV_LANE_RD | (uint64_t)insn->rs1 << RV_LANE_RS1 |
           (uint64_t)insn->rs2 << RV_LANE_RS2 | (uint64_t)insn->rm << RV_LANE_RM |
           (uint64_t)(uint32_t)insn->imm << RV_LANE_IMM;
}

uint32_t rv_encode(const struct rv_insn *insn)
{
    if (insn->row == RV_INVALID || insn->row >= RV_ROW_COUNT)
        return insn->word;
    const struct rv_row *row = &rv_rows[insn->row];
    const struct rv_shape *shape = &rv_shapes[row->shape];
    uint64_t lanes = lanes_of(insn);
    uint32_t word = row->match, all = row->length == 4 ? UINT32_MAX : UINT16_MAX;
    for (uint32_t left = all & ~row->mask, bit; (bit = left & -left); left -= bit)
        if (lanes & rv_gather(shape, bit)) /* each bit was moved alone, whatever the others are */
            word |= bit;
    return word;
}
