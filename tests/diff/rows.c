#include "rows.h"
#include "isa/riscv/tables.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

enum row_class row_class(unsigned row)
{
    unsigned op = rv_rows[row].op, flags = rv_op_flags(row);
    const char *name = rv_op_name(op);
    if (op == RV_ECALL)
        return ROW_ECALL;
    if (op == RV_EBREAK)
        return ROW_EBREAK;
    if (op == RV_JALR)
        return ROW_INDIRECT;
    if (flags & RV_JUMP)
        return ROW_JUMP;
    if (flags & RV_BRANCH)
        return ROW_BRANCH;
    if (starts_with(name, "csrr"))
        return ROW_CSR;
    if (starts_with(name, "lr.") || starts_with(name, "sc."))
        return ROW_RESERVE;
    if (starts_with(name, "amo"))
        return ROW_ATOMIC;
    if (starts_with(name, "cbo."))
        return ROW_CACHE;
    if (starts_with(name, "prefetch."))
        return ROW_PLAIN; /* never faults, wherever it points */
    return flags & (RV_LOAD | RV_STORE) ? ROW_MEMORY : ROW_PLAIN;
}

static bool has_operand(unsigned row, unsigned slot, unsigned class)
{
    const struct rv_syntax *syntax = &rv_syntaxes[rv_rows[row].syntax];
    for (unsigned i = 0; i < syntax->operands; i++)
        if (syntax->operand[i].slot == slot && syntax->operand[i].class == class)
            return true;
    return false;
}

bool row_writes_x(unsigned row)
{
    return has_operand(rv_rows[row].op, RV_SLOT_RD, RV_CLASS_XREG);
}

bool row_reads_f(unsigned row, unsigned slot)
{
    return has_operand(rv_rows[row].op, slot, RV_CLASS_FREG);
}

bool row_reads_x(unsigned row, unsigned slot)
{
    return has_operand(rv_rows[row].op, slot, RV_CLASS_XREG);
}

/* The last letter of the name says what is read: fcvt.s.d reads a double, fmv.x.w a single. */
enum value_kind row_source_kind(unsigned row)
{
    const char *name = rv_op_name(rv_rows[row].op);
    switch (name[strlen(name) - 1]) {
    case 'd': return VALUE_DOUBLE;
    case 'h': return VALUE_HALF;
    default: return VALUE_SINGLE;
    }
}

unsigned row_access_size(unsigned row)
{
    const char *name = rv_op_name(rv_rows[row].op);
    switch (name[strlen(name) - 1]) {
    case 'w': return 4;
    case 'd': return 8;
    default: return 16;
    }
}

void row_random(unsigned row, struct rng *rng, struct rv_insn *insn)
{
    for (unsigned tries = 0; tries < 100000; tries++) {
        uint32_t random = (uint32_t)rng_next(rng);
        rv_decode(rv_rows[row].match | (random & ~rv_rows[row].mask), insn);
        if (insn->row == row)
            return;
    }
    fprintf(stderr, "rvgen: no encoding of %s decodes to it\n", rv_op_name(row));
    abort();
}

bool row_adjust(struct rv_insn *insn)
{
    struct rv_insn again;
    rv_decode(rv_encode(insn), &again);
    if (again.row != insn->row || again.rd != insn->rd || again.rs1 != insn->rs1 || again.rs2 != insn->rs2 ||
        again.rm != insn->rm || again.imm != insn->imm)
        return false;
    *insn = again;
    return true;
}

static bool matches_one(unsigned row, const char *pattern)
{
    if (pattern[0] == '@')
        return strcmp(rv_ext_name(rv_op_ext(row)), pattern + 1) == 0;
    return fnmatch(pattern, rv_op_name(row), 0) == 0;
}

bool row_matches(unsigned row, const char *patterns)
{
    char pattern[64];
    while (*patterns) {
        size_t length = strcspn(patterns, ",");
        snprintf(pattern, sizeof(pattern), "%.*s", (int)length, patterns);
        if (matches_one(row, pattern))
            return true;
        patterns += length + (patterns[length] == ',');
    }
    return false;
}
