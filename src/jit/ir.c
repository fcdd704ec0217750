/* Building a unit: constants, slots, sharing. The rules of folding are in fold.c. */
#include "jit/ir.h"

#include <assert.h>
#include <string.h>

#include "base/util.h"
#include "jit/fold.h"

enum {
    INFO_0 = IR_KIND_0,
    INFO_R = IR_KIND_R,
    INFO_S = IR_KIND_S,
    INFO_C = IR_KIND_C,
    INFO_N = IR_KIND_N,
    INFO_P = IR_KIND_P,
    PURE = IR_PURE,
    SWAP = IR_SWAP,
    FAULT = IR_FAULT,
    LEAVE = IR_LEAVE,
    KEEP = IR_KEEP,
    PART = IR_PART,
};

const struct ir_op_info ir_ops[IR_OP_COUNT] = {
#define OP(name, text, result, a, b, flags) {text, IR_RESULT_##result, INFO_##a, INFO_##b, flags},
#include "jit/ops.def"
#undef OP
};

/* Writes an instruction in two pieces: field by field, the bit-fields cost more than all the rest. */
static inline ir_ref push(struct ir *ir, enum ir_op op, enum ir_type type, ir_ref prev, ir_ref a, ir_ref b)
{
    const uint32_t halves[2] = {(uint32_t)op | (uint32_t)type << 8 | (uint32_t)prev << 16,
                                (uint32_t)a | (uint32_t)b << 16};
    unsigned index = ir->count;
    assert(index < IR_MAX_INS);
    static_assert(sizeof(struct ir_ins) == sizeof(halves), "an instruction is two words");
    memcpy(&ir->ins[index], halves, sizeof(halves));
    ir->count = index + 1;
    return (ir_ref)(IR_BASE + index);
}

static ir_ref push_get(struct ir *ir, unsigned slot)
{
    ir_ref ref = push(ir, IR_GET, (enum ir_type)ir->machine->slots[slot].type, IR_NOWHERE, (ir_ref)slot, 0);
    ir->value[slot] = ref;
    return ref;
}

/* Ties a SET to the state before it, and makes it the state. */
static ir_ref push_set(struct ir *ir, enum ir_type type, unsigned slot, ir_ref value)
{
    ir_ref before = ir->slot[slot];
    if (!before && slot < ir->machine->pin_count)
        before = (ir_ref)(IR_BASE + slot);
    ir->slot[slot] = push(ir, IR_SET, type, before, (ir_ref)slot, value);
    ir->set[slot / 64] |= UINT64_C(1) << slot % 64;
    ir->value[slot] = value;
    return ir->slot[slot];
}

/* As push_get() of each: every unit begins so. */
static void push_pinned(struct ir *ir, const struct ir_machine *machine)
{
    const struct ir_slot *slots = machine->slots;
    unsigned count = machine->pin_count;
    const uint32_t get = (uint32_t)IR_GET | (uint32_t)IR_NOWHERE << 16;
    for (unsigned slot = 0; slot < count; slot++) {
        const uint32_t halves[2] = {get | (uint32_t)slots[slot].type << 8, slot};
        memcpy(&ir->ins[slot], halves, sizeof(halves));
        ir->value[slot] = (ir_ref)(IR_BASE + slot);
    }
    ir->count = count;
}

/* The arrays of constants and instructions keep their old contents: nothing looks beyond the counts. */
void ir_begin(struct ir *ir, const struct ir_machine *machine, uint64_t pc)
{
    assert(machine->slot_count <= IR_MAX_SLOTS && machine->pin_count <= machine->slot_count);
    ir->machine = machine;
    ir->pc = pc;
    ir->count = ir->constant_count = ir->exit_count = 0;
    ir->set[0] = ir->set[1] = 0;
    ir->seen = 0;
    ir->marked = ir->loop = ir->direct = ir->counted = false;
    memset(ir->chain, 0, sizeof(ir->chain));
    memset(ir->slot, 0, sizeof(ir->slot));
    memset(ir->value, 0, sizeof(ir->value));
    memset(ir->constant_hash, 0, sizeof(ir->constant_hash));
    push_pinned(ir, machine);
}

/* What precedes an instruction that may fault or leave: nobody asks for the pc of others. */
static void push_mark(struct ir *ir)
{
    if (!ir->marked)
        return;
    ir->marked = false;
    push(ir, IR_PC, IR_I64, IR_NOWHERE, (ir_ref)ir->mark, (ir_ref)(ir->mark >> 16));
}

bool ir_has_room(const struct ir *ir)
{
    return ir->count + IR_ROOM_INS <= IR_MAX_INS && ir->constant_count + 1 + IR_ROOM_CONSTANTS <= IR_BASE &&
           ir->exit_count + IR_ROOM_EXITS <= IR_MAX_EXITS;
}

ir_ref ir_constant(struct ir *ir, int64_t value)
{
    uint64_t mixed = (uint64_t)value * 0x9e3779b97f4a7c15u;
    uint16_t *bucket = &ir->constant_hash[mixed >> 58];
    for (unsigned ref = *bucket; ref; ref = ir->constant_next[ref])
        if (ir->constants[ref] == value)
            return (ir_ref)ref;
    assert(ir->constant_count + 1 < IR_BASE);
    ir_ref ref = (ir_ref)++ir->constant_count;
    ir->constants[ref] = value;
    ir->constant_next[ref] = *bucket;
    *bucket = ref;
    return ref;
}

static ir_ref push_loop(struct ir *ir)
{
    ir->loop = true;
    memset(ir->chain, 0, sizeof(ir->chain));
    for (unsigned slot = ir->machine->pin_count; slot < ir->machine->slot_count; slot++)
        ir->value[slot] = 0;
    return push(ir, IR_LOOP, IR_I64, IR_NOWHERE, 0, 0);
}

ir_ref ir_append(struct ir *ir, enum ir_op op, enum ir_type type, ir_ref a, ir_ref b)
{
    if (op == IR_SET)
        return push_set(ir, type, a, b);
    if (op == IR_LOOP)
        return push_loop(ir);
    bool seen = ir_ops[op].flags & (IR_FAULT | IR_LEAVE);
    if (seen)
        push_mark(ir);
    ir_ref ref = push(ir, op, type, IR_NOWHERE, a, b);
    ir->alike[ref - IR_BASE] = ir->chain[op];
    ir->chain[op] = ref;
    if (seen)
        ir->seen = ref;
    if (op == IR_GET)
        ir->value[a] = ref;
    if (op ==
        IR_SETFLAGS) /* what raised flags before may have to raise them again: nothing is shared across this */
        memset(ir->chain, 0, sizeof(ir->chain));
    return ref;
}

/* Appends what neither is seen nor changes slots. */
static inline ir_ref append_plain(struct ir *ir, enum ir_op op, enum ir_type type, ir_ref a, ir_ref b)
{
    ir_ref ref = push(ir, op, type, IR_NOWHERE, a, b);
    ir->alike[ref - IR_BASE] = ir->chain[op];
    ir->chain[op] = ref;
    return ref;
}

static inline ir_ref find(struct ir *ir, enum ir_op op, enum ir_type type, ir_ref a, ir_ref b)
{
    ir_ref oldest = a > b ? a : b;
    ir_ref ref = ir->chain[op];
    for (unsigned tries = 24; ref > oldest && tries; tries--) {
        const struct ir_ins *ins = ir_at(ir, ref);
        if (ins->a == a && ins->b == b && ins->type == type)
            return ref;
        ref = ir->alike[ref - IR_BASE];
    }
    return 0;
}

ir_ref ir_find(struct ir *ir, enum ir_op op, enum ir_type type, ir_ref a, ir_ref b)
{
    return find(ir, op, type, a, b);
}

static inline ir_ref find_or_append(struct ir *ir, enum ir_op op, enum ir_type type, ir_ref a, ir_ref b)
{
    ir_ref ref = find(ir, op, type, a, b);
    return ref ? ref : append_plain(ir, op, type, a, b);
}

/* Half of all operations are addresses and other sums with a constant: nothing to fold. */
static inline bool is_sum(const struct ir *ir, enum ir_op op, enum ir_type type, ir_ref a, ir_ref b)
{
    return op == IR_ADD && type == IR_I64 && !ir_is_constant(a) && ir_is_constant(b) &&
           ir_constant_value(ir, b);
}

ir_ref ir_emit(struct ir *ir, enum ir_op op, enum ir_type type, ir_ref a, ir_ref b)
{
    /* A PAIR has no result, yet equal ones must be one so that their users can be equal. */
    bool shared = (ir_ops[op].flags & IR_PURE) || op == IR_PAIR;
    if (!shared || unlikely(ir->no_fold))
        return ir_append(ir, op, type, a, b);
    struct fold want = {ir, op, type, a, b};
    ir_ref ref = is_sum(ir, op, type, a, b) ? 0 : fold(&want);
    return ref ? ref : find_or_append(ir, want.op, want.type, want.a, want.b);
}

ir_ref ir_get(struct ir *ir, unsigned slot)
{
    return ir->value[slot] ? ir->value[slot] : push_get(ir, slot);
}

/* Takes back the slot's latest SET when nothing has seen it. */
static void drop_unseen(struct ir *ir, unsigned slot)
{
    ir_ref ref = ir->slot[slot];
    if (ref <= ir->seen)
        return;
    struct ir_ins *set = ir_at(ir, ref);
    ir_ref before = set->prev;
    *set = (struct ir_ins){.op = IR_NOP, .type = IR_I64, .prev = IR_NOWHERE};
    bool first = !before || ir_at(ir, before)->op == IR_GET;
    ir->slot[slot] = first ? 0 : before;
    if (first)
        ir->set[slot / 64] &= ~(UINT64_C(1) << slot % 64);
    ir->value[slot] = first ? before : ir_at(ir, before)->b;
}

/* The value wants to be made where the slot lives. The first slot wins: it is usually the only one. */
static void hint_value(struct ir *ir, unsigned slot, ir_ref value)
{
    const struct ir_slot *home = &ir->machine->slots[slot];
    if (ir_is_constant(value) || !home->pin)
        return;
    struct ir_ins *ins = ir_at(ir, value);
    unsigned wanted = home->type == IR_F64 ? IR_RESULT_F : IR_RESULT_I;
    if (!ins->hint && ins->op != IR_GET && ir_ops[ins->op].result == wanted)
        ins->hint = home->pin & 31u;
}

void ir_set(struct ir *ir, unsigned slot, ir_ref value)
{
    if (!ir->no_fold) {
        if (ir->value[slot] == value)
            return;
        drop_unseen(ir, slot);
        if (ir->value[slot] == value)
            return;
        hint_value(ir, slot, value);
    }
    push_set(ir, (enum ir_type)ir->machine->slots[slot].type, slot, value);
}

/* The distance is signed: a unit may follow a jump backwards. */
void ir_mark(struct ir *ir, uint64_t pc)
{
    uint64_t distance = pc - ir->pc;
    assert((uint64_t)(int32_t)distance == distance);
    ir->mark = (uint32_t)distance;
    ir->marked = true;
}

uint64_t ir_pc_of(const struct ir *ir, ir_ref ref)
{
    for (unsigned i = ref - IR_BASE + 1u; i-- > 0;)
        if (ir->ins[i].op == IR_PC)
            return ir->pc + (uint64_t)(int32_t)(ir->ins[i].a | (uint32_t)ir->ins[i].b << 16);
    return ir->pc;
}

static ir_ref add_exit(struct ir *ir, struct ir_exit exit)
{
    assert(ir->exit_count < IR_MAX_EXITS);
    ir->exits[ir->exit_count] = exit;
    return (ir_ref)ir->exit_count++;
}

/* One that is always taken stays a BR: what the caller makes after it is dead but well-formed. */
void ir_branch(struct ir *ir, ir_ref condition, struct ir_exit exit)
{
    if (!ir->no_fold && ir_is_constant(condition) && !ir_constant_value(ir, condition))
        return;
    ir_append(ir, IR_BR, IR_I64, add_exit(ir, exit), condition);
}

void ir_leave(struct ir *ir, struct ir_exit exit, ir_ref target)
{
    ir_append(ir, IR_EXIT, IR_I64, add_exit(ir, exit), target);
}

void ir_poll(struct ir *ir, struct ir_exit exit)
{
    ir_append(ir, IR_POLL, IR_I64, add_exit(ir, exit), 0);
}

void ir_loop(struct ir *ir)
{
    ir_append(ir, IR_LOOP, IR_I64, 0, 0);
}
