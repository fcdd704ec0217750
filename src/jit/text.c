/* Printing and parsing units. */
#include "jit/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/util.h"

static const char *const type_names[] = {
    [IR_I32] = "i32", [IR_I64] = "i64", [IR_F32] = "f32", [IR_F64] = "f64"};

/* The parts of an exit that mean something, in the order of the text. */
static const struct exit_form {
    const char *text;
    bool reason, pc, return_pc, check, count;
} exit_forms[] = {
    [IR_EXIT_GO] = {.text = "go", .pc = true, .count = true},
    [IR_EXIT_CALL] = {.text = "call", .pc = true, .return_pc = true, .check = true},
    [IR_EXIT_INDIRECT] = {.text = "indirect"},
    [IR_EXIT_INDIRECT_CALL] = {.text = "indirect-call", .return_pc = true, .check = true},
    [IR_EXIT_RETURN] = {.text = "return", .check = true},
    [IR_EXIT_STOP] = {.text = "stop", .reason = true, .pc = true},
};

/* Who needs no type in the text: operations without a result that have the usual one. */
static bool type_is_usual(const struct ir_machine *machine, unsigned op, unsigned type, unsigned a)
{
    if (op == IR_SET)
        return a < machine->slot_count && type == machine->slots[a].type;
    return ir_ops[op].result == IR_RESULT_N && type == IR_I64;
}

/* The slot of a pin, for values of a type; -1 when there is none. */
static int pinned_slot(const struct ir_machine *machine, unsigned pin, unsigned result)
{
    for (unsigned slot = 0; slot < machine->pin_count; slot++)
        if (machine->slots[slot].pin == pin &&
            (machine->slots[slot].type == IR_F64) == (result == IR_RESULT_F))
            return (int)slot;
    return -1;
}

/* Printing */

static void print_ref(const struct ir *ir, struct buf *out, ir_ref ref)
{
    if (!ref) {
        buf_printf(out, "-");
        return;
    }
    if (!ir_is_constant(ref)) {
        buf_printf(out, "r%u", (unsigned)(ref - IR_BASE));
        return;
    }
    int64_t value = ir_constant_value(ir, ref);
    uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;
    buf_printf(out, size < 0x10000 ? "%s%" PRIu64 : "%s0x%" PRIx64, value < 0 ? "-" : "", size);
}

static const char *slot_name(const struct ir *ir, unsigned slot)
{
    return slot < ir->machine->slot_count ? ir->machine->slots[slot].name : "?";
}

static void print_operand(const struct ir *ir, struct buf *out, unsigned kind, ir_ref operand)
{
    switch (kind) {
    case IR_KIND_S: buf_printf(out, "%s", slot_name(ir, operand)); break;
    case IR_KIND_N: buf_printf(out, "%u", operand); break;
    default: print_ref(ir, out, operand); break;
    }
}

static void print_exit(const struct ir *ir, struct buf *out, const struct ir_exit *exit)
{
    const struct exit_form *form = &exit_forms[exit->kind];
    buf_printf(out, " -> %s", form->text);
    if (form->reason)
        buf_printf(out, " %u", exit->reason);
    if (form->pc)
        buf_printf(out, " 0x%" PRIx64, exit->pc);
    if (exit->far)
        buf_printf(out, " far");
    if (form->return_pc)
        buf_printf(out, " return 0x%" PRIx64, exit->return_pc);
    if (form->check)
        buf_printf(out, " check %s", slot_name(ir, exit->check));
    if (form->count && exit->count)
        buf_printf(out, " count %u", exit->reason);
}

static bool has_exit(const struct ir_ins *ins)
{
    return ins->op == IR_BR || ins->op == IR_EXIT || ins->op == IR_POLL;
}

static void print_span(const struct ir *ir, struct buf *out, const struct ir_ins *ins)
{
    const struct ir_span *s = &ir->spans[ins->a];
    buf_printf(out, " ");
    print_ref(ir, out, ins->b);
    buf_printf(out, ", %d, %d%s -> 0x%" PRIx64, s->low, s->high, s->writes ? " write" : "", s->pc);
}

static void print_operands(const struct ir *ir, struct buf *out, const struct ir_ins *ins)
{
    const struct ir_op_info *info = &ir_ops[ins->op];
    if (has_exit(ins)) {
        if (ins->b) {
            buf_printf(out, " ");
            print_ref(ir, out, ins->b);
        }
        print_exit(ir, out, &ir->exits[ins->a]);
        return;
    }
    if (ins->op == IR_HOST)
        print_span(ir, out, ins);
    if (info->a == IR_KIND_0 || ins->op == IR_HOST)
        return;
    buf_printf(out, " ");
    print_operand(ir, out, info->a, ins->a);
    if (info->b == IR_KIND_0)
        return;
    buf_printf(out, ", ");
    print_operand(ir, out, info->b, ins->b);
}

static void print_ins(const struct ir *ir, struct buf *out, unsigned index)
{
    const struct ir_ins *ins = &ir->ins[index];
    if (ins->op == IR_PC) {
        buf_printf(out, "pc 0x%" PRIx64 "\n", ir_pc_of(ir, (ir_ref)(IR_BASE + index)));
        return;
    }
    unsigned result = ir_ops[ins->op].result;
    if (result != IR_RESULT_N || ins->op == IR_PAIR)
        buf_printf(out, "r%u ", index);
    if (!type_is_usual(ir->machine, ins->op, ins->type, ins->a))
        buf_printf(out, "%s ", type_names[ins->type]);
    buf_printf(out, "%s", ir_ops[ins->op].text);
    print_operands(ir, out, ins);
    int home = ins->hint ? pinned_slot(ir->machine, ins->hint, result) : -1;
    if (home >= 0)
        buf_printf(out, " for %s", slot_name(ir, (unsigned)home));
    buf_printf(out, "\n");
}

void ir_print(const struct ir *ir, struct buf *out)
{
    buf_printf(out, "unit 0x%" PRIx64 "\n", ir->pc);
    for (unsigned i = 0; i < ir->count; i++)
        print_ins(ir, out, i);
}

/* Parsing. After the first mistake nothing more is read: `failed`. */

struct parser {
    struct ir *ir;
    const struct ir_machine *machine;
    const char *at;        /* in the text */
    unsigned line, number; /* of the instruction */
    bool failed;
    struct guise_error *err;
};

static void wrong(struct parser *p, const char *what)
{
    if (p->failed)
        return;
    p->failed = true;
    int length = (int)strcspn(p->at, "\n");
    error_set(p->err, GUISE_E_CONFIG, "line %u: %s at \"%.*s\"", p->line, what, length, p->at);
}

static void skip_blanks(struct parser *p)
{
    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\r')
        p->at++;
}

static bool at_end_of_line(struct parser *p)
{
    skip_blanks(p);
    return !*p->at || *p->at == '\n' || *p->at == '#';
}

/* The length of the word that comes next: letters, digits and a few signs. */
static size_t word_length(struct parser *p)
{
    skip_blanks(p);
    size_t length = 0;
    while (isalnum((unsigned char)p->at[length]) || (p->at[length] && strchr("_.-", p->at[length])))
        length++;
    return length;
}

static bool accept(struct parser *p, const char *word)
{
    size_t length = word_length(p);
    if (p->failed || length != strlen(word) || strncmp(p->at, word, length))
        return false;
    p->at += length;
    return true;
}

static void expect(struct parser *p, const char *word)
{
    if (!accept(p, word))
        wrong(p, "syntax error");
}

static bool accept_sign(struct parser *p, const char *sign)
{
    skip_blanks(p);
    size_t length = strlen(sign);
    if (p->failed || strncmp(p->at, sign, length))
        return false;
    p->at += length;
    return true;
}

/* A number with sign, or one that takes all 64 bits. */
static int64_t parse_number(struct parser *p)
{
    skip_blanks(p);
    bool negative = *p->at == '-';
    const char *digits = p->at + negative;
    char *end = NULL;
    uint64_t size = 0;
    if (isdigit((unsigned char)*digits))
        size = strtoull(digits, &end, 0);
    if (p->failed || !end || isalnum((unsigned char)*end)) {
        wrong(p, "a number is missing");
        return 0;
    }
    p->at = end;
    return (int64_t)(negative ? -size : size);
}

static unsigned parse_small(struct parser *p, unsigned limit)
{
    const char *start = p->at;
    int64_t value = parse_number(p);
    if (value >= 0 && value < limit)
        return (unsigned)value;
    p->at = start;
    wrong(p, "the number is too large");
    return 0;
}

static ir_ref parse_ref(struct parser *p)
{
    if (accept(p, "-"))
        return 0;
    skip_blanks(p);
    if (*p->at != 'r') {
        if (p->ir->constant_count + 2 > IR_BASE) {
            wrong(p, "too many constants");
            return 0;
        }
        return ir_constant(p->ir, parse_number(p));
    }
    p->at++;
    return (ir_ref)(IR_BASE + parse_small(p, IR_MAX_INS));
}

static unsigned parse_slot(struct parser *p)
{
    for (unsigned slot = 0; slot < p->machine->slot_count; slot++)
        if (accept(p, p->machine->slots[slot].name))
            return slot;
    wrong(p, "unknown slot");
    return 0;
}

static ir_ref parse_operand(struct parser *p, unsigned kind)
{
    switch (kind) {
    case IR_KIND_S: return (ir_ref)parse_slot(p);
    case IR_KIND_N: return (ir_ref)parse_small(p, 0x10000);
    default: return parse_ref(p);
    }
}

static unsigned parse_exit_kind(struct parser *p)
{
    for (unsigned kind = 0; kind < ARRAY_SIZE(exit_forms); kind++)
        if (accept(p, exit_forms[kind].text))
            return kind;
    wrong(p, "unknown way out");
    return 0;
}

static ir_ref parse_exit(struct parser *p)
{
    if (!accept_sign(p, "->"))
        wrong(p, "-> is missing");
    struct ir_exit exit = {.kind = (uint8_t)parse_exit_kind(p)};
    const struct exit_form *form = &exit_forms[exit.kind];
    if (form->reason)
        exit.reason = (uint8_t)parse_small(p, 0x100);
    if (form->pc)
        exit.pc = (uint64_t)parse_number(p);
    exit.far = form->pc && accept(p, "far");
    if (form->return_pc) {
        expect(p, "return");
        exit.return_pc = (uint64_t)parse_number(p);
    }
    if (form->check) {
        expect(p, "check");
        exit.check = (uint8_t)parse_slot(p);
    }
    if (form->count && accept(p, "count")) {
        exit.reason = (uint8_t)parse_small(p, 0x100);
        exit.count = true;
    }
    if (p->ir->exit_count == IR_MAX_EXITS) {
        wrong(p, "too many exits");
        return 0;
    }
    p->ir->exits[p->ir->exit_count] = exit;
    return (ir_ref)p->ir->exit_count++;
}

static void expect_sign(struct parser *p, const char *sign)
{
    if (!accept_sign(p, sign))
        wrong(p, "a sign is missing");
}

static int16_t parse_offset(struct parser *p)
{
    const char *start = p->at;
    int64_t value = parse_number(p);
    if (value == (int16_t)value)
        return (int16_t)value;
    p->at = start;
    wrong(p, "the offset is too large");
    return 0;
}

static void parse_span(struct parser *p, struct ir_ins *ins)
{
    struct ir_span s = {.host = (ir_ref)(IR_BASE + p->number)};
    ins->b = parse_ref(p);
    expect_sign(p, ",");
    s.low = parse_offset(p);
    expect_sign(p, ",");
    s.high = parse_offset(p);
    s.writes = accept(p, "write");
    expect_sign(p, "->");
    s.pc = (uint64_t)parse_number(p);
    if (p->ir->span_count == IR_MAX_SPANS) {
        wrong(p, "too many spans");
        return;
    }
    p->ir->spans[p->ir->span_count] = s;
    ins->a = (ir_ref)p->ir->span_count++;
}

static void parse_operands(struct parser *p, struct ir_ins *ins)
{
    const struct ir_op_info *info = &ir_ops[ins->op];
    if (has_exit(ins)) {
        skip_blanks(p);
        if (strncmp(p->at, "->", 2))
            ins->b = parse_ref(p);
        ins->a = parse_exit(p);
        return;
    }
    if (ins->op == IR_PC) {
        uint64_t distance = (uint64_t)parse_number(p) - p->ir->pc;
        ins->a = (ir_ref)distance;
        ins->b = (ir_ref)(distance >> 16);
        if ((uint64_t)(int32_t)distance != distance)
            wrong(p, "too far from the unit's pc");
        return;
    }
    if (ins->op == IR_HOST)
        parse_span(p, ins);
    if (info->a == IR_KIND_0 || ins->op == IR_HOST)
        return;
    ins->a = parse_operand(p, info->a);
    if (info->b == IR_KIND_0)
        return;
    if (!accept_sign(p, ","))
        wrong(p, "a comma is missing");
    ins->b = parse_operand(p, info->b);
}

static int parse_type(struct parser *p)
{
    for (int type = 0; type < (int)ARRAY_SIZE(type_names); type++)
        if (accept(p, type_names[type]))
            return type;
    return -1;
}

static uint8_t parse_op(struct parser *p)
{
    for (unsigned op = 0; op < IR_OP_COUNT; op++)
        if (accept(p, ir_ops[op].text))
            return (uint8_t)op;
    wrong(p, "unknown operation");
    return IR_NOP;
}

/* The number in front of the operation. No operation is an r with digits. */
static void parse_own_number(struct parser *p)
{
    skip_blanks(p);
    if (*p->at != 'r' || !isdigit((unsigned char)p->at[1]))
        return;
    const char *start = p->at++;
    if (parse_small(p, IR_MAX_INS) != p->number) {
        p->at = start;
        wrong(p, "the value's number is not the instruction's");
    }
}

static bool same(const struct ir_ins *a, const struct ir_ins *b)
{
    return a->op == b->op && a->type == b->type && a->a == b->a && a->b == b->b;
}

/* The first instructions are there from ir_begin(): the text only repeats them. */
static void add(struct parser *p, const struct ir_ins *ins)
{
    if (p->number < p->machine->pin_count) {
        if (!same(ins, &p->ir->ins[p->number]))
            wrong(p, "the pinned slots come first");
        return;
    }
    if (p->ir->count == IR_MAX_INS) {
        wrong(p, "too many instructions");
        return;
    }
    ir_ref ref = ir_append(p->ir, (enum ir_op)ins->op, (enum ir_type)ins->type, ins->a, ins->b);
    ir_at(p->ir, ref)->hint = ins->hint;
}

static void parse_ins(struct parser *p)
{
    parse_own_number(p);
    int type = parse_type(p);
    struct ir_ins ins = {.op = parse_op(p)};
    parse_operands(p, &ins);
    if (type < 0)
        type = ins.op == IR_SET ? p->machine->slots[ins.a].type : IR_I64;
    ins.type = (unsigned)type & 7u;
    if (accept(p, "for"))
        ins.hint = p->machine->slots[parse_slot(p)].pin & 31u;
    if (!at_end_of_line(p))
        wrong(p, "more than one instruction");
    if (!p->failed)
        add(p, &ins);
    p->number++;
}

static void parse_line(struct parser *p, bool *begun)
{
    if (at_end_of_line(p))
        return;
    if (*begun) {
        parse_ins(p);
        return;
    }
    expect(p, "unit");
    ir_begin(p->ir, p->machine, (uint64_t)parse_number(p));
    *begun = true;
    if (!at_end_of_line(p))
        wrong(p, "more than the unit's pc");
}

int ir_parse(struct ir *ir, const struct ir_machine *machine, const char *text, struct guise_error *err)
{
    struct parser p = {.ir = ir, .machine = machine, .at = text, .line = 1, .err = err};
    bool begun = false;
    while (!p.failed && *p.at) {
        parse_line(&p, &begun);
        if (p.failed)
            break;
        p.at += strcspn(p.at, "\n");
        if (*p.at) {
            p.at++;
            p.line++;
        }
    }
    if (!begun)
        wrong(&p, "a unit is missing");
    return p.failed ? GUISE_E_CONFIG : 0;
}
