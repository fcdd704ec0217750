/* The verifier. Every check answers with what is wrong, or NULL. */
#include "jit/verify.h"

#include <string.h>

#include "base/error.h"

/* What an operand has to be. */
enum need {
    NEED_WHOLE, /* an integer, defined in all 64 bits */
    NEED_HALF,  /* its low half is enough */
    NEED_F,
};

struct verifier {
    const struct ir *ir;
    const struct ir_ins *ins;
    ir_ref ref;
    ir_ref set[IR_MAX_SLOTS]; /* the latest SET, or GET of a pinned one */
    bool got[IR_MAX_SLOTS];   /* a GET or SET was there */
    unsigned exits;           /* used so far */
    ir_ref head;              /* the LOOP, 0 above it */
    bool polled;
};

static const struct ir_ins *instruction(const struct verifier *v, ir_ref ref)
{
    return &v->ir->ins[ref - IR_BASE];
}

static bool is_float(unsigned type)
{
    return type == IR_F32 || type == IR_F64;
}

/* Is it a loop's, and not yet gone round? */
static bool is_prologue(const struct verifier *v)
{
    return v->ir->loop && !v->head;
}

/* i32 results whose upper half is undefined. */
static bool is_half(const struct ir_ins *ins)
{
    if (ins->type != IR_I32)
        return false;
    return (ins->op >= IR_ADD && ins->op <= IR_REMU) || ins->op == IR_BSWAP ||
           (ins->op >= IR_AXCHG && ins->op <= IR_ACAS);
}

static const char *check_constant(const struct verifier *v, ir_ref ref, enum need need)
{
    if (!ref)
        return "an operand is missing";
    if (ref > v->ir->constant_count)
        return "there is no such constant";
    return need == NEED_F ? "a floating-point operand is a constant" : NULL;
}

static bool is_access(const struct ir_ins *ins)
{
    return ins->op >= IR_LDS8 && ins->op <= IR_STF;
}

/* Where the host's memory is, is nobody's business but its accesses'. */
static bool may_use_host_address(const struct verifier *v, ir_ref ref)
{
    const struct ir_ins *ins = v->ins;
    if (is_access(ins))
        return ref == ins->a && (ref != ins->b || ir_ops[ins->op].b != IR_KIND_R);
    return ins->op == IR_ADD && ins->type == IR_I64 && ir_is_constant(ins->b);
}

static const char *check_value(const struct verifier *v, ir_ref ref, enum need need)
{
    if (ir_is_constant(ref))
        return check_constant(v, ref, need);
    if (ref >= v->ref)
        return "an operand is not made yet";
    if (ref < v->head && ref - (unsigned)IR_BASE >= v->ir->machine->pin_count)
        return "an operand was made before the loop";
    const struct ir_ins *ins = instruction(v, ref);
    unsigned result =
        ins->op == IR_GET && is_float(ins->type) ? (unsigned)IR_RESULT_F : ir_ops[ins->op].result;
    if (result == IR_RESULT_N)
        return "an operand has no value";
    if (ir_is_host_address(v->ir, ref) && !may_use_host_address(v, ref))
        return "a host's address is used as a value";
    if ((result == IR_RESULT_F) != (need == NEED_F))
        return "an operand is of the wrong class";
    return need == NEED_WHOLE && is_half(ins) ? "an operand's upper half is undefined" : NULL;
}

static const struct ir_ins *pair_of(const struct verifier *v, ir_ref ref)
{
    if (ir_is_constant(ref) || ref >= v->ref || instruction(v, ref)->op != IR_PAIR)
        return NULL;
    return instruction(v, ref);
}

static const char *check_pair(const struct verifier *v, ir_ref ref, enum need need)
{
    const struct ir_ins *pair = pair_of(v, ref);
    if (!pair)
        return "an operand is not a pair";
    const char *what = check_value(v, pair->a, need);
    return what ? what : check_value(v, pair->b, need);
}

/* Up to three values: a, (b, c); missing ones at the end. */
static const char *check_arguments(const struct verifier *v, ir_ref ref)
{
    for (unsigned depth = 0; ref; depth++) {
        const struct ir_ins *pair = depth < 2 ? pair_of(v, ref) : NULL;
        const char *what = !pair || pair->a ? check_value(v, pair ? pair->a : ref, NEED_WHOLE) : NULL;
        if (what)
            return what;
        ref = pair ? pair->b : 0;
    }
    return NULL;
}

/* Types */

static const char *check_type(const struct ir_ins *ins)
{
    bool floating = is_float(ins->type), fits;
    switch (ins->op) {
    case IR_NOP:
    case IR_PC:
    case IR_PAIR:
    case IR_GET:
    case IR_SET:
    case IR_EXIT:
    case IR_BR:
    case IR_POLL:
    case IR_LOOP:
    case IR_FENCE:
    case IR_CALL:
    case IR_GETFLAGS:
    case IR_SETFLAGS:
    case IR_BITS:
    case IR_UNBOXED: return NULL;
    case IR_MULH:
    case IR_MULHU:
    case IR_MULHSU:
    case IR_SELECT:
    case IR_SEXT8:
    case IR_SEXT16:
    case IR_SEXT32:
    case IR_ZEXT8:
    case IR_ZEXT16:
    case IR_ZEXT32: fits = ins->type == IR_I64; break;
    case IR_LDF:
    case IR_STF:
    case IR_CALLF: fits = floating; break;
    default: fits = floating == (ins->op >= IR_FADD); break;
    }
    return fits ? NULL : "the type does not fit the operation";
}

/* Operands */

static enum need slot_need(const struct verifier *v, unsigned slot)
{
    return v->ir->machine->slots[slot].type == IR_F64 ? NEED_F : NEED_WHOLE;
}

static enum need need_of_a(const struct ir_ins *ins)
{
    if (ins->op == IR_SETFLAGS)
        return NEED_HALF;
    if ((ins->op >= IR_SEXT8 && ins->op <= IR_ZEXT32) || ins->op == IR_FROMW || ins->op == IR_FROMWU)
        return NEED_HALF;
    if (ins->op == IR_FROMBITS)
        return ins->type == IR_F32 ? NEED_HALF : NEED_WHOLE;
    if (ins->op == IR_FROML || ins->op == IR_FROMLU)
        return NEED_WHOLE;
    if (ins->op >= IR_FADD)
        return NEED_F;
    return ins->op <= IR_GEU && ins->type == IR_I32 ? NEED_HALF : NEED_WHOLE;
}

static enum need need_of_b(const struct ir_ins *ins)
{
    if (ins->op >= IR_SHL && ins->op <= IR_ROR)
        return NEED_HALF;
    if (ins->op >= IR_ST8 && ins->op <= IR_ST32)
        return NEED_HALF;
    if (ins->op >= IR_AXCHG && ins->op <= IR_ACAS)
        return ins->type == IR_I32 ? NEED_HALF : NEED_WHOLE;
    if (ins->op == IR_STF)
        return NEED_F;
    return need_of_a(ins);
}

static const char *check_operands(const struct verifier *v)
{
    const struct ir_ins *ins = v->ins;
    const struct ir_op_info *info = &ir_ops[ins->op];
    const char *what = info->a == IR_KIND_R ? check_value(v, ins->a, need_of_a(ins)) : NULL;
    if (what)
        return what;
    if (info->b == IR_KIND_R)
        return check_value(v, ins->b, need_of_b(ins));
    if (ins->op == IR_CALL || ins->op == IR_CALLF)
        return check_arguments(v, ins->b);
    return info->b == IR_KIND_P ? check_pair(v, ins->b, need_of_b(ins)) : NULL;
}

/* A pair's operands are checked with its users, who know what they need. */
static const char *check_existence(const struct verifier *v)
{
    const ir_ref operands[] = {v->ins->a, v->ins->b};
    for (unsigned i = 0; i < 2; i++)
        if (ir_is_constant(operands[i]) ? operands[i] > v->ir->constant_count : operands[i] >= v->ref)
            return "an operand is not made yet";
    return NULL;
}

/* Slots */

static const char *check_get(struct verifier *v)
{
    unsigned slot = v->ins->a;
    const struct ir_machine *machine = v->ir->machine;
    if (slot >= machine->slot_count)
        return "there is no such slot";
    if (v->ins->type != machine->slots[slot].type)
        return "the type is not the slot's";
    if (v->got[slot])
        return "the slot's value was known";
    v->got[slot] = true;
    if (slot < machine->pin_count)
        v->set[slot] = v->ref;
    return NULL;
}

static const char *check_set(struct verifier *v)
{
    unsigned slot = v->ins->a;
    if (slot >= v->ir->machine->slot_count)
        return "there is no such slot";
    if (v->ins->type != v->ir->machine->slots[slot].type)
        return "the type is not the slot's";
    if (v->ins->prev != v->set[slot])
        return "the link to the slot's former value is wrong";
    if (is_prologue(v))
        return "a slot is set before the loop";
    v->set[slot] = v->ref;
    v->got[slot] = true;
    return check_value(v, v->ins->b, slot_need(v, slot));
}

/* Exits */

static const char *check_poll(struct verifier *v, const struct ir_exit *exit)
{
    if (!v->head)
        return "a poll outside of a loop";
    if (v->polled)
        return "a second poll";
    v->polled = true;
    return exit->kind == IR_EXIT_GO ? NULL : "a poll goes on at a pc";
}

static const char *check_exit(struct verifier *v)
{
    unsigned index = v->ins->a;
    if (index >= v->ir->exit_count)
        return "there is no such exit";
    if (index != v->exits++)
        return "exits are not used once and in order";
    const struct ir_exit *exit = &v->ir->exits[index];
    bool indirect =
        exit->kind == IR_EXIT_INDIRECT || exit->kind == IR_EXIT_INDIRECT_CALL || exit->kind == IR_EXIT_RETURN;
    bool checks =
        exit->kind == IR_EXIT_CALL || exit->kind == IR_EXIT_INDIRECT_CALL || exit->kind == IR_EXIT_RETURN;
    if (exit->kind > IR_EXIT_STOP)
        return "the exit's kind is unknown";
    if (exit->far && exit->kind != IR_EXIT_GO && exit->kind != IR_EXIT_CALL)
        return "a far exit leads to no known pc";
    if (checks && (exit->check >= v->ir->machine->slot_count || slot_need(v, exit->check) == NEED_F))
        return "the exit's slot cannot hold a return address";
    if (is_prologue(v) && exit->kind == IR_EXIT_GO && exit->pc == v->ir->pc)
        return "a way leads back before the loop";
    if (v->ins->op == IR_BR)
        return indirect ? "an indirect exit has a condition" : check_value(v, v->ins->b, NEED_WHOLE);
    if (indirect)
        return check_value(v, v->ins->b, NEED_WHOLE);
    if (v->ins->b)
        return "an exit to a known pc has a value";
    return v->ins->op == IR_POLL ? check_poll(v, exit) : NULL;
}

/* Spans */

/* HOST is the only one of its span. */
static const char *check_host(const struct verifier *v)
{
    unsigned number = v->ins->a;
    if (number >= v->ir->span_count || v->ir->spans[number].host != v->ref)
        return "the span is not HOST's";
    const struct ir_span *s = &v->ir->spans[number];
    return s->low < s->high && s->high - s->low <= IR_SPAN_BYTES ? NULL : "the span is empty or too large";
}

static const char *check_access(const struct verifier *v)
{
    const struct ir_ins *address, *host;
    if (!ir_is_host_address(v->ir, v->ins->a))
        return NULL;
    address = host = instruction(v, v->ins->a);
    int64_t offset = 0;
    if (address->op == IR_ADD) {
        host = instruction(v, address->a);
        offset = ir_constant_value(v->ir, address->b);
    }
    const struct ir_span *s = &v->ir->spans[host->a];
    unsigned size = ir_access_size((enum ir_op)v->ins->op, (enum ir_type)v->ins->type);
    if (offset < s->low || offset > s->high - (int)size)
        return "the access is beyond its span";
    return v->ins->op >= IR_ST8 && !s->writes ? "the span is not for stores" : NULL;
}

/* In a loop the values of slots in memory are asked for anew. */
static const char *check_loop(struct verifier *v)
{
    if (v->head || !v->ir->loop)
        return "a second loop, or the unit is none";
    v->head = v->ref;
    for (unsigned slot = v->ir->machine->pin_count; slot < v->ir->machine->slot_count; slot++)
        v->got[slot] = false;
    return NULL;
}

static const char *check_ins(struct verifier *v)
{
    if (v->ins->op >= IR_OP_COUNT)
        return "the operation is unknown";
    if (v->ins->type > IR_F64)
        return "the type is unknown";
    unsigned index = v->ref - (unsigned)IR_BASE;
    bool last = index == v->ir->count - 1;
    if ((v->ins->op == IR_EXIT) != last)
        return last ? "the last instruction is no exit" : "instructions follow the exit";
    if (index < v->ir->machine->pin_count && (v->ins->op != IR_GET || v->ins->a != index))
        return "the pinned slots come first";
    switch (v->ins->op) {
    case IR_GET: return check_get(v);
    case IR_SET: return check_set(v);
    case IR_BR:
    case IR_POLL:
    case IR_EXIT: return check_exit(v);
    case IR_LOOP: return check_loop(v);
    case IR_PAIR: return check_existence(v);
    default: break;
    }
    const char *what = check_type(v->ins);
    if (!what)
        what = check_operands(v);
    if (!what && v->ins->op == IR_HOST)
        what = check_host(v);
    return what || !is_access(v->ins) ? what : check_access(v);
}

int ir_verify(const struct ir *ir, struct guise_error *err)
{
    struct verifier v = {.ir = ir};
    if (!ir->count)
        return error_set(err, GUISE_E_CONFIG, "the unit is empty");
    for (unsigned i = 0; i < ir->count; i++) {
        v.ins = &ir->ins[i];
        v.ref = (ir_ref)(IR_BASE + i);
        const char *what = check_ins(&v);
        if (what)
            return error_set(err, GUISE_E_CONFIG, "instruction %u (%s): %s", i,
                             v.ins->op < IR_OP_COUNT ? ir_ops[v.ins->op].text : "?", what);
    }
    if (is_prologue(&v))
        return error_set(err, GUISE_E_CONFIG, "the loop is missing");
    if (v.exits != ir->exit_count)
        return error_set(err, GUISE_E_CONFIG, "%u exits are not used", ir->exit_count - v.exits);
    return 0;
}
