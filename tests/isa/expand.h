/* Compressed instructions expanded by hand, straight from the manual's tables and apart from riscv.isa: the decoder's
 * expansions are checked against these. Stateless.
 * Source: The RISC-V Instruction Set Manual, volume I, "C" (instruction listings), "Zcb", "Zcmop". */
#ifndef TESTS_ISA_EXPAND_H
#define TESTS_ISA_EXPAND_H

#include <stdint.h>

/* The 32-bit instruction that `word` stands for, or 0 when it is reserved. */
uint32_t expand(uint16_t word);

#endif
