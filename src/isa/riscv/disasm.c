/* Instructions as text. What is written between operands comes from the formats in riscv.isa. */
#include "isa/riscv/isa.h"
#include "isa/riscv/tables.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char x_names[32][5] = {
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0",  "a1",  "a2", "a3", "a4", "a5",
    "a6",   "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
};
static const char f_names[32][5] = {
    "ft0", "ft1", "ft2", "ft3", "ft4",  "ft5",  "ft6", "ft7", "fs0",  "fs1",  "fa0",
    "fa1", "fa2", "fa3", "fa4", "fa5",  "fa6",  "fa7", "fs2", "fs3",  "fs4",  "fs5",
    "fs6", "fs7", "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11",
};
static const char round_names[8][8] = {"rne", "rtz", "rdn", "rup", "rmm", "unknown", "unknown", "dyn"};
static const char order_names[4][8] = {"", ".rl", ".aq", ".aqrl"};
static const char fli_names[32][10] = {
    "-0x1p+0", "min",      "0x1p-16",  "0x1p-15",  "0x1p-8",  "0x1p-7",   "0x1p-4",   "0x1p-3",
    "0x1p-2",  "0x1.4p-2", "0x1.8p-2", "0x1.cp-2", "0x1p-1",  "0x1.4p-1", "0x1.8p-1", "0x1.cp-1",
    "0x1p+0",  "0x1.4p+0", "0x1.8p+0", "0x1.cp+0", "0x1p+1",  "0x1.4p+1", "0x1.8p+1", "0x1p+2",
    "0x1p+3",  "0x1p+4",   "0x1p+7",   "0x1p+8",   "0x1p+15", "0x1p+16",  "inf",      "nan",
};

/* A text that may be cut off, and the length it would have. */
struct writer {
    char *text;
    size_t size, length;
};

__attribute__((format(printf, 2, 3))) static void append(struct writer *writer, const char *format, ...)
{
    size_t room = writer->length < writer->size ? writer->size - writer->length : 0;
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(room ? writer->text + writer->length : NULL, room, format, arguments);
    va_end(arguments);
    writer->length += written > 0 ? (size_t)written : 0;
}

static int32_t slot_value(const struct rv_insn *insn, enum rv_slot slot)
{
    switch (slot) {
    case RV_SLOT_RD: return insn->rd;
    case RV_SLOT_RM: return insn->rm;
    case RV_SLOT_RS1: return insn->rs1;
    case RV_SLOT_RS2: return insn->rs2;
    case RV_SLOT_RS3: return (int32_t)insn->rs3;
    case RV_SLOT_AUX: return insn->aux;
    case RV_SLOT_IMM: return insn->imm;
    case RV_SLOT_COUNT: break;
    }
    return 0;
}

static void append_csr(struct writer *writer, int32_t number)
{
    for (unsigned i = 0; i < rv_csr_name_count; i++)
        if (rv_csr_names[i].number == number) {
            append(writer, "%s", rv_csr_names[i].name);
            return;
        }
    append(writer, "0x%x", (unsigned)number);
}

static void append_fence_set(struct writer *writer, unsigned set)
{
    append(writer, "%s%s%s%s%s", set & 8 ? "i" : "", set & 4 ? "o" : "", set & 2 ? "r" : "",
           set & 1 ? "w" : "", set ? "" : "0");
}

static void append_operand(struct writer *writer, enum rv_class class, int32_t value, uint64_t pc)
{
    uint32_t bits = (uint32_t)value;
    switch (class) {
    case RV_CLASS_XREG: append(writer, "%s", x_names[bits & 31]); break;
    case RV_CLASS_FREG: append(writer, "%s", f_names[bits & 31]); break;
    case RV_CLASS_INT: append(writer, "%d", value); break;
    case RV_CLASS_HEX: append(writer, "0x%x", bits); break;
    case RV_CLASS_UPPER: append(writer, "0x%x", bits >> 12); break;
    case RV_CLASS_TARGET:
        append(writer, "0x%llx", (unsigned long long)(pc + (uint64_t)(int64_t)value));
        break;
    case RV_CLASS_CSR: append_csr(writer, value); break;
    case RV_CLASS_ROUND: append(writer, "%s", round_names[bits & 7]); break;
    case RV_CLASS_FENCE:
        append_fence_set(writer, bits >> 4);
        append(writer, ",");
        append_fence_set(writer, bits & 15);
        break;
    case RV_CLASS_ORDER: append(writer, "%s", order_names[bits & 3]); break;
    case RV_CLASS_NUMBER: append(writer, ".%u", bits); break;
    case RV_CLASS_FLI: append(writer, "%s", fli_names[bits & 31]); break;
    case RV_CLASS_COUNT: break;
    }
}

static void append_insn(struct writer *writer, const struct rv_insn *insn, uint64_t pc)
{
    const struct rv_row *row = &rv_rows[insn->row];
    const struct rv_syntax *syntax = &rv_syntaxes[row->syntax];
    append(writer, "%s", row->name);
    const char *separator = "\t";
    for (unsigned i = 0; i < syntax->operands; i++) {
        const struct rv_operand *operand = &syntax->operand[i];
        int32_t value = slot_value(insn, (enum rv_slot)operand->slot);
        if (value == operand->omit && operand->omit != RV_NO_OMIT)
            continue;
        if (i >= syntax->suffixes) {
            append(writer, "%s", separator);
            separator = "";
        }
        append(writer, "%s", operand->before);
        append_operand(writer, (enum rv_class)operand->class, value, pc);
    }
    append(writer, "%s", syntax->after);
}

int rv_disasm(const struct rv_insn *insn, uint64_t pc, char *text, size_t size)
{
    struct writer writer = {.text = text, .size = size};
    if (size)
        text[0] = '\0';
    if (insn->row != RV_INVALID && insn->row < RV_ROW_COUNT)
        append_insn(&writer, insn, pc);
    else if (insn->length == 2)
        append(&writer, ".short\t0x%04x", insn->word);
    else
        append(&writer, ".word\t0x%08x", insn->word);
    return (int)writer.length;
}
