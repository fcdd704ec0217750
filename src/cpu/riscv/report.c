#include "cpu/riscv/report.h"

#include "base/util.h"
#include "jit/text.h"

#include <string.h>
#include <unistd.h>

static void print_insn(struct buf *out, uint64_t pc, const struct rv_insn *insn)
{
    char text[64] = "?";
    rv_disasm(insn, pc, text, sizeof(text));
    buf_printf(out, "  %#10llx  %0*x%*s  %s\n", (unsigned long long)pc, 2 * insn->length, insn->word,
               8 - 2 * insn->length, "", text);
}

static const uint8_t *print_piece(struct buf *out, const struct lift_piece *piece, const uint8_t *bytes)
{
    unsigned at = 0;
    while (piece->bytes - at >= 2) {
        struct rv_insn insn;
        uint32_t word = 0;
        memcpy(&word, bytes + at, MIN(piece->bytes - at, 4u));
        rv_decode(word, &insn);
        print_insn(out, piece->pc + at, &insn);
        at += insn.length;
    }
    return bytes + piece->bytes;
}

static void print_guest(struct buf *out, const struct translation *t)
{
    const uint8_t *bytes = translation_bytes(t);
    buf_printf(out, "guest: %u instructions%s%s%s\n", t->insns, t->direct ? ", direct" : "",
               t->kind == TRANSLATION_LOOP ? ", a loop" : "", t->kind == TRANSLATION_QUICK ? ", quick" : "");
    for (unsigned i = 0; i < t->piece_count; i++)
        bytes = print_piece(out, &t->pieces[i], bytes);
}

static void print_bytes(struct buf *out, const uint8_t *write, uint32_t size, ptrdiff_t to_exec)
{
    enum { ROW = 32 };
    for (uint32_t i = 0; i < size; i++)
        if (i % ROW == 0)
            buf_printf(out, "%s  %#llx  %02x", i ? "\n" : "", (unsigned long long)(write + i + to_exec),
                       write[i]);
        else
            buf_printf(out, " %02x", write[i]);
    buf_printf(out, "\n");
}

static void print_host(struct buf *out, const struct jit_unit *unit)
{
    const struct jit_room *room = &unit->room;
    buf_printf(out, "host: entry %p, %u bytes hot, %u cold\n", (const void *)unit->entry, unit->hot_bytes,
               unit->cold_bytes);
    print_bytes(out, room->hot - unit->hot_bytes, unit->hot_bytes, room->to_exec);
    print_bytes(out, room->cold, unit->cold_bytes, room->to_exec);
}

void report_translation(struct buf *out, const struct translation *t, const struct ir *ir, unsigned what)
{
    buf_printf(out, "unit %#llx\n", (unsigned long long)t->unit.pc);
    if (what & DUMP_GUEST)
        print_guest(out, t);
    if (what & DUMP_IR && ir)
        ir_print(ir, out);
    if (what & DUMP_HOST)
        print_host(out, &t->unit);
}

void report_write(struct buf *out)
{
    for (size_t at = 0; at < out->length;) {
        ssize_t n = write(STDERR_FILENO, out->data + at, out->length - at);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    buf_release(out);
}
