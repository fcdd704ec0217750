/* Machine code under construction: a growing buffer of encoded instructions at a fixed address.
 *
 * Threads: none. Lifetime: text_init() ... text_release(). Running out of memory ends the program. */
#ifndef DIFF_TEXT_H
#define DIFF_TEXT_H

#include "isa/riscv/isa.h"

#include <stddef.h>
#include <stdint.h>

struct text {
    uint8_t *bytes;
    size_t size, capacity;
    uint64_t base; /* guest address of bytes[0] */
};

/* The names of the registers that hand-written code uses. */
enum {
    X_ZERO = 0,
    X_RA = 1,
    X_SP = 2,
    X_GP = 3,
    X_T0 = 5,
    X_T1 = 6,
    X_T2 = 7,
    X_A0 = 10,
    X_A1 = 11,
    X_A2 = 12,
    X_A5 = 15,
    X_A7 = 17,
    X_T3 = 28,
    X_T4 = 29,
    X_T5 = 30,
};

void text_init(struct text *text, uint64_t base);
void text_release(struct text *text);

uint64_t text_here(const struct text *text);

/* Appends the low 2 or 4 bytes, as the word's length bits say. */
void text_word(struct text *text, uint32_t word);
void text_insn(struct text *text, const struct rv_insn *insn);

/* Appends an instruction: TEXT(text, ADDI, .rd = X_T0, .imm = 1). */
#define TEXT(text, name, ...) text_insn(text, &(struct rv_insn){.row = RV_##name, __VA_ARGS__})

/* Loads a 32-bit address, sign-extended, in two instructions. */
void text_address(struct text *text, unsigned rd, uint64_t address);

/* Makes the branch or jump at `from` go to `to`. */
void text_link(struct text *text, uint64_t from, uint64_t to);

/* `rd` holds the address `anchor`: jalr at `from` shall go to `to`. */
void text_link_register(struct text *text, uint64_t from, uint64_t anchor, uint64_t to);

/* A jump to anywhere that uses `link` for the address; it holds the return address afterwards when `call` is set. */
void text_far(struct text *text, unsigned link, bool call, uint64_t to);

uint32_t text_fetch(const struct text *text, uint64_t address);

#endif
