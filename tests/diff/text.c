#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_init(struct text *text, uint64_t base)
{
    *text = (struct text){.base = base};
}

void text_release(struct text *text)
{
    free(text->bytes);
}

uint64_t text_here(const struct text *text)
{
    return text->base + text->size;
}

static size_t word_length(uint32_t word)
{
    return (word & 3) == 3 ? 4 : 2;
}

void text_word(struct text *text, uint32_t word)
{
    if (text->size + 4 > text->capacity) {
        text->capacity = text->capacity ? 2 * text->capacity : 65536;
        text->bytes = realloc(text->bytes, text->capacity);
        if (!text->bytes)
            abort();
    }
    memcpy(text->bytes + text->size, &word, word_length(word));
    text->size += word_length(word);
}

void text_insn(struct text *text, const struct rv_insn *insn)
{
    text_word(text, rv_encode(insn));
}

/* LUI adds a multiple of 4096 to which ADDI adds a signed number. */
static int32_t upper_part(uint64_t value)
{
    return (int32_t)(((uint32_t)value + 0x800) & 0xfffff000);
}

static int32_t lower_part(uint64_t value)
{
    return (int32_t)((uint32_t)value - (uint32_t)upper_part(value));
}

void text_address(struct text *text, unsigned rd, uint64_t address)
{
    TEXT(text, LUI, .rd = (uint8_t)rd, .imm = upper_part(address));
    TEXT(text, ADDI, .rd = (uint8_t)rd, .rs1 = (uint8_t)rd, .imm = lower_part(address));
}

uint32_t text_fetch(const struct text *text, uint64_t address)
{
    size_t at = (size_t)(address - text->base);
    uint32_t word = 0;
    memcpy(&word, text->bytes + at, text->size - at < 4 ? text->size - at : 4);
    return word;
}

static void set_immediate(struct text *text, uint64_t at, int32_t imm)
{
    struct rv_insn insn;
    rv_decode(text_fetch(text, at), &insn);
    insn.imm = imm;
    uint32_t word = rv_encode(&insn);
    rv_decode(word, &insn);
    if (insn.imm != imm) {
        fprintf(stderr, "rvgen: a jump of %d bytes is too far for %s\n", imm, rv_op_name(insn.row));
        abort();
    }
    memcpy(text->bytes + (at - text->base), &word, word_length(word));
}

void text_link(struct text *text, uint64_t from, uint64_t to)
{
    set_immediate(text, from, (int32_t)(to - from));
}

void text_link_register(struct text *text, uint64_t from, uint64_t anchor, uint64_t to)
{
    set_immediate(text, from, (int32_t)(to - anchor));
}

void text_far(struct text *text, unsigned link, bool call, uint64_t to)
{
    uint64_t distance = to - text_here(text);
    TEXT(text, AUIPC, .rd = (uint8_t)link, .imm = upper_part(distance));
    TEXT(text, JALR, .rd = (uint8_t)(call ? link : X_ZERO), .rs1 = (uint8_t)link,
         .imm = lower_part(distance));
}
