/* Spans: accesses around one address that look their page up once. Which they are, is found while the unit is made: those whose
 * addresses are one value plus constants, as in frames and structures. What a span reaches from and to is known when it is whole; the back
 * end walks backwards and meets HOST last.
 *
 *   known:   sp ──────┐ -32
 *            sp - 32 ─┴ 0 ──> span { host, low, high, writes }        the latest for each value */
#include "jit/ir.h"

#include <string.h>

#include "base/util.h"

/* An address as values that it is more than by constants: the farthest comes last. */
struct chain {
    unsigned count;
    struct {
        ir_ref value;
        int32_t offset; /* of the address from it */
    } link[8];
};

static struct ir_known *known_slot(struct ir *ir, ir_ref value)
{
    return &ir->known[value % IR_KNOWN];
}

static bool is_short(int64_t offset)
{
    return offset > -IR_SPAN_BYTES && offset < IR_SPAN_BYTES;
}

/* The base of a short sum, or 0. */
static ir_ref base_of(struct ir *ir, ir_ref value, int64_t *offset)
{
    const struct ir_ins *ins = ir_at(ir, value);
    if (ins->op != IR_ADD || ins->type != IR_I64 || !ir_is_constant(ins->b) || ir_is_constant(ins->a))
        return 0;
    int64_t more = ir_constant_value(ir, ins->b);
    if (!is_short(more) || !is_short(*offset + more))
        return 0;
    *offset += more;
    return ins->a;
}

static void follow(struct ir *ir, ir_ref value, int64_t offset, struct chain *c)
{
    c->count = 0;
    for (; value && c->count < ARRAY_SIZE(c->link); value = base_of(ir, value, &offset)) {
        c->link[c->count].value = value;
        c->link[c->count++].offset = (int32_t)offset;
        if (known_slot(ir, value)->value == value)
            return;
    }
}

/* A span that reads gets a store when that is as certain to come as the first access: nothing has been able to leave since. */
static bool takes(const struct ir *ir, const struct ir_span *s, int32_t offset, unsigned size, bool writes)
{
    int32_t low = MIN(s->low, offset), high = MAX(s->high, offset + (int32_t)size);
    return high - low <= IR_SPAN_BYTES && (!writes || s->writes || ir->seen == s->host);
}

/* The address is `offset` behind the span's. */
static ir_ref join(struct ir *ir, struct ir_span *s, int32_t offset, unsigned size, bool writes)
{
    s->low = (int16_t)MIN(s->low, offset);
    s->high = (int16_t)MAX(s->high, offset + (int32_t)size);
    s->writes |= writes;
    s->accesses = (uint8_t)MIN(s->accesses + 1, UINT8_MAX);
    return ir_emit(ir, IR_ADD, IR_I64, s->host, ir_constant(ir, offset));
}

/* The first values of the chain are known from now on: the address is at `offset` from the span's operand. */
static void note(struct ir *ir, const struct chain *c, unsigned count, unsigned span, int32_t offset)
{
    for (unsigned i = 0; i < count; i++) {
        ir_ref value = c->link[i].value;
        *known_slot(ir, value) = (struct ir_known){value, (uint8_t)span, offset - c->link[i].offset};
    }
}

/* The address, if a span that is known has it or takes it in; else 0. */
static ir_ref find_span(struct ir *ir, const struct chain *c, unsigned size, bool writes)
{
    unsigned last = c->count - 1;
    const struct ir_known *k = known_slot(ir, c->link[last].value);
    struct ir_span *s = &ir->spans[k->span];
    int32_t offset = k->offset + c->link[last].offset;
    if (k->value != c->link[last].value || !takes(ir, s, offset, size, writes))
        return 0;
    note(ir, c, last, k->span, offset);
    return join(ir, s, offset, size, writes);
}

static ir_ref begin_span(struct ir *ir, const struct chain *c, unsigned size, bool writes, uint64_t pc)
{
    unsigned number = ir->span_count++;
    struct ir_span *s = &ir->spans[number];
    int16_t offset = (int16_t)c->link[0].offset;
    *s = (struct ir_span){.pc = pc, .low = offset, .high = offset, .writes = writes};
    s->host = ir_append(ir, IR_HOST, IR_I64, (ir_ref)number, c->link[0].value);
    note(ir, c, c->count, number, offset);
    return join(ir, s, offset, size, writes);
}

ir_ref ir_reach(struct ir *ir, ir_ref base, int64_t offset, unsigned size, bool writes, uint64_t pc)
{
    struct chain c;
    ir_ref found = 0;
    if (!ir_is_constant(base) && is_short(offset)) {
        follow(ir, base, offset, &c);
        found = find_span(ir, &c, size, writes);
        if (!found && ir->span_count < IR_MAX_SPANS)
            found = begin_span(ir, &c, size, writes, pc);
    }
    return found ? found : ir_emit(ir, IR_ADD, IR_I64, base, ir_constant(ir, offset));
}

void ir_end_spans(struct ir *ir)
{
    if (ir->span_count)
        memset(ir->known, 0, sizeof(ir->known));
}

/* The access is at a sum, as it were without the span; or at HOST's operand. */
static void dissolve(struct ir *ir, const struct ir_span *s)
{
    struct ir_ins *host = ir_at(ir, s->host), *access = host + 1;
    while (!(ir_ops[access->op].flags & IR_FAULT))
        access++;
    if (access->a == s->host) {
        access->a = host->b;
        *host = (struct ir_ins){.op = IR_NOP, .type = IR_I64, .prev = IR_NOWHERE};
        return;
    }
    ir_ref offset = ir_at(ir, access->a)->b;
    *host = (struct ir_ins){.op = IR_ADD, .type = IR_I64, .prev = IR_NOWHERE, .a = host->b, .b = offset};
    access->a = s->host;
}

/* Others keep their numbers: HOST knows its own. */
void ir_close_spans(struct ir *ir)
{
    for (unsigned i = 0; i < ir->span_count; i++)
        if (ir->spans[i].accesses == 1)
            dissolve(ir, &ir->spans[i]);
}
