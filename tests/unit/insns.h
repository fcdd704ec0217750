/* Instructions for hand-made guest programs, and how they get into guest memory. Threads: any. */
#ifndef TESTS_UNIT_INSNS_H
#define TESTS_UNIT_INSNS_H

#include "isa/riscv/isa.h"

#define INSN(name, ...) ((struct rv_insn){.op = RV_##name, .row = RV_##name, __VA_ARGS__})

#define ADDI(d, s, i)   INSN(ADDI, .rd = d, .rs1 = s, .imm = i)
#define BEQ(a, b, i)    INSN(BEQ, .rs1 = a, .rs2 = b, .imm = i)
#define BNE(a, b, i)    INSN(BNE, .rs1 = a, .rs2 = b, .imm = i)
#define BLT(a, b, i)    INSN(BLT, .rs1 = a, .rs2 = b, .imm = i)
#define JAL(d, i)       INSN(JAL, .rd = d, .imm = i)
#define JALR(d, s, i)   INSN(JALR, .rd = d, .rs1 = s, .imm = i)
#define LW(d, s, i)     INSN(LW, .rd = d, .rs1 = s, .imm = i)
#define SW(v, s, i)     INSN(SW, .rs1 = s, .rs2 = v, .imm = i)
#define LUI(d, i)       INSN(LUI, .rd = d, .imm = i)
#define AUIPC(d, i)     INSN(AUIPC, .rd = d, .imm = i)
#define LR_W(d, s)      INSN(LR_W, .rd = d, .rs1 = s)
#define SC_W(d, v, s)   INSN(SC_W, .rd = d, .rs1 = s, .rs2 = v)
#define CSRRS(d, c, s)  INSN(CSRRS, .rd = d, .rs1 = s, .imm = c)
#define CSRRW(d, c, s)  INSN(CSRRW, .rd = d, .rs1 = s, .imm = c)
#define ECALL           INSN(ECALL, .rd = 0)
#define EBREAK          INSN(EBREAK, .rd = 0)
#define FENCE_I         INSN(FENCE_I, .rd = 0)

#endif
